//! What Slurm allows: time limits of accounts and QOS, partitions and clusters that admit the job, and what follows a refusal.

use std::time::{Duration, Instant};

use crate::fake::{BY_EVENING, Login, trace};

/// A grid on which slower clocks pay, and a job that may take nine hours for three.
const SLOW: &str = "--carbon-deadline=now+9h -p gpu-north train.sh";

fn login() -> Login {
    let login = Login::new();
    login.write("north.csv", &trace(|_| 300.0));
    login
}

/// Appends lines to `[submit]`.
fn configure(login: &Login, lines: &str) {
    let path = login.home.path().join("carm.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    login.write("carm.toml", &format!("[submit]\n{lines}\n{config}"));
}

fn minutes(login: &Login, words: &str) -> Option<u32> {
    let ended = login.submit(words);
    let given = ended.given();
    given.iter().find_map(|word| word.strip_prefix("--time=")).map(|text| text.parse().expect("whole minutes"))
}

/// A user `root` of account physics with a QOS.
fn limit(login: &Login, qos: &str) {
    login.write(
        "bin/assoc_mgr",
        &format!(
            "/bin/cat <<'.'\nUserName=root(0) DefAccount=physics DefWckey= AdminLevel=None\n\
             ClusterName=home Account=root UserName= Partition= ParentAccount= GrpTRESRunMins=cpu=N(0) MaxWallPJ=\n\
             ClusterName=home Account=physics UserName= Partition= ParentAccount=root(1) GrpTRESRunMins=cpu=N(0) MaxWallPJ=\n\
             ClusterName=home Account=physics UserName=root(0) Partition= ParentAccount= GrpTRESRunMins=cpu=N(0) MaxWallPJ=\n\
             QOS=day(2) GrpTRESRunMins=cpu=N(0) {qos}\n.\n"
        ),
    );
}

#[test]
fn a_qos_bounds_the_stretched_limit() {
    let login = login();
    assert!(minutes(&login, SLOW).is_some_and(|minutes| minutes > 240));
    limit(&login, "MaxWallPJ=240");
    assert!(minutes(&login, &format!("--qos=day {SLOW}")).is_some_and(|minutes| (181..=240).contains(&minutes)));
    limit(&login, "MaxWallPJ=180");
    assert_eq!(minutes(&login, &format!("--qos=day {SLOW}")), None);
    limit(&login, "MaxTRESMinsPJ=gres/gpu=400");
    assert!(minutes(&login, &format!("--qos=day {SLOW}")).is_some_and(|minutes| (181..=200).contains(&minutes)), "two GPUs");
}

#[test]
fn an_unknown_limit_forbids_the_stretch() {
    let login = login();
    login.write("bin/assoc_mgr", "exit 1");
    let ended = login.submit(SLOW);
    assert!(!ended.given().iter().any(|word| word.starts_with("--time=")), "{:?}", ended.given());
    ended.says("carm-submit: scontrol show assoc_mgr: no answer; the time limit is not raised\n");
    // The default QOS is sacctmgr's to tell, and there is none here.
    limit(&login, "MaxWallPJ=240");
    login.submit(SLOW).says("sacctmgr show associations: no answer; the time limit is not raised");
    limit(&login, "GrpTRESMins=cpu=5(0)");
    login.submit(&format!("--qos=day {SLOW}")).says("a limit on cpu minutes holds for this job; the time limit is not raised");
}

#[test]
fn a_site_caps_or_forbids_the_stretch() {
    for (key, most) in [("true", 540), ("\"10%\"", 198), ("false", 0)] {
        let login = login();
        configure(&login, &format!("stretch_limit = {key}"));
        let minutes = minutes(&login, SLOW).unwrap_or(0);
        assert!(minutes <= most && (most == 0 || minutes > 180), "{key}: {minutes}");
        let asked = login.submit(SLOW).controlled.iter().any(|words| words.contains("assoc_mgr"));
        assert_eq!(asked, most > 0, "{key}: asked only where a stretch is wanted");
    }
    let login = login();
    configure(&login, "stretch_limit = \"more\"");
    login
        .submit(&format!("--strict {SLOW}"))
        .refused(1, "submit.stretch_limit: 'more': not a share; give true, false or one such as");
}

#[test]
fn limits_are_asked_once_in_five_minutes() {
    let login = login();
    let runtime = login.home.path().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    let login = login.with("XDG_RUNTIME_DIR", &runtime.display().to_string());
    let asked = |login: &Login| login.submit(SLOW).controlled.iter().filter(|words| words.contains("assoc_mgr")).count();
    assert_eq!((asked(&login), asked(&login)), (1, 0));
    // Another slurm.conf is another cluster.
    assert_eq!(asked(&login.with("SLURM_CONF", "/other/slurm.conf")), 1);
}

const REFUSED: &str = "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size \
                       and/or time limits)";

#[test]
fn a_refused_plan_is_submitted_as_written() {
    let login = login();
    login
        .write("bin/answer", &format!("case $* in *--time=*) echo \"{REFUSED}\" >&2; exit 1; esac; echo Submitted batch job 42"));
    let ended = login.submit(SLOW);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
    assert_eq!(ended.given()[..2], ["-p", "gpu-north"]);
    assert!(!ended.given().iter().any(|word| word.starts_with("--time=") || word.starts_with("--begin=")), "{:?}", ended.given());
    ended.says("carm-submit: Slurm refused the job as planned (Job violates accounting/QOS policy (job submit limit");
    assert!(!ended.stderr.contains("sbatch: error") && !ended.stderr.contains("  plan "), "{}", ended.stderr);
    // A job that Slurm takes in no form gets Slurm's words alone.
    login.write("bin/answer", &format!("echo \"{REFUSED}\" >&2; exit 1"));
    let ended = login.submit(SLOW);
    assert_eq!((ended.code, ended.stderr), (1, format!("{REFUSED}\n")));
}

#[test]
fn a_lost_connection_is_not_submitted_again() {
    let login = login();
    let lost = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation";
    login.write("bin/answer", &format!("echo called >> \"$here/calls\"; echo '{lost}' >&2; exit 1"));
    let ended = login.submit(SLOW);
    assert_eq!((ended.code, ended.stderr), (1, format!("{lost}\n")));
    let calls = std::fs::read_to_string(login.home.path().join("bin/calls")).expect("calls");
    assert_eq!(calls.lines().count(), 1, "the job may exist");
}

#[test]
fn jobs_stay_out_of_partitions_without_access() {
    for (rule, reason) in [
        ("AllowAccounts=chem", "admits no jobs of account physics"),
        ("DenyQos=day", "admits no jobs of QOS day"),
        ("MinNodes=2", "admits no jobs of fewer than 2 nodes (MinNodes)"),
        ("DisableRootJobs=YES", "admits no jobs of root (DisableRootJobs)"),
        ("AllocNodes=nowhere", "(AllocNodes)"),
        ("ReqResv=YES", "needs a reservation"),
    ] {
        let login = Login::new();
        login.write(
            "bin/partitions",
            &format!(
                "PartitionName=gpu-north Default=YES MaxTime=2-00:00:00 State=UP\n\
                 PartitionName=gpu-south {rule} MaxTime=2-00:00:00 State=UP\n"
            ),
        );
        let words = format!("-A physics --qos=day {BY_EVENING} train.sh");
        let ended = login.submit(&words);
        assert!(ended.given().contains(&"--partition=gpu-north"), "{rule}: {:?}", ended.given());
        ended.says("site 'south' is left out: partition 'gpu-south' ");
        ended.says(reason);
        // Its user's own choice is Slurm's to judge.
        let ended = login.submit(&format!("-p gpu-south {words}"));
        assert!(!ended.stderr.contains("left out"), "{rule}: {}", ended.stderr);
    }
}

/// South on another cluster.
fn two_clusters(submit: &str) -> Login {
    let login = Login::new();
    configure(&login, submit);
    let path = login.home.path().join("carm.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    let config = config.replace("\"gpu-north\"", "\"gpu-north\"\ncluster = \"home\"");
    login.write("carm.toml", &config.replace("\"gpu-south\"", "\"gpu-south\"\ncluster = \"far\""));
    login.write("bin/partitions-far", "PartitionName=gpu-south Default=YES MaxTime=2-00:00:00 State=UP\n");
    login
}

#[test]
fn a_job_leaves_its_cluster_by_consent_alone() {
    let words = format!("{BY_EVENING} train.sh");
    let at_home = two_clusters("").submit(&words);
    assert!(at_home.given().contains(&"--partition=gpu-north"), "{:?}", at_home.given());
    assert!(!at_home.given().iter().any(|word| word.starts_with("--clusters")), "{:?}", at_home.given());
    assert!(!at_home.controlled.iter().any(|words| words.contains("--clusters")), "{:?}", at_home.controlled);
    let moved = two_clusters("other_clusters = true").submit(&words);
    assert!(moved.given().contains(&"--clusters=far"), "{:?}", moved.given());
    let named = two_clusters("").submit(&format!("-M home,far {words}"));
    assert!(named.given().contains(&"--clusters=far"), "{:?}", named.given());
}

#[test]
fn a_cluster_that_does_not_answer_is_left_out() {
    for silence in ["exit 1", "exec /bin/sleep 60"] {
        let login = two_clusters("other_clusters = true");
        login.edit("scontrol", "exec /bin/cat", &format!("{silence}; exec /bin/cat"));
        let begin = Instant::now();
        let ended = login.submit(&format!("{BY_EVENING} train.sh"));
        assert!(ended.given().contains(&"--partition=gpu-north"), "{:?}", ended.given());
        ended.says("site 'south' is left out: cluster far: no answer");
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_job_refused_elsewhere_is_submitted_at_home() {
    let login = two_clusters("other_clusters = true");
    let refused = "sbatch: error: 'far' can't be reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list clusters' to see \
                   available clusters.";
    login.write(
        "bin/answer",
        &format!("case $* in *--clusters=*) echo \"{refused}\" >&2; exit 1; esac; echo Submitted batch job 42"),
    );
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
    ended.says("carm-submit: Slurm refused the job as planned ('far' can't be reached now");
}

#[test]
fn sites_without_gpus_are_counted_by_sinfo() {
    let login = Login::new();
    let path = login.home.path().join("carm.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    login.write("carm.toml", &config.replace("gpus = 8\n", ""));
    let words = format!("--gpus=6 {BY_EVENING} train.sh");
    login.executable(
        "sinfo",
        "#!/bin/sh\nprintf 'gpu-north|n1|gpu:4|(null)|\\ngpu-north|n2|gpu:4|(null)|\\ngpu-south|s1|gpu:4|(null)|\\n'\n",
    );
    let ended = login.submit(&words);
    assert!(ended.given().contains(&"--partition=gpu-north"), "{:?}", ended.given());
    login.submit(&format!("-p gpu-south {words}")).says("south: the job asks for 6 GPUs, and the site has 4");
    login.executable("sinfo", "#!/bin/sh\nexit 1\n");
    let ended = login.submit(&words);
    ended.says("carm-submit: sinfo: no answer; the sites' GPUs are not counted\n");
    assert!(ended.given().contains(&"--partition=gpu-south"), "{:?}", ended.given());
}
