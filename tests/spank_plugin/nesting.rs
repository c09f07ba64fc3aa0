//! Commands inside a job: they inherit nothing of its carbon request, and may make their own.

use crate::common::{Cluster, Setup, SlurmRelease};
use crate::{anything_of_carm, carbon, on_every_release, printed};

on_every_release!(
    what_a_job_submits_inherits_nothing,
    a_job_can_submit_with_options_of_its_own,
    a_step_changes_nothing_and_keeps_what_the_job_knows,
    an_option_on_a_step_is_told_to_be_without_effect,
    the_shell_of_salloc_hands_nothing_down,
    a_het_job_carries_the_first_components_request,
);

/// With an option without argument: its `(null)` is what kills nested commands of a careless plugin.
const PARENT: [&str; 4] =
    ["--carbon-budget=2kg", "--carbon-suspend", "--carbon-objective=carbon", "--carbon-deadline=2036-01-01T00:00Z"];

fn submit_parent(cluster: &Cluster, script: &str) -> String {
    let job = cluster.sbatch_script(&PARENT, &format!("#!/bin/bash\nset -e\n{script}\necho reached the end\n")).job();
    cluster.wait_for_job(job);
    let output = cluster.output_of(job);
    assert!(output.contains("reached the end"), "{output}\n{}", cluster.log("slurmd-n1"));
    output
}

fn what_a_job_submits_inherits_nothing(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let output =
        submit_parent(&cluster, "sbatch --parsable --wrap=env; salloc --quiet env; sbatch --parsable --export=NONE --wrap=true");
    assert_eq!(cluster.environments(1, "prolog").len(), 1);
    // sbatch's two children, and salloc's between them.
    for child in [2, 3, 4] {
        assert_eq!(anything_of_carm(&cluster.prolog_environment(child)), [""; 0], "prolog of {child}");
        assert_eq!(cluster.wait_for_job(child), "COMPLETED");
        assert_eq!(anything_of_carm(&cluster.epilog_environment(child)), [""; 0], "epilog of {child}");
    }
    assert_eq!(anything_of_carm(&printed(&cluster.output_of(2))), [""; 0], "the child's environment");
    assert_eq!(anything_of_carm(&printed(&output)), [""; 0], "salloc's environment");
    assert!(!output.contains("[carm]") && !output.contains("--carbon") && !output.contains("error"), "{output}");
    cluster.assert_no_node_was_lost();
}

fn a_job_can_submit_with_options_of_its_own(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    submit_parent(&cluster, "sbatch --carbon-budget=5g --wrap=env");
    assert_eq!(carbon(&cluster.prolog_environment(2)), ["BUDGET=5", "V=1"]);
    cluster.wait_for_job(2);
    let output = cluster.output_of(2);
    assert!(output.contains("CARM_JOB_BUDGET_G=5\n") && !output.contains("CARM_JOB_OBJECTIVE"), "{output}");
}

fn a_step_changes_nothing_and_keeps_what_the_job_knows(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let output = submit_parent(&cluster, "srun env\nsrun sbatch --parsable --wrap=env >&2");
    let step = printed(&output);
    assert_eq!(step.get("CARM_JOB_BUDGET_G").map(String::as_str), Some("2000"), "{output}");
    assert!(!output.contains("[carm]") && !output.contains("error"), "{output}");
    assert_eq!(cluster.environments(1, "prolog").len(), 1, "a step has no prolog of its own");
    assert_eq!(carbon(&cluster.epilog_environment(1)), carbon(&cluster.prolog_environment(1)));
    assert_eq!(anything_of_carm(&cluster.prolog_environment(2)), [""; 0], "submitted by a step");
    cluster.assert_no_node_was_lost();
}

fn an_option_on_a_step_is_told_to_be_without_effect(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let output = submit_parent(&cluster, "srun --carbon-budget=1g true");
    let told = "[carm] carbon options belong to the job, which keeps its own: on a step inside it they change nothing\n";
    assert_eq!(output.matches(told).count(), 1, "{output}");
    assert!(carbon(&cluster.epilog_environment(1)).contains(&"BUDGET=2000".to_owned()));
}

fn the_shell_of_salloc_hands_nothing_down(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let script = cluster.script("inner.sh", "#!/bin/sh\nsrun true && sbatch --parsable --wrap=env\n");
    let ran = cluster.salloc(&["--quiet", "--carbon-budget=2kg", "--carbon-suspend", &script]);
    assert_eq!((ran.code, ran.stdout.trim()), (0, "2"), "{ran:?}");
    assert_eq!(carbon(&cluster.prolog_environment(1)), ["BUDGET=2000", "SUSPEND=0s", "V=1"]);
    assert_eq!(anything_of_carm(&cluster.prolog_environment(2)), [""; 0]);
    cluster.wait_for_job(2);
    assert_eq!(anything_of_carm(&printed(&cluster.output_of(2))), [""; 0]);
}

fn a_het_job_carries_the_first_components_request(release: SlurmRelease) {
    // Slurm puts components on nodes of their own.
    let cluster = Setup::on(release).node("n1:2:main").node("n2:2:main").start();
    let ran = cluster.sbatch(&["--carbon-budget=2kg", ":", "-n1", "--wrap=true"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for component in [ran.job(), ran.job() + 1] {
        assert_eq!(carbon(&cluster.prolog_environment(component)), ["BUDGET=2000", "V=1"]);
        assert_eq!(cluster.wait_for_job(component), "COMPLETED");
    }
    cluster.assert_no_node_was_lost();
}
