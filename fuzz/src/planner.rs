//! The planner's input: small problems of ties, plateaus, zeros and numbers at the ends of their ranges, some beyond them.
//!
//! A problem with a number that is not finite is refused; whatever is planned keeps what the planner promises.

use arbitrary::{Result, Unstructured};
use carm::plan::*;

/// Relative difference that counts as none.
const HAIR: f64 = 1e-9;

/// Draws a problem from the bytes and asks everything of it that the planner answers.
pub fn run(data: &[u8]) {
    let _ = try_run(&mut Unstructured::new(data));
}

fn try_run(u: &mut Unstructured) -> Result<()> {
    let p = problem(u)?;
    let (latency_ms, restart_h) = (maybe(u, &MILLISECONDS)?, number(u, &HOURS)?);
    contiguous(&p);
    match u.int_in_range(0..=3)? {
        0 => whole_seconds(&p),
        1 => service(&p, latency_ms),
        2 => suspended(&p, 0.0),
        _ => suspended(&p, restart_h),
    }
    Ok(())
}

/// A field's usual values (small, so that ties are common) and the ends of its range.
struct Range {
    usual: [f64; 6],
    ends: [f64; 2],
}

const HOURS: Range = Range { usual: [1.0, 0.5, 2.0, 0.25, 3.0, 1.0 / 3.0], ends: [1e-7, 1e5] };
const INSTANTS: Range = Range { usual: [0.0, 1.0, 0.5, 2.0, 4.0, 10.0], ends: [0.0, 1e6] };
const INTENSITIES: Range = Range { usual: [0.0, 100.0, 100.0, 300.0, 700.0, 30.0], ends: [1e-300, 1e6] };
const ONSITE_W: Range = Range { usual: [0.0, 0.0, 0.0, 100.0, 300.0, 1e4], ends: [1e-300, 1e12] };
const WATTS: Range = Range { usual: [0.0, 100.0, 200.0, 300.0, 350.0, 50.0], ends: [1e-300, 1e6] };
const SPEEDS: Range = Range { usual: [1.0, 0.5, 0.75, 0.9, 0.25, 1.0], ends: [1e-6, 1.0] };
const PUES: Range = Range { usual: [1.0, 1.2, 1.0, 1.1, 1.5, 2.0], ends: [1.0, 100.0] };
const GRAMS: Range = Range { usual: [0.0, 1.0, 100.0, 300.0, 30.0, 1e3], ends: [1e-300, f64::MAX] };
const MILLISECONDS: Range = Range { usual: [10.0, 20.0, 40.0, 0.0, 5.0, 10.0], ends: [1e-300, 1e12] };

const NO_NUMBERS: [f64; 6] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.0, 1e300];

fn number(u: &mut Unstructured, range: &Range) -> Result<f64> {
    Ok(match u.arbitrary::<u8>()? {
        b @ 0..=159 => range.usual[usize::from(b) % 6],
        160..=229 => range.usual[0].max(range.usual[1]) * f64::from(u.arbitrary::<u16>()?) / 16_384.0,
        b @ 230..=249 => range.ends[usize::from(b) % 2],
        250..=252 => f64::from_bits(u.arbitrary()?),
        b => NO_NUMBERS[usize::from(b ^ u.arbitrary::<u8>()?) % 6],
    })
}

fn maybe(u: &mut Unstructured, range: &Range) -> Result<Option<f64>> {
    if u.arbitrary()? { Ok(Some(number(u, range)?)) } else { Ok(None) }
}

fn problem(u: &mut Unstructured) -> Result<Problem> {
    let objective = *u.choose(&[Objective::Performance, Objective::Carbon, Objective::Ppc])?;
    let (deadline_h, budget_g) = (maybe(u, &INSTANTS)?, maybe(u, &GRAMS)?);
    let candidates = (0..u.int_in_range(0..=2)?).map(|_| candidate(u)).collect::<Result<_>>()?;
    Ok(Problem { candidates, objective, deadline_h, budget_g, work_gpu_h: number(u, &HOURS)? })
}

