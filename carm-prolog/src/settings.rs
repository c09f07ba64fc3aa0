//! The configuration as prolog and epilog go by it: the file's; what can be saved of a broken file; the built-in one.

use std::path::Path;

use carm::config::{Config, DEFAULT_PATH};

use crate::strict;

/// A configuration to go by, and what is wrong with the file.
pub struct Settings {
    pub config: Config,
    /// The file cannot be used: no clock is set by it. What is owed must be given back all the same.
    pub fault: Option<String>,
}

/// Reads the configuration. A default file that is not there is no fault.
pub fn read(path: &Path) -> Settings {
    match Config::load(path) {
        Ok(config) => Settings { config, fault: None },
        Err(_) if path == Path::new(DEFAULT_PATH) && !path.exists() => Settings { config: Config::embedded(0), fault: None },
        Err(error) => Settings { config: salvage(path), fault: Some(error.to_string()) },
    }
}

/// By hand a wrong configuration is an error; a missing default one is not.
pub fn by_hand(path: &Path) -> anyhow::Result<Config> {
    // Warnings of what is done by hand belong on the terminal.
    let mut terminal = env_logger::Builder::new();
    let _ = terminal.filter_level(log::LevelFilter::Warn).format_timestamp(None).format_target(false).try_init();
    if path == Path::new(DEFAULT_PATH) && !path.exists() {
        return Ok(Config::embedded(0));
    }
    let config = Config::load(path)?;
    strict::check(&config).map_err(anyhow::Error::msg)?;
    Ok(config)
}

/// Every line of `[node]` that is right by itself: where the journal, the ledger, the log and the driver are must be known
/// even when an admin has just broken another line. No site is taken from a broken file: nothing is decided by it.
fn salvage(path: &Path) -> Config {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
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
    let mut config = Config::parse(&kept, path).unwrap_or_else(|_| Config::embedded(0));
    config.sites.clear();
    config
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
            let Settings { config, fault } = read(&path);
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
