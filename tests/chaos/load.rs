//! The load: carbon jobs and plain jobs, short and long, on one node and on two.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::draw::Draw;
use crate::machine::Machine;

/// So many jobs wait or run at a time: about as many as keep eight GPUs busy.
const IN_FLIGHT: usize = 8;

/// What was submitted.
#[derive(Default)]
pub struct Jobs {
    /// By job id: whether the job has carbon options.
    pub carbon: BTreeMap<u32, bool>,
    /// The errors of sbatch.
    pub refused: Vec<String>,
    /// The lines of squeue of jobs that did not end.
    pub stuck: Vec<String>,
}

/// A job to be.
struct Job {
    partition: &'static str,
    directives: String,
    work_s: f64,
    two_nodes: bool,
    /// Of sbatch; empty: a plain job.
    carbon: Vec<String>,
}

/// Keeps the queue filled until an instant.
pub fn run(seed: u64, machine: &Machine, until: Instant) -> Jobs {
    let mut draw = Draw::new(seed, 1);
    let mut jobs = Jobs::default();
    while Instant::now() < until {
        if machine.site.cluster.queue().len() < IN_FLIGHT {
            submit(machine, &Job::drawn(&mut draw), &mut jobs);
        } else {
            std::thread::sleep(Duration::from_millis(500));
        }
    }
    jobs
}

fn submit(machine: &Machine, job: &Job, jobs: &mut Jobs) {
    let script = match job.two_nodes {
        false => machine.site.training_script(&job.directives, job.work_s),
        true => two_nodes(machine, job),
    };
    let partition = format!("--partition={}", job.partition);
    let mut arguments = vec![partition.as_str()];
    arguments.extend(job.carbon.iter().map(String::as_str));
    arguments.push(&script);
    let ran = machine.site.cluster.sbatch(&arguments);
    match ran.stdout.trim().strip_prefix("Submitted batch job ").and_then(|id| id.parse().ok()) {
        Some(id) => {
            jobs.carbon.insert(id, !job.carbon.is_empty());
        }
        None => jobs.refused.push(ran.stderr.trim().to_owned()),
    }
}

/// All GPUs of two nodes: in a step, SLURM_JOB_GPUS is the first node's. A step that starts while a slurmd is away is tried again.
fn two_nodes(machine: &Machine, job: &Job) -> String {
    let inner = std::fs::read_to_string(machine.site.training_script("", job.work_s)).expect("the script");
    let step = machine.site.cluster.script("step.sh", &inner);
    let text =
        format!("#!/bin/bash\n{}\nfor try in 1 2 3 4 5 6; do srun {step} && exit 0; sleep 2; done; exit 1\n", job.directives);
    machine.site.cluster.script("nodes.sh", &text)
}

impl Job {
    fn drawn(draw: &mut Draw) -> Self {
        let two_nodes = draw.percent(6);
        let plain = !two_nodes && draw.percent(25);
        let work_s = match draw.below(10) {
            0 => 0.2,
            1 => draw.between(25.0, 40.0),
            _ => draw.between(4.0, 15.0),
        };
        let work_s = (work_s * 10.0).round() / 10.0;
        let gpus = 1 + draw.below(3);
        let size = match two_nodes {
            true => "--nodes=2 --ntasks-per-node=1 --gpus-per-node=4".to_owned(),
            false => format!("--gpus={gpus}"),
        };
        let runtime = format!("--carbon-runtime=0:{:02}", (work_s.ceil() as u32).max(2));
        let objective = match draw.percent(75) {
            true => format!("--carbon-deadline=now+{}minutes", 2 + draw.below(8)),
            false => format!("--carbon-budget={}g", 1 + draw.below(30)),
        };
        Self {
            partition: if two_nodes { "all" } else { draw.one_of(&["wind", "solar"]).expect("two") },
            directives: format!("#SBATCH {size} --time=5 --requeue"),
            work_s,
            two_nodes,
            carbon: if plain { Vec::new() } else { vec![runtime, objective] },
        }
    }
}
