//! CARM in the simulator: the product's planner and governor, lever by lever.

use super::setup::{Case, clocks, near, under};

/// 400 g but for a clean valley of three hours from hour 6 on.
fn valley() -> Case {
    let mut grid = vec![400.0; 72];
    grid[6..9].fill(100.0);
    Case::grid(&grid)
}

#[test]
fn performance_defers_into_the_valley_and_slows_down_there() {
    let case = valley().rules("deadline_factor = 5.0\nlimit_factor = 1.0").job(0.0, 2.0, 1);
    let world = case.world();
    let record = &under(&world, "carm-performance").records[0];
    // 2 h of work at 1500 MHz are 2.5 h: they fit the valley.
    assert_eq!(clocks(&world, record), [(record.start_h, record.end_h, 1500)]);
    assert!(record.start_h >= 6.0 && record.end_h <= 9.0, "{record:?}");
    near(record.carbon_g, 0.18 * 2.5 * 100.0);
    // 2 h x 1.25 and a margin of 3 %, in whole minutes.
    near(record.limit_h, (2.0 * 1.25 * 60.0 + 3.6_f64).ceil() / 60.0);
}

#[test]
fn each_lever_alone_does_its_own_and_nothing_else() {
    let case = valley().rules("deadline_factor = 5.0\nwidths = [0.5, 1, 2]").job(0.0, 2.0, 2);
    let mut world = case.world();
    // A second site, clean throughout.
    let mut clean = world.sites[0].clone();
    clean.site.name = "t".to_owned();
    clean.truth.intensity = clean.truth.intensity.map(|_| 50.0);
    clean.g_per_kwh.fill(50.0);
    world.sites.push(clean);
    let of = |name: &str| {
        let record = under(&world, name).records.remove(0);
        let mhz: Vec<u32> = clocks(&world, &record).iter().map(|clock| clock.2).collect();
        (record.site, record.start_h, record.workers, mhz)
    };
    let (site, start_h, workers, mhz) = of("carm-performance-deferral");
    assert_eq!((site, workers, mhz), (0, 2, vec![2000]));
    assert!((6.0..=7.0).contains(&start_h), "{start_h}");
    assert_eq!(of("carm-performance-clocks"), (0, 0.0, 2, vec![1500]));
    assert_eq!(of("carm-performance-placement"), (1, 0.0, 2, vec![2000]));
    // One worker needs 1.8 x 2 h for the work of two: less energy.
    assert_eq!(of("carm-performance-width"), (0, 0.0, 1, vec![2000]));
    let (site, _, workers, mhz) = of("carm-performance");
    assert_eq!((site, workers, mhz), (1, 1, vec![1500]));
}

#[test]
fn a_governed_job_follows_the_sun() {
    // 12 h of work, a day of time: the roof gives 180 W from hour 8 to 16, nothing else.
    let mut roof = vec![0.0; 72];
    roof[8..16].fill(720.0);
    let case = Case::grid(&[400.0; 72])
        .roof(&roof)
        .rules("deadline_factor = 1.8\nlimit_factor = 2.0\nmax_delay = \"0s\"")
        .job(0.0, 12.0, 4);
    let world = case.world();
    let record = &under(&world, "carm-performance").records[0];
    assert!(!record.late && record.clock_changes >= 1, "{record:?}");
    let fcfs = &under(&world, "fcfs-static-clock").records[0];
    assert!(record.carbon_g < fcfs.carbon_g, "{} {}", record.carbon_g, fcfs.carbon_g);
}

