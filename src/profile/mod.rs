//! GPU workload profiles: how fast a workload runs and what the card draws, by clock.
//!
//! A profile is a TOML file (or the built-in generic one). Raw first, then checked: what the planner gets is sorted,
//! finite, and says whether anybody measured it.

mod builtin;
mod fit;
mod raw;
mod write;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub use builtin::generic;
pub use fit::Fit;
pub use write::Remarks;

use crate::files::{self, Folder};
use crate::located::{Located, TomlError};
use crate::request::{ProfileName, printable};

/// A larger file is no profile: a sweep of 150 clocks is 10 kB.
const MOST_BYTES: u64 = 1 << 20;

/// More files in a folder are no profiles.
const MOST_FILES: usize = 10_000;

/// A checked profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What `--carbon-profile` says.
    pub name: ProfileName,
    /// The site's word for the card; `None` fits any card (the built-in profile).
    pub gpu: Option<String>,
    /// The card as NVML names it; on another card the levels are scaled by the maximum clocks.
    pub model: Option<String>,
    /// Where every number comes from.
    pub source: String,
    /// Really swept on this card with this workload.
    pub measured: bool,
    /// GPUs that a job of this kind uses unless it says otherwise.
    pub default_workers: u32,
    /// Work per hour at full clock, relative to the other profiles of this name; `None`: not given, taken as 1.
    pub throughput: Option<f64>,
    /// Clock levels, rising; the last has speed 1.
    pub levels: Vec<Level>,
    /// Throughput of a worker count relative to one worker.
    pub scaling: BTreeMap<u32, f64>,
}

/// One clock level of a profile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// SM clock in MHz.
    pub clock_mhz: u32,
    /// Power of one GPU in watts at this clock, busy.
    pub watts: f64,
    /// Speed relative to the highest clock, in (0, 1].
    pub speed: f64,
    /// Inference latency in milliseconds.
    pub latency_ms: Option<f64>,
}

/// What is wrong with a profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file or the folder cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file's text is wrong.
    #[error(transparent)]
    Text(#[from] TomlError),
}

impl Profile {
    /// Reads a profile from a file's text; `path` is for messages.
    ///
    /// # Errors
    /// Not TOML, an unknown key, a value out of its range, no level, duplicate clocks, a speed over 1 or a top speed other
    /// than 1: each with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TomlError> {
        let located = Located::parse(text, path)?;
        raw::check(located.read()?, &located)
    }

    /// The highest clock in MHz.
    #[must_use]
    pub fn top_clock_mhz(&self) -> u32 {
        self.levels.last().map_or(0, |level| level.clock_mhz)
    }

    /// This profile on a card whose highest clock is another: every clock scaled by the ratio of the maximum clocks.
    /// Watts and speeds stay: they are an estimate then.
    #[must_use]
    pub fn scaled_to(&self, top_clock_mhz: u32) -> Self {
        let ratio = f64::from(top_clock_mhz) / f64::from(self.top_clock_mhz().max(1));
        let scaled = |level: &Level| Level { clock_mhz: (f64::from(level.clock_mhz) * ratio).round() as u32, ..*level };
        let mut levels: Vec<Level> = self.levels.iter().map(scaled).collect();
        levels.dedup_by_key(|level| level.clock_mhz);
        Self { levels, measured: false, ..self.clone() }
    }

    /// Throughput of `count` GPUs relative to `requested` ones; `None` where the scaling table lacks one of them.
    #[must_use]
    pub fn relative_throughput(&self, count: u32, requested: u32) -> Option<f64> {
        if count == requested {
            return Some(1.0);
        }
        Some(self.scaling.get(&count)? / self.scaling.get(&requested)?)
    }
}

/// All profiles at hand: a folder's and the built-in one.
#[derive(Debug, Clone, Default)]
pub struct Profiles {
    all: Vec<Profile>,
}

impl Profiles {
    /// The built-in profile alone.
    #[must_use]
    pub fn builtin() -> Self {
        Self { all: vec![generic()] }
    }

