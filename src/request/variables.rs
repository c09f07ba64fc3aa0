//! The carbon request on its way from the plugin to the prolog: `CARM_V=1` and one `CARM_*` variable per option, which
//! Slurm hands to the prolog as `SPANK_CARM_*`.
//!
//! Writer and reader stand here together. The reader takes the text as hostile: Slurm passes it on as the user wrote it,
//! and a user can write it without the plugin (slurmrestd's `spank_environment`, an own `SLURM_CONF`).

use chrono::NaiveDateTime;

use super::{CarbonOption, CarbonRequest, OPTIONS, OptionError, value};
use crate::quantity::{Moment, format_instant};

/// The version of this format.
pub const VERSION: &str = "1";
/// The variable that carries it.
pub const VERSION_VARIABLE: &str = "CARM_V";
/// What Slurm puts in front of a job-control variable in the environment of prolog and epilog.
pub const SLURM_PREFIX: &str = "SPANK_";

/// What stands in the environment is no carbon request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariablesError {
    /// Written by another version of CARM, or forged.
    #[error("CARM_V: '{}': not version {VERSION}; use one release of CARM on login and compute nodes", crate::text::printable(.0))]
    Version(String),
    /// A value that the plugin would have refused.
    #[error(transparent)]
    Value(#[from] OptionError),
}

/// The request as job-control variables, normalised; none for a request that asks nothing.
#[must_use]
pub fn write(request: &CarbonRequest) -> Vec<(&'static str, String)> {
    if request.is_empty() {
        return Vec::new();
    }
    let values = OPTIONS.iter().filter_map(|spec| Some((spec.variable, value::normalised(request, spec.option)?)));
    std::iter::once((VERSION_VARIABLE, VERSION.to_owned())).chain(values).collect()
}

/// The request as options for sbatch's command line, normalised: what carm-submit decided.
#[must_use]
pub fn write_arguments(request: &CarbonRequest) -> Vec<String> {
    let argument = |spec: &super::OptionSpec| {
        let text = value::normalised(request, spec.option)?;
        Some(if spec.option == CarbonOption::Off { format!("--{}", spec.flag) } else { format!("--{}={text}", spec.flag) })
    };
    OPTIONS.iter().filter_map(argument).collect()
}

/// Reads the request from variables; `variable` is asked for names without the `SPANK_` prefix. `Ok(None)`: the job has no
/// carbon options.
///
/// # Errors
/// Another version, or a value that the plugin would have refused: then nothing of the request may be trusted, and the
/// job keeps full clock.
pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<CarbonRequest>, VariablesError> {
    match variable(VERSION_VARIABLE) {
        None => return Ok(None),
        Some(version) if version == VERSION => {}
        Some(version) => return Err(VariablesError::Version(version)),
    }
    // Normalised deadlines carry their zone, so this moment is never asked; a forged `now+1h` must not pass either.
    let nowhere = Moment { now: chrono::DateTime::UNIX_EPOCH, local: &|_: NaiveDateTime| None };
    let mut request = CarbonRequest::default();
    for spec in OPTIONS {
        let Some(text) = variable(spec.variable) else { continue };
        match spec.option {
            CarbonOption::Off => request.off = true,
            CarbonOption::Deadline => {
                let deadline = crate::quantity::parse_instant(&text).map_err(|reason| OptionError {
                    option: spec.option,
                    text: text.clone(),
                    reason,
                })?;
                request.deadline = Some(deadline);
            }
            option => request.set(option, Some(&text), &nowhere)?,
        }
    }
    Ok(Some(request))
}

