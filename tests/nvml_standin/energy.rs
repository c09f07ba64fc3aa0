//! The energy counter against an integration of the power log that is done in the test.

use std::time::Duration;

use super::bench::*;

#[test]
fn the_energy_counter_is_the_integral_of_the_power_log() {
    let bench = anyone();
    let nvml = bench.nvml();
    let busy = bench.busy("0,1");
    let mut last = [0.0; 2];
    for max_mhz in [2000, 1000, 1500, 300] {
        lock(&nvml, 0, 200, max_mhz).unwrap();
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(20));
            for index in [0, 1] {
                let (time, counted_j) = energy(&nvml, index as u32);
                let own_j = bench.joules(index, time);
                assert!((counted_j - own_j).abs() <= 1e-3 * own_j + 1e-3, "{counted_j} J, integrated {own_j} J");
                assert!(counted_j > last[index], "the counter stood still or fell");
                last[index] = counted_j;
            }
        }
    }
    drop(busy);
    let (time, counted_j) = energy(&nvml, 0);
    assert!((counted_j - bench.joules(0, time)).abs() <= 2e-3);
    assert!(counted_j >= last[0]);
    let now_j = gpu(&nvml, 0).total_energy_consumption().unwrap() as f64 / 1e3;
    assert!((counted_j..counted_j + 20.0).contains(&now_j)); // a second at idle, at most
}

#[test]
fn a_killed_load_stops_drawing_power_when_it_dies_not_when_found() {
    let bench = anyone();
    let mut busy = bench.busy("0");
    let killed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    busy.0.kill().unwrap();
    busy.0.wait().unwrap();
    std::thread::sleep(Duration::from_millis(1200)); // nobody looks
    let nvml = bench.nvml();
    assert_eq!(gpu(&nvml, 0).power_usage().unwrap(), 20_000);
    assert!(gpu(&nvml, 0).running_compute_processes().unwrap().is_empty());
    let log = bench.file("power.csv");
    let fall: f64 = log.lines().last().unwrap().split(',').next().unwrap().parse().unwrap();
    assert!((fall - killed).abs() < 0.5, "power falls at {fall}, killed at {killed}");
    let (time, counted_j) = energy(&nvml, 0);
    assert!((counted_j - bench.joules(0, time)).abs() <= 2e-3);
}
