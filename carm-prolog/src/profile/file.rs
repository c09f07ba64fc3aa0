//! The profile's file: where it goes, and what stands in it beside the figures. Nothing is written over unless asked to.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use carm::profile::{Profile, Remarks};
use carm::request::printable;
use chrono::Utc;

use super::arguments::Arguments;
use super::levels::{Outcome, percent};

/// Where the profile goes; none for standard output.
pub struct Output {
    path: Option<PathBuf>,
    force: bool,
}

/// The cards and their driver.
pub struct Provenance {
    pub model: String,
    pub cards: usize,
    pub driver: String,
    /// The site's word.
    pub gpu: Option<String>,
}

impl Output {
    /// Refuses at once what could not be written in the end: a sweep may take hours.
    pub fn of(arguments: &Arguments) -> Result<Self> {
        let named = PathBuf::from(format!("{}.toml", arguments.name.as_str()));
        let path = arguments.output.clone().unwrap_or(named);
        if path == Path::new("-") {
            return Ok(Self { path: None, force: false });
        }
        ensure!(arguments.force || !path.exists(), "{}: exists; give --force to write over it, or --output", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(folder.is_dir(), "{}: no such folder; give --output", folder.display());
        Ok(Self { path: Some(path), force: arguments.force })
    }

    /// Writes it. What cannot be written goes to standard output: the figures must not be lost.
    pub fn write(&self, text: &str) -> Result<()> {
        let Some(path) = &self.path else { return Ok(std::io::stdout().write_all(text.as_bytes())?) };
        let done = if self.force { replace(path, text) } else { create(path, text) };
        if done.is_err() {
            let _ = std::io::stdout().write_all(text.as_bytes());
        }
        done.with_context(|| format!("writing {}; the profile is on standard output", path.display()))
    }

    pub fn name(&self) -> String {
        self.path.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string())
    }
}

fn several(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn create(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

/// Whole or not at all for a planner that reads it meanwhile.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension(format!("toml.{}", std::process::id()));
    create(&beside, text).and_then(|()| std::fs::rename(&beside, path)).inspect_err(|_| _ = std::fs::remove_file(&beside))
}

/// The file's text, read back and compared: what is written is what the planner will have.
pub fn text(arguments: &Arguments, from: &Provenance, outcome: &Outcome) -> Result<String> {
    let how = match &arguments.live {
        Some(file) => format!("a running job by {}, {} s at each clock", file.display(), arguments.window.as_secs_f64()),
        None => {
            let words: Vec<_> = arguments.command.iter().map(|word| word.to_string_lossy()).collect();
            format!("command: {}", words.join(" "))
        }
    };
    let profile = Profile {
        name: arguments.name.clone(),
        gpu: from.gpu.clone(),
        model: Some(from.model.clone()),
        source: format!(
            "measured by carm-prolog profile {} on {}, driver {}, {}, {}, {}",
            env!("CARGO_PKG_VERSION"),
            Utc::now().format("%Y-%m-%d"),
            printable(&from.driver),
            several(from.cards, "GPU"),
            several(arguments.repeat as usize, "repeat"),
            how.chars().take(300).collect::<String>(),
        ),
        measured: true,
        default_workers: from.cards as u32,
        throughput: None,
        levels: outcome.levels.iter().map(super::levels::Measured::level).collect(),
        scaling: Default::default(),
    };
    let text = profile.to_toml(&remarks(outcome));
    let read = Profile::parse(&text, Path::new("the profile"))?;
    if read != profile {
        bail!("a bug: the profile reads back as another one:\n{text}");
    }
    Ok(text)
}

fn remarks(outcome: &Outcome) -> Remarks {
    let mut head = vec!["Watts of one GPU, and speed, are medians; +- is the standard deviation of the runs.".to_owned()];
    head.extend(outcome.fit.map(|fit| format!("fit: {fit}")));
    head.extend(best(outcome));
    head.extend(outcome.warnings.iter().map(|warning| format!("warning: {warning}")));
    let spread = |spread: Option<f64>| spread.map_or(String::new(), |spread| format!(" +- {}", percent(spread)));
    let levels = outcome.levels.iter().map(|level| {
        let seen = level.seen_mhz.map_or("SM clock not seen".to_owned(), |mhz| format!("SM clock {mhz} MHz"));
        format!("time {:.4} s{}, power{}, {seen}", level.seconds, spread(level.seconds_spread), spread(level.watts_spread))
    });
    Remarks { head, levels: levels.collect() }
}

/// The clock of least energy, as far as the GPU alone goes.
pub fn best(outcome: &Outcome) -> Option<String> {
    let energy = |level: &super::levels::Measured| level.watts / level.speed;
    let best = outcome.levels.iter().min_by(|a, b| energy(a).total_cmp(&energy(b)))?;
    let top = outcome.levels.last()?;
    let saved = 1.0 - energy(best) / energy(top);
    Some(format!("least GPU energy for the work: {} MHz, {} less than at {} MHz", best.clock_mhz, percent(saved), top.clock_mhz))
}