/// What the plugin puts into the job's own environment, so that a training script can adapt.
#[must_use]
pub fn write_job_environment(request: &CarbonRequest) -> Vec<(&'static str, String)> {
    let all = [
        (JOB_ENVIRONMENT[0], request.budget_g.map(|g| format!("{g}"))),
        (JOB_ENVIRONMENT[1], request.objective.map(|o| o.name().to_owned())),
        (JOB_ENVIRONMENT[2], request.deadline.map(format_instant)),
    ];
    all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

/// The names that [`write_job_environment`] uses: a nested submission must not inherit them.
pub const JOB_ENVIRONMENT: [&str; 3] = ["CARM_JOB_BUDGET_G", "CARM_JOB_OBJECTIVE", "CARM_JOB_DEADLINE"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{JobName, Objective, Suspend};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn read_map(variables: &[(&str, &str)]) -> Result<Option<CarbonRequest>, VariablesError> {
        let map: HashMap<_, _> = variables.iter().copied().collect();
        read(|name| map.get(name).map(|&text| text.to_owned()))
    }

    fn any_request() -> impl Strategy<Value = CarbonRequest> {
        let objective = prop_oneof![Just(Objective::Performance), Just(Objective::Carbon), Just(Objective::Ppc)];
        let first = (
            prop::option::of(0.001..1e12_f64),
            prop::option::of(objective),
            prop::option::of(0..4_000_000_000_000_i64),
            prop::option::of(0.001..1e6_f64),
            prop::option::of(1..300_000_000_u64),
            prop::option::of("[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
        );
        let second = (
            prop::option::of(prop::collection::vec(1..1025_u32, 1..40)),
            prop::option::of(0.0..1e6_f64),
            prop::option::of(0.0..1e6_f64),
            any::<bool>(),
            prop::option::of((1..300_000_000_u64, 1..300_000_000_u64)),
            prop::option::of("\\PC{1,200}"),
            prop::option::of(0..4_000_000_000_000_i64),
        );
        (first, second).prop_map(
            |(
                (budget_g, objective, deadline_ms, latency_s, runtime_s, profile),
                (workers, cost, delay, off, pair, name, asked_ms),
            )| {
                CarbonRequest {
                    budget_g,
                    budget_share: budget_g.filter(|_| off).map(|g| 10.0 * g / 1e12),
                    objective,
                    deadline: deadline_ms.and_then(chrono::DateTime::from_timestamp_millis),
                    latency_s,
                    runtime_s,
                    profile: profile.map(|p| p.parse().expect("a name")),
                    workers: workers.map(|w| w.iter().map(u32::to_string).collect::<Vec<_>>().join(",").parse().expect("counts")),
                    suspend: cost.map(|restart_cost_s| Suspend { restart_cost_s }),
                    max_delay_s: delay,
                    off,
                    later_s: pair.map(|p| p.0),
                    work_s: pair.map(|p| p.1),
                    name: name.map(|n| JobName::new(&n)).filter(|n| !["", "(null)"].contains(&n.as_str())),
                    asked: asked_ms.and_then(chrono::DateTime::from_timestamp_millis),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_the_plugin_writes_the_prolog_reads(request in any_request()) {
            let written = write(&request);
            for (name, text) in &written {
                let bound = OPTIONS.iter().find(|spec| spec.variable == *name).map_or(1, |spec| value::max_text(spec.option));
                prop_assert!(text.is_ascii() && text.len() <= bound, "{name}={text}");
            }
            let map: HashMap<_, _> = written.into_iter().collect();
            let back = read(|name| map.get(name).cloned());
            prop_assert_eq!(back, Ok((!request.is_empty()).then_some(request)));
        }

        #[test]
        fn no_forged_text_panics_or_is_half_read(name in 0..OPTIONS.len(), text in ".{0,300}") {
            let spec = &OPTIONS[name];
            let result = read_map(&[("CARM_V", "1"), (spec.variable, &text)]);
            if let Err(error) = result {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn a_job_without_carbon_options_carries_no_variable() {
        assert_eq!(write(&CarbonRequest::default()), []);
        assert_eq!(read_map(&[]), Ok(None));
    }

    #[test]
    fn another_version_is_refused_as_a_whole() {
        let error = read_map(&[("CARM_V", "2"), ("CARM_BUDGET", "5")]).expect_err("version 2");
        assert_eq!(error.to_string(), "CARM_V: '2': not version 1; use one release of CARM on login and compute nodes");
    }

    #[test]
    fn a_forged_relative_deadline_is_refused() {
        for forged in ["now+8h", "2026-05-01T18:00"] {
            assert!(read_map(&[("CARM_V", "1"), ("CARM_DEADLINE", forged)]).is_err(), "{forged}");
        }
    }
}
