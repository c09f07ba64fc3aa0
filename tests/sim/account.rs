//! Energy and carbon, counted twice and the same.

use carm::plan::{Candidate, Level, Objective, Problem, Segment, Start};
use carm_sim::account::metrics::Outcome;

use super::setup::{Case, near, under};

/// A busy site with a roof, a grid that moves, and jobs of all sorts.
fn busy() -> Case {
    let grid: Vec<f64> = (0..96).map(|hour| 250.0 + 150.0 * (f64::from(hour) * 0.26).sin()).collect();
    let roof: Vec<f64> = (0..96).map(|hour| (1500.0 * (f64::from(hour % 24 - 6) * 0.26).sin()).max(0.0)).collect();
    let jobs = (0..60).map(|i| (0.7 * f64::from(i), 0.3 + f64::from(i * 7 % 11), 1 + i as u32 % 3));
    let case = Case::grid(&grid).roof(&roof).gpus(6).from("2022-01-01T00:00:00Z", "3d");
    jobs.fold(case, |case, (submit_h, hours, gpus)| case.job(submit_h, hours, gpus))
        .rules("deadline_factor = 3.0\nwidths = [1, 2]")
}

#[test]
fn the_sum_over_jobs_is_the_sum_over_slots_under_every_policy() {
    let world = busy().world();
    for name in carm_sim::policy::names() {
        let run = under(&world, name);
        let slots = |of: fn(&carm_sim::account::SlotSum) -> f64| run.slots.iter().flatten().map(of).sum::<f64>();
        near(run.carbon_g(), slots(|slot| slot.carbon_g));
        near(run.energy_kwh(), slots(|slot| slot.grid_kwh + slot.onsite_kwh));
        assert!(run.records.iter().all(|record| record.end_h.is_finite()), "{name}: somebody never ended");
    }
}

#[test]
fn jobs_never_count_on_more_than_all_of_the_roof() {
    let world = busy().world();
    let place = &world.sites[0];
    for name in ["fcfs", "carm-performance", "wait-awhile"] {
        let run = under(&world, name);
        let mut used = 0.0;
        for (slot, sum) in run.slots[0].iter().enumerate().filter(|(slot, _)| place.slot_end(*slot).is_finite()) {
            let hours = place.slot_end(slot) - place.borders_h[slot];
            assert!(sum.onsite_kwh <= place.onsite_w[slot] * hours / 1000.0 + 1e-9, "{name}, slot {slot}");
            assert!(sum.busy_gpu_h <= 6.0 * hours + 1e-9, "{name}, slot {slot}: more GPUs than there are");
            used += sum.onsite_kwh;
        }
        assert!(used > 1.0, "{name}: the roof is used");
    }
}

#[test]
fn idle_gpus_leave_their_part_of_the_roof_to_the_others() {
    // 1200 W for 4 GPUs; one runs at 300 W, then two.
    let case = Case::grid(&[100.0; 48]).roof(&[450.0; 48]).job(0.0, 2.0, 1).job(1.0, 1.0, 1);
    let records = case.run("fcfs");
    near(records[0].onsite_kwh, 0.3 + 0.225);
    near(records[1].onsite_kwh, 0.225);
    near(records[0].carbon_g, 7.5);
}

#[test]
fn the_planner_reckons_a_run_the_same() {
    let world = busy().world();
    let mut no_roof = world.clone();
    no_roof.sites[0].truth.onsite_w = None;
    no_roof.sites[0].onsite_w.fill(0.0);
    for name in ["fcfs-static-clock", "renewable-clock", "carm-ppc", "wait-awhile"] {
        let run = under(&no_roof, name);
        for record in &run.records {
            let place = &no_roof.sites[0];
            let levels: Vec<Level> = place.levels[0].clone();
            let candidate = Candidate {
                slots: place.truth.slots(no_roof.start, place.truth.intensity.end(), 0.0),
                levels,
                workers: record.workers,
                work_h: 1.0,
                host_watts: 0.0,
                pue: 1.0,
                onsite_g_per_kwh: 0.0,
                start: Start::Fixed(0.0),
                max_run_h: None,
            };
            let problem = Problem {
                candidates: vec![candidate],
                objective: Objective::Ppc,
                deadline_h: None,
                budget_g: None,
                work_gpu_h: 1.0,
            };
            let segment = |s: &carm_sim::account::Stretch| Segment {
                from_h: s.from_h,
                to_h: s.to_h,
                level: s.level,
                power_w: 0.0,
                carbon_g: 0.0,
            };
            let segments: Vec<Segment> = record.stretches.iter().map(segment).collect();
            let plan = carm::plan::evaluate(&problem, 0, &segments).expect("a run");
            near(record.carbon_g, plan.carbon_g);
            near(record.grid_kwh, plan.energy_kwh);
        }
    }
}

