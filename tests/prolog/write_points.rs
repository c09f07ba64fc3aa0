//! Prolog, governor and epilog killed at each of their write points: before every system call that changes a file or takes a
//! lock, the stand-in driver's own among them. strace counts the points of a run that is left alone, then kills at one a run;
//! whoever comes next goes on, and what is promised must hold.
//!
//! Every point is tried; `--nocapture` shows how many there were.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use carm::ledger::{Mark, Record};
use rustix::process::{Pid, Signal, kill_process};

use crate::govern::{Governor, until, with_squeue};
use crate::job::{Job, green};
use crate::node::{Node, files};

/// No job of a Slurm that may run on this machine meanwhile: whether a job has a step is asked of /proc.
const JOB: u32 = 4_100_007;

/// System calls that leave something behind; the question mark: not every architecture has all.
const CALLS: &str = "openat,write,pwrite64,fsync,fdatasync,ftruncate,flock,?rename,?renameat,?renameat2,?unlink,?unlinkat,\
                     ?mkdir,?mkdirat";

/// slurmctld's word for a job that it does not know.
const GONE: &str = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1";

/// And for one that runs.
const HERE: &str = "echo '4100007|N/A|R|wind1|train'";

/// The nth call of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    call: String,
    nth: usize,
}

/// A program with its arguments under strace. It follows no parent to its child: what is started is what is killed.
fn strace(node: &Node, program: &Command, more: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", "signal=none", "-o"]).arg(node.path("trace")).args(["-e", &format!("trace={CALLS}")]).args(more);
    command.arg(program.get_program()).args(program.get_args());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(program.get_envs().filter_map(|(name, text)| Some((name, text?))));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).current_dir("/");
    command
}

/// The points of the run that was traced last.
fn points(node: &Node) -> Vec<Point> {
    let text = std::fs::read_to_string(node.path("trace")).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in text.lines() {
        let Some((call, arguments)) = line.split_once('(') else { continue };
        let nth = counts.entry(call.to_owned()).or_default();
        *nth += 1;
        if call != "openat" || arguments.contains("O_CREAT") {
            points.push(Point { call: call.to_owned(), nth: *nth });
        }
    }
    assert!(
        points.len() > 5,
        "strace counted no write points: it must be installed (tests/install-needs tests) and may trace \
         (a container needs CAP_SYS_PTRACE):\n{text}"
    );
    points
}

fn killed_at(node: &Node, program: &Command, point: &Point) -> Command {
    let inject = format!("inject={}:signal=KILL:when={}", point.call, point.nth);
    strace(node, program, &["-e", &inject])
}

/// strace ends as its program did.
fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9) || status.code() == Some(137)
}

fn tell(program: &str, points: &[Point], runs: usize) {
    println!("write points of {program}: {}; killed in {runs} runs", points.len());
}

fn two(run: u32) -> Job {
    green(JOB).gpus("0,1").restarted(run)
}

/// The bounded child by itself: what is left when its parent was killed with it.
fn child(node: &Node, job: &Job, side: &str) -> Command {
    let mut command = node.command(job, if side == "prolog" { "prolog_slurmd" } else { "epilog_slurmd" });
    command.args([side, "--bounded"]);
    command
}

fn node() -> Node {
    Node::new().node("interval = \"1s\"\ndwell = \"1s\"")
}

fn used_j(node: &Node) -> f64 {
    node.energy_j(0) + node.energy_j(1)
}

fn job_file(node: &Node) -> PathBuf {
    node.path(&format!("state/wind1/job-{JOB}.json"))
}

/// What holds at any time: each state file is whole, and each lock is somebody's.
fn assert_sound(node: &Node, at: &str) {
    let names = files(&node.path("state/wind1"));
    for name in names.iter().filter(|name| name.ends_with(".json")) {
        let text = std::fs::read_to_string(node.path("state/wind1").join(name)).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{at}: {name}: {error}: {text}"));
        assert_eq!(file["version"], 1, "{at}: {name}");
    }
    for gres in node.locked() {
        let name = format!("gpu-{}.json", Node::uuid(gres));
        assert!(names.contains(&name), "{at}: gpu {gres} is locked and nobody knows: {}", node.log());
    }
}

