//! What a line says of its span in figures, and how the spans of one run on one node add up to the run.
//!
//! Decided here: what is added, what must be there for the run to be whole, and on which grid it is compared. Which lines belong
//! together is [`super::join`]'s, or, for a million of them, the program's.

use super::line::{Gpus, GridLine, Levels, Line, StepLine};
use super::{Intensity, Mark, Record};
use crate::counterfactual::{self, Baselines, Stretch, Untold, Work};
use crate::quantity::parse_instant;

/// Spans that are less than this apart follow one another: a line's times have milliseconds, its writer takes a moment.
const SEAM_MS: i64 = 1_000;

/// A span of a run on one node, or several that were added up. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Where it begins; none where no prolog ran, and then nothing is booked.
    pub begin_ms: Option<i64>,
    /// Where it ends.
    pub end_ms: i64,
    /// Whether it begins where the run does.
    pub headed: bool,
    /// Whether the run ended with it.
    pub closed: bool,
    /// Time that is covered by lines, s.
    pub seconds: f64,
    /// Time between lines that none covers, s.
    pub gap_s: f64,
    /// GPUs of the node; of several spans, the last one's.
    pub gpus: Gpus,
    /// GPU time by shares, h.
    pub gpu_h: f64,
    /// Measured, J.
    pub gpu_energy_j: f64,
    /// At the facility, kWh.
    pub energy_kwh: f64,
    /// Operational carbon, g.
    pub carbon_g: f64,
    /// By this intensity.
    pub intensity: Intensity,
    /// Embodied carbon, g.
    pub embodied_g: f64,
    /// Host power per GPU, W.
    pub host_watts: f64,
    /// Facility power over IT power.
    pub pue: f64,
    /// Time for which the grid was estimated, s.
    pub estimated_s: f64,
    /// Whether there was no grid data: carbon is 0 because nothing is known.
    pub no_grid: bool,
    /// Work done, s at full clock; none unless every span tells.
    pub work_done_s: Option<f64>,
    /// GPU energy by the profile, J; none unless every span tells.
    pub modelled_gpu_energy_j: Option<f64>,
    /// The profile's two levels.
    pub levels: Option<Levels>,
    /// The grid from the instant at which the job could have started.
    grid: Vec<Stretch>,
    /// The grid of the run itself, where that instant is its start.
    own: Vec<Stretch>,
    /// On-site energy that was used, kWh, and what it emitted, g.
    onsite: (f64, f64),
}

impl Span {
    /// Of a line.
    ///
    /// # Errors
    /// A time that is none.
    pub fn of_line(line: &Line) -> Result<Self, String> {
        let time = |text: &Option<super::line::Text>| text.as_ref().map(|text| instant_ms(text.as_str())).transpose();
        let (start, since) = (time(&line.start)?, time(&line.since)?);
        let end_ms = instant_ms(line.end.as_str())?;
        let at_start = time(&line.asked)?.is_none_or(|asked| start.is_some_and(|start| (asked - start).abs() < SEAM_MS));
        let begin_ms = since.or(start);
        let seconds = begin_ms.map_or(0.0, |begin| (end_ms - begin).max(0) as f64 / 1e3);
        // The pieces are the most of a line, and mostly nobody needs them.
        let wanted = !line.closed || (line.grid.is_empty() && at_start) || line.grid.iter().any(|step| step.onsite_w > 0.0);
        let steps = if wanted { line.read_steps() } else { Vec::new() };
        let mut span = Self {
            begin_ms,
            end_ms,
            headed: since.is_none(),
            closed: line.closed,
            seconds,
            gap_s: 0.0,
            gpus: line.gpus,
            gpu_h: line.gpus.shares * seconds / 3600.0,
            gpu_energy_j: line.gpu_energy_j,
            energy_kwh: line.energy_kwh,
            carbon_g: line.carbon_g,
            intensity: line.intensity,
            embodied_g: line.embodied_g,
            host_watts: line.host_watts,
            pue: line.pue,
            estimated_s: line.estimated_share * seconds,
            no_grid: line.marks.contains(&Mark::NoGrid),
            work_done_s: line.work_done_s,
            modelled_gpu_energy_j: line.modelled_gpu_energy_j,
            levels: line.profile,
            grid: line.grid.iter().map(|&step| step.into()).collect(),
            own: Vec::new(),
            onsite: (0.0, 0.0),
        };
        span.gpus.lost |= line.marks.contains(&Mark::EnergyLost);
        span.onsite = span.onsite_of(&steps);
        if at_start {
            span.own = steps.iter().map(StepLine::stretch).collect();
        }
        Ok(span)
    }

    /// Of a record.
    ///
    /// # Errors
    /// A time that is none, or a figure that JSON does not have.
    pub fn of(record: &Record) -> Result<Self, String> {
        let text = serde_json::to_vec(record).map_err(|error| error.to_string())?;
        Self::of_line(&Line::parse(&text, &mut Vec::new())?)
    }

