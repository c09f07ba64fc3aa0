//! How much later than at the earliest a job may end that names no deadline.

use crate::config::Planner;

/// A shorter run is not delayed: somebody waits for it.
const SHORT_H: f64 = 0.5;

/// A job's patience, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Hours between its earliest end and its deadline.
    pub hours: f64,
    /// Where that comes from.
    pub basis: PatienceBasis,
}

/// What a job's patience rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatienceBasis {
    /// Its user's `--carbon-max-delay`.
    Option,
    /// `[planner] max_delay_ratio`: a part of the predicted run time.
    Ratio,
    /// `[planner] max_delay`.
    MaxDelay,
    /// None: the run takes less than half an hour.
    ShortRun,
    /// None: no run time is predicted; a time limit is no prediction.
    NoPrediction,
    /// None: the job depends on others, and is a step of a workflow.
    Dependency,
}

impl Patience {
    /// The patience of a job: `own_h` is its user's `--carbon-max-delay`, `run_h` the predicted run time, both in hours.
    ///
    /// A run of 8 h by the default configuration waits for 4 h at most, one of 3 days for 12 h.
    #[must_use]
    pub fn of(own_h: Option<f64>, run_h: Option<f64>, has_dependency: bool, planner: &Planner) -> Self {
        let none = |basis| Self { hours: 0.0, basis };
        let max_delay_h = planner.max_delay_s / 3600.0;
        match (own_h, run_h) {
            (Some(hours), _) => Self { hours, basis: PatienceBasis::Option },
            (None, None) => none(PatienceBasis::NoPrediction),
            (None, Some(run_h)) if run_h < SHORT_H => none(PatienceBasis::ShortRun),
            _ if has_dependency => none(PatienceBasis::Dependency),
            (None, Some(run_h)) => {
                let ratio = Self { hours: planner.max_delay_ratio * run_h, basis: PatienceBasis::Ratio };
                if ratio.hours < max_delay_h { ratio } else { Self { hours: max_delay_h, basis: PatienceBasis::MaxDelay } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn patience_is_the_smaller_of_two_limits() {
        let planner = Config::embedded(0).planner;
        let of = |own_h, run_h, dependency| {
            let Patience { hours, basis } = Patience::of(own_h, run_h, dependency, &planner);
            (hours, basis)
        };
        assert_eq!(of(None, Some(8.0), false), (4.0, PatienceBasis::Ratio));
        assert_eq!(of(None, Some(72.0), false), (12.0, PatienceBasis::MaxDelay));
        assert_eq!(of(None, Some(0.4), false), (0.0, PatienceBasis::ShortRun));
        assert_eq!(of(None, None, false), (0.0, PatienceBasis::NoPrediction));
        assert_eq!(of(None, Some(8.0), true), (0.0, PatienceBasis::Dependency));
        assert_eq!(of(Some(96.0), None, true), (96.0, PatienceBasis::Option));
    }
}