#[test]
fn a_facilitys_figures_have_pue_and_hosts_in_them() {
    let mut world = Case::grid(&[100.0; 48]).job(0.0, 1.0, 2).world();
    (world.sites[0].site.pue, world.sites[0].site.host_watts) = (1.5, 100.0);
    near(under(&world, "fcfs").records[0].grid_kwh, 1.5 * 2.0 * 0.4);
}

#[test]
fn a_job_is_late_by_its_clock_where_full_clock_would_have_been_in_time() {
    // 2 h by a deadline after 2.4 h, two in a row on all GPUs: at 1500 MHz they take 2.5 h, so one is late by its clock, the other had no chance.
    let case = Case::grid(&[200.0; 48]).rules("deadline_factor = 1.2\nlimit_factor = 2.0").job(0.0, 2.0, 4).job(0.0, 2.0, 4);
    let world = case.world();
    let late = |policy: &str| {
        let outcome = Outcome::of(&under(&world, policy), &world);
        (outcome.late.len(), outcome.late_by_clock)
    };
    assert_eq!(late("fcfs-static-clock"), (2, 1));
    assert_eq!(late("fcfs"), (1, 0));
    assert_eq!(late("carm-performance"), (1, 0), "its clocks cost nobody a deadline");
}

#[test]
fn whatever_chance_brings_nobody_is_lost_and_nothing_is_counted_twice() {
    let text = "[time]\nstart = \"2022-03-01T00:00:00Z\"\nlength = \"3d\"\n[forecast]\nkind = \"noisy\"\nerror = 0.3\n\
        [[zone]]\nname = \"a\"\nmade_up = \"sunny\"\n[[zone]]\nname = \"b\"\nmade_up = \"windy\"\n\
        [[site]]\nname = \"a\"\nzone = \"a\"\ngpus = 24\nonsite_made_up = true\nonsite_peak = 1.0\n\
        [[site]]\nname = \"b\"\nzone = \"b\"\ngpus = 16\nmax_time = \"30h\"\n\
        [jobs]\nsource = \"made-up\"\nper_hour = 6\nlimit_like_users = true\nruntime_error = 0.5\ndeadline_slack = \"8h\"\nbudget_factor = 0.8\n\
        [[service]]\nname = \"chat\"\nsite = \"a\"\ngpus = 4\nlatency = \"60ms\"\nfull_clock_latency = \"20ms\"\nrate_per_s = 40\nswing = 0.5\n";
    for seed in 1..4 {
        let text = format!("seed = {seed}\n{text}");
        let (scenario, _) = carm_sim::scenario::Scenario::parse(&text, std::path::Path::new("s.toml"), None).expect("a scenario");
        let world = carm_sim::world::Source::read(&scenario).expect("made up").world(0).expect("an episode");
        for name in carm_sim::policy::names() {
            let run = under(&world, name);
            for record in &run.records {
                let job = &world.jobs[record.job];
                assert!(record.start_h >= job.submit_h && record.end_h >= record.start_h, "{name}, seed {seed}: {record:?}");
                let place = &world.sites[record.site];
                let done = |s: &carm_sim::account::Stretch| {
                    (s.to_h - s.from_h) * place.work_per_h(job.workload, s.level, s.workers, job.gpus)
                };
                let done: f64 = record.stretches.iter().map(done).sum();
                assert!(
                    job.service.is_some() || record.killed || (done - job.work_h).abs() < 1e-6,
                    "{name}, seed {seed}: {record:?}"
                );
                assert!(record.ran_h <= record.limit_h + 1e-6, "{name}, seed {seed}: {record:?}");
            }
            let sums = run.slots.iter().flatten().fold((0.0, 0.0), |sum, slot| (sum.0 + slot.carbon_g, sum.1 + slot.busy_gpu_h));
            near(run.carbon_g(), sums.0);
            let stretches = run.records.iter().flat_map(|record| &record.stretches);
            near(stretches.map(|s| f64::from(s.workers) * (s.to_h - s.from_h)).sum(), sums.1);
            for (place, slots) in world.sites.iter().zip(&run.slots) {
                for (slot, sum) in slots.iter().enumerate().filter(|(slot, _)| place.slot_end(*slot).is_finite()) {
                    let hours = place.slot_end(slot) - place.borders_h[slot];
                    assert!(sum.busy_gpu_h <= f64::from(place.site.gpus) * hours + 1e-9, "{name}, seed {seed}, slot {slot}");
                    assert!(sum.onsite_kwh * 1000.0 <= place.onsite_w[slot] * hours + 1e-6, "{name}, seed {seed}, slot {slot}");
                }
            }
        }
    }
}
