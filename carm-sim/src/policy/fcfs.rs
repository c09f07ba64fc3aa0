//! First come, first served: what a cluster does on its own, at full clock and at one energy-optimal clock.
//!
//! Sources: Slurm's default (FIFO with EASY backfill; Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995). The static clock needs no carbon
//! signal: the level of least energy for each piece of work, as EAR or Zeus would set it; without it plain frequency scaling
//! passes for carbon awareness.

use super::{Action, Asked, AtWork, Decision, Next, Policy, View, service};

/// At once, at full clock.
#[derive(Debug)]
pub struct Fcfs;

impl Policy for Fcfs {
    fn name(&self) -> &'static str {
        super::FCFS
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        Decision::at_home(asked, view.now_h, asked.limit_h())
    }
}

/// At once, at the energy-optimal clock; the time limit grows with the run. A service has the slowest clock that answers in time among
/// those that need least energy.
#[derive(Debug)]
pub struct StaticClock;

impl Policy for StaticClock {
    fn name(&self) -> &'static str {
        super::STATIC_CLOCK
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let site = asked.home();
        let speed = view.levels(site, asked)[level(asked, site, view)].speed;
        let limit_h = if asked.service().is_some() { asked.limit_h() } else { asked.limit_h() / speed };
        Decision::at_home(asked, view.now_h, limit_h)
    }

    fn look(&self, at: &AtWork, view: &View) -> Next {
        Next { action: Action::Run { level: level(&at.asked, at.site, view), workers: at.workers }, look_h: f64::INFINITY }
    }
}

/// The level of least energy for each piece of work; of a service, of least power among those that answer in time.
pub fn level(asked: &Asked, site: usize, view: &View) -> usize {
    let (levels, host_w) = (view.levels(site, asked), view.site(site).host_watts);
    if let Some(demand) = asked.service() {
        let answering = service::answering(demand, levels, view.measured(site, asked));
        let least = answering.into_iter().min_by(|&a, &b| levels[a].watts.total_cmp(&levels[b].watts));
        return least.unwrap_or_else(|| view.full_clock(site, asked));
    }
    let per_work = |i: usize| (levels[i].watts + host_w) / levels[i].speed;
    let better = |&a: &usize, &b: &usize| per_work(a).total_cmp(&per_work(b)).then(levels[b].speed.total_cmp(&levels[a].speed));
    (0..levels.len()).min_by(better).unwrap_or(0)
}
