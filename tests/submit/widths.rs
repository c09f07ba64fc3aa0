//! How many GPUs a moldable job gets; and work that may pause.

use crate::fake::{self, BY_EVENING, Login, moldable};

#[test]
fn a_moldable_job_gets_the_width_that_its_objective_wants_in_its_scripts_own_words() {
    let login = moldable();
    for (directives, options, expected, work_s) in [
        // 3 h on 2 GPUs are 1.8 h on 4: what a near deadline needs.
        ("--gpus=2", "--carbon-deadline=now+2h", "--gpus=4", 6480),
        ("--gres=gpu:2,nvme:1", "--carbon-deadline=now+2h", "--gres=gpu:4,nvme:1", 6480),
        ("--ntasks=2 --gpus-per-task=1", "--carbon-deadline=now+2h", "--ntasks=4", 6480),
        // One GPU scales best: 5.4 h of one emit less than 3 h of two.
        ("--gpus-per-node=2", "--carbon-deadline=now+2days", "--gpus-per-node=1", 19_440),
    ] {
        login.script(&format!("#SBATCH {directives} --time=3:00:00 --carbon-profile=mold --carbon-workers=1,2,4\n"));
        let ended = login.submit(&format!("-p gpu-north {options} train.sh"));
        assert!(ended.given().contains(&expected), "{directives}: {:?}\n{}", ended.given(), ended.stderr);
        assert!(ended.carbon().contains(&format!("--carm-work-s={work_s}").as_str()), "{directives}: {:?}", ended.carbon());
        let noun = if expected.ends_with("=1") { "GPU" } else { "GPUs" };
        ended.says(&format!("{noun} instead of 2: {expected}"));
    }
    // Fewer GPUs take longer, at full clock already: the limit has to hold that.
    let given = login.submit("-p gpu-north --carbon-deadline=now+2days train.sh").given.expect("given");
    let minutes = given.iter().find_map(|w| w.strip_prefix("--time=")).and_then(|m| m.parse::<u32>().ok());
    assert!(minutes.is_some_and(|m| m >= 324), "{given:?}");
}

#[test]
fn a_width_that_would_outlast_max_time_is_not_chosen() {
    let login = moldable();
    login.write("bin/partitions", "PartitionName=gpu-north MaxTime=05:00:00 State=UP\nPartitionName=gpu-south State=UP\n");
    login.script("#SBATCH --gpus=2 --time=3:00:00 --carbon-profile=mold --carbon-workers=1,2\n");
    let ended = login.submit("-p gpu-north --carbon-deadline=now+2days train.sh");
    assert!(!ended.given().iter().any(|w| w.starts_with("--gpus")), "{:?}", ended.given());
}

#[test]
fn a_job_whose_width_cannot_be_changed_safely_keeps_its_own_and_is_told_why() {
    let login = moldable();
    for (directives, counts, line) in [
        ("--gpus=2 --nodes=1-2", "1,4", "planned at the 2 GPUs that it requests: the number of nodes is open"),
        ("--gpus=2 --gpus-per-task=1", "1,4", "--gpus and --gpus-per-task both speak of its GPUs"),
        ("--nodes=2 --gpus-per-node=1 --ntasks-per-node=1", "2,4", "its 2 tasks could be one a node, and one a GPU"),
        ("--gpus=2", "3", "3 left out: the [scaling] of profile 'mold' lacks it"),
    ] {
        login.script(&format!("#SBATCH {directives} --time=3:00:00 --carbon-profile=mold --carbon-workers={counts}\n"));
        let ended = login.submit("-p gpu-north --carbon-deadline=now+2days train.sh");
        ended.says(line);
        assert!(!ended.given().iter().any(|w| w.starts_with("--gpus") || w.starts_with("--ntasks")), "{:?}", ended.given());
        assert!(ended.stderr.contains("2 GPUs, 3 h at full clock"), "{}", ended.stderr);
    }
}

#[test]
fn a_binding_to_gpus_in_the_environment_keeps_a_jobs_width() {
    let login = moldable().with("SBATCH_GPU_BIND", "map_gpu:0,1");
    login.script("#SBATCH --gpus=2 --time=3:00:00 --carbon-profile=mold --carbon-workers=1,2,4\n");
    let ended = login.submit("-p gpu-north --carbon-deadline=now+2days train.sh");
    ended.says("--gpu-bind holds for 2 GPUs alone");
    assert!(!ended.given().iter().any(|w| w.starts_with("--gpus")), "{:?}", ended.given());
}

#[test]
fn a_dry_run_of_work_that_may_pause_tells_what_pauses_would_save() {
    let login = Login::new();
    // Every other hour is clean: a run without a pause gets at most two of them.
    login.write("north.csv", &fake::trace(|hour| if hour % 2 == 0 { 100.0 } else { 500.0 }));
    let words = format!("-p gpu-north --carbon-suspend {BY_EVENING} train.sh");
    let ended = login.submit(&format!("--dry-run {words}"));
    ended.says("--carbon-suspend: with ");
    ended.says("the plan submitted has no pause");
    login.submit(&words).says("--carbon-suspend: the job is planned as one run without a pause");
}

#[test]
fn of_several_sites_the_one_with_the_width_that_the_deadline_needs_takes_the_job() {
    let login = moldable();
    login.full();
    login.write("south.csv", &fake::trace(|_| 600.0));
    login.script("#SBATCH --gpus=2 --time=3:00:00 --carbon-profile=mold --carbon-workers=1,2,4\n");
    let path = login.home.path().join("carm.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, config.replacen("gpus = 8", "gpus = 2", 1)).expect("written");
    // North is cleaner, and has two GPUs: it keeps the job where those are enough.
    for (deadline, expected) in
        [("now+2h", ["--partition=gpu-south", "--gpus=4"]), ("now+2days", ["--partition=gpu-north", "--gpus=1"])]
    {
        let ended = login.submit(&format!("--carbon-deadline={deadline} train.sh"));
        assert!(expected.iter().all(|word| ended.given().contains(word)), "{:?}\n{}", ended.given(), ended.stderr);
        // Slurm is asked for the requested width where a site has it.
        assert!(ended.asked.len() == 2 && ended.asked.iter().all(|words| !words.contains("--gpus=")), "{:?}", ended.asked);
    }
}
