//! The GPU order that CARM reads from gres.conf, against the order that `slurmd -G` prints.
//!
//! slurmd takes its detected GPUs from `fake_gpus.conf` beside slurm.conf: those with links are NVML's, those without are
//! `AutoDetect=nvidia`'s.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;

use carm::slurm::conf;
use carm::slurm::gres_conf::{Detected, Listing};
use common::{Cluster, Setup, SlurmRelease};

/// Minors in PCI order, as on hosts with AMD EPYC, and models.
const CARDS: [(u32, &str); 4] = [(2, "nvidia_a100"), (3, "nvidia_a100"), (0, "nvidia_h100"), (1, "nvidia_a100")];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Detection {
    Nvml,
    Nvidia,
    None,
}

/// How slurmd detects, gres.conf with `DEV` for the folder of devices, and the node's `Gres=`.
const CASES: &[(Detection, &str, &str)] = &[
    (Detection::Nvml, "AutoDetect=nvml", "gpu:4"),
    (Detection::Nvml, "AutoDetect=nvml", "gpu:2"),
    (Detection::Nvml, "AutoDetect=nvml", "gpu:a100:3,gpu:h100:1"),
    (Detection::Nvml, "AutoDetect=nvml", "gpu:h100:1,gpu:a100:2"),
    (Detection::Nvml, "AutoDetect=nvml\nName=gpu File=DEV/nvidia[0-3]", "gpu:4"),
    (Detection::Nvml, "AutoDetect=nvml\nName=gpu File=DEV/nvidia[3,0-1]", "gpu:3"),
    (Detection::Nvml, "AutoDetect=nvml\nName=gpu File=DEV/nvidia[0-3]", "gpu:3"),
    (
        Detection::Nvml,
        "AutoDetect=nvml\nName=gpu Type=a100 File=DEV/nvidia[1-3]\nName=gpu Type=h100 File=DEV/nvidia0",
        "gpu:h100:1,gpu:a100:3",
    ),
    (Detection::Nvml, "AutoDetect=off\nNodeName=n[1-2] AutoDetect=nvml Name=gpu File=DEV/nvidia[0-3]", "gpu:4"),
    (Detection::Nvml, "Name=gpu File=DEV/nvidia1 AutoDetect=nvml\nAutoDetect=nvml\nName=gpu File=DEV/nvidia0", "gpu:2"),
    (Detection::Nvidia, "AutoDetect=nvidia", "gpu:4"),
    (Detection::Nvidia, "AutoDetect=nvidia\nName=gpu File=DEV/nvidia[3,0-2]", "gpu:4"),
    (Detection::None, "Name=gpu File=DEV/nvidia[3,0-2]", "gpu:4"),
    (Detection::None, "AutoDetect=nvml\nNodeName=n1 AutoDetect=off Name=gpu File=DEV/nvidia[3,0-2]", "gpu:4"),
    (Detection::None, "NodeName=n1 Name=gpu File=DEV/nvidia0\nName=gpu File=DEV/nvidia[2-3]", "gpu:3"),
    (Detection::None, "Name=gpu Type=b File=DEV/nvidia[0-1]\nName=gpu Type=a File=DEV/nvidia[3,2]", "gpu:a:2,gpu:b:2"),
    (Detection::None, "Name = gpu File = \"DEV/nvidia[1-2],\" # two\nName=gpu \\\nFile=DEV/nvidia0", "gpu:3"),
    (Detection::None, "Include more.conf\nName=gpu File=DEV/nvidia0", "gpu:3"),
];

/// `slurmd -G`'s files, in order, without their folder.
fn slurmd_order(cluster: &Cluster, slurm_conf: &Path) -> Vec<String> {
    let ran = cluster.run("env", &[&format!("SLURM_CONF={}", slurm_conf.display()), "slurmd", "-N", "n1", "-G"]);
    let printed = format!("{}{}", ran.stdout, ran.stderr);
    let gpus: Vec<&str> = printed.lines().filter(|line| line.contains("Gres Name=gpu ")).collect();
    assert!(!gpus.is_empty(), "{printed}");
    let files = gpus.iter().filter_map(|line| line.split_once("File=")?.1.split_whitespace().next());
    let expanded = files.flat_map(|file| carm::slurm::hostlist::expand(file.trim_end_matches(',')).expect("a list of files"));
    expanded.map(|file| file.rsplit('/').next().unwrap().to_owned()).collect()
}

fn carm_order(gres: &str, slurm: &str, more: &str, dev: &Path) -> Result<Vec<String>, String> {
    let lines = |text: &str| conf::read(text, &|_| Ok(more.to_owned()));
    let detected: Vec<Detected> = (0..)
        .zip(CARDS)
        .map(|(nvml_index, (minor, kind))| Detected {
            kind: kind.to_owned(),
            file: dev.join(format!("nvidia{minor}")).display().to_string(),
            nvml_index,
        })
        .collect();
    let files = Listing::read(&lines(gres)?, Some(&lines(slurm)?), "n1")?.order(&detected)?;
    Ok(files.iter().map(|file| file.rsplit('/').next().unwrap().to_owned()).collect())
}

fn order_equals_slurmds(release: SlurmRelease) {
    let cluster = Setup::on(release).without_plugin().start();
    let folder = cluster.folder().join("order");
    let dev = cluster.folder().join("dev");
    fs::create_dir(&folder).unwrap();
    fs::copy(cluster.folder().join("cgroup.conf"), folder.join("cgroup.conf")).unwrap();
    let base = fs::read_to_string(cluster.slurm_conf()).unwrap();
    for (detection, gres, counts) in CASES {
        let slurm = base.replace("Gres=gpu:4", &format!("Gres={counts}"));
        assert!(slurm.contains(&format!("Gres={counts}")), "{slurm}");
        let gres = gres.replace("DEV", &dev.display().to_string());
        let more = format!("Name=gpu File={}/nvidia[2-3]\n", dev.display());
        let fake = folder.join("fake_gpus.conf");
        let mut cards = String::new();
        for (index, (minor, kind)) in CARDS.iter().enumerate() {
            let links: Vec<&str> = (0..4).map(|other| if other == index { "-1" } else { "0" }).collect();
            let links = if *detection == Detection::Nvml { links.join(",") } else { "(null)".into() };
            cards += &format!(
                "{kind}|16|{}-{}|{links}|{}/nvidia{minor}|(null)|nvidia_gpu_env\n",
                index * 4,
                index * 4 + 3,
                dev.display()
            );
        }
        if *detection == Detection::None {
            let _ = fs::remove_file(&fake);
        } else {
            fs::write(&fake, cards).unwrap();
        }
        for (name, text) in [("gres.conf", &gres), ("slurm.conf", &slurm), ("more.conf", &more)] {
            fs::write(folder.join(name), text).unwrap();
        }
        let slurmds = slurmd_order(&cluster, &folder.join("slurm.conf"));
        assert_eq!(carm_order(&gres, &slurm, &more, &dev), Ok(slurmds), "{detection:?}, Gres={counts}: {gres}");
    }
}

#[test]
fn order_equals_that_of_slurmd() {
    SlurmRelease::Installed.run(order_equals_slurmds);
}

#[test]
fn order_equals_that_of_debian_13() {
    SlurmRelease::Debian13.run(order_equals_slurmds);
}

#[test]
fn order_equals_that_of_debian_sid() {
    SlurmRelease::DebianSid.run(order_equals_slurmds);
}