    /// The profiles of a folder (`*.toml`, in the order of their names) and the built-in one. A folder that is not there
    /// holds none. A broken file does not hide the others: its error is given beside them.
    #[must_use]
    pub fn load(folder: &Path) -> (Self, Vec<ProfileError>) {
        let mut errors = Vec::new();
        let mut all = Vec::new();
        let unread = |path: &Path, cause| ProfileError::Read { path: path.to_owned(), cause };
        let is_toml = |name: &OsStr| Path::new(name).extension().is_some_and(|ending| ending == "toml");
        let names = match Folder::open(folder).and_then(|folder| folder.names(MOST_FILES, is_toml)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                errors.push(unread(folder, cause));
                Vec::new()
            }
            names => names.unwrap_or_default(),
        };
        for path in names.into_iter().map(|name| folder.join(name)) {
            let read = files::read_to_string(&path, MOST_BYTES).map_err(|cause| unread(&path, cause));
            match read.and_then(|text| Ok(Profile::parse(&text, &path)?)) {
                Ok(profile) => all.push(profile),
                Err(error) => errors.push(error),
            }
        }
        all.push(generic());
        (Self { all }, errors)
    }

    /// Profiles given directly, as a simulation or a test has them.
    #[must_use]
    pub fn from_list(all: Vec<Profile>) -> Self {
        Self { all }
    }

    /// The profile of this name for this card, else one of this name for any card, else one of this name for another
    /// card (an estimate, and the caller says so). Of several that are equal in that, a measured one goes before a model, so
    /// that a measurement counts beside the models that CARM brings; else the first.
    #[must_use]
    pub fn find(&self, name: &ProfileName, gpu: Option<&str>) -> Option<&Profile> {
        let distance = |profile: &Profile| match &profile.gpu {
            Some(card) if Some(&**card) == gpu => 0,
            None => 1,
            Some(_) => 2,
        };
        self.all.iter().filter(|p| p.name == *name).min_by_key(|p| (distance(p), !p.measured))
    }

    /// The names at hand, for a message.
    #[must_use]
    pub fn names(&self) -> String {
        let mut names: Vec<&str> = self.all.iter().map(|p| p.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }

    /// An error for a name that no profile has.
    #[must_use]
    pub fn unknown(&self, name: &ProfileName) -> String {
        format!("--carbon-profile: '{}': no such profile; give one of {}", printable(name.as_str()), self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Profile, TomlError> {
        Profile::parse(text, Path::new("p.toml"))
    }

    const HEAD: &str = "name = \"resnet50\"\ngpu = \"rtx4090\"\nsource = \"a test\"\n";

    fn with_levels(levels: &[(u32, f64, f64)]) -> String {
        let levels: Vec<String> = levels
            .iter()
            .map(|(clock, watts, speed)| format!("[[level]]\nclock_mhz = {clock}\nwatts = {watts:?}\nspeed = {speed:?}\n"))
            .collect();
        format!("{HEAD}{}", levels.concat())
    }

    #[test]
    fn one_level_unsorted_levels_and_falling_watts_are_legal() {
        assert_eq!(parse(&with_levels(&[(2000, 300.0, 1.0)])).expect("one level").levels.len(), 1);
        let unsorted =
            parse(&with_levels(&[(2000, 300.0, 1.0), (1000, 310.0, 0.6), (1500, 200.0, 0.8)])).expect("unsorted, falling");
        assert_eq!(unsorted.levels.iter().map(|l| l.clock_mhz).collect::<Vec<_>>(), [1000, 1500, 2000]);
    }

    #[test]
    fn what_cannot_be_a_profile_is_refused_with_its_line() {
        for (text, expected) in [
            (
                with_levels(&[(2000, 300.0, 1.0), (2000, 200.0, 0.9)]),
                "p.toml:9: level[1].clock_mhz: '2000': stands twice; each clock once",
            ),
            (
                with_levels(&[(2000, 300.0, 1.5)]),
                "p.toml:7: level[0].speed: '1.5': over 1; speed is relative to the highest clock, which has 1",
            ),
            (
                with_levels(&[(2000, 300.0, 0.9), (1000, 100.0, 0.5)]),
                "p.toml:7: level[0].speed: '0.9': the highest clock's; it must be 1",
            ),
            (
                with_levels(&[(2000, 300.0, 1.0), (1000, -5.0, 0.5)]),
                "p.toml:10: level[1].watts: '-5': not a power; give watts above 0, up to 10000",
            ),
            (with_levels(&[]), "p.toml:1: level: no level; give one [[level]] at least"),
        ] {
            assert_eq!(parse(&text).expect_err("a fault").to_string(), expected);
        }
        let unknown = parse(&format!("{}wats = 3\n", with_levels(&[(2000, 300.0, 1.0)]))).expect_err("unknown key").to_string();
        assert!(unknown.starts_with("p.toml:8: unknown field `wats`"), "{unknown}");
        let name = parse("name = \"../x\"\nsource = \"s\"\n[[level]]\nclock_mhz=1\nwatts=1.0\nspeed=1.0\n")
            .expect_err("name")
            .to_string();
        assert!(name.starts_with("p.toml:1: name: '../x': not a profile name"), "{name}");
    }

    #[test]
    fn a_profile_is_found_by_name_and_card_then_for_any_card_then_for_another() {
        let mut a100 = generic();
        a100.gpu = Some("a100".into());
        let mut other = a100.clone();
        other.name = "other".parse().expect("a name");
        let profiles = Profiles { all: vec![other, a100.clone(), generic()] };
        let find = |name: &str, gpu| profiles.find(&name.parse().expect("a name"), gpu);
        assert_eq!(find("generic", Some("a100")), Some(&a100));
        assert_eq!(find("generic", Some("h100")), Some(&generic()));
        assert_eq!(find("other", Some("h100")).and_then(|p| p.gpu.clone()).as_deref(), Some("a100"));
        assert_eq!(find("nobody", None), None);
    }

    #[test]
    fn a_measured_profile_goes_before_a_model_of_the_same_card_whichever_file_comes_first() {
        let mut model = generic();
        model.gpu = Some("a100".into());
        let measured = Profile { measured: true, ..model.clone() };
        let elsewhere = Profile { gpu: Some("h100".into()), ..measured.clone() };
        for all in [[elsewhere.clone(), model.clone(), measured.clone()], [measured.clone(), model.clone(), elsewhere.clone()]] {
            let profiles = Profiles { all: all.into() };
            assert_eq!(profiles.find(&generic().name, Some("a100")), Some(&measured));
        }
        let profiles = Profiles { all: vec![elsewhere, model.clone()] };
        assert_eq!(profiles.find(&generic().name, Some("a100")), Some(&model), "another card's measurement is no nearer");
    }

    #[test]
    fn on_another_card_the_clocks_scale_and_nothing_counts_as_measured() {
        let profile = parse(&with_levels(&[(2000, 300.0, 1.0), (1000, 100.0, 0.6)])).expect("a profile");
        let scaled = profile.scaled_to(1000);
        assert_eq!(scaled.levels.iter().map(|l| l.clock_mhz).collect::<Vec<_>>(), [500, 1000]);
        assert!(!scaled.measured);
    }
}
