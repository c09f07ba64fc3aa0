//! Locks, limits and modes: what they do to a card, how long they last, and who may set them.

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id;

use super::bench::*;

#[test]
fn an_idle_card_rests_and_a_busy_one_follows_its_lock() {
    let bench = anyone();
    let nvml = bench.nvml();
    let watch = || {
        let card = gpu(&nvml, 0);
        let instant = card.field_values_for(&[FieldId(field_id::NVML_FI_DEV_POWER_INSTANT)]).unwrap().remove(0).unwrap().value;
        let Ok(SampleValue::U32(instant)) = instant else { panic!("{instant:?}") };
        assert_eq!(instant, card.power_usage().unwrap());
        (card.clock_info(Clock::SM).unwrap(), instant, card.utilization_rates().unwrap().gpu > 0)
    };
    assert_eq!(watch(), (200, 20_000, false));
    assert_eq!(gpu(&nvml, 0).current_throttle_reasons().unwrap(), ThrottleReasons::GPU_IDLE);
    let busy = bench.busy("0");
    assert_eq!(watch(), (2000, 300_000, true));
    lock(&nvml, 0, 200, 1500).unwrap();
    assert_eq!(watch(), (1500, 200_000, true));
    lock(&nvml, 0, 200, 609).unwrap(); // snapped down to the grid
    assert_eq!(watch(), (600, 80_000, true));
    assert!(gpu(&nvml, 0).memory_info().unwrap().used > 0);
    assert!(gpu(&nvml, 0).temperature(TemperatureSensor::Gpu).unwrap() > 30);
    assert_eq!(sm_clock(&nvml, 1), 200, "the other card has nothing to do with it");
    drop(busy);
    assert_eq!(watch(), (200, 20_000, false));
    lock(&nvml, 0, 600, 600).unwrap(); // equal bounds keep the card awake
    assert_eq!(watch(), (600, 40_000, false));
    gpu(&nvml, 0).reset_gpu_locked_clocks().unwrap();
    assert_eq!(watch(), (200, 20_000, false));
}

#[test]
fn a_lock_outlives_the_process_that_set_it() {
    played_child();
    let bench = anyone();
    answers(&mut bench.child("clocks::a_lock_outlives_the_process_that_set_it", "lock"));
    let nvml = bench.nvml();
    let _busy = bench.busy("0");
    assert_eq!(sm_clock(&nvml, 0), 1000);
}

#[test]
fn with_persistence_off_settings_go_with_the_last_client() {
    played_child();
    let bench = Bench::two("anyone_may_set = true", "persistence = false");
    let this = "clocks::with_persistence_off_settings_go_with_the_last_client";
    let first = bench.nvml();
    lock(&first, 1, 200, 1000).unwrap();
    gpu(&first, 1).set_power_management_limit(150_000).unwrap();
    lock(&first, 0, 200, 1000).unwrap();
    answers(&mut bench.child(this, "power")); // another client comes and goes
    let busy = bench.busy("0,1");
    assert_eq!((sm_clock(&first, 0), sm_clock(&first, 1)), (1000, 1000));
    let before_j = energy(&first, 1).1;
    drop(first);
    let kept = sm_clock(&bench.nvml(), 1);
    assert_eq!(kept, 1000, "a load holds the driver as well");
    drop(busy);
    let second = bench.nvml();
    assert!(energy(&second, 1).1 < before_j, "the counter begins anew when the driver loads the card");
    assert_eq!(gpu(&second, 1).power_management_limit().unwrap(), 320_000);
    let _busy = bench.busy("0,1");
    assert_eq!((sm_clock(&second, 0), sm_clock(&second, 1)), (1000, 2000), "card 0 has persistence mode on");
}

#[test]
fn persistence_mode_can_be_switched_and_keeps_settings() {
    let bench = Bench::two("anyone_may_set = true", "persistence = false");
    let nvml = bench.nvml();
    assert!(!gpu(&nvml, 1).is_in_persistent_mode().unwrap());
    gpu(&nvml, 1).set_persistent(true).unwrap();
    lock(&nvml, 1, 1000, 1000).unwrap();
    drop(nvml);
    assert_eq!(sm_clock(&bench.nvml(), 1), 1000);
    gpu(&bench.nvml(), 1).set_persistent(false).unwrap();
    assert_eq!(sm_clock(&bench.nvml(), 1), 200);
}

