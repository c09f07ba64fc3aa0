//! What a run has used so far: energy, carbon and work added up piece by piece, as the meters tell them. Node and simulator
//! count by it alike, and a line of the ledger is what it says.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::quantity::{format_instant, parse_instant};
use crate::site::Outlook;

/// No line has more pieces than this; past it the shortest neighbours are joined.
const MOST_STEPS: usize = 1500;

/// What surrounds the GPUs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facility {
    /// Host power per allocated GPU, in watts.
    pub host_watts: f64,
    /// Power usage effectiveness.
    pub pue: f64,
    /// Embodied carbon per GPU-hour, in grams.
    pub embodied_g_per_gpu_h: f64,
}

/// A piece of a run between two readings of its meters: power, clock and share hold throughout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Its begin.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// Joules of the job's GPUs.
    pub gpu_energy_j: f64,
    /// GPUs, each by its share where jobs shared it.
    pub gpus: f64,
    /// Part of the site's on-site power that the job counts on, 0..=1.
    pub onsite_share: f64,
    /// Mean SM clock that was seen, in MHz.
    pub clock_mhz: Option<u32>,
    /// Speed relative to full clock, by the profile's word.
    pub speed: f64,
    /// The same as far as it is sure: [`crate::govern::guaranteed_speed`].
    pub sure_speed: f64,
    /// Power of the GPUs by the profile, in watts; none without one.
    pub modelled_w: Option<f64>,
}

/// What a run has used in a span.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Joules of the GPUs.
    pub gpu_energy_j: f64,
    /// Facility energy in kWh.
    pub energy_kwh: f64,
    /// Facility carbon in grams.
    pub carbon_g: f64,
    /// Embodied carbon in grams.
    pub embodied_g: f64,
    /// Seconds at full clock done, by the profile.
    pub work_done_s: f64,
    /// Seconds at full clock surely done.
    pub sure_work_s: f64,
    /// Joules that the profile would have had the GPUs use; none if it is not known for a part of the span.
    pub modelled_gpu_energy_j: Option<f64>,
    /// Hours counted.
    pub hours: f64,
    /// Hours for which the grid was estimated.
    pub estimated_h: f64,
    /// Hours for which no grid was known at all: they have no carbon.
    #[serde(default)]
    pub unknown_h: f64,
    /// The pieces.
    pub steps: Vec<Step>,
}

impl Tally {
    /// Adds a piece, cut at the grid's own steps. Without an outlook its energy is counted and its carbon is not known.
    pub fn add(&mut self, piece: &Piece, facility: &Facility, outlook: Option<&Outlook>) {
        let hours = (piece.to - piece.from).as_seconds_f64() / 3600.0;
        if hours <= 0.0 {
            // Two readings at one instant, or a clock that was set back: the energy counts, the time does not.
            self.gpu_energy_j += piece.gpu_energy_j;
            self.energy_kwh += facility.pue * piece.gpu_energy_j / 3.6e6;
            return;
        }
        let modelled = piece.modelled_w.map(|watts| watts * hours * 3600.0);
        self.modelled_gpu_energy_j = match (self.hours > 0.0, self.modelled_gpu_energy_j, modelled) {
            (false, _, modelled) => modelled,
            (true, Some(before), Some(more)) => Some(before + more),
            _ => None,
        };
        let gpu_w = piece.gpu_energy_j / (hours * 3600.0);
        let power_w = facility.pue * (gpu_w + facility.host_watts * piece.gpus);
        self.gpu_energy_j += piece.gpu_energy_j;
        self.energy_kwh += power_w * hours / 1000.0;
        self.embodied_g += facility.embodied_g_per_gpu_h * piece.gpus * hours;
        self.work_done_s += piece.speed * hours * 3600.0;
        self.sure_work_s += piece.sure_speed * hours * 3600.0;
        self.hours += hours;
        let Some(outlook) = outlook else {
            self.unknown_h += hours;
            return;
        };
        for span in outlook.spans_between(piece.from, piece.to, piece.onsite_share) {
            let span_h = (span.to - span.from).as_seconds_f64() / 3600.0;
            let onsite_w = power_w.min(span.onsite_w);
            let carbon_g = (span.g_per_kwh * (power_w - onsite_w) + outlook.onsite_g_per_kwh * onsite_w) / 1000.0 * span_h;
            self.carbon_g += carbon_g;
            self.estimated_h += if span.estimated { span_h } else { 0.0 };
            self.push(Step {
                from: format_instant(span.from),
                seconds: span_h * 3600.0,
                clock_mhz: piece.clock_mhz,
                gpu_energy_j: gpu_w * span_h * 3600.0,
                carbon_g,
                g_per_kwh: span.g_per_kwh,
                onsite_w: span.onsite_w,
                estimated: span.estimated,
            });
        }
    }

