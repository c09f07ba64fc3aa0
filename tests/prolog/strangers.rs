//! GPUs that others may use: CARM slows none on which somebody did not ask for it, whoever came first.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use carm::ledger::Mark;

use crate::govern::{Governor, sleep_s, until};
use crate::job::{green, job};
use crate::node::{GREENEST_MHZ, Node, files};
use crate::profile::gpu_load;

/// A node whose GPUs Slurm gives out as shards.
fn shards() -> Node {
    with_shards(Node::new())
}

fn with_shards(node: Node) -> Node {
    let text = std::fs::read_to_string(node.path("gres.conf")).unwrap();
    std::fs::write(node.path("gres.conf"), format!("{text}NodeName=wind[1-2] Name=shard Count=16\n")).unwrap();
    node
}

/// A process with a compute context on GRES index 0, ended when dropped.
struct Stranger(Child);

impl Stranger {
    /// Of a user, under a name.
    fn start(node: &Node, uid: u32, name: &str) -> Self {
        Self::spawn(node, Command::new(program(node, name)).uid(uid))
    }

    /// Of a job: below a process with a slurmstepd's title.
    fn of_job(node: &Node, job: u32) -> Self {
        let title = format!("slurmstepd: [{job}.batch]");
        let command = format!("exec -a '{title}' bash -c '{} \"$@\" & wait' -- \"$@\"", program(node, "train").display());
        // As slurmd's steps have it; by it the steps of other tests' nodes are told apart.
        let mut bash = Command::new("bash");
        bash.env("SLURM_CONF", node.path("slurm.conf"));
        Self::spawn(node, bash.args(["-c", &command, "--"]).process_group(0))
    }

    fn spawn(node: &Node, command: &mut Command) -> Self {
        let uuid = Node::uuid(0);
        let library = node.path("gpus/libnvidia-ml.so.1");
        command.args(["--work=1000", "--gpus", &uuid, "--library"]).arg(library).stdout(Stdio::null());
        let before = node.users_of(0);
        let stranger = Self(command.spawn().unwrap());
        until("the process is on the card", || node.users_of(0) > before);
        stranger
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The stand-in's load where every user finds it.
fn program(node: &Node, name: &str) -> std::path::PathBuf {
    std::fs::set_permissions(node.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = node.path(name);
    if !path.exists() {
        std::fs::copy(gpu_load(), &path).unwrap();
    }
    path
}

impl Node {
    fn users_of(&self, gres: u32) -> usize {
        self.bench().look(|now| now.processes(Self::card(gres)).count()).unwrap()
    }
}

#[test]
fn plain_job_before_carbon_job_keeps_full_clock() {
    let node = shards();
    node.prolog(&job(7)).prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    node.epilog(&job(7));
    assert_eq!(node.locked(), [0], "{}", node.log());
    node.epilog(&green(8)).assert_clean();
    assert_eq!(node.line().marks, [Mark::SharedGpu]);
}

#[test]
fn plain_job_after_carbon_job_gets_full_clock() {
    let node = shards();
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0], "alone, it may be slowed: {}", node.log());
    node.prolog(&job(7));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    node.epilog(&green(8)).epilog(&job(7)).assert_clean();
}

#[test]
fn plain_job_is_registered_in_any_configuration() {
    let node = Node::new().node("shared_gpus = true");
    node.prolog(&job(7)).prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());

    let node = Node::new();
    let (plain, carbon) = (job(7).set("SLURM_JOB_OVERSUBSCRIBE", "YES"), green(8).set("SLURM_JOB_OVERSUBSCRIBE", "YES"));
    node.prolog(&plain).prolog(&carbon);
    assert_eq!(node.locked(), [0; 0], "{}", node.log());

