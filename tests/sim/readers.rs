//! Job traces in the formats in which clusters publish them.

use std::io::Write;
use std::path::Path;

use carm_sim::jobs::{self, Submission, parse};
use carm_sim::scenario::JobSource;

fn read(source: JobSource, text: &str) -> Vec<Submission> {
    parse(source, text, Path::new("jobs")).unwrap_or_else(|error| panic!("{error}")).submissions
}

fn refusal(source: JobSource, text: &str) -> String {
    parse(source, text, Path::new("jobs")).expect_err("a fault").to_string()
}

/// Submission, processors, run time, limit, deadline.
type Shown = (f64, f64, f64, Option<f64>, Option<f64>);

fn shown(jobs: &[Submission]) -> Vec<Shown> {
    jobs.iter().map(|job| (job.submit_h, job.units, job.run_h, job.limit_h, job.deadline_after_h)).collect()
}

#[test]
fn pai_lines_are_hours_and_gpus_sorted_by_submission() {
    let jobs = read(JobSource::Pai, "arrival_time,length,cpus\n2.5,0.5,4\n1.0,3.0,1\n");
    assert_eq!(shown(&jobs), [(1.0, 1.0, 3.0, None, None), (2.5, 4.0, 0.5, None, None)]);
    assert_eq!(refusal(JobSource::Pai, "arrival_time,length,cpus\n1,x,1\n"), "jobs:2: length: 'x': not a number of 0 or more");
    assert_eq!(
        refusal(JobSource::Pai, "arrival_time,cpus\n1,1\n"),
        "jobs:1: no column length; give a header with arrival_time, length, cpus"
    );
}

#[test]
fn philly_lines_are_minutes_with_deadlines_and_may_be_packed() {
    let text = "job_id,user,num_gpu,submit_time,iterations,model_name,duration,interval,expect_time_list,expect_value_list,best_effort,job_type\n\
        7,vc,4,120,6910,resnet101,210,8,282,10,0,strict\n8,vc,1,60,1,vgg16,30,1,90-120,10,0,best\n";
    let expected = [(1.0, 1.0, 0.5, None, None), (2.0, 4.0, 3.5, None, Some(4.7))];
    assert_eq!(shown(&read(JobSource::Philly, text)), expected);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.csv.gz");
    let mut packed = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap();
    assert_eq!(shown(&jobs::read(JobSource::Philly, &path).unwrap().submissions), expected);
}

#[test]
fn sacct_lines_have_gpus_in_their_resources_and_steps_are_left_out() {
    let text = "JobIDRaw|JobName|Submit|Elapsed|Timelimit|AllocTRES|State\n\
        11|train|2024-03-01T10:00:00|1-02:00:00|2-00:00:00|billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,node=1|COMPLETED\n\
        11.batch|batch|2024-03-01T10:00:00|1-02:00:00||cpu=8,gres/gpu=2|COMPLETED\n\
        12|a \"quoted\" name|2024-03-01T08:30:00|00:30:00|UNLIMITED|cpu=1,gres/gpu:v100=1,gres/gpu:a100=1|TIMEOUT\n\
        13|cpu only|2024-03-01T08:00:00|00:30:00|01:00:00|cpu=4|COMPLETED\n\
        14|never ran|2024-03-01T08:00:00|00:00:00|01:00:00|gres/gpu=1|CANCELLED by 1000\n";
    let trace = parse(JobSource::Sacct, text, Path::new("jobs")).unwrap();
    assert_eq!(shown(&trace.submissions), [(0.0, 2.0, 0.5, None, None), (1.5, 2.0, 26.0, Some(48.0), None)]);
    assert_eq!(trace.begins, carm::quantity::parse_instant("2024-03-01T08:30:00Z").ok());
    assert_eq!(refusal(JobSource::Sacct, "JobID|Submit|Elapsed\n"), "jobs:1: no column AllocTRES or ReqTRES; they tell the GPUs");
}