    /// The share of the time for which the grid was estimated, 0..=1.
    #[must_use]
    pub fn estimated_share(&self) -> f64 {
        if self.hours > 0.0 { (self.estimated_h / self.hours).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// A step that goes on where the last one ended, on the same grid and at the same clock, makes it longer.
    fn push(&mut self, step: Step) {
        match self.steps.last_mut() {
            Some(last) if follows(last, &step) && same(last, &step) => join(last, &step),
            _ => self.steps.push(step),
        }
        if self.steps.len() > MOST_STEPS {
            self.shorten();
        }
    }

    /// Joins the two neighbours that are shortest together.
    fn shorten(&mut self) {
        let length = |pair: &[Step]| pair[0].seconds + pair[1].seconds;
        let pairs = self.steps.windows(2).enumerate();
        let Some((at, _)) = pairs.min_by(|(_, a), (_, b)| length(a).total_cmp(&length(b))) else { return };
        let step = self.steps.remove(at + 1);
        let first = &mut self.steps[at];
        let whole = first.seconds + step.seconds;
        let mean = |a: f64, b: f64| if whole > 0.0 { (a * first.seconds + b * step.seconds) / whole } else { a };
        (first.g_per_kwh, first.onsite_w) = (mean(first.g_per_kwh, step.g_per_kwh), mean(first.onsite_w, step.onsite_w));
        first.estimated |= step.estimated;
        first.clock_mhz = first.clock_mhz.zip(step.clock_mhz).map(|(a, b)| mean(f64::from(a), f64::from(b)).round() as u32);
        join(first, &step);
    }
}

/// Clocks that differ by less than a card's step are one clock: what is seen of a locked clock wavers.
const SAME_MHZ: u32 = 15;

fn same(a: &Step, b: &Step) -> bool {
    let clocks = match (a.clock_mhz, b.clock_mhz) {
        (Some(a), Some(b)) => a.abs_diff(b) < SAME_MHZ,
        (a, b) => a == b,
    };
    clocks && a.g_per_kwh == b.g_per_kwh && a.onsite_w == b.onsite_w && a.estimated == b.estimated
}

fn follows(last: &Step, next: &Step) -> bool {
    let ends = parse_instant(&last.from).ok().map(|from| from + TimeDelta::milliseconds((last.seconds * 1e3).round() as i64));
    ends.zip(parse_instant(&next.from).ok()).is_some_and(|(end, from)| (from - end).abs() <= TimeDelta::milliseconds(2))
}

fn join(last: &mut Step, next: &Step) {
    last.seconds += next.seconds;
    last.gpu_energy_j += next.gpu_energy_j;
    last.carbon_g += next.carbon_g;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn outlook(rows: &str) -> (tempfile::TempDir, Outlook) {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("z.csv"), rows).expect("a trace");
        let text = "[[zone]]\nname = \"Z\"\nsource = \"trace\"\npath = \"z.csv\"\n[[site]]\nname = \"s\"\nzone = \"Z\"\ngpus = 4\nonsite = \"z.csv\"\n";
        let config = Config::parse(text, &dir.path().join("carm.toml")).expect("a configuration");
        let outlook = Outlook::load(&config, &config.sites[0], at("00:00")).expect("an outlook");
        (dir, outlook)
    }

    fn at(time: &str) -> DateTime<Utc> {
        parse_instant(&format!("2026-05-01T{time}:00Z")).expect("a time")
    }

    fn piece(from: &str, to: &str, clock_mhz: u32, gpu_energy_j: f64) -> Piece {
        Piece {
            from: at(from),
            to: at(to),
            gpu_energy_j,
            gpus: 2.0,
            onsite_share: 0.5,
            clock_mhz: Some(clock_mhz),
            speed: 0.8,
            sure_speed: 0.7,
            modelled_w: Some(600.0),
        }
    }

    const FACILITY: Facility = Facility { host_watts: 100.0, pue: 1.5, embodied_g_per_gpu_h: 3.0 };
    const ROWS: &str =
        "time,carbon_g_per_kwh,onsite_w\n2026-05-01T00:00:00Z,100,0\n2026-05-01T01:00:00Z,300,1200\n2026-05-01T02:00:00Z,100,0\n";

    #[test]
    fn a_piece_is_cut_at_the_grids_steps_and_takes_on_site_power_first() {
        let (_dir, outlook) = outlook(ROWS);
        let mut tally = Tally::default();
        // 800 W of GPUs for an hour, half of it in each hour of the grid: 1.5 x (800 + 200) W = 1.5 kW at the facility.
        tally.add(&piece("00:30", "01:30", 1410, 800.0 * 3600.0), &FACILITY, Some(&outlook));
        assert!((tally.energy_kwh - 1.5).abs() < 1e-12);
        // 0.75 kWh at 100; then 600 W from the roof (30 g/kWh by default) and 900 W at 300.
        let expected = 75.0 + 0.5 * (0.6 * 30.0 + 0.9 * 300.0);
        assert!((tally.carbon_g - expected).abs() < 1e-9, "{}", tally.carbon_g);
        assert_eq!((tally.work_done_s, tally.sure_work_s, tally.embodied_g), (2880.0, 2520.0, 6.0));
        assert_eq!(tally.modelled_gpu_energy_j, Some(600.0 * 3600.0));
        assert_eq!(tally.steps.len(), 2);
        let sum: f64 = tally.steps.iter().map(|step| step.carbon_g).sum();
        assert!((sum - tally.carbon_g).abs() < 1e-9);
        assert_eq!(tally.steps[1].onsite_w, 600.0);
    }

    #[test]
    fn many_readings_at_one_clock_are_one_step_and_a_new_clock_begins_another() {
        let (_dir, outlook) = outlook(ROWS);
        let mut tally = Tally::default();
        for minute in 0..30 {
            let clock = if minute < 20 { 1410 + minute % 2 } else { 900 };
            let (from, to) = (format!("00:{minute:02}"), format!("00:{:02}", minute + 1));
            tally.add(&piece(&from, &to, clock, 48_000.0), &FACILITY, Some(&outlook));
        }
        let steps: Vec<_> = tally.steps.iter().map(|step| (step.seconds.round(), step.clock_mhz)).collect();
        assert_eq!(steps, [(1200.0, Some(1410)), (600.0, Some(900))]);
        assert!((tally.energy_kwh - 0.75).abs() < 1e-9);
    }

    #[test]
    fn without_a_grid_energy_counts_and_carbon_is_not_known() {
        let mut tally = Tally::default();
        tally.add(&piece("00:00", "01:00", 1410, 3.6e6), &FACILITY, None);
        assert_eq!((tally.carbon_g, tally.unknown_h), (0.0, 1.0));
        assert!(tally.energy_kwh > 0.0 && tally.steps.is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_costs_time_and_no_energy() {
        let (_dir, outlook) = outlook(ROWS);
        let mut tally = Tally::default();
        tally.add(&piece("01:00", "00:30", 1410, 3.6e6), &FACILITY, Some(&outlook));
        assert_eq!((tally.gpu_energy_j, tally.hours, tally.work_done_s), (3.6e6, 0.0, 0.0));
        assert!((tally.energy_kwh - 1.5).abs() < 1e-12);
    }

    #[test]
    fn a_line_has_a_bounded_number_of_steps_that_still_add_up() {
        let (_dir, outlook) = outlook(ROWS);
        let mut tally = Tally::default();
        for second in 0..4000_i64 {
            let from = at("00:00") + TimeDelta::seconds(second);
            let clock = if second % 2 == 0 { 900 } else { 1410 };
            let one = Piece { from, to: from + TimeDelta::seconds(1), ..piece("00:00", "00:01", clock, 700.0) };
            tally.add(&one, &FACILITY, Some(&outlook));
        }
        assert!(tally.steps.len() <= MOST_STEPS, "{}", tally.steps.len());
        let energy: f64 = tally.steps.iter().map(|step| step.gpu_energy_j).sum();
        let seconds: f64 = tally.steps.iter().map(|step| step.seconds).sum();
        assert!((energy - 4000.0 * 700.0).abs() < 1e-3 && (seconds - 4000.0).abs() < 1e-6);
    }

    #[test]
    fn a_tally_outlives_its_file() {
        let (_dir, outlook) = outlook(ROWS);
        let mut tally = Tally::default();
        tally.add(&piece("00:30", "01:30", 1410, 1e6), &FACILITY, Some(&outlook));
        let text = serde_json::to_string(&tally).expect("JSON");
        assert_eq!(serde_json::from_str::<Tally>(&text).expect("a tally"), tally);
    }
}
