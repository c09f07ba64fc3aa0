//! A Slurm that answers late or not at all, and an sbatch that runs on: what is waited for, and what is said.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fake::{BY_EVENING, Login};

#[test]
fn all_answers_take_two_seconds_together() {
    let login = Login::new();
    login.full();
    login.edit("sbatch", "/bin/cat \"$here/help\"", "exec /bin/sleep 60");
    login.write("bin/queue", "exec /bin/sleep 60");
    let begin = Instant::now();
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    let took = begin.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_millis(3_900)).contains(&took), "{took:?}");
    ended.says("carm-submit: sbatch --help: no answer; carbon options are dropped and the job runs at full clock\n");
    ended.says("carm-submit: squeue of partition 'gpu-north': no answer; planned as if nothing waited there\n");
    ended.says("carm-submit: sbatch --test-only for site 'north': no answer; planned as if there were room at once\n");
    assert!(!ended.stderr.contains("plugstack"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "Submitted batch job 42\n");
}

#[test]
fn silent_partitions_move_no_job() {
    let login = Login::new();
    login.write("bin/partitions", "");
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    assert!(!ended.given().iter().any(|word| word.starts_with("--partition")), "{:?}", ended.given());
    ended.says("scontrol show partition: no answer; no time limit is raised, and no other partition chosen");
}

#[test]
fn the_plugins_own_fault_is_named() {
    let login = Login::new().without_plugin();
    let fault = "plugin_load_from_file: Incompatible Slurm plugin /usr/lib/spank_carm.so version (24.11.5)";
    login.edit("sbatch", "/bin/cat \"$here/help\"", &format!("echo 'sbatch: error: {fault}' >&2; /bin/cat \"$here/help\""));
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    ended.says(&format!("carm-submit: {fault}; carbon options are dropped"));
    assert!(!ended.stderr.contains("plugstack"), "{}", ended.stderr);
}

#[test]
fn sbatchs_help_is_asked_again_when_sbatch_changes() {
    let login = Login::new();
    let runtime = login.home.path().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    let login = login.with("XDG_RUNTIME_DIR", &runtime.display().to_string());
    login.edit("sbatch", "/bin/cat \"$here/help\"", "echo >> \"$here/helped\"; /bin/cat \"$here/help\"");
    let helped = || {
        login.submit(&format!("{BY_EVENING} train.sh")).says("  plan ");
        std::fs::read_to_string(login.home.path().join("bin/helped")).expect("a count").lines().count()
    };
    assert_eq!((helped(), helped()), (1, 1));
    std::thread::sleep(Duration::from_millis(20)); // another mtime
    login.edit("sbatch", "#!/bin/sh\n", "#!/bin/sh\n# another release\n");
    assert_eq!((helped(), helped()), (2, 2));
}

/// Without a text that shows the plugin nothing is kept: it may be installed the next minute.
#[test]
fn a_new_plugin_is_seen_at_once() {
    let login = Login::new().without_plugin();
    let runtime = login.home.path().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    let login = login.with("XDG_RUNTIME_DIR", &runtime.display().to_string());
    let words = format!("{BY_EVENING} train.sh");
    login.submit(&words).says("carbon options are dropped");
    login.write("bin/help", "Usage: sbatch\n      --carbon-budget=MASS    [carm] carbon budget\n");
    assert!(!login.submit(&words).stderr.contains("dropped"));
}

#[test]
fn wait_streams_and_signals_reach_sbatch() {
    let login = Login::new();
    login.write(
        "bin/answer",
        "echo 'Submitted batch job 42'; trap 'echo ended >&2; exit 9' TERM; while :; do /bin/sleep 0.1; done",
    );
    let program = env!("CARGO_BIN_EXE_carm-submit");
    let mut command = login.command(&[program, "--wait", BY_EVENING, "train.sh"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("carm-submit");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "Submitted batch job 42\n");
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let plan = errors.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("  plan ")));
    assert!(plan.is_some(), "the plan follows the answer, and sbatch still waits");
    assert!(child.try_wait().expect("a child").is_none());
    Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().expect("kill");
    let status = child.wait().expect("an end");
    assert_eq!(status.code(), Some(9), "sbatch's own: {:?}", status.signal());
    assert!(errors.any(|line| line.is_ok_and(|line| line == "ended")), "sbatch had the signal");
}
