//! Policies: where a job goes, when it may begin, and how fast it runs. One file each, with its source; the list is [`named`].
//!
//! A policy sees what [`View`] shows it. It decides at submission ([`Policy::submit`]) and, for as long as a job runs or is paused,
//! whenever it asked to look again ([`Policy::look`]).

mod asked;
mod carbon_scaler;
mod carbon_time;
pub mod carm;
mod eco_windows;
mod fcfs;
mod lowest;
mod overnight;
mod pieces;
mod renewable_clock;
mod service;
mod threshold;
mod view;
mod wait_awhile;

pub use asked::{Asked, AtWork};
pub use carbon_time::SHORT_H;
pub use pieces::Piece;
pub use service::{answering, service_ms};
pub use view::View;

/// What is decided at submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The site.
    pub site: usize,
    /// GPUs.
    pub workers: u32,
    /// The job waits for room from then on, h; paused jobs look again then.
    pub begin_h: f64,
    /// The time limit, h of running.
    pub limit_h: f64,
    /// When it is to run and how wide, where it may pause.
    pub pieces: Vec<Piece>,
    /// It does not wait for room, but for the policy's word.
    pub paused: bool,
}

impl Decision {
    /// At home, from `begin_h` on, as wide as asked.
    #[must_use]
    pub fn at_home(asked: &Asked, begin_h: f64, limit_h: f64) -> Self {
        Self { site: asked.home(), workers: asked.gpus(), begin_h, limit_h, pieces: Vec::new(), paused: false }
    }
}

/// What a job does until the next look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Run at a level, with so many workers (other than now: it is queued again).
    Run {
        /// Index into the levels there.
        level: usize,
        /// GPUs.
        workers: u32,
    },
    /// Stop, and give the GPUs back.
    Pause,
}

/// What is decided at a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Next {
    /// What the job does.
    pub action: Action,
    /// When to look again, h; infinite: never.
    pub look_h: f64,
}

/// A policy.
pub trait Policy: Send + Sync + std::fmt::Debug {
    /// Its name, as scenarios and results have it.
    fn name(&self) -> &'static str;

    /// Decides at submission.
    fn submit(&self, asked: &Asked, view: &View) -> Decision;

    /// Decides when a job starts, and at each look asked for. By default: full clock to the end.
    fn look(&self, at: &AtWork, view: &View) -> Next {
        Next { action: Action::Run { level: view.full_clock(at.site, &at.asked), workers: at.workers }, look_h: f64::INFINITY }
    }
}

/// All policies, in the order of the results.
fn all() -> Vec<Box<dyn Policy>> {
    let mut all: Vec<Box<dyn Policy>> = vec![
        Box::new(fcfs::Fcfs),
        Box::new(fcfs::StaticClock),
        Box::new(overnight::Overnight),
        Box::new(eco_windows::EcoWindows),
        Box::new(lowest::LowestSlot),
        Box::new(lowest::LowestWindow),
        Box::new(carbon_time::CarbonTime),
        Box::new(wait_awhile::WaitAwhile),
        Box::new(threshold::Threshold),
        Box::new(carbon_scaler::CarbonScaler),
        Box::new(renewable_clock::RenewableClock),
    ];
    all.extend(carm::all().into_iter().map(|policy| Box::new(policy) as Box<dyn Policy>));
    all
}

/// The reference of every result.
pub const FCFS: &str = "fcfs";
/// The reference without which plain frequency scaling passes for carbon awareness.
pub const STATIC_CLOCK: &str = "fcfs-static-clock";

/// The policy of a name.
#[must_use]
pub fn named(name: &str) -> Option<Box<dyn Policy>> {
    all().into_iter().find(|policy| policy.name() == name)
}

/// All names, in the order of the results.
#[must_use]
pub fn names() -> Vec<&'static str> {
    all().iter().map(|policy| policy.name()).collect()
}
