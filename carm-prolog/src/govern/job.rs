//! One job at one look: whether it is still there, what it has used, whose hand is on its clocks, and what they shall be.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use carm::config::Config;
use carm::ledger::{Mark, Record};
use carm::quantity::{format_instant, parse_instant};
use carm::site::Outlook;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Governor, Look, clock, hands};
use crate::booking;
use crate::clocks::{self, Part, Seen};
use crate::count::{self, Around};
use crate::epilog::{self, Place};
use crate::job::GpuNames;
use crate::squeue::{self, Answer};
use crate::state::{JobGpu, JobState, Store};

/// A prolog takes no longer than this; one that did not come to its end by then never will.
const PROLOG: TimeDelta = TimeDelta::seconds(10);

/// A job of the state folder, and whether slurmctld is to be asked about it.
pub(super) struct Found {
    pub id: u32,
    state: Option<JobState>,
    is_silent: bool,
    asks: bool,
}

impl Governor {
    /// Finds a job, if it is its turn.
    pub(super) fn find(&mut self, look: &Look, id: u32) -> Option<Found> {
        let state = look.store.job(id);
        let started = state.as_ref().and_then(|state| parse_instant(&state.start).ok());
        let age = started.map(|start| look.now - start);
        // A start in the far future is that of a clock that was set back: it tells nothing.
        if state.as_ref().is_some_and(|state| !state.ready) && age.is_some_and(|age| (-PROLOG..PROLOG).contains(&age)) {
            return None;
        }
        // A look takes its time with many jobs: one that began meanwhile has its turn at once after, with a time of its own.
        if age.is_some_and(|age| (-PROLOG..TimeDelta::zero()).contains(&age)) {
            return None;
        }
        // A job that was requeued comes back under its number.
        let known_run = self.known.get(&(look.node.to_owned(), id)).copied().flatten();
        let is_new = known_run != state.as_ref().map(|state| state.run);
        let may_know = state.as_ref().filter(|state| state.booked && self.config.node.ask_limit);
        let lacks_end = may_know.is_some_and(|state| state.ends.is_none());
        // No Slurm tells it, only carm-submit does; without a name a run makes no history.
        let lacks_name = may_know.is_some_and(|state| state.name.is_none());
        if is_new && !self.first {
            // Its prolog has just ended: its first step is about to come. The question for its end, asked now, tells its name too.
            self.questions.postpone(id, lacks_name && !lacks_end, std::time::Instant::now());
        }
        let is_silent = !look.with_steps.contains(&id);
        // Most GPUs have one job at a time: where another has come, this one may have ended without an epilog.
        let is_joined = is_silent && !self.first && state.as_ref().is_some_and(|state| self.has_new_neighbour(look, state));
        let may_ask = is_silent || lacks_end || lacks_name;
        // That a job has no limit, or no steps, may last: it is asked about ever more seldom.
        let is_time = self.questions.is_time(id, std::time::Instant::now());
        // One whose epilog hung is finished by the next look.
        let is_unread = state.as_ref().and_then(|state| state.end.as_ref()).is_some_and(|end| end.is_unread);
        let asks = may_ask && !is_unread && (is_time || is_joined || lacks_end && is_new);
        Some(Found { id, state, is_silent, asks })
    }

    /// Whether a job that the last look did not know is on one of the job's GPUs.
    fn has_new_neighbour(&self, look: &Look, state: &JobState) -> bool {
        let is_new = |job: u32| job != state.job && !self.known.contains_key(&(look.node.to_owned(), job));
        let holders = state.gpus.iter().filter_map(|gpu| look.store.peek_gpu(&gpu.uuid)).flat_map(|gpu| gpu.holders);
        holders.map(|holder| holder.job).any(is_new)
    }

    /// What slurmctld knows of jobs that were found, by one squeue for all of them: it may be given a second, and not more.
    pub(super) fn ask(&self, look: &Look, found: &[Found]) -> HashMap<u32, Result<Answer, String>> {
        let mut jobs: BTreeMap<Option<PathBuf>, Vec<u32>> = BTreeMap::new();
        for found in found.iter().filter(|found| found.asks) {
            let slurm_conf = found.state.as_ref().and_then(|state| state.slurm_conf.clone());
            jobs.entry(slurm_conf).or_default().push(found.id);
        }
        jobs.iter().flat_map(|(slurm_conf, jobs)| squeue::ask_all(jobs, look.node, slurm_conf.as_deref())).collect()
    }

