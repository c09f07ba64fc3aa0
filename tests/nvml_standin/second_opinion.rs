//! The same reads and writes through NVIDIA's own Python client and through monitors that people use: an independent check of
//! the struct layouts. The clients come from PyPI, once, into target/.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use nvidia_ml::place::EIGHT_GPUS;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;

use super::bench::*;

/// A virtual environment under target/ with the clients that are asked for a second opinion, made once.
fn python() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let venv = target.join("nvml-second-opinion");
    let (python, ready) = (venv.join("bin/python"), venv.join("ready"));
    let packages = ["nvidia-ml-py==13.615.71", "nvitop==1.7.2", "gpustat==1.1.1"];
    if std::fs::read_to_string(&ready).unwrap_or_default() != packages.join("\n") {
        let run = |command: &mut Command, way_out: &str| {
            let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {way_out}"));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {said}; {way_out}");
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv), "install the package python3-venv");
        let way_out = "PyPI must be within reach once, for NVIDIA's own client";
        run(Command::new(&python).args(["-m", "pip", "-q", "install"]).args(packages), way_out);
        std::fs::write(&ready, packages.join("\n")).unwrap();
    }
    python
}

fn in_python(bench: &Bench, program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("LD_LIBRARY_PATH", bench.dir.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nvidias_own_client_reads_and_writes_the_same() {
    let bench = anyone();
    let python = python();
    let nvml = bench.nvml();
    lock(&nvml, 0, 200, 1000).unwrap();
    let busy = bench.busy("0");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../nvml_second_opinion.py");
    let seen: serde_json::Value = serde_json::from_str(&in_python(&bench, &python, &[script])).unwrap();
    assert_eq!((&seen["before_init"], &seen["cuda"], &seen["driver"]), (&1.into(), &12080.into(), &"570.00.00".into()));
    for index in 0..2 {
        let (card, other) = (gpu(&nvml, index), &seen["gpus"][index as usize]);
        let memory = card.memory_info().unwrap();
        let limits = card.power_management_limit_constraints().unwrap();
        let power = card.power_usage().unwrap();
        let own = BTreeMap::from([
            ("name", serde_json::json!(card.name().unwrap())),
            ("uuid", card.uuid().unwrap().into()),
            ("index", index.into()),
            ("minor", card.minor_number().unwrap().into()),
            ("bus_id", card.pci_info().unwrap().bus_id.into()),
            ("bus", card.pci_info().unwrap().bus.into()),
            ("architecture", 8.into()),
            ("memory", vec![memory.total, memory.free, memory.used].into()),
            ("memory_v2", vec![memory.total, memory.free, memory.used].into()),
            ("graphics_clocks", card.supported_graphics_clocks(5000).unwrap().into()),
            ("sm_clock", sm_clock(&nvml, index).into()),
            ("max_sm_clock", 2000.into()),
            ("power", power.into()),
            ("power_instant", vec![0, power].into()),
            ("limit", 320_000.into()),
            ("limit_range", vec![limits.min_limit, limits.max_limit].into()),
            ("utilization", card.utilization_rates().unwrap().gpu.into()),
            ("reasons", card.current_throttle_reasons().unwrap().bits().into()),
            ("persistence", 1.into()),
            ("temperature", card.temperature(TemperatureSensor::Gpu).unwrap().into()),
            ("pids", if index == 0 { vec![busy.0.id()] } else { vec![] }.into()),
            ("mig_code", 3.into()),
            ("fan_code", 3.into()),
        ]);
        for (what, value) in own {
            assert_eq!(other[what], value, "card {index}: {what}");
        }
        let (read_mj, now_mj) = (other["energy"].as_u64().unwrap(), card.total_energy_consumption().unwrap());
        assert!(read_mj > 0 && read_mj < now_mj);
    }
    assert_eq!((&seen["by_uuid"], &seen["by_bus"]), (&1.into(), &1.into()));
    assert_eq!((&seen["crossed_code"], &seen["unknown_uuid_code"]), (&2.into(), &6.into()));
    let set = &seen["set"];
    assert_eq!((&set["sm_clock"], &set["power"]), (&600.into(), &40_000.into()));
    assert_eq!((&set["limit"], &set["persistence"]), (&200_000.into(), &0.into()));
    assert_eq!(seen["reset_clock"], 200);
    assert_eq!(gpu(&nvml, 1).enforced_power_limit().unwrap(), 200_000, "what Python set, Rust reads");
}

#[test]
fn monitors_that_people_use_run_on_it() {
    let bench = Bench::new(EIGHT_GPUS);
    let python = python();
    let bin = python.parent().unwrap();
    let _nvml = bench.nvml();
    let _busy = bench.busy("2");
    let gpustat = in_python(&bench, &bin.join("gpustat"), &["--no-color", "--show-power"]);
    assert!(gpustat.contains("[2] NVIDIA GeForce RTX 4090 | 77°C,  97 %,  380 / 450 W"), "{gpustat}");
    let nvitop = in_python(&bench, &bin.join("nvitop"), &["-1"]);
    assert!(nvitop.contains("380W / 450W"), "{nvitop}");
}
