//! What must hold when all is repaired, as a table.

use std::collections::BTreeMap;
use std::fmt;

use carm::ledger::{Mark, Record};
use carm::quantity::parse_instant;

use crate::load::Jobs;
use crate::machine::{IDLE_W, Machine};
use crate::power::PowerLog;
use crate::runs::{self, Key, Run};
use crate::watch::Watch;

/// Marks of lines whose figures are incomplete, or shared with another job.
const INCOMPLETE: [Mark; 7] =
    [Mark::NoProlog, Mark::EnergyLost, Mark::SharedGpu, Mark::CutShort, Mark::NoEpilog, Mark::Unconfigured, Mark::Other];

/// Seconds that README promises for a prolog and an epilog.
const BOUND_S: f64 = 5.0;

/// Seconds for which the GPUs of a plain job may be below full clock after a hung driver.
const SLOWED_S: f64 = 5.0;

/// The highest clock of the stand-in's cards.
const FULL_MHZ: u32 = 2520;

/// The invariants of a run.
pub struct Report {
    rows: Vec<Row>,
    details: Vec<String>,
}

struct Row {
    what: &'static str,
    value: String,
    holds: bool,
}

impl Report {
    /// Whether all invariants hold.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds)
    }

    fn row(&mut self, what: &'static str, value: impl fmt::Display, holds: bool) {
        self.rows.push(Row { what, value: value.to_string(), holds });
    }

    /// A row that holds if there is nothing to list.
    fn none(&mut self, what: &'static str, of: usize, faulty: Vec<String>) {
        self.row(what, format!("{} of {of}", faulty.len()), faulty.is_empty());
        let more = faulty.len().saturating_sub(LISTED);
        self.details.extend(faulty.into_iter().take(LISTED).map(|text| format!("{what}: {text}")));
        self.details.extend((more > 0).then(|| format!("{what}: and {more} more")));
    }
}

/// Details of one invariant at most.
const LISTED: usize = 12;

/// Checks everything that was recorded.
pub fn check(machine: &Machine, watch: &Watch, jobs: &Jobs, unrepaired: Vec<String>) -> Report {
    let mut report = Report { rows: Vec::new(), details: Vec::new() };
    for (kind, (struck, nothing)) in watch.fault_counts() {
        report.details.push(format!("fault {}: {struck} times; {nothing} times there was nothing to strike", kind.name()));
    }
    let runs = runs::read(&machine.site.path("runs"));
    let with_gpus = |carbon: bool| {
        let runs = runs.iter().filter(move |run| !run.gpus.is_empty());
        runs.filter(move |run| jobs.carbon.get(&run.key.0) == Some(&carbon)).collect::<Vec<_>>()
    };
    let (carbon, plain) = (with_gpus(true), with_gpus(false));

    report.none("nodes drained or down", watch.drained_nodes().len(), watch.drained_nodes());
    jobs_end(&mut report, machine, watch, jobs);
    scripts(&mut report, watch, &runs);
    let locked = machine.locked().iter().map(|gpu| format!("gpu {gpu}")).collect();
    report.none("clocks locked at the end", 8, locked);
    report.none("state and spool files left", unrepaired.len(), unrepaired.clone());
    let power = PowerLog::read(&machine.site.path("gpu/power.csv"));
    slowed(&mut report, machine, watch, &power, &plain);
    let lines = ledger(&mut report, machine, &carbon);
    energy(&mut report, machine, &power, &carbon, &lines);
    report
}

/// Every job ends as its user or this test meant it to.
fn jobs_end(report: &mut Report, machine: &Machine, watch: &Watch, jobs: &Jobs) {
    report.none("submissions refused", jobs.carbon.len() + jobs.refused.len(), jobs.refused.clone());
    let shown = machine.site.cluster.run("scontrol", &["--oneliner", "show", "job"]).stdout;
    let states: BTreeMap<u32, &str> = shown.lines().filter_map(job_state).collect();
    let ends_well = |job: u32| {
        let state = states.get(&job).copied().unwrap_or("UNKNOWN");
        let is_expected = state == "COMPLETED" || watch.is_cancelled(job);
        (!is_expected).then(|| format!("job {job}: {state}"))
    };
    let mut lost: Vec<String> = jobs.carbon.keys().filter_map(|&job| ends_well(job)).collect();
    lost.extend(jobs.stuck.iter().map(|line| format!("job {line} after the last fault")));
    report.none("jobs lost or stuck", jobs.carbon.len(), lost);
    report.none("jobs held by Slurm", jobs.carbon.len(), watch.held_jobs());
}

fn job_state(line: &str) -> Option<(u32, &str)> {
    let field = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name));
    Some((field("JobId=")?.parse().ok()?, field("JobState=")?))
}