    let node = Node::new();
    node.prolog(&job(7).set("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "50")).prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());

    let node = shards();
    let config = std::fs::read_to_string(node.path("carm.toml")).unwrap();
    node.config(&format!("colour = 1\n{config}"));
    node.prolog(&job(7)).config(&config);
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "registered though carm.toml was broken: {}", node.log());
}

#[test]
fn included_and_quoted_shards_are_seen() {
    let of_node = "NodeName=wind[1-2] Gres=\"gpu:8,shard:16\"\n";
    for (file, text, included) in [
        ("gres.conf", "Include more.conf\n", "NodeName=wind[1-2] \\\n  Name=\"shard\" Count=16\n"),
        ("slurm.conf", "include more.conf\n", of_node),
        ("slurm.conf", of_node, ""),
    ] {
        let node = Node::new();
        let before = std::fs::read_to_string(node.path(file)).unwrap_or_default();
        std::fs::write(node.path(file), before + text).unwrap();
        std::fs::write(node.path("more.conf"), included).unwrap();
        node.prolog(&job(7)).prolog(&green(8));
        assert_eq!(node.locked(), [0; 0], "{file}: {text}: {}", node.log());
        let note = std::fs::read_to_string(node.path("state/.shared/wind1.json")).unwrap();
        assert!(note.contains(&format!("{file} has shards or MPS")), "{note}");
    }
}

#[test]
fn uncertain_configuration_registers_plain_jobs() {
    let node = Node::new();
    std::fs::write(node.path("slurm.conf"), "Include nowhere.conf\n").unwrap();
    node.prolog(&job(7)).prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    let note = std::fs::read_to_string(node.path("state/.shared/wind1.json")).unwrap();
    assert!(note.contains("slurm.conf: Include: '") && note.contains("nowhere.conf': No such file"), "{note}");
}

#[test]
fn exclusive_gpus_leave_plain_jobs_untouched() {
    for node in [Node::new(), with_shards(Node::new()).node("shared_gpus = false")] {
        node.prolog(&job(7).set("SLURM_JOB_OVERSUBSCRIBE", "OK"));
        assert_eq!((files(&node.path("state")), node.log().as_str()), (vec![], ""));
        node.epilog(&job(7));
        assert_eq!((files(&node.path("state")), node.log().as_str()), (vec![], ""));
        node.prolog(&green(8));
        assert_eq!(node.locked(), [0], "{}", node.log());
    }
}

#[test]
fn governor_reads_slurms_files_for_the_prologs() {
    let node = crate::govern::node();
    let _governor = Governor::start(&node);
    until("it is noted", || !files(&node.path("state/.shared")).is_empty());
    node.prolog(&green(8));
    let note = || std::fs::read_to_string(node.path("state/.shared/wind1.json")).unwrap_or_default();
    until("exclusive", || note().contains("\"cause\":null"));
    let text = std::fs::read_to_string(node.path("gres.conf")).unwrap();
    std::fs::write(node.path("gres.conf"), format!("{text}Name=mps Count=200\n")).unwrap();
    until("shared", || note().contains("gres.conf has shards or MPS"));
}

#[test]
fn process_of_unregistered_job_keeps_full_clock() {
    // CARM came to the node after that job: by the prolog's files nobody else is there.
    let node = Node::new();
    let stranger = Stranger::of_job(&node, 9);
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    assert_eq!(node.complaints().len(), 1, "{}", node.log());
    assert!(node.log().contains(" of job 9, is on it: full clock while it is there"), "{}", node.log());
    drop(stranger);
    node.epilog(&green(8)).assert_clean();
    assert_eq!(node.line().marks, [Mark::SharedGpu]);
}

#[test]
fn earlier_job_counts_until_it_ends() {
    // It has no process on the card yet.
    let node = shards();
    let title = "exec -a 'slurmstepd: [9.batch]' sleep 1000";
    let slurm_conf = node.path("slurm.conf");
    let mut earlier = Command::new("bash").args(["-c", title]).env("SLURM_CONF", slurm_conf).spawn().unwrap();
    until("it has its title", || {
        std::fs::read(format!("/proc/{}/cmdline", earlier.id())).is_ok_and(|title| title.starts_with(b"slurmstepd"))
    });
    node.prolog(&green(8));
    let locked = node.locked();
    earlier.kill().unwrap();
    earlier.wait().unwrap();
    assert_eq!(locked, [0; 0], "{}", node.log());
    assert!(node.log().contains("job 9, which began before CARM registered this node's jobs"), "{}", node.log());
    node.epilog(&green(8)).prolog(&green(10));
    assert_eq!(node.locked(), [0], "{}", node.log());
}

#[test]
fn governor_gives_full_clock_to_a_later_process() {
    let node = with_shards(crate::govern::node());
    let _governor = Governor::start(&node);
    node.prolog(&green(8));
    until("the governor's clock", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    let stranger = Stranger::start(&node, 2000, "train");
    until("full clock", || node.locked().is_empty());
    sleep_s(2.5);
    assert!(node.locked().is_empty(), "{}", node.log());
    assert_eq!(node.log().matches("(train) of user 2000, is on it: full clock while it is there").count(), 1, "{}", node.log());
    drop(stranger);
    until("slow again", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    node.epilog(&green(8)).assert_clean();
    assert_eq!(node.line().marks, [Mark::SharedGpu], "{}", node.log());
}

#[test]
fn own_processes_and_daemons_do_not_count() {
    let node = shards();
    // SLURM_JOB_UID is 1000.
    let _own = Stranger::start(&node, 1000, "train");
    let _daemon = Stranger::start(&node, 0, "nv-hostengine");
    let _step = Stranger::of_job(&node, 8);
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0], "{}", node.log());
    assert!(node.complaints().is_empty(), "{}", node.log());
}

#[test]
fn containers_do_not_count_on_exclusive_gpus() {
    let node = Node::new();
    let _container = Stranger::start(&node, 2000, "train");
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0], "{}", node.log());
}

#[test]
fn mps_server_of_the_node_keeps_full_clock() {
    let node = Node::new();
    let _server = Stranger::start(&node, 0, "nvidia-cuda-mps-server");
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
}

#[test]
fn clients_of_the_jobs_mps_server_are_seen() {
    let node = Node::new();
    let _server = Stranger::start(&node, 1000, "nvidia-cuda-mps-server");
    let client = Stranger::of_job(&node, 9);
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    drop(client);
    node.epilog(&green(8)).prolog(&green(10));
    assert_eq!(node.locked(), [0], "{}", node.log());
}

#[test]
fn unreadable_process_list_means_full_clock_on_shared_gpus() {
    let fault = "[[fault]]\ncall = \"nvmlDeviceGetComputeRunningProcesses\"\ncode = 3\n";
    let node = shards().faulty(fault);
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    let node = Node::new().faulty(fault);
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0], "{}", node.log());
}
