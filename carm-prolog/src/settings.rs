//! The configuration as prolog and epilog go by it: the file's; what can be saved of a broken file; the built-in one.
//!
//! The file may lie on a file server that stalls. So each process that reads it copies its text to /run. Prolog and epilog use the
//! copy: the epilog can put clocks back while the file itself cannot be read.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carm::config::{Config, DEFAULT_PATH};
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::logging;
use crate::state::{self, Store, safe_name};
use crate::strict;

/// A larger file is no configuration.
const MOST_BYTES: u64 = 1 << 20;

/// A copy that was not renewed for so long belongs to no program in use: the governor renews its own at every look.
const FORGOTTEN: Duration = Duration::from_secs(7 * 86_400);

/// A configuration to go by, and what is wrong with the file.
pub struct Settings {
    pub config: Config,
    /// The file cannot be used: no clock is set by it. What is owed must be given back all the same.
    pub fault: Option<String>,
    /// Others than root may write what root goes by ([`strict`]): nothing is to be done by it.
    pub distrust: Option<String>,
}

/// The text of a configuration file, as it was when it was last read.
#[derive(Serialize, Deserialize)]
struct Mirror {
    version: u32,
    path: PathBuf,
    /// None: the file is not there.
    text: Option<String>,
}

/// Reads the configuration, and leaves its text under /run. A default file that is not there is no fault.
pub fn read(path: &Path) -> Settings {
    let file = path.to_owned();
    let read = bounded::whole(path, "", move || carm::files::read_to_string(&file, MOST_BYTES));
    let text = match read.as_deref() {
        Some(Ok(text)) => Some(text.clone()),
        Some(Err(error)) if path == Path::new(DEFAULT_PATH) && error.kind() == ErrorKind::NotFound => None,
        failed => {
            let cause = failed.and_then(|read| read.as_ref().err()).map_or("it does not respond".into(), ToString::to_string);
            let fault = Some(format!("{}: cannot be read: {cause}", path.display()));
            // By what it said before, what is owed is given back and booked.
            let config = mirrored(path).map_or_else(|| Config::embedded(0), |settings| settings.config);
            return Settings { config: without_sites(config), fault, distrust: None };
        }
    };
    let mut settings = parse(text.clone(), path);
    let config = settings.config.clone();
    settings.distrust = match bounded::whole(path, "", move || strict::check(&config)).as_deref() {
        Some(checked) => checked.clone().err(),
        None => Some(format!("{}: does not respond", path.display())),
    };
    if settings.distrust.is_some() {
        settings.config.node.log = strict::log_target(&settings.config);
    } else if let Some(file) = mirror_file(path) {
        let mirror = Mirror { version: 1, path: path.to_owned(), text };
        let written = state::make_private_dir(file.parent().unwrap_or(&file)).and_then(|()| state::write_whole(&file, &mirror));
        if let Err(error) = written {
            log::debug!("{error:#}");
        }
    }
    settings
}

/// The configuration as it was when it was last read, by memory alone.
pub fn mirrored(path: &Path) -> Option<Settings> {
    let mirror: Mirror = state::read_whole(&mirror_file(path)?)?;
    let mut settings = (mirror.path == path).then(|| parse(mirror.text, path))?;
    settings.distrust = strict::check_state_dir(&settings.config).err();
    Some(settings)
}

/// Removes copies of configurations that no process reads any more: a program that reads one renews its copy. One that locks may
/// rest on stays. Whether the file itself is there is not looked at: it may be on a file server that stalls or is gone for now.
pub fn sweep(own: &Config) {
    let folder = mirror_folder();
    state::sweep(&folder);
    for path in std::fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        let renewed = std::fs::metadata(&path).and_then(|file| file.modified());
        if renewed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > FORGOTTEN)) {
            let state_dir = state::read_whole(&path).map(|mirror: Mirror| parse(mirror.text, &mirror.path).config.node.state_dir);
            if !state_dir.is_some_and(|dir| dir != own.node.state_dir && Store::owes(&dir)) {
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

fn parse(text: Option<String>, path: &Path) -> Settings {
    let Some(text) = text else { return Settings { config: Config::embedded(0), fault: None, distrust: None } };
    match Config::parse(&text, path) {
        Ok(config) => Settings { config, fault: None, distrust: None },
        Err(error) => Settings { config: salvage(&text, path), fault: Some(error.to_string()), distrust: None },
    }
}

fn mirror_file(path: &Path) -> Option<PathBuf> {
    Some(mirror_folder().join(safe_name(&path.to_str()?.replace('/', "-")) + ".json"))
}

/// Below /run, and not below the state folder: where that is stands in the configuration.
fn mirror_folder() -> PathBuf {
    let user = rustix::process::geteuid();
    let run = if user.is_root() { PathBuf::from("/run") } else { PathBuf::from(format!("/run/user/{}", user.as_raw())) };
    run.join("carm/.settings")
}

fn without_sites(mut config: Config) -> Config {
    config.sites.clear();
    config
}

/// By hand a wrong configuration is an error; a missing default one is not.
pub fn by_hand(path: &Path) -> anyhow::Result<Config> {
    logging::start_terminal();
    if path == Path::new(DEFAULT_PATH) && !path.exists() {
        return Ok(Config::embedded(0));
    }
    let config = Config::load(path)?;
    strict::check(&config).map_err(anyhow::Error::msg)?;
    Ok(config)
}

/// Every line of `[node]` that is right by itself: where the journal, the ledger, the log and the driver are must be known
/// even when an admin has just broken another line. No site is taken from a broken file: nothing is decided by it.
fn salvage(text: &str, path: &Path) -> Config {
    let mut kept = String::from("[node]\n");
    let mut table = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            table = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        } else if table == "[node]" {
            let more = format!("{kept}{line}\n");
            if Config::parse(&more, path).is_ok() {
                kept = more;
            }
        }
    }
    without_sites(Config::parse(&kept, path).unwrap_or_else(|_| Config::embedded(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carm::config::LogTarget;

    #[test]
    fn a_broken_file_still_says_where_the_journal_the_ledger_and_the_driver_are() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("carm.toml");
        let node = "[ node ] # here\nstate_dir = \"/s\"\nsite = \"gone\"\nnonsense = \nledger_dir = \"l\"\nlog = \"/x.log\"\nrestore_mhz = [210, 1800]\n";
        for before in ["[planner\n", "[[site]]\nname = \"a\"\nzone = \"b\"\n", "colour = 1\n", "\u{0}\n"] {
            std::fs::write(&path, format!("{before}{node}[planner]\nstate_dir = \"/wrong\"\n")).expect("a file");
            let Settings { config, fault, .. } = read(&path);
            assert!(fault.is_some_and(|fault| fault.contains("carm.toml")), "{before}");
            assert_eq!(config.node.state_dir, Path::new("/s"), "{before}");
            assert_eq!(config.node.ledger_dir, dir.path().join("l"), "{before}");
            assert_eq!(config.node.log, LogTarget::File("/x.log".into()), "{before}");
            assert_eq!(config.node.restore_mhz, Some((210, 1800)), "{before}");
            assert_eq!(config.site_of(None, "n").map(|(_, site)| &site.name), None, "{before}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_fault_unless_it_is_the_default_one() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(read(&dir.path().join("none.toml")).fault.is_some());
        assert!(read(dir.path()).fault.is_some());
    }
}
