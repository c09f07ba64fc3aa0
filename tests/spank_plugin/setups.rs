//! What an admin may get wrong: an argument, a path, a release. Submissions go on.

use crate::common::{Cluster, Setup, SlurmRelease, plugin_for, repository};
use crate::{anything_of_carm, carbon, on_every_release};

on_every_release!(
    an_unknown_argument_is_an_error_in_the_log_and_nothing_else,
    a_plugin_that_is_switched_off_takes_options_and_does_nothing,
    a_missing_optional_plugin_costs_only_the_options,
);

fn an_unknown_argument_is_an_error_in_the_log_and_nothing_else(release: SlurmRelease) {
    let cluster = Setup::on(release).plugin_arguments("colour=green enabled=perhaps nonsense enabled=yes").start();
    let complaints = [
        "spank_carm: plugstack.conf: 'colour=green': unknown key; known: enabled=yes|no",
        "spank_carm: plugstack.conf: 'enabled=perhaps': neither yes nor no; known: enabled=yes|no",
        "spank_carm: plugstack.conf: 'nonsense': not key=value; known: enabled=yes|no",
    ];
    let ran = cluster.sbatch(&["--carbon-budget=1kg", "--wrap=true"]);
    for complaint in complaints {
        assert!(ran.stderr.contains(&format!("sbatch: error: {complaint}\n")), "{ran:?}");
        assert!(cluster.log("slurmd-n1").contains(&format!("error: {complaint}\n")), "{}", cluster.log("slurmd-n1"));
    }
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Submitted batch job 1\n"));
    assert_eq!(carbon(&cluster.prolog_environment(1)), ["BUDGET=1000", "V=1"]);
    assert_eq!(cluster.wait_for_job(1), "COMPLETED");
    cluster.assert_no_node_was_lost();
}

fn a_plugin_that_is_switched_off_takes_options_and_does_nothing(release: SlurmRelease) {
    let cluster = Setup::on(release).plugin_arguments("enabled=no").start();
    let ran = cluster.sbatch(&["--carbon-budget=1kg", "--wrap=true"]);
    assert_eq!(ran.stdout, "Submitted batch job 1\n");
    assert_eq!(ran.stderr, "[carm] CARM is switched off on this host: carbon options are ignored\n");
    assert_eq!(carbon(&cluster.prolog_environment(1)), [""; 0]);
    assert_eq!(cluster.sbatch(&["--wrap=true"]).stderr, "", "nothing was asked, nothing is said");
}

fn a_missing_optional_plugin_costs_only_the_options(release: SlurmRelease) {
    let cluster = Setup::on(release).without_plugin().plugstack("optional /nowhere/spank_carm.so").start();
    let ran = cluster.sbatch(&["--wrap=true"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Submitted batch job 1\n"), "{ran:?}");
    assert_eq!(cluster.wait_for_job(1), "COMPLETED");
    assert_eq!(anything_of_carm(&cluster.prolog_environment(1)), [""; 0]);
    let ran = cluster.sbatch(&["--carbon-budget=1kg", "--wrap=true"]);
    assert!(ran.code != 0 && ran.stderr.contains("unrecognized option '--carbon-budget=1kg'"), "{ran:?}");
    cluster.assert_no_node_was_lost();
}

#[test]
fn a_plugin_of_another_release_is_refused_by_slurm_and_named_by_check_plugin() {
    if !SlurmRelease::Debian13.is_there() {
        return;
    }
    let foreign = plugin_for(SlurmRelease::Debian13);
    let cluster = Cluster::setup().plugin(&foreign).start();
    let ran = cluster.sbatch(&["--wrap=true"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Submitted batch job 1\n"), "{ran:?}");
    assert_eq!(cluster.wait_for_job(1), "COMPLETED");
    cluster.assert_no_node_was_lost();

    let check_plugin = repository().join("etc/check-plugin").display().to_string();
    let check = |plugin: &std::path::Path| {
        let output = cluster.command(&check_plugin).arg(plugin).output().expect("running check-plugin");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, text) = check(&foreign);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("built for Slurm {}, but this host has ", SlurmRelease::Debian13.major())), "{text}");
    let (code, text) = check(&plugin_for(SlurmRelease::Installed));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = check(std::path::Path::new("/bin/true"));
    assert_eq!(code, Some(2), "{text}");
}
