//! The page as a file in the folder of node_exporter's textfile collector (`[node] metrics_dir`): whole or not at all, readable
//! by whoever node_exporter runs as. One file a host, since one governor looks after all of its nodes.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::{Snapshot, render};

/// The collector takes `*.prom` alone, so it never sees the temporary one.
const FILE: &str = "carm.prom";
const TEMPORARY: &str = ".carm.prom.new";

/// Writes the page of a host's nodes.
pub fn write_textfile(dir: &Path, snapshots: &[Snapshot]) -> Result<()> {
    let (path, temporary) = (dir.join(FILE), dir.join(TEMPORARY));
    let put = || -> std::io::Result<()> {
        // Left by one that was killed; or a link of somebody else's, where the folder is not root's alone.
        remove(&temporary)?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o644).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?; // whatever the umask is
        file.write_all(render(snapshots).as_bytes())?;
        std::fs::rename(&temporary, &path)
    };
    put().inspect_err(|_| _ = std::fs::remove_file(&temporary)).with_context(|| format!("writing {}", path.display()))
}

/// Takes the file away: a governor that has ended must not leave its last figures as if they were today's.
pub fn remove_textfile(dir: &Path) -> Result<()> {
    let path = dir.join(FILE);
    remove(&path).with_context(|| format!("removing {}", path.display()))
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Snapshot {
        let gpus = vec![super::super::GpuNow { uuid: format!("GPU-{name}"), ..Default::default() }];
        Snapshot { node: name.to_owned(), gpus, ..Snapshot::default() }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    }

    #[test]
    fn the_file_is_replaced_whole_and_readable_by_everybody() {
        let dir = tempfile::tempdir().expect("a folder");
        // What a killed governor leaves; and where that is a link, what it points to is not written to.
        std::fs::write(dir.path().join("other"), "other").expect("a file");
        std::os::unix::fs::symlink("other", dir.path().join(TEMPORARY)).expect("a link");
        std::fs::write(dir.path().join(FILE), "half a li").expect("a file");
        let nodes = [node("n1"), node("n2")];
        write_textfile(dir.path(), &nodes).expect("writing");
        assert_eq!(names(dir.path()), [FILE, "other"]);
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).expect("the file"), render(&nodes));
        assert_eq!(std::fs::read_to_string(dir.path().join("other")).expect("the file"), "other");
        let mode = std::fs::metadata(dir.path().join(FILE)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);

        remove_textfile(dir.path()).expect("removing");
        remove_textfile(dir.path()).expect("removing what is gone");
        assert_eq!(names(dir.path()), ["other"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write_textfile(Path::new("/nonexistent/metrics"), &[]).expect_err("no folder");
        assert!(format!("{error:#}").starts_with("writing /nonexistent/metrics/carm.prom: No such file"), "{error:#}");
    }
}
