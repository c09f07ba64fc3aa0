//! `carm-prolog profile` on the stand-in: what it measures is what the stand-in was told, and the clocks always come back.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use carm::profile::Profile;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::job::{green, job};
use crate::node::{Node, files};

/// The stand-in's own figures at some clocks: watts and speed.
const TRUTH: [(u32, f64, f64); 4] = [(1260, 162.2, 0.5714), (1680, 205.9, 0.7273), (2100, 279.3, 0.8696), (2520, 380.0, 1.0)];
const CLOCKS: &str = "1260,1680,2100,2520";

/// The stand-in's load, which cargo puts beside this program.
pub fn gpu_load() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_carm-prolog")).with_file_name("gpu-load");
    assert!(path.exists(), "{} is not built; run cargo build -p nvml-standin", path.display());
    path
}

impl Node {
    fn profile(&self, arguments: &[&str], command: &[&str]) -> Command {
        let mut profile = Command::new(env!("CARGO_BIN_EXE_carm-prolog"));
        profile
            .arg("--config")
            .arg(self.path("carm.toml"))
            .args(["profile", "--name=train"])
            .args(arguments)
            .env_clear()
            .current_dir(self.path(""));
        profile.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !command.is_empty() {
            profile.args(["--warm-up=0", "--"]).args(command);
        }
        profile
    }

    /// The stand-in's load as a command: seconds of work at full clock.
    fn load(&self, work: &'static str) -> Vec<String> {
        let library = self.path("gpus/libnvidia-ml.so.1");
        let words = [gpu_load().display().to_string(), format!("--work={work}"), format!("--library={}", library.display())];
        words.into()
    }

    fn start(&self, arguments: &[&str], command: &[&str]) -> Child {
        let child = self.profile(arguments, command).process_group(0).spawn().unwrap();
        let since = Instant::now();
        while self.locked().is_empty() {
            assert!(since.elapsed() < Duration::from_secs(10), "nothing is locked");
            std::thread::sleep(Duration::from_millis(10));
        }
        child
    }

