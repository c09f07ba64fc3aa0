//! Imports of files in each shape, written for this: what comes out, and what is refused with which words.

use proptest::prelude::*;

use super::*;

fn said() -> Said {
    Said::default()
}

fn clock(text: &str) -> Option<Clock> {
    Some(text.parse().expect("a clock"))
}

fn imported(text: &str, said: &Said, fill_h: Option<i64>, longest: bool) -> Result<(String, Vec<String>), String> {
    import(text.as_bytes(), Path::new("given.csv"), said, fill_h.map(TimeDelta::hours), longest)
}

/// The lines below the header.
fn values(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with(['#', 't'])).collect()
}

const OLD: &str = "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA),Low Carbon Percentage,Renewable Percentage,Data Source,Data Estimated,Data Estimation Method";
const NEW: &str = "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),Renewable energy percentage (RE%),Data source,Data estimated,Data estimation method";
const ROWS: &str = "2021-01-01 00:00:00,Sweden,Sweden,SE,2.54,30.02,99.42,60.13,svk.se,true,ESTIMATED\n\
                    2021-01-01 01:00:00,Sweden,Sweden,SE,2.60,30.50,99.40,60.00,svk.se,false,\n\
                    2021-01-01 02:00:00,Sweden,Sweden,SE,2.70,31.00,99.40,59.00,svk.se,,\n";

#[test]
fn both_generations_of_an_electricity_maps_header_give_the_same_trace() {
    let of = |header: &str| imported(&format!("\u{feff}{header}\r\n{ROWS}"), &said(), None, false).expect("a trace");
    let (text, remarks) = of(OLD);
    assert_eq!(
        text,
        "# from given.csv by carm-grid import: Electricity Maps export, zone SE, life-cycle carbon intensity\n\
         time,carbon_g_per_kwh,renewable_share\n\
         2021-01-01T00:00:00Z,30.02,0.6013\n2021-01-01T01:00:00Z,30.5,0.6\n2021-01-01T02:00:00Z,31,0.59\n"
    );
    assert_eq!(remarks, ["1 of 3 rows are estimates, says the file; a trace cannot mark them"]);
    assert_eq!(of(NEW).0, text);
    assert_eq!(of(&NEW.to_uppercase()).0, text);
    let direct = imported(&format!("{OLD}\n{ROWS}"), &Said { column: Some("direct".to_owned()), ..said() }, None, false)
        .expect("a trace")
        .0;
    assert!(values(&direct)[0].starts_with("2021-01-01T00:00:00Z,2.54,"), "{direct}");
}

#[test]
fn an_export_of_two_zones_or_of_another_unit_is_refused() {
    let other = ROWS.replacen("02:00:00,Sweden,Sweden,SE,", "02:00:00,Norway,Norway,NO,", 1);
    let error = imported(&format!("{OLD}\n{other}"), &said(), None, false).expect_err("two zones");
    assert_eq!(error, "line 4: zone 'NO' after 'SE'; a trace has one zone: split the file");
    let kilograms = OLD.replace("gCO₂eq/kWh", "kgCO₂eq/kWh");
    assert!(
        imported(&format!("{kilograms}\n{ROWS}"), &said(), None, false)
            .expect_err("kilograms")
            .contains("does not say gCO₂eq/kWh")
    );
    let error = imported(&format!("{OLD}\n{ROWS}"), &Said { clock: clock("+01:00"), ..said() }, None, false).expect_err("UTC");
    assert_eq!(error, "--time-zone means nothing for an Electricity Maps export: its times are UTC");
}

#[test]
fn an_empty_field_is_a_gap_that_is_told_filled_when_asked_and_named_in_the_trace() {
    let more: String =
        (3..5).map(|h| format!("2021-01-01 {h:02}:00:00,Sweden,Sweden,SE,2,{},99,50,svk.se,false,\n", 31 + h)).collect();
    let holed = format!("{OLD}\n{}{more}", ROWS.replacen(",30.50,", ",,", 1));
    let error = imported(&holed, &said(), None, false).expect_err("a gap");
    assert!(
        error.starts_with("carbon_g_per_kwh: a gap: 2021-01-01T01:00:00.000Z to 2021-01-01T02:00:00.000Z; --fill"),
        "{error}"
    );
    let (text, remarks) = imported(&holed, &said(), Some(1), false).expect("a trace");
    assert_eq!(values(&text)[1], "2021-01-01T01:00:00Z,30.51,0.6");
    let line = "carbon_g_per_kwh: filled from 2021-01-01T01:00:00.000Z for 1 h (1 step), a line";
    assert!(text.contains(&format!("\n# {line}\n")) && remarks.iter().any(|remark| remark == line), "{text} {remarks:?}");
    // A share that is not there for all times is left out; the intensity stands.
    let shareless = format!("{OLD}\n{}{more}", ROWS.replacen(",60.00,", ",,", 1));
    let (text, remarks) = imported(&shareless, &said(), None, false).expect("a trace");
    assert!(
        text.contains("\ntime,carbon_g_per_kwh\n") && remarks.iter().any(|r| r.starts_with("renewable_share: not for all times"))
    );
}

