//! Checks owner and mode of configuration, profiles, state folder and driver library, as sshd does with `StrictModes`. A user who
//! may write one of them decides what root does.

use std::path::{Path, PathBuf};

use carm::config::{Config, LogTarget};
use carm::files::check_modes;

/// Checks the configuration file, the profiles, the state folder and NVML's library, each with its parents. A library without a slash
/// is the dynamic loader's business. Other users than root harm nobody but themselves, and are not checked.
///
/// # Errors
/// The first that fails, and the way out.
pub fn check(config: &Config) -> Result<(), String> {
    if !is_on(config) {
        return Ok(());
    }
    let has_slash = |library: &&PathBuf| library.as_os_str().as_encoded_bytes().contains(&b'/');
    let library = Some(&config.node.nvml_library).filter(has_slash).cloned();
    let mut paths: Vec<PathBuf> = config.path.iter().cloned().chain([config.node.state_dir.clone()]).chain(library).collect();
    if let Some(folder) = config.profiles_dir() {
        paths.extend(profiles(&folder));
        paths.push(folder);
    }
    check_all(&paths)
}

/// Checks the state folder alone: what is in memory can be checked without waiting for a file server.
///
/// # Errors
/// As [`check()`].
pub fn check_state_dir(config: &Config) -> Result<(), String> {
    if is_on(config) { check_all(std::slice::from_ref(&config.node.state_dir)) } else { Ok(()) }
}

fn check_all(paths: &[PathBuf]) -> Result<(), String> {
    paths.iter().try_for_each(|path| check_modes(path)).map_err(|fault| {
        format!(
            "{fault}; let root own it and nobody else write it (chown root, chmod go-w), or set strict_modes = false under [node]"
        )
    })
}

/// Where the log goes to: a configuration that others may write must not choose a file that root writes.
pub fn log_target(config: &Config) -> LogTarget {
    let is_trusted = config.path.as_ref().is_none_or(|path| check_modes(path).is_ok());
    if is_trusted || !is_on(config) { config.node.log.clone() } else { LogTarget::Syslog }
}

fn is_on(config: &Config) -> bool {
    config.node.strict_modes && rustix::process::geteuid().is_root()
}

fn profiles(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect()
}
