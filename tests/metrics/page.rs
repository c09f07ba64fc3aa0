//! docs/metrics.md has every metric as the program's own table has it.

use super::families::FAMILIES;
use super::text;

#[test]
fn the_page_of_metrics_has_every_metric_as_it_is_and_no_other() {
    let row = |family: &super::families::Family| {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = family.kind.name();
        format!("| `{}` | {kind} | {} | {} | {} |", family.name, family.unit, labels.join(", "), family.help)
    };
    let expected: Vec<String> = FAMILIES.iter().map(row).collect();
    let page = text("docs/metrics.md");
    let shown: Vec<&str> = page.lines().filter(|line| line.starts_with("| `carm_")).collect();
    assert_eq!(shown, expected, "the table should be:\n{}", expected.join("\n"));
}

#[test]
fn every_metric_that_the_page_speaks_of_is_one() {
    let page = text("docs/metrics.md");
    let words = page.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| word.starts_with("carm_"));
    for word in words.filter(|word| *word != "carm_") {
        assert!(FAMILIES.iter().any(|family| word == family.name), "{word}");
    }
}
