use super::*;
use proptest::prelude::*;

use std::collections::BTreeSet;

/// A node with every figure that there is, and a second one with as few as there can be.
fn example() -> [Snapshot; 2] {
    let gpu = |minor: u32, limit_mhz| GpuNow {
        uuid: format!("GPU-0000000{minor}-1111-2222-3333-444444444444"),
        minor,
        model: "NVIDIA GeForce RTX 4090".to_owned(),
        clock_mhz: Some(1410 + minor),
        limit_mhz,
        power_w: Some(239.4),
        energy_j: Some(1_234_567.891),
        throttled: Some(minor == 1),
    };
    let job = JobNow {
        job: 7,
        user: Some("ada".to_owned()),
        partition: Some("gpu".to_owned()),
        gpus: vec![gpu(0, None).uuid, gpu(1, None).uuid],
        energy_j: Some(86_400.5),
        carbon_g: Some(12.25),
        intensity: Intensity::Average,
        embodied_g: Some(3.0),
        clock_limit_mhz: Some(1410),
        work_done_ratio: Some(0.5),
        budget_g: Some(500.0),
    };
    let grid = GridNow {
        site: "north".to_owned(),
        zone: "DE".to_owned(),
        source: "trace".to_owned(),
        kind: Intensity::Average,
        intensity_g_per_kwh: Some(312.5),
        estimated: false,
        data_age_s: Some(900.0),
        available: true,
        onsite_w: Some(1200.0),
    };
    let mut totals = Totals { jobs_booked: 4, ledger_errors: 1, last_tick: Some(1_777_636_800.25), ..Totals::default() };
    ["plan", "plan", "budget"].into_iter().for_each(|reason| totals.count_clock_change(reason));
    totals.count_nvml_error("reading power");
    [0.125, 0.5].into_iter().for_each(|seconds| totals.count_decision(seconds));
    let whole = Snapshot {
        node: "n1".to_owned(),
        gpus: vec![gpu(0, Some(1410)), gpu(1, None)],
        jobs: vec![job],
        // Another site in the same zone: the grid's series must not stand twice.
        grid: vec![grid.clone(), GridNow { site: "roof \"B\"".to_owned(), ..grid }],
        lines_waiting: Some(2),
        totals: Some(totals),
    };
    let least = Snapshot {
        node: "n2".to_owned(),
        gpus: vec![GpuNow {
            uuid: "GPU-9".to_owned(),
            power_w: Some(f64::NAN),
            energy_j: Some(f64::INFINITY),
            ..GpuNow::default()
        }],
        jobs: vec![JobNow { job: 8, work_done_ratio: Some(f64::NAN), ..JobNow::default() }],
        ..Snapshot::default()
    };
    [whole, least]
}

#[test]
fn the_example_page_is_what_the_example_shows() {
    let page = render(&example()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    // The file is also what independent parsers are given: tests/metrics.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/metrics/example.prom");
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(page, expected, "where the new page is right, write it to tests/metrics/example.prom:\n{page}");
}

#[test]
fn the_example_has_every_metric_once_under_its_head() {
    let page = render(&example());
    for family in FAMILIES {
        let head = format!("# TYPE {} {}\n{}", family.name, family.kind.name(), family.name);
        assert_eq!(page.matches(&head).count(), 1, "{}", family.name);
    }
    let series: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect();
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len(), "a series stands twice");
}

#[test]
fn what_is_not_known_or_no_number_is_absent() {
    let page = render(&example());
    let values = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    assert!(values.clone().all(|(_, value)| value.parse().is_ok_and(f64::is_finite)) && values.count() > 30, "{page}");
    let of_second: Vec<&str> = page.lines().filter(|line| line.contains("node=\"n2\"")).collect();
    assert_eq!(of_second, [r#"carm_gpu_info{node="n2",gpu_uuid="GPU-9",gpu="0"} 1"#]);
}

#[test]
fn names_and_units_follow_prometheus_rules() {
    let units = [
        "joules",
        "grams",
        "watts",
        "seconds",
        "ratio",
        "info",
        "megahertz",
        "per_kwh",
        "estimated",
        "available",
        "throttled",
        "waiting",
    ];
    for family in FAMILIES {
        let (name, kind) = (family.name, family.kind);
        assert!(name.starts_with("carm_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        let counted = name.strip_suffix("_total").is_some_and(|_| matches!(family.unit, "changes" | "errors" | "lines"));
        let base = name.strip_suffix("_total").unwrap_or(name);
        assert!(counted || units.iter().any(|unit| base.ends_with(unit)), "{name}");
        assert!(!family.help.contains('\n') && family.help.ends_with('.'), "{name}");
        let labels = family.labels.iter().all(|label| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        assert!(labels && !family.labels.contains(&"le") && !family.labels.contains(&"quantile"), "{name}");
    }
}

/// A label's value back from the page, by the format's own rule.
fn unescaped(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            '"' | '\n' => return None,
            c => value.push(c),
        }
    }
    Some(value)
}

proptest! {
    #[test]
    fn any_text_comes_back_from_a_label_and_stays_in_its_line(user in r#"[\\"n\n{},= a-z]{1,12}|.{1,12}"#, energy_j in any::<f64>()) {
        let job = JobNow { job: 7, user: Some(user.clone()), energy_j: Some(energy_j), ..JobNow::default() };
        let page = render(&[Snapshot { node: "n1".to_owned(), jobs: vec![job], ..Snapshot::default() }]);
        let lines: Vec<&str> = page.split_terminator('\n').filter(|line| line.starts_with("carm_job_")).collect();
        if energy_j.is_finite() {
            prop_assert_eq!(lines.len(), 1, "{}", page);
            let inner = lines[0].strip_prefix(r#"carm_job_energy_joules_total{node="n1",job_id="7",user=""#).expect("the labels");
            let (label, value) = inner.rsplit_once("\"} ").expect("a value");
            prop_assert_eq!(unescaped(label), Some(legible(&user)));
            prop_assert_eq!(value.parse::<f64>().expect("a number").to_bits(), energy_j.to_bits());
        } else {
            prop_assert_eq!(lines.len(), 0, "{}", page);
        }
    }
}
