//! The forecaster on made-up pasts: what it must get right, what it must never do.

use proptest::prelude::*;

use super::*;
use crate::quantity::parse_instant;

fn start() -> DateTime<Utc> {
    // A Monday.
    parse_instant("2026-05-04T00:00:00Z").expect("a time")
}

/// A past of so many steps.
fn past(minutes: i64, count: i64, value: impl Fn(i64) -> f64) -> Signal {
    let steps = (0..count).map(|i| Step::exact(start() + TimeDelta::minutes(minutes * i), value(i))).collect();
    Signal::new(steps, start() + TimeDelta::minutes(minutes * count)).expect("a signal")
}

/// Noise in -0.5..0.5 that is the same each time.
fn noise(i: i64) -> f64 {
    let mixed = (i as u64).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
}

fn daily(hour: i64) -> f64 {
    300.0 + 100.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin()
}

fn ahead(signal: &Signal, hours: i64) -> Step {
    extend(signal, signal.end() + TimeDelta::hours(hours + 1)).at(signal.end() + TimeDelta::hours(hours)).expect("a forecast")
}

#[test]
fn a_day_that_repeats_itself_is_foretold_exactly_and_marked() {
    let signal = past(60, 35 * 24, daily);
    let longer = extend(&signal, signal.end() + TimeDelta::days(7));
    assert_eq!(longer.steps()[..signal.steps().len()], *signal.steps());
    assert_eq!(longer.end(), signal.end() + TimeDelta::days(7));
    for (hour, step) in longer.steps()[signal.steps().len()..].iter().enumerate() {
        assert!(step.estimated);
        let truth = daily(hour as i64);
        assert!((step.value - truth).abs() < 1.0 && step.high - step.low < 10.0, "{hour} h ahead: {step:?}, in truth {truth}");
    }
}

#[test]
fn a_working_week_is_told_from_its_weekend() {
    // Ends with a Sunday; weekends emit half as much.
    let signal = past(60, 35 * 24, |hour| if (hour / 24) % 7 >= 5 { 150.0 } else { 300.0 } + 20.0 * noise(hour));
    for (day, expected) in [(1, 300.0), (4, 300.0), (5, 150.0), (6, 150.0)] {
        let step = ahead(&signal, day * 24 + 12);
        assert!((step.value - expected).abs() < 30.0, "day {day}: {step:?}");
    }
}

#[test]
fn the_level_of_the_last_hours_carries_on_and_fades_where_levels_come_back() {
    // Each day has a level of its own; yesterday's tells nothing of today's.
    let level = |day: i64| 1.0 + 0.8 * noise(day * 31);
    let signal = past(60, 35 * 24 - 12, |hour| daily(hour) * level(hour / 24));
    let usual = (0..34).map(level).sum::<f64>() / 34.0;
    let now = level(34);
    let near = ahead(&signal, 1).value / daily(13);
    let far = ahead(&signal, 100).value / daily(112);
    assert!((near - now).abs() < 0.3 * (usual - now).abs(), "{near}: level {now}, usual {usual}");
    assert!((far - usual).abs() < 0.5 * (usual - now).abs(), "{far}: level {now}, usual {usual}");
}

#[test]
fn the_band_holds_about_eight_in_ten_of_what_comes() {
    // A level that wanders, and noise: as grids do.
    let mut level = 1.0;
    let levels: Vec<f64> = (0..90 * 24)
        .map(|hour| {
            level += 0.05 * noise(hour) - 0.02 * (level - 1.0);
            level
        })
        .collect();
    let truth = past(60, 90 * 24, |hour| daily(hour) * levels[hour as usize] + 30.0 * noise(hour + 7));
    let (mut inside, mut all) = ([0.0; 3], 0.0);
    for origin in (36 * 24..82 * 24).step_by(11) {
        let now = truth.steps()[origin].from;
        let learnt = Forecaster::learn(&truth, Quantity::CarbonGPerKwh, now).expect("five weeks");
        let said = learnt.forecast(&truth, now, now, now + TimeDelta::days(7)).expect("a forecast");
        for (count, ahead) in inside.iter_mut().zip([0, 23, 119]) {
            let (step, truth) = (said.steps()[ahead], truth.steps()[origin + ahead].value);
            *count += f64::from(u8::from(step.low <= truth && truth <= step.high));
        }
        all += 1.0;
    }
    for (count, name) in inside.iter().zip(["the next hour", "tomorrow", "five days ahead"]) {
        assert!((0.65..=0.95).contains(&(count / all)), "{name}: {:.2}", count / all);
    }
}