    /// Adds the span that comes next in the same run on the same node.
    pub fn add(&mut self, next: Self) {
        let between = next.begin_ms.map_or(0, |begin| begin - self.end_ms);
        self.gap_s += next.gap_s + if between >= SEAM_MS { between as f64 / 1e3 } else { 0.0 };
        self.end_ms = self.end_ms.max(next.end_ms);
        self.closed |= next.closed;
        self.seconds += next.seconds;
        self.gpus = Gpus { lost: self.gpus.lost || next.gpus.lost, ..next.gpus };
        self.gpu_h += next.gpu_h;
        self.gpu_energy_j += next.gpu_energy_j;
        self.energy_kwh += next.energy_kwh;
        self.carbon_g += next.carbon_g;
        self.intensity = next.intensity;
        self.embodied_g += next.embodied_g;
        (self.host_watts, self.pue) = (next.host_watts, next.pue);
        self.estimated_s += next.estimated_s;
        self.no_grid |= next.no_grid;
        self.work_done_s = self.work_done_s.zip(next.work_done_s).map(|(a, b)| a + b);
        self.modelled_gpu_energy_j = self.modelled_gpu_energy_j.zip(next.modelled_gpu_energy_j).map(|(a, b)| a + b);
        self.levels = next.levels.or(self.levels);
        self.grid.extend(next.grid);
        self.own.extend(next.own);
        self.onsite = (self.onsite.0 + next.onsite.0, self.onsite.1 + next.onsite.1);
    }

    /// Whether this is a run from its start to its end, without a gap.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.begin_ms.is_some() && self.headed && self.closed && self.gap_s == 0.0
    }

    /// Whether nothing but that the run was there is known: its prolog never ran.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.begin_ms.is_none()
    }

    /// What the same work would have emitted otherwise; see [`counterfactual`]. `onsite_g_per_kwh` counts where the run's
    /// own pieces do not tell what on-site power emits.
    ///
    /// # Errors
    /// Where the lines do not carry a comparison.
    pub fn baselines(&self, onsite_g_per_kwh: f64) -> Result<Baselines, Untold> {
        if !self.is_whole() {
            return Err(Untold::Incomplete);
        }
        if self.gpus.lost || self.gpus.count == 0 {
            return Err(Untold::NoEnergy);
        }
        if self.no_grid {
            return Err(Untold::NoGrid);
        }
        let (Some(done_s), Some(modelled_gpu_energy_j), Some(levels)) =
            (self.work_done_s, self.modelled_gpu_energy_j, self.levels)
        else {
            return Err(Untold::NoProfile);
        };
        let work = Work {
            done_s,
            gpu_energy_j: self.gpu_energy_j,
            modelled_gpu_energy_j,
            gpus: self.gpus.shares,
            host_watts: self.host_watts,
            pue: self.pue,
            full: levels.full,
            economical: levels.economical,
            onsite_g_per_kwh: self.onsite_seen().unwrap_or(onsite_g_per_kwh),
        };
        counterfactual::baselines(&work, if self.grid.is_empty() { &self.own } else { &self.grid })
    }

    /// What a kWh of on-site power emitted by the run's own pieces, g.
    fn onsite_seen(&self) -> Option<f64> {
        let (kwh, carbon_g) = self.onsite;
        let seen = carbon_g / kwh;
        (kwh > 0.0 && (0.0..=2_000.0).contains(&seen)).then_some(seen)
    }

    /// On-site energy of pieces, kWh, and what is left of their carbon for it, g.
    fn onsite_of(&self, steps: &[StepLine]) -> (f64, f64) {
        let each = steps.iter().filter(|step| step.onsite_w > 0.0).map(|step| {
            let used_j = self.pue * (step.gpu_energy_j + self.host_watts * self.gpus.shares * step.seconds);
            let onsite_j = used_j.min(step.onsite_w * step.seconds);
            (onsite_j / 3.6e6, step.carbon_g - step.g_per_kwh * (used_j - onsite_j) / 3.6e6)
        });
        each.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl StepLine {
    fn stretch(&self) -> Stretch {
        let Self { seconds, g_per_kwh, onsite_w, estimated, .. } = *self;
        GridLine { seconds, g_per_kwh, onsite_w, estimated }.into()
    }
}

/// Milliseconds since 1970 of an RFC 3339 time. CARM's own form, `2026-05-01T18:00:00.000Z`, is read digit by digit: a
/// million lines have two million times.
fn instant_ms(text: &str) -> Result<i64, String> {
    own_form(text.as_bytes())
        .or_else(|| parse_instant(text).ok().map(|instant| instant.timestamp_millis()))
        .ok_or_else(|| format!("'{}' is no time", crate::request::printable(text)))
}

fn own_form(text: &[u8]) -> Option<i64> {
    let shape = b"0000-00-00T00:00:00.000Z";
    let fits = |(&a, &b): (&u8, &u8)| if b == b'0' { a.is_ascii_digit() } else { a == b };
    if text.len() != shape.len() || !text.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].iter().fold(0_u32, |n, digit| n * 10 + u32::from(digit - b'0'));
    let day = chrono::NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)).ok()?, number(5, 7), number(8, 10))?;
    let time = day.and_hms_milli_opt(number(11, 13), number(14, 16), number(17, 19), number(20, 23))?;
    Some(time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_carms_own_form_are_read_as_any_other() {
        for text in
            ["2026-05-01T18:00:00.000Z", "1970-01-01T00:00:00.001Z", "2024-02-29T23:59:59.999Z", "2000-12-31T00:00:00.500Z"]
        {
            assert_eq!(own_form(text.as_bytes()), Some(parse_instant(text).expect("a time").timestamp_millis()), "{text}");
        }
        for text in ["2026-02-30T00:00:00.000Z", "2026-05-01T24:00:00.000Z", "2026-05-01T18:00:00.000+", "2026-05-01T18:00:00Z"] {
            assert_eq!(own_form(text.as_bytes()), None, "{text}");
        }
        assert_eq!(instant_ms("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(instant_ms("soon").expect_err("no time"), "'soon' is no time");
    }
}
