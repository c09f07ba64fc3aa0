//! What the state files hold: a job that was taken up, a GPU and who is on it.

use std::collections::BTreeMap;

use std::path::PathBuf;

use carm::ledger::{Exit, Mark, Tally};
use carm::quantity::{format_instant, parse_instant};
use carm::request::variables;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::clocks::Part;
use crate::job::{GpuNames, Job};
use crate::modelled::KnownProfile;
use crate::uptime::Uptime;

/// What is known of a running job: written by the prolog, read and removed by the epilog. Who it belongs to stands here as
/// well, since a slurmd that was restarted tells its epilog little more than the job's id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobState {
    pub version: u32,
    pub job: u32,
    pub run: u32,
    /// RFC 3339 UTC; empty where no prolog came.
    pub start: String,
    /// Whether its end is worth a ledger line; a job that only shares a GPU with one of CARM's is not.
    pub booked: bool,
    pub cluster: String,
    pub uid: Option<u32>,
    pub user: Option<String>,
    pub account: Option<String>,
    pub partition: Option<String>,
    pub name: Option<String>,
    pub request: BTreeMap<String, String>,
    pub gpus: Vec<JobGpu>,
    pub clock_mhz: Option<u32>,
    pub decision: String,
    pub work_s: Option<u64>,
    /// A prolog of an earlier release left none.
    #[serde(default)]
    pub profile: Option<KnownProfile>,
    pub marks: Vec<Mark>,
    /// Nodes of the job: each takes its share of the budget.
    #[serde(default = "one")]
    pub nodes: u32,
    /// Where slurm.conf is, for whoever asks about the job later.
    #[serde(default)]
    pub slurm_conf: Option<PathBuf>,
    /// When Slurm ends the job, RFC 3339 UTC, where that is known.
    #[serde(default)]
    pub ends: Option<String>,
    /// When Slurm began the job, RFC 3339 UTC: the same on all its nodes; where that is not told, the prolog's start.
    #[serde(default)]
    pub began: Option<String>,
    /// What has been counted of the job so far.
    #[serde(default)]
    pub counted: Counted,
    /// What the governor did with its clocks.
    #[serde(default)]
    pub governed: Governed,
    /// The prolog has come to its end. One of an earlier release did not say so.
    #[serde(default = "yes")]
    pub ready: bool,
    /// The end of the run, once an epilog, or the governor in its place, has read the GPUs' counters: what they show from then
    /// on is not the job's.
    #[serde(default)]
    pub end: Option<End>,
    /// The GPUs as Slurm's environment names them. A prolog that hangs in the driver finds no cards; the governor finds them later.
    #[serde(default)]
    pub gpu_names: GpuNames,
    /// An earlier run of the job whose epilog never came, until it is spooled. It has no file of its own: the journals of the GPUs
    /// name a job and no run.
    #[serde(default)]
    pub earlier: Option<Box<JobState>>,
}

/// What is left to know of a run at its end: the rest of its ledger line follows from the job's state and the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// RFC 3339 UTC.
    pub at: String,
    /// The node's name: a folder's name may differ from it.
    pub node: String,
    /// The job's part of each of its GPUs, in their order; none where it could not be read.
    pub parts: Vec<Option<Part>>,
    /// The exit code in slurmd's environment.
    pub exit: Option<Exit>,
    /// The driver hung in the epilog: the governor reads the counters as soon as it answers.
    #[serde(default)]
    pub is_unread: bool,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// How far a job has been counted: what is newer than this is still in the GPUs' journals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// RFC 3339 UTC; none where nothing but the start is.
    pub until: Option<String>,
    /// The same by the count that nobody sets.
    #[serde(default)]
    pub uptime: Option<Uptime>,
    /// Joules of each GPU that the tally has, of those that its journal gives the job.
    pub joules: BTreeMap<String, f64>,
    /// Joules of each GPU that earlier lines of the run have.
    pub booked_j: BTreeMap<String, f64>,
    /// Where the present line's span begins, RFC 3339 UTC; none at the start.
    pub since: Option<String>,
    /// The present line's.
    pub tally: Tally,
    /// Carbon in grams, work and sure work in seconds, of the run's earlier lines.
    pub before: (f64, f64, f64),
}

