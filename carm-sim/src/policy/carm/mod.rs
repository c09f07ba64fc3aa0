//! CARM itself: the product's planner at submission (`submit`), the product's governor while a job runs (`govern`).
//!
//! Nothing is decided here: candidates come from [`carm::site::offer`], plans, begins and time limits from [`carm::submission`], clocks from
//! [`carm::govern`]. Levers can be taken away one by one, to see what each is worth.

mod govern;
mod submit;

use ::carm::plan::Objective;

use super::{Asked, AtWork, Decision, Next, Policy, View};

/// What CARM may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Levers {
    deferral: bool,
    clocks: bool,
    placement: bool,
    width: bool,
}

const ALL: Levers = Levers { deferral: true, clocks: true, placement: true, width: true };
const NONE: Levers = Levers { deferral: false, clocks: false, placement: false, width: false };
const ONE_EACH: [Levers; 4] = [
    Levers { deferral: true, ..NONE },
    Levers { clocks: true, ..NONE },
    Levers { placement: true, ..NONE },
    Levers { width: true, ..NONE },
];

/// CARM with an objective and some of its levers.
#[derive(Debug)]
pub struct Carm {
    name: &'static str,
    objective: Objective,
    levers: Levers,
}

const NAMES: [(Objective, [&str; 5]); 3] = [
    (
        Objective::Performance,
        [
            "carm-performance",
            "carm-performance-deferral",
            "carm-performance-clocks",
            "carm-performance-placement",
            "carm-performance-width",
        ],
    ),
    (
        Objective::Carbon,
        ["carm-carbon", "carm-carbon-deferral", "carm-carbon-clocks", "carm-carbon-placement", "carm-carbon-width"],
    ),
    (Objective::Ppc, ["carm-ppc", "carm-ppc-deferral", "carm-ppc-clocks", "carm-ppc-placement", "carm-ppc-width"]),
];

/// All three objectives, each whole and with each lever alone.
#[must_use]
pub fn all() -> Vec<Carm> {
    let each = |(objective, names): (Objective, [&'static str; 5])| {
        let levers = std::iter::once(ALL).chain(ONE_EACH);
        names.into_iter().zip(levers).map(move |(name, levers)| Carm { name, objective, levers })
    };
    NAMES.into_iter().flat_map(each).collect()
}

impl Carm {
    /// The objective of a job: one that lacks what it is about has the configuration's default, as with carm-submit.
    fn objective(&self, asked: &Asked) -> Objective {
        match self.objective {
            Objective::Performance if asked.deadline_h().is_none() && asked.service().is_none() => Objective::Ppc,
            Objective::Carbon if asked.budget_g().is_none() => match asked.deadline_h() {
                Some(_) => Objective::Performance,
                None => Objective::Ppc,
            },
            objective => objective,
        }
    }

    /// A budget binds under the carbon objective alone: under the others no user gave one.
    fn budget_g(&self, asked: &Asked) -> Option<f64> {
        asked.budget_g().filter(|_| self.objective == Objective::Carbon)
    }
}

impl Policy for Carm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        match asked.service() {
            Some(_) => Decision::at_home(asked, view.now_h, asked.limit_h()),
            None => submit::decide(self, asked, view),
        }
    }

    fn look(&self, at: &AtWork, view: &View) -> Next {
        match at.asked.service() {
            _ if !self.levers.clocks => govern::full_clock(at, view),
            Some(demand) => govern::service(self, demand, at, view),
            None => govern::training(self, at, view),
        }
    }
}
