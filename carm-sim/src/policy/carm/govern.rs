//! While a job runs: the governor's decision ([`carm::govern`]), asked whenever its answer may change.
//!
//! The product's governor looks every minute. Here it looks when the grid or the roof changes, where the plan changes its clock, and before
//! the job must go to full clock; the rules in between are those of its interval.

use ::carm::govern::{self, Clock, OverBudget, Rules, Service, Situation, Standing, guaranteed_speed, margin_h};
use ::carm::plan::{Candidate, Start};

use super::Carm;
use crate::jobs::service::Demand;
use crate::policy::{Action, AtWork, Next, View, service as latency};

/// Full clock to the end.
pub fn full_clock(at: &AtWork, view: &View) -> Next {
    Next { action: run(at, view, None), look_h: f64::INFINITY }
}

/// A job with a piece of work to finish.
pub fn training(carm: &Carm, at: &AtWork, view: &View) -> Next {
    let (now_h, asked) = (view.now_h, &at.asked);
    if at.sure_left_h <= 0.0 {
        return full_clock(at, view); // it runs longer than was said
    }
    let limit_h = at.limit_end_h - now_h;
    let deadline_h = asked.deadline_h().map(|deadline_h| deadline_h - now_h);
    // What no run can reach changes nothing.
    let by_h = limit_h.min(deadline_h.unwrap_or(f64::INFINITY)).max(at.left_h) + 1.0;
    let horizon_h = view.planner().horizon_s / 3600.0;
    let offered = view.offer(at.site, asked, at.workers, (at.left_h.max(1.0 / 3600.0), Start::Fixed(0.0)), by_h.min(horizon_h));
    let Some(offer) = offered else { return full_clock(at, view) };
    let candidate = &offer.candidate;
    let card = candidate.work_h / at.left_h.max(1.0 / 3600.0);
    let measured = view.measured(at.site, asked);
    let situation = Situation {
        candidate,
        objective: carm.objective(asked),
        deadline_h,
        limit_h,
        budget_g: carm.budget_g(asked).map(|budget_g| (budget_g - at.spent_g).max(0.0)),
        measured,
    };
    let standing = Standing {
        level: Some(at.level.unwrap_or_else(|| view.full_clock(at.site, asked))),
        // A first clock has no dwell time.
        for_h: if at.level.is_some() { now_h - at.level_since_h } else { f64::INFINITY },
        sure_work_h: at.sure_left_h * card,
        whole_work_h: asked.said_work_h() * card,
        spent_g: at.spent_g,
    };
    let rules = rules(at, view);
    let band = view.band(at.site, by_h.min(horizon_h), view.site(at.site).onsite_share(f64::from(at.workers)));
    let band = band.as_ref().map(|(low, high)| (&low[..], &high[..]));
    let Ok(decision) = govern::reconsider(&situation, &standing, &rules, band) else { return full_clock(at, view) };
    let action = run(at, view, decision.level);
    let border_h = view.next_border_h(at.site);
    let look_h = match decision.level {
        None => f64::INFINITY, // past the point of no return
        Some(level) => {
            let turn_h =
                decision.plan.as_ref().and_then(|plan| plan.segments.first()).map_or(f64::INFINITY, |first| now_h + first.to_h);
            let slack_h =
                limit_h.min(deadline_h.unwrap_or(f64::INFINITY)) - margin_h(standing.whole_work_h) - standing.sure_work_h;
            let no_return_h = now_h + time_left_h(candidate, level, measured, slack_h, rules.interval_h);
            border_h.min(turn_h).min(no_return_h).max(now_h + rules.interval_h)
        }
    };
    Next { action, look_h }
}

/// How long a job may stay at a level before the governor, which looks two intervals ahead, sends it to full clock, h.
fn time_left_h(candidate: &Candidate, level: usize, measured: bool, slack_h: f64, interval_h: f64) -> f64 {
    let lost = 1.0 - guaranteed_speed(candidate, level, measured);
    if lost <= 0.0 { f64::INFINITY } else { (slack_h / lost - 2.0 * interval_h).max(0.0) }
}

/// A service: a clock at which its requests are answered in time, by the product's rule.
pub fn service(carm: &Carm, demand: &Demand, at: &AtWork, view: &View) -> Next {
    let limit_h = at.limit_end_h - view.now_h;
    let look_h = view.next_border_h(at.site);
    let levels = view.levels(at.site, &at.asked);
    let answering = latency::answering(demand, levels, view.measured(at.site, &at.asked));
    let horizon_h = view.planner().horizon_s / 3600.0;
    let start = Start::Fixed(0.0);
    let offered = view.offer(at.site, &at.asked, at.workers, (limit_h.max(1.0 / 3600.0), start), (limit_h + 1.0).min(horizon_h));
    let Some(offer) = offered else { return full_clock(at, view) };
    let asked = Service {
        candidate: &offer.candidate,
        answering: &answering,
        objective: carm.objective(&at.asked),
        limit_h,
        budget_g: None,
    };
    let rules = rules(at, view);
    let dwells = at.level.is_some_and(|level| answering.contains(&level)) && view.now_h - at.level_since_h < rules.dwell_h;
    match govern::service_clock(&asked) {
        Ok(Clock::Level { level, .. }) => {
            let level = at.level.filter(|_| dwells).unwrap_or(level);
            Next { action: run(at, view, Some(level)), look_h }
        }
        _ => Next { action: run(at, view, None), look_h },
    }
}

fn rules(at: &AtWork, view: &View) -> Rules {
    let governor = view.governor();
    let has_roof = view.outlook(at.site).onsite_w.is_some();
    Rules {
        interval_h: governor.interval_h,
        // The sun is followed within an interval.
        dwell_h: if has_roof { governor.interval_h } else { governor.dwell_h },
        min_change_mhz: governor.min_change_mhz,
        over_budget: OverBudget::Least,
    }
}

fn run(at: &AtWork, view: &View, level: Option<usize>) -> Action {
    Action::Run { level: level.unwrap_or_else(|| view.full_clock(at.site, &at.asked)), workers: at.workers }
}
