//! Sums over jobs: streams the ledger, joins what belongs together, and keeps a few bytes a run.
//!
//! A line is booked where its span ends, so that months add up to the year. A run is compared with the runs that were not once all its
//! lines are there, in the group of its last one. Most runs have one line: these are done with at once. The lines of a
//! run of days wait, without their text, for the one that closes it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use carm::ledger::{Intensity, Span};

use crate::choose::Choice;
use crate::cli::{Shape, TotalsCall};
use crate::exit::Refusal;
use crate::files::{self, LeftOut};
use crate::place::{self, Found};
use crate::rows::{self, Kind, Row, Rows, told};
use crate::{scan, table, words};

/// What one row is to stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    User,
    Account,
    Site,
    Cluster,
    Partition,
    Name,
    Month,
    Day,
}

impl By {
    /// The names of all.
    pub const NAMES: [&'static str; 8] = ["user", "account", "site", "cluster", "partition", "name", "month", "day"];

    /// By its name.
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::User, Self::Account, Self::Site, Self::Cluster, Self::Partition, Self::Name, Self::Month, Self::Day];
        Self::NAMES.iter().position(|known| *known == name).map(|at| all[at])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A sum.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    /// What it is of.
    pub label: String,
    pub intensity: Intensity,
    pub runs: u64,
    pub gpu_h: f64,
    pub gpu_kwh: f64,
    pub energy_kwh: f64,
    pub carbon_g: f64,
    pub embodied_g: f64,
    /// Facility energy for which the grid was estimated, kWh.
    pub estimated_kwh: f64,
    /// Lines in which a GPU's energy is not known, and without a grid.
    pub lost: u64,
    pub no_grid: u64,
    /// Over the runs that could be compared.
    pub compared: Against,
    jobs: Jobs,
}

/// What runs emitted, and the runs that were not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against {
    pub carbon_g: f64,
    pub full_g: f64,
    pub economical_g: f64,
}

impl Sum {
    fn book(&mut self, row: &Row) {
        self.gpu_h += row.gpu_h;
        self.gpu_kwh += row.gpu_kwh;
        self.energy_kwh += row.energy_kwh;
        self.carbon_g += row.carbon_g;
        self.embodied_g += row.embodied_g;
        self.estimated_kwh += row.estimated_kwh;
        self.lost += u64::from(row.lost);
        self.no_grid += u64::from(row.no_grid);
        self.jobs.add(row.job, Told::Neither);
    }

    fn compare(&mut self, job: u64, carbon_g: f64, told: Option<(f64, f64)>) {
        self.runs += 1;
        if let Some((full_g, economical_g)) = told {
            self.compared.carbon_g += carbon_g;
            self.compared.full_g += full_g;
            self.compared.economical_g += economical_g;
        }
        self.jobs.add(job, if told.is_some() { Told::Yes } else { Told::No });
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.gpu_h += other.gpu_h;
        self.gpu_kwh += other.gpu_kwh;
        self.energy_kwh += other.energy_kwh;
        self.carbon_g += other.carbon_g;
        self.embodied_g += other.embodied_g;
        self.estimated_kwh += other.estimated_kwh;
        self.lost += other.lost;
        self.no_grid += other.no_grid;
        self.compared.carbon_g += other.compared.carbon_g;
        self.compared.full_g += other.compared.full_g;
        self.compared.economical_g += other.compared.economical_g;
        self.jobs.keys.extend_from_slice(&other.jobs.keys);
    }

    /// How many jobs, and how many of them could be compared, all of their runs.
    pub fn jobs(&self) -> (u64, u64) {
        self.jobs.count()
    }
}

/// Jobs that were seen: eight bytes for each, and what was told of it in the lowest two bits.
#[derive(Debug, Clone, Default)]
struct Jobs {
    keys: Vec<u64>,
    tidy: usize,
}

#[derive(Debug, Clone, Copy)]
enum Told {
    Neither = 0,
    Yes = 1,
    No = 2,
}

impl Jobs {
    fn add(&mut self, job: u64, told: Told) {
        let key = job & !3 | told as u64;
        // A line is booked, then compared: the second says more.
        match self.keys.last_mut() {
            Some(last) if *last == key => {}
            Some(last) if *last & !3 == job & !3 && *last & 3 == 0 => *last = key,
            _ => self.keys.push(key),
        }
        if self.keys.len() >= (2 * self.tidy).max(1 << 16) {
            self.keys.sort_unstable();
            self.keys.dedup();
            self.tidy = self.keys.len();
        }
    }