#[test]
fn what_is_later_than_the_present_is_not_looked_at() {
    let whole = past(60, 60 * 24, |hour| daily(hour) + 50.0 * noise(hour));
    let now = start() + TimeDelta::days(40);
    let seen = Signal::new(whole.steps()[..40 * 24].to_vec(), now).expect("a signal");
    let of = |signal: &Signal| {
        let learnt = Forecaster::learn(signal, Quantity::CarbonGPerKwh, now).expect("five weeks");
        learnt.forecast(signal, now, now, now + TimeDelta::days(4)).expect("a forecast")
    };
    assert_eq!(of(&whole), of(&seen));
    assert_eq!(extend(&seen, now + TimeDelta::days(4)).steps()[40 * 24..], *of(&whole).steps());
}

#[test]
fn a_forecast_past_the_sources_own_is_as_unsure_as_its_lead_time_says() {
    let mut level = 1.0;
    let levels: Vec<f64> = (0..37 * 24)
        .map(|hour| {
            level += 0.1 * noise(hour) - 0.01 * (level - 1.0);
            level
        })
        .collect();
    let signal = past(60, 37 * 24, |hour| daily(hour) * levels[hour as usize]);
    let width = |observed: DateTime<Utc>| {
        let longer = extend_as(&signal, Quantity::CarbonGPerKwh, observed, signal.end() + TimeDelta::hours(1));
        let step = longer.at(signal.end()).expect("a forecast");
        step.high - step.low
    };
    assert!(width(signal.end() - TimeDelta::days(2)) > 2.0 * width(signal.end()));
}

#[test]
fn the_sun_does_not_shine_at_night_and_clouds_stay_for_some_hours() {
    let sun = |hour: i64| {
        (((hour % 24) as f64 - 6.0) / 12.0 * std::f64::consts::PI).sin().max(0.0)
            * f64::from(u8::from((6..18).contains(&(hour % 24))))
    };
    let clear = |day: i64| 0.6 + 0.8 * noise(day * 17);
    // Ends at noon of a dull day.
    let dull = |day: i64| if day == 35 { 0.2 } else { clear(day) };
    let signal = past(60, 35 * 24 + 12, |hour| 5_000.0 * sun(hour) * dull(hour / 24));
    let longer = extend_as(&signal, Quantity::OnsiteW, signal.end(), signal.end() + TimeDelta::days(3));
    for step in &longer.steps()[signal.steps().len()..] {
        let hour = (step.from - start()).num_hours();
        if sun(hour) <= 0.0 {
            assert_eq!((step.value, step.low, step.high), (0.0, 0.0, 0.0), "{hour}");
        } else {
            assert!(step.value > 0.0 && step.low >= 0.0 && step.high <= 5_000.0 * 1.2, "{step:?}");
        }
    }
    let share = |ahead: i64| {
        let step = longer.at(signal.end() + TimeDelta::hours(ahead)).expect("a forecast");
        step.value / (5_000.0 * sun(12 + ahead))
    };
    assert!(share(1) < 0.35 && share(48) > 0.45, "{} {}", share(1), share(48));
}

#[test]
fn a_short_past_is_used_as_far_as_it_goes() {
    let day = past(60, 24, daily);
    let step = ahead(&day, 5);
    assert!((step.value - daily(5)).abs() < 1e-6, "{step:?}");
    let (least, most) = (daily(18), daily(6));
    assert_eq!((step.low, step.high), (least, most), "nothing is known of its misses: all that was seen may come");
    let half = past(60, 23, daily);
    assert_eq!(extend(&half, half.end() + TimeDelta::days(1)), half, "less than a day is nothing to go by");
    let three = ahead(&past(30, 3 * 48, |i| daily(i / 2)), 30);
    assert!((three.value - daily(30)).abs() < 1.0 && three.high - three.low < 50.0, "{three:?}");
}

#[test]
fn steps_are_as_the_signals_own_between_a_quarter_and_an_hour() {
    for (minutes, expected) in [(5, 15), (15, 15), (30, 30), (60, 60), (180, 60)] {
        let signal = past(minutes, 3 * 1440 / minutes, |i| daily(i * minutes / 60));
        let longer = extend(&signal, signal.end() + TimeDelta::hours(5));
        let added = &longer.steps()[signal.steps().len()..];
        assert!(added.windows(2).all(|pair| pair[1].from - pair[0].from == TimeDelta::minutes(expected)), "{minutes}");
        assert_eq!(added[0].from, signal.end());
    }
}

