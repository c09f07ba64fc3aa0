//! Readings of all kinds, and what is made of them.

use proptest::prelude::*;

use super::*;
use crate::source::value::{self, point};

const NOW: &str = "2026-05-01T12:10:00Z";

fn at(text: &str) -> DateTime<Utc> {
    carm::quantity::parse_instant(text).expect(text)
}

fn frame() -> Frame<'static> {
    Frame { zone: "DE", source: "energy-charts", intensity: Intensity::Average, now: at(NOW), until: None }
}

/// Points of a length, one after another from a time.
fn points(from: &str, minutes: i64, values: &[f64]) -> Vec<Point> {
    let length = TimeDelta::minutes(minutes);
    let point = |(index, &value): (usize, &f64)| point(at(from) + length * index as i32, length, value);
    values.iter().enumerate().map(point).collect()
}

fn reading(observed: Vec<Point>, forecast: Vec<Point>) -> Reading {
    Reading { carbon_g_per_kwh: Series { observed, forecast }, ..Reading::default() }
}

fn carbon(assembled: &Assembled) -> Vec<(String, f64, bool)> {
    let steps = assembled.data.carbon_g_per_kwh.as_ref().expect("a signal").steps();
    steps.iter().map(|step| (step.from.format("%d %H:%M").to_string(), step.value, step.estimated)).collect()
}

fn made(reading: &Reading) -> Assembled {
    assemble(reading, None, &frame()).expect("signals")
}

fn step(time: &str, value: f64) -> (String, f64, bool) {
    (time.to_owned(), value, false)
}

fn guess(time: &str, value: f64) -> (String, f64, bool) {
    (time.to_owned(), value, true)
}

#[test]
fn observations_are_followed_by_the_forecast_and_nothing_is_estimated() {
    let assembled = made(&reading(
        points("2026-05-01T10:00:00Z", 60, &[100.0, 110.0, 120.0]),
        points("2026-05-01T12:00:00Z", 60, &[999.0, 130.0]),
    ));
    assert_eq!(
        carbon(&assembled),
        [step("01 10:00", 100.0), step("01 11:00", 110.0), step("01 12:00", 120.0), step("01 13:00", 130.0)]
    );
    assert_eq!(assembled.data.observed_until, at(NOW), "an hour that has begun is known up to now");
    assert_eq!(assembled.data.carbon_g_per_kwh.expect("a signal").end(), at("2026-05-01T14:00:00Z"));
    assert_eq!(assembled.remarks, [""; 0]);
}

#[test]
fn order_and_repetitions_do_not_matter_and_of_two_values_the_later_in_the_answer_counts() {
    let mut given = points("2026-05-01T09:00:00Z", 60, &[1.0, 2.0, 3.0]);
    given.reverse();
    given.push(given[1]);
    given.push(Point { value: 2.5, ..given[1] });
    let assembled = made(&reading(given, Vec::new()));
    assert_eq!(carbon(&assembled), [step("01 09:00", 1.0), step("01 10:00", 2.5), step("01 11:00", 3.0)]);
    assert_eq!(
        assembled.remarks,
        ["carbon_g_per_kwh: two values for 1 time (2 and 2.5 at 2026-05-01T10:00:00.000Z); the later in the answer counts"]
    );
}

#[test]
fn a_short_gap_is_filled_by_a_straight_line_and_marked() {
    let mut given = points("2026-05-01T08:00:00Z", 60, &[100.0, 0.0, 0.0, 400.0]);
    given.drain(1..3);
    assert_eq!(
        carbon(&made(&reading(given, Vec::new()))),
        [step("01 08:00", 100.0), guess("01 09:00", 200.0), guess("01 10:00", 300.0), step("01 11:00", 400.0)]
    );
}

#[test]
fn a_gap_of_hours_is_filled_by_the_day_before() {
    let day: Vec<f64> = (0..24).map(f64::from).collect();
    let mut given = points("2026-04-30T00:00:00Z", 60, &day);
    given.extend(points("2026-05-01T06:00:00Z", 60, &[60.0]));
    let steps = carbon(&made(&reading(given, Vec::new())));
    assert_eq!(steps[23..27], [step("30 23:00", 23.0), guess("01 00:00", 0.0), guess("01 01:00", 1.0), guess("01 02:00", 2.0)]);
    assert_eq!(steps.len(), 31);
}

#[test]
fn past_a_gap_that_nothing_fills_the_latest_part_is_kept_and_a_remark_says_so() {
    let mut given = points("2026-04-27T10:00:00Z", 60, &[1.0, 2.0]);
    given.extend(points("2026-05-01T10:00:00Z", 60, &[3.0, 4.0]));
    let assembled = made(&reading(given, Vec::new()));
    assert_eq!(carbon(&assembled), [step("01 10:00", 3.0), step("01 11:00", 4.0)]);
    assert_eq!(
        assembled.remarks,
        ["carbon_g_per_kwh: no data from 2026-04-27T12:00:00.000Z to 2026-05-01T10:00:00.000Z; what was before is left out"]
    );
}

