//! The plugin in a real Slurm.

mod common;

use common::*;

fn core(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let job = cluster.sbatch(&["--carbon-budget=2kg", "--wrap", "env; sleep 1"]).job();
    let prolog = cluster.prolog_environment(job);
    assert_eq!(prolog.get("SPANK_CARM_BUDGET").map(String::as_str), Some("2000"), "{prolog:?}");
    assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    println!("{}", cluster.output_of(job));
    println!("{:?}", cluster.as_user(65534).sbatch(&["--carbon-b=5", "--wrap", "id"]));
    println!("{:?}", cluster.run("sbatch", &["--help"]));
    println!("{:?}", cluster.srun(&["--carbon-objective=ppc", "id"]));
    cluster.assert_no_node_was_lost();
}

#[test]
fn on_installed() {
    core(SlurmRelease::Installed);
}

#[test]
fn on_debian_13() {
    core(SlurmRelease::Debian13);
}
