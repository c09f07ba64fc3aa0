//! gpu-load: work at the speed that the clocks allow, on the cards that the job was given.

use std::process::Command;

use super::bench::*;

#[test]
fn a_load_does_its_work_at_the_speed_the_clock_allows() {
    let bench = anyone();
    let run = |gpus: &str| {
        let output = bench.load(&["--work", "0.6", "--gpus", gpus]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.starts_with("gpu-load: done: 0.6") && said.ends_with(&format!("on gpus {gpus}\n")), "{said}");
        // From the power log: the process's own start and end take time on a loaded machine.
        let log = bench.file("power.csv");
        let times: Vec<f64> = log
            .lines()
            .rev()
            .take(2 * gpus.split(',').count())
            .map(|line| line.split(',').next().unwrap().parse().unwrap())
            .collect();
        times[0] - times[times.len() - 1]
    };
    let _nvml = bench.nvml(); // writes the log's first lines
    let full_s = run("0");
    lock(&bench.nvml(), 1, 200, 1000).unwrap();
    let half_s = run("1");
    let slowest_s = run("0,1");
    assert!((0.6..1.1).contains(&full_s), "{full_s}");
    assert!((1.2..2.0).contains(&half_s), "{half_s}");
    assert!((1.2..2.0).contains(&slowest_s), "{slowest_s}");
}

#[test]
fn a_load_takes_the_cards_its_job_was_given() {
    let bench = anyone();
    let on = |visible: &str, more: &[&str]| {
        let mut command = bench.load(&["--work", "0"]);
        let output = command.args(more).env("CUDA_VISIBLE_DEVICES", visible).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap().trim_end().rsplit("on ").next().unwrap().to_owned()
    };
    assert_eq!(on("1", &[]), "gpus 1");
    assert_eq!(on("1", &["--by", "minor"]), "gpus 0");
    assert_eq!(on("GPU-bbbb,GPU-aaaa", &[]), "gpus 1,0");
    assert_eq!(on("1", &["--gpus", "0"]), "gpus 0");
    assert!(on("7", &[]).contains("gpus: '7': no such card; give indices"));
    assert!(on("", &[]).contains("gpus: none given; set CUDA_VISIBLE_DEVICES or give --gpus"));
}

#[test]
fn a_load_told_to_stop_leaves_the_card_idle() {
    let bench = anyone();
    let progress = bench.dir.path().join("progress");
    let mut command = bench.load(&["--work", "1000", "--gpus", "0", "--progress"]);
    let load = command.arg(&progress).spawn().unwrap();
    wait_for("progress", || progress.exists());
    // SAFETY: the child is ours and not waited for yet, so its pid is still its own.
    unsafe { libc::kill(load.id() as i32, libc::SIGTERM) };
    let output = load.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("gpu-load: stopped: "));
    assert!(bench.file("gpus.state").contains("\"loads\":[]"));
    let fields: Vec<f64> = bench.file("progress").split_whitespace().map(|f| f.parse().unwrap()).collect();
    assert!(fields.len() == 3 && fields[1] == 1.0 && fields[0] <= fields[2] + 0.01, "{fields:?}");
}

#[test]
fn a_load_without_a_path_uses_the_library_the_loader_finds() {
    let bench = anyone();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-load"));
    command.args(["--work", "0", "--gpus", "1"]).env("LD_LIBRARY_PATH", bench.dir.path());
    assert!(command.output().unwrap().status.success());
    assert!(bench.file("power.csv").contains(",1,300.000,2000"));
}
