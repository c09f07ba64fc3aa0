//! GPUs that slurmd detects, with minor numbers out of PCI order: CARM locks the card that Slurm gave, and no other.
//!
//! Referees are `slurmd -G`, and the devices cgroup where the machine has one: the job can open its own device file alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nvidia_ml::bench::Bench;
use nvidia_ml::place::{EIGHT_GPUS, place};

use crate::common::{Setup, SlurmRelease, skipped, target, wait_for};
use crate::site::{Site, job_numbers};

/// Where Debian's Slurm has its plugins.
const PLUGINS: &str = "/usr/lib/x86_64-linux-gnu/slurm-wlm";

/// A node's name: no two Slurms of this machine may share a cgroup, which is named after it.
fn node_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("d{}x{}", std::process::id(), COUNT.fetch_add(1, Relaxed))
}

/// Fetches Debian's gpu/nvml into the current folder: it is in contrib, which the machine's sources need not have.
const FETCH: &str = "apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) contrib' 'Created-By: Packages' 'Component: main' | sort -u >sources
mkdir -p lists/partial
apt() { apt-get -q -o Dir::Etc::SourceList=$PWD/sources -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$PWD/lists -o APT::Sandbox::User=root \"$@\"; }
apt update
apt download slurm-wlm-nvml-plugin
dpkg-deb --fsys-tarfile slurm-wlm-nvml-plugin_*.deb | tar -x --strip-components=5 --wildcards '*/gpu_nvml.so'";

/// The folder with gpu_nvml.so, or why there is none.
fn nvml_plugin() -> Result<PathBuf, String> {
    let folder = target().join("gpu_nvml");
    if !folder.join("gpu_nvml.so").exists() {
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let fetched =
            Command::new("bash").args(["-ec", FETCH]).current_dir(&folder).output().map_err(|error| error.to_string())?;
        if !fetched.status.success() {
            return Err(String::from_utf8_lossy(&fetched.stderr).lines().last().unwrap_or("bash").to_owned());
        }
    }
    Ok(folder)
}

/// A job that says which of the node's device files it can open: another job's give EPERM, its own ENXIO, since no driver is there.
const OPENS: &str = "#!/bin/bash
for device in /dev/nvidia[0-9]; do
    { : <$device; } 2>&1 | grep -q 'not permitted' || echo opens ${device#/dev/nvidia}
done
sleep 30
";

/// The minor numbers of the node's GPUs in Slurm's order.
fn slurmd_order(site: &Site, node: &str, library: Option<&Path>) -> Vec<u32> {
    let path = library.map_or("/".to_owned(), |path| path.display().to_string());
    let printed = site.cluster.run_inside("env", &[&format!("LD_LIBRARY_PATH={path}"), "slurmd", "-N", node, "-G"]);
    let printed = printed.stdout + &printed.stderr;
    let lines = printed.lines().filter(|line| line.contains("Gres Name=gpu "));
    let files = lines.filter_map(|line| line.split_once("File=")?.1.split_whitespace().next());
    let files: Vec<String> = files.flat_map(|files| carm::slurm::hostlist::expand(files).expect("a list of files")).collect();
    let minors: Vec<u32> = files.iter().map(|file| file.trim_start_matches("/dev/nvidia").parse().expect(file)).collect();
    assert_eq!(minors.len(), 8, "{printed}");
    minors
}

/// The minor numbers of the locked cards.
fn locked(site: &Site) -> Vec<u32> {
    let bench = Bench::open(&site.path("gpu")).expect("the stand-in");
    let minors: Vec<u32> = bench.description().gpus.iter().map(|gpu| gpu.minor).collect();
    let is_locked = |now: &mut nvidia_ml::state::Now| (0..minors.len()).map(|gpu| now.card(gpu).1.lock.is_some()).collect();
    let is_locked: Vec<bool> = bench.look(is_locked).expect("the stand-in's state");
    let mut locked: Vec<u32> = minors.into_iter().zip(is_locked).filter(|(_, is)| *is).map(|(minor, _)| minor).collect();
    locked.sort_unstable();
    locked
}

/// Runs three jobs on a site; each has the card that Slurm gave it, and no other is locked.
fn locks_are_on_the_jobs_cards(site: &Site, order: &[u32], has_cgroup: bool) {
    assert_ne!(order, [0, 1, 2, 3, 4, 5, 6, 7], "a case that cannot fail");
    let mut given: Vec<u32> = Vec::new();
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let options = ["--partition=wind", "--gpus=1", "--time=5", "--carbon-runtime=0:30", "--carbon-deadline=now+4minutes"];
        let job = site.cluster.sbatch_script(&options, OPENS).job();
        let index = wait_for(&format!("job {job} to have a GPU"), || {
            let shown = site.cluster.run("scontrol", &["--details", "show", "job", &job.to_string()]).stdout;
            shown.split_once("(IDX:")?.1.split(')').next()?.parse::<usize>().ok()
        });
        let minor = order[index];
        given.push(minor);
        given.sort_unstable();
        wait_for(&format!("a lock for job {job}"), || (locked(site).len() == given.len()).then_some(()));
        assert_eq!(locked(site), given, "job {job} on GPU {index}\n{}", site.log());
        if has_cgroup {
            let opens = wait_for("the job's device", || site.cluster.output_of(job).lines().next().map(str::to_owned));
            assert_eq!(opens, format!("opens {minor}"), "{}", site.cluster.output_of(job));
        }
        jobs.push((job, minor));
    }
    let description = Bench::open(&site.path("gpu")).expect("the stand-in").description();
    for (job, minor) in jobs {
        site.cluster.run("scancel", &[&job.to_string()]);
        let line = site.ledger_line(job);
        let card = description.gpus.iter().find(|gpu| gpu.minor == minor).expect("a card");
        assert_eq!(line.gpus.iter().map(|gpu| &gpu.uuid).collect::<Vec<_>>(), [&card.uuid], "{line:#?}");
    }
    wait_for("the clocks to be back", || locked(site).is_empty().then_some(()));
    site.cluster.assert_no_node_was_lost();
}

/// Jobs are confined to their devices. Slurm leaves a node's cgroups; they go with this value.
struct Confined(String);

impl Confined {
    /// None where this machine lacks what Slurm wants for it.
    fn to_devices(setup: Setup, node: &str, conf: &Path) -> (Setup, Option<Self>) {
        if !Path::new("/sys/fs/cgroup/devices/devices.deny").exists() {
            skipped("in part: no devices cgroup (version 1) here: slurmd -G alone is the referee");
            return (setup, None);
        }
        let cgroup = conf.join("cgroup.conf");
        std::fs::write(&cgroup, "CgroupPlugin=cgroup/v1\nConstrainDevices=yes\n").expect("cgroup.conf");
        let setup = setup.conf(&cgroup).extra("TaskPlugin=task/cgroup").extra("ProctrackType=proctrack/cgroup");
        (setup, Some(Self(format!("slurm_{node}"))))
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let controllers = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok);
        for folder in controllers.map(|controller| controller.path().join(&self.0)).filter(|folder| folder.exists()) {
            let _ = Command::new("find").arg(folder).args(["-depth", "-type", "d", "-delete"]).status();
        }
    }
}

