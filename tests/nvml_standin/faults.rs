//! Faults on demand, and descriptions that cannot be used.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use nvml_wrapper::error::NvmlError;
use tempfile::TempDir;

use super::bench::*;

#[test]
fn a_fault_strikes_the_calls_it_names_and_no_others() {
    let fault = "[[fault]]\ngpu = 0\ncall = \"nvmlDeviceSetGpuLockedClocks\"\ncode = 4\nafter = 1\ntimes = 2";
    let bench = Bench::two("anyone_may_set = true", fault);
    let nvml = bench.nvml();
    lock(&nvml, 0, 200, 1000).unwrap();
    assert!(matches!(lock(&nvml, 0, 200, 900), Err(NvmlError::NoPermission)));
    lock(&nvml, 1, 200, 900).unwrap();
    assert!(matches!(lock(&nvml, 0, 200, 900), Err(NvmlError::NoPermission)));
    lock(&nvml, 0, 200, 800).unwrap();
    let calls = bench.file("calls.log");
    let codes: Vec<&str> = calls.lines().filter(|l| l.contains("Locked")).filter_map(|l| l.rsplit(',').next()).collect();
    assert_eq!(codes, ["0", "4", "0", "4", "0"]);
    assert!(calls.lines().next().unwrap().contains(&format!(",{},nvmlInit", std::process::id())));
}

#[test]
fn a_fault_can_keep_nvml_from_starting() {
    let bench = Bench::two("", "[[fault]]\ncall = \"nvmlInit\"\ncode = 18\ntimes = 1");
    assert!(matches!(bench.try_nvml(), Err(NvmlError::LibRmVersionMismatch)));
    assert_eq!(bench.nvml().device_count().unwrap(), 2);
    let code_of_tomorrow = Bench::two("", "[[fault]]\ncall = \"nvmlDeviceGetPowerUsage\"\ncode = 77");
    let answer = gpu(&code_of_tomorrow.nvml(), 0).power_usage();
    assert!(matches!(answer, Err(NvmlError::UnexpectedVariant(77))), "{answer:?}");
}

#[test]
fn a_slow_call_is_slow_and_a_stuck_one_stops_only_its_own_process() {
    let this = "faults::a_slow_call_is_slow_and_a_stuck_one_stops_only_its_own_process";
    played_child();
    let end = "[[fault]]\ngpu = 0\ncall = \"nvmlDeviceGetPowerUsage\"\nhang = true\ntimes = 1
        [[fault]]\ngpu = 1\ncall = \"nvmlDeviceGetUUID\"\nsleep_ms = 300";
    let bench = Bench::two("", end);
    let mut stuck = bench.child(this, "power").spawn().unwrap();
    wait_for("the call to be stuck", || bench.file("calls.log").contains("(stuck)"));
    // SAFETY: the child is ours and not waited for yet, so its pid is still its own.
    unsafe { libc::kill(stuck.id() as i32, libc::SIGTERM) };
    let nvml = bench.nvml();
    assert_eq!(gpu(&nvml, 0).power_usage().unwrap(), 20_000, "the first call was the stuck one");
    let begun = Instant::now();
    assert_eq!(gpu(&nvml, 1).uuid().unwrap(), "GPU-bbbb");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    stuck.kill().unwrap();
    assert_eq!(stuck.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_lost_card_answers_nothing_and_the_others_go_on() {
    let bench = anyone();
    let nvml = bench.nvml();
    let uuid = gpu(&nvml, 0).uuid().unwrap();
    let lost = format!("anyone_may_set = true\n{TWO}\n[[fault]]\ngpu = 0\ncode = 15");
    std::fs::write(bench.dir.path().join("gpus.toml"), lost).unwrap();
    assert!(matches!(nvml.device_by_uuid(uuid), Err(NvmlError::GpuLost)));
    assert!(matches!(nvml.device_by_index(0), Err(NvmlError::GpuLost)));
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert_eq!(gpu(&nvml, 1).power_usage().unwrap(), 20_000);
}

#[test]
fn a_lost_card_fails_on_a_handle_taken_before() {
    let bench = anyone();
    let nvml = bench.nvml();
    let mut card = gpu(&nvml, 0);
    let lost = format!("anyone_may_set = true\n{TWO}\n[[fault]]\ngpu = 0\ncode = 15");
    std::fs::write(bench.dir.path().join("gpus.toml"), lost).unwrap();
    assert!(matches!(card.total_energy_consumption(), Err(NvmlError::GpuLost)));
    assert!(matches!(card.reset_gpu_locked_clocks(), Err(NvmlError::GpuLost)));
}

#[test]
fn a_bench_without_a_description_has_no_driver() {
    let bench = anyone();
    std::fs::remove_file(bench.dir.path().join("gpus.toml")).unwrap();
    assert!(matches!(bench.try_nvml(), Err(NvmlError::DriverNotLoaded)));
}

#[test]
fn a_description_that_makes_no_sense_is_named_with_its_file() {
    use nvidia_ml::device::Description;
    let said = |text: &str| {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("gpus.toml");
        std::fs::write(&path, text).unwrap();
        let error = Description::read(&path).unwrap_err().to_string();
        error.replace(path.to_str().unwrap(), "gpus.toml")
    };
    assert_eq!(said("[[gpu]]\ncard = \"x\""), "gpus.toml: gpu 0: card 'x': no [[card]] has that name");
    assert!(said("[[gpu]]\nuuuid = \"x\"").contains("unknown field `uuuid`"));
    let twice = TWO.replace("GPU-bbbb", "GPU-aaaa");
    assert_eq!(said(&twice), "gpus.toml: gpu 1: uuid 'GPU-aaaa' is given twice");
    assert!(said(&format!("{TWO}\n[[fault]]\ngpu = 2")).ends_with("there are 2 cards"));
    assert!(said(&TWO.replace("step_mhz = 20", "step_mhz = 7")).contains("not a grid"));
}
