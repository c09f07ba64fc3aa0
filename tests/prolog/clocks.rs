//! Which GPUs are locked, at which clocks, and what they are given back as.

use crate::job::{green, job};
use crate::node::{GREENEST_MHZ, LOWEST_MHZ, Node, assert_marks};
use carm::ledger::Mark;

#[test]
fn exactly_the_jobs_gpus_are_locked_from_the_lowest_clock_to_the_chosen_one() {
    let node = Node::new();
    node.prolog(&green(7).gpus("0,2"));
    assert_eq!(node.locked(), [0, 2], "{}", node.log());
    assert_eq!(node.lock(0), Some((LOWEST_MHZ, GREENEST_MHZ)));
    assert_eq!(node.lock(2), Some((LOWEST_MHZ, GREENEST_MHZ)));
    node.epilog(&green(7).gpus("0,2")).assert_clean();
    let line = node.line();
    assert_marks(&line, &[]);
    assert_eq!((line.clock_mhz, line.decision.as_str()), (Some(GREENEST_MHZ), "least carbon by the deadline"));
    assert_eq!(line.gpus.iter().map(|gpu| gpu.uuid.clone()).collect::<Vec<_>>(), [Node::uuid(0), Node::uuid(2)]);
}

#[test]
fn gpu_files_of_the_configuration_go_before_gres_conf() {
    let node = Node::new().node("gpu_files = [\"/dev/nvidia6\", \"/dev/nvidia5\"]");
    node.prolog(&green(7).gpus("1"));
    // GRES 1 of that list is minor 5, which is GRES 1 of gres.conf as well; index 0 is minor 6, GRES 2 there.
    assert_eq!(node.locked(), [1], "{}", node.log());
    node.epilog(&green(7).gpus("1")).prolog(&green(8).gpus("0"));
    assert_eq!(node.locked(), [2], "{}", node.log());
}

/// A node with these files beside slurm.conf, and with or without slurmd's NVML plugin.
fn configured(gres_conf: &str, slurm_conf: &str, nvml_plugin: bool) -> Node {
    let node = Node::new();
    std::fs::create_dir(node.path("plugins")).unwrap();
    std::fs::write(node.path("plugins/gpu_generic.so"), "").unwrap();
    if nvml_plugin {
        std::fs::write(node.path("plugins/gpu_nvml.so"), "").unwrap();
        std::fs::write(node.path("gpus/libnvidia-ml.so"), "").unwrap();
    }
    std::fs::write(node.path("gres.conf"), gres_conf).unwrap();
    std::fs::write(node.path("slurm.conf"), format!("PluginDir={}\n{slurm_conf}", node.path("plugins").display())).unwrap();
    node
}

/// NVML's indices of the locked cards.
fn locked_cards(node: &Node) -> Vec<usize> {
    (0..8).filter(|&card| node.bench().look(|now| now.card(card).1.lock).unwrap().is_some()).collect()
}

const EIGHT: &str = "NodeName=wind[1-2] Gres=gpu:8";

#[test]
fn nvml_detection_locks_cards_by_bus() {
    // The minors of cards 0 to 3 are 1, 0, 3, 2.
    for gres_conf in ["AutoDetect=nvml", "AutoDetect=nvml\nName=gpu File=/dev/nvidia[0-7]"] {
        let node = configured(gres_conf, EIGHT, true);
        node.prolog(&green(7).gpus("0,3"));
        assert_eq!(locked_cards(&node), [0, 3], "{gres_conf}: {}", node.log());
        node.epilog(&green(7).gpus("0,3")).assert_clean();
    }
}

