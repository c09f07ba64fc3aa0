use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::time::{Duration, Instant};

use super::*;

/// As `nobody`; any user other than root and the one who runs the tests.
const STRANGER: u32 = 65_534;

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder of the scene with this mode, whatever the umask.
    fn folder(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        path
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o666)).expect("a FIFO");
        path
    }
}

/// Owners other than oneself can be set by root alone.
fn runs_as_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not checked: only root can give files away");
    }
    is_root
}

fn in_folder(path: &Path) -> Result<File> {
    Folder::open(path.parent().expect("a folder"))?.file(path.file_name().expect("a name"))
}

fn append(path: &Path) -> Result<File> {
    Folder::open(path.parent().expect("a folder"))?.append(path.file_name().expect("a name"), 0o640)
}

fn refusal<T>(result: Result<T>) -> String {
    result.map(|_| ()).expect_err("a refusal").to_string()
}

#[test]
fn link_in_foreign_folder_is_refused() {
    let scene = Scene::new();
    let ledger = scene.folder("ledger", 0o777);
    let target = scene.file("target", "root's\n");
    let link = ledger.join("n1.2026-05.jsonl");
    symlink(&target, &link).expect("a link");
    for result in [in_folder(&link), append(&link)] {
        let refusal = refusal(result);
        assert!(refusal.contains("is a symbolic link, and group or others may write"), "{refusal}");
        assert!(refusal.contains("(mode 777)"), "{refusal}");
    }
    assert_eq!(fs::read_to_string(&target).expect("text"), "root's\n");
}

#[test]
fn link_to_missing_file_makes_nothing() {
    let scene = Scene::new();
    let ledger = scene.folder("ledger", 0o777);
    let link = ledger.join("n1.2026-05.jsonl");
    symlink(scene.path("new"), &link).expect("a link");
    refusal(append(&link));
    assert!(!scene.path("new").exists());
}

#[test]
fn link_in_trusted_folder_is_followed() {
    let scene = Scene::new();
    let etc = scene.folder("etc", 0o755);
    scene.folder("data", 0o755);
    scene.file("data/de.csv", "time\n");
    symlink("../data/de.csv", etc.join("de.csv")).expect("a link");
    symlink(scene.path("data"), etc.join("traces")).expect("a link");
    for path in [etc.join("de.csv"), etc.join("traces/de.csv"), etc.join("traces/../etc/traces/de.csv")] {
        assert_eq!(read(&path, 100).expect("text"), b"time\n", "{}", path.display());
        assert!(in_folder(&path).is_ok(), "{}", path.display());
        append(&path).expect("the file").write_all(b"").expect("written");
    }
}

#[test]
fn link_on_the_path_is_refused_for_root() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    let shared = scene.folder("shared", 0o775);
    let etc = scene.folder("etc", 0o755);
    symlink(&etc, shared.join("ledger")).expect("a link");
    for refusal in [refusal(append(&shared.join("ledger/n1.jsonl"))), refusal(read(&shared.join("ledger/n1.jsonl"), 9))] {
        assert!(refusal.contains("is a symbolic link, and group or others may write"), "{refusal}");
    }
    assert_eq!(fs::read_dir(&etc).expect("a folder").count(), 0);
}

#[test]
fn links_in_a_circle_end() {
    let scene = Scene::new();
    symlink("b", scene.path("a")).expect("a link");
    symlink("a", scene.path("b")).expect("a link");
    for refusal in [refusal(read(&scene.path("a"), 9)), refusal(in_folder(&scene.path("a")))] {
        assert!(refusal.contains("symbolic links"), "{refusal}");
    }
}

#[test]
fn sticky_folder_trusts_own_links_alone() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    let tmp = scene.folder("tmp", 0o1777);
    scene.file("text", "text");
    symlink(scene.path("text"), tmp.join("link")).expect("a link");
    assert_eq!(read(&tmp.join("link"), 9).expect("text"), b"text");
    std::os::unix::fs::lchown(tmp.join("link"), Some(STRANGER), None).expect("given away");
    let refusal = refusal(read(&tmp.join("link"), 9));
    assert!(refusal.contains("is a symbolic link of uid 65534"), "{refusal}");
}

