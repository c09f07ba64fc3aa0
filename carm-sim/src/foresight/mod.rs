//! What may be known of the future at an instant. Everything that decides sees grid and roof through here; how much of the truth comes
//! through is the scenario's `[forecast]`. A forecast is issued anew with each of the site's slots.

mod carm;
mod noisy;
mod series;

use std::cell::RefCell;
use std::rc::Rc;

use ::carm::site::Outlook;
use chrono::TimeDelta;

pub use series::Series;

use crate::scenario::ForecastKind;
use crate::world::World;

/// One run's view of the future.
#[derive(Debug)]
pub struct Foresight<'w> {
    world: &'w World,
    known: RefCell<Vec<Option<Known>>>,
}

/// What is known of one site.
#[derive(Debug, Clone)]
struct Known {
    issue: usize,
    outlook: Rc<Outlook>,
    series: Rc<Series>,
}

impl<'w> Foresight<'w> {
    /// Of an episode.
    #[must_use]
    pub fn of(world: &'w World) -> Self {
        Self { world, known: RefCell::new(vec![None; world.sites.len()]) }
    }

    /// Which forecast is the newest at an instant: the same number, the same forecast.
    #[must_use]
    pub fn issue(&self, site: usize, now_h: f64) -> usize {
        match self.world.forecast.kind {
            ForecastKind::Perfect => 0,
            ForecastKind::Noisy | ForecastKind::Carm => self.world.sites[site].slot(now_h),
        }
    }

    /// Grid and roof of a site, as far as they are known.
    #[must_use]
    pub fn outlook(&self, site: usize, now_h: f64) -> Rc<Outlook> {
        self.known(site, now_h).outlook
    }

    /// The same by hours.
    #[must_use]
    pub fn series(&self, site: usize, now_h: f64) -> Rc<Series> {
        self.known(site, now_h).series
    }

    fn known(&self, site: usize, now_h: f64) -> Known {
        let issue = self.issue(site, now_h);
        if let Some(known) = self.known.borrow()[site].as_ref().filter(|known| known.issue == issue) {
            return known.clone();
        }
        let outlook = self.made(site, issue);
        let series = Series::of(&outlook, self.world);
        let known = Known { issue, outlook: Rc::new(outlook), series: Rc::new(series) };
        self.known.borrow_mut()[site] = Some(known.clone());
        known
    }

    fn made(&self, site: usize, issue: usize) -> Outlook {
        let place = &self.world.sites[site];
        let truth = &place.truth;
        let issued = self.world.instant(place.borders_h[issue]);
        let until = issued + TimeDelta::milliseconds((self.world.planner.horizon_s * 1e3) as i64) + TimeDelta::hours(2);
        match self.world.forecast.kind {
            ForecastKind::Perfect => truth.clone(),
            ForecastKind::Noisy => {
                let noise =
                    |about: &str| (self.world.seed, self.world.forecast.error, format!("{about} noise {}", place.site.zone));
                let intensity = noisy::forecast(&truth.intensity, issued, until, &noise("grid"));
                let onsite_w = truth.onsite_w.as_ref().map(|roof| noisy::forecast(roof, issued, until, &noise("roof")));
                Outlook { intensity, onsite_w, ..truth.clone() }
            }
            ForecastKind::Carm => {
                let intensity = carm::forecast(&truth.intensity, issued, until);
                let onsite_w = truth.onsite_w.as_ref().map(|roof| carm::forecast(roof, issued, until));
                Outlook { intensity, onsite_w, ..truth.clone() }
            }
        }
    }
}
