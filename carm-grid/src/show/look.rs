//! A zone's signals from now on, continued by CARM's forecast where plans do so too.

use carm::config::Config;
use carm::grid::{Intensity, Quantity, Signal, Step, extend_as};
use chrono::{DateTime, Local, TimeDelta, Utc};

use crate::exit::Refusal;
use crate::given::Given;

/// What plans see of a zone from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    pub zone: String,
    pub source: String,
    pub intensity: Intensity,
    /// The unit of the intensity, with its gases.
    pub unit: &'static str,
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub fetched: Option<DateTime<Utc>>,
    pub observed_until: Option<DateTime<Utc>>,
    /// Whether they are older than the configuration's `max_age`.
    pub old: bool,
    /// Whether the intensity is computed from the renewable share alone.
    pub from_share: bool,
    pub carbon_g_per_kwh: Option<Signal>,
    pub renewable_share: Option<Signal>,
    pub onsite_w: Option<Signal>,
}

impl Look {
    /// From what was given of a zone. Without a configuration, nothing is computed from a share.
    ///
    /// # Errors
    /// None of its signals has a value for now.
    pub fn of(given: Given, config: Option<&Config>, now: DateTime<Utc>, length: TimeDelta) -> Result<Self, Refusal> {
        let wanted = now + length;
        let age_s = given.fetched.map(|fetched| (now - fetched).num_milliseconds() as f64 / 1e3);
        let old = config.zip(age_s).is_some_and(|(config, age_s)| age_s > config.grid.max_age_s);
        let from = |signal: Option<&Signal>, quantity: Quantity| {
            let signal = signal?;
            let observed = given.observed_until.unwrap_or(signal.end());
            // Known no better now than then: what follows is a guess, as plans take it.
            let aged = |step: &Step| Step { estimated: step.estimated || old && step.from >= observed, ..*step };
            let aged = Signal::new(signal.steps().iter().map(aged).collect(), signal.end())?;
            let longer = if given.extend { extend_as(&aged, quantity, observed, wanted) } else { aged };
            between(&longer, now, wanted)
        };
        let share = from(given.renewable_share.as_ref(), Quantity::RenewableShare);
        let carbon = from(given.carbon_g_per_kwh.as_ref(), Quantity::CarbonGPerKwh);
        let from_share = carbon.is_none() && share.is_some() && config.is_some();
        let computed = || {
            let grid = &config?.grid;
            Some(share.as_ref()?.map(|share| share * grid.renewable_g_per_kwh + (1.0 - share) * grid.fossil_g_per_kwh))
        };
        let carbon = carbon.or_else(computed);
        let onsite = from(given.onsite_w.as_ref(), Quantity::OnsiteW);
        let until = [&carbon, &share, &onsite].into_iter().flatten().map(Signal::end).max();
        let Some(until) = until else {
            let all = [&given.carbon_g_per_kwh, &given.renewable_share, &given.onsite_w];
            let spans = all.into_iter().flatten().map(|signal| (signal.start(), signal.end()));
            // In the chart's own time zone.
            let minute = |at: DateTime<Utc>| at.with_timezone(&Local).format("%Y-%m-%d %H:%M%:z").to_string();
            let known = spans.map(|(from, to)| format!("from {} to {}", minute(from), minute(to))).next().unwrap_or_default();
            let way_out = if given.fetched.is_some() { "carm-grid check says why" } else { "--now=TIME looks from another time" };
            return Err(Refusal::new(format!("zone '{}': no data for {}: they run {known}; {way_out}", given.name, minute(now))));
        };
        Ok(Self {
            zone: given.name,
            source: given.source,
            intensity: given.intensity,
            unit: given.unit,
            now,
            until,
            fetched: given.fetched,
            observed_until: given.observed_until,
            old,
            from_share,
            carbon_g_per_kwh: carbon,
            renewable_share: share,
            onsite_w: onsite,
        })
    }

    /// How old the data are, in seconds.
    pub fn age_s(&self) -> Option<f64> {
        self.fetched.map(|fetched| ((self.now - fetched).num_milliseconds() as f64 / 1e3).max(0.0))
    }

    /// What holds at an instant: intensity, renewable share, on-site power.
    pub fn at(&self, instant: DateTime<Utc>) -> [Option<Step>; 3] {
        [&self.carbon_g_per_kwh, &self.renewable_share, &self.onsite_w].map(|signal| signal.as_ref()?.at(instant))
    }

    /// The names of those among [`Look::at`] that are marked, such as estimated.
    pub fn marked(at: &[Option<Step>; 3], is_marked: fn(&Step) -> bool) -> Vec<&'static str> {
        let names = ["carbon_g_per_kwh", "renewable_share", "onsite_w"];
        names.into_iter().zip(at).filter(|(_, step)| step.as_ref().is_some_and(is_marked)).map(|(name, _)| name).collect()
    }

    /// The instants at which anything changes, from now on, without the end.
    pub fn instants(&self) -> Vec<DateTime<Utc>> {
        let signals = [&self.carbon_g_per_kwh, &self.renewable_share, &self.onsite_w];
        let borders =
            signals.into_iter().flatten().flat_map(|signal| signal.steps().iter().map(|step| step.from).chain([signal.end()]));
        let mut instants: Vec<DateTime<Utc>> = borders.filter(|&at| at < self.until).collect();
        instants.sort_unstable();
        instants.dedup();
        instants
    }
}

/// The part of a signal from `from` on, up to `to` at most; `None` where it has no value for `from`.
fn between(signal: &Signal, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<Signal> {
    let first = Step { from, ..signal.at(from)? };
    let later = signal.steps().iter().filter(|step| step.from > from && step.from < to);
    Signal::new(std::iter::once(&first).chain(later).copied().collect(), signal.end().min(to))
}
