//! The question: what a job asks and what each place could offer it. Nothing is decided here.
//!
//! All instants and lengths are hours after `now` (= 0); the caller owns the calendar.

/// A stretch of time in which none of a candidate's signals changes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Slot {
    /// Length, h. The first slot is what is left of the current step.
    pub hours: f64,
    /// Grid carbon intensity, gCO2e/kWh.
    pub g_per_kwh: f64,
    /// On-site renewable power that this job may count on, W.
    pub onsite_w: f64,
    /// Whether the figures are an estimate past the data's own horizon.
    pub estimated: bool,
    /// Whether the site is closed: no job may run in any part of this slot.
    pub closed: bool,
}

impl Slot {
    /// An open slot with nothing but the grid.
    #[must_use]
    pub fn grid(hours: f64, g_per_kwh: f64) -> Self {
        Self {
            hours,
            g_per_kwh,
            ..Self::default()
        }
    }
}

/// One clock of a GPU profile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Graphics clock, MHz. Only named in answers, never computed with.
    pub clock_mhz: u32,
    /// Power of one GPU, W. Need not rise with the clock.
    pub watts: f64,
    /// Throughput relative to the highest clock, in (0, 1]; the fastest level is exactly 1.
    pub speed: f64,
    /// Latency of a request at this clock, ms, where the profile tells. Only services look at it.
    pub latency_ms: Option<f64>,
}

/// When a run may begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Exactly then, without a pause: the governor's problem with `Fixed(0.0)`.
    Fixed(f64),
    /// At any instant between the two.
    Within {
        /// First possible start, h: `--begin`, a busy partition, a dependency.
        earliest_h: f64,
        /// Last start that the user's patience allows, h.
        latest_h: f64,
    },
}

/// One way to run the job: a site with a number of workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The forecast, from `now` on without gaps.
    pub slots: Vec<Slot>,
    /// The profile's clocks that this job may use here, in any order.
    pub levels: Vec<Level>,
    /// Workers (GPUs), n.
    pub workers: u32,
    /// Work, in full-clock hours with these workers: W / e(n).
    pub work_h: f64,
    /// Host power per allocated GPU, W.
    pub host_watts: f64,
    /// Power usage effectiveness, at least 1.
    pub pue: f64,
    /// Life-cycle intensity of the on-site source, gCO2e/kWh.
    pub onsite_g_per_kwh: f64,
    /// When the run may begin.
    pub start: Start,
    /// The longest run that the partition allows, h (Slurm's `MaxTime`).
    pub max_run_h: Option<f64>,
}

impl Candidate {
    /// Facility power of the whole job at a level: PUE x n x (GPU + host), W.
    #[must_use]
    pub fn power_w(&self, level: &Level) -> f64 {
        self.pue * f64::from(self.workers) * (level.watts + self.host_watts)
    }

    /// The level with the least energy for the same work, which needs no carbon signal:
    /// the baseline that plain frequency scaling reaches. `None` without levels; ties go to the faster.
    #[must_use]
    pub fn energy_optimal_level(&self) -> Option<usize> {
        let per_work = |l: &Level| (l.watts + self.host_watts) / l.speed;
        (0..self.levels.len()).min_by(|&a, &b| {
            let (a, b) = (&self.levels[a], &self.levels[b]);
            per_work(a)
                .total_cmp(&per_work(b))
                .then(b.speed.total_cmp(&a.speed))
        })
    }

    /// The fastest level: full clock. Where several are equally fast, the one with the least power.
    #[must_use]
    pub fn full_clock(&self) -> Option<usize> {
        (0..self.levels.len()).min_by(|&a, &b| {
            let (a, b) = (&self.levels[a], &self.levels[b]);
            b.speed
                .total_cmp(&a.speed)
                .then(a.watts.total_cmp(&b.watts))
        })
    }
}

/// Which point of the frontier is wanted. A budget and a deadline bind whatever the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The least carbon that still meets the deadline: C*(D).
    Performance,
    /// The earliest end within the carbon budget B: the first E with C*(E) <= B.
    Carbon,
    /// The greatest performance per carbon, (n W / E) / C*(E).
    Ppc,
}

/// A job and everything that it could run on.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The ways to run it, in the order of the configuration.
    pub candidates: Vec<Candidate>,
    /// What is sought.
    pub objective: Objective,
    /// Finish by, h after now. One that has passed is negative, and cannot be met.
    pub deadline_h: Option<f64>,
    /// Facility carbon of the whole job, gCO2e.
    pub budget_g: Option<f64>,
    /// The requested GPUs times W, GPU-h at full clock: the numerator of PPC, the same for every candidate.
    pub work_gpu_h: f64,
}
