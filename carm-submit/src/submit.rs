//! One submission from beginning to end.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use carm::config::{Config, Site};
use carm::profile::Profiles;
use carm::quantity::{Moment, parse_instant};
use carm::request::CarbonRequest;
use carm::slurm::argv::{self, CommandLine};
use carm::slurm::directives::Directives;
use carm::slurm::gpus::GpuRequest;
use carm::slurm::grammar::Grammar;
use carm::slurm::hostlist;
use carm::slurm::job::{Fact, Job};
use carm::slurm::node;
use carm::submission::Heed;
use chrono::{DateTime, Local, NaiveDateTime, Offset, TimeZone, Timelike, Utc};

use crate::assemble::{self, Basis, Work};
use crate::attempt::{Attempt, Failure};
use crate::cli::{Flags, Submission};
use crate::decide::{self, Decided, Missed};
use crate::exit::{Obstacle, Refusal, say, show, tell};
use crate::gather::{self, Gathered};
use crate::handover::{self, Carbon, Handover};
use crate::limits::Policy;
use crate::offers::Offered;
use crate::rounds::Rounds;
use crate::sbatch::Sbatch;
use crate::script::Script;
use crate::slurm::{self, Asked, Help, Installed, Partitions, Says, Told};
use crate::warning::Warning;
use crate::widths::Widths;
use crate::{after, busy, exclusive, explain, history, json, offers, places};

/// What becomes of a job.
enum Decision {
    /// It is planned.
    Plan(Box<Decided>),
    /// CARM leaves it alone; one line says why.
    Leave(String),
    /// Nothing meets the request.
    Miss(Box<Missed>),
}

/// A submission's parts as far as they could be read.
struct Parts {
    sbatch: Sbatch,
    words: Vec<OsString>,
    grammar: Grammar,
    line: CommandLine,
    help: Option<Help>,
    installed: Installed,
    script: Option<Script>,
    directives: Option<Directives>,
    gathered: Option<Gathered>,
    now: DateTime<Utc>,
    warnings: Vec<Warning>,
}

/// Plans, explains, hands over.
pub fn run(call: Submission) -> ExitCode {
    let configuration = assemble::configured(call.flags.config.as_deref());
    let configured = configuration.as_ref().and_then(|config| config.as_ref().ok()?.submit.sbatch.as_deref());
    let sbatch = Sbatch::find(configured);
    // Both commands answer while CARM reads its other files.
    let (help, partitions) = (slurm::ask_help(&sbatch), slurm::ask_partitions(None));
    let mut parts = Parts {
        sbatch,
        line: argv::divide(&call.grammar, &call.words),
        words: call.words,
        grammar: call.grammar,
        help: Some(help),
        installed: Installed::default(),
        script: None,
        directives: None,
        gathered: None,
        now: Utc::now(),
        warnings: Vec::new(),
    };
    if parts.line.options.iter().any(|o| matches!(o.name.as_str(), "usage" | "version")) {
        parts.learn();
        return parts.handover(Carbon::AsWritten, Vec::new()).exec().report();
    }
    // A bug of CARM's must not cost a submission: a panic is a fault like any other.
    let decision = catch_unwind(AssertUnwindSafe(|| parts.decide(&call.flags, configuration, partitions)))
        .unwrap_or_else(|_| Err(Obstacle::Fault(anyhow!("a bug in carm-submit"))));
    parts.learn();
    if parts.installed.without_plugin() && parts.asks_for_carbon() {
        parts.warnings.push(Warning::NoPlugin(parts.installed.why_no_plugin.clone()));
    }
    ended(parts.conclude(decision, &call.flags))
}

fn ended(result: Result<ExitCode, Refusal>) -> ExitCode {
    result.unwrap_or_else(|refusal| refusal.report())
}

impl Parts {
    /// Waits for what sbatch's help says: what options there are, and whether CARM's plugin is at work.
    fn learn(&mut self) {
        if let Some(help) = self.help.take() {
            self.installed = help.learn(&mut self.grammar);
            self.line = argv::divide(&self.grammar, &self.words);
        }
    }

