//! Limits of QOS, associations and partitions, by a real slurmctld with slurmdbd and MariaDB.

use chrono::{TimeDelta, Utc};

use super::start;
use crate::common::{Client, Cluster, Ran, Setup, SlurmRelease, has_accounting};

/// Two users' account, three QOS and a partition for none of the two.
fn cluster() -> Cluster {
    let mut setup = Setup::on(SlurmRelease::Installed)
        .extra("AccountingStorageEnforce=limits,qos")
        .extra("PartitionName=closed Nodes=s1 MaxTime=INFINITE State=UP AllowQos=normal");
    for words in [
        "add account physics",
        "add user root account=physics defaultaccount=physics",
        "add user nobody account=physics",
        "add qos day",
        "modify qos day set maxwall=08:00:00 flags=DenyOnLimit",
        "add qos soft",
        "modify qos soft set maxwall=08:00:00",
        "add qos busy",
        "modify qos busy set GrpTRESRunMins=gres/gpu=1080",
        "modify account physics set qos=normal,day,soft,busy",
    ] {
        setup = setup.accounting(words);
    }
    let cluster = start(setup);
    let now = Utc::now();
    let row = |hour: i64, g: f64| format!("{},{g}\n", (now + TimeDelta::hours(hour)).format("%Y-%m-%dT%H:00:00Z"));
    for (name, g) in [("north", 300.0), ("closed", 20.0)] {
        let rows: String = (-1..72).map(|hour| row(hour, g)).collect();
        let text = format!("time,carbon_g_per_kwh\n{rows}");
        std::fs::write(cluster.folder().join(format!("jobs/{name}.csv")), text).expect("a trace");
    }
    let site = |name: &str, partition: &str| {
        format!(
            "[[zone]]\nname = \"{name}\"\nsource = \"trace\"\npath = \"{name}.csv\"\n\
             [[site]]\nname = \"{name}\"\nzone = \"{name}\"\npartition = \"{partition}\"\ngpus = 4\n"
        )
    };
    // The jobs of this test are no load to each other.
    let config = "[planner]\nask_slurm = false\n".to_owned() + &site("north", "gpu-north") + &site("closed", "closed");
    std::fs::write(cluster.folder().join("jobs/carm.toml"), config).expect("a configuration");
    cluster
}

/// Two GPUs for eight hours, by tomorrow: slower clocks would take longer than eight hours.
fn submit(cluster: &Cluster, client: Client<'_>, words: &[&str]) -> Ran {
    let head = "#!/bin/bash\n#SBATCH --gres=gpu:2 --time=08:00:00 --carbon-deadline=now+24hours\n";
    let script = cluster.script("train.sh", &format!("{head}sleep 1\n"));
    let config = cluster.folder().join("jobs/carm.toml").display().to_string();
    let client = client.with_env("CARM_CONFIG", &config);
    client.run(env!("CARGO_BIN_EXE_carm-submit"), &[&["--begin=now+1hour"], words, &[script.as_str()]].concat())
}

/// Its time limit in minutes, and why it waits.
#[track_caller]
fn limit(cluster: &Cluster, ran: &Ran) -> (u64, String) {
    let shown = cluster.job(ran.job());
    let limit = carm::quantity::parse_slurm_time(&shown["TimeLimit"]).ok().and_then(carm::quantity::SlurmTime::seconds);
    (limit.unwrap_or_else(|| panic!("{shown:?}")) / 60, shown["Reason"].clone())
}

#[test]
fn no_limit_of_slurms_is_exceeded() {
    if !has_accounting() {
        return;
    }
    let cluster = cluster();
    let root = || cluster.with_env("TZ", "UTC");
    let stretched = submit(&cluster, root(), &["-p", "gpu-north", "--qos=normal"]);
    assert!(limit(&cluster, &stretched).0 > 540, "nothing forbids it: {stretched:?}");
    for (qos, most) in [("day", 480), ("soft", 480), ("busy", 540)] {
        let ran = submit(&cluster, root(), &["-p", "gpu-north", &format!("--qos={qos}")]);
        let (minutes, reason) = limit(&cluster, &ran);
        assert!((480..=most).contains(&minutes), "{qos}: {minutes} {reason}: {ran:?}");
    }
    // An ordinary user; the QOS is the association's default.
    let changed = cluster.run("sacctmgr", &["-i", "modify", "user", "nobody", "set", "defaultqos=day"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    let ran = submit(&cluster, cluster.as_user(65534), &["-p", "gpu-north"]);
    assert_eq!(limit(&cluster, &ran).0, 480, "{ran:?}");
    // An association's own limit, without one of the QOS.
    let changed = cluster.run("sacctmgr", &["-i", "modify", "user", "nobody", "set", "defaultqos=normal", "maxwall=10:00:00"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    let ran = submit(&cluster, cluster.as_user(65534), &["-p", "gpu-north"]);
    assert!((481..=600).contains(&limit(&cluster, &ran).0), "{ran:?}");

    // The cleaner partition admits QOS normal alone.
    let moved = submit(&cluster, root(), &["--qos=normal"]);
    assert_eq!(cluster.job(moved.job())["Partition"], "closed", "{moved:?}");
    let kept = submit(&cluster, root(), &["--qos=day"]);
    assert_eq!(cluster.job(kept.job())["Partition"], "gpu-north", "{kept:?}");
    assert!(kept.stderr.contains("partition 'closed' admits no jobs of QOS day"), "{kept:?}");

    // A limit that was lowered in the last five minutes: slurmctld refuses, and the job goes as written.
    let runtime = cluster.folder().join("jobs/run");
    std::fs::create_dir(&runtime).expect("a folder");
    let cached = || root().with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
    let words = ["-p", "gpu-north", "--qos=normal"];
    let ran = submit(&cluster, cached(), &words);
    assert!(limit(&cluster, &ran).0 > 540, "{ran:?}");
    let changed = cluster.run("sacctmgr", &["-i", "modify", "qos", "normal", "set", "maxwall=08:00:00", "flags=DenyOnLimit"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    let ran = submit(&cluster, cached(), &words);
    assert_eq!(limit(&cluster, &ran).0, 480, "{ran:?}");
    assert!(ran.stderr.contains("Slurm refused the job as planned (Job violates accounting/QOS policy"), "{ran:?}");
    // What sbatch refuses in any form it refuses in its own words.
    let words = ["-p", "gpu-north", "--qos=day", "-C", "foo"];
    let refused = submit(&cluster, root(), &words);
    let plain = cluster.sbatch(&[&words[..], &["--gres=gpu:2", "--wrap=true"]].concat());
    assert_eq!((refused.code, refused.stderr), (plain.code, plain.stderr));
}
