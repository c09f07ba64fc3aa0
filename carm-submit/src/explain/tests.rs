//! The chart on pictures of all kinds, whatever planner they came from: what it shows, and that it never leaves its width.

use carm::plan::{Infeasible, Reason, Slot};
use carm::terminal::Terminal;
use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::picture::{Mark, Picture, Point, Stretch};
use super::{draw, fitted, fold};

fn terminal(width: usize, utf8: bool) -> Terminal {
    Terminal { real: true, width, utf8, colour: false }
}

fn point(mark: Mark, end_h: f64, carbon_g: f64) -> Point {
    Point { mark, label: format!("{mark:?}"), end_h, carbon_g }
}

/// A job of two hours that waits for the second half of a day of ten hours.
fn picture(columns: usize) -> Picture {
    let curve = |i: usize| (i * 5 >= columns).then(|| if i * 2 < columns { 900.0 } else { 300.0 });
    let slot = |hour: u32| Slot { estimated: hour > 5, ..Slot::grid(1.0, if hour < 5 { 450.0 } else { 150.0 }) };
    Picture {
        now: DateTime::<Utc>::UNIX_EPOCH,
        end_h: 10.0,
        curve: (0..columns).map(curve).collect(),
        points: vec![point(Mark::Chosen, 7.0, 300.0), point(Mark::Now, 2.0, 900.0)],
        site: "north".to_owned(),
        slots: (0..10).map(slot).collect(),
        run: vec![Stretch { from_h: 5.0, to_h: 7.0, clock: 1.0 }],
        now_run: Some((0.0, 2.0)),
        deadline_h: Some(9.0),
        budget_g: None,
        wanted: None,
    }
}

fn drawn(change: impl FnOnce(&mut Picture)) -> Vec<String> {
    let terminal = terminal(80, false);
    let mut picture = picture(draw::columns(terminal));
    change(&mut picture);
    draw::lines(&picture, terminal)
}

/// How many lines of a chart have this label left of the axis.
fn labelled(lines: &[String], label: &str) -> usize {
    lines.iter().filter(|line| line.split('|').next().is_some_and(|left| left.trim() == label)).count()
}

#[test]
fn the_chosen_point_stands_in_its_column_on_its_row() {
    let lines = drawn(|_| ());
    let row = lines.iter().position(|line| line.contains('@')).expect("a mark");
    assert!(lines[row].trim_start().starts_with("300 g"), "{}", lines[row]);
    let column = lines[row].find('@').expect("a mark") - 12;
    assert_eq!(column, (67.0_f64 * 7.0 / 10.0).ceil() as usize - 1);
}

#[test]
fn estimated_hours_are_shaded_and_said_to_be() {
    let lines = drawn(|_| ());
    assert!(lines.iter().any(|line| line.contains("shaded: estimated")));
    let base = lines.iter().find(|line| line.trim_start().starts_with("0 |")).expect("the lowest row");
    assert!(base.contains("###") && base.contains(":::"), "{base}");
    let known = drawn(|picture| picture.slots.iter_mut().for_each(|slot| slot.estimated = false));
    assert!(!known.iter().any(|line| line.contains("shaded")));
}

#[test]
fn a_plateau_is_one_flat_line() {
    let lines = drawn(|picture| {
        picture.curve.iter_mut().flatten().for_each(|carbon_g| *carbon_g = 500.0);
        picture.points = vec![point(Mark::Chosen, 2.0, 500.0)];
    });
    let curve: Vec<_> = lines[1..10].iter().filter(|line| line.contains("--")).collect();
    assert_eq!(curve.len(), 1, "{lines:#?}");
}

#[test]
fn a_plan_without_carbon_and_a_single_slot_are_drawn() {
    let lines = drawn(|picture| {
        picture.curve.iter_mut().flatten().for_each(|carbon_g| *carbon_g = 0.0);
        picture.points = vec![point(Mark::Chosen, 1.0, 0.0)];
        picture.slots = vec![Slot { onsite_w: 2000.0, ..Slot::grid(10.0, 0.0) }];
    });
    assert!(lines.iter().any(|line| line.contains('@')));
    assert_eq!(labelled(&lines, "on-site"), 1);
    assert!(lines.iter().any(|line| line.ends_with("up to 2.00 kW")), "{lines:#?}");
}

