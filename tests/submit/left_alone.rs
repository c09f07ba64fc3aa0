//! Who is left alone: submitted as written, with a line that says why.

use crate::fake::{BY_EVENING, Login};

#[test]
fn jobs_that_are_not_to_be_planned_are_submitted_as_written_with_one_line() {
    let login = Login::new();
    for (words, line) in [
        ("--carbon-off train.sh", "--carbon-off: submitted as written"),
        ("--gpus=0 train.sh", "the job asks for no GPUs"),
        ("-J x --test-only train.sh", "--test-only: passed to sbatch without a plan"),
        ("-d singleton train.sh", "--dependency decides when the job starts"),
        ("-d afterok:1 train.sh", "--dependency decides when the job starts"), // this squeue does not answer
        ("-H train.sh", "--hold decides when the job starts"),
        ("--gpus-per-node=2 -N1-4 train.sh", "the number of nodes is open"),
        ("--gpus=1g.10gb:2 train.sh", "--gpus=1g.10gb:2: MIG instances share a GPU and its clock"),
        ("--exclusive train.sh", "--exclusive gives all GPUs of its nodes, and how many these have is not known"), // no sinfo
        ("--gpus 2 -t 3:00:00 : --gpus 1 train.sh", "a heterogeneous job"),
        ("-t UNLIMITED train.sh", "give --carbon-runtime"),
        ("--begin=lunch train.sh", "--begin=lunch: not a time that CARM reads"),
    ] {
        let ended = login.submit(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{words}");
        ended.says(line);
        assert_eq!(ended.stderr.lines().count(), 1, "{words}: {}", ended.stderr);
        let written: Vec<_> = words.split_whitespace().filter(|w| !w.starts_with("--carbon-latency")).collect();
        let given = ended.given();
        assert!(written.iter().all(|word| given.contains(word)), "{words}: {given:?}");
        assert!(!given.iter().any(|w| w.starts_with("--begin=now") || w.starts_with("--partition")), "{words}: {given:?}");
    }
}

#[test]
fn a_fault_of_carms_own_never_costs_a_submission() {
    for (file, text, line) in [
        ("carm.toml", "[planer]\n", "carm.toml:1: unknown field `planer`"),
        (
            "carm.toml",
            "[[zone]]\nname = \"x\"\nsource = \"trace\"\npath = \"none.csv\"\n[[site]]\nname = \"a\"\nzone = \"x\"\npartition = \"gpu-north\"\ngpus = 8\n",
            "none.csv",
        ),
        ("north.csv", "time,carbon_g_per_kwh\n2020-01-01T00:00:00Z,5\n2020-01-01T01:00:00Z,5\n", "no grid data for"),
    ] {
        let login = Login::new();
        login.write(file, text);
        let words = format!("-p gpu-north {BY_EVENING} train.sh");
        let ended = login.submit(&words);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
        ended.says(line);
        ended.says("the job is submitted as written, without a plan");
        let deadline = "--carbon-deadline=2026-05-01T18:00:00.000Z";
        assert_eq!(ended.given(), ["-p", "gpu-north", deadline, "--carm-name=train.sh", "train.sh"]);

        let login = Login::new();
        login.write(file, text);
        login.submit(&format!("--strict {words}")).refused(1, line);
    }
}

#[test]
fn a_request_in_the_environment_outlives_a_fault_of_carms_own() {
    let login = Login::new().with("CARM_BUDGET", "2kg").with("CARM_RUNTIME", "2:00:00");
    login.write("carm.toml", "[planer]\n");
    let ended = login.submit("--carbon-deadline=now+9h train.sh");
    ended.says("the job is submitted as written, without a plan");
    let carbon = ended.carbon();
    for word in ["--carbon-budget=2000", "--carbon-runtime=02:00:00", "--carbon-deadline=2026-05-01T15:00:00.000Z"] {
        assert!(carbon.contains(&word), "{word}: {carbon:?}");
    }

    // The components of a heterogeneous job keep their own words; nor is anything made of what asks for nothing.
    let ended = login.submit("--gpus 2 : --gpus 1 train.sh");
    assert_eq!(ended.given(), ["--gpus", "2", ":", "--gpus", "1", "train.sh"]);
    let login = Login::new();
    login.write("carm.toml", "[planer]\n");
    assert_eq!(login.submit("train.sh").given(), ["train.sh"]);
}

#[test]
fn data_that_end_before_the_job_would_cost_no_submission() {
    for words in ["", "--carbon-budget=2kg", "--carbon-deadline=2026-05-03T06:00Z", "--carbon-max-delay=0s"] {
        let login = Login::new();
        login.write("north.csv", "time,carbon_g_per_kwh\n2026-05-01T06:00:00Z,5\n2026-05-01T07:00:00Z,5\n");
        let words = format!("-p gpu-north {words} train.sh");
        let ended = login.submit(&words);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{words}: {}", ended.stderr);
        ended.says("no grid data to the end of a run of 3 h: they are known to 2026-05-01 08:00; extend the trace, set extend");
        ended.says("the job is submitted as written, without a plan");
        login.submit(&format!("--strict {words}")).refused(1, "no grid data to the end of a run of 3 h");
    }
}

#[test]
fn a_job_longer_than_the_horizon_is_submitted_as_written() {
    let login = Login::new();
    login
        .write("carm.toml", "[[zone]]\nname = \"N\"\nsource = \"typical-day\"\n[[site]]\nname = \"a\"\nzone = \"N\"\ngpus = 8\n");
    let ended = login.submit("--time=10-00:00:00 train.sh");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
    ended.says("no grid data to the end of a run of 10 d");
    ended.says("or raise [planner] horizon; the job is submitted as written, without a plan");
}

#[test]
fn a_job_that_no_site_takes_is_submitted_with_each_sites_reason() {
    let ended = Login::new().submit("-p other train.sh");
    ended.says(
        "no configured site takes this job (north: the job asks for partition other; south: the job asks for partition other)",
    );
    assert_eq!(ended.given(), ["-p", "other", "train.sh"]);
    // A site that the user did not ask for is no matter for a warning; one that Slurm does not offer is.
    assert!(!Login::new().submit("-p gpu-north train.sh").stderr.contains("left out"));
    let login = Login::new();
    login.write("bin/partitions", "PartitionName=gpu-north State=UP\nPartitionName=gpu-south State=DRAIN\n");
    login.submit("train.sh").says("site 'south' is left out: partition 'gpu-south' is not up");
}

#[test]
fn lines_of_another_batch_system_leave_the_job_alone() {
    let login = Login::new();
    for (lines, magic) in [("#PBS -l walltime=1:00:00\n", "#PBS"), ("#BSUB -W 60\n", "#BSUB"), ("true\n#PBS -q gpu\n", "#PBS")] {
        login.script(&format!("#SBATCH --gpus=2 -t 3:00:00\n{lines}"));
        let ended = login.submit(&format!("{BY_EVENING} train.sh"));
        ended.says(&format!("{magic} lines set a time or resources, which sbatch takes and CARM does not read"));
        assert_eq!(ended.given(), ["--carbon-deadline=2026-05-01T18:00:00.000Z", "--carm-name=train.sh", "train.sh"]);
        assert!(login.submit(&format!("--ignore-pbs {BY_EVENING} train.sh")).stderr.contains("  plan "), "{lines}");
    }
    login.script("#SBATCH --gpus=2 -t 3:00:00\n#PBS -N name\n");
    assert!(login.submit(&format!("{BY_EVENING} train.sh")).stderr.contains("  plan "));
}