#[test]
fn one_impossible_value_is_a_gap() {
    for (value, shown) in [(-5.0, "-5"), (1e8, "100000000"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let given = points("2026-05-01T09:00:00Z", 60, &[100.0, value, 120.0]);
        let assembled = made(&reading(given, Vec::new()));
        assert_eq!(carbon(&assembled), [step("01 09:00", 100.0), guess("01 10:00", 110.0), step("01 11:00", 120.0)]);
        let remark = format!("carbon_g_per_kwh of {shown} at 2026-05-01T10:00:00.000Z: cannot be; expected 0 to 10000; left out");
        assert_eq!(assembled.remarks, [remark]);
    }
}

#[test]
fn impossible_share_leaves_the_intensity() {
    let share = Series { observed: points("2026-05-01T09:00:00Z", 60, &[45.0, 46.0]), forecast: Vec::new() };
    let reading = Reading { renewable_share: share, ..reading(points("2026-05-01T09:00:00Z", 60, &[100.0, 110.0]), Vec::new()) };
    let assembled = made(&reading);
    assert_eq!(carbon(&assembled), [step("01 09:00", 100.0), step("01 10:00", 110.0)]);
    assert_eq!(assembled.data.renewable_share, None);
    assert!(assembled.remarks[0].starts_with("renewable_share of 45 "), "{:?}", assembled.remarks);
}

#[test]
fn long_hole_keeps_the_history_before() {
    let mut given = points("2026-04-10T00:00:00Z", 60, &[100.0; 24 * 19]);
    given.extend(points("2026-05-01T00:00:00Z", 60, &[200.0; 12]));
    let signal = made(&reading(given, Vec::new())).data.carbon_g_per_kwh.expect("a signal");
    assert_eq!(signal.start(), at("2026-04-10T00:00:00Z"));
    assert!(signal.at(at("2026-04-30T12:00:00Z")).is_some_and(|step| step.estimated && step.value == 100.0));
}

#[test]
fn answer_in_another_unit_is_refused() {
    let given = points("2026-05-01T09:00:00Z", 60, &[100_000.0, 110_000.0, 120.0]);
    let error = assemble(&reading(given, Vec::new()), None, &frame()).expect_err("another unit");
    let expected = "carbon_g_per_kwh of 100000 at 2026-05-01T09:00:00.000Z: cannot be; expected 0 to 10000; 2 of 3 values cannot \
                    be, as in another unit";
    assert_eq!(error, expected);
    let mut given = points("2026-05-01T09:00:00Z", 60, &[100.0]);
    given[0].length = TimeDelta::zero();
    let error = assemble(&reading(given, Vec::new()), None, &frame()).expect_err("no length");
    assert!(error.starts_with("carbon_g_per_kwh at 2026-05-01T09:00:00.000Z: holds for 0 s; expected up to a day"), "{error}");
}

#[test]
fn a_meter_that_draws_power_at_night_tells_a_roof_without_power() {
    let observed = points("2026-05-01T00:00:00Z", 60, &[-3.0, 500.0]);
    let reading = Reading { onsite_w: Series { observed, forecast: Vec::new() }, ..Reading::default() };
    let signal = made(&reading).data.onsite_w.expect("a signal");
    assert_eq!(signal.steps().iter().map(|step| step.value).collect::<Vec<_>>(), [0.0, 500.0]);
}

#[test]
fn an_answer_without_data_is_none() {
    let error = assemble(&Reading::default(), None, &frame()).expect_err("nothing");
    assert_eq!(error, "an answer without data; look at area, and at whether the service has data of it");
}

#[test]
fn what_has_not_begun_was_not_observed() {
    let assembled = made(&reading(points("2026-05-01T12:00:00Z", 60, &[1.0, 2.0, 3.0]), Vec::new()));
    assert_eq!(assembled.data.observed_until, at(NOW));
    assert_eq!(
        assembled.remarks,
        [
            "carbon_g_per_kwh: an observation of 2026-05-01T13:00:00.000Z, which is ahead of this host's clock; it counts as forecast"
        ]
    );
}

#[test]
fn earlier_history_stays_and_newer_observations_replace_what_was_guessed() {
    let mut first = points("2026-05-01T08:00:00Z", 60, &[100.0, 0.0, 300.0]);
    first.remove(1);
    let earlier = made(&reading(first, points("2026-05-01T11:00:00Z", 60, &[77.0; 5])));
    assert_eq!(carbon(&earlier)[1], guess("01 09:00", 200.0));
    let later = Frame { now: at("2026-05-01T14:00:00Z"), ..frame() };
    let newer = reading(points("2026-05-01T09:00:00Z", 60, &[111.0, 301.0, 302.0, 303.0]), Vec::new());
    let joined = assemble(&newer, Some(&earlier.data), &later).expect("signals");
    assert_eq!(
        carbon(&joined),
        [
            step("01 08:00", 100.0),
            step("01 09:00", 111.0),
            step("01 10:00", 301.0),
            step("01 11:00", 302.0),
            step("01 12:00", 303.0)
        ]
    );
}

#[test]
fn five_weeks_are_kept_and_no_more() {
    let long: Vec<f64> = (0..24 * 60).map(f64::from).collect();
    let assembled = made(&reading(points("2026-03-03T00:00:00Z", 60, &long), Vec::new()));
    let start = assembled.data.carbon_g_per_kwh.expect("a signal").start();
    assert_eq!(start, at("2026-03-27T12:00:00Z"));
}

#[test]
fn carms_own_forecast_bridges_to_the_sources_and_goes_on_past_its_end() {
    let two_days: Vec<f64> = (0..48).map(|hour| f64::from(hour % 24)).collect();
    let mut frame = frame();
    frame.until = Some(at("2026-05-04T00:00:00Z"));
    let given = reading(points("2026-04-29T06:00:00Z", 60, &two_days), points("2026-05-02T06:00:00Z", 60, &[500.0; 6]));
    let assembled = assemble(&given, None, &frame).expect("signals");
    let signal = assembled.data.carbon_g_per_kwh.expect("a signal");
    assert_eq!(assembled.data.observed_until, at("2026-05-01T06:00:00Z"));
    let estimated = |text: &str| signal.at(at(text)).map(|step| step.estimated);
    assert_eq!(estimated("2026-05-01T20:00:00Z"), Some(true), "between the two");
    assert_eq!(estimated("2026-05-02T08:00:00Z"), Some(false), "the source's own");
    assert_eq!(estimated("2026-05-03T08:00:00Z"), Some(true), "past its end");
    assert_eq!(signal.end(), at("2026-05-04T00:00:00Z"));
}

proptest! {
    /// Whatever the step and the order, and with every third point twice: at any instant the signal says what the world does.
    #[test]
    fn signals_of_every_step_say_what_was_said(
        minutes in prop::sample::select(vec![5_i64, 15, 30, 60]),
        offset in 0_i64..60,
        count in 2_usize..300,
        seed in any::<u64>(),
    ) {
        let length = TimeDelta::minutes(minutes);
        let start = at(NOW) - TimeDelta::days(2) + TimeDelta::minutes(offset);
        let value = |index: usize| ((seed >> (index % 48)) % 900) as f64;
        let mut given: Vec<Point> =
            (0..count).map(|i| point(start + length * i as i32, length, value(i))).collect();
        given.extend(given.clone().into_iter().step_by(3));
        given.rotate_left((seed % count as u64) as usize);
        let assembled = assemble(&reading(given, Vec::new()), None, &frame()).expect("signals");
        let signal = assembled.data.carbon_g_per_kwh.expect("a signal");
        prop_assert_eq!(signal.steps().len(), count);
        prop_assert_eq!(signal.end(), start + length * count as i32);
        for index in 0..count {
            let middle = start + length * index as i32 + length / 2;
            prop_assert_eq!(signal.at(middle).map(|step| (step.value, step.estimated)), Some((value(index), false)));
        }
    }

    /// Points of any kind give a signal whose steps rise, or a refusal; never a panic, and never a value that was refused.
    #[test]
    fn nonsense_is_refused_or_made_into_a_signal(
        given in prop::collection::vec((-200_i64..200, -10_i64..3000, prop_oneof![0.0..900.0_f64, -1.0..0.0_f64]), 0..60),
        ahead in prop::collection::vec((-50_i64..400, 1_i64..200, 0.0..900.0_f64), 0..30),
    ) {
        let point = |&(quarters, minutes, value): &(i64, i64, f64)| {
            value::point(at(NOW) + TimeDelta::minutes(15 * quarters), TimeDelta::minutes(minutes), value)
        };
        let bad = given.iter().any(|&(_, minutes, value)| minutes <= 0 || minutes > 1440 || value < 0.0);
        let reading = reading(given.iter().map(point).collect(), ahead.iter().map(point).collect());
        match assemble(&reading, None, &frame()) {
            Err(_) => prop_assert!(bad || given.is_empty() && ahead.is_empty()),
            Ok(assembled) => {
                let signal = assembled.data.carbon_g_per_kwh.expect("a signal");
                prop_assert!(signal.steps().iter().all(|step| (0.0..=10_000.0).contains(&step.value)));
                prop_assert!(signal.steps().windows(2).all(|pair| pair[0].from < pair[1].from));
            }
        }
    }
}
