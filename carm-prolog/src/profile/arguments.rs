//! The arguments of `carm-prolog profile`, and the clocks that they choose of those that a card has.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use carm::quantity::parse_duration;
use carm::request::ProfileName;
use clap::Args;

/// What to measure, and how.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(override_usage = "carm-prolog profile --name NAME [OPTIONS] -- COMMAND [ARGS]...\n       \
    carm-prolog profile --name NAME [OPTIONS] --live FILE")]
pub struct Arguments {
    /// The profile's name, as --carbon-profile will say it
    #[arg(long, value_name = "NAME")]
    pub name: ProfileName,
    /// The site's word for the card [default: that of this node's site]
    #[arg(long, value_name = "WORD")]
    pub gpu: Option<String>,
    /// GPUs to measure on, all of one model: UUIDs, or indices as nvidia-smi counts [default: CUDA_VISIBLE_DEVICES, else all]
    #[arg(long, value_name = "LIST")]
    pub gpus: Option<String>,
    /// Clocks in MHz, parted by commas; the card's highest is always among them
    #[arg(long, value_name = "MHZ,...", value_delimiter = ',', conflicts_with = "levels")]
    pub clocks: Vec<u32>,
    /// So many clocks, spread from half of the highest to the highest
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub levels: u32,
    /// Runs at each clock
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeat: u32,
    /// Run the command before, uncounted, until so long has passed; 0 for not at all. With --live: the wait after each change
    /// of clock, 10s
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s", default_value_if("live", clap::builder::ArgPredicate::IsPresent, "10s"))]
    pub warm_up: Duration,
    /// Measure a job that runs already: FILE holds its number of steps so far, or gets a line for each
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub live: Option<PathBuf>,
    /// With --live: how long to measure at each clock
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    pub window: Duration,
    /// Where the profile goes; - for standard output [default: NAME.toml]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over a file that exists
    #[arg(long)]
    pub force: bool,
    /// Let the command's output through to standard error
    #[arg(long)]
    pub show_output: bool,
    /// A fixed piece of work on the GPUs: the same at every clock
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "live")]
    pub command: Vec<OsString>,
}

fn time(text: &str) -> Result<Duration, String> {
    let seconds = if text == "0" { 0.0 } else { parse_duration(text).map_err(|error| error.to_string())? };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Arguments {
    /// The clocks to measure, falling, of those that the card has, rising.
    pub fn clocks(&self, usable: &[u32]) -> Result<Vec<u32>> {
        let (Some(&lowest), Some(&top)) = (usable.first(), usable.last()) else {
            bail!("the card lists no clocks, or none within restore_mhz");
        };
        let wanted: Vec<u32> = if self.clocks.is_empty() {
            let (from, steps) = (f64::from(top) / 2.0, self.levels - 1);
            (0..=steps).map(|step| (from + (f64::from(top) - from) * f64::from(step) / f64::from(steps)).round() as u32).collect()
        } else {
            self.clocks.clone()
        };
        if let Some(strange) = self.clocks.iter().find(|mhz| !(lowest..=top).contains(mhz)) {
            bail!("--clocks: '{strange}': not a clock of this card; give MHz from {lowest} to {top}");
        }
        let nearest = |mhz: u32| usable.iter().copied().min_by_key(|usable| usable.abs_diff(mhz)).unwrap_or(mhz);
        let mut clocks: Vec<u32> = wanted.into_iter().chain([top]).map(nearest).collect();
        clocks.sort_unstable_by(|a, b| b.cmp(a));
        clocks.dedup();
        Ok(clocks)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn clocks(arguments: &[&str]) -> Result<Vec<u32>> {
        let all = [&["profile", "--name", "x"], arguments, &["--", "true"]].concat();
        let usable: Vec<u32> = (210..=2520).step_by(15).collect();
        Cli::try_parse_from(all)?.arguments.clocks(&usable)
    }

    #[test]
    fn clocks_are_those_of_the_card_and_the_highest_is_among_them() {
        assert_eq!(clocks(&["--levels", "3"]).expect("clocks"), [2520, 1890, 1260]);
        assert_eq!(clocks(&["--clocks", "1000,1500,1504"]).expect("clocks"), [2520, 1500, 1005]);
        let default = clocks(&[]).expect("clocks");
        assert_eq!((default.len(), default[0], default[7]), (8, 2520, 1260));
        let error = clocks(&["--clocks", "1500,3000"]).expect_err("no clock").to_string();
        assert_eq!(error, "--clocks: '3000': not a clock of this card; give MHz from 210 to 2520");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [&["--levels", "1"][..], &["--repeat", "0"], &["--warm-up", "-1"], &["--live", "f"], &["--clocks", "a"]] {
            assert!(clocks(wrong).is_err(), "{wrong:?}");
        }
        assert!(Cli::try_parse_from(["profile", "--name", "x"]).is_err(), "neither command nor --live");
        let live = Cli::try_parse_from(["profile", "--name", "x", "--live", "f"]).map(|cli| cli.arguments.warm_up);
        assert_eq!(live.ok(), Some(Duration::from_secs(10)));
    }
}