    /// The job's state, if it is to be governed now. One that is found gone is closed.
    pub(super) fn take_up(&mut self, look: &Look, found: Found, answer: Option<Result<Answer, String>>) -> Option<JobState> {
        let Found { id, state, is_silent, .. } = found;
        let Some(answer) = answer else { return state };
        match answer {
            Ok(Answer::Here { end, name }) => state.map(|mut state| {
                state.ends = state.ends.or(end.map(format_instant));
                state.name = state.name.or(Some(name));
                state
            }),
            Ok(Answer::Gone) if is_silent => {
                self.close(look, id, state);
                None
            }
            Ok(Answer::Gone) => state,
            Err(cause) => {
                log::debug!("job {id}: {cause}");
                state
            }
        }
    }

    /// A job that ended without an epilog: its GPUs are given back, and its line says so.
    fn close(&self, look: &Look, id: u32, state: Option<JobState>) {
        log::warn!("job {id}: slurmctld knows it no more, and its epilog never came; its GPUs are put back");
        let place = Place { store: look.store, node: look.node, config: &self.config, driver: Some(look.driver) };
        epilog::make_up_for(place, id, state, look.now);
    }
}

/// Whether the job's prolog hung or was killed before the job was on all of its GPUs.
pub(super) fn is_unfinished(store: &Store, state: &JobState) -> bool {
    let is_held = |gpu: &JobGpu| store.peek_gpu(&gpu.uuid).is_some_and(|stored| clocks::part_of(&stored, state.job).is_some());
    let has_marks = |marks: &[Mark]| state.marks.iter().any(|mark| marks.contains(mark));
    let is_cut_short = !state.ready || has_marks(&[Mark::CutShort]);
    let is_left_alone = has_marks(&[Mark::ClocksUntouched, Mark::Unconfigured]);
    let has_gpus = !state.gpus.is_empty() || state.gpu_names != GpuNames::None;
    let is_on_all = !state.gpus.is_empty() && state.gpus.iter().all(is_held);
    state.booked && state.end.is_none() && is_cut_short && !is_left_alone && has_gpus && !is_on_all
}

/// Counts, decides and, once a day, books.
pub(super) fn look_after(config: &Config, look: &Look, state: &mut JobState, outlook: Option<&Outlook>) {
    let site = config.site_of(state.partition.as_deref(), look.node).map(|(_, site)| site);
    let parts = parts(look, state);
    if state.end.is_some() || parts.iter().any(Option::is_none) {
        // Its epilog is giving the GPUs back, and counts it to the end; to count meanwhile would find its energy lost. Or another job has
        // its GPU by now, and it is closed as soon as slurmctld is sure.
        return;
    }
    let seen: Vec<Seen> = state.gpus.iter().filter_map(|gpu| look.seen.get(&gpu.uuid)).copied().collect();
    // The prolog leaves the first decision to a governor at work.
    let is_undecided = !state.governed.taken_up && state.profile.is_none();
    if is_undecided {
        clock::find_profile(config, look, state);
    }
    state.governed.taken_up = true;
    let around = Around { config, site, outlook };
    count::count(state, &parts, count::clock_seen(&seen), &around, look.now);
    if let Some(slowed) = seen.iter().find(|seen| seen.throttled) {
        if !state.marks.contains(&Mark::Throttled) {
            let at = slowed.clock_mhz.map_or(String::new(), |mhz| format!(" at {mhz} MHz"));
            log::info!("job {}: its GPUs slow themselves down{at}, for heat or power; what they do counts as it runs", state.job);
        }
        state.mark([Mark::Throttled]);
    }
    if count::is_due(state, look.now) && state.booked {
        book_day(config, look, state, &parts, outlook);
    }
    if state.nodes > 1 {
        let now = clock::instant(config, look, state);
        count::reckon(state, &around, now);
    }
    // What a suspected hand set is not undone before it is known: every clock was chosen so that it may stand for two looks.
    if is_undecided || !hands::watch(config, look, state) {
        clock::decide(config, look, state, outlook);
    }
}

fn parts(look: &Look, state: &JobState) -> Vec<Option<Part>> {
    let part = |uuid: &str| {
        let gpu = look.store.peek_gpu(uuid)?;
        gpu.present().find(|holder| holder.job == state.job)?;
        clocks::part_of(&gpu, state.job)
    };
    state.gpus.iter().map(|gpu| part(&gpu.uuid)).collect()
}

/// The line of a day. Where it cannot be spooled, the span goes on, and the next look tries again.
fn book_day(config: &Config, look: &Look, state: &mut JobState, parts: &[Option<Part>], outlook: Option<&Outlook>) {
    let record = booking::record(state, look.node, config, parts, outlook, look.now);
    match look.store.spool_line(&Record { closed: false, ..record }) {
        Ok(()) => count::begin_span(state, look.now),
        Err(error) => log::warn!("job {}: its line of the day: {error:#}; it grows until it can be written", state.job),
    }
}

/// When Slurm ends the job, where that is known.
pub(super) fn end_of(state: &JobState) -> Option<DateTime<Utc>> {
    state.ends.as_deref().and_then(|text| parse_instant(text).ok())
}