fn candidate(u: &mut Unstructured) -> Result<Candidate> {
    let levels = (0..u.int_in_range(0..=4)?).map(|i| level(u, 1000 + i)).collect::<Result<_>>()?;
    let start = if u.arbitrary()? {
        Start::Within { earliest_h: number(u, &INSTANTS)?, latest_h: number(u, &INSTANTS)? }
    } else {
        Start::Fixed(number(u, &INSTANTS)?)
    };
    Ok(Candidate {
        levels,
        start,
        workers: if u.ratio(1, 16)? { u.arbitrary()? } else { u.int_in_range(1..=3)? },
        work_h: number(u, &HOURS)?,
        host_watts: number(u, &WATTS)?,
        pue: number(u, &PUES)?,
        onsite_g_per_kwh: number(u, &INTENSITIES)?,
        max_run_h: maybe(u, &HOURS)?,
        slots: (0..u.int_in_range(0..=8)?).map(|_| slot(u)).collect::<Result<_>>()?,
    })
}

fn slot(u: &mut Unstructured) -> Result<Slot> {
    Ok(Slot {
        hours: number(u, &HOURS)?,
        g_per_kwh: number(u, &INTENSITIES)?,
        onsite_w: number(u, &ONSITE_W)?,
        estimated: u.ratio(1, 8)?,
        closed: u.ratio(1, 8)?,
    })
}

fn level(u: &mut Unstructured, clock_mhz: u32) -> Result<Level> {
    Ok(Level { clock_mhz, watts: number(u, &WATTS)?, speed: number(u, &SPEEDS)?, latency_ms: maybe(u, &MILLISECONDS)? })
}

/// Whether every number of the problem is finite.
fn finite(p: &Problem) -> bool {
    let of = |c: &Candidate| {
        let start = match c.start {
            Start::Fixed(at) => [at, at],
            Start::Within { earliest_h, latest_h } => [earliest_h, latest_h],
        };
        c.slots.iter().all(|s| [s.hours, s.g_per_kwh, s.onsite_w].iter().all(|x| x.is_finite()))
            && c.levels.iter().all(|l| [l.watts, l.speed, l.latency_ms.unwrap_or(0.0)].iter().all(|x| x.is_finite()))
            && [c.work_h, c.host_watts, c.pue, c.onsite_g_per_kwh, c.max_run_h.unwrap_or(0.0)].iter().all(|x| x.is_finite())
            && start.iter().all(|x| x.is_finite())
    };
    p.candidates.iter().all(of)
        && [p.work_gpu_h, p.deadline_h.unwrap_or(0.0), p.budget_g.unwrap_or(0.0)].iter().all(|x| x.is_finite())
}

/// What rounding may move: instants by a few units in the last place, and grams by what is drawn in that time.
struct Noise {
    hours: f64,
    grams: f64,
}

/// What a plan may leave out at either end: pieces of a nanosecond or so are none.
const NOTHING_H: f64 = 2e-12;

fn noise(p: &Problem, candidate: usize) -> Noise {
    let c = &p.candidates[candidate];
    let horizon: f64 = c.slots.iter().map(|s| s.hours).sum();
    let hours = 64.0 * f64::EPSILON * horizon.max(1.0);
    let power = c.levels.iter().map(|l| c.power_w(l)).fold(0.0, f64::max);
    let intensity = c.slots.iter().map(|s| s.g_per_kwh).fold(c.onsite_g_per_kwh, f64::max);
    Noise { hours, grams: power * intensity / 1000.0 * hours }
}