/// Prologs and epilogs succeed in time.
fn scripts(report: &mut Report, watch: &Watch, runs: &[Run]) {
    let (mut slow, mut failed, mut count, mut longest_s) = (Vec::new(), Vec::new(), 0, 0.0_f64);
    for (run, (verb, script)) in runs.iter().flat_map(|run| run.scripts().map(move |script| (run, script))) {
        count += 1;
        let (job, run, node) = &run.key;
        match script.end {
            Some(end) => {
                let noise_s = watch.noise_s(script.begin, end);
                longest_s = longest_s.max(end - script.begin);
                // The machine delays the processes of a prolog as it delays one that sleeps.
                if end - script.begin > BOUND_S + 3.0 * noise_s {
                    let took_s = end - script.begin;
                    slow.push(format!("job {job} run {run} on {node}: {verb} at {:.3} took {took_s:.1} s", script.begin));
                }
            }
            None => slow.push(format!("job {job} run {run} on {node}: {verb} at {:.3} was killed by slurmd", script.begin)),
        }
        if script.code.is_some_and(|code| code != 0 && code != 137) {
            failed.push(format!("job {job} run {run} on {node}: {verb} exited {:?}", script.code));
        }
    }
    report.none("prologs and epilogs over 5 s", count, slow);
    report.row("longest prolog or epilog, s", format!("{longest_s:.1}"), true);
    report.none("prologs and epilogs that failed", count, failed);
}

/// A plain job is at full clock, as far as the driver answers. Where it hung when the last job's clocks should have gone back, the
/// governor needs a look to see the plain job's process.
fn slowed(report: &mut Report, machine: &Machine, watch: &Watch, power: &PowerLog, plain: &[&Run]) {
    let slowed = plain.iter().filter_map(|run| {
        let (begin, end) = run.span(0.0);
        let cards = run.gpus.iter().map(|&gpu| machine.card(&run.key.2, gpu));
        let parts = watch.with_driver(begin, end);
        let of_card = |card: usize| parts.iter().map(move |&(from, to)| power.slowed_s(card, from, to, FULL_MHZ));
        let seconds: f64 = cards.flat_map(of_card).sum();
        (seconds > SLOWED_S * run.gpus.len() as f64)
            .then(|| format!("job {} on {}: {seconds:.1} GPU-seconds below {FULL_MHZ} MHz", run.key.0, run.key.2))
    });
    report.none("runs of plain jobs slowed", plain.len(), slowed.collect());
}

/// Each finished run of a carbon job is closed by one line; the lines by run.
fn ledger(report: &mut Report, machine: &Machine, carbon: &[&Run]) -> BTreeMap<Key, Vec<Record>> {
    let (mut records, mut torn) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(machine.ledger.path()).into_iter().flatten().filter_map(Result::ok) {
        if entry.path().extension().is_some_and(|extension| extension == "jsonl") {
            // Not carm::ledger::read_dir: it drops lines that were written twice.
            let text = std::fs::read(entry.path()).expect("the ledger");
            for line in String::from_utf8_lossy(&text).lines() {
                match serde_json::from_str::<Record>(line) {
                    Ok(record) => records.push(record),
                    Err(error) => torn.push(format!("{}: {error}", entry.path().display())),
                }
            }
        }
    }
    // A disk that fills up tears a line; readers skip and count it, and the whole line follows later.
    report.row("unreadable lines in the ledger", torn.len(), true);
    report.details.extend(torn);
    let mut lines: BTreeMap<Key, Vec<Record>> = BTreeMap::new();
    // Slurm counts the next run already in the epilog of one that is requeued. Without a prolog's state carm-prolog has no other
    // number. Where both runs have their lines, it is of a start between them whose prolog never ran.
    let (bare, whole): (Vec<Record>, Vec<Record>) = records.into_iter().partition(|line| line.marks.contains(&Mark::NoProlog));
    for record in whole {
        lines.entry(key_of(&record)).or_default().push(record);
    }
    let mut starts = 0;
    for record in bare {
        let earlier = (record.job, record.run.wrapping_sub(1), record.node.clone());
        let candidates = [earlier, key_of(&record)];
        let of_run = candidates.iter().find(|key| carbon.iter().any(|run| run.key == **key) && !lines.contains_key(*key));
        match of_run {
            Some(key) => lines.entry(key.clone()).or_default().push(record),
            None => starts += 1,
        }
    }
    report.row("lines of starts without a prolog", starts, true);
    let closing = |run: &&Run| lines.get(&run.key).map_or(0, |lines| lines.iter().filter(|line| line.closed).count());
    let name = |run: &&&Run| format!("job {} run {} on {}", run.key.0, run.key.1, run.key.2);
    report.none(
        "finished runs missing in the ledger",
        carbon.len(),
        carbon.iter().filter(|run| closing(run) == 0).map(|run| name(&run)).collect(),
    );
    report.none(
        "finished runs closed twice",
        carbon.len(),
        carbon.iter().filter(|run| closing(run) > 1).map(|run| name(&run)).collect(),
    );
    let expected: Vec<&Key> = carbon.iter().map(|run| &run.key).collect();
    let other = lines.keys().filter(|key| !expected.contains(key)).map(|key| format!("{key:?}")).collect();
    report.none("lines of runs that never were", lines.len(), other);
    lines
}