/// The run's one line, when all is over; the node as if nothing had been.
fn close(node: &Node, at: &str) -> Record {
    assert_eq!(node.locked(), [0; 0], "{at}: {}", node.log());
    assert_eq!(files(&node.path("state/wind1")), [] as [String; 0], "{at}: {}", node.log());
    assert!(!node.log().contains("a bug"), "{at}: {}", node.log());
    let line = node.line();
    let raw: String = files(&node.path("ledger"))
        .iter()
        .filter(|name| name.ends_with(".jsonl"))
        .map(|name| std::fs::read_to_string(node.path("ledger").join(name)).unwrap())
        .collect();
    assert_eq!(raw.lines().count(), 1, "{at}: written once: {raw}");
    assert!(line.closed && line.gpu_energy_j >= 0.0 && line.energy_kwh >= 0.0, "{at}: {line:?}");
    let steps_j: f64 = line.steps.iter().map(|step| step.gpu_energy_j).sum();
    assert!((steps_j - line.gpu_energy_j).abs() < 1e-6 || line.start.is_none(), "{at}: {steps_j} J of {line:?}");
    for dir in ["state", "ledger"] {
        std::fs::remove_dir_all(node.path(dir)).unwrap();
    }
    std::fs::remove_file(node.path("carm.log")).unwrap_or_default();
    line
}

/// Joules are those of the stand-in: at least what the job surely used, unless it is said that some are lost; and never more than
/// the cards used while it could.
fn assert_energy(line: &Record, at_least_j: f64, at_most_j: f64, at: &str) {
    let lost = line.marks.iter().any(|mark| matches!(mark, Mark::EnergyLost | Mark::NoProlog));
    assert!(lost || line.gpu_energy_j > at_least_j - 0.01, "{at}: {} J of {at_least_j} J: {line:?}", line.gpu_energy_j);
    assert!(line.gpu_energy_j < at_most_j + 0.01, "{at}: {} J, more than {at_most_j} J: {line:?}", line.gpu_energy_j);
}

fn pause() {
    std::thread::sleep(Duration::from_millis(60));
}

fn pid(process: &Child) -> Pid {
    Pid::from_child(process)
}

