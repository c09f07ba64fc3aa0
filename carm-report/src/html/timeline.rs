//! A job over time: its pieces on all nodes added up, and the grid from the instant on at which it could have started.
//!
//! Decided here: into which pieces time is cut, so that a run of months makes a page of the same size as one of minutes.

use carm::quantity::parse_instant;
use carm_page::chart;

use crate::account::Account;

/// The most pieces that are drawn, and rows that are told.
const DRAWN: usize = 400;
const TOLD: usize = 24;

/// A piece of time. Power and carbon are 0 where the job did not run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Piece {
    pub from_ms: i64,
    pub to_ms: i64,
    /// Seconds of the job's nodes in it.
    pub node_s: f64,
    pub gpu_w: f64,
    pub facility_w: f64,
    pub onsite_w: f64,
    pub clock_mhz: Option<f64>,
    pub g_per_kwh: Option<f64>,
    pub carbon_g: f64,
    pub estimated: bool,
}

impl chart::Piece for Piece {
    fn span_ms(&self) -> (i64, i64) {
        (self.from_ms, self.to_ms)
    }
}

/// A job over time.
#[derive(Debug)]
pub struct Timeline {
    pub pieces: Vec<Piece>,
    /// From when to when it ran.
    pub ran: (i64, i64),
    /// From when to when it would have run at full clock, and at the economical one.
    pub otherwise: Option<[(i64, i64); 2]>,
    pub full_mhz: Option<u32>,
}

/// A stretch of a node's run, or of the grid.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from_ms: i64,
    to_ms: i64,
    piece: Piece,
}

impl Timeline {
    /// Of a job; none where its lines do not have pieces.
    pub fn of(account: &Account) -> Option<Self> {
        let ran: Vec<Stretch> = account.job.records().flat_map(of_steps).filter(Stretch::is_sound).collect();
        let first = ran.iter().map(|stretch| stretch.from_ms).min()?;
        let last = ran.iter().map(|stretch| stretch.to_ms).max()?;
        // Nodes of a job share the grid: one line's is enough.
        let record = account.job.records().filter(|record| !record.grid.is_empty()).min_by_key(|record| &record.grid[0].from);
        let grid: Vec<Stretch> = record.into_iter().flat_map(of_grid).filter(Stretch::is_sound).collect();
        let begin = grid.first().map_or(first, |stretch| stretch.from_ms.min(first));
        let otherwise = account.baselines.as_ref().ok().map(|compared| {
            let asked = account.asked.or(account.begin).map_or(begin, |asked| asked.timestamp_millis());
            [compared.full.seconds, compared.economical.seconds].map(|seconds| (asked, end_ms(asked, seconds)))
        });
        let end = otherwise.map_or(last, |both| both[0].1.max(both[1].1).max(last));
        let grid: Vec<Stretch> = grid.into_iter().filter(|stretch| stretch.from_ms < end).collect();
        let cuts =
            cuts(ran.iter().chain(&grid).flat_map(|s| [s.from_ms, s.to_ms.min(end)]).chain([first, last]).collect(), DRAWN);
        Some(Self {
            pieces: gather(&cuts, &ran, &grid),
            ran: (first, last),
            otherwise,
            full_mhz: account.clocks.and_then(|clocks| clocks.full_mhz),
        })
    }

    /// From when to when anything is shown.
    pub fn span(&self) -> (i64, i64) {
        let last = |otherwise: [(i64, i64); 2]| otherwise[0].1.max(otherwise[1].1);
        let first = self.pieces.first().map_or(self.ran.0, |piece| piece.from_ms);
        let shown = self.pieces.last().map_or(self.ran.1, |piece| piece.to_ms);
        (first, shown.max(self.otherwise.map_or(0, last)))
    }

    /// Whether the job could count on on-site power.
    pub fn has_onsite(&self) -> bool {
        self.pieces.iter().any(|piece| piece.onsite_w > 0.0)
    }

    /// Whether some of the run's grid was estimated.
    pub fn has_estimates(&self) -> bool {
        self.pieces.iter().any(|piece| piece.estimated)
    }

    /// The run for a table: its pieces, or, of many, equal parts of its time.
    pub fn rows(&self) -> Vec<Piece> {
        let ran: Vec<&Piece> = self.pieces.iter().filter(|piece| piece.node_s > 0.0).collect();
        if ran.len() <= TOLD {
            return ran.into_iter().copied().collect();
        }
        let (first, last) = self.ran;
        // Whole minutes read better than equal parts.
        let least = (last - first) / TOLD as i64 + 1;
        let part = NICE_MS.into_iter().find(|&nice| nice >= least).unwrap_or(least);
        let inner = (1..).map(|i| first.div_euclid(part) * part + i * part).take_while(|&cut| cut < last);
        let cuts: Vec<i64> = std::iter::once(first).chain(inner).chain([last]).collect();
        let whole: Vec<Stretch> =
            ran.iter().map(|piece| Stretch { from_ms: piece.from_ms, to_ms: piece.to_ms, piece: **piece }).collect();
        gather(&cuts, &whole, &[]).into_iter().filter(|piece| piece.node_s > 0.0).collect()
    }
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const NICE_MS: [i64; 14] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    24 * HOUR,
    48 * HOUR,
    168 * HOUR,
];