#[test]
fn gaps_are_refused_filled_up_to_a_length_or_left_out() {
    let hour = |hour: i64, value: f64| format!("2021-01-01T{hour:02}:00Z,{value}\n");
    let text: String = [0, 1, 2, 4, 5, 6, 7, 8, 14, 15].map(|h| hour(h, 10.0 * h as f64)).concat();
    let grams = Said { unit: Some(Unit::GramsPerKwh), ..said() };
    let error = imported(&text, &grams, None, false).expect_err("gaps");
    assert_eq!(
        error,
        "carbon_g_per_kwh: 2 gaps: 2021-01-01T03:00:00.000Z to 2021-01-01T04:00:00.000Z, 2021-01-01T09:00:00.000Z to \
         2021-01-01T14:00:00.000Z; --fill=DURATION draws a line across gaps up to so long, --longest keeps the longest stretch \
         without one"
    );
    assert!(imported(&text, &grams, Some(2), false).expect_err("one gap is left").contains("a gap: 2021-01-01T09"));
    let (filled, remarks) = imported(&text, &grams, Some(5), false).expect("a trace");
    assert_eq!(values(&filled).len(), 16);
    assert_eq!(values(&filled)[3], "2021-01-01T03:00:00Z,30");
    assert!(
        filled.contains("\n# carbon_g_per_kwh: filled from 2021-01-01T09:00:00.000Z for 5 h (5 steps), a line\n"),
        "{filled}"
    );
    assert_eq!(remarks.len(), 2);
    let (longest, remarks) = imported(&text, &grams, None, true).expect("a trace");
    assert_eq!((values(&longest).len(), values(&longest)[0]), (5, "2021-01-01T04:00:00Z,40"));
    assert!(remarks[0].ends_with("kept from 2021-01-01T04:00:00.000Z to 2021-01-01T09:00:00.000Z"), "{remarks:?}");
}

#[test]
fn a_carbon_aware_sdk_file_is_read_with_its_mark_and_its_ratings_as_text() {
    let file = "\u{feff}{\"Emissions\":[\
        {\"Location\":\"eastus\",\"Time\":\"2021-09-01T08:00:00+00:00\",\"Rating\":\"65.5\",\"Duration\":\"08:00:00\"},\
        {\"Location\":\"westus\",\"Time\":\"2021-09-01T00:00:00+00:00\",\"Rating\":1,\"Duration\":\"08:00:00\"},\
        {\"Location\":\"eastus\",\"Time\":\"2021-09-01T00:00:00+00:00\",\"Rating\":60,\"Duration\":\"0.08:00:00\"}]}";
    let error = imported(file, &said(), None, false).expect_err("two locations");
    assert_eq!(error, "several locations; say which: --location, one of eastus, westus");
    let east = Said { location: Some("eastus".into()), ..said() };
    let (text, _) = imported(file, &east, None, false).expect("a trace");
    assert_eq!(values(&text), ["2021-09-01T00:00:00Z,60", "2021-09-01T08:00:00Z,65.5"]);
    let naive = file.replace("+00:00", "");
    assert!(
        imported(&naive, &east, None, false)
            .expect_err("no zone")
            .contains("names no zone; say by which clock it is: --time-zone")
    );
    let error = imported("{\"emissions\": 3}", &said(), None, false).expect_err("another shape");
    assert!(error.starts_with("not a carbon-aware-sdk data file"), "{error}");
}