/// A process' only child, once it has one.
fn child_of(process: Pid) -> Option<Pid> {
    let path = format!("/proc/{0}/task/{0}/children", process.as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Pid::from_raw(text.split_whitespace().next()?.parse().ok()?)
}

#[test]
fn a_prolog_killed_at_any_write_point() {
    let node = node();
    let _load = node.busy(&[0]);
    let prolog = child(&node, &two(0), "prolog");
    node.prolog(&two(0)).epilog(&two(0));
    close(&node, "whole");
    assert!(strace(&node, &prolog, &[]).status().expect("strace; install it by tests/install-needs tests").success());
    let points = points(&node);
    node.epilog(&two(0));
    close(&node, "whole");
    for (index, point) in points.iter().enumerate() {
        let at = format!("prolog killed before {point:?}");
        let before_j = used_j(&node);
        assert!(was_killed(killed_at(&node, &prolog, point).status().unwrap()), "{at}");
        assert_sound(&node, &at);
        let from_j = used_j(&node);
        // Killed after its last word on the job: then nothing is missing.
        let is_ready = state(&node)["ready"] == true;
        let run = u32::from(index % 3 == 1 && !is_ready);
        if run == 1 {
            node.prolog(&two(1));
            assert_eq!(node.locked(), [0, 1], "{at}: {}", node.log());
        }
        if index % 3 == 2 {
            Governor::start_with_squeue(&node, HERE).kill();
            assert_sound(&node, &at);
        }
        let from_j = if run == 1 { used_j(&node) } else { from_j };
        pause();
        let to_j = used_j(&node);
        node.epilog(&two(run));
        let after_j = used_j(&node);
        let line = close(&node, &at);
        assert_eq!(line.run, run, "{at}");
        let says_so = line.marks.iter().any(|mark| matches!(mark, Mark::CutShort | Mark::NoProlog));
        assert_eq!(says_so, run == 0 && !is_ready, "{at}: {:?}", line.marks);
        assert_energy(&line, to_j - from_j, after_j - before_j, &at);
    }
    tell("a prolog", &points, points.len());
}

#[test]
fn an_epilog_killed_at_any_write_point() {
    let node = node();
    let _load = node.busy(&[0]);
    let epilog = child(&node, &two(0), "epilog");
    node.prolog(&two(0));
    assert!(strace(&node, &epilog, &[]).status().expect("strace; install it by tests/install-needs tests").success());
    let points = points(&node);
    close(&node, "whole");
    for (index, point) in points.iter().enumerate() {
        let at = format!("epilog killed before {point:?}");
        let before_j = used_j(&node);
        node.prolog(&two(0));
        let from_j = used_j(&node);
        pause();
        let to_j = used_j(&node);
        assert!(was_killed(killed_at(&node, &epilog, point).status().unwrap()), "{at}");
        let after_j = used_j(&node);
        assert_sound(&node, &at);
        // What the card does from here on is another's.
        pause();
        let found = job_file(&node).exists();
        let has_ended = !found || state(&node)["end"].is_object();
        match index % 3 {
            0 => _ = node.epilog(&two(0)),
            1 => {
                let governor = Governor::start_with_squeue(&node, GONE);
                until(&at, || !job_file(&node).exists() && files(&node.path("state/wind1")).is_empty());
                governor.kill();
            }
            _ => _ = node.prolog(&green(JOB + 1).gpus("1")).epilog(&green(JOB + 1).gpus("1")).epilog(&two(0)),
        }
        if index % 3 == 2 {
            forget(&node, JOB + 1);
        }
        // Unless the epilog came to say that the run is over, it is the job's until the next one does.
        let after_j = if has_ended { after_j } else { used_j(&node) };
        let line = close(&node, &at);
        assert_eq!(line.marks.contains(&Mark::NoEpilog), index % 3 == 1 && found, "{at}: {line:?}");
        assert!(!line.marks.contains(&Mark::EnergyLost), "{at}: what was used stands in one file or another: {line:?}");
        assert_energy(&line, to_j - from_j, after_j - before_j, &at);
    }
    tell("an epilog", &points, points.len());
}

/// Takes another job's lines out of the ledger: what is looked at is one job.
fn forget(node: &Node, job: u32) {
    for name in files(&node.path("ledger")) {
        let path = node.path("ledger").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let other = format!("\"job\":{job},");
        let kept: String = text.lines().filter(|line| !line.contains(&other)).map(|line| format!("{line}\n")).collect();
        std::fs::write(path, kept).unwrap();
    }
}

/// How far the job has been counted.
fn counted(node: &Node) -> Option<String> {
    Some(state(node)["counted"]["until"].as_str()?.to_owned())
}

fn state(node: &Node) -> serde_json::Value {
    let text = std::fs::read(job_file(node)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Runs a governor from its start to its end after a look, or to where it is killed; gives whether it was.
fn govern(node: &Node, command: Command) -> bool {
    let mut command = with_squeue(node, HERE, &command);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).current_dir("/");
    let mut strace = command.spawn().expect("strace; install it by tests/install-needs tests");
    let since = Instant::now();
    while counted(node).is_none() && strace.try_wait().unwrap().is_none() {
        assert!(since.elapsed() < Duration::from_secs(30), "no look: {}", node.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    // A signal that comes before the look is over is seen after it.
    if let Some(governor) = child_of(pid(&strace)) {
        let _ = kill_process(governor, Signal::TERM);
    }
    was_killed(strace.wait().unwrap())
}

#[test]
fn a_governor_killed_at_any_write_point() {
    let node = node();
    let _load = node.busy(&[0]);
    let mut governor = Command::new(env!("CARGO_BIN_EXE_carm-prolog"));
    governor.arg("--config").arg(node.path("carm.toml")).arg("govern").env("SLURM_CONF", node.path("slurm.conf"));
    node.prolog(&two(0));
    assert!(!govern(&node, strace(&node, &governor, &[])), "{}", node.log());
    let points = points(&node);
    node.epilog(&two(0));
    close(&node, "whole");
    let mut survived = 0;
    for (index, point) in points.iter().enumerate() {
        let at = format!("governor killed before {point:?}");
        let before_j = used_j(&node);
        node.prolog(&two(0));
        let from_j = used_j(&node);
        // Its looks are as many as fit: near the end of the run one may be fewer than when the points were counted.
        survived += usize::from(!govern(&node, killed_at(&node, &governor, point)));
        assert_sound(&node, &at);
        assert_eq!(node.locked(), [0, 1], "{at}: {}", node.log());
        if index % 2 == 0 {
            let then = counted(&node);
            let governor = Governor::start_with_squeue(&node, HERE);
            until(&at, || counted(&node) != then);
            governor.kill();
            assert_sound(&node, &at);
        }
        let to_j = used_j(&node);
        node.epilog(&two(0));
        let after_j = used_j(&node);
        let line = close(&node, &at);
        assert_eq!(line.marks, [], "{at}: {line:?}");
        assert_energy(&line, to_j - from_j, after_j - before_j, &at);
        let (start, end) = (line.start.as_deref().unwrap(), line.end.as_str());
        let span = carm::quantity::parse_instant(end).unwrap() - carm::quantity::parse_instant(start).unwrap();
        let counted_s: f64 = line.steps.iter().map(|step| step.seconds).sum();
        assert!((counted_s - span.as_seconds_f64()).abs() < 0.05, "{at}: {counted_s} s of {span}");
    }
    assert!(survived * 4 <= points.len(), "{survived} of {} runs were not killed", points.len());
    tell("a governor", &points, points.len() - survived);
}

/// Runs a whole prolog or epilog (the parent is what strace sees), and kills its child once it is in the driver.
fn without_child(node: &Node, mut command: Command) -> ExitStatus {
    node.faults("[[fault]]\ncall = \"nvmlInit\"\nsleep_ms = 60000\n");
    let mut strace = command.spawn().expect("strace; install it by tests/install-needs tests");
    let since = Instant::now();
    let child = loop {
        assert!(since.elapsed() < Duration::from_secs(10), "no child: {}", node.log());
        match child_of(pid(&strace)).and_then(child_of) {
            Some(child) if job_file(node).exists() => break child,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    std::thread::sleep(Duration::from_millis(50));
    kill_process(child, Signal::KILL).unwrap();
    let status = strace.wait().unwrap();
    node.faults("");
    status
}

#[test]
fn a_parent_killed_at_any_write_point_after_its_child() {
    let node = node();
    let _load = node.busy(&[0]);
    for side in ["prolog", "epilog"] {
        let parent = node.command(&two(0), &format!("{side}_slurmd"));
        let prepare = || {
            if side == "epilog" {
                node.prolog(&two(0));
            }
        };
        prepare();
        assert!(without_child(&node, strace(&node, &parent, &[])).success());
        let points = points(&node);
        node.epilog(&two(0));
        close(&node, "whole");
        for point in &points {
            let at = format!("{side}'s parent killed before {point:?}");
            let before_j = used_j(&node);
            prepare();
            assert!(was_killed(without_child(&node, killed_at(&node, &parent, point))), "{at}");
            assert_sound(&node, &at);
            node.epilog(&two(0));
            let after_j = used_j(&node);
            let line = close(&node, &at);
            assert_energy(&line, 0.0, after_j - before_j, &at);
        }
        tell(&format!("the parent of a killed {side}"), &points, points.len());
    }
}
