//! etc/grafana/carm.json: what Grafana and Prometheus would complain of on loading it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::families::{FAMILIES, Kind};
use super::text;

fn dashboard() -> Value {
    serde_json::from_str(&text("etc/grafana/carm.json")).expect("JSON")
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().expect("panels")
}

/// Every PromQL expression, with the panel that shows it.
pub fn expressions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let mut all = Vec::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push((title.to_owned(), target["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    all
}

/// The metrics that may be asked for, as series are named.
fn series() -> BTreeSet<String> {
    let names = FAMILIES.iter().flat_map(|family| match family.kind {
        Kind::Summary => vec![format!("{}_sum", family.name), format!("{}_count", family.name)],
        Kind::Counter | Kind::Gauge => vec![family.name.to_owned()],
    });
    names.collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()))
}

#[test]
fn every_expression_asks_for_metrics_and_labels_that_there_are() {
    let known = series();
    let labels: BTreeSet<&str> = FAMILIES.iter().flat_map(|family| family.labels.iter().copied()).collect();
    let language = ["by", "sum", "min", "max", "count", "rate", "increase", "time", "or", "vector"];
    let expressions = expressions();
    assert!(expressions.len() >= 15);
    let mut asked = BTreeSet::new();
    for (title, expression) in &expressions {
        // Strings hold values, and the variable $node.
        let bare: String = expression.split('"').step_by(2).collect();
        for word in words(&bare) {
            let is_known = known.contains(word) || labels.contains(word) || language.contains(&word);
            assert!(is_known, "{title}: '{word}' in {expression}");
            asked.extend(known.get(word));
        }
        assert!(words(&bare).any(|word| known.contains(word)), "{title}: {expression}");
        for (open, close) in ['(', '{', '['].into_iter().zip([')', '}', ']']) {
            let depths = bare.chars().scan(0, |depth, c| {
                *depth += i32::from(c == open) - i32::from(c == close);
                Some(*depth)
            });
            let depths: Vec<i32> = depths.collect();
            assert!(depths.iter().all(|&depth| depth >= 0) && depths.last() == Some(&0), "{title}: {expression}");
        }
    }
    // Joins to other exporters' metrics, and what is behind another figure, need no panel.
    let unseen: Vec<&String> = known.iter().filter(|name| !asked.contains(name)).collect();
    let expected = ["carm_grid_data_available", "carm_job_embodied_carbon_grams_total", "carm_job_gpu_info"];
    assert_eq!(unseen, expected);
}

#[test]
fn a_legend_names_labels_that_its_expression_leaves() {
    let dashboard = dashboard();
    for target in panels(&dashboard).iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
        let (legend, expression) = (target["legendFormat"].as_str().unwrap(), target["expr"].as_str().unwrap());
        let kept: Option<Vec<&str>> =
            expression.split_once("by (").map(|(_, rest)| words(rest.split(')').next().unwrap()).collect());
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            let of_metric = || {
                let family =
                    FAMILIES.iter().filter(|family| expression.contains(family.name)).max_by_key(|family| family.name.len());
                family.unwrap().labels.contains(&label)
            };
            let is_kept = kept.as_ref().map_or_else(of_metric, |kept| kept.contains(&label));
            assert!(is_kept, "{{{{{label}}}}} is not left by {expression}");
        }
    }
}

#[test]
fn every_datasource_is_the_variable() {
    fn walk(value: &Value, found: &mut usize) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name == "datasource" {
                        assert_eq!(value, &serde_json::json!({"type": "prometheus", "uid": "${datasource}"}));
                        *found += 1;
                    }
                    walk(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let dashboard = dashboard();
    let mut found = 0;
    walk(&dashboard, &mut found);
    assert!(found > 2 * 15, "{found}: each panel and each expression has one");
    for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
        assert!(panel["datasource"].is_object(), "{}", panel["title"]);
        assert!(panel["targets"].as_array().unwrap().iter().all(|target| target["datasource"].is_object()), "{}", panel["title"]);
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let named: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["datasource", "node"]);
    assert_eq!((&variables[0]["type"], &variables[0]["query"]), (&"datasource".into(), &"prometheus".into()));
    let asked = variables[1]["query"]["query"].as_str().unwrap();
    assert!(asked.starts_with("label_values(") && words(asked).any(|word| series().contains(word)), "{asked}");
}

#[test]
fn panels_have_an_id_each_and_do_not_overlap() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id stands twice");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().expect("a place"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}: a dashboard is 24 wide");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} overlaps another panel at {cell:?}");
        }
    }
}
