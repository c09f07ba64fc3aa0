//! What each baseline does, on cases that one can work out by hand.

use super::setup::{Case, clocks, near, under};

/// Dirty for four hours, clean for two, middling for the rest of two days.
fn valley() -> Case {
    let mut grid = vec![200.0; 48];
    grid[..4].fill(400.0);
    grid[4..6].fill(100.0);
    Case::grid(&grid)
}

#[test]
fn first_come_first_served_runs_at_once_at_full_clock() {
    let record = &valley().job(0.5, 2.0, 2).run("fcfs")[0];
    assert_eq!((record.start_h, record.end_h), (0.5, 2.5));
    near(record.grid_kwh, 1.2); // 2 x 300 W x 2 h
    near(record.carbon_g, 480.0);
}

#[test]
fn the_static_clock_is_the_one_of_least_energy_and_its_limit_grows() {
    let case = valley().rules("limit_factor = 1.0").job(0.0, 2.0, 1);
    let world = case.world();
    let record = &under(&world, "fcfs-static-clock").records[0];
    assert_eq!(clocks(&world, record), [(0.0, 2.5, 1500)]);
    near(record.grid_kwh, 0.45);
    near(record.limit_h, 2.5);
    assert!(!record.killed);
}

#[test]
fn the_static_clock_minds_the_hosts_power() {
    // With 300 W of host power: 2000 MHz 600, 1500 MHz 600 (slower), 1000 MHz 900 W an hour of work.
    let world = valley().job(0.0, 2.0, 1).world();
    let mut world = world;
    world.sites[0].site.host_watts = 301.0;
    assert_eq!(clocks(&world, &under(&world, "fcfs-static-clock").records[0]), [(0.0, 2.0, 2000)]);
}

#[test]
fn overnight_begins_at_22_unless_that_is_too_late() {
    let case = |rules: &str| valley().rules(rules).job(9.0, 2.0, 1).job(23.0, 2.0, 1).run("overnight");
    let records = case("");
    assert_eq!((records[0].start_h, records[1].start_h), (22.0, 23.0));
    assert_eq!(case("max_delay = \"12h\"")[0].start_h, 9.0);
    assert_eq!(case("deadline_factor = 7.0")[0].start_h, 9.0); // 22 + 2 > 9 + 14
    let east = valley().more("[vary]\nzones = [\"east\"]\n[[zone]]\nname = \"east\"\npath = \"grid.csv\"\nutc_offset_hours = 3");
    assert_eq!(east.job(9.0, 2.0, 1).run("overnight")[0].start_h, 19.0);
}

#[test]
fn eco_windows_are_weekday_nights_and_weekend_noons_off_the_peak() {
    // 2022-01-01 is a Saturday: 0-7 and 11-16.
    let at = |submit_h: f64, hours: f64| valley().job(submit_h, hours, 1).run("eco-windows")[0].start_h;
    assert_eq!(at(1.0, 2.0), 1.0, "in a window, and it fits");
    assert_eq!(at(8.0, 2.0), 11.0, "the noon window");
    assert_eq!(at(8.0, 6.0), 24.0, "six hours fit Sunday's night alone");
    assert_eq!(at(14.0, 8.0), 24.0, "none fits: the first that keeps off the peak");
    assert_eq!(at(14.0, 30.0), 14.0, "all run into the peak: the first");
    assert_eq!(valley().rules("max_delay = \"1h\"").job(8.0, 2.0, 1).run("eco-windows")[0].start_h, 8.0, "it may not wait");
}

#[test]
fn the_lowest_slot_looks_at_the_start_alone_and_the_lowest_window_at_the_whole_run() {
    // 50 g at hour 2 amid 900, and 100 g from hour 6 to 10.
    let mut grid = vec![300.0; 48];
    grid[1..4].fill(900.0);
    grid[2] = 50.0;
    grid[6..10].fill(100.0);
    let case = Case::grid(&grid).job(0.0, 3.0, 1);
    assert_eq!(case.run("lowest-slot")[0].start_h, 2.0);
    assert_eq!(case.run("lowest-window")[0].start_h, 6.0);
    let bound = case.rules("max_delay = \"5h\"");
    assert_eq!(bound.run("lowest-window")[0].start_h, 5.0, "300 + 100 + 100 g, within five hours");
}

#[test]
fn a_window_may_begin_so_that_it_ends_on_a_border() {
    let mut grid = vec![300.0; 48];
    (grid[4], grid[5]) = (200.0, 100.0);
    assert_eq!(Case::grid(&grid).job(0.0, 1.5, 1).run("lowest-window")[0].start_h, 4.5);
}

#[test]
fn carbon_time_takes_the_nearer_of_two_savings() {
    // A run of 1 h; 300 g now. At 2: saves 150 of 300, in 3 h. At 20: saves 250, in 21 h.
    let mut grid = vec![300.0; 48];
    (grid[2], grid[20]) = (150.0, 50.0);
    let case = Case::grid(&grid).job(0.0, 1.0, 1);
    assert_eq!((case.run("carbon-time")[0].start_h, case.run("lowest-window")[0].start_h), (2.0, 20.0));
}