impl Stretch {
    fn is_sound(&self) -> bool {
        self.to_ms > self.from_ms
    }
}

/// The last instant that a ledger line can name, the end of year 9999.
const LAST_MS: i64 = 253_402_300_800_000;

/// The end of a span that lasts for `seconds`. Casts of floats saturate; a hostile line gives any number.
fn end_ms(from_ms: i64, seconds: f64) -> i64 {
    from_ms.saturating_add((seconds * 1e3) as i64).min(LAST_MS)
}

fn of_steps(record: &carm::ledger::Record) -> Vec<Stretch> {
    let host_w = record.host_watts * record.gpus.iter().map(|gpu| gpu.share).sum::<f64>();
    let stretch = |step: &carm::ledger::Step| {
        let from_ms = parse_instant(&step.from).ok()?.timestamp_millis();
        let gpu_w = step.gpu_energy_j / step.seconds;
        let piece = Piece {
            node_s: step.seconds,
            gpu_w,
            facility_w: record.pue * (gpu_w + host_w),
            onsite_w: step.onsite_w,
            clock_mhz: step.clock_mhz.map(f64::from),
            g_per_kwh: Some(step.g_per_kwh),
            carbon_g: step.carbon_g,
            estimated: step.estimated,
            ..Piece::default()
        };
        Some(Stretch { from_ms, to_ms: end_ms(from_ms, step.seconds), piece })
    };
    record.steps.iter().filter_map(stretch).collect()
}

fn of_grid(record: &carm::ledger::Record) -> Vec<Stretch> {
    let stretch = |step: &carm::ledger::GridStep| {
        let from_ms = parse_instant(&step.from).ok()?.timestamp_millis();
        let piece =
            Piece { g_per_kwh: Some(step.g_per_kwh), onsite_w: step.onsite_w, estimated: step.estimated, ..Piece::default() };
        Some(Stretch { from_ms, to_ms: end_ms(from_ms, step.seconds), piece })
    };
    record.grid.iter().filter_map(stretch).collect()
}

/// The instants at which something changes, or, of too many, equal parts between the first and the last.
fn cuts(mut instants: Vec<i64>, most: usize) -> Vec<i64> {
    instants.sort_unstable();
    instants.dedup();
    if instants.len() <= most {
        return instants;
    }
    let (first, last) = (instants[0], instants[instants.len() - 1]);
    (0..=most as i64).map(|i| first + (last - first) * i / most as i64).collect()
}

/// What goes on between the cuts. Of the nodes' runs power adds up, clocks and grid are means over time; where no node runs, the
/// grid's own stretches tell.
fn gather(cuts: &[i64], ran: &[Stretch], grid: &[Stretch]) -> Vec<Piece> {
    let piece = |span: &[i64]| Piece { from_ms: span[0], to_ms: span[1], ..Piece::default() };
    let mut pieces: Vec<Piece> = cuts.windows(2).map(piece).collect();
    // Of clock and grid first the sums, then the means.
    let mut weights = vec![[0.0_f64; 3]; pieces.len()];
    let mut each = |stretches: &[Stretch], job: bool| {
        for stretch in stretches {
            let first = pieces.partition_point(|piece| piece.to_ms <= stretch.from_ms);
            let touched = pieces.iter_mut().zip(&mut weights).skip(first).take_while(|(piece, _)| piece.from_ms < stretch.to_ms);
            for (piece, [clock, mean, grid]) in touched {
                let overlap_ms = stretch.to_ms.min(piece.to_ms) - stretch.from_ms.max(piece.from_ms);
                let part = overlap_ms as f64 / (piece.to_ms - piece.from_ms) as f64;
                if !job && piece.node_s > 0.0 {
                    continue;
                }
                if job {
                    piece.node_s += overlap_ms as f64 / 1e3;
                    piece.gpu_w += stretch.piece.gpu_w * part;
                    piece.facility_w += stretch.piece.facility_w * part;
                    piece.carbon_g += stretch.piece.carbon_g * overlap_ms as f64 / (stretch.to_ms - stretch.from_ms) as f64;
                    if let Some(mhz) = stretch.piece.clock_mhz {
                        *clock += part;
                        piece.clock_mhz = Some(piece.clock_mhz.unwrap_or(0.0) + mhz * part);
                    }
                }
                if let Some(g_per_kwh) = stretch.piece.g_per_kwh {
                    *grid += part;
                    piece.g_per_kwh = Some(piece.g_per_kwh.unwrap_or(0.0) + g_per_kwh * part);
                }
                *mean += part;
                piece.onsite_w += stretch.piece.onsite_w * part;
                piece.estimated |= stretch.piece.estimated;
            }
        }
    };
    each(ran, true);
    each(grid, false);
    for (piece, [clock, _, grid]) in pieces.iter_mut().zip(weights) {
        piece.clock_mhz = piece.clock_mhz.filter(|_| clock > 0.0).map(|sum| sum / clock);
        piece.g_per_kwh = piece.g_per_kwh.filter(|_| grid > 0.0).map(|sum| sum / grid);
    }
    pieces
}