fn key_of(record: &Record) -> Key {
    (record.job, record.run, record.node.clone())
}

/// The energy that is booked is the energy of the power log.
fn energy(report: &mut Report, machine: &Machine, power: &PowerLog, carbon: &[&Run], lines: &BTreeMap<Key, Vec<Record>>) {
    let (mut unmarked, mut wrong) = (0, Vec::new());
    let (mut all, mut measured, mut whole) = (Sum::default(), Sum::default(), Sum::default());
    let mut deviations = Vec::new();
    let mut marks: BTreeMap<String, u32> = BTreeMap::new();
    for run in carbon {
        let Some(lines) = lines.get(&run.key) else { continue };
        let closed = lines.iter().filter_map(|line| parse_instant(&line.end).ok()).max();
        let (begin, end) = run.span(closed.map_or(0.0, |at| at.timestamp_millis() as f64 / 1e3));
        let truth_j: f64 = run.gpus.iter().map(|&gpu| power.energy_j(machine.card(&run.key.2, gpu), begin, end)).sum();
        let booked_j: f64 = lines.iter().map(|line| line.gpu_energy_j).sum();
        all.add(booked_j, truth_j);
        lines.iter().flat_map(|line| &line.marks).for_each(|mark| *marks.entry(mark_name(*mark)).or_default() += 1);
        if !lines.iter().any(|line| line.marks.contains(&Mark::EnergyLost)) {
            measured.add(booked_j, truth_j);
        }
        let (job, number, node) = &run.key;
        let marks: Vec<String> = lines.iter().flat_map(|line| &line.marks).map(|mark| mark_name(*mark)).collect();
        let text = format!("job {job} run {number} on {node}: booked {booked_j:.1} J, power log {truth_j:.1} J, marks {marks:?}");
        if !lines.iter().any(|line| line.marks.iter().any(|mark| INCOMPLETE.contains(mark))) {
            unmarked += 1;
            whole.add(booked_j, truth_j);
            // Prolog and epilog read the counter at some instant of their time: what idle cards draw meanwhile is allowed.
            let scripts_s: f64 = run.scripts().filter_map(|(_, script)| Some(script.end? - script.begin)).sum();
            if (booked_j - truth_j).abs() > 0.01 * truth_j + IDLE_W * run.gpus.len() as f64 * scripts_s {
                wrong.push(text);
            }
        } else {
            deviations.push(((booked_j - truth_j).abs(), text));
        }
    }
    let marks: Vec<String> = marks.iter().map(|(mark, count)| format!("{count} {mark}")).collect();
    report.details.push(format!("marks: {}", if marks.is_empty() { "none".into() } else { marks.join(", ") }));
    report.row("finished runs with carbon options", carbon.len(), !carbon.is_empty());
    report.row("their lines without a mark of missing figures", unmarked, unmarked > 0);
    report.row("of these within 1 % of the power log", unmarked - wrong.len(), wrong.len() * 100 <= unmarked);
    report.details.extend(wrong.into_iter().take(LISTED));
    report.row("total energy of all lines against the power log", &all, true);
    report.row("total energy without 'energy-lost'", &measured, true);
    report.row("total energy without a mark of missing figures", &whole, whole.deviation().abs() <= 0.005);
    deviations.sort_by(|a, b| b.0.total_cmp(&a.0));
    report.details.extend(deviations.into_iter().take(LISTED).map(|(_, text)| format!("marked: {text}")));
}

fn mark_name(mark: Mark) -> String {
    serde_json::to_string(&mark).unwrap_or_default().trim_matches('"').to_owned()
}

/// Joules that were booked, and joules of the power log.
#[derive(Default)]
struct Sum {
    booked_j: f64,
    truth_j: f64,
}

impl Sum {
    fn add(&mut self, booked_j: f64, truth_j: f64) {
        self.booked_j += booked_j;
        self.truth_j += truth_j;
    }

    fn deviation(&self) -> f64 {
        if self.truth_j > 0.0 { self.booked_j / self.truth_j - 1.0 } else { 0.0 }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:+.3} % of {:.0} kJ", 100.0 * self.deviation(), self.truth_j / 1e3)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for row in &self.rows {
            let verdict = if row.holds { "" } else { "  DOES NOT HOLD" };
            writeln!(f, "| {:50} | {:>24} |{verdict}", row.what, row.value)?;
        }
        self.details.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