    fn decide(
        &mut self,
        flags: &Flags,
        configuration: Option<anyhow::Result<Config>>,
        partitions: Asked,
    ) -> Result<Decision, Obstacle> {
        if let Some(text) = &flags.now {
            self.now = parse_instant(text).map_err(|error| Refusal::wrong(format!("--now: '{text}': {error}")))?;
        }
        self.now = self.now.with_nanosecond(0).unwrap_or(self.now);
        if !self.line.unknown.is_empty() {
            self.learn();
        }
        if !self.line.unknown.is_empty() {
            self.warnings.push(Warning::UnknownOptions(self.line.unknown.clone()));
        }
        let script = self.script.insert(Script::read(&self.line)?);
        let mut directives = gather::directives(&self.grammar, script);
        if let Some(help) = self.help.take_if(|_| directives.as_ref().map_or(true, |found| !found.scan.unknown.is_empty())) {
            // What looks stray may be the value of an option that only this sbatch has.
            self.installed = help.learn(&mut self.grammar);
            directives = gather::directives(&self.grammar, script);
        }
        let directives = self.directives.insert(directives?);
        let moment = Moment { now: self.now, local: &local_instant };
        let gathered = self.gathered.insert(gather::gather(&self.line, script, directives, &moment)?);
        if let Some(line) = untreated(gathered) {
            return Ok(Decision::Leave(line));
        }
        let offset_s = Local.offset_from_utc_datetime(&self.now.naive_utc()).fix().local_minus_utc();
        let mut config = configuration.unwrap_or_else(|| Ok(Config::embedded(offset_s)));
        if let Ok(config) = &mut config {
            find_home(config, &gathered.job, &mut self.warnings);
            count_gpus(config, &mut self.warnings);
        }
        let mut partitions = Partitions { here: partitions.partitions(), elsewhere: Vec::new() };
        if let Some(whole) = config.as_ref().ok().and_then(|config| exclusive::gpus(config, gathered, &partitions)) {
            self.warnings.extend(whole.known().map(|gpus| Warning::WholeNodes { gpus: gpus.count }));
            gathered.job.gpus = whole;
            // At no width does it get fewer.
            gathered.options.set("exclusive", None);
        }
        let (gpus, said) = match treatable(gathered) {
            Ok(found) => found,
            Err(line) => return Ok(Decision::Leave(line)),
        };
        let config = config?;
        assemble::check_objective(gathered.request.objective_or(config.planner.objective), gathered)?;
        let elsewhere = ask_elsewhere(&config, &gathered.job);
        let after = match &gathered.job.dependency {
            Fact::Unsaid => None,
            // A job's id means another job on another cluster.
            Fact::Is(dependency) if asks_slurm(&config) && elsewhere.is_empty() => match after::ask(dependency) {
                Some(after) => after.filter(|&after| after > self.now),
                None => return Ok(Decision::Leave(awaits("dependency"))),
            },
            Fact::Is(_) | Fact::Unclear(_) => return Ok(Decision::Leave(awaits("dependency"))),
        };
        let (profiles, faults) = match config.profiles_dir() {
            Some(folder) => Profiles::load(&folder),
            None => (Profiles::builtin(), Vec::new()),
        };
        let Some(work) = assumed(said, gathered, || history::work(&config, &profiles, gathered, gpus.count, self.now)) else {
            return Ok(Decision::Leave(NO_RUN_TIME.to_owned()));
        };
        self.warnings.extend(remarks(gathered, work, flags));
        let begin = gathered.job.begin.known().map_or(self.now, |&begin| begin.max(self.now));
        let rounds = Rounds::of(gathered, work, begin);
        if let Some(rounds) = rounds {
            gathered.request.later_s = Some(rounds.later_s);
            gathered.later_h = if rounds.fit { rounds.later_s as f64 / 3600.0 } else { 0.0 };
            self.warnings.push(Warning::Rounds(rounds));
        }
        let hurried = rounds.is_some_and(|rounds| !rounds.fit);
        let start = assemble::start(&config, gathered, self.now, hurried);
        self.warnings.extend(faults.iter().map(|fault| Warning::ProfileFile(fault.to_string())));
        let widths = Widths::of(gathered, gpus.count, &mut self.warnings);
        let ask = offers::Asked {
            now: self.now,
            gpus: &gpus,
            counts: &widths.counts(),
            latency_ms: gathered.request.latency_s.map(|s| s * 1e3),
            work_h: work.seconds as f64 / 3600.0,
            start,
        };
        let mut offers = offers::ask_all(&config, &profiles, gathered, ask)?;
        if hurried {
            offers.iter_mut().flatten().try_for_each(Offered::keep_full_clock)?;
        }

        if let Some(help) = self.help.take() {
            self.installed = help.learn(&mut self.grammar);
        }
        partitions.elsewhere = elsewhere.into_iter().map(|(cluster, asked)| (cluster, asked.partitions())).collect();
        self.installed.partitions = partitions;
        if let Told::Silent = self.installed.partitions.here {
            let question = "scontrol show partition".to_owned();
            self.warnings
                .push(Warning::Unanswered { question, consequence: "no time limit is raised, and no other partition chosen" });
        }
        let policy = Policy::new(gathered);
        let (installed, warnings) = (&self.installed, &mut self.warnings);
        let mut assembled = assemble::assemble(&config, gathered, (ask, work), offers, installed, &policy, warnings)?;
        if asks_slurm(&config) && self.installed.slurm {
            let (line, plugin, sbatch) = (&self.line, self.installed.plugin, &self.sbatch);
            let room = |place: &[String], gpus| {
                let added = place.iter().cloned().chain(widths.options(gpus)).collect();
                let carbon = Carbon::Request(&gathered.request);
                let job = Handover { sbatch, line, script: Some(script), directives: Some(directives), plugin, carbon, added };
                job.test_only().map(|(command, folder)| (command, Says::Stderr, folder))
            };
            busy::ask(&mut assembled, &config, room, &mut self.warnings);
            after.into_iter().for_each(|after| after::wait(&mut assembled, after));
            assembled.submission.heed(Heed::ALL).context("assembling the plan")?;
        }
        if let Some(share) = gathered.request.budget_share.take() {
            let budget_g = assembled.set_budget(share)?;
            gathered.request.budget_g = Some(budget_g);
            self.warnings.push(Warning::BudgetShare { share, budget_g });
        }
        assembled.set_deadline()?;
        if let (Some(suspend), true, None) = (gathered.request.suspend, flags.dry_run, ask.latency_ms) {
            self.warnings.extend(decide::paused(&assembled, suspend.restart_cost_s / 3600.0)?);
        }
        Ok(match decide::decide(assembled, flags.best_effort, &mut self.warnings)? {
            Ok(mut decided) => {
                let chosen = decided.assembled.submission.problem.candidates[decided.plan.candidate].workers;
                decided.width = widths.options(chosen);
                if chosen != gpus.count {
                    let (requested, options) = (gpus.count, decided.width.clone());
                    self.warnings.push(Warning::WidthChosen { gpus: chosen, requested, options });
                }
                Decision::Plan(Box::new(decided))
            }
            Err(missed) => Decision::Miss(missed),
        })
    }