#[test]
fn bounds_that_cross_or_mix_symbols_are_refused() {
    use nvml_wrapper::enums::device::GpuLockedClocksSetting::Symbolic;
    let bench = anyone();
    let nvml = bench.nvml();
    assert!(matches!(lock(&nvml, 0, 1500, 1000), Err(NvmlError::InvalidArg)));
    assert!(matches!(lock(&nvml, 0, 200, 0xFFFF_FF01), Err(NvmlError::InvalidArg)));
    let limits = gpu(&nvml, 0).power_management_limit_constraints().unwrap();
    assert_eq!((limits.min_limit, limits.max_limit), (100_000, 320_000));
    assert!(matches!(gpu(&nvml, 0).set_power_management_limit(99_999), Err(NvmlError::InvalidArg)));
    assert_eq!(sm_clock(&nvml, 0), 200, "a refused request leaves no trace");
    lock(&nvml, 0, 0, 9999).unwrap(); // beyond the grid: clamped
    assert_eq!(sm_clock(&nvml, 0), 200);
    let unlimited = nvml_wrapper::enum_wrappers::device::ClockLimitId::Unlimited;
    let both = Symbolic { lower_bound: unlimited, upper_bound: unlimited };
    gpu(&nvml, 0).set_gpu_locked_clocks(both).unwrap();
    assert_eq!(sm_clock(&nvml, 0), 2000);
}

#[test]
fn a_power_limit_slows_a_busy_card_and_says_so() {
    let bench = anyone();
    let nvml = bench.nvml();
    let _busy = bench.busy("0");
    assert_eq!(gpu(&nvml, 0).enforced_power_limit().unwrap(), 320_000);
    gpu(&nvml, 0).set_power_management_limit(200_000).unwrap();
    assert_eq!((sm_clock(&nvml, 0), gpu(&nvml, 0).power_usage().unwrap()), (1500, 200_000));
    assert_eq!(gpu(&nvml, 0).current_throttle_reasons().unwrap(), ThrottleReasons::SW_POWER_CAP);
}

#[test]
fn only_root_may_set_and_everyone_may_read() {
    played_child();
    if !is_root() {
        return;
    }
    let bench = Bench::two("", "");
    lock(&bench.nvml(), 0, 200, 1000).unwrap();
    let said = answers(&mut bench.child("clocks::only_root_may_set_and_everyone_may_read", "as nobody"));
    assert_eq!(said, ["Err(NoPermission)", "Err(NoPermission)", "Err(NoPermission)", "Err(NoPermission)", "Ok(20000)"]);
    assert!(bench.file("calls.log").contains(",nvmlDeviceResetGpuLockedClocks(gpu=0),4\n"));
}

#[test]
fn two_processes_share_one_truth() {
    played_child();
    let bench = anyone();
    let nvml = bench.nvml();
    let _busy = bench.busy("0");
    let this = "clocks::two_processes_share_one_truth";
    assert_eq!(answers(&mut bench.child(this, "power")), ["Ok(300000)"]);
    lock(&nvml, 0, 200, 1000).unwrap();
    assert_eq!(answers(&mut bench.child(this, "power")), ["Ok(100000)"]);
    // Eight processes at once, each with a dozen looks: none fails, none is lost.
    let lockers: Vec<_> = (0..8).map(|_| bench.child(this, "lock").spawn().unwrap()).collect();
    for locker in lockers {
        assert!(locker.wait_with_output().unwrap().status.success());
    }
    let locks = bench.file("calls.log").lines().filter(|line| line.contains("SetGpuLocked")).count();
    assert_eq!(locks, 9);
}

#[test]
fn a_torn_write_leaves_the_state_before_it() {
    use std::os::unix::fs::FileExt;
    let bench = anyone();
    lock(&bench.nvml(), 0, 500, 1000).unwrap();
    let state = std::fs::OpenOptions::new().read(true).write(true).open(bench.dir.path().join("gpus.state")).unwrap();
    // Each copy in turn is spoilt in the middle, as by a kill during its write; the other one still tells.
    for slot in [0, 64 * 1024] {
        let mut kept = [0; 8];
        state.read_exact_at(&mut kept, slot + 100).unwrap();
        state.write_all_at(b"\0\0\0\0\0\0\0\0", slot + 100).unwrap();
        assert_eq!(sm_clock(&bench.nvml(), 0), 500);
    }
}