/// What every plan keeps: segments in order that carry its figures, its own work, the deadline and the budget.
fn check_plan(p: &Problem, plan: &Plan, work_h: Option<f64>, pauses: bool) {
    let c = &p.candidates[plan.candidate];
    let noise = noise(p, plan.candidate);
    let first = plan.segments.first().expect("a plan runs");
    let last = plan.segments.last().expect("a plan runs");
    assert_eq!((plan.start_h, plan.end_h), (first.from_h, last.to_h));
    assert!(plan.segments.iter().all(|s| s.from_h < s.to_h && s.level < c.levels.len()), "{plan:?}");
    let gaps = plan.segments.windows(2).all(|w| if pauses { w[0].to_h <= w[1].from_h } else { w[0].to_h == w[1].from_h });
    assert!(gaps, "{plan:?}");
    let (earliest, latest) = match c.start {
        Start::Fixed(at) => (at, at),
        Start::Within { earliest_h, latest_h } => (earliest_h, latest_h),
    };
    let patient = pauses || plan.start_h <= latest * (1.0 + HAIR) + HAIR;
    assert!(plan.start_h >= earliest * (1.0 - HAIR) - HAIR && patient, "starts at {} of {:?}", plan.start_h, c.start);
    let sum: f64 = plan.segments.iter().map(|s| s.carbon_g).sum();
    assert!(plan.carbon_g >= 0.0 && plan.carbon_g.is_finite() && (sum - plan.carbon_g).abs() <= HAIR * sum, "{plan:?}");
    assert!(plan.energy_kwh.is_finite() && (0.0..=1.0 + HAIR).contains(&plan.estimated_share), "{plan:?}");
    if let Some(work) = work_h {
        let done: f64 = plan.segments.iter().map(|s| c.levels[s.level].speed * (s.to_h - s.from_h)).sum();
        assert!((done - work).abs() <= HAIR * work + noise.hours, "{done} of {work} h done: {plan:?}");
    }
    if let Some(deadline) = p.deadline_h {
        assert!(plan.end_h <= deadline + HAIR * deadline.max(1.0), "ends at {} and not by {deadline}", plan.end_h);
    }
    if let Some(budget) = p.budget_g {
        assert!(plan.carbon_g <= budget * (1.0 + HAIR) + noise.grams, "{} g of {budget} g", plan.carbon_g);
    }
    let again = evaluate(p, plan.candidate, &plan.segments).expect("a plan can be run");
    let near = (again.carbon_g - plan.carbon_g).abs() <= HAIR * plan.carbon_g + noise.grams;
    assert!(near, "{} g, and {} g from the trace: {plan:?}", plan.carbon_g, again.carbon_g);
}

fn contiguous(p: &Problem) {
    let curve = frontier(p, &Ends::EverySlot);
    if let Ok(curve) = &curve {
        assert!(curve.windows(2).all(|w| w[0].end_h < w[1].end_h && w[0].carbon_g >= w[1].carbon_g), "{curve:?}");
    }
    match plan(p) {
        Ok(outcome) => {
            assert!(finite(p), "planned from a number that is not finite: {p:?}");
            if let Outcome::Feasible(best) = &outcome {
                check_plan(p, best, Some(p.candidates[best.candidate].work_h), false);
                let c = &p.candidates[best.candidate];
                let run = best.end_h - best.start_h;
                let noise = noise(p, best.candidate).hours;
                assert!(c.max_run_h.is_none_or(|most| run <= most * (1.0 + HAIR) + noise), "{run} h long: {best:?}");
            }
            against_constant_runs(p, &outcome);
            match &outcome {
                Outcome::Feasible(_) => assert!(curve.is_ok_and(|c| !c.is_empty()), "a plan without a frontier: {p:?}"),
                Outcome::Infeasible(miss) => {
                    assert!(miss.least_carbon_g.is_none_or(f64::is_finite) && miss.earliest_end_h.is_none_or(f64::is_finite));
                }
            }
        }
        Err(error) => super::assert_message(&error.to_string()),
    }
}