    fn conclude(&self, decision: Result<Decision, Obstacle>, flags: &Flags) -> Result<ExitCode, Refusal> {
        let decision = match decision {
            Ok(decision) => decision,
            Err(Obstacle::Refused(refusal)) => return Err(refusal),
            Err(Obstacle::Fault(fault)) if flags.strict || flags.dry_run => return Err(Refusal::wrong(format!("{fault:#}"))),
            Err(Obstacle::Fault(fault)) => {
                return self.hand_over_unplanned(&format!("{fault:#}; the job is submitted as written, without a plan"));
            }
        };
        if flags.json {
            let text = match &decision {
                Decision::Plan(decided) => json::of_plan(decided, &self.warnings),
                Decision::Leave(reason) => json::of_untreated(self.now, reason, &self.warnings),
                Decision::Miss(missed) => json::of_miss(missed, &self.warnings),
            };
            let shown = show(&text.map_err(|error| Refusal::wrong(format!("{error:#}")))?);
            return match decision {
                Decision::Miss(missed) => Err(Refusal::infeasible(missed.reason())),
                Decision::Plan(_) | Decision::Leave(_) => Ok(shown),
            };
        }
        if flags.dry_run || matches!(decision, Decision::Miss(_)) {
            self.warn();
        }
        let name = self.gathered.as_ref().map_or("", |gathered| gathered.name.as_str());
        match decision {
            Decision::Miss(missed) => {
                if flags.dry_run {
                    tell(&explain::dry_run_of_miss(&missed).unwrap_or_default());
                }
                Err(Refusal::infeasible(missed.reason()))
            }
            Decision::Leave(line) if flags.dry_run => {
                say(&line);
                Ok(ExitCode::SUCCESS)
            }
            Decision::Leave(line) => self.hand_over_unplanned(&line),
            Decision::Plan(decided) => {
                if flags.dry_run {
                    tell(&explain::dry_run(&decided, name).map_err(|error| Refusal::wrong(format!("{error:#}")))?);
                    return Ok(ExitCode::SUCCESS);
                }
                let nothing = CarbonRequest::default();
                let request = self.gathered.as_ref().map_or(&nothing, |gathered| &gathered.request);
                let is_array = self.gathered.as_ref().is_some_and(|gathered| gathered.job.array.is_some());
                let request = handover::request_of(&decided, request, name, is_array);
                let job = self.handover(Carbon::Request(&request), handover::options_of(&decided));
                let explain = || {
                    self.warn();
                    tell(&explain::lines(&decided, name));
                };
                match job.attempt(explain)? {
                    Attempt::Submitted(code) => Ok(code),
                    Attempt::Failed(failure) => self.submit_as_written(failure, !job.added.is_empty()),
                }
            }
        }
    }

