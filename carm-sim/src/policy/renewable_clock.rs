//! The naive clock: in proportion to the renewable share of now, without plan or forecast.
//!
//! Source: the plain reading of "GPU clocks follow renewable generation" (Kang and Moon, Applied Sciences 16(2), 633, 2026; abstract):
//! `f = f_min + rho (f_max - f_min)`, to the nearest level. rho is the site's on-site power over its GPUs' power at full clock where it has a roof, else
//! the grid's renewable share, else what its intensity says of it (30 g/kWh renewable, 650 the rest). The time limit grows to what the
//! slowest clock needs.

use super::{Action, Asked, AtWork, Decision, Next, Policy, View, service};

/// `[grid]` defaults of CARM's configuration, g/kWh.
const RENEWABLE: f64 = 30.0;
const FOSSIL: f64 = 650.0;

/// Follows the renewable share.
#[derive(Debug)]
pub struct RenewableClock;

impl Policy for RenewableClock {
    fn name(&self) -> &'static str {
        "renewable-clock"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let slowest = view.levels(asked.home(), asked).iter().map(|level| level.speed).fold(1.0, f64::min);
        let limit_h = if asked.service().is_some() { asked.limit_h() } else { asked.limit_h() / slowest };
        Decision::at_home(asked, view.now_h, limit_h)
    }

    fn look(&self, at: &AtWork, view: &View) -> Next {
        let levels = view.levels(at.site, &at.asked);
        let mhz = |level: usize| f64::from(levels[level].clock_mhz);
        let allowed: Vec<usize> = match at.asked.service() {
            Some(demand) => service::answering(demand, levels, view.measured(at.site, &at.asked)),
            None => (0..levels.len()).collect(),
        };
        let top = view.full_clock(at.site, &at.asked);
        let least = allowed.iter().map(|&level| mhz(level)).fold(mhz(top), f64::min);
        let wanted = least + share(at, view) * (mhz(top) - least);
        let nearest = allowed.into_iter().min_by(|&a, &b| (mhz(a) - wanted).abs().total_cmp(&(mhz(b) - wanted).abs()));
        Next { action: Action::Run { level: nearest.unwrap_or(top), workers: at.workers }, look_h: view.next_border_h(at.site) }
    }
}

fn share(at: &AtWork, view: &View) -> f64 {
    let site = view.site(at.site);
    let full_w = view.power_w(at.site, &at.asked, view.full_clock(at.site, &at.asked), site.gpus);
    let onsite_w = view.onsite_now_w(at.site);
    let has_roof = view.outlook(at.site).onsite_w.is_some();
    let of_grid = || {
        view.renewable_share(at.site)
            .unwrap_or_else(|| (FOSSIL - view.series(at.site).g_per_kwh(view.now_h)) / (FOSSIL - RENEWABLE))
    };
    if has_roof { (onsite_w / full_w).min(1.0) } else { of_grid().clamp(0.0, 1.0) }
}