/// No run at one clock that meets the request beats the plan.
fn against_constant_runs(p: &Problem, outcome: &Outcome) {
    for (i, c) in p.candidates.iter().enumerate() {
        let noise = noise(p, i);
        let (earliest, latest) = match c.start {
            Start::Fixed(at) => (at, at),
            Start::Within { earliest_h, latest_h } => (earliest_h, latest_h),
        };
        let mut bounds = vec![earliest, latest];
        c.slots.iter().fold(0.0, |at, s| {
            bounds.push(at);
            at + s.hours
        });
        let may = |at: f64| at >= earliest && at <= latest && at <= 1e6;
        for (start, level) in bounds.iter().filter(|&&at| may(at)).flat_map(|&at| (0..c.levels.len()).map(move |l| (at, l))) {
            let Some(run) = constant(p, i, level, start).expect("what is planned can be run at one clock") else { continue };
            // Clear of every limit, so that no rounding decides.
            let clear = p.deadline_h.is_none_or(|d| run.end_h + noise.hours < d - HAIR * d.abs())
                && p.budget_g.is_none_or(|b| run.carbon_g + noise.grams < b * (1.0 - HAIR))
                && c.max_run_h.is_none_or(|most| run.end_h - run.start_h + noise.hours < most * (1.0 - HAIR))
                && run.end_h + noise.hours < c.slots.iter().map(|s| s.hours).sum::<f64>() * (1.0 - HAIR);
            if !clear {
                continue;
            }
            let Outcome::Feasible(best) = outcome else { panic!("{outcome:?}, and yet {run:?}") };
            let (best_mark, mark, slack) = match p.objective {
                Objective::Performance => (best.carbon_g, run.carbon_g, noise.grams),
                Objective::Carbon => (best.end_h, run.end_h, noise.hours),
                Objective::Ppc => {
                    // A gram that is lost in the rounding of all grams to the horizon counts for as long as the plan waits.
                    let lost = best.end_h * self::noise(p, best.candidate).grams;
                    let slack = run.end_h * noise.grams + noise.hours * run.carbon_g + lost;
                    (best.end_h * best.carbon_g, run.end_h * run.carbon_g, slack)
                }
            };
            let slack = slack + self::noise(p, best.candidate).grams;
            assert!(best_mark <= mark * (1.0 + HAIR) + slack, "{:?}: {best_mark} and not {mark}: {best:?} {run:?}", p.objective);
        }
    }
}

fn whole_seconds(p: &Problem) {
    match plan_whole_seconds(p) {
        Ok(Outcome::Feasible(plan)) => check_plan(p, &plan, Some(p.candidates[plan.candidate].work_h), false),
        Ok(Outcome::Infeasible(_)) => {
            // No rounding of a start that is on a whole second may cost the plan, unless instants so far off are as coarse as the work is short.
            if let Ok(Outcome::Feasible(exact)) = plan(p) {
                let (seconds, candidate) = (exact.start_h * 3600.0, exact.candidate);
                let is_coarse = noise(p, candidate).hours > HAIR * p.candidates[candidate].work_h;
                assert!(is_coarse || (seconds - seconds.round()).abs() > 1e-7, "lost by rounding: {exact:?} of {p:?}");
            }
        }
        Err(_) => {}
    }
}

fn service(p: &Problem, latency_ms: Option<f64>) {
    match plan_service(p, latency_ms) {
        Ok(Outcome::Feasible(plan)) => {
            assert!(finite(p), "planned from a number that is not finite: {p:?}");
            check_plan(p, &plan, None, false);
            let c = &p.candidates[plan.candidate];
            let run = plan.end_h - plan.start_h;
            assert!((run - c.work_h).abs() <= HAIR * c.work_h + noise(p, plan.candidate).hours + NOTHING_H, "{run} h: {plan:?}");
            if let Some(kept) =
                latency_ms.and_then(|ms| levels_within_latency(&c.levels, ms).expect("a limit that was planned with"))
            {
                assert!(plan.segments.iter().all(|s| kept.contains(&s.level)), "{plan:?} keeps no latency of {latency_ms:?}");
            }
        }
        Ok(Outcome::Infeasible(miss)) => {
            assert!(miss.least_carbon_g.is_none_or(f64::is_finite) && miss.earliest_end_h.is_none_or(f64::is_finite));
        }
        Err(error) => super::assert_message(&error.to_string()),
    }
}

fn suspended(p: &Problem, restart_h: f64) {
    match plan_suspended(p, restart_h) {
        Ok(found) => {
            assert!(finite(p) && restart_h.is_finite(), "planned from a number that is not finite: {p:?}");
            let Outcome::Feasible(best) = &found.outcome else { return };
            let work = p.candidates[best.candidate].work_h + restart_h * found.resumes as f64;
            // A gap of some nanoseconds is no pause, and counts as none.
            check_plan(p, best, (restart_h == 0.0 || found.resumes > 0).then_some(work), true);
            assert!(found.bound_g <= best.carbon_g);
            if restart_h == 0.0
                && p.objective == Objective::Performance
                && let Ok(Outcome::Feasible(run)) = plan(p)
            {
                let slack = noise(p, best.candidate).grams + noise(p, run.candidate).grams;
                assert!(best.carbon_g <= run.carbon_g * (1.0 + HAIR) + slack, "pausing costs: {best:?} {run:?}");
            }
        }
        Err(error) => super::assert_message(&error.to_string()),
    }
}
