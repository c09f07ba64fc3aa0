//! The one table of carbon options. The plugin registers from it, carm-submit builds its flags from it, and
//! docs/options.md is held to it by a test.

/// A carbon option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CarbonOption {
    /// `--carbon-budget`
    Budget,
    /// `--carbon-objective`
    Objective,
    /// `--carbon-deadline`
    Deadline,
    /// `--carbon-latency`
    Latency,
    /// `--carbon-runtime`
    Runtime,
    /// `--carbon-profile`
    Profile,
    /// `--carbon-workers`
    Workers,
    /// `--carbon-suspend`
    Suspend,
    /// `--carbon-max-delay`
    MaxDelay,
    /// `--carbon-off`
    Off,
    /// `--carm-budget-share`, set by the plugin for `--carbon-budget=80%`
    BudgetShare,
    /// `--carm-later-s`, set by carm-submit
    LaterS,
    /// `--carm-work-s`, set by carm-submit
    WorkS,
    /// `--carm-name`, set by carm-submit
    Name,
    /// `--carm-asked`, set by carm-submit
    Asked,
}

/// Whether an option takes an argument. The name is what `--help` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// None.
    None,
    /// One, always.
    Required(&'static str),
    /// One or none; only the form `--option=value` gives it.
    Optional(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// Which option.
    pub option: CarbonOption,
    /// Its long name without the dashes.
    pub flag: &'static str,
    /// Its argument.
    pub argument: Argument,
    /// Its variable: in carm-submit's environment as it stands, in the prolog's with `SPANK_` in front.
    pub variable: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Set by carm-submit only: not offered to users. Named `--carm-*`, lest users' abbreviations of `--carbon-*` become
    /// ambiguous (`--carbon-l`).
    pub hidden: bool,
}

/// Every option, in the order in which help shows them.
pub static OPTIONS: &[OptionSpec] = &[
    visible(
        CarbonOption::Budget,
        "carbon-budget",
        Argument::Required("MASS"),
        "CARM_BUDGET",
        "carbon budget of the whole job: 500g, 1.2kg, 0.3t (gCO2e), or 80% of full clock at once",
    ),
    visible(
        CarbonOption::Objective,
        "carbon-objective",
        Argument::Required("NAME"),
        "CARM_OBJECTIVE",
        "performance (least carbon by the deadline), carbon (fastest within the budget) or ppc (best performance per carbon)",
    ),
    visible(
        CarbonOption::Deadline,
        "carbon-deadline",
        Argument::Required("TIME"),
        "CARM_DEADLINE",
        "finish by: 18:00, tomorrow, 12/01-09:00, 2026-05-01T18:00, now+8hours",
    ),
    visible(
        CarbonOption::Latency,
        "carbon-latency",
        Argument::Required("DURATION"),
        "CARM_LATENCY",
        "inference latency limit (50ms, 0.2s): the job is a service",
    ),
    visible(
        CarbonOption::Runtime,
        "carbon-runtime",
        Argument::Required("TIME"),
        "CARM_RUNTIME",
        "expected run time at full clock: minutes, HH:MM:SS or D-HH",
    ),
    visible(CarbonOption::Profile, "carbon-profile", Argument::Required("NAME"), "CARM_PROFILE", "GPU workload profile"),
    visible(
        CarbonOption::Workers,
        "carbon-workers",
        Argument::Required("COUNTS"),
        "CARM_WORKERS",
        "GPU counts that the job can use: 1-8 or 1,2,4,8 (carm-submit picks one)",
    ),
    visible(
        CarbonOption::Suspend,
        "carbon-suspend",
        Argument::Optional("COST"),
        "CARM_SUSPEND",
        "the job checkpoints and may be paused; COST of a restart, such as 5m",
    ),
    visible(
        CarbonOption::MaxDelay,
        "carbon-max-delay",
        Argument::Required("DURATION"),
        "CARM_MAX_DELAY",
        "longest wait for greener power: 0s, 90m, 24h",
    ),
    visible(CarbonOption::Off, "carbon-off", Argument::None, "CARM_OFF", "CARM leaves this job alone"),
    hidden(
        CarbonOption::BudgetShare,
        "carm-budget-share",
        Argument::Required("SHARE"),
        "CARM_BUDGET_SHARE",
        "set for --carbon-budget=80%: its share of the same work at full clock",
    ),
    hidden(
        CarbonOption::LaterS,
        "carm-later-s",
        Argument::Required("SECONDS"),
        "CARM_LATER_S",
        "set by carm-submit: the work of a throttled array's later rounds",
    ),
    hidden(
        CarbonOption::WorkS,
        "carm-work-s",
        Argument::Required("SECONDS"),
        "CARM_WORK_S",
        "set by carm-submit: the assumed run time at full clock",
    ),
    hidden(CarbonOption::Name, "carm-name", Argument::Required("NAME"), "CARM_NAME", "set by carm-submit: the job's name"),
    hidden(
        CarbonOption::Asked,
        "carm-asked",
        Argument::Required("TIME"),
        "CARM_ASKED",
        "set by carm-submit: when the job could have started, had it not been deferred",
    ),
];

const fn visible(
    option: CarbonOption,
    flag: &'static str,
    argument: Argument,
    variable: &'static str,
    help: &'static str,
) -> OptionSpec {
    OptionSpec { option, flag, argument, variable, help, hidden: false }
}

const fn hidden(
    option: CarbonOption,
    flag: &'static str,
    argument: Argument,
    variable: &'static str,
    help: &'static str,
) -> OptionSpec {
    OptionSpec { option, flag, argument, variable, help, hidden: true }
}

impl CarbonOption {
    /// This option's row.
    #[must_use]
    pub fn spec(self) -> &'static OptionSpec {
        // The table stands in the enum's order; a test holds the two together.
        &OPTIONS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_enums_order_and_its_names_agree() {
        for (index, spec) in OPTIONS.iter().enumerate() {
            assert_eq!(spec.option as usize, index, "{}", spec.flag);
            assert_eq!(spec.option.spec().flag, spec.flag);
            let from_flag = spec.flag.to_uppercase().replace('-', "_").replace("CARBON_", "CARM_");
            assert_eq!(spec.variable, from_flag, "{}", spec.flag);
            assert!(spec.flag.len() <= 75, "Slurm's bound on an option's name");
        }
    }
}