#[test]
fn only_regular_files_are_opened_at_once() {
    let scene = Scene::new();
    let since = Instant::now();
    let fifo = scene.fifo("fifo");
    for result in [open(&fifo), in_folder(&fifo), append(&fifo)] {
        assert_eq!(refusal(result), "not a regular file");
    }
    let folder = scene.folder("folder", 0o755);
    for result in [open(&folder), in_folder(&folder), append(&folder)] {
        let refusal = refusal(result);
        assert!(refusal.contains("directory"), "{refusal}");
    }
    symlink("/dev/zero", scene.path("zero")).expect("a link");
    assert_eq!(refusal(open(&scene.path("zero"))), "not a regular file");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[test]
fn file_of_a_stranger_is_refused() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    let ledger = scene.folder("ledger", 0o1777);
    let path = scene.file("ledger/n1.2026-05.jsonl", "{}\n");
    chown(&path, Some(STRANGER), None).expect("given away");
    for result in [in_folder(&path), append(&path)] {
        let refusal = refusal(result);
        assert!(refusal.starts_with("belongs to uid 65534; expected root"), "{refusal}");
    }
    // Who owns the folder can replace what is in it.
    chown(&ledger, Some(STRANGER), None).expect("given away");
    assert!(in_folder(&path).is_ok() && append(&path).is_ok());
}

#[test]
fn second_name_stops_appending_in_foreign_folder() {
    let scene = Scene::new();
    let ledger = scene.folder("ledger", 0o777);
    let target = scene.file("target", "");
    fs::hard_link(&target, ledger.join("n1.jsonl")).expect("a hard link");
    let refusal = refusal(append(&ledger.join("n1.jsonl")));
    assert!(refusal.starts_with("has another hard link, and group or others may write"), "{refusal}");
    scene.folder("ledger", 0o755);
    assert!(append(&ledger.join("n1.jsonl")).is_ok());
}

#[test]
fn reading_stops_at_its_limit() {
    let scene = Scene::new();
    let path = scene.file("text", "12345");
    assert_eq!(read(&path, 5).expect("text"), b"12345");
    assert_eq!(refusal(read(&path, 4)), "larger than 4 bytes");
    assert_eq!(read(&scene.path("none"), 4).expect_err("missing").kind(), ErrorKind::NotFound);
    assert_eq!(read(&scene.path("none/none"), 4).expect_err("missing").kind(), ErrorKind::NotFound);
}

#[test]
fn missing_folders_are_made() {
    let scene = Scene::new();
    let path = scene.path("a/b/c");
    assert_eq!(Folder::open(&path).expect_err("missing").kind(), ErrorKind::NotFound);
    Folder::open_or_make(&path, 0o750).expect("made").append("f".as_ref(), 0o640).expect("made");
    Folder::open_or_make(&path, 0o750).expect("there");
    assert_eq!(fs::metadata(&path).expect("a folder").permissions().mode() & 0o027, 0);
    let names = Folder::open(&path).expect("there").names(1, |_| true).expect("names");
    assert_eq!(names, ["f"]);
    assert_eq!(refusal(Folder::open(&path).expect("there").names(0, |_| true)), "more than 0 files");
}

#[test]
fn replacing_writes_through_no_link() {
    let scene = Scene::new();
    let cache = scene.folder("cache", 0o777);
    let target = scene.file("target", "root's");
    for name in ["DE.json", "DE.json.new"] {
        symlink(&target, cache.join(name)).expect("a link");
    }
    let folder = Folder::open(&cache).expect("the folder");
    folder.replace("DE.json".as_ref(), "DE.json.new".as_ref(), b"new", 0o644).expect("written");
    assert_eq!(fs::read_to_string(&target).expect("text"), "root's");
    assert_eq!(fs::read_to_string(cache.join("DE.json")).expect("text"), "new");
    assert_eq!(fs::symlink_metadata(cache.join("DE.json")).expect("a file").permissions().mode(), 0o100_644);
    assert_eq!(fs::read_dir(&cache).expect("a folder").count(), 1);
}

#[test]
fn modes_are_checked_up_to_the_root() {
    let scene = Scene::new();
    let state = scene.folder("run/carm", 0o700);
    let check = |path: &Path| check_modes(path);
    assert_eq!(check(&state), Ok(()));
    assert_eq!(check(&state.join("missing/too")), Ok(()));
    for mode in [0o777, 0o770, 0o1777] {
        scene.folder("run/carm", mode);
        let fault = check(&state).expect_err("others may write");
        assert!(fault.contains(&format!("run/carm' (mode {mode:o})")), "{fault}");
        assert_eq!(check(&state.join("missing/too")).is_ok(), mode == 0o1777);
    }
    scene.folder("run/carm", 0o755);
    let file = scene.file("run/carm/carm.toml", "");
    assert_eq!(check(&file), Ok(()));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).expect("a mode");
    assert!(check(&file).expect_err("group may write").contains("carm.toml' (mode 664)"));
    scene.file("run/carm/carm.toml", "");
    scene.folder("run", 0o775);
    assert!(check(&file).expect_err("group may write").contains("run' (mode 775)"));
    // As /tmp: what belongs to root there, nobody else can replace.
    scene.folder("run", 0o1777);
    assert_eq!(check(&file), Ok(()));
    if runs_as_root() {
        chown(scene.path("run"), Some(STRANGER), None).expect("given away");
        assert!(check(&file).expect_err("a stranger's").contains("run' belongs to uid 65534"));
    }
}