#[test]
fn where_there_is_room_no_deadline_is_missed_and_nobody_is_killed() {
    let grid: Vec<f64> =
        (0..240).map(|hour| 250.0 + 150.0 * (f64::from(hour) * 0.26).sin() + f64::from(hour * 37 % 60)).collect();
    let jobs = (0..80).map(|i| (1.1 * f64::from(i), 0.2 + f64::from(i * 5 % 13), 1 + i as u32 % 4));
    for factor in ["1.0", "1.05", "1.5", "3.0"] {
        let rules = format!("deadline_factor = {factor}\nlimit_factor = 1.0\nbudget_factor = 0.7");
        let case = Case::grid(&grid).gpus(400).from("2022-01-01T00:00:00Z", "7d").rules(&rules);
        let world = jobs.clone().fold(case, |case, (submit_h, hours, gpus)| case.job(submit_h, hours, gpus)).world();
        for name in carm_sim::policy::names() {
            let run = under(&world, name);
            let lost = run.records.iter().filter(|record| record.killed).count();
            assert_eq!(lost, 0, "{name}, deadline {factor}: killed");
            let late = run.records.iter().filter(|record| record.late).count();
            // These two do not look at deadlines at all.
            if !["fcfs-static-clock", "renewable-clock"].contains(&name) {
                assert_eq!(late, 0, "{name}, deadline {factor}: late");
            }
        }
    }
}

#[test]
fn a_budget_is_kept_where_it_can_be() {
    let case = valley().rules("budget_factor = 0.5\nlimit_factor = 3.0").job(0.0, 2.0, 1);
    let world = case.world();
    let budget_g = world.jobs[0].budget_g.unwrap();
    let record = &under(&world, "carm-carbon").records[0];
    assert!(record.carbon_g <= budget_g, "{} of {budget_g}", record.carbon_g);
    assert!(under(&world, "fcfs").records[0].carbon_g > budget_g);
}

#[test]
fn a_service_runs_at_a_clock_that_answers_in_time() {
    // 20, 25, 40 ms by the clock; at 10 requests a second a mean answer takes 22.5, 29.2 and 53.3 ms (M/D/1).
    let service = |latency: &str| {
        let text = format!(
            "[[service]]\nname = \"chat\"\nsite = \"s\"\ngpus = 1\nlatency = \"{latency}\"\nrate_per_s = 10\nlength = \"24h\""
        );
        let world = Case::grid(&[400.0; 72]).from("2022-01-01T00:00:00Z", "1d").more(&text).world();
        let of = |name: &str| {
            let record = under(&world, name).records.remove(0);
            assert_eq!(record.end_h, 24.0);
            (clocks(&world, &record)[0].2, record.latency_miss_h)
        };
        (of("fcfs"), of("fcfs-static-clock"), of("carm-performance"))
    };
    assert_eq!(service("30ms"), ((2000, 0.0), (1500, 0.0), (1500, 0.0)));
    assert_eq!(service("28ms"), ((2000, 0.0), (2000, 0.0), (2000, 0.0)));
    assert_eq!(service("60ms"), ((2000, 0.0), (1000, 0.0), (1000, 0.0)));
    assert_eq!(service("21ms").0, (2000, 24.0), "no clock answers in time: every hour is missed");
}

#[test]
fn a_service_that_no_site_has_room_for_waits_before_training_jobs() {
    let text = "[[service]]\nname = \"chat\"\nsite = \"s\"\ngpus = 4\nlatency = \"60ms\"\nrate_per_s = 1\nlength = \"12h\"";
    let world = Case::grid(&[400.0; 72]).from("2022-01-01T00:00:00Z", "1d").job(1.0, 2.0, 1).more(text).world();
    let run = under(&world, "fcfs");
    let start = |name: &str| run.records.iter().find(|record| world.jobs[record.job].name == name).unwrap().start_h;
    assert_eq!((start("chat-1"), start("chat-2"), start("pai-1")), (0.0, 12.0, 24.0));
}

#[test]
fn jobs_are_not_all_put_off_to_the_same_hour() {
    let case = valley().rules("deadline_factor = 20.0\nlimit_factor = 1.0").job(0.0, 1.0, 4).job(0.1, 1.0, 4);
    let records = case.run("carm-performance");
    assert!(records[0].start_h >= 6.0 && records[1].end_h <= 9.0, "both fit the valley: {records:?}");
    assert!(
        records[1].start_h >= records[0].end_h && records[1].start_h == records[1].eligible_h,
        "and neither waits: {records:?}"
    );
}
