//! What carm-grid fetched of a zone, as a plan may use it: with its age, marked as estimated where it is too old, and with
//! something else in its place where there is nothing. A job is never held up by the grid's data.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::{Config, Live, Zone};
use crate::grid::cache::{self, Wanted};
use crate::grid::{self, Intensity, Quantity, Signal, Step, TYPICAL_DAY_SOURCE};
use crate::quantity::rough_duration;

/// How far back the typical day goes: what has run is booked against it too.
const TYPICAL_PAST: TimeDelta = TimeDelta::days(31);

/// A signal of a live zone, or what stands in for it.
pub(super) struct Fetched {
    /// None where there is no time to tell of.
    pub signal: Option<Signal>,
    /// Where it comes from, for people.
    pub source: String,
    /// Which intensity it is: the typical day is average, whatever the zone's.
    pub kind: Intensity,
    /// How long ago it was fetched, in seconds.
    pub age_s: Option<f64>,
    /// What a user should know of it.
    pub doubt: Option<String>,
}

/// The carbon intensity of a zone's grid, in g/kWh.
pub(super) fn grid(config: &Config, zone: &Zone, live: &Live, now: DateTime<Utc>, until: DateTime<Utc>) -> Fetched {
    let given = read(config, &zone.name, Wanted::Grid).and_then(|data| {
        let signal = data.carbon_g_per_kwh.or_else(|| data.renewable_share.map(|share| from_share(config, &share)));
        let signal = signal.ok_or("its source gives neither intensity nor renewable share")?;
        // Data of before the configuration was changed: the two are never mixed.
        if data.intensity != zone.intensity {
            let (has, wants) = (data.intensity.word(), zone.intensity.word());
            return Err(format!("its data are {has} intensity, and the zone's is {wants}"));
        }
        let quantity = Quantity::CarbonGPerKwh;
        Ok(Given { signal, quantity, kind: data.intensity, fetched: data.fetched, observed_until: data.observed_until })
    });
    let used = given.and_then(|given| used(config, &zone.name, live, given, now, until));
    used.unwrap_or_else(|cause| stand_in(zone, live, &cause, now, until))
}

