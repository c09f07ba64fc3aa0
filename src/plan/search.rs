//! The three objectives over all candidates: the lower envelope, its ties, and by how much an infeasible request misses.

use super::Request;
use super::fill::Fill;
use super::objective::{Budget, Descent, End, SAME_INSTANT};
use super::outcome::{Infeasible, Outcome, Plan, Reason};
use super::problem::Objective;
use super::window::{TIE, Windows};

/// The best plan over the candidates' windows.
pub(super) fn best(windows: Vec<Option<Windows>>, request: &Request) -> Outcome {
    let mut search = Search { windows, fill: Fill::default() };
    let by = request.deadline_h.unwrap_or(f64::INFINITY);
    let budget = request.budget_g.unwrap_or(f64::INFINITY);
    let ends = match request.objective {
        Objective::Performance => search.least_carbon(budget, by),
        Objective::Carbon => search.earliest(budget, by),
        Objective::Ppc => search.best_ppc(budget, by),
    };
    match search.finish(&ends, request.work_gpu_h) {
        Some(plan) => Outcome::Feasible(plan),
        None => Outcome::Infeasible(search.miss(request)),
    }
}

/// The candidates' windows, with the memory that searching them needs.
struct Search<'t> {
    windows: Vec<Option<Windows<'t>>>,
    fill: Fill,
}

impl Search<'_> {
    /// Each candidate's end by a rule.
    fn ends(&mut self, mut rule: impl FnMut(&Windows, &mut Fill) -> Option<End>) -> Vec<Option<End>> {
        let fill = &mut self.fill;
        self.windows.iter().map(|ws| ws.as_ref().and_then(|ws| rule(ws, fill))).collect()
    }

    /// Performance: the earliest end at the least carbon by the deadline.
    fn least_carbon(&mut self, budget: f64, by: f64) -> Vec<Option<End>> {
        let fill = &mut self.fill;
        let descents: Vec<Descent> =
            self.windows.iter().map(|ws| ws.as_ref().map_or(Descent::default(), |ws| ws.least_carbon(by, fill))).collect();
        let cost = descents.iter().map(Descent::least).fold(f64::INFINITY, f64::min);
        if cost > Budget::about(budget).most {
            return Vec::new();
        }
        let reach = |(ws, descent): (&Option<Windows>, &Descent)| {
            ws.as_ref()?.earliest_end_from(descent.reaches(cost)?, Budget::about(cost), by, fill)
        };
        self.windows.iter().zip(&descents).map(reach).collect()
    }

    /// Carbon: the earliest end within the budget.
    fn earliest(&mut self, budget: f64, by: f64) -> Vec<Option<End>> {
        self.within(budget, |ws, budget, fill| ws.earliest_end(budget, by, fill))
    }

    /// PPC: the least product of end and carbon.
    fn best_ppc(&mut self, budget: f64, by: f64) -> Vec<Option<End>> {
        let mut ends = self.within(budget, |ws, budget, fill| ws.best_ppc(budget, by, fill));
        let least = ends.iter().flatten().map(|e| e.at * e.cost).fold(f64::INFINITY, f64::min);
        for end in &mut ends {
            *end = end.filter(|e| e.at * e.cost <= least * (1.0 + TIE));
        }
        ends
    }

    /// Each candidate's end under a budget that is kept to the last digit, unless it is just the least there is.
    fn within(&mut self, budget: f64, mut rule: impl FnMut(&Windows, Budget, &mut Fill) -> Option<End>) -> Vec<Option<End>> {
        let inside = self.ends(|ws, fill| rule(ws, Budget::strictly(budget), fill));
        if inside.iter().any(Option::is_some) { inside } else { self.ends(|ws, fill| rule(ws, Budget::about(budget), fill)) }
    }

    /// The plan of the best end: the earliest, then the earliest start, then the fewest workers, then the first in order.
    fn finish(&mut self, ends: &[Option<End>], work_gpu_h: f64) -> Option<Plan> {
        let earliest = ends.iter().flatten().map(|e| e.at).fold(f64::INFINITY, f64::min);
        let mut best: Option<(Plan, u32)> = None;
        for (i, (end, ws)) in ends.iter().zip(&self.windows).enumerate() {
            let (Some(end), Some(ws)) = (end, ws) else {
                continue;
            };
            if end.at > earliest + SAME_INSTANT {
                continue;
            }
            let Some(plan) = ws.plan_at(*end, i, work_gpu_h, &mut self.fill) else {
                continue;
            };
            let workers = ws.tables.workers;
            let better = best.as_ref().is_none_or(|(kept, n)| {
                plan.start_h < kept.start_h - SAME_INSTANT || plan.start_h <= kept.start_h + SAME_INSTANT && workers < *n
            });
            if better {
                best = Some((plan, workers));
            }
        }
        best.map(|(plan, _)| plan)
    }

    /// By how much an infeasible request misses.
    fn miss(&mut self, request: &Request) -> Infeasible {
        let by = request.deadline_h.unwrap_or(f64::INFINITY);
        let budget = Budget::about(request.budget_g.unwrap_or(f64::INFINITY));
        let fill = &mut self.fill;
        let least = self.windows.iter().flatten().map(|ws| ws.least_carbon(by, fill).least()).fold(f64::INFINITY, f64::min);
        let within_budget = self.ends(|ws, fill| ws.earliest_end(budget, f64::INFINITY, fill));
        let fits = self.ends(|ws, fill| ws.earliest_end(Budget::about(f64::INFINITY), f64::INFINITY, fill));
        let least_carbon_g = least.is_finite().then_some(least);
        let earliest_end_h = within_budget.iter().flatten().map(|e| e.at).reduce(f64::min);
        let reason = if fits.iter().all(Option::is_none) {
            let too_long = |ws: &Option<Windows>| ws.as_ref().is_some_and(|ws| ws.max_run < ws.work);
            if self.windows.iter().all(too_long) { Reason::MaxRun } else { Reason::Horizon }
        } else {
            match (least_carbon_g, earliest_end_h) {
                (None, Some(_)) => Reason::Deadline,
                (Some(_), None) => Reason::Budget,
                _ => Reason::DeadlineAndBudget,
            }
        };
        Infeasible { reason, least_carbon_g, earliest_end_h }
    }
}
