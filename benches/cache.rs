//! What a plan pays for the grid's data: four zones of a live source, read from the cache and made into slots, and a year of
//! hourly history in one file. `cargo bench -p carm --bench cache`.

#![allow(missing_docs)] // of what criterion's macros write

use std::hint::black_box;
use std::path::Path;

use carm::config::Config;
use carm::grid::cache::{self, ZoneData};
use carm::grid::{Intensity, Signal, Step};
use carm::quantity::parse_instant;
use carm::site::Outlook;
use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, criterion_group, criterion_main};

fn now() -> DateTime<Utc> {
    parse_instant("2026-05-01T12:10:00Z").expect("a time")
}

/// `past` and `ahead` hours of a zone, with a band and a share, as sources give them.
fn zone(name: &str, past: i64, ahead: i64) -> ZoneData {
    let noon = now() - TimeDelta::minutes(10);
    let signal = |scale: f64| {
        let step = |hour: i64| {
            let value = scale * (300.5 + 200.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin() + (hour % 7) as f64 / 3.0);
            let far = hour.max(0) as f64 / 400.0;
            Step { low: value * (1.0 - far), high: value * (1.0 + far), ..Step::exact(noon + TimeDelta::hours(hour), value) }
        };
        Signal::new((-past..ahead).map(step).collect(), noon + TimeDelta::hours(ahead))
    };
    ZoneData {
        zone: name.to_owned(),
        source: "electricity-maps".to_owned(),
        intensity: Intensity::Average,
        fetched: now(),
        observed_until: noon,
        carbon_g_per_kwh: signal(1.0),
        renewable_share: signal(0.001),
        onsite_w: None,
    }
}

fn reading(c: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("carm-bench-cache-{}", std::process::id()));
    let write = |data: &ZoneData| cache::write(&folder, data).expect("written");
    let mut text = format!("[grid]\ncache_dir = \"{}\"\n", folder.display());
    for name in ["A", "B", "C", "D"] {
        // Five weeks of history, as carm-grid keeps it, and ten days ahead.
        write(&zone(name, 35 * 24, 10 * 24));
        text +=
            &format!("[[zone]]\nname = \"{name}\"\nsource = \"energy-charts\"\n[[site]]\nname = \"{name}\"\nzone = \"{name}\"\n");
    }
    let config = Config::parse(&text, Path::new("carm.toml")).expect("a configuration");
    c.bench_function("four zones: five weeks back and ten days ahead by the hour, to slots of seven days", |b| {
        b.iter(|| {
            for site in &config.sites {
                let outlook = Outlook::load(&config, site, now()).expect("an outlook");
                assert!(outlook.doubts.is_empty());
                black_box(outlook.slots(now(), now() + TimeDelta::days(7), 0.0));
            }
        });
    });
    for name in ["A", "B", "C", "D"] {
        write(&zone(name, 24, 7 * 24));
    }
    c.bench_function("four zones: a day back and seven days ahead by the hour, to slots of seven days", |b| {
        b.iter(|| {
            for site in &config.sites {
                let outlook = Outlook::load(&config, site, now()).expect("an outlook");
                black_box(outlook.slots(now(), now() + TimeDelta::days(7), 0.0));
            }
        });
    });
    write(&zone("year", 365 * 24, 7 * 24));
    c.bench_function("a year of hourly history", |b| b.iter(|| black_box(cache::read(&folder, "year").expect("data"))));
    let _ = std::fs::remove_dir_all(&folder);
}

criterion_group!(benches, reading);
criterion_main!(benches);