#[test]
fn carbon_time_reckons_with_the_mean_of_its_queue() {
    // Jobs of 1 h and 0.5 h make a mean of 0.75 h for the second. Hours 3 and 4: 100 and 500. Half an hour would fit hour 3 from 3.0 or 3.5;
    // three quarters fit from 3.0 alone.
    let mut grid = vec![400.0; 48];
    (grid[3], grid[4]) = (100.0, 500.0);
    let records = Case::grid(&grid).gpus(8).job(0.0, 1.0, 1).job(0.0, 0.5, 1).run("carbon-time");
    near(records[1].start_h, 3.0);
}

#[test]
fn wait_awhile_runs_in_the_cleanest_slots_and_pauses_in_between() {
    let mut grid = vec![300.0; 48];
    (grid[2], grid[5], grid[8]) = (100.0, 120.0, 110.0);
    let case = Case::grid(&grid).rules("max_delay = \"10h\"").job(0.0, 2.5, 1);
    let world = case.world();
    let record = &under(&world, "wait-awhile").records[0];
    assert_eq!(clocks(&world, record), [(2.0, 3.0, 2000), (5.0, 5.5, 2000), (8.0, 9.0, 2000)]);
    assert_eq!((record.pauses, record.start_h, record.end_h), (2, 2.0, 9.0));
    near(record.carbon_g, 0.3 * (100.0 + 60.0 + 110.0));
}

#[test]
fn below_the_threshold_a_job_runs_above_it_pauses_and_out_of_patience_it_runs_on() {
    // 8 of 24 hours at 100: the 30th percentile of the day is 100 for as long as 7.2 h of them are ahead.
    let mut grid = vec![300.0; 72];
    grid[2..4].fill(100.0);
    grid[10..16].fill(100.0);
    grid[24..40].fill(100.0);
    let case = Case::grid(&grid).rules("max_delay = \"9h\"").job(0.0, 4.0, 1);
    let world = case.world();
    let record = &under(&world, "threshold").records[0];
    // It runs at 2-4; has then waited 2 h; waits 7 h more until 11, and would be clean at 10 already.
    assert_eq!(clocks(&world, record), [(2.0, 4.0, 2000), (10.0, 12.0, 2000)]);
    let hasty = Case::grid(&grid).rules("max_delay = \"3h\"").job(0.0, 4.0, 1);
    let world = hasty.world();
    assert_eq!(clocks(&world, &under(&world, "threshold").records[0]), [(2.0, 4.0, 2000), (5.0, 7.0, 2000)]);
}

#[test]
fn carbon_scaler_runs_wide_in_clean_hours_and_not_at_all_in_dirty_ones() {
    // Own width 2 (1.0), 4 (3 / 1.8 of it), 1 (1 / 1.8). Clean hours 1 and 3.
    let mut grid = vec![900.0; 48];
    (grid[1], grid[3]) = (100.0, 100.0);
    let case = Case::grid(&grid).rules("widths = [0.5, 1, 2]\nmax_delay = \"8h\"").job(0.0, 3.0, 2);
    let world = case.world();
    let record = &under(&world, "carbon-scaler").records[0];
    // Two hours at 4 GPUs do 10/3: the second is cut where only the cheaper increments are needed.
    let wide: Vec<u32> = record.stretches.iter().map(|stretch| stretch.workers).collect();
    assert_eq!((record.start_h, wide[0], record.stretches[0].to_h), (1.0, 4, 2.0));
    let done: f64 = record
        .stretches
        .iter()
        .map(|s| {
            (s.to_h - s.from_h)
                * match s.workers {
                    4 => 3.0,
                    2 => 1.8,
                    _ => 1.0,
                }
                / 1.8
        })
        .sum();
    near(done, 3.0);
    assert!(record.stretches.iter().all(|s| s.from_h < 2.0 || s.from_h >= 3.0) && record.end_h <= 4.0, "{record:?}");
}

#[test]
fn the_naive_clock_follows_the_share_of_now() {
    // Shares 0, 0.5, 1: 1000, 1500, 2000 MHz.
    let mut share = vec![1.0; 48];
    (share[0], share[1]) = (0.0, 0.52);
    let case = valley().share(&share).rules("limit_factor = 1.0").job(0.0, 2.0, 1);
    let world = case.world();
    let record = &under(&world, "renewable-clock").records[0];
    assert_eq!(clocks(&world, record)[..2], [(0.0, 1.0, 1000), (1.0, 2.0, 1500)]);
    near(record.end_h, 2.7); // 0.5 + 0.8 + 0.7
    assert_eq!((record.clock_changes, record.killed), (2, false));
}

#[test]
fn where_there_is_a_roof_the_naive_clock_follows_that() {
    // 4 GPUs of 300 W: 1200 W are all, 600 W half.
    let case = valley().roof(&[600.0; 48]).job(0.0, 0.5, 1);
    let world = case.world();
    assert_eq!(clocks(&world, &under(&world, "renewable-clock").records[0])[0].2, 1500);
}