    fn count(&self) -> (u64, u64) {
        let mut keys = self.keys.clone();
        keys.sort_unstable();
        let each = keys.chunk_by(|a, b| a & !3 == b & !3);
        each.fold((0, 0), |(jobs, told), of_job| {
            let has = |wanted: Told| of_job.iter().any(|key| key & 3 == wanted as u64);
            (jobs + 1, told + u64::from(has(Told::Yes) && !has(Told::No)))
        })
    }
}

/// The sums, group by group, and their sum; where both intensities occur, one for each.
#[derive(Debug)]
pub struct Totals {
    pub groups: Vec<Sum>,
    pub all: Vec<Sum>,
    pub by: Option<By>,
    pub left_out: LeftOut,
}

/// Reports sums.
pub fn run(call: &TotalsCall) -> Result<String, Refusal> {
    let place = place::find(&call.place)?;
    let totals = add_up(&call.choice, call.by, &place)?;
    totals.left_out.warn();
    match call.shape {
        Shape::Text => Ok(table::text(&totals, &call.choice)),
        Shape::Json => table::json(&totals, &call.choice),
        Shape::Csv => Ok(table::csv(&totals)?),
    }
}

fn add_up(choice: &Choice, by: Option<By>, place: &Found) -> Result<Totals, Refusal> {
    let (files, mut left_out) = files::open(&place.ledger, choice.window)?;
    let mut book = Book::default();
    scan::scan(&files, &mut left_out, |piece| rows::rows(piece, choice, by, place), |rows| book.take(rows));
    let mut groups = book.close();
    groups.sort_by(|a, b| (&a.label, words::intensity(a.intensity)).cmp(&(&b.label, words::intensity(b.intensity))));
    let mut all: Vec<Sum> = Vec::new();
    for group in &groups {
        let same = |sum: &&mut Sum| sum.intensity == group.intensity;
        match all.iter_mut().find(same) {
            Some(sum) => sum.add(group),
            None => all.push(Sum { label: "all".to_owned(), ..group.clone() }),
        }
    }
    Ok(Totals { groups: if by.is_some() { groups } else { Vec::new() }, all, by, left_out })
}

/// What is known across pieces.
#[derive(Default)]
struct Book {
    groups: Vec<Sum>,
    numbers: HashMap<(String, Intensity), usize>,
    seen: HashSet<u64, BuildHasherDefault<Identity>>,
    /// Parts of runs that have not been seen to begin, with the group and the job of each.
    open: HashMap<u64, Vec<(Span, f64, usize, u64)>>,
}

impl Book {
    fn take(&mut self, rows: Rows) {
        let numbers: Vec<usize> = rows.groups.into_iter().map(|key| self.number(key)).collect();
        // From the last line on, as the pieces come: of a span that stands twice the line that was written last counts.
        for row in rows.rows.into_iter().rev() {
            if !self.seen.insert(row.span) {
                continue;
            }
            let group = numbers[row.group];
            let sum = &mut self.groups[group];
            sum.book(&row);
            match row.kind {
                Kind::Whole(told) => sum.compare(row.job, row.carbon_g, told),
                Kind::Bare => {}
                Kind::Part(part) => {
                    let (span, onsite) = *part;
                    let headed = span.headed;
                    let parts = self.open.entry(row.run).or_default();
                    parts.push((span, onsite, group, row.job));
                    // What begins it is the last to come, except where clocks went wrong.
                    if headed && parts.iter().any(|(span, ..)| span.closed) {
                        let parts = self.open.remove(&row.run).unwrap_or_default();
                        self.settle(parts);
                    }
                }
            }
        }
    }

    fn number(&mut self, key: (String, Intensity)) -> usize {
        let next = self.groups.len();
        *self.numbers.entry(key).or_insert_with_key(|(label, intensity)| {
            self.groups.push(Sum { label: label.clone(), intensity: *intensity, ..Sum::default() });
            next
        })
    }

    /// Joins the parts of a run and compares it, in the group of its last part.
    fn settle(&mut self, mut parts: Vec<(Span, f64, usize, u64)>) {
        parts.sort_by_key(|(span, ..)| (span.begin_ms, span.end_ms));
        let Some(&(_, onsite, group, job)) = parts.last() else { return };
        let Some(whole) = parts.into_iter().map(|(span, ..)| span).reduce(|mut sum, next| {
            sum.add(next);
            sum
        }) else {
            return;
        };
        let told = told(&whole, onsite);
        self.groups[group].compare(job, whole.carbon_g, told);
    }

    fn close(mut self) -> Vec<Sum> {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by_key(|(run, _)| *run);
        open.into_iter().for_each(|(_, parts)| self.settle(parts));
        self.groups
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