fn setup(release: SlurmRelease, node: &str, conf: &Path, gres: &str) -> Setup {
    std::fs::write(conf.join("gres.conf"), gres).expect("gres.conf");
    let setup = Setup::on(release).node(&format!("{node}:8:wind:01:00:00")).extra(&job_numbers());
    setup.nvidia_devices().conf(&conf.join("gres.conf"))
}

/// By Slurm's own file of detected GPUs.
fn detected_cards_are_the_jobs(release: SlurmRelease) {
    let (node, conf) = (node_name(), tempfile::tempdir().expect("a folder"));
    let bench = conf.path().join("gpu");
    place(&bench, EIGHT_GPUS).expect("the stand-in NVML");
    let gpus = Bench::open(&bench).expect("the stand-in").description().gpus.iter().map(|gpu| gpu.minor).collect::<Vec<_>>();
    let fake = |(index, minor): (usize, &u32)| {
        let links: Vec<&str> = (0..gpus.len()).map(|other| if other == index { "-1" } else { "0" }).collect();
        format!("nvidia_geforce_rtx_4090|16|{index}-{index}|{}|/dev/nvidia{minor}|(null)|nvidia_gpu_env\n", links.join(","))
    };
    std::fs::write(conf.path().join("fake_gpus.conf"), gpus.iter().enumerate().map(fake).collect::<String>()).expect("a file");
    let setup = setup(release, &node, conf.path(), "AutoDetect=nvml\n").conf(&conf.path().join("fake_gpus.conf"));
    let (setup, confined) = match release {
        SlurmRelease::Installed => Confined::to_devices(setup, &node, conf.path()),
        _ => (setup, None),
    };
    let site = Site::of(setup, "", "");
    let order = slurmd_order(&site, &node, None);
    locks_are_on_the_jobs_cards(&site, &order, confined.is_some());
}

#[test]
fn detected_card_is_the_jobs() {
    detected_cards_are_the_jobs(SlurmRelease::Installed);
}

#[test]
fn detected_card_is_the_jobs_on_debian_13() {
    SlurmRelease::Debian13.run(detected_cards_are_the_jobs);
}

#[test]
fn detected_card_is_the_jobs_on_debian_sid() {
    SlurmRelease::DebianSid.run(detected_cards_are_the_jobs);
}

/// By Debian's gpu/nvml on the stand-in, alone and beside the commonest gres.conf of all.
#[test]
fn card_of_debians_nvml_plugin_is_the_jobs() {
    let plugin = match nvml_plugin() {
        Ok(folder) => folder,
        Err(cause) => return skipped(&format!("no slurm-wlm-nvml-plugin (Debian's contrib): {cause}")),
    };
    for gres in ["AutoDetect=nvml\n", "AutoDetect=nvml\nName=gpu File=/dev/nvidia[0-7]\n"] {
        let (node, conf) = (node_name(), tempfile::tempdir().expect("a folder"));
        let library = conf.path().join("gpu");
        let link =
            |folder: &Path| std::os::unix::fs::symlink("libnvidia-ml.so.1", folder.join("libnvidia-ml.so")).expect("a link");
        place(&library, EIGHT_GPUS).expect("the stand-in NVML");
        link(&library);
        let setup = setup(SlurmRelease::Installed, &node, conf.path(), gres).daemon_env("LD_LIBRARY_PATH", &library);
        let setup = setup.extra(&format!("PluginDir={PLUGINS}:{}", plugin.display()));
        let (setup, confined) = Confined::to_devices(setup, &node, conf.path());
        let site = Site::prepared(setup, "", "", |folder| link(&folder.join("gpu")));
        let order = slurmd_order(&site, &node, Some(&library));
        assert!(
            site.cluster.log(&format!("slurmd-{node}")).contains("8 GPU system device(s) detected"),
            "gpu/nvml is not at work"
        );
        locks_are_on_the_jobs_cards(&site, &order, confined.is_some());
    }
}
