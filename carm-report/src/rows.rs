//! The ledger's lines boiled down to rows: what of a line is added up, the group that it is added to, and, of a run that is whole, what
//! it would have emitted otherwise.
//!
//! Made on the threads that read; what must be seen across pieces (twice-written spans, runs of days) is left to [`crate::totals`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use carm::ledger::{Intensity, Line, Span, Text};
use chrono::Local;

use crate::choose::Choice;
use crate::place::Found;
use crate::scan::{self, Made};
use crate::totals::By;
use crate::words;

/// A line, boiled down.
#[derive(Debug)]
pub struct Row {
    /// Hashes of cluster and job; of these, run and node; of these and the span's begin.
    pub job: u64,
    pub run: u64,
    pub span: u64,
    /// Which of its piece's groups it is of.
    pub group: usize,
    pub gpu_h: f64,
    pub gpu_kwh: f64,
    pub energy_kwh: f64,
    pub carbon_g: f64,
    pub embodied_g: f64,
    pub estimated_kwh: f64,
    pub lost: bool,
    pub no_grid: bool,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// A whole run, and what it would have emitted otherwise.
    Whole(Option<(f64, f64)>),
    /// A part of a run of days; on-site intensity of its site.
    Part(Box<(Span, f64)>),
    /// No prolog ran: nothing is known.
    Bare,
}

/// What a piece of a file comes to.
#[derive(Debug, Default)]
pub struct Rows {
    pub groups: Vec<(String, Intensity)>,
    pub rows: Vec<Row>,
}

/// What a whole run would have emitted at full clock and at the economical one, g.
pub fn told(whole: &Span, onsite_g_per_kwh: f64) -> Option<(f64, f64)> {
    whole.baselines(onsite_g_per_kwh).ok().map(|told| (told.full.carbon_g, told.economical.carbon_g))
}

/// The rows of a piece of a file.
pub fn rows(piece: &[u8], choice: &Choice, by: Option<By>, place: &Found) -> Made<Rows> {
    let mut made = Made { result: Rows::default(), lines: memchr::memchr_iter(b'\n', piece).count(), bad: Vec::new() };
    let (mut group, mut head) = (Groups::new(by), Vec::new());
    for (at, text) in scan::lines(piece) {
        let line = match Line::parse(text, &mut head) {
            Ok(line) => line,
            Err(cause) => {
                made.bad.push((at, cause));
                continue;
            }
        };
        if !choice.wants(&line) {
            continue;
        }
        match Span::of_line(&line) {
            Ok(span) if choice.window.holds(span.end_ms) => {
                let group = group.of(&line, &span, &mut made.result.groups);
                made.result.rows.push(row(&line, span, group, place));
            }
            Ok(_) => {}
            Err(cause) => made.bad.push((at, cause)),
        }
    }
    made
}

fn row(line: &Line, span: Span, group: usize, place: &Found) -> Row {
    let mut hasher = DefaultHasher::new();
    (line.cluster.as_str(), line.job).hash(&mut hasher);
    let job = hasher.finish();
    (line.run, line.node.as_str()).hash(&mut hasher);
    let run = hasher.finish();
    span.begin_ms.hash(&mut hasher);
    let onsite = || place.onsite_g_per_kwh(line.site.as_ref().map(Text::as_str));
    Row {
        job,
        run,
        span: hasher.finish(),
        group,
        gpu_h: span.gpu_h,
        gpu_kwh: span.gpu_energy_j / 3.6e6,
        energy_kwh: span.energy_kwh,
        carbon_g: span.carbon_g,
        embodied_g: span.embodied_g,
        estimated_kwh: if span.seconds > 0.0 { span.energy_kwh * span.estimated_s / span.seconds } else { 0.0 },
        lost: span.gpus.lost,
        no_grid: span.no_grid,
        kind: if span.is_bare() {
            Kind::Bare
        } else if span.headed && span.closed {
            Kind::Whole(told(&span, onsite()))
        } else {
            Kind::Part(Box::new((span, onsite())))
        },
    }
}

/// Finds a line's group among those of its piece.
struct Groups {
    by: Option<By>,
    numbers: HashMap<(String, Intensity), usize>,
    /// The last line's, which mostly is the next one's, too.
    last: Option<(usize, String, Intensity)>,
}

impl Groups {
    fn new(by: Option<By>) -> Self {
        Self { by, numbers: HashMap::new(), last: None }
    }

    fn of(&mut self, line: &Line, span: &Span, groups: &mut Vec<(String, Intensity)>) -> usize {
        let label = self.label(line, span);
        let label = label.as_ref();
        if let Some((number, last, intensity)) = &self.last
            && last == label
            && *intensity == span.intensity
        {
            return *number;
        }
        let key = (label.to_owned(), span.intensity);
        let number = *self.numbers.entry(key.clone()).or_insert_with(|| {
            groups.push(key.clone());
            groups.len() - 1
        });
        self.last = Some((number, key.0, key.1));
        number
    }

    fn label<'l>(&self, line: &'l Line, span: &Span) -> Cow<'l, str> {
        let or = |text: &'l Option<Text>| text.as_ref().map_or("(none)", Text::as_str).into();
        let day = |format: &str| {
            let end: chrono::DateTime<chrono::Utc> = words::instant(span.end_ms);
            end.with_timezone(&Local).format(format).to_string().into()
        };
        match self.by {
            None => "".into(),
            Some(By::User) => match (&line.user, line.uid) {
                (Some(user), _) => user.as_str().into(),
                (None, Some(uid)) => format!("uid {uid}").into(),
                (None, None) => "(none)".into(),
            },
            Some(By::Account) => or(&line.account),
            Some(By::Site) => or(&line.site),
            Some(By::Cluster) => line.cluster.as_str().into(),
            Some(By::Partition) => or(&line.partition),
            Some(By::Name) => or(&line.name),
            Some(By::Month) => day("%Y-%m"),
            Some(By::Day) => day("%Y-%m-%d"),
        }
    }
}