/// What the governor did with a job's clocks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Governed {
    /// A governor has taken the job up.
    pub taken_up: bool,
    /// Since when the present clock is set, RFC 3339 UTC.
    pub clock_since: Option<String>,
    /// How often a clock was set in the present line's span.
    pub clock_changes: u32,
    /// Looks in a row at which the clock was not the one that was set.
    pub strange_looks: u32,
    /// Another hand is on the clocks: CARM sets no more.
    pub hands_off: bool,
    /// The highest clock that one of its GPUs had under load without a lock of CARM's: what the card reaches with this job.
    #[serde(default)]
    pub free_mhz: Option<u32>,
    /// Why the driver did not take a clock when it was last tried.
    #[serde(default)]
    pub untaken: Option<String>,
    /// What earlier runs of a requeued job emitted, this node's share in grams; none before it was asked of the ledger.
    #[serde(default)]
    pub earlier_g: Option<f64>,
    /// Of a job on several nodes: what its run on this one comes to by its profile and the clocks that were set. No meter is in it,
    /// so every node reckons the same.
    #[serde(default)]
    pub reckoned: Tally,
    /// Until when, RFC 3339 UTC.
    #[serde(default)]
    pub reckoned_until: Option<String>,
}

/// One GPU of a job, with its energy counter at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobGpu {
    pub uuid: String,
    pub model: String,
    pub energy_start_j: Option<f64>,
}

/// The energy counter of a GPU that no job is on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IdleCounter {
    pub version: u32,
    /// When it was read.
    pub at: DateTime<Utc>,
    pub joules: f64,
}

/// What CARM did to a GPU and for whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuState {
    pub version: u32,
    pub uuid: String,
    /// Jobs that are on the GPU, as far as CARM was told.
    pub holders: Vec<Holder>,
    /// The range that CARM set, or was about to set: written before the driver is asked.
    pub locked_mhz: Option<(u32, u32)>,
    /// CARM switched persistence mode on, and switches it off again.
    pub persistence_switched: bool,
    /// What was on the GPU beside the holders when it was last looked at: full clock while it is there.
    #[serde(default)]
    pub foreign: Option<String>,
    /// The energy counter when it was last shared out among the holders.
    pub counter_j: Option<f64>,
    /// In place of a counter that the card lacks.
    #[serde(default)]
    pub sampled: Option<Sampled>,
}

/// Whether several jobs may be on one GPU of a node. From this note on each prolog registers its job, with carbon options or
/// without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SharedGpus {
    pub version: u32,
    /// Why they may be; none where each GPU has one job.
    pub cause: Option<String>,
    /// Jobs that ran before, unregistered.
    pub earlier_jobs: Vec<u32>,
    /// Where the node's slurm.conf is.
    pub slurm_conf: Option<PathBuf>,
}

/// Power samples summed up to joules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// When the last sample was taken, milliseconds since 1970.
    pub at_ms: i64,
    /// The same by the count that nobody sets; an earlier release did not write it.
    #[serde(default)]
    pub uptime: Option<Uptime>,
    /// The last sample.
    pub watts: f64,
    /// All joules up to it.
    pub joules: f64,
}

/// A job on a GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub job: u32,
    /// The clock that it wishes; none is full clock.
    pub wish_mhz: Option<u32>,
    /// Joules that are this job's, up to the last time that a job came or went.
    pub energy_j: f64,
    /// All joules of the GPU since this job came, up to then.
    pub total_j: f64,
    /// Another job was on the GPU meanwhile.
    pub shared: bool,
    /// The counter could not be read when a job came or went, or it fell: not all joules are known.
    pub lost: bool,
    /// The job has ended without an epilog: another has its GPU by now. It stays here until its run is closed.
    #[serde(default)]
    pub is_over: bool,
}

impl JobState {
    /// A job that is about to be taken up. A prolog that gets no further leaves it like this.
    pub fn begun(job: &Job, booked: bool, now: DateTime<Utc>) -> Self {
        let request = job.request.as_ref().ok().and_then(Option::as_ref);
        let variables = request.map(variables::write).unwrap_or_default();
        Self {
            version: 0,
            job: job.id,
            run: job.restart_count,
            start: format_instant(now),
            booked,
            cluster: job.cluster.clone(),
            uid: job.uid,
            user: job.user.clone(),
            account: job.account.clone(),
            partition: job.partition.clone(),
            name: request.and_then(|request| Some(request.name.as_ref()?.as_str().to_owned())),
            request: variables.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
            gpus: Vec::new(),
            clock_mhz: None,
            decision: "the prolog did not come to an end".to_owned(),
            work_s: None,
            profile: None,
            marks: Vec::new(),
            nodes: job.nodes,
            slurm_conf: job.slurm_conf.clone(),
            ends: job.end_time.map(format_instant),
            began: job.start_time.map(format_instant),
            counted: Counted { uptime: Uptime::of(now), ..Counted::default() },
            governed: Governed::default(),
            ready: false,
            end: None,
            gpu_names: job.gpus.clone(),
            earlier: None,
        }
    }

    /// A job whose prolog never came, or left no state that can be read.
    pub fn without_prolog(job: &Job) -> Self {
        let begun = Self::begun(job, true, DateTime::UNIX_EPOCH);
        Self { start: String::new(), decision: String::new(), marks: vec![Mark::NoProlog], ..begun }
    }