#[test]
fn bad_rows_of_sacct_are_skipped_and_counted() {
    let head = "JobIDRaw|JobName|Submit|Elapsed|Timelimit|AllocTRES\n\
        100|train|2026-05-01T01:00:00|02:00:00|04:00:00|billing=8,gres/gpu=2\n";
    let last = "102|last|2026-05-01T02:00:00|01:00:00|04:00:00|gres/gpu=1\n";
    for (row, rows, first) in [
        ("101|crazy|name|2026-05-01T01:00:00|02:00:00|04:00:00|gres/gpu=2", 1, "jobs:3: "),
        ("101|crazy\nname|2026-05-01T01:00:00|02:00:00|04:00:00|gres/gpu=2", 2, "jobs:3: "),
        ("101|x|None|02:00:00|04:00:00|gres/gpu=2", 1, "jobs:3: Submit: 'None': not a time; give 2026-05-01T18:00:00"),
        ("101|x|2026-05-01T01:00:00|Unknown|04:00:00|gres/gpu=2", 1, "jobs:3: Elapsed: 'Unknown': not a time of Slurm's"),
        ("101|x|2026-05-01T01:00:00|-00:00:07|04:00:00|gres/gpu=2", 1, "jobs:3: Elapsed: '-00:00:07': not a time of Slurm's"),
    ] {
        let trace = parse(JobSource::Sacct, &format!("{head}{row}\n{last}"), Path::new("jobs")).unwrap();
        assert_eq!(trace.submissions.iter().map(|job| job.units).collect::<Vec<_>>(), [2.0, 1.0], "{row}");
        let skipped = trace.skipped.unwrap();
        assert!(skipped.rows == rows && skipped.first.starts_with(first), "{row}: {skipped:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sacct.txt");
    let latin = [head.as_bytes(), b"101|Gr\xf6\xdfe|2026-05-01T03:00:00|02:00:00|0|gres/gpu=2\n"].concat();
    std::fs::write(&path, latin).unwrap();
    let trace = jobs::read(JobSource::Sacct, &path).unwrap();
    assert_eq!(shown(&trace.submissions)[1], (2.0, 2.0, 2.0, None, None), "a limit of 0 is none");
    assert_eq!(trace.skipped, None);
}

#[test]
fn skipped_rows_are_told_in_one_line() {
    let one = jobs::Skipped { rows: 1, first: "jobs:3: Submit: 'None': not a time".into() };
    assert_eq!(one.to_string(), "jobs:3: Submit: 'None': not a time; this row is skipped");
    assert_eq!(jobs::Skipped { rows: 2, ..one }.to_string(), "jobs:3: Submit: 'None': not a time; 2 such rows are skipped");
}

#[test]
fn the_standard_workload_format_has_18_numbers_a_line() {
    let text = "; MaxProcs: 64\n1 0 10 3600 4 -1 -1 8 7200 -1 1 1 1 -1 -1 -1 -1 -1\n\
        2 1800 0 -1 4 -1 -1 4 -1 -1 0 1 1 -1 -1 -1 -1 -1\n3 3600 0 60 2 -1 -1 -1 -1 -1 1 1 1 -1 -1 -1 -1 -1\n";
    let hour = 1.0 / 60.0;
    assert_eq!(shown(&read(JobSource::Swf, text)), [(0.0, 8.0, 1.0, Some(2.0), None), (1.0, 2.0, hour, None, None)]);
    assert_eq!(refusal(JobSource::Swf, "1 2 3\n"), "jobs:1: 3 numbers; give 18, -1 for what is not known");
    assert_eq!(refusal(JobSource::Swf, "1 2 3 4 five 6 7 8 9\n"), "jobs:1: 'five': not a number");
}

#[test]
fn published_traces_are_read() {
    let Some(data) = std::env::var_os("CARM_DATA").map(std::path::PathBuf::from) else {
        eprintln!("skipped: CARM_DATA is not set");
        return;
    };
    let pai = jobs::read(JobSource::Pai, &data.join("jobs/pai-100k.csv")).unwrap();
    let philly = jobs::read(JobSource::Philly, &data.join("jobs/philly-deadlines.csv.gz")).unwrap();
    assert_eq!((pai.submissions.len(), philly.submissions.len()), (99_998, 30_940));
    assert!(philly.submissions.iter().all(|job| job.deadline_after_h.is_some_and(|after_h| after_h > job.run_h)));
}
