//! Hands the job over to sbatch: the same standard output, the same exit code, the script as it was.
//!
//! What the user wrote passes through byte for byte; what CARM adds stands behind it, where sbatch lets it win.

use std::ffi::OsString;
use std::io::{Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use carm::request::{CarbonRequest, JobName, variables};
use carm::slurm::argv::CommandLine;
use carm::slurm::directives::Directives;

use crate::decide::Decided;
use crate::exit::Refusal;
use crate::script::Script;

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
    if decided.waits_s() > 0 {
        options.push(format!("--begin=now+{}", decided.waits_s()));
    }
    options.extend(assembled.choices[plan.candidate].place.options.iter().cloned());
    options.extend(decided.width.iter().cloned());
    if let Some(limit_s) = decided.limit_s {
        options.push(format!("--time={}", limit_s.div_ceil(60)));
    }
    options
}

/// The request as the prolog is to see it: with what only carm-submit knows.
pub fn request_of(decided: &Decided, request: &CarbonRequest, name: &str) -> CarbonRequest {
    let bounds = &decided.assembled.choices[decided.plan.candidate].bounds;
    CarbonRequest {
        limit_s: decided.limit_s.or(bounds.unstretched_s()),
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
    /// Runs sbatch in this process's place. Returns only where that is not possible, or where a copy of the script has to
    /// be cleared away after it.
    pub fn submit(self) -> Result<ExitCode, Refusal> {
        let failed = |error: std::io::Error| Refusal::wrong(format!("handing the script to sbatch: {error}"));
        let text = self.script_text();
        let mut added: Vec<OsString> = self.added.iter().map(OsString::from).collect();
        let options = match (&self.carbon, self.plugin) {
            (Carbon::AsWritten, true) => &self.line.written,
            (Carbon::Request(request), true) => {
                added.extend(variables::write_arguments(request).into_iter().map(OsString::from));
                &self.line.sbatch
            }
            (_, false) => &self.line.sbatch,
        };
        let mut sbatch = Command::new("sbatch");
        match (self.script, text) {
            (Some(Script::Input(read)), text) => {
                let mut file = tempfile::tempfile().map_err(failed)?;
                file.write_all(text.as_deref().unwrap_or(read)).and_then(|()| file.rewind()).map_err(failed)?;
                sbatch.args(self.line.for_sbatch(options, &added, &[])).stdin(Stdio::from(file));
            }
            (Some(Script::File { path, .. }), Some(text)) => {
                // Under the same name in a folder of its own: sbatch calls the job after its script.
                let folder = tempfile::tempdir().map_err(failed)?;
                let copy = folder.path().join(path.file_name().unwrap_or("script".as_ref()));
                std::fs::write(&copy, text).map_err(failed)?;
                let script: Vec<OsString> =
                    std::iter::once(copy.into_os_string()).chain(self.line.script.iter().skip(1).cloned()).collect();
                let status = sbatch.args(self.line.for_sbatch(options, &added, &script)).status();
                return status.map(exit_code).map_err(|error| Refusal::no_sbatch(&error));
            }
            _ => {
                sbatch.args(self.line.for_sbatch(options, &added, &self.line.script));
            }
        }
        Err(Refusal::no_sbatch(&sbatch.exec()))
    }

    /// The script without its carbon lines, where this sbatch would not know them.
    fn script_text(&self) -> Option<Vec<u8>> {
        let directives = self.directives.filter(|found| !self.plugin && found.has_carbon())?;
        Some(directives.without_carbon(self.script?.text()))
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // As a shell tells a death by signal.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