#[test]
fn two_columns_need_a_unit_and_a_clock() {
    let text = "when;power\n2026-05-01 12:00;1,5\n2026-05-01 12:15;2,5\n";
    assert!(imported(text, &said(), None, false).expect_err("no unit").starts_with("the unit is not clear; give --unit"));
    let kilowatts = Said { unit: Some(Unit::Kilowatts), ..said() };
    assert!(
        imported(text, &kilowatts, None, false)
            .expect_err("no clock")
            .starts_with("line 2: time '2026-05-01 12:00': names no zone")
    );
    let east = Said { clock: clock("+02:00"), ..kilowatts };
    let (text, _) = imported(text, &east, None, false).expect("a trace");
    assert!(text.contains("\ntime,onsite_w\n2026-05-01T10:00:00Z,1500\n2026-05-01T10:15:00Z,2500\n"), "{text}");
}

#[test]
fn every_unit_is_converted_as_it_is_defined() {
    for (unit, value, expected) in [
        ("g/kWh", "450", "carbon_g_per_kwh\n2026-05-01T00:00:00Z,450\n"),
        ("kg/MWh", "450", "carbon_g_per_kwh\n2026-05-01T00:00:00Z,450\n"),
        ("lb/MWh", "1000", "carbon_g_per_kwh\n2026-05-01T00:00:00Z,453.59237\n"),
        ("t/MWh", "0.45", "carbon_g_per_kwh\n2026-05-01T00:00:00Z,450\n"),
        ("share", "0.45", "renewable_share\n2026-05-01T00:00:00Z,0.45\n"),
        ("percent", "45", "renewable_share\n2026-05-01T00:00:00Z,0.45\n"),
        ("W", "1500", "onsite_w\n2026-05-01T00:00:00Z,1500\n"),
        ("kW", "1.5", "onsite_w\n2026-05-01T00:00:00Z,1500\n"),
        ("MW", "0.0015", "onsite_w\n2026-05-01T00:00:00Z,1500\n"),
    ] {
        let text = format!("2026-05-01T00:00Z,{value}\n2026-05-01T01:00Z,{value}\n");
        let of_unit = Said { unit: Some(unit.parse().expect(unit)), ..said() };
        let (text, _) = imported(&text, &of_unit, None, false).expect(unit);
        assert!(text.contains(expected), "{unit}: {text}");
    }
    assert!("mW".parse::<Unit>().is_err());
    let percent = Said { unit: Some(Unit::Share), ..said() };
    let error = imported("2026-05-01T00:00Z,45\n2026-05-01T01:00Z,46\n", &percent, None, false).expect_err("a share of 45");
    assert!(error.ends_with("a share is from 0 to 1 (45 % is 0.45)"), "{error}");
}

#[test]
fn a_time_that_stands_twice_is_fine_with_one_value_and_refused_with_two() {
    let grams = Said { unit: Some(Unit::GramsPerKwh), ..said() };
    let text = "2026-05-01T00:00Z,1\n2026-05-01T01:00Z,2\n2026-05-01T00:00Z,1\n";
    assert_eq!(values(&imported(text, &grams, None, false).expect("a trace").0).len(), 2);
    let error = imported(&text.replacen(",2", ",2\n2026-05-01T00:00Z,3", 1), &grams, None, false).expect_err("two values");
    assert_eq!(error, "line 3: carbon_g_per_kwh: two values for 2026-05-01T00:00:00.000Z: 1 and 3; take the wrong one out");
}

/// A table of on-site power in watts.
fn watts(text: &str) -> Result<(String, Vec<String>), String> {
    imported(text, &Said { unit: Some(Unit::Watts), clamp: true, ..said() }, None, false)
}

#[test]
fn cells_without_a_number_are_gaps() {
    for none in ["NaN", "nan", "null", "NA", "n/a", "-", ""] {
        let text = format!("2026-05-01T00:00Z,1\n2026-05-01T01:00Z,{none}\n2026-05-01T02:00Z,3\n2026-05-01T03:00Z,4\n");
        let error = watts(&text).expect_err("a gap");
        assert!(error.starts_with("onsite_w: a gap: 2026-05-01T01:00:00.000Z to 2026-05-01T02:00"), "{none}: {error}");
        let last = "2021-01-01 03:00:00,Sweden,Sweden,SE,2.7,31,99.4,59,svk.se,,\n";
        let export = format!("{OLD}\n{}{last}", ROWS.replacen(",30.50,", &format!(",{none},"), 1));
        let error = imported(&export, &said(), None, false).expect_err("a gap");
        assert!(error.starts_with("carbon_g_per_kwh: a gap: 2021-01-01T01:00"), "{none}: {error}");
    }
    assert_eq!(watts("2026-05-01T00:00Z,inf\n"), Err("line 1: 'inf': not a number".to_owned()));
}

