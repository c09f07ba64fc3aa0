//! What the GPUs draw and at which clock they run while a piece of work is measured.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::hold::Hold;
use crate::gpu::Driver;

/// Between two looks at the GPUs.
pub const LOOK: Duration = Duration::from_millis(100);

/// At least half of the time at work: an idle card's clock tells nothing of its lock.
const AT_WORK: f64 = 0.5;

/// One measured run at one clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub clock_mhz: u32,
    /// How long one piece of work took: the command, or a step of the live job.
    pub seconds: f64,
    /// How long it was measured.
    pub span_s: f64,
    /// Of one GPU.
    pub watts: f64,
    /// Joules are power samples summed up: a card has no counter.
    pub sampled: bool,
    /// The clock that ran, of the slowest GPU; none where it was never seen at work.
    pub seen_mhz: Option<u32>,
    /// The part of the looks, 0..=1, in which heat or a power limit held a clock down.
    pub throttled: f64,
    /// The part of the looks, 0..=1, in which the GPUs were at work.
    pub at_work: f64,
}

/// The looks at one GPU.
struct Looks {
    uuid: String,
    /// The energy counter at the start; none where the card lacks one.
    start_j: Option<f64>,
    /// Power samples summed up.
    sampled_j: f64,
    last: Option<(Instant, f64)>,
    clocks_mhz: Vec<u32>,
    throttled: u32,
    at_work: u32,
    count: u32,
}

pub struct Meter<'a> {
    hold: &'a Hold<'a>,
    since: Instant,
    gpus: Vec<Looks>,
}

impl<'a> Meter<'a> {
    pub fn begin(hold: &'a Hold<'a>) -> Self {
        let looks = |uuid: &String| Looks {
            uuid: uuid.clone(),
            start_j: hold.nvml.energy_j(uuid).ok(),
            sampled_j: 0.0,
            last: hold.nvml.power_w(uuid).ok().map(|watts| (Instant::now(), watts)),
            clocks_mhz: Vec::new(),
            throttled: 0,
            at_work: 0,
            count: 0,
        };
        let gpus = hold.cards.iter().map(|card| looks(&card.uuid)).collect();
        Self { hold, since: Instant::now(), gpus }
    }

    /// Looks once; an error where the GPUs are no longer ours.
    pub fn look(&mut self) -> Result<()> {
        let nvml = self.hold.nvml;
        for gpu in &mut self.gpus {
            gpu.count += 1;
            gpu.sample(nvml.power_w(&gpu.uuid).ok());
            gpu.throttled += u32::from(nvml.throttled(&gpu.uuid).unwrap_or(false));
            // A card that does not tell its utilization is taken as at work.
            if nvml.utilization(&gpu.uuid).map_or(true, |part| part >= AT_WORK) {
                gpu.at_work += 1;
                gpu.clocks_mhz.extend(nvml.sm_clock_mhz(&gpu.uuid).ok());
            }
        }
        self.hold.check()
    }

    /// Ends the measurement: the work took `seconds`, or is still to be counted.
    pub fn end(mut self, clock_mhz: u32, seconds: f64) -> Result<Run> {
        let nvml = self.hold.nvml;
        // Counter and time as close together as can be.
        let readings: Vec<(Option<f64>, Instant)> =
            self.gpus.iter().map(|gpu| (nvml.energy_j(&gpu.uuid).ok(), Instant::now())).collect();
        let span_s = self.since.elapsed().as_secs_f64();
        let (mut watts, mut sampled) = (0.0, false);
        for (gpu, (end_j, at)) in self.gpus.iter_mut().zip(readings) {
            gpu.sample(nvml.power_w(&gpu.uuid).ok());
            let counted = gpu.start_j.zip(end_j).map(|(start, end)| end - start).filter(|&joules| joules > 0.0);
            sampled |= counted.is_none();
            let joules = counted.unwrap_or(gpu.sampled_j);
            anyhow::ensure!(joules > 0.0, "gpu {}: neither its energy nor its power can be read", gpu.uuid);
            watts += joules / at.duration_since(self.since).as_secs_f64();
        }
        let part = |count: &dyn Fn(&Looks) -> u32| {
            let of = |gpu: &Looks| f64::from(count(gpu)) / f64::from(gpu.count.max(1));
            self.gpus.iter().map(of).sum::<f64>() / self.gpus.len() as f64
        };
        Ok(Run {
            clock_mhz,
            seconds,
            span_s,
            watts: watts / self.gpus.len() as f64,
            sampled,
            throttled: part(&|gpu| gpu.throttled),
            at_work: part(&|gpu| gpu.at_work),
            seen_mhz: self.gpus.iter_mut().filter_map(Looks::clock_mhz).min(),
        })
    }
}

impl Looks {
    /// Adds a power sample to the sum, by the trapezoid rule.
    fn sample(&mut self, watts: Option<f64>) {
        let Some(watts) = watts else { return };
        let now = Instant::now();
        if let Some((at, before)) = self.last {
            self.sampled_j += (before + watts) / 2.0 * now.duration_since(at).as_secs_f64();
        }
        self.last = Some((now, watts));
    }

    /// The middle one of the clocks seen.
    fn clock_mhz(&mut self) -> Option<u32> {
        self.clocks_mhz.sort_unstable();
        self.clocks_mhz.get(self.clocks_mhz.len() / 2).copied()
    }
}