    /// Whether its prolog was cut short before it found the job's cards.
    pub fn lacks_cards(&self) -> bool {
        let is_cut_short = !self.ready && !self.start.is_empty() || self.marks.contains(&Mark::CutShort);
        let has_names = !matches!(self.gpu_names, GpuNames::None | GpuNames::Ambiguous(_));
        self.booked && self.end.is_none() && is_cut_short && self.gpus.is_empty() && has_names
    }

    /// The job as slurmd told the prolog of it, on the node whose state this is.
    pub fn to_job(&self, node: &str) -> Job {
        let variable = |name: &str| self.request.get(name).cloned();
        Job {
            id: self.job,
            restart_count: self.run,
            node: node.to_owned(),
            cluster: self.cluster.clone(),
            nodes: self.nodes.max(1),
            uid: self.uid,
            user: self.user.clone(),
            account: self.account.clone(),
            partition: self.partition.clone(),
            start_time: self.began.as_deref().or(Some(&self.start)).and_then(|text| parse_instant(text).ok()),
            end_time: self.ends.as_deref().and_then(|text| parse_instant(text).ok()),
            slurm_conf: self.slurm_conf.clone(),
            exit_code: None,
            exit_code2: None,
            gpus: match self.gpus.is_empty() {
                true => self.gpu_names.clone(),
                false => GpuNames::Uuids(self.gpus.iter().map(|gpu| gpu.uuid.clone()).collect()),
            },
            shares_gpus: false,
            request: variables::read(variable).map_err(|error| error.to_string()),
        }
    }

    /// Carbon in grams, work and sure work in seconds, of the run so far on this node: as metered; of a job on several nodes as
    /// reckoned, so that all of them decide alike.
    pub fn done_so_far(&self) -> (f64, f64, f64) {
        let of = |tally: &Tally| (tally.carbon_g, tally.work_done_s, tally.sure_work_s);
        if self.nodes > 1 {
            return of(&self.governed.reckoned);
        }
        let (before, now) = (self.counted.before, of(&self.counted.tally));
        (before.0 + now.0, before.1 + now.1, before.2 + now.2)
    }

    pub fn mark(&mut self, marks: impl IntoIterator<Item = Mark>) {
        self.marks.extend(marks);
        self.marks.sort_unstable();
        self.marks.dedup();
    }
}

/// The longest time between two power samples that are joined by a line.
const MOST_APART_MS: i64 = 5 * 60 * 1000;

impl GpuState {
    /// A lock whose range is not known, or that may not be one.
    pub const UNKNOWN: (u32, u32) = (0, 0);

    /// Shares out what the GPU has used since the last time, evenly: the counter cannot tell its users apart. A reading that failed
    /// loses nothing: the counter goes on, and the next reading has what this one lacks.
    pub fn share_out(&mut self, counter_j: Option<f64>) {
        let Some(now_j) = counter_j else { return };
        let used = self.counter_j.map(|before_j| now_j - before_j);
        let count = self.present().count() as f64;
        for holder in self.holders.iter_mut().filter(|holder| !holder.is_over) {
            // A counter that fell was reset with the driver: what it counted before is lost, what it shows is new.
            let (used, lost) = match used {
                Some(used) if used >= 0.0 => (used, false),
                Some(_) => (now_j, true),
                None => (0.0, true),
            };
            holder.energy_j += used / count;
            holder.total_j += used;
            holder.lost |= lost;
        }
        self.counter_j = counter_j;
    }

    /// The jobs that are on the GPU.
    pub fn present(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().filter(|holder| !holder.is_over)
    }

    /// A job comes or goes, and the counter cannot be read: what each has used up to now will never be known.
    pub fn lose(&mut self) {
        self.holders.iter_mut().filter(|holder| !holder.is_over).for_each(|holder| holder.lost = true);
        self.counter_j = None;
    }

    /// Adds a power sample, in place of a counter that the card lacks; the joules so far. Samples too far apart tell nothing of
    /// what was between them: that is lost.
    pub fn sample(&mut self, watts: f64, now: DateTime<Utc>) -> f64 {
        let (at_ms, uptime) = (now.timestamp_millis(), Uptime::of(now));
        let passed_ms = |before: &Sampled| {
            let passed = uptime.as_ref().zip(before.uptime.as_ref()).and_then(|(now, then)| now.since(then));
            passed.map_or(at_ms - before.at_ms, |passed| passed.num_milliseconds())
        };
        let joules = match self.sampled.as_ref().map(|before| (before, passed_ms(before))) {
            Some((before, ms)) if (0..=MOST_APART_MS).contains(&ms) => {
                before.joules + (before.watts + watts) / 2.0 * ms as f64 / 1e3
            }
            Some((before, _)) => {
                self.holders.iter_mut().filter(|holder| !holder.is_over).for_each(|holder| holder.lost = true);
                before.joules
            }
            None => 0.0,
        };
        self.sampled = Some(Sampled { at_ms, uptime, watts, joules });
        joules
    }

