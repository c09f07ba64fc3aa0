//! Copies of configurations under /run: those that no program uses are removed, those that locks may rest on stay.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::govern::{Governor, until};
use crate::job::green;
use crate::node::Node;

/// A file below /run, removed with this value.
struct Copy(PathBuf);

impl Copy {
    fn of(config: &Path) -> Self {
        let uid = rustix::process::geteuid();
        let run = if uid.is_root() { "/run".to_owned() } else { format!("/run/user/{}", uid.as_raw()) };
        Self(format!("{run}/carm/.settings/{}.json", config.display().to_string().replace('/', "-")).into())
    }

    /// As a program leaves it that read such a configuration.
    fn left(config: &Path, text: &str) -> Self {
        let copy = Self::of(config);
        let json = serde_json::json!({"version": 1, "path": config, "text": text});
        std::fs::write(&copy.0, json.to_string()).unwrap();
        copy
    }

    fn age(&self, days: u64) {
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        std::fs::File::options().append(true).open(&self.0).unwrap().set_modified(then).unwrap();
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn forgotten_copies_of_configurations_are_swept() {
    let (node, other) = (Node::new().node("interval = \"1s\""), Node::new());
    let governor = Governor::start(&node);
    node.prolog(&green(7));
    other.prolog(&green(8));
    let gone = Copy::left(&node.path("gone.toml"), "[node]\nstate_dir = \"none\"\n");
    let moved = Copy::left(&node.path("moved.toml"), "[node]\nstate_dir = \"state\"\n");
    let young = Copy::left(&node.path("young.toml"), "");
    let (own, owes) = (Copy::of(&node.path("carm.toml")), Copy::of(&other.path("carm.toml")));
    young.age(6);
    [&gone, &moved, &owes].iter().for_each(|copy| copy.age(8));
    until("the forgotten ones are gone", || !gone.0.exists() && !moved.0.exists());
    governor.stop();
    assert!(young.0.exists() && own.0.exists() && owes.0.exists());
    // Job 8 has ended: nothing rests on that copy.
    other.epilog(&green(8)).assert_clean();
    owes.age(8);
    let governor = Governor::start(&node);
    until("nothing is owed", || !owes.0.exists());
    governor.stop();
}
