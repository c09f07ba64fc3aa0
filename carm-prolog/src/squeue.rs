//! Asks squeue about one job, bounded to a second: a controller that is busy must not hold a node's prolog or epilog.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(1);

/// slurmd's environment has no PATH; these are where distributions and sites put Slurm's commands.
const COMMAND_DIRS: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/slurm/bin", "/usr/local/slurm/bin"];

/// Where squeue is, or where it was looked for.
pub fn find() -> Result<PathBuf, String> {
    let squeue = COMMAND_DIRS.iter().map(|dir| Path::new(dir).join("squeue")).find(|path| path.exists());
    squeue.ok_or_else(|| format!("squeue is not in {}", COMMAND_DIRS.join(", ")))
}

/// What squeue prints of a job in a format of its own, or why it did not.
pub fn ask(squeue: &Path, job: u32, format: &str, slurm_conf: Option<&Path>) -> Result<String, String> {
    let mut command = Command::new(squeue);
    command.args(["--noheader", format, "--jobs", &job.to_string()]);
    command.env_clear().envs(slurm_conf.iter().map(|path| ("SLURM_CONF", path)));
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
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
