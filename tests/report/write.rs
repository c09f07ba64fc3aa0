//! Writes a ledger of so many lines, of a year on sixteen nodes, to measure carm-report with:
//! `cargo run --release -p carm-report --example ledger -- DIR LINES`

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

#[allow(dead_code)] // it makes the small ledger of the tests, too
mod ledger;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use chrono::TimeDelta;
use ledger::{ECONOMICAL, FULL, Ran, at, seconds};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, dir, lines] = words.as_slice() else { panic!("give DIR and LINES") };
    let lines: u32 = lines.parse().expect("a number of lines");
    std::fs::create_dir_all(dir).expect("the folder");
    // Any fixed sequence does: Knuth's 64-bit linear congruence.
    let mut state = 1_u64;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut files: BTreeMap<String, BufWriter<std::fs::File>> = BTreeMap::new();
    let (mut written, mut job) = (0, 0);
    while written < lines {
        job += 1;
        let asked = at("2025-01-01T00:00:00Z") + TimeDelta::minutes(i64::from(written) * 525_600 / i64::from(lines));
        // Most jobs are short; one in fifty runs for days.
        let hours = if draw(50) == 0 { 20.0 + draw(100) as f64 } else { 0.2 + draw(60) as f64 / 10.0 };
        let ran = Ran {
            job,
            node: format!("gpu{:02}", draw(16)),
            user: format!("user{}", draw(40)),
            account: format!("group{}", draw(7)),
            name: format!("job-{}", draw(200)),
            asked,
            start: asked + seconds(900.0 * draw(60) as f64),
            hours,
            gpus: 1 + draw(2) as usize,
            clock: if draw(2) == 0 { FULL } else { ECONOMICAL },
            calibration: 0.6 + draw(60) as f64 / 100.0,
            onsite_w: 0.0,
        };
        for record in ran.lines() {
            let name = carm::ledger::file_name(&record.node, at(&record.end));
            let open = |name: &str| BufWriter::new(std::fs::File::create(Path::new(dir).join(name)).expect("a file"));
            let file = files.entry(name.clone()).or_insert_with(|| open(&name));
            serde_json::to_writer(&mut *file, &record).expect("a line");
            file.write_all(b"\n").expect("a line");
            written += 1;
        }
    }
    files.into_values().for_each(|mut file| file.flush().expect("a file"));
}
