//! Nobody sees the future but through the forecast that the scenario gives.

use carm_sim::scenario::ForecastKind;
use carm_sim::world::World;

use super::setup::{Case, under};

/// Two weeks of a grid with a daily shape, another from hour 240 on, jobs from the eighth day on.
fn world(after: f64) -> World {
    let grid: Vec<f64> = (0..336_i32)
        .map(|hour| {
            let usual = 250.0 + 120.0 * (f64::from(hour % 24) * 0.2618).sin() + f64::from(hour * 37 % 50);
            if hour < 240 { usual } else { usual * after + f64::from(hour * 13 % 70) * (1.0 - after) }
        })
        .collect();
    let roof: Vec<f64> = (0..336_i32)
        .map(|hour| (600.0 * (f64::from(hour % 24 - 6) * 0.2618).sin()).max(0.0) * if hour < 240 { 1.0 } else { after })
        .collect();
    let jobs = (0..40).map(|i| (168.0 + 1.7 * f64::from(i), 0.4 + f64::from(i * 5 % 9), 1 + i as u32 % 2));
    let case =
        Case::grid(&grid).roof(&roof).gpus(8).from("2022-01-08T00:00:00Z", "5d").rules("deadline_factor = 4.0\nwidths = [1, 2]");
    let case = jobs.fold(case, |case, (submit_h, hours, gpus)| case.job(submit_h, hours, gpus));
    case.more("[forecast]\nkind = \"carm\"").world()
}

#[test]
fn what_happens_later_changes_no_decision_made_before() {
    let (one, other) = (world(1.0), world(0.3));
    assert_eq!(one.forecast.kind, ForecastKind::Carm);
    // The grids part 72 h after the episode's begin.
    let part_h = 72.0;
    for name in carm_sim::policy::names() {
        let (a, b) = (under(&one, name), under(&other, name));
        let mut seen = 0;
        for (a, b) in a.records.iter().zip(&b.records).filter(|(a, _)| a.submit_h < part_h) {
            assert_eq!((a.site, a.limit_h, a.eligible_h), (b.site, b.limit_h, b.eligible_h), "{name}, job {}", a.job);
            let before = |record: &carm_sim::account::JobRecord| -> Vec<_> {
                let begun = record.stretches.iter().filter(|stretch| stretch.from_h < part_h);
                begun.map(|stretch| (stretch.from_h, stretch.to_h.min(part_h), stretch.level, stretch.workers)).collect()
            };
            assert_eq!(before(a), before(b), "{name}, job {}", a.job);
            seen += 1;
        }
        assert!(seen > 30, "{name}: {seen} jobs were submitted before");
    }
    assert_ne!(under(&one, "lowest-window").carbon_g(), under(&other, "lowest-window").carbon_g());
}

#[test]
fn nobody_knows_how_long_a_job_will_run() {
    // The same words, other run times, and no limit that tells.
    let with = |factor: f64| {
        let mut world = world(1.0);
        world.jobs.iter_mut().for_each(|job| (job.work_h, job.limit_h) = (job.work_h * factor, 48.0));
        world
    };
    let (one, other) = (with(1.0), with(0.9));
    for name in carm_sim::policy::names() {
        let (a, b) = (under(&one, name), under(&other, name));
        assert_eq!(a.records[0].eligible_h, b.records[0].eligible_h, "{name}");
        assert_eq!(a.records[0].stretches[0].level, b.records[0].stretches[0].level, "{name}");
    }
}

#[test]
fn a_noisy_forecast_is_wrong_and_the_same_each_time() {
    // Room for everybody and no roof: then what is best for each job is best.
    let roomy = || {
        let mut world = world(1.0);
        world.sites[0].site.gpus = 400;
        world.sites[0].truth.onsite_w = None;
        world.sites[0].onsite_w.fill(0.0);
        world
    };
    let noisy = || {
        let mut world = roomy();
        world.forecast = carm_sim::scenario::Forecast { kind: ForecastKind::Noisy, error: 0.5 };
        world
    };
    let starts =
        |world: &World| -> Vec<f64> { under(world, "lowest-window").records.iter().map(|record| record.start_h).collect() };
    let mut perfect = roomy();
    perfect.forecast.kind = ForecastKind::Perfect;
    assert_eq!(starts(&noisy()), starts(&noisy()));
    assert_ne!(starts(&noisy()), starts(&perfect));
    assert!(under(&noisy(), "lowest-window").carbon_g() > under(&perfect, "lowest-window").carbon_g());
}
