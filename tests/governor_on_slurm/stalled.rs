//! File systems that stall, as a file server does, under a Slurm that drains nodes whose prolog or epilog takes 15 s.

use std::os::unix::fs::PermissionsExt;

use nvidia_ml::bench::Bench;

use crate::QUICK;
use crate::common::{Setup, SlurmRelease, built, skipped, wait_for};
use crate::disk::{self, Disk};
use crate::governor::Governor;
use crate::site::{Site, job_numbers};

/// The longest that prolog and epilog may take, in seconds.
const BOUND_S: f64 = 5.0;

/// Runs carm-prolog, and records job, verb, seconds and exit status in `times`.
const WRAPPER: &str = "#!/bin/bash\n\
    begin=$EPOCHREALTIME\n\
    PROGRAM VERB --config FOLDER/carm.toml\n\
    code=$?\n\
    echo $SLURM_JOB_ID VERB $begin $EPOCHREALTIME $code >>FOLDER/times\n\
    exit $code\n";

/// Field order is drop order: the disks lie in the site's folder.
struct Stalling {
    ledger: Disk,
    log: Disk,
    cache: Disk,
    site: Site,
}

impl Stalling {
    /// A site with ledger, log and grid on file systems of their own.
    fn start() -> Self {
        let setup = Setup::on(SlurmRelease::Installed).node("wind1:4:wind:01:00:00").node("solar1:4:solar:01:00:00");
        let setup = setup.extra(&job_numbers()).extra("PrologEpilogTimeout=15");
        let mut disks = Vec::new();
        let site = Site::prepared(setup, QUICK, "", |folder| {
            disks = ["ledger", "log", "cache"].map(|name| Disk::mount(folder.join(name)).expect("a disk")).into();
            std::fs::rename(folder.join("grid.csv"), folder.join("grid")).expect("the trace");
            std::fs::copy(folder.join("grid"), folder.join("cache/grid.csv")).expect("the trace");
            let config = folder.join("carm.toml");
            let text = std::fs::read_to_string(&config).expect("the configuration");
            let text = text.replace("carm.log\"", "log/carm.log\"").replace("\"grid.csv\"", "\"cache/grid.csv\"");
            std::fs::write(&config, text).expect("the configuration");
            // Where the tests look for it.
            std::os::unix::fs::symlink("log/carm.log", folder.join("carm.log")).expect("a link");
            for verb in ["prolog", "epilog"] {
                let script = WRAPPER.replace("VERB", verb).replace("FOLDER", &folder.display().to_string());
                let script = script.replace("PROGRAM", &built("carm-prolog").display().to_string());
                std::fs::write(folder.join(verb), script).expect("a script");
                std::fs::set_permissions(folder.join(verb), std::fs::Permissions::from_mode(0o755)).expect("an executable");
            }
        });
        let [ledger, log, cache] = <[Disk; 3]>::try_from(disks).unwrap_or_else(|_| panic!("three disks"));
        Self { ledger, log, cache, site }
    }

    fn locked(&self) -> usize {
        let bench = Bench::open(&self.site.path("gpu")).expect("the stand-in");
        let cards = bench.description().gpus.len();
        let locked = bench.look(|now| (0..cards).filter(|&card| now.card(card).1.lock.is_some()).count());
        locked.expect("the stand-in's state")
    }

    /// The job's lines in the ledger, twice or not.
    fn lines(&self, job: u32) -> usize {
        let entries = std::fs::read_dir(self.site.path("ledger")).expect("the ledger").map(|entry| entry.expect("a file").path());
        let texts =
            entries.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).expect("a file of the ledger"));
        texts.map(|text| text.matches(&format!("\"job\":{job},")).count()).sum()
    }

    /// A whole job while a file system is frozen; it is booked when that is over.
    fn run(&self, disk: &Disk) {
        let name = disk.path().display();
        let frozen = disk.frozen();
        let script = self.site.training_script("#SBATCH --gpus=2 --time=5 --carbon-runtime=0:03", 3.0);
        let job = self.site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
        self.site.slowed("solar1", job);
        assert!(self.locked() > 0, "{name}");
        assert_eq!(self.site.cluster.wait_for_job(job), "COMPLETED", "{name}: {}", self.site.cluster.output_of(job));
        let both = || {
            let text = std::fs::read_to_string(self.site.path("times")).ok()?;
            let times: Vec<String> =
                text.lines().filter(|line| line.starts_with(&format!("{job} "))).map(str::to_owned).collect();
            (times.len() == 2).then_some(times)
        };
        for line in wait_for("prolog and epilog to end", both) {
            let words: Vec<&str> = line.split(' ').collect();
            let seconds = words[3].parse::<f64>().expect("a time") - words[2].parse::<f64>().expect("a time");
            assert!(seconds < BOUND_S && words[4] == "0", "{name}: {line}: {seconds} s");
        }
        assert_eq!(self.locked(), 0, "{name}");
        let is_idle = || self.site.cluster.node_states().iter().all(|state| state == "idle").then_some(());
        wait_for("idle nodes", is_idle);
        if disk.path().ends_with("ledger") {
            assert_eq!(self.lines(job), 0, "the ledger is frozen");
        }
        drop(frozen);
        assert_eq!(self.site.ledger_line(job).gpus.len(), 2);
        wait_for("the spool to be empty", || {
            std::fs::read_dir(self.site.path("state/solar1")).is_ok_and(|mut files| files.next().is_none()).then_some(())
        });
        assert_eq!(self.lines(job), 1, "{name}");
        wait_for("the log", || self.site.log().contains(&format!("job {job}: ")).then_some(()));
    }
}

#[test]
fn stalled_storage_drains_no_node() {
    if let Err(cause) = disk::permitted() {
        return skipped(&format!("no loop device that freezes here: {cause}"));
    }
    let stalling = Stalling::start();
    stalling.run(&stalling.ledger);
    let governor = Governor::start(&stalling.site);
    for disk in [&stalling.ledger, &stalling.log, &stalling.cache] {
        stalling.run(disk);
    }
    governor.stop().assert_nothing_is_left();
    stalling.site.cluster.assert_no_node_was_lost();
}