#[test]
fn other_orders_lock_cards_by_file() {
    let typed = "Name=gpu Type=b File=/dev/nvidia[0-3]\nName=gpu Type=a File=/dev/nvidia[4-7]";
    for (gres_conf, slurm_conf, cards) in [
        ("AutoDetect=nvidia", EIGHT, [1, 2]),
        ("Name = gpu \\\nFile = \"/dev/nvidia[0-7],\" # all", EIGHT, [1, 2]),
        ("Include more.conf", "NodeName=wind1 Gres=gpu:4", [1, 7]),
        (typed, "NodeName=wind1 Gres=gpu:a:4,gpu:b:4", [5, 6]),
    ] {
        let node = configured(gres_conf, slurm_conf, false);
        std::fs::write(node.path("more.conf"), "Name=gpu File=/dev/nvidia[6,4,5,0]\n").unwrap();
        node.prolog(&green(7).gpus("0,3"));
        assert_eq!(locked_cards(&node), cards, "{gres_conf}: {}", node.log());
        node.epilog(&green(7).gpus("0,3")).assert_clean();
    }
}

#[test]
fn linked_device_files_are_resolved() {
    let node = Node::new();
    std::fs::write(node.path("nvidia5"), "").unwrap();
    std::os::unix::fs::symlink("nvidia5", node.path("gpu0")).unwrap();
    std::fs::write(node.path("gres.conf"), format!("Name=gpu File={}\n", node.path("gpu0").display())).unwrap();
    node.prolog(&green(7).gpus("0"));
    assert_eq!(locked_cards(&node), [4], "{}", node.log());
}

#[test]
fn uncertain_detection_leaves_gpus_alone() {
    // 15 is NVML_ERROR_GPU_IS_LOST.
    let lost = "[[fault]]\ncall = \"nvmlDeviceGetUUID\"\ngpu = 2\ncode = 15\n";
    for (gres_conf, plugin, faults, cause) in [
        ("AutoDetect=nvml\nName=gpu File=/dev/nvidia[0-7]", false, "", "without NVML slurmd uses the order of the files;"),
        ("AutoDetect=nvml\nName=gpu File=/dev/nvidia[0-7]", true, lost, "GPU 2 does not respond"),
        ("AutoDetect=nvml", true, lost, "more GPUs than the driver"),
        ("AutoDetect=full", true, "", "two orders"),
        ("AutoDetect=nvml\nInclude nowhere", true, "", "Include: "),
    ] {
        let node = configured(gres_conf, EIGHT, plugin).faulty(faults);
        let line = node.whole_job(&green(7).gpus("0"));
        assert_marks(&line, &[Mark::EnergyLost, Mark::ClocksUntouched]);
        assert!(line.decision.contains(cause), "{gres_conf}: {}", line.decision);
        assert!(line.decision.contains("gpu_files under [node]"), "{}", line.decision);
        node.assert_clean();
    }
}

#[test]
fn uuids_in_cuda_visible_devices_are_taken_at_their_word() {
    let node = Node::new();
    let job = green(7).set("CUDA_VISIBLE_DEVICES", &format!("{},{}", Node::uuid(5), Node::uuid(3)));
    node.prolog(&job);
    assert_eq!(node.locked(), [3, 5], "{}", node.log());
    node.epilog(&job).assert_clean();
}

#[test]
fn gpus_that_cannot_be_told_for_certain_are_left_alone_with_one_line_and_a_mark() {
    let hostile = format!("GPU-{}/../../etc", "9".repeat(5000));
    for (list, told, cause) in [
        ("0", "0,1,MIG-1", "MIG"),
        ("8", "8", "no device file"),
        ("0;reboot", "0", "no list of indices"),
        ("0", hostile.as_str(), "no GPU answers"),
    ] {
        let node = Node::new();
        let line = node.whole_job(&green(7).set("SLURM_JOB_GPUS", list).set("CUDA_VISIBLE_DEVICES", told));
        assert_marks(&line, &[Mark::EnergyLost, Mark::ClocksUntouched]);
        assert!(line.decision.contains(cause), "{list} {told}: {}", line.decision);
        assert_eq!(node.complaints().len(), 1, "{}", node.log());
        node.assert_clean();
    }
}

#[test]
fn the_sites_own_lock_is_put_back_and_never_exceeded() {
    let node = Node::new().node("restore_mhz = [300, 2100]");
    node.prolog(&green(7));
    assert_eq!(node.lock(0), Some((300, GREENEST_MHZ)), "{}", node.log());
    node.epilog(&green(7));
    assert_eq!(node.lock(0), Some((300, 2100)));

    let node = Node::new().node("restore_mhz = [210, 1260]");
    let line = node.whole_job(&green(7));
    // Under the site's lock every level is the top one: full clock is all there is.
    assert_eq!((line.clock_mhz, node.locked()), (None, vec![]), "{}", node.log());
}

