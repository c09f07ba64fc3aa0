//! Slurm-like scheduling: order, backfill, time limits.

use super::setup::{Case, near};

fn flat() -> Case {
    Case::grid(&[100.0; 48])
}

fn starts(case: &Case) -> Vec<f64> {
    case.run("fcfs").iter().map(|record| record.start_h).collect()
}

#[test]
fn jobs_start_in_order_as_room_comes() {
    let case = flat().gpus(2).rules("limit_factor = 1.0").job(0.0, 2.0, 2).job(0.5, 1.0, 1).job(0.6, 1.0, 1).job(0.7, 1.0, 2);
    assert_eq!(starts(&case), [0.0, 2.0, 2.0, 3.0]);
}

#[test]
fn a_short_job_passes_one_that_waits_but_a_long_one_does_not() {
    // 3 of 4 GPUs until 4. The wide job waits until then; beside it a job of 2 h fits, one of 5 h would hold it up.
    let wide = flat().rules("limit_factor = 1.0").job(0.0, 4.0, 3).job(1.0, 1.0, 4);
    assert_eq!(starts(&wide.clone().job(1.5, 2.0, 1)), [0.0, 4.0, 1.5]);
    assert_eq!(starts(&wide.job(1.5, 5.0, 1)), [0.0, 4.0, 5.0]);
}

#[test]
fn a_long_job_passes_where_the_one_that_waits_leaves_gpus_over() {
    // The job that waits takes 2 of the 4 GPUs that are free at 4: one that needs 1 holds nobody up.
    let case = flat().rules("limit_factor = 1.0").job(0.0, 4.0, 3).job(1.0, 1.0, 2).job(1.5, 9.0, 1);
    assert_eq!(starts(&case), [0.0, 4.0, 1.5]);
}

#[test]
fn backfill_goes_by_limits_and_not_by_what_nobody_knows() {
    // Both jobs say 1.5 times their run time: the short one's limit of 3 h no longer fits before 4.
    let case = flat().rules("limit_factor = 1.5").job(0.0, 4.0, 3).job(1.0, 1.0, 4).job(3.5, 2.0, 1);
    // By its limit the first ends at 6: one of 3 h from 3.5 does not fit. It really ends at 4.
    assert_eq!(starts(&case), [0.0, 4.0, 5.0]);
}

/// As [`flat`], under Slurm's own backfill; the site's GPUs are of nodes of so many.
fn slurm(per_node: u32) -> Case {
    let tables = format!("gpus_per_node = {per_node}\n[scheduler]\nbackfill = \"slurm\"");
    flat().site(&tables).rules("limit_factor = 1.0")
}

#[test]
fn slurm_keeps_whole_nodes_for_a_job_that_waits() {
    // As above: 2 of the 4 GPUs that are free at 4 are left over, but on one node they are nobody's before.
    let jobs = |case: Case| starts(&case.job(0.0, 4.0, 3).job(1.0, 1.0, 2).job(1.5, 9.0, 1));
    assert_eq!(jobs(slurm(4)), [0.0, 4.0, 4.0]);
    assert_eq!(jobs(slurm(1)), [0.0, 4.0, 1.5]);
    // What ends before is let pass.
    assert_eq!(starts(&slurm(4).job(0.0, 4.0, 3).job(1.0, 1.0, 2).job(1.5, 2.5, 1)), [0.0, 4.0, 1.5]);
}

#[test]
fn slurm_holds_up_nobody_before_and_easy_the_first_alone() {
    // One GPU until 4, one until 2, two free. The third waits for 4 GPUs until 4, and the fourth for 3 until 2: it would be over at 3, before
    // the third begins. One of 2 h at 1 would hold up the fourth, not the third.
    let jobs = |case: Case| {
        let running = case.job(0.0, 4.0, 1).job(0.0, 2.0, 1);
        starts(&running.job(0.5, 1.0, 4).job(0.6, 1.0, 3).job(1.0, 2.0, 2))
    };
    assert_eq!(jobs(slurm(1)), [0.0, 0.0, 4.0, 2.0, 5.0]);
    assert_eq!(jobs(flat().rules("limit_factor = 1.0")), [0.0, 0.0, 4.0, 3.0, 1.0]);
}

#[test]
fn a_time_limit_ends_a_job() {
    let case = flat().rules("limit_factor = 0.5\ndeadline_factor = 2.0").job(0.0, 2.0, 1);
    let record = &case.run("fcfs")[0];
    assert!(record.killed && record.late);
    near(record.end_h, 1.0);
    near(record.carbon_g, 30.0);
}

#[test]
fn a_job_for_which_no_site_is_large_enough_is_left_out() {
    let world = flat().job(0.0, 1.0, 5).job(0.0, 1.0, 4).world();
    assert_eq!((world.jobs.len(), world.dropped), (1, 1));
}

#[test]
fn sites_get_the_gpus_that_a_load_wants() {
    // 96 GPU-h in 48 h are 2 GPUs in the mean.
    let world = flat().rules("capacity = 1.5").job(0.0, 48.0, 2).world();
    assert_eq!(world.sites[0].site.gpus, 3);
}