/// The on-site power that a zone's data carry, in W; the error is the cause why there is none.
pub(super) fn onsite(
    config: &Config,
    zone: &str,
    live: &Live,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Fetched, String> {
    let data = read(config, zone, Wanted::Onsite)?;
    let signal = data.onsite_w.ok_or("its source gives no on-site power")?;
    let (kind, fetched, observed_until) = (data.intensity, data.fetched, data.observed_until);
    let given = Given { signal, quantity: Quantity::OnsiteW, kind, fetched, observed_until };
    used(config, zone, live, given, now, until)
}

fn read(config: &Config, zone: &str, wanted: Wanted) -> Result<cache::ZoneData, String> {
    cache::read_wanted(&config.grid.cache_dir, zone, wanted).map_err(|error| error.to_string())
}

/// A signal of the cache, as the source gave it.
struct Given {
    signal: Signal,
    quantity: Quantity,
    kind: Intensity,
    fetched: DateTime<Utc>,
    observed_until: DateTime<Utc>,
}

fn used(
    config: &Config,
    zone: &str,
    live: &Live,
    given: Given,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Fetched, String> {
    let Given { signal, quantity, kind, fetched, observed_until } = given;
    let age_s = grid::signal_hours(now - fetched).max(0.0) * 3_600.0;
    let old = age_s > config.grid.max_age_s;
    let signal = if old { estimated_from(&signal, observed_until) } else { signal };
    let signal = if live.extend { grid::extend_as(&signal, quantity, observed_until, until) } else { signal };
    if signal.at(now).is_none() {
        return Err(format!("its data run from {} to {}", minute(signal.start()), minute(signal.end())));
    }
    let doubt = old.then(|| {
        format!(
            "grid data of zone '{}' {} old, past max_age ({}): what follows {} is estimated; carm-grid check tells why",
            zone,
            rough_duration(age_s),
            rough_duration(config.grid.max_age_s),
            minute(observed_until),
        )
    });
    Ok(Fetched { signal: Some(signal), source: live.service.name().to_owned(), kind, age_s: Some(age_s), doubt })
}

/// A signal that from an instant on counts as estimated: the source would say something else by now.
fn estimated_from(signal: &Signal, from: DateTime<Utc>) -> Signal {
    let steps = signal.steps().iter().map(|step| Step { estimated: step.estimated || step.from >= from, ..*step });
    Signal::new(steps.collect(), signal.end()).unwrap_or_else(|| signal.clone())
}

fn stand_in(zone: &Zone, live: &Live, cause: &str, now: DateTime<Utc>, until: DateTime<Utc>) -> Fetched {
    let from = now - TYPICAL_PAST;
    let past_now = until.max(now + TimeDelta::hours(1));
    Fetched {
        signal: grid::typical_day(from, past_now, live.utc_offset_s),
        source: TYPICAL_DAY_SOURCE.to_owned(),
        kind: Intensity::Average,
        age_s: None,
        doubt: Some(format!("no grid data of zone '{}': the typical day stands in: {cause}", zone.name)),
    }
}

/// Intensity of a grid of which the renewable share alone is known: both parts at the configuration's figures.
pub(super) fn from_share(config: &Config, share: &Signal) -> Signal {
    let (clean, fossil) = (config.grid.renewable_g_per_kwh, config.grid.fossil_g_per_kwh);
    share.map(|rho| rho * clean + (1.0 - rho) * fossil)
}

fn minute(time: DateTime<Utc>) -> impl std::fmt::Display {
    time.format("%Y-%m-%d %H:%MZ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Outlook;
    use std::path::Path;

    const NOW: &str = "2026-05-01T12:10:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        crate::quantity::parse_instant(text).expect(text)
    }

    struct Scene {
        folder: tempfile::TempDir,
        config: Config,
    }

    /// A site with an on-site zone, on a zone of Electricity Maps or what `keys` say.
    fn scene(keys: &str) -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "[grid]\ncache_dir = \"{}\"\n\
             [[zone]]\nname = \"DE\"\nsource = \"watttime\"\ntoken_file = \"t\"\n{keys}\n\
             [[zone]]\nname = \"roof\"\nsource = \"prometheus\"\nbase_url = \"http://127.0.0.1:9\"\nquery = \"w\"\nquantity = \"onsite_w\"\n\
             [[site]]\nname = \"a\"\nzone = \"DE\"\nonsite_zone = \"roof\"\n",
            folder.path().display()
        );
        let config = Config::parse(&text, Path::new("carm.toml")).unwrap_or_else(|error| panic!("{error}"));
        Scene { folder, config }
    }

    impl Scene {
        /// Two days of 100 g/kWh that end at noon, then a forecast of 200 to midnight; fetched at noon.
        fn fetched(&self) -> cache::ZoneData {
            let noon = at("2026-05-01T12:00:00Z");
            let step = |hour: i32| Step::exact(noon + TimeDelta::hours(hour.into()), if hour < 0 { 100.0 } else { 200.0 });
            cache::ZoneData {
                zone: "DE".into(),
                source: "watttime".into(),
                intensity: Intensity::Marginal,
                fetched: noon,
                observed_until: noon,
                carbon_g_per_kwh: Signal::new((-48..12).map(step).collect(), noon + TimeDelta::hours(12)),
                renewable_share: None,
                onsite_w: None,
            }
        }

        fn write(&self, data: &cache::ZoneData) {
            cache::write(self.folder.path(), data).expect("written");
        }

        fn outlook(&self, now: &str) -> Outlook {
            Outlook::load(&self.config, &self.config.sites[0], at(now)).expect("an outlook")
        }
    }

    /// The value at a time, and whether it is estimated.
    fn told(outlook: &Outlook, time: &str) -> (f64, bool) {
        let step = outlook.intensity.at(at(time)).expect(time);
        (step.value, step.estimated)
    }

    #[test]
    fn fresh_data_are_what_they_are_and_carm_continues_them() {
        let scene = scene("");
        scene.write(&scene.fetched());
        let outlook = scene.outlook(NOW);
        assert_eq!((outlook.kind, outlook.age_s), (Intensity::Marginal, Some(600.0)));
        assert_eq!(told(&outlook, "2026-05-01T09:00:00Z"), (100.0, false));
        assert_eq!(told(&outlook, "2026-05-01T20:00:00Z"), (200.0, false));
        assert!(told(&outlook, "2026-05-02T20:00:00Z").1, "past the source's forecast");
        assert_eq!(outlook.described(), "watttime, marginal intensity, grid data 10 min old");
    }

    #[test]
    fn past_max_age_the_forecast_stays_and_is_marked_and_a_line_says_so() {
        let scene = scene("");
        scene.write(&scene.fetched());
        let outlook = scene.outlook("2026-05-01T17:00:00Z");
        assert_eq!(told(&outlook, "2026-05-01T11:00:00Z"), (100.0, false), "what was observed was observed");
        assert_eq!(told(&outlook, "2026-05-01T20:00:00Z"), (200.0, true));
        assert_eq!(
            outlook.doubts,
            [
                "grid data of zone 'DE' 5 h old, past max_age (2 h): what follows 2026-05-01 12:00Z is estimated; \
                 carm-grid check tells why"
                    .to_owned(),
                no_roof(&scene)
            ]
        );
        // Days later there is still something to go by.
        assert!(told(&scene.outlook("2026-05-04T17:00:00Z"), "2026-05-04T17:00:00Z").1);
    }

    fn no_roof(scene: &Scene) -> String {
        let path = scene.folder.path().join("roof.json");
        format!(
            "site 'a': planned without on-site power: zone 'roof': {}: not there; run carm-grid fetch, or enable carm-grid.timer",
            path.display()
        )
    }

    #[test]
    fn without_data_the_typical_day_stands_in_on_the_zones_own_clocks() {
        let scene = scene("utc_offset_hours = -8");
        let outlook = scene.outlook(NOW);
        let doubt = &outlook.doubts[0];
        assert!(doubt.starts_with("no grid data of zone 'DE': the typical day stands in: "), "{doubt}");
        assert!(doubt.ends_with("DE.json: not there; run carm-grid fetch, or enable carm-grid.timer"), "{doubt}");
        assert_eq!((outlook.kind, outlook.age_s), (Intensity::Average, None), "the typical day is no marginal intensity");
        let typical = grid::typical_day(at(NOW), at(NOW) + TimeDelta::hours(1), -8 * 3600).expect("a day");
        assert_eq!(told(&outlook, NOW), (typical.steps()[0].value, true));
    }

    #[test]
    fn broken_foreign_or_ended_data_are_never_used() {
        let scene = scene("extend = \"never\"");
        let mut data = scene.fetched();
        scene.write(&data);
        let ended = scene.outlook("2026-05-03T00:00:00Z").doubts.remove(0);
        assert!(ended.ends_with("its data run from 2026-04-29 12:00Z to 2026-05-02 00:00Z"), "{ended}");
        data.intensity = Intensity::Average;
        scene.write(&data);
        let other = scene.outlook(NOW).doubts.remove(0);
        assert!(other.ends_with("its data are average intensity, and the zone's is marginal"), "{other}");
        std::fs::write(scene.folder.path().join("DE.json"), "{\"version\": 1, \"zone\": \"DE\"").expect("written");
        let broken = scene.outlook(NOW).doubts.remove(0);
        assert!(broken.contains("not a cache file") && broken.contains("the typical day stands in"), "{broken}");
    }

    #[test]
    fn on_site_power_of_a_zone_is_used_and_its_own_forecast_marked() {
        let scene = scene("");
        scene.write(&scene.fetched());
        let noon = at("2026-05-01T12:00:00Z");
        let steps = vec![Step::exact(noon, 5_000.0), Step::estimate(noon + TimeDelta::hours(1), 4_000.0)];
        scene.write(&cache::ZoneData {
            zone: "roof".into(),
            source: "prometheus".into(),
            intensity: Intensity::Average,
            carbon_g_per_kwh: None,
            onsite_w: Signal::new(steps, noon + TimeDelta::hours(3)),
            ..scene.fetched()
        });
        let outlook = scene.outlook(NOW);
        assert_eq!(outlook.doubts, [""; 0]);
        let slots = outlook.slots(at(NOW), noon + TimeDelta::hours(2), 0.5);
        let told: Vec<(f64, bool)> = slots.iter().map(|slot| (slot.onsite_w, slot.estimated)).collect();
        assert_eq!(told, [(2_500.0, false), (2_000.0, true)]);
    }

    #[test]
    fn what_is_booked_late_is_marked_as_what_was_known_too_early() {
        let scene = scene("");
        scene.write(&scene.fetched());
        let site = &scene.config.sites[0];
        let outlook = Outlook::load_since(&scene.config, site, at("2026-05-01T10:00:00Z"), at("2026-05-01T18:00:00Z"));
        let spans = outlook.expect("an outlook").spans_between(at("2026-05-01T10:00:00Z"), at("2026-05-01T14:00:00Z"), 0.0);
        let told: Vec<bool> = spans.iter().map(|span| span.estimated).collect();
        assert_eq!(told, [false, false, true, true]);
    }
}
