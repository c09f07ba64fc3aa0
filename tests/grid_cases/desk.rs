//! An admin's desk: a configuration in a folder of its own, the stand-in services, and carm-grid run by hand.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carm::grid::Signal;
use carm::grid::cache::{self, ZoneData};
use carm::quantity::{format_instant, parse_instant};
use chrono::{DateTime, TimeDelta, Utc};
use grid_standin::{Server, TOKEN};

/// What a run said.
#[derive(Debug)]
pub struct Said {
    /// Exit status.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The desk. It is [`Desk::NOW`] there until a test says otherwise.
pub struct Desk {
    folder: tempfile::TempDir,
    /// The services.
    pub server: Server,
    /// The time there.
    pub now: DateTime<Utc>,
    zones: String,
}

/// A time.
pub fn at(text: &str) -> DateTime<Utc> {
    parse_instant(text).expect(text)
}

/// Over a span a cached signal has the world's values, as the source gave them: none is estimated. Each step's begin is compared.
pub fn agrees(signal: &Option<Signal>, from: DateTime<Utc>, to: DateTime<Utc>, world: impl Fn(DateTime<Utc>) -> f64) {
    let signal = signal.as_ref().expect("a signal");
    assert!(signal.start() <= from && signal.end() >= to, "{} to {}, not {from} to {to}", signal.start(), signal.end());
    let steps: Vec<_> = signal.steps().iter().filter(|step| (from..to).contains(&step.from)).collect();
    assert!(steps.len() as i64 >= (to - from).num_hours(), "{} steps", steps.len());
    for step in steps {
        let expected = world(step.from);
        assert!(!step.estimated && (step.value - expected).abs() < 1e-6, "{}: {step:?} is not {expected}", step.from);
    }
}

impl Desk {
    /// When tests take place.
    pub const NOW: &'static str = "2026-05-01T12:10:00Z";

    /// A desk without a zone.
    pub fn new() -> Self {
        let desk = Self {
            folder: tempfile::tempdir().expect("a folder"),
            server: Server::start(),
            now: at(Self::NOW),
            zones: String::new(),
        };
        desk.server.set_now(desk.now);
        desk.file("token", TOKEN, 0o600);
        desk
    }

    /// With a zone whose source is a stand-in service; `keys` are further lines of its table. `TOKEN` in them is a token file
    /// with the right token.
    pub fn zone(self, name: &str, source: &str, keys: &str) -> Self {
        let url = self.server.url(source);
        self.zone_at(name, source, &url, keys)
    }

    /// As [`Desk::zone`], at a `base_url` of its own.
    pub fn zone_at(self, name: &str, source: &str, base_url: &str, keys: &str) -> Self {
        self.plain_zone(name, source, &format!("base_url = \"{base_url}\"\n{keys}"))
    }

    /// A zone that has just these keys.
    pub fn plain_zone(mut self, name: &str, source: &str, keys: &str) -> Self {
        let keys = keys.replace("TOKEN", "token_file = \"token\"");
        write!(self.zones, "[[zone]]\nname = \"{name}\"\nsource = \"{source}\"\n{keys}\n").expect("text");
        self.configure("");
        self
    }

    /// Writes the configuration: the zones, with `more` after them.
    pub fn configure(&self, more: &str) {
        let text = format!("[grid]\ncache_dir = \"{}\"\n{}{more}", self.cache_dir().display(), self.zones);
        self.file("carm.toml", &text, 0o644);
    }

    /// Writes a file at the desk.
    pub fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    /// The folder of all that a test makes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The cache folder.
    pub fn cache_dir(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// What is cached of a zone.
    pub fn cached(&self, zone: &str) -> ZoneData {
        cache::read(&self.cache_dir(), zone).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The clock goes on, at the services too.
    pub fn later(&mut self, by: TimeDelta) {
        self.now += by;
        self.server.set_now(self.now);
    }

    /// carm-grid, ready to run at this desk.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carm-grid"));
        command.args(words).arg("--config").arg(self.folder.path().join("carm.toml"));
        command.arg(format!("--now={}", format_instant(self.now)));
        command.env_clear().env("TZ", "UTC").env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs carm-grid.
    pub fn run(&self, words: &[&str]) -> Said {
        let output = self.command(words).output().expect("running carm-grid");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// `carm-grid fetch --once --force`, whenever the zones were asked last.
    pub fn fetch(&self) -> Said {
        self.run(&["fetch", "--once", "--force"])
    }

    /// The same where it must succeed without a word.
    pub fn fetches(&self) {
        let said = self.fetch();
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
    }
}
