//! The frontier: C*(E), the least carbon of any plan that ends by E, as a curve over E and over all candidates.

use super::check;
use super::error::PlanError;
use super::fill::Fill;
use super::outcome::FrontierPoint;
use super::problem::Problem;
use super::tables::Tables;
use super::window::{Run, Windows};
use super::{Prepared, prepared};

/// The ends at which the frontier is wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Ends {
    /// At the end of every slot of any candidate.
    EverySlot,
    /// At no more than so many of the slots' ends, evenly spread over them, the last one included.
    Some(usize),
    /// At these instants, h after now.
    At(Vec<f64>),
}

/// The frontier of a problem: points in order of time, whose carbon never rises. Ends by which no run can be
/// done are left out. The objective, deadline and budget are not looked at.
///
/// # Errors
/// If the problem is malformed.
pub fn frontier(problem: &Problem, ends: &Ends) -> Result<Vec<FrontierPoint>, PlanError> {
    check::candidates(problem)?;
    let tables: Vec<Tables> = problem.candidates.iter().map(Tables::of_checked).collect();
    Ok(of(&prepared(problem, &tables), ends, Windows::new))
}

/// The limit as a curve: [`frontier`] of a job that may pause and resume for nothing. Patience and the longest run are
/// not looked at.
///
/// # Errors
/// If the problem is malformed.
pub fn frontier_suspended(problem: &Problem, ends: &Ends) -> Result<Vec<FrontierPoint>, PlanError> {
    check::candidates(problem)?;
    let tables: Vec<Tables> = problem.candidates.iter().map(Tables::of_checked).collect();
    Ok(of(&prepared(problem, &tables), ends, Windows::suspended))
}

/// [`frontier`] from prepared tables.
///
/// # Errors
/// If a run is malformed.
pub fn frontier_prepared(candidates: &[Prepared], ends: &Ends) -> Result<Vec<FrontierPoint>, PlanError> {
    for (i, c) in candidates.iter().enumerate() {
        check::run(c.run.work_h, c.run.start, c.run.max_run_h, &|name| format!("candidates[{i}].{name}"))?;
    }
    Ok(of(candidates, ends, Windows::new))
}

fn of<'t>(
    candidates: &[Prepared<'t>],
    ends: &Ends,
    windows: impl Fn(&'t Tables, &Run) -> Option<Windows<'t>>,
) -> Vec<FrontierPoint> {
    let ends = instants(candidates, ends);
    let mut fill = Fill::default();
    let mut points: Vec<Option<FrontierPoint>> = vec![None; ends.len()];
    for (candidate, c) in candidates.iter().enumerate() {
        let Some(ws) = windows(c.tables, &c.run) else {
            continue;
        };
        for (point, (&end_h, carbon)) in points.iter_mut().zip(ends.iter().zip(ws.curve(&ends, &mut fill))) {
            let Some(carbon_g) = carbon else { continue };
            if point.is_none_or(|p| carbon_g < p.carbon_g) {
                *point = Some(FrontierPoint { end_h, carbon_g, candidate });
            }
        }
    }
    points.into_iter().flatten().collect()
}

fn instants(candidates: &[Prepared], ends: &Ends) -> Vec<f64> {
    let mut all: Vec<f64> = match ends {
        Ends::At(at) => at.iter().copied().filter(|e| e.is_finite()).collect(),
        _ => candidates.iter().flat_map(|c| c.tables.bounds[1..].iter().copied()).collect(),
    };
    all.sort_unstable_by(f64::total_cmp);
    all.dedup();
    match ends {
        Ends::Some(most) if *most < all.len() => (1..=*most).map(|i| all[i * all.len() / most - 1]).collect(),
        _ => all,
    }
}

impl Windows<'_> {
    /// C* at each of the (rising) ends; `None` where the work cannot be done by then.
    fn curve(&self, ends: &[f64], fill: &mut Fill) -> Vec<Option<f64>> {
        let mut curve = Vec::with_capacity(ends.len());
        let mut ends = ends.iter().copied().peekable();
        let mut best: Option<f64> = None;
        for z in self.ends() {
            let (from, to) = (self.tables.bounds[z], self.tables.bounds[z + 1]);
            while let Some(end) = ends.next_if(|&e| e < to) {
                if end > from {
                    // Kept for the ends to come: solved anew, the same run may cost a rounding more.
                    best = self.least_in(z, end - from, best.unwrap_or(f64::INFINITY), fill).or(best);
                }
                curve.push(best);
            }
            if ends.peek().is_none() {
                break;
            }
            let least = self.least_in(z, to - from, best.unwrap_or(f64::INFINITY), fill);
            best = least.or(best);
        }
        curve.extend(ends.map(|_| best));
        curve
    }
}
