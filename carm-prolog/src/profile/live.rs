//! A job that runs already, measured by the progress that it writes to a file: its number of steps, or a line for each.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::hold::Hold;
use super::meter::{LOOK, Meter, Run};
use super::stop::Stop;

/// Between two looks at the file.
const PAUSE: Duration = Duration::from_millis(5);

/// The least that a job that makes no progress is waited for.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

/// The longest file that is taken for a number.
const NUMBER_BYTES: u64 = 4096;

/// A job's progress file.
pub struct Progress {
    path: PathBuf,
    /// Lines counted up to this place; none for a file that holds a number.
    lines: Option<(u64, u64)>,
}

impl Progress {
    /// Looks at the file once, to learn which kind it is.
    pub fn open(path: &Path) -> Result<Self> {
        let text = head(path)?;
        let is_number = text.trim().lines().count() <= 1 && number(&text).is_some();
        Ok(Self { path: path.to_owned(), lines: (!is_number).then_some((0, 0)) })
    }

    /// Steps so far.
    fn steps(&mut self) -> Result<f64> {
        let path = &self.path;
        let Some((place, count)) = &mut self.lines else {
            let text = head(path)?;
            ensure!(text.trim().lines().count() <= 1, "{}: held a number and now holds lines; begin again", path.display());
            return number(&text).with_context(|| format!("{}: holds no number any more", path.display()));
        };
        let mut file = carm::files::open(path).with_context(|| format!("reading {}", path.display()))?;
        ensure!(file.metadata()?.len() >= *place, "{}: has become shorter; begin again", path.display());
        file.seek(SeekFrom::Start(*place))?;
        // A block at a time: the file is the user's, and may be of any size.
        let mut block = [0; 64 << 10];
        loop {
            let length = file.read(&mut block)?;
            if length == 0 {
                break;
            }
            *place += length as u64;
            *count += block[..length].iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        Ok(*count as f64)
    }

    /// Measures at the clock that is set: from one step seen to another, a window later.
    pub fn measure(&mut self, hold: &Hold, window: Duration, clock_mhz: u32, stop: &Stop) -> Result<Run> {
        let patience = window.max(LEAST_PATIENCE);
        let (from, first) = self.next(self.steps_now()?, patience, None, stop)?;
        let mut meter = Meter::begin(hold);
        let mut last = (from, first);
        while from.elapsed() < window || last.1 == first {
            last = self.next(last.1, patience, Some(&mut meter), stop)?;
            ensure!(last.1 > first, "{}: went back; begin again", self.path.display());
        }
        let steps = last.1 - first;
        meter.end(clock_mhz, last.0.duration_since(from).as_secs_f64() / steps)
    }

    fn steps_now(&self) -> Result<f64> {
        Self { path: self.path.clone(), lines: self.lines }.steps()
    }

    /// Waits for another number of steps, and looks at the GPUs meanwhile.
    fn next(&mut self, before: f64, patience: Duration, mut meter: Option<&mut Meter>, stop: &Stop) -> Result<(Instant, f64)> {
        let since = Instant::now();
        let mut looked = Instant::now();
        loop {
            let steps = self.steps()?;
            if steps != before {
                return Ok((Instant::now(), steps));
            }
            stop.sleep(PAUSE)?;
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                meter.as_mut().map_or(Ok(()), |meter| meter.look())?;
            }
            if since.elapsed() > patience {
                bail!("{}: no progress in {:.0} s; is the job still running?", self.path.display(), patience.as_secs_f64());
            }
        }
    }
}

fn head(path: &Path) -> Result<String> {
    let file = carm::files::open(path).with_context(|| format!("--live: opening {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(NUMBER_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok().filter(|steps: &f64| steps.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_a_number_or_the_lines_of_a_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("progress");
        let write = |text: &str| std::fs::write(&path, text).expect("a file");
        assert!(Progress::open(&path).is_err());
        write("12.5 of 100\n");
        let mut number = Progress::open(&path).expect("a number");
        assert_eq!(number.steps().expect("steps"), 12.5);
        write("13\n");
        assert_eq!(number.steps().expect("steps"), 13.0);
        write("step 1\nstep 2\nst");
        assert!(number.steps().expect_err("lines").to_string().contains("begin again"));
        let mut lines = Progress::open(&path).expect("lines");
        assert_eq!(lines.steps().expect("steps"), 2.0);
        write("step 1\nstep 2\nstep 3\nstep 4\n");
        assert_eq!(lines.steps().expect("steps"), 4.0);
        write("1\n");
        assert!(lines.steps().expect_err("shorter").to_string().contains("shorter"));
    }
}