#[test]
fn an_impossible_value_names_the_files_line() {
    let grams = Said { unit: Some(Unit::GramsPerKwh), ..said() };
    let text = "# a comment\ntime,g\n\n2026-05-01T01:00Z,2\n2026-05-01T00:00Z,20000\n";
    let error = imported(text, &grams, None, false).expect_err("another unit");
    assert_eq!(error, "line 5: carbon_g_per_kwh '20000': carbon intensity is in grams per kWh, from 0 to 10000");
}

#[test]
fn power_below_zero_wants_clamp() {
    let night = "2026-05-01T00:00Z,-3.5\n2026-05-01T01:00Z,-1\n2026-05-01T02:00Z,3\n";
    let (text, remarks) = watts(night).expect("a trace");
    assert_eq!(
        (values(&text)[0], remarks),
        ("2026-05-01T00:00:00Z,0", vec!["2 values of onsite_w below zero counted as zero".to_owned()])
    );
    let error = imported(night, &Said { unit: Some(Unit::Watts), ..said() }, None, false).expect_err("below zero");
    assert_eq!(error, "line 1: onsite_w '-3.5': below zero, as an inverter's own draw at night; --clamp counts it as zero");
    let grams = Said { unit: Some(Unit::GramsPerKwh), clamp: true, ..said() };
    assert!(imported(night, &grams, None, false).expect_err("no roof").starts_with("line 1: carbon_g_per_kwh '-3.5': "));
}

#[test]
fn a_file_may_turn_from_hours_to_quarters() {
    let hours: String = (0..30).map(|h| format!("2026-05-0{}T{:02}:00Z,{h}\n", 1 + h / 24, h % 24)).collect();
    let quarters: String = (0..40).map(|q| format!("2026-05-02T{:02}:{:02}Z,{}\n", 6 + q / 4, q % 4 * 15, 100 + q)).collect();
    let (text, remarks) = watts(&(hours.clone() + &quarters)).expect("a trace");
    let values = values(&text);
    assert_eq!(values.len(), 30 * 4 + 40);
    assert_eq!(
        values[..5].iter().map(|row| row.split_once(',').map(|row| row.1)).collect::<Vec<_>>(),
        ["0", "0", "0", "0", "1"].map(Some)
    );
    assert_eq!((values[119], values[120]), ("2026-05-02T05:45:00Z,29", "2026-05-02T06:00:00Z,100"));
    let remark = "steps of 1 h turn to 15 min at 2026-05-02T06:00:00.000Z; each earlier value stands for all of its 1 h";
    assert_eq!(remarks, [remark]);
    // A missing hour stays a gap.
    let holed = hours.replace("2026-05-01T05:00Z,5\n", "") + &quarters;
    assert!(watts(&holed).expect_err("a gap").contains("a gap: 2026-05-01T05:00:00.000Z to 2026-05-01T06:00"));
}

#[test]
fn times_may_jitter_by_seconds() {
    let text = "2026-05-01T00:00:04Z,1\n2026-05-01T00:14:57Z,2\n2026-05-01T00:30:00Z,3\n2026-05-01T00:45:11Z,4\n";
    let (text, remarks) = watts(text).expect("a trace");
    let expected = ["2026-05-01T00:00:00Z,1", "2026-05-01T00:15:00Z,2", "2026-05-01T00:30:00Z,3", "2026-05-01T00:45:00Z,4"];
    assert_eq!((values(&text), remarks.len()), (expected.to_vec(), 1));
    // Steps of seconds are no jitter.
    let (text, remarks) = watts("2026-05-01T00:00:00Z,1\n2026-05-01T00:00:10Z,2\n2026-05-01T00:00:20Z,3\n").expect("a trace");
    assert_eq!((values(&text)[1], remarks.len()), ("2026-05-01T00:00:10Z,2", 0));
    assert!(watts("2026-05-01T00:00:01Z,1\n2026-05-01T00:00:09Z,2\n2026-05-01T00:01:03Z,3\n2026-05-01T00:02:00Z,3\n").is_err());
}

#[test]
fn times_may_be_seconds_since_1970() {
    let (text, _) = watts("when,W\n1777636800,1\n1777637700,2\n1777638600.0,3\n").expect("a trace");
    assert_eq!(values(&text), ["2026-05-01T12:00:00Z,1", "2026-05-01T12:15:00Z,2", "2026-05-01T12:30:00Z,3"]);
}