    fn assert_given_back(&self) {
        assert_eq!(self.locked(), [0; 0]);
        for node in files(&self.path("state")).iter().filter(|name| !name.starts_with('.')) {
            assert_eq!(files(&self.path("state").join(node)), [] as [String; 0]);
        }
    }
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_is_the_truth(profile: &Profile, said: &str) {
    assert_eq!(profile.levels.len(), TRUTH.len(), "{said}");
    for (level, (clock_mhz, watts, speed)) in profile.levels.iter().zip(TRUTH) {
        assert_eq!(level.clock_mhz, clock_mhz, "{said}");
        assert!((level.watts / watts - 1.0).abs() < 0.02, "{clock_mhz} MHz: {} W, not {watts}: {said}", level.watts);
        assert!((level.speed / speed - 1.0).abs() < 0.02, "{clock_mhz} MHz: speed {}, not {speed}: {said}", level.speed);
    }
}

#[test]
fn the_profile_of_a_command_is_that_of_the_stand_in_to_2_percent() {
    let node = Node::new();
    let command = node.load("2");
    let output = node.profile(&["--gpus=0", "--gpu=rtx4090", "--clocks", CLOCKS], &words(&command)).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    let path = node.path("train.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let profile = Profile::parse(&text, &path).unwrap();
    assert_is_the_truth(&profile, &said);
    assert!(profile.measured && profile.name.as_str() == "train");
    assert_eq!((profile.gpu.as_deref(), profile.model.as_deref()), (Some("rtx4090"), Some("NVIDIA GeForce RTX 4090")));
    for part in ["measured by carm-prolog profile 0", "driver 570.00.00, 1 GPU, 3 repeats, command: ", "gpu-load --work=2"] {
        assert!(profile.source.contains(part), "{}", profile.source);
    }
    assert!(said.contains("13 of 13: 2520 MHz ... ") && said.contains("written: train.toml"), "{said}");
    assert!(text.contains("\n# fit: watts = ") && text.contains("% of time at most"), "{text}");
    node.assert_given_back();

    let again = node.profile(&["--gpus=0"], &["true"]).output().unwrap();
    assert!(!again.status.success() && self::said(&again).contains("train.toml: exists; give --force"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_profile_of_a_running_job_is_that_of_the_stand_in_to_2_percent() {
    let node = Node::new();
    let (command, file) = (node.load("1000"), node.path("steps"));
    let mut load = Command::new(&command[0]);
    load.args(&command[1..]).arg("--gpus=2,3").arg("--progress").arg(&file);
    let mut load = load.stdout(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while !file.exists() {
        assert!(since.elapsed() < Duration::from_secs(10), "the load does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let live = format!("--live={}", file.display());
    let arguments = ["--gpus=2,3", &live, "--warm-up=300ms", "--window=3s", "--repeat=3", "--clocks", CLOCKS, "--output=-"];
    let output = node.profile(&arguments, &[]).output().unwrap();
    load.kill().unwrap();
    load.wait().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let profile = Profile::parse(&text, Path::new("-")).unwrap();
    assert_is_the_truth(&profile, &said);
    assert_eq!(profile.default_workers, 2);
    node.assert_given_back();
}

#[test]
fn a_clock_that_the_power_limit_does_not_allow_is_left_out_and_said() {
    let node = Node::new().cards(|cards| cards.replace("power_limit_watts = 450.0", "power_limit_watts = 320.0"));
    let command = node.load("0.5");
    let arguments = ["--gpus=0", "--clocks=1260,2100,2520", "--repeat=1"];
    let output = node.profile(&arguments, &words(&command)).output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("warning: 2520 MHz is left out: the card ran at 22"), "{said}");
    let path = node.path("train.toml");
    let profile = Profile::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap();
    assert_eq!(profile.levels.iter().map(|level| level.clock_mhz).collect::<Vec<_>>(), [1260, 2100]);
}

#[test]
fn a_card_without_an_energy_counter_is_measured_by_its_power() {
    let node = Node::new().faulty("[[fault]]\ncall = \"nvmlDeviceGetTotalEnergyConsumption\"\ncode = 3\n");
    let command = node.load("1");
    let arguments = ["--gpus=0", "--clocks=1260", "--repeat=1"];
    let output = node.profile(&arguments, &words(&command)).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && said.contains("warning: the card has no energy counter"), "{said}");
    let path = node.path("train.toml");
    let profile = Profile::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap();
    // Start-up counts at idle power, and samples are a tenth of a second apart.
    assert!((profile.levels[0].watts / 162.2 - 1.0).abs() < 0.15, "{said}");
}

#[test]
fn a_command_that_fails_ends_it_with_its_last_lines_and_the_clocks_given_back() {
    let node = Node::new().cards(|cards| cards.replace("persistence = true", "persistence = false"));
    let output = node.profile(&["--gpus=0"], &["sh", "-c", "echo out of memory; exit 7"]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("sh: failed at this clock (exit status: 7)") && said.contains("\n  out of memory"), "{said}");
    assert!(said.contains("clocks are given back") && !node.path("train.toml").exists(), "{said}");
    node.assert_given_back();
    assert!((0..8).all(|gres| !node.persistence(gres)));
    let output = node.profile(&["--gpus=0"], &["/no/such/program"]).output().unwrap();
    assert!(self::said(&output).contains("/no/such/program: cannot be started"), "{output:?}");
    node.assert_given_back();
}

#[test]
fn a_signal_ends_the_command_gives_the_clocks_back_and_writes_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let node = Node::new();
        let pid_file = node.path("pid");
        let script = format!("echo $$ > {}; exec sleep 600", pid_file.display());
        let child = node.start(&["--gpus=0,1"], &["sh", "-c", &script]);
        let since = Instant::now();
        let pid = loop {
            assert!(since.elapsed() < Duration::from_secs(10));
            if let Some(pid) = std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok()) {
                break Pid::from_raw(pid).unwrap();
            }
        };
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(said(&output).contains("no profile is written") && !node.path("train.toml").exists(), "{output:?}");
        assert!(test_kill_process(pid).is_err(), "the command still runs");
        node.assert_given_back();
    }
}

#[test]
fn what_a_killed_profile_leaves_is_put_back_by_reset_or_by_the_next_one() {
    for by_reset in [true, false] {
        let node = Node::new().cards(|cards| cards.replace("persistence = true", "persistence = false"));
        let mut child = node.start(&["--gpus=0,1"], &["sleep", "3"]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!node.locked().is_empty(), "the kill came too late");
        if by_reset {
            let output = node.by_hand(&["reset"]);
            assert!(String::from_utf8_lossy(&output.stdout).contains("clocks put back"), "{output:?}");
        } else {
            let output = node.profile(&["--gpus=2", "--repeat=1", "--clocks=1260"], &["true"]).output().unwrap();
            assert!(said(&output).contains("an earlier profile was killed; its clocks are put back"), "{output:?}");
        }
        node.assert_given_back();
        assert!((0..8).all(|gres| !node.persistence(gres)), "persistence mode is as it was");
    }
}

#[test]
fn gpus_that_jobs_hold_or_work_on_are_refused() {
    let node = Node::new();
    let held = Node::card(3).to_string();
    node.prolog(&green(7).gpus("3"));
    let lock = node.lock(3);
    let output = node.profile(&["--gpus", &held], &["true"]).output().unwrap();
    assert!(said(&output).contains(&format!("gpu {}: job 7 holds it; drain the node", Node::uuid(3))), "{output:?}");
    assert_eq!((output.status.code(), node.lock(3)), (Some(1), lock), "the job keeps its clock");
    node.epilog(&green(7).gpus("3")).assert_clean();

    let _load = node.busy(&[3]);
    let output = node.profile(&["--gpus", &held], &["true"]).output().unwrap();
    assert!(said(&output).contains("somebody is at work there"), "{output:?}");
    node.assert_given_back();
}

#[test]
fn a_job_that_comes_to_the_gpu_goes_first() {
    let node = Node::new();
    let uuid = Node::uuid(0);
    let mut command = node.profile(&["--gpus", &uuid], &["sleep", "600"]);
    command.env("SLURMD_NODENAME", "wind1").process_group(0);
    let child = command.spawn().unwrap();
    let since = Instant::now();
    while node.locked().is_empty() {
        assert!(since.elapsed() < Duration::from_secs(10), "nothing is locked");
    }
    // Neither does another job's prolog take the clocks of the measurement for something that nobody owes.
    node.prolog(&green(8).gpus("5"));
    assert_eq!(node.locked(), [0, 5], "{}", node.log());
    node.epilog(&green(8).gpus("5"));
    assert_eq!(node.locked(), [0], "{}", node.log());
    node.prolog(&job(9));
    assert_eq!(node.lock(0), None, "a plain job has full clock at once: {}", node.log());
    let output = child.wait_with_output().unwrap();
    assert!(said(&output).contains(&format!("gpu {uuid}: job 9 came to it; measure on a drained node")), "{output:?}");
    node.epilog(&job(9)).assert_clean();
}

#[test]
fn one_measurement_at_a_time() {
    let node = Node::new();
    let child = node.start(&["--gpus=0"], &["sleep", "600"]);
    let output = node.profile(&["--gpus=1"], &["true"]).output().unwrap();
    assert!(said(&output).contains("another carm-prolog profile runs on this host"), "{output:?}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait_with_output().unwrap();
    node.assert_given_back();
}

#[test]
fn who_may_not_lock_clocks_is_told_so() {
    let node = Node::new().faulty("[[fault]]\ncall = \"nvmlDeviceSetGpuLockedClocks\"\ncode = 4\n");
    let output = node.profile(&["--gpus=0"], &["true"]).output().unwrap();
    let said = said(&output);
    assert!(output.status.code() == Some(1) && said.contains("not permitted") && said.contains("run it as root"), "{said}");
    node.assert_given_back();
}

#[test]
fn gpus_that_are_not_there_or_not_alike_are_refused() {
    let other = "[[gpu]]\ncard = \"NVIDIA GeForce RTX 4090\"\nname = \"NVIDIA A100\"\nuuid = \"GPU-other\"\nminor = 9\n";
    let node = Node::new().cards(|cards| format!("{cards}\n{other}"));
    for (gpus, expected) in [
        ("9", "--gpus: '9': no such GPU"),
        ("GPU-none", "--gpus: 'GPU-none': no such GPU"),
        ("0,GPU-other", "are of different models"),
        (",", "no GPU to measure on; give --gpus"),
    ] {
        let output = node.profile(&["--gpus", gpus], &["true"]).output().unwrap();
        assert!(output.status.code() == Some(1) && said(&output).contains(expected), "{gpus}: {output:?}");
    }
    let output = node.profile(&["--gpus=0", "--clocks=9000"], &["true"]).output().unwrap();
    assert!(said(&output).contains("--clocks: '9000': not a clock of this card; give MHz from 210 to 2520"), "{output:?}");
    assert!(!node.path("state").exists(), "nothing was touched");
}