    fn warn(&self) {
        for warning in &self.warnings {
            say(&warning.to_string());
        }
    }

    fn asks_for_carbon(&self) -> bool {
        let request = self.gathered.as_ref().is_some_and(|g| !g.request.is_empty() && !g.request.off);
        request || self.line.written != self.line.sbatch
    }

    /// After a refusal of CARM's own command: the user's. After anything else, such as a time-out, the job may exist.
    fn submit_as_written(&self, failure: Failure, changed: bool) -> Result<ExitCode, Refusal> {
        match failure.refusal().filter(|_| changed) {
            Some(cause) => self.hand_over_unplanned(&format!(
                "Slurm refused the job as planned ({cause}): submitted as written, without a plan"
            )),
            None => Ok(failure.report()),
        }
    }

    /// Hands over what was asked for, wherever it was said: the node goes by it without a plan. A heterogeneous job, and one whose
    /// request could not be read, goes with its own words alone. `why` follows sbatch's answer.
    fn hand_over_unplanned(&self, why: &str) -> Result<ExitCode, Refusal> {
        let gathered = self.gathered.as_ref().filter(|gathered| !gathered.heterogeneous);
        let named = gathered.map(|gathered| {
            let request = &gathered.request;
            // A name alone is no wish of its user's.
            let wishes = !request.is_empty() && !request.off;
            if wishes { handover::with_name(request, &gathered.name) } else { request.clone() }
        });
        let job = self.handover(named.as_ref().map_or(Carbon::AsWritten, Carbon::Request), Vec::new());
        let explain = || {
            self.warn();
            say(why);
        };
        match job.attempt(explain)? {
            Attempt::Submitted(code) => Ok(code),
            Attempt::Failed(failure) => Ok(failure.report()),
        }
    }

    fn handover<'a>(&'a self, carbon: Carbon<'a>, added: Vec<String>) -> Handover<'a> {
        Handover {
            sbatch: &self.sbatch,
            line: &self.line,
            script: self.script.as_ref(),
            directives: self.directives.as_ref(),
            plugin: self.installed.plugin,
            carbon,
            added,
        }
    }
}

/// Lets sites of the cluster at hand be sites that name none, unless the user names clusters.
fn find_home(config: &mut Config, job: &Job, warnings: &mut Vec<Warning>) {
    if !job.clusters.is_empty() || config.sites.iter().all(|site| site.cluster.is_none()) {
        return;
    }
    let asked = slurm::ask_config();
    if !asked.is_installed() {
        return;
    }
    let Some(text) = asked.answer() else {
        let question = "scontrol show config".to_owned();
        warnings.push(Warning::Unanswered { question, consequence: "sites that name a cluster count as other clusters" });
        return;
    };
    let home = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "ClusterName"));
    let Some((_, home)) = home else { return };
    for site in &mut config.sites {
        site.cluster.take_if(|cluster| cluster == home.trim());
    }
}

/// Counts the GPUs of sites for which the file does not say how many they have. At other clusters any number counts as there.
fn count_gpus(config: &mut Config, warnings: &mut Vec<Warning>) {
    let is_open = |site: &Site| site.gpus == Site::UNKNOWN_GPUS && site.cluster.is_none();
    if config.path.is_none() || !config.sites.iter().any(is_open) {
        return;
    }
    let asked = slurm::ask_nodes();
    if !asked.is_installed() {
        return;
    }
    let Some(nodes) = asked.answer().map(|text| node::read_nodes(&text)).filter(|nodes| !nodes.is_empty()) else {
        warnings.push(Warning::Unanswered { question: "sinfo".to_owned(), consequence: "the sites' GPUs are not counted" });
        return;
    };
    for site in config.sites.iter_mut().filter(|site| is_open(site)) {
        let list = site.nodelist.as_deref().and_then(hostlist::expand);
        site.gpus = node::gpus_of_site(&nodes, site.partition.as_deref(), list.as_deref(), site.constraint.as_deref());
    }
}

/// Asks the clusters of those sites that the job may go to for their partitions.
fn ask_elsewhere(config: &Config, job: &Job) -> Vec<(String, Asked)> {
    let open = config.sites.iter().filter(|site| places::consents(config, site, job).is_ok());
    let named = open.filter_map(|site| site.cluster.as_ref());
    let mut clusters: Vec<&String> = named.filter(|&name| job.clusters.is_empty() || job.clusters.contains(name)).collect();
    clusters.sort_unstable();
    clusters.dedup();
    clusters.into_iter().map(|name| (name.clone(), slurm::ask_partitions(Some(name)))).collect()
}

