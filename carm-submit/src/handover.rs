//! Hands the job over to sbatch: the same standard output, the same exit code, the script as it was.
//!
//! What the user wrote passes through byte for byte; what CARM adds stands behind it, where sbatch lets it win.

use std::ffi::OsString;
use std::io::{Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use carm::request::{CarbonRequest, JobName, variables};
use carm::slurm::argv::CommandLine;
use carm::slurm::directives::Directives;

use tempfile::TempDir;

use crate::attempt::{self, Attempt};
use crate::decide::Decided;
use crate::exit::Refusal;
use crate::sbatch::Sbatch;
use crate::script::Script;

/// Set where sbatch is asked and not told: carm-submit asks nothing below it, and the sample of a CLI filter does not call it.
pub const TEST_ONLY: &str = "CARM_TEST_ONLY";

/// How the carbon options reach sbatch.
#[derive(Debug)]
pub enum Carbon<'a> {
    /// Where and as the user wrote them.
    AsWritten,
    /// Checked and normalised, behind everything else.
    Request(&'a CarbonRequest),
}

/// A job to hand over.
pub struct Handover<'a> {
    /// Slurm's own sbatch.
    pub sbatch: &'a Sbatch,
    /// The command line.
    pub line: &'a CommandLine,
    /// The script, where it could be read.
    pub script: Option<&'a Script>,
    /// Its directives, where they could be read.
    pub directives: Option<&'a Directives>,
    /// Whether carbon options mean something to this sbatch.
    pub plugin: bool,
    /// The carbon options.
    pub carbon: Carbon<'a>,
    /// The options that a plan adds.
    pub added: Vec<String>,
}

/// What a plan comes to in sbatch's options.
pub fn options_of(decided: &Decided) -> Vec<String> {
    let (assembled, plan) = (&decided.assembled, &decided.plan);
    let mut options = Vec::new();
    // sbatch takes no zone, and counts `now` in whole seconds.
    if decided.begin_s > 0 {
        options.push(format!("--begin=now+{}", decided.begin_s));
    }
    options.extend(assembled.choices[plan.candidate].place.options.iter().cloned());
    options.extend(decided.width.iter().cloned());
    if let Some(limit_s) = decided.limit_s {
        options.push(format!("--time={}", limit_s.div_ceil(60)));
    }
    options
}

/// The request as the prolog is to see it: with what only carm-submit knows.
pub fn request_of(decided: &Decided, request: &CarbonRequest, name: &str, is_array: bool) -> CarbonRequest {
    let assembled = &decided.assembled;
    // The tasks of an array start at other times: each has its own, from its start on.
    let deadline_h = assembled.submission.problem.deadline_h.filter(|_| assembled.patience.is_some() && !is_array);
    CarbonRequest {
        deadline: request.deadline.or(deadline_h.map(|hours| assembled.instant(hours))),
        work_s: Some(decided.assembled.work.seconds),
        asked: decided.deferred_from(),
        ..with_name(request, name)
    }
}

/// The request with the job's name, by which the ledger keeps its runs.
pub fn with_name(request: &CarbonRequest, name: &str) -> CarbonRequest {
    CarbonRequest { name: Some(JobName::new(name)).filter(|name| !name.as_str().is_empty()), ..request.clone() }
}

impl Handover<'_> {
    /// Runs sbatch in this process's place; returns only where that is not possible.
    pub fn exec(&self) -> Refusal {
        match self.command(&[]) {
            Ok((mut sbatch, _folder)) => Refusal::no_sbatch(&sbatch.exec()),
            Err(error) => Refusal::wrong(format!("handing the words to sbatch: {error}")),
        }
    }

    /// Runs sbatch beside this process. `submitted` follows its answer.
    pub fn attempt(&self, submitted: impl FnOnce()) -> Result<Attempt, Refusal> {
        let failed = |error: std::io::Error| Refusal::wrong(format!("handing the script to sbatch: {error}"));
        let (mut sbatch, _folder) = self.command(&[]).map_err(failed)?;
        attempt::run(&mut sbatch, submitted).map_err(|error| Refusal::no_sbatch(&error))
    }

    /// The same submission as a question to Slurm, which answers on standard error and starts nothing. The folder, where
    /// there is one, has to outlive the command.
    pub fn test_only(&self) -> std::io::Result<(Command, Option<TempDir>)> {
        let (mut sbatch, folder) = self.command(&["--test-only"])?;
        // A CLI filter that calls carm-submit must see that this is its question.
        sbatch.env(TEST_ONLY, "1");
        // Its user's own form of times is not for us to read.
        sbatch.env_remove("SLURM_TIME_FORMAT");
        if !matches!(self.script, Some(Script::Input(_))) {
            sbatch.stdin(Stdio::null());
        }
        Ok((sbatch, folder))
    }

    /// sbatch with its words, `first` before all others, and the folder of its script where that is a copy.
    fn command(&self, first: &[&str]) -> std::io::Result<(Command, Option<TempDir>)> {
        let mut added: Vec<OsString> = self.added.iter().map(OsString::from).collect();
        let options = match (&self.carbon, self.plugin) {
            (Carbon::AsWritten, true) => &self.line.written,
            (Carbon::Request(request), true) => {
                added.extend(variables::write_arguments(request).into_iter().map(OsString::from));
                &self.line.sbatch
            }
            (_, false) => &self.line.sbatch,
        };
        let mut sbatch = self.sbatch.command();
        sbatch.args(first);
        let mut folder = None;
        match (self.script, self.script_text()) {
            (Some(Script::Input(read)), text) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(text.as_deref().unwrap_or(read)).and_then(|()| file.rewind())?;
                sbatch.args(self.line.for_sbatch(options, &added, &[])).stdin(Stdio::from(file));
            }
            (Some(Script::File { path, .. }), Some(text)) => {
                let (own, script) = self.copy(path, &text)?;
                sbatch.args(self.line.for_sbatch(options, &added, &script));
                folder = Some(own);
            }
            (Some(Script::Pipe { path, text }), changed) => {
                let (own, script) = self.copy(path, changed.as_deref().unwrap_or(text))?;
                sbatch.args(self.line.for_sbatch(options, &added, &script));
                folder = Some(own);
            }
            _ => {
                sbatch.args(self.line.for_sbatch(options, &added, &self.line.script));
            }
        }
        Ok((sbatch, folder))
    }

    /// A copy of the script in a folder of its own, and the words that name it with its arguments. It keeps its file name:
    /// sbatch names the job after it.
    fn copy(&self, path: &Path, text: &[u8]) -> std::io::Result<(TempDir, Vec<OsString>)> {
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join(path.file_name().unwrap_or("script".as_ref()));
        std::fs::write(&copy, text)?;
        let arguments = self.line.script.iter().skip(1).cloned();
        let words = std::iter::once(copy.into_os_string()).chain(arguments).collect();
        Ok((folder, words))
    }

    /// The script without its carbon lines, where this sbatch would not know them.
    fn script_text(&self) -> Option<Vec<u8>> {
        let directives = self.directives.filter(|found| !self.plugin && found.has_carbon())?;
        Some(directives.without_carbon(self.script?.text()))
    }
}