#[test]
fn a_column_is_found_by_its_name() {
    let text = "time,State,PV Power,Load\n2026-05-01T00:00Z,on,1,9\n2026-05-01T01:00Z,off,2,8\n";
    let named = |name: &str| Said { unit: Some(Unit::Watts), column: Some(name.to_owned()), ..said() };
    let (trace, _) = imported(text, &named("pv power"), None, false).expect("a trace");
    assert_eq!(values(&trace), ["2026-05-01T00:00:00Z,1", "2026-05-01T01:00:00Z,2"]);
    for (said, text, expected) in [
        (
            Said { unit: Some(Unit::Watts), ..said() },
            text,
            "line 1: 4 columns; name the values' own: --column, one of State, PV Power, Load",
        ),
        (named("wind"), text, "line 1: --column: 'wind': no such column; give one of State, PV Power, Load"),
        (named("W"), "2026-05-01T00:00Z,1\n", "line 1: --column: there is no header to look for a name in"),
        (named("Load"), "time,a,Load\n2026-05-01T00:00Z,1\n", "line 2: 2 cells where the first line has 3"),
        (named("State"), text, "line 2: 'on': not a number"),
        (named("Load"), ROWS, "line 1: --column: there is no header to look for a name in"),
    ] {
        assert_eq!(imported(text, &said, None, false).expect_err(expected), expected);
    }
    let export = format!("{OLD}\n{ROWS}");
    let error = imported(&export, &named("CFE"), None, false).expect_err("a unit");
    assert!(error.starts_with("--unit means nothing"), "{error}");
    let error = imported(&export, &Said { column: Some("CFE".to_owned()), ..said() }, None, false).expect_err("no such");
    assert_eq!(error, "--column: 'CFE': of an Electricity Maps export give lifecycle or direct");
}

#[test]
fn the_sdks_own_file_is_read() {
    let file = include_str!("../../../tests/grid_cases/recorded/carbon-aware-sdk.json");
    let (text, remarks) = imported(file, &said(), None, false).expect("a trace");
    assert_eq!((values(&text), remarks.len()), (vec!["2021-10-25T14:50:00Z,90", "2021-10-25T15:50:00Z,57"], 0));
    let holed = file.replace("90", "null");
    assert_eq!(imported(&holed, &said(), None, false), Err("two rows in a row at least".to_owned()));
}

proptest! {
    #[test]
    fn whatever_a_file_holds_nothing_panics(text in "\\PC{0,300}", head in 0_usize..4, unit in any::<bool>()) {
        let heads = ["", OLD, NEW, "{\"Emissions\":[{\"Location\":\"a\",\"Rating\":\"1\",\"Duration\":\"1:0:0\",\"Time\":\""];
        let said = Said { unit: unit.then_some(Unit::Watts), clock: clock("UTC"), ..said() };
        let _ = imported(&format!("{}\n{text}", heads[head]), &said, Some(24), true);
    }

    #[test]
    fn what_is_written_is_what_was_read(values in prop::collection::vec(0.0_f64..2000.0, 2..50), offset_h in -11_i32..=12, step_min in 5_i64..=60) {
        let start = chrono::NaiveDate::from_ymd_opt(2026, 3, 28).and_then(|day| day.and_hms_opt(12, 0, 0)).expect("a time");
        let row = |(i, value): (usize, &f64)| format!("{},{value}\n", (start + TimeDelta::minutes(step_min * i as i64)).format("%Y-%m-%d %H:%M"));
        let text: String = values.iter().enumerate().map(row).collect();
        let zone = format!("{}{:02}:00", if offset_h < 0 { '-' } else { '+' }, offset_h.abs());
        let said = Said { unit: Some(Unit::GramsPerKwh), clock: clock(&zone), ..said() };
        let (text, _) = imported(&text, &said, None, false).expect("a trace");
        let trace = Trace::parse(text.as_bytes(), Path::new("out.csv")).expect("a trace");
        let carbon = trace.carbon_g_per_kwh.expect("carbon");
        prop_assert_eq!(carbon.start(), (start - TimeDelta::hours(offset_h.into())).and_utc());
        for (step, value) in carbon.steps().iter().zip(&values) {
            prop_assert!((step.value - value).abs() <= value * 1e-11);
        }
    }
}
