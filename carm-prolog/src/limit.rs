//! When Slurm will end the job. Slurm 23.02 and later tell the prolog; carm-submit tells it otherwise; else it is asked for
//! once, with one squeue that is given one second.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carm::config::Config;
use carm::quantity::{SlurmTime, parse_slurm_time};
use chrono::{DateTime, TimeDelta, Utc};

use crate::job::Job;

const PATIENCE: Duration = Duration::from_secs(1);

/// slurmd's environment has no PATH; these are where distributions and sites put Slurm's commands.
const COMMAND_DIRS: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/slurm/bin", "/usr/local/slurm/bin"];

/// The instant at which Slurm ends the job; `None` where it is not known.
pub fn end_of(job: &Job, config: &Config, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if let Some(end) = job.end_time {
        return Some(end);
    }
    let told = job.request.as_ref().ok().and_then(|request| request.as_ref()?.limit_s);
    if let Some(seconds) = told {
        return now.checked_add_signed(TimeDelta::try_seconds(i64::try_from(seconds).ok()?)?);
    }
    if !config.node.ask_limit {
        return None;
    }
    match ask(job) {
        Ok(Some(seconds)) => now.checked_add_signed(TimeDelta::try_seconds(i64::try_from(seconds).ok()?)?),
        Ok(None) => None,
        Err(cause) => {
            log::warn!("job {}: asking squeue for its time limit: {cause}; it runs at full clock", job.id);
            None
        }
    }
}

/// The seconds left by squeue; `None` where there is no limit.
fn ask(job: &Job) -> Result<Option<u64>, String> {
    let squeue = COMMAND_DIRS.iter().map(|dir| Path::new(dir).join("squeue")).find(|path| path.exists());
    let squeue = squeue.ok_or_else(|| format!("squeue is not in {}", COMMAND_DIRS.join(", ")))?;
    let mut command = Command::new(squeue);
    command.args(["--noheader", "--format=%L", "--jobs", &job.id.to_string()]);
    command.env_clear().envs(job.slurm_conf.iter().map(|path| ("SLURM_CONF", path)));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    let since = Instant::now();
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        if since.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err("no answer within a second".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse_slurm_time(text.trim()) {
        Ok(SlurmTime::Seconds(seconds)) => Ok(Some(seconds)),
        Ok(SlurmTime::Unlimited) => Ok(None),
        Err(_) => Err(format!("its answer was '{}'", carm::request::printable(text.trim()))),
    }
}