    /// Changes a job's wish.
    pub fn wish(&mut self, job: u32, wish_mhz: Option<u32>) {
        self.holders.iter_mut().filter(|holder| holder.job == job).for_each(|holder| holder.wish_mhz = wish_mhz);
    }

    /// Adds a job, or takes it up anew.
    pub fn add(&mut self, job: u32, wish_mhz: Option<u32>) {
        self.holders.retain(|holder| holder.job != job);
        let lost = self.counter_j.is_none();
        self.holders.push(Holder { job, wish_mhz, energy_j: 0.0, total_j: 0.0, shared: false, lost, is_over: false });
        let shared = self.present().count() > 1;
        for holder in self.holders.iter_mut().filter(|holder| !holder.is_over) {
            holder.shared |= shared;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn energy_is_shared_out_for_the_time_that_it_was_shared_and_all_of_it_once() {
        let mut gpu = GpuState::default();
        gpu.share_out(Some(100.0));
        gpu.add(1, None);
        gpu.share_out(Some(200.0)); // job 1 alone: 100 J
        gpu.add(2, Some(900));
        gpu.share_out(Some(260.0)); // both: 60 J
        let got: Vec<_> = gpu.holders.iter().map(|h| (h.job, h.energy_j, h.total_j, h.shared, h.lost)).collect();
        assert_eq!(got, [(1, 130.0, 160.0, true, false), (2, 30.0, 60.0, true, false)]);
    }

    #[test]
    fn power_samples_are_summed_over_the_time_that_passed_whatever_the_machines_clock_says() {
        for set_by in [TimeDelta::zero(), TimeDelta::minutes(4), TimeDelta::minutes(-4), TimeDelta::days(1)] {
            let mut gpu = GpuState::default();
            let begin = Utc::now() - TimeDelta::seconds(10);
            assert_eq!(gpu.sample(100.0, begin), 0.0);
            // The clock was set after the first sample: that has another time than it would have now.
            if let Some(sampled) = &mut gpu.sampled {
                sampled.at_ms += set_by.num_milliseconds();
            }
            let joules = gpu.sample(300.0, begin + TimeDelta::seconds(10));
            assert!((joules - 2000.0).abs() < 20.0, "{set_by}: {joules} J");
        }
        let mut gpu = GpuState::default();
        let begin = Utc::now() - TimeDelta::minutes(7);
        let counter_j = gpu.sample(100.0, begin);
        gpu.share_out(Some(counter_j));
        gpu.add(1, None);
        for (seconds, joules, lost) in [(10, 1000.0, false), (370, 1000.0, true), (380, 2000.0, true)] {
            let counter_j = gpu.sample(100.0, begin + TimeDelta::seconds(seconds));
            gpu.share_out(Some(counter_j));
            let holder = &gpu.holders[0];
            assert!((holder.energy_j - joules).abs() < 20.0 && holder.lost == lost, "nobody knows six minutes: {holder:?}");
        }
    }

    #[test]
    fn a_counter_that_falls_is_energy_lost_and_not_energy_saved() {
        let mut gpu = GpuState::default();
        gpu.share_out(Some(100.0));
        gpu.add(1, None);
        gpu.share_out(Some(5.0));
        assert!(gpu.holders[0].lost && gpu.holders[0].energy_j == 5.0, "{gpu:?}");
    }

    #[test]
    fn a_counter_that_is_silent_for_a_while_loses_nothing() {
        let mut gpu = GpuState::default();
        gpu.share_out(Some(100.0));
        gpu.add(1, None);
        gpu.share_out(Some(140.0));
        gpu.add(2, None);
        for counter_j in [None, None, Some(200.0), None, Some(300.0)] {
            gpu.share_out(counter_j);
        }
        let got: Vec<_> = gpu.holders.iter().map(|h| (h.energy_j, h.total_j, h.lost)).collect();
        assert_eq!(got, [(120.0, 200.0, false), (80.0, 160.0, false)]);
    }

    #[test]
    fn whoever_is_there_when_a_job_comes_or_goes_unread_has_lost_energy_and_gets_none_of_anothers() {
        let mut gpu = GpuState::default();
        gpu.share_out(Some(100.0));
        gpu.add(1, None);
        gpu.share_out(None);
        gpu.lose();
        gpu.add(2, None);
        gpu.share_out(Some(500.0));
        gpu.share_out(Some(520.0));
        let got: Vec<_> = gpu.holders.iter().map(|h| (h.energy_j, h.lost)).collect();
        assert_eq!(got, [(10.0, true), (10.0, true)]);
    }
}
