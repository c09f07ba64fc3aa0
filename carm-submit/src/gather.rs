//! Gathers what a submission says: the carbon request and the facts of the job, each from the command line, the
//! environment and the script's lines, in this order of strength.

use std::ffi::OsString;

use carm::quantity::Moment;
use carm::request::{Argument, CarbonOption, CarbonRequest, OPTIONS};
use carm::slurm::argv::{CommandLine, Given};
use carm::slurm::directives::{self, Directives};
use carm::slurm::environment;
use carm::slurm::grammar::{Grammar, Owner};
use carm::slurm::job::{Job, Options};

use crate::exit::{Obstacle, Refusal};
use crate::script::{Script, shown, variable};

/// What a submission says.
#[derive(Debug)]
pub struct Gathered {
    /// The carbon request.
    pub request: CarbonRequest,
    /// The job.
    pub job: Job,
    /// The options that say so, each with its last value.
    pub options: Options,
    /// Its name.
    pub name: String,
    /// Whether it is a heterogeneous job.
    pub heterogeneous: bool,
    /// The lines of another batch system (`#PBS`, `#BSUB`) by which sbatch sets a time or resources.
    pub foreign: Option<&'static str>,
    /// What a throttled array's later rounds need before the deadline, in hours; 0 for any other job.
    pub later_h: f64,
}

/// Reads a script's directives.
pub fn directives(grammar: &Grammar, script: &Script) -> anyhow::Result<Directives> {
    directives::read(grammar, script.text()).map_err(|error| {
        let place = match script {
            Script::File { path, .. } | Script::Pipe { path, .. } => shown(path),
            Script::Input(_) | Script::Wrap => "standard input".to_owned(),
        };
        anyhow::anyhow!("{place}: {error}")
    })
}

/// Gathers from all three places.
pub fn gather(line: &CommandLine, script: &Script, directives: &Directives, moment: &Moment) -> Result<Gathered, Obstacle> {
    let from_script = carbon(directives.scan.options.iter(), " (in the script)", moment)?;
    let from_line = carbon(line.described(), "", moment)?;
    let request = from_line.over(from_environment(moment)?).over(from_script);

    let mut options = Options::default();
    options.lay_over(&directives.scan.options);
    for &(name, option) in environment::VARIABLES {
        // A switch is on wherever its variable is set.
        let is_set = |value: &OsString| !value.is_empty() || matches!(option, "exclusive" | "ignore-pbs");
        if let Some(value) = std::env::var_os(name).filter(is_set) {
            options.set(option, Some(value));
        }
    }
    options.lay_over(line.described());
    let job = Job::read(&options, moment);
    Ok(Gathered {
        request,
        name: job.name.clone().unwrap_or_else(|| script.name()),
        job,
        foreign: directives.foreign.filter(|_| !options.has("ignore-pbs")),
        options,
        heterogeneous: line.heterogeneous || !directives.later.is_empty(),
        later_h: 0.0,
    })
}

fn carbon<'a>(options: impl Iterator<Item = &'a Given>, place: &str, moment: &Moment) -> Result<CarbonRequest, Refusal> {
    let mut request = CarbonRequest::default();
    for given in options {
        if let Owner::Carbon(option) = given.owner {
            let text = given.value.as_deref().map(|value| value.to_string_lossy());
            request.set(option, text.as_deref(), moment).map_err(|error| Refusal::wrong(format!("{error}{place}")))?;
        }
    }
    Ok(request)
}

/// `CARM_BUDGET` and the others; a switch is on with any text but `0`, `no` and `false`.
fn from_environment(moment: &Moment) -> Result<CarbonRequest, Refusal> {
    let mut request = CarbonRequest::default();
    for spec in OPTIONS.iter().filter(|spec| !spec.hidden) {
        let Some(value) = variable(spec.variable) else { continue };
        let text = value.to_string_lossy();
        let switch = spec.option == CarbonOption::Off || matches!(spec.argument, Argument::Optional(_)) && text == "1";
        let given = match (switch, text.as_ref()) {
            (true, "0" | "no" | "false") => continue,
            (true, _) => None,
            (false, text) => Some(text),
        };
        let set = request.set(spec.option, given, moment);
        set.map_err(|error| Refusal::wrong(format!("{error} (in {})", spec.variable)))?;
    }
    Ok(request)
}