#[test]
fn an_end_that_is_near_or_nowhere_changes_nothing() {
    let signal = past(60, 72, daily);
    for until in [signal.end(), signal.start(), DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert_eq!(extend(&signal, until), signal);
    }
    let second = extend(&signal, signal.end() + TimeDelta::milliseconds(1));
    assert_eq!(second.end() - signal.end(), TimeDelta::milliseconds(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_past_the_forecast_is_possible_and_within_its_band(
        lengths in prop::collection::vec(1_i64..200, 1..400), values in prop::collection::vec(0.0_f64..=1.0, 400),
        scale in prop::sample::select(vec![0.0, 1e-9, 1.0, 500.0, 1e12]),
        quantity in prop::sample::select(vec![Quantity::CarbonGPerKwh, Quantity::RenewableShare, Quantity::OnsiteW]),
        far_min in -1000_i64..30_000, observed_h in -100_i64..100,
    ) {
        let mut steps = Vec::new();
        let mut at = start();
        for (length, value) in lengths.iter().zip(&values) {
            steps.push(Step::exact(at, value * scale));
            at += TimeDelta::minutes(*length);
        }
        let signal = Signal::new(steps, at).expect("a signal");
        let until = at + TimeDelta::minutes(far_min);
        let longer = extend_as(&signal, quantity, at + TimeDelta::hours(observed_h), until);
        prop_assert_eq!(&longer, &extend_as(&signal, quantity, at + TimeDelta::hours(observed_h), until));
        let long_enough = at - signal.start() >= TimeDelta::days(1);
        prop_assert_eq!(longer.end(), if long_enough { until.max(at) } else { at });
        let most = match quantity { Quantity::CarbonGPerKwh => 1e4, Quantity::RenewableShare => 1.0, Quantity::OnsiteW => 1e12 };
        for step in &longer.steps()[signal.steps().len()..] {
            prop_assert!(step.estimated && step.low <= step.value && step.value <= step.high, "{step:?}");
            prop_assert!(0.0 <= step.low && step.high <= most, "{step:?}");
        }
    }
}

/// Recorded photovoltaic power of ten cities, five-minute steps: the mean miss over a day and a half, in parts of the peak.
#[test]
fn recorded_sun_is_foretold_better_than_by_yesterday_or_the_last_value() {
    let Some(data) = std::env::var_os("CARM_DATA") else {
        eprintln!("skipped: CARM_DATA is not set");
        return;
    };
    let path = std::path::Path::new(&data).join("solar/pv_output_10_cities_5min.csv");
    let mut reader = csv::Reader::from_path(path).expect("the solar data");
    let cities = reader.headers().expect("a header").len() - 1;
    let rows: Vec<Vec<f64>> = reader.deserialize().map(|row| row.expect("numbers")).collect();
    let (mut own, mut yesterday, mut last, mut count) = (0.0, 0.0, 0.0, 0.0);
    let (mut inside, mut light) = (0.0, 0.0);
    for city in 1..=cities {
        let truth = past(5, rows.len() as i64, |i| rows[i as usize][city]);
        let mut now = start() + TimeDelta::days(14);
        while now + TimeDelta::hours(36) <= truth.end() {
            let learnt = Forecaster::learn(&truth, Quantity::OnsiteW, now).expect("two weeks");
            let said = learnt.forecast(&truth, now, now, now + TimeDelta::hours(36)).expect("a forecast");
            let held = truth.at(now - TimeDelta::minutes(1)).expect("known").value;
            for step in said.steps() {
                let was = truth.integrate(step.from, step.from + TimeDelta::minutes(15)).expect("inside") * 4.0;
                let back = if step.from - now < TimeDelta::days(1) { 1 } else { 2 };
                let before = truth.at(step.from - TimeDelta::days(back)).expect("known").value;
                own += (step.value - was).abs();
                yesterday += (before - was).abs();
                last += (held - was).abs();
                if step.high > 0.0 {
                    inside += f64::from(u8::from(step.low <= was && was <= step.high));
                    light += 1.0;
                }
                count += 1.0;
            }
            now += TimeDelta::hours(7);
        }
    }
    let (own, yesterday, last, inside) = (own / count, yesterday / count, last / count, inside / light);
    let shown = format!("own {own:.4}, yesterday {yesterday:.4}, last {last:.4}, in the band by day {inside:.2}");
    eprintln!("{shown}");
    assert!(own < yesterday && own < last && (0.7..0.95).contains(&inside), "{shown}");
}