/// The line that says why CARM does not look at a job at all.
fn untreated(gathered: &Gathered) -> Option<String> {
    let (request, job) = (&gathered.request, &gathered.job);
    if request.off {
        return Some("--carbon-off: submitted as written".to_owned());
    }
    if gathered.heterogeneous {
        return Some("a heterogeneous job is submitted as written; the first component's carbon options hold for all".to_owned());
    }
    if job.test_only {
        return Some("--test-only: passed to sbatch without a plan".to_owned());
    }
    let foreign = gathered.foreign?;
    Some(format!(
        "{foreign} lines set a time or resources, which sbatch takes and CARM does not read: submitted as written, without a \
         plan; give them as #SBATCH lines, or --ignore-pbs"
    ))
}

/// The GPUs of a job that can be planned, and the run time that its options tell; else the line that says why CARM leaves it alone.
fn treatable(gathered: &Gathered) -> Result<(GpuRequest, Option<Work>), String> {
    let (request, job) = (&gathered.request, &gathered.job);
    let gpus = match &job.gpus {
        Fact::Is(gpus) => gpus.clone(),
        Fact::Unsaid => return Err("the job asks for no GPUs: submitted as written".to_owned()),
        Fact::Unclear(why) => return Err(format!("{why}: submitted as written, without a plan")),
    };
    if let Some(option) = job.awaits {
        return Err(awaits(option));
    }
    for unclear in [&job.begin, &job.deadline] {
        if let Fact::Unclear(what) = unclear {
            return Err(format!("{what}: not a time that CARM reads; submitted as written, without a plan"));
        }
    }
    let limit_s = match &job.time_limit {
        Fact::Is(limit) => limit.seconds(),
        Fact::Unsaid => None,
        Fact::Unclear(what) => return Err(format!("{what}: not a time limit that CARM reads; submitted as written")),
    };
    if request.latency_s.is_some() {
        let seconds = limit_s.ok_or("--carbon-latency: a service runs for its time limit; submitted as written; give --time")?;
        return Ok((gpus, Some(Work { seconds, from: Basis::Option("--time") })));
    }
    let said = match (request.runtime_s, limit_s) {
        (Some(seconds), _) => Some(Work { seconds, from: Basis::Option("--carbon-runtime") }),
        (None, limit_s) => limit_s.map(|seconds| Work { seconds, from: Basis::Option("--time") }),
    };
    Ok((gpus, said))
}

/// Why a job is left alone that waits for something of which nobody knows when it comes.
fn awaits(option: &str) -> String {
    format!("--{option} decides when the job starts: submitted as written, its clocks are chosen on the node")
}

/// Whether Slurm may be asked how busy it is.
fn asks_slurm(config: &Config) -> bool {
    config.planner.ask_slurm && std::env::var_os(handover::TEST_ONLY).is_none()
}

const NO_RUN_TIME: &str = "no run time is known: submitted as written; give --carbon-runtime, or --time, to have it planned";

/// The run time to plan with: the user's word, else that of earlier runs, else the time limit. Earlier runs that took longer
/// than the limit say no more than the limit does: this one ends there. A service runs as long as it may.
fn assumed(said: Option<Work>, gathered: &Gathered, history: impl FnOnce() -> Option<Work>) -> Option<Work> {
    if gathered.request.runtime_s.is_some() || gathered.request.latency_s.is_some() {
        return said;
    }
    history().filter(|past| said.is_none_or(|limit| past.seconds < limit.seconds)).or(said)
}

/// What the user should know before the plan is told.
fn remarks(gathered: &Gathered, work: Work, flags: &Flags) -> Vec<Warning> {
    let (request, job) = (&gathered.request, &gathered.job);
    let limit_s = job.time_limit.known().and_then(|limit| limit.seconds());
    let over_limit = limit_s.filter(|&limit_s| work.seconds > limit_s);
    [
        over_limit.map(|limit_s| Warning::RuntimeOverLimit { runtime_s: work.seconds, limit_s }),
        request.suspend.filter(|_| !flags.dry_run).map(|_| Warning::NotPaused),
        job.array.as_ref().map(|_| Warning::EachTask),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The instant of a local wall-clock time, the first where it stands twice.
pub fn local_instant(wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    // chrono's own `earliest` is the later one under a POSIX-rule TZ.
    let readings = Local.from_local_datetime(&wall);
    readings.earliest().into_iter().chain(readings.latest()).map(|instant| instant.to_utc()).min()
}