#[test]
fn a_request_that_nothing_meets_shows_its_limits_and_no_run() {
    let lines = drawn(|picture| {
        picture.points.remove(0);
        picture.run.clear();
        picture.budget_g = Some(100.0);
        let reason = Reason::Budget;
        picture.wanted = Some(Infeasible { reason, least_carbon_g: Some(300.0), earliest_end_h: Some(8.0) });
    });
    assert_eq!((labelled(&lines, "run"), labelled(&lines, "100 g")), (0, 1), "{lines:#?}");
    for shown in ["least that is possible     300 g", "earliest possible end", "deadline"] {
        assert!(lines.iter().any(|line| line.contains(shown)), "{shown}: {lines:#?}");
    }
}

#[test]
fn a_service_has_hours_and_a_run_but_no_frontier() {
    let lines = drawn(|picture| picture.curve.clear());
    assert!(!lines.iter().any(|line| line.contains("frontier")) && labelled(&lines, "run") == 1, "{lines:#?}");
}

#[test]
fn a_run_at_once_begins_at_the_axis() {
    let lines = drawn(|picture| picture.run = vec![Stretch { from_h: 0.0, to_h: 2.0, clock: 0.7 }]);
    let run = lines.iter().find(|line| line.trim_start().starts_with("run |")).expect("a run");
    assert!(run.contains("|---"), "{run}");
}

#[test]
fn a_closed_hour_is_struck_out() {
    let lines = drawn(|picture| picture.slots[0].closed = true);
    assert!(lines.iter().any(|line| line.contains("|////")) && lines.iter().any(|line| line.contains("/: closed")));
}

proptest! {
    #[test]
    fn no_line_of_a_chart_is_wider_than_the_terminal_nor_other_than_ascii_where_asked(
        width in 60_usize..=200, utf8: bool,
        end_h in 1e-3_f64..400.0, curve in 0.0_f64..1e9, fall in 0.0_f64..1.0,
        site in "\\PC{0,80}",
        slots in prop::collection::vec((1e-3_f64..30.0, 0.0_f64..2e4, 0.0_f64..1e7, any::<bool>(), any::<bool>()), 1..30),
        limits in (prop::option::of(-5.0_f64..900.0), prop::option::of(0.0_f64..1e12)),
        run in (0.0_f64..1.0, 0.0_f64..1.0, 0.0_f64..=1.0),
        now in -5_000_000_000_i64..5_000_000_000,
    ) {
        let terminal = terminal(width, utf8);
        let columns = draw::columns(terminal);
        let slot = |&(hours, g_per_kwh, onsite_w, estimated, closed): &_| Slot { hours, g_per_kwh, onsite_w, estimated, closed };
        let picture = Picture {
            now: DateTime::from_timestamp(now, 0).expect("in range"),
            end_h,
            curve: (0..columns).map(|i| (i > 3).then(|| curve * (1.0 - fall * i as f64 / columns as f64))).collect(),
            points: vec![
                point(Mark::Chosen, end_h * run.1, curve), point(Mark::Performance, end_h, curve * fall),
                point(Mark::Carbon, end_h * run.0, 0.0), point(Mark::Ppc, end_h / 2.0, curve), point(Mark::Now, 0.0, curve * 2.0),
            ],
            site,
            slots: slots.iter().map(slot).collect(),
            run: vec![Stretch { from_h: end_h * run.0.min(run.1), to_h: end_h * run.0.max(run.1), clock: run.2 }],
            now_run: Some((0.0, end_h * run.1)),
            deadline_h: limits.0,
            budget_g: limits.1,
            wanted: None,
        };
        for line in draw::lines(&picture, terminal) {
            prop_assert!(line.chars().count() <= width, "{line}");
            prop_assert!(utf8 || line.is_ascii(), "{line}");
        }
    }

    #[test]
    fn a_folded_line_keeps_its_words_and_its_width(words in prop::collection::vec("[a-z]{1,40}", 1..40), width in 60_usize..=200) {
        let line = format!("  {}", words.join(" "));
        let folded = fold(&line, width);
        prop_assert!(folded.iter().all(|part| part.chars().count() <= width));
        let again: Vec<_> = folded.iter().flat_map(|part| part.split_whitespace()).collect();
        prop_assert_eq!(again, words);
    }
}

#[test]
fn lines_are_folded_for_a_terminal_and_left_whole_for_anything_else() {
    let lines = [format!("carm-submit: {}", "word ".repeat(30).trim_end()), "  plan    short".to_owned()];
    let folded = fitted(&lines, terminal(60, true));
    assert!(folded.len() == 4 && folded.iter().all(|line| line.chars().count() <= 60), "{folded:#?}");
    assert!(folded[1].starts_with("  word") && folded[3] == lines[1], "{folded:#?}");
    assert_eq!(fitted(&folded, terminal(60, true)), folded, "what is folded stays as it is");
    assert_eq!(fitted(&lines, Terminal { real: false, ..terminal(60, true) }), lines);
}
