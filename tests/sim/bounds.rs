//! No policy emits less than what was possible.

use carm_sim::bound;

use super::setup::{Case, near, under};

#[test]
fn a_jobs_limit_is_the_cheapest_work_of_all_slots_until_its_deadline() {
    // 2 h of work by hour 4; hours of 100, 300, 100, 300 g. At 1500 MHz an hour does 0.8 for 180 W, at 2000 the other 0.2 for 120 W more.
    let case = Case::grid(&[100.0, 300.0, 100.0, 300.0, 1.0]).rules("deadline_factor = 2.0").job(0.0, 2.0, 1);
    // 1.6 h from the two clean hours at 1500 (18 g each), then 0.4 h from their faster parts (600 W an hour of work x 100 g = 60) or dirty
    // hours at 1500 (225 x 300 = 67.5): the former.
    near(bound::per_job_g(&case.world()), 2.0 * 18.0 + 0.4 * 60.0);
}

#[test]
fn nobody_who_keeps_the_deadlines_emits_less_than_the_jobs_limits() {
    let grid: Vec<f64> = (0..96).map(|hour| 250.0 + 150.0 * (f64::from(hour) * 0.26).sin()).collect();
    let roof: Vec<f64> = (0..96).map(|hour| (900.0 * (f64::from(hour % 24 - 6) * 0.26).sin()).max(0.0)).collect();
    let jobs = (0..30).map(|i| (0.9 * f64::from(i), 0.3 + f64::from(i * 7 % 11), 1 + i as u32 % 2));
    let case = Case::grid(&grid).roof(&roof).gpus(60).rules("deadline_factor = 3.0\nwidths = [1, 2]");
    let world = jobs.fold(case, |case, (submit_h, hours, gpus)| case.job(submit_h, hours, gpus)).world();
    let limits: Vec<f64> = world.jobs.iter().map(|job| bound::job_g(&world, job)).collect();
    for name in carm_sim::policy::names() {
        for record in under(&world, name).records.iter().filter(|record| !record.late) {
            let limit_g = limits[record.job];
            assert!(record.carbon_g >= limit_g * (1.0 - 1e-9), "{name}, job {}: {} < {limit_g}", record.job, record.carbon_g);
        }
    }
}