#[test]
fn persistence_mode_that_was_off_is_on_while_the_job_runs_and_off_again_after() {
    let node = Node::new().cards(|cards| cards.replace("persistence = true", "persistence = false"));
    node.prolog(&green(7).gpus("0,1"));
    assert!(node.persistence(0) && node.persistence(1) && !node.persistence(2), "{}", node.log());
    assert_eq!(node.locked(), [0, 1], "a lock outlives the prolog");
    node.epilog(&green(7).gpus("0,1"));
    assert!(!node.persistence(0) && !node.persistence(1), "{}", node.log());
    node.assert_clean();
    assert_marks(&node.line(), &[]);
}

#[test]
fn a_card_that_refuses_persistence_mode_is_left_alone_with_one_warning() {
    let node = Node::new().cards(|cards| cards.replace("persistence = true", "persistence = false"));
    node.faults("[[fault]]\ncall = \"nvmlDeviceSetPersistenceMode\"\ncode = 3\n");
    let line = node.whole_job(&green(7).gpus("0,1"));
    assert!(line.decision.contains("switching persistence mode on: not supported"), "{}", line.decision);
    // Unlocked, and the counter does not outlive the prolog: nothing that it says may be booked.
    assert_marks(&line, &[Mark::EnergyLost, Mark::ClocksUntouched]);
    assert_eq!((line.gpu_energy_j, node.complaints().len()), (0.0, 1), "{}", node.log());
    node.assert_clean();
}

#[test]
fn a_job_that_keeps_full_clock_keeps_its_energy_counter_too() {
    let node = Node::new().cards(|cards| {
        cards
            .replace("persistence = true", "persistence = false\n")
            .replace("log_calls", "unload_resets_energy = true\nlog_calls")
    });
    let late = green(7).deadline_in("1m");
    node.prolog(&late);
    assert_eq!(node.locked(), [0; 0]);
    let before = node.energy_j(0);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let after = node.energy_j(0);
    node.epilog(&late).assert_clean();
    let booked = node.line().gpu_energy_j;
    assert!(booked >= after - before && after > before, "{booked} J of {before}..{after}: {}", node.log());
}

#[test]
fn cards_of_different_models_keep_full_clock() {
    let other = "[[gpu]]\ncard = \"NVIDIA GeForce RTX 4090\"\nname = \"NVIDIA A100\"\nuuid = \"GPU-other\"\nminor = 9\n";
    let node = Node::new().cards(|cards| format!("{cards}\n{other}"));
    let both = format!("{},GPU-other", Node::uuid(0));
    let line = node.whole_job(&green(7).set("CUDA_VISIBLE_DEVICES", &both));
    assert_marks(&line, &[Mark::ClocksUntouched]);
    assert_eq!(line.decision, "its GPUs are of different models");
    assert_eq!(line.gpus.len(), 2);
}

#[test]
fn budget_share_is_frozen_at_first_run() {
    let node = Node::new();
    let first = job(7).work("1h").carbon("BUDGET_SHARE", "0.8");
    node.prolog(&first);
    assert!(node.lock(0).is_some(), "{}", node.log());
    node.epilog(&first).assert_clean();
    let budget_g = |line: &carm::ledger::Record| line.request.get("CARM_BUDGET").and_then(|text| text.parse::<f64>().ok());
    let frozen_g = budget_g(&node.line()).expect("grams");
    // Requeued with other work: the same budget.
    let second = job(7).work("2h").carbon("BUDGET_SHARE", "0.8").set("SLURM_RESTART_COUNT", "1");
    node.prolog(&second).epilog(&second).assert_clean();
    assert_eq!(node.ledger().iter().map(budget_g).collect::<Vec<_>>(), [Some(frozen_g); 2], "{}", node.log());
}
