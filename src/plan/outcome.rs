//! The answer: a plan with its figures, or how far off the request is.

/// What planning comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The best plan.
    Feasible(Plan),
    /// No plan meets the request.
    Infeasible(Infeasible),
}

impl Outcome {
    /// The plan, if there is one.
    #[must_use]
    pub fn plan(self) -> Option<Plan> {
        match self {
            Outcome::Feasible(plan) => Some(plan),
            Outcome::Infeasible(_) => None,
        }
    }
}

/// Where, when and how fast to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Index of the candidate.
    pub candidate: usize,
    /// When the run begins, h after now.
    pub start_h: f64,
    /// When the run ends, h after now: its turnaround.
    pub end_h: f64,
    /// Facility carbon, gCO2e.
    pub carbon_g: f64,
    /// Facility energy, kWh.
    pub energy_kwh: f64,
    /// Performance per carbon, (GPU-h per h) per g; `None` for a plan that emits nothing.
    pub ppc: Option<f64>,
    /// The clocks over time: in order, without gaps (but for suspended work), from start to end.
    pub segments: Vec<Segment>,
    /// Share of the run's time that lies in estimated slots, 0 to 1.
    pub estimated_share: f64,
}

/// A stretch of a run at one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Begin, h after now.
    pub from_h: f64,
    /// End, h after now.
    pub to_h: f64,
    /// Index into the candidate's levels.
    pub level: usize,
    /// Facility power, W.
    pub power_w: f64,
    /// Facility carbon of the stretch, gCO2e.
    pub carbon_g: f64,
}

/// Why no plan meets the request, and by how much it misses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Infeasible {
    /// What stands in the way.
    pub reason: Reason,
    /// The least budget that would meet the deadline (the horizon without one), g; `None` if no plan meets it.
    pub least_carbon_g: Option<f64>,
    /// The earliest end that would meet the budget (the earliest at all without one), h; `None` if none does.
    pub earliest_end_h: Option<f64>,
}

/// What stands in the way of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The work fits nowhere between the earliest start and the end of the forecast.
    Horizon,
    /// Even at full clock the run would be longer than the partition allows.
    MaxRun,
    /// No level keeps the latency limit of a service.
    Latency,
    /// No plan ends by the deadline.
    Deadline,
    /// No plan stays within the budget.
    Budget,
    /// The deadline and the budget cannot both hold.
    DeadlineAndBudget,
}

/// One point of the frontier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrontierPoint {
    /// The run ends by then, h after now.
    pub end_h: f64,
    /// C*: the least carbon of any plan that does, g.
    pub carbon_g: f64,
    /// Whose plan it is.
    pub candidate: usize,
}
