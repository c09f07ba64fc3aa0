//! etc/install and what it installs: which files with which modes, what an upgrade and a removal leave alone, and that
//! an installed tree works on a real Slurm, in its folders of prologs, as an admin would have it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carm::ledger;
use common::{Cluster, Setup, SlurmRelease, built, plugin_for, repository, wait_for};

/// A folder that things are installed into.
struct Host {
    folder: tempfile::TempDir,
}

struct Said {
    code: i32,
    text: String,
}

impl Host {
    fn new() -> Self {
        for name in ["libspank_carm.so", "carm-prolog", "carm-submit", "carm-report", "carm-grid", "carm-sim"] {
            assert!(built(name).exists(), "{name} is not built; cargo build --workspace");
        }
        let folder = tempfile::Builder::new().prefix("carm-host-").tempdir().expect("a folder");
        // Jobs of any user come by.
        mode(folder.path(), 0o755);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// etc/install with all of its folders in this one; Slurm is asked by the given slurm.conf.
    fn install(&self, verbs: &[&str], slurm_conf: &Path) -> Said {
        self.install_from(&built(""), verbs, slurm_conf)
    }

    fn install_from(&self, programs: &Path, verbs: &[&str], slurm_conf: &Path) -> Said {
        let own = |option: &str, name: &str| format!("--{option}={}", self.path(name).display());
        let folders = [own("prefix", "usr"), own("sysconfdir", "etc"), own("localstatedir", "var"), own("plugin-dir", "plugins")];
        etc_install_from(programs, &[verbs, &folders.each_ref().map(String::as_str)].concat(), slurm_conf)
    }

    /// The same where Slurm does not answer.
    fn install_without_slurm(&self, verbs: &[&str]) -> Said {
        self.install(verbs, Path::new("/dev/null"))
    }

    /// Every file and empty folder below, with its mode.
    fn tree(&self) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            let entries: Vec<_> = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
            let name = |path: &Path| path.strip_prefix(self.folder.path()).expect("below").display().to_string();
            if entries.is_empty() {
                found.insert(name(&folder) + "/", mode_of(&folder));
            }
            for path in entries {
                if path.is_dir() { folders.push(path) } else { _ = found.insert(name(&path), mode_of(&path)) }
            }
        }
        found
    }
}

fn etc_install(arguments: &[&str], slurm_conf: &Path) -> Said {
    etc_install_from(&built(""), arguments, slurm_conf)
}

fn etc_install_from(programs: &Path, arguments: &[&str], slurm_conf: &Path) -> Said {
    let mut command = Command::new("bash");
    command.arg(repository().join("etc/install")).args(arguments).arg("--built").arg(programs);
    // A Slurm in a chroot has its clients beside its slurm.conf.
    let clients = slurm_conf.parent().unwrap_or(Path::new("/")).join("bin").display().to_string();
    command.env("PATH", clients + ":" + &std::env::var("PATH").unwrap_or_default());
    let output = command.env("SLURM_CONF", slurm_conf).stdin(Stdio::null()).output().expect("running etc/install");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Said { code: output.status.code().unwrap_or(-1), text }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changing a mode");
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").mode() & 0o7777
}

/// The shipped profiles, where they are installed.
fn profiles() -> Vec<String> {
    let entries = fs::read_dir(repository().join("etc/profiles")).expect("a folder").map(|entry| entry.expect("an entry"));
    let names = entries.map(|entry| entry.file_name().into_string().expect("a name")).filter(|name| name.ends_with(".toml"));
    let mut paths: Vec<String> = names.map(|name| format!("etc/carm/profiles/{name}")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn a_package_holds_these_files_and_no_others() {
    let host = Host::new();
    let destdir = host.path("").display().to_string();
    let said = etc_install(&["--destdir", &destdir, "--plugin-dir=/usr/lib/slurm"], Path::new("/dev/null"));
    assert_eq!(said.code, 0, "{}", said.text);
    let expected = [
        ("etc/carm/carm.toml", 0o644),
        ("etc/logrotate.d/carm", 0o644),
        ("etc/slurm/epilog.d/50-carm", 0o755),
        ("etc/slurm/plugstack.conf.d/carm.conf", 0o644),
        ("etc/slurm/prolog.d/50-carm", 0o755),
        ("usr/bin/carm-grid", 0o755),
        ("usr/bin/carm-sim", 0o755),
        ("usr/bin/carm-report", 0o755),
        ("usr/bin/carm-submit", 0o755),
        ("usr/lib/slurm/spank_carm.so", 0o644),
        ("usr/lib/systemd/system/carm-governor.service", 0o644),
        ("usr/lib/systemd/system/carm-grid.service", 0o644),
        ("usr/lib/systemd/system/carm-grid.timer", 0o644),
        ("usr/lib/systemd/system/carm-reset.service", 0o644),
        ("usr/lib/sysusers.d/carm.conf", 0o644),
        ("usr/libexec/carm/carm-prolog", 0o755),
        ("usr/share/carm/grafana/alerts.yml", 0o644),
        ("usr/share/carm/grafana/carm.json", 0o644),
        ("var/cache/carm/", 0o755),
        ("var/lib/carm/ledger/", 0o750),
        ("var/log/carm/", 0o750),
    ];
    let mut expected = BTreeMap::from(expected.map(|(name, mode)| (name.to_owned(), mode)));
    expected.extend(profiles().into_iter().map(|name| (name, 0o644)));
    assert_eq!(host.tree(), expected);
    for name in profiles() {
        // As they are: the paths of an installation are no part of them.
        assert_eq!(host.read(&name), fs::read_to_string(repository().join(name.replace("/carm/", "/"))).expect("a profile"));
    }
    // Its files speak of where it will be, not of where it was put together.
    let units = ["usr/lib/systemd/system/carm-reset.service", "usr/lib/systemd/system/carm-governor.service"];
    for name in ["etc/slurm/prolog.d/50-carm", "etc/slurm/epilog.d/50-carm"].into_iter().chain(units) {
        let text = host.read(name);
        assert!(text.contains("/usr/libexec/carm/carm-prolog") && !text.contains(&destdir), "{text}");
    }
    for line in ["Prolog=/etc/slurm/prolog.d/*", "Epilog=/etc/slurm/epilog.d/*", "PrologFlags=Alloc", "systemctl restart slurmd"]
    {
        assert!(said.text.contains(line), "{line} is not among what is to do by hand: {}", said.text);
    }
}

#[test]
fn an_upgrade_keeps_what_the_admin_changed_and_replaces_programs_by_rename() {
    let host = Host::new();
    assert_eq!(host.install_without_slurm(&[]).code, 0);
    fs::write(host.path("etc/carm/carm.toml"), "[planner]\npue = 1.1\n").expect("an edit");
    let edited = "etc/carm/profiles/a100-bert-train.toml";
    let cooler = host.read(edited).replace("measured = false", "measured = true");
    fs::write(host.path(edited), &cooler).expect("an edit");
    let own = "etc/carm/profiles/ours.toml";
    fs::write(host.path(own), "ours").expect("another profile");
    let off = "optional spank_carm.so enabled=no\n";
    fs::write(host.path("etc/slurm/plugstack.conf.d/carm.conf"), off).expect("an edit");
    let programs = ["plugins/spank_carm.so", "usr/libexec/carm/carm-prolog", "etc/slurm/prolog.d/50-carm"];
    // A second name holds on to the old file, as a process does that has it mapped.
    for name in programs {
        fs::hard_link(host.path(name), host.path(&format!("old-{}", name.replace('/', "-")))).expect("a link");
    }

    let said = host.install_without_slurm(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(host.read("etc/carm/carm.toml"), "[planner]\npue = 1.1\n");
    assert_eq!((host.read(edited), host.read(own)), (cooler, "ours".to_owned()));
    assert!(host.read(&format!("{edited}.new")).contains("measured = false"));
    assert_eq!(said.text.matches("profiles/").count(), 1, "the others are as they were: {}", said.text);
    assert_eq!(host.read("etc/slurm/plugstack.conf.d/carm.conf"), off);
    assert!(host.read("etc/carm/carm.toml.new").contains("typical-day"));
    assert!(said.text.contains("carm.toml: yours; this release's is beside it as carm.toml.new"), "{}", said.text);
    for name in programs {
        assert_eq!(fs::metadata(host.path(name)).expect("a file").nlink(), 1, "{name} was written in place");
    }
    // Slurm runs whatever lies in these folders.
    for folder in ["etc/slurm/prolog.d", "etc/slurm/epilog.d"] {
        let names: Vec<_> =
            fs::read_dir(host.path(folder)).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
        assert_eq!(names, ["50-carm"], "{folder}");
    }

    fs::rename(host.path("etc/carm/carm.toml.new"), host.path("etc/carm/carm.toml")).expect("the admin takes it");
    assert!(!host.install_without_slurm(&[]).text.contains("carm.toml: yours"));
}

#[test]
fn prolog_and_epilog_succeed_whatever_is_wrong_with_the_program() {
    let host = Host::new();
    assert_eq!(host.install_without_slurm(&[]).code, 0);
    let program = host.path("usr/libexec/carm/carm-prolog");
    let succeed = |when: &str| {
        for name in ["etc/slurm/prolog.d/50-carm", "etc/slurm/epilog.d/50-carm"] {
            let status = Command::new(host.path(name)).env_clear().stderr(Stdio::null()).status().expect("running it");
            assert_eq!(status.code(), Some(0), "{name} {when}");
        }
    };
    succeed("without a job");
    fs::write(&program, "#!/bin/sh\nkill -9 $$\n").expect("a program");
    succeed("with a program that is killed");
    fs::write(&program, "#!/no/such/loader\n").expect("a program");
    succeed("with a program that nothing can load");
    fs::write(&program, [0x7f, b'E', b'L', b'F']).expect("a program");
    succeed("with half a program");
    mode(&program, 0o644);
    succeed("with a program that may not be run");
    fs::remove_file(&program).expect("removing it");
    succeed("without the program");
}

#[test]
fn a_check_changes_nothing_and_names_what_is_missing() {
    let host = Host::new();
    let said = host.install_without_slurm(&["--check"]);
    assert_eq!(said.code, 1);
    assert!(said.text.contains("spank_carm.so: not installed; run etc/install"), "{}", said.text);
    assert_eq!(host.tree(), BTreeMap::from([("/".to_owned(), 0o755)]));

    assert_eq!(host.install_without_slurm(&[]).code, 0);
    let said = host.install_without_slurm(&["--check"]);
    assert_eq!(said.code, 0, "{}", said.text);

    fs::write(host.path("etc/carm/carm.toml"), "[planner]\npeu = 1.1\n").expect("a typing error");
    mode(&host.path("etc/slurm/epilog.d/50-carm"), 0o644);
    let said = host.install_without_slurm(&["--check"]);
    assert_eq!(said.code, 1);
    assert!(said.text.contains("carm.toml:2: unknown field `peu`"), "{}", said.text);
    assert!(said.text.contains("epilog.d/50-carm: not executable"), "{}", said.text);
}

#[test]
fn paths_that_could_not_stand_in_a_script_are_refused() {
    for (arguments, cause) in [
        (["--prefix", "usr"], "'usr': not an absolute path"),
        (["--prefix", "/a b"], "'/a b': these paths go into scripts"),
        (["--sysconfdir", "/etc|x"], "'/etc|x': these paths go into scripts"),
        (["--colour", "red"], "--colour: unknown option"),
    ] {
        let said = etc_install(&arguments, Path::new("/dev/null"));
        assert_eq!(said.code, 1, "{arguments:?}");
        assert!(said.text.contains(cause), "{}", said.text);
    }
}

#[test]
fn a_removal_keeps_configuration_and_never_empties_a_folder_that_slurm_runs() {
    let host = Host::new();
    assert_eq!(host.install_without_slurm(&[]).code, 0);
    fs::write(host.path("etc/slurm/epilog.d/10-ours"), "#!/bin/sh\n").expect("another script");
    let said = host.install_without_slurm(&["--remove"]);
    assert_eq!(said.code, 0, "{}", said.text);
    let left: Vec<String> = host.tree().into_keys().filter(|name| !name.ends_with('/')).collect();
    // Without Slurm's answer 50-carm may be what slurm.conf names, in either folder.
    let slurms = ["epilog.d/10-ours", "epilog.d/50-carm", "prolog.d/50-carm"].map(|name| format!("etc/slurm/{name}"));
    assert_eq!(left, [vec!["etc/carm/carm.toml".to_owned()], profiles(), slurms.into()].concat());
    assert!(said.text.contains("prolog.d/50-carm, which now does nothing"), "{}", said.text);
}

#[test]
fn systemd_takes_the_units_and_their_programs_are_there() {
    let host = Host::new();
    assert_eq!(host.install_without_slurm(&[]).code, 0);
    let units = host.path("usr/lib/systemd/system");
    let [prolog, grid, config] = ["usr/libexec/carm/carm-prolog", "usr/bin/carm-grid", "etc/carm/carm.toml"]
        .map(|name| host.path(name).display().to_string());
    for (name, program, verb) in [
        ("carm-reset.service", &prolog, "reset"),
        ("carm-governor.service", &prolog, "govern"),
        ("carm-grid.service", &grid, "fetch --once"),
    ] {
        let unit = units.join(name);
        let text = fs::read_to_string(&unit).expect("a unit");
        assert!(text.lines().any(|line| line == format!("ExecStart={program} --config {config} {verb}")), "{text}");
        // Says what it does not understand, and which programs it does not find, and still exits 0.
        let output = Command::new("systemd-analyze").arg("verify").arg(&unit).output().expect("the package systemd");
        let said = String::from_utf8_lossy(&output.stderr);
        let own: Vec<&str> = said.lines().filter(|line| line.contains("carm-")).collect();
        assert!(output.status.success() && own.is_empty(), "{name}: {said}");
    }
    let timer = Command::new("systemd-analyze").arg("verify").arg(units.join("carm-grid.timer")).output().expect("systemd");
    assert!(timer.status.success() && !String::from_utf8_lossy(&timer.stderr).contains("carm-"), "{timer:?}");
    // What the governor may write is where this installation has it.
    let governor = fs::read_to_string(units.join("carm-governor.service")).expect("a unit");
    let writes: Vec<&str> = governor.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=-")).collect();
    let var = |name: &str| host.path("var").join(name).display().to_string();
    assert_eq!(writes, [var("lib/carm"), var("log/carm"), "/var/lib/prometheus/node-exporter".to_owned()]);
}

/// The folder that etc/install finds by itself, for a Slurm that is to look there and in the test's own.
fn plugin_dir() -> String {
    let said = etc_install(&["--check"], Path::new("/dev/null")).text;
    let line = said.lines().find_map(|line| line.split_whitespace().nth(1)?.strip_suffix("/spank_carm.so"));
    line.or_else(|| said.lines().find_map(|line| line.split_whitespace().nth(1)?.strip_suffix("/spank_carm.so:")))
        .unwrap_or_else(|| panic!("no plugin folder in: {said}"))
        .to_owned()
}

/// A Slurm whose configuration has what etc/install says is to be written by hand, and a script of the site's own.
fn slurm_on(host: &Host) -> Cluster {
    for verb in ["prolog", "epilog"] {
        let path = host.path(&format!("etc/slurm/{verb}.d/90-record"));
        // The vocabulary's recorder, in the folder of this Slurm.
        fs::write(&path, format!("#!/bin/sh\nexec \"${{SLURM_CONF%/daemon/slurm.conf}}/{verb}\"\n")).expect("a script");
        mode(&path, 0o755);
    }
    let slurm = host.path("etc/slurm").display().to_string();
    Cluster::setup()
        .without_plugin()
        .plugstack(&format!("include {slurm}/plugstack.conf.d/*.conf"))
        .extra(&format!("PluginDir={}:{}", plugin_dir(), host.path("plugins").display()))
        .extra(&format!("Prolog={slurm}/prolog.d/*"))
        .extra(&format!("Epilog={slurm}/epilog.d/*"))
        .start()
}

#[test]
fn the_installed_tree_works_on_a_real_slurm_and_its_removal_costs_no_node() {
    let host = Host::new();
    nvidia_ml::place::place(&host.path("gpu"), nvidia_ml::place::EIGHT_GPUS).expect("the stand-in NVML");
    assert_eq!(host.install_without_slurm(&[]).code, 0);
    // The sample ends with [node].
    let node = ["gpu/libnvidia-ml.so.1", "run", "var/lib/carm/ledger", "var/log/carm/prolog.log"].map(|name| host.path(name));
    let [library, state, ledger, log] = node.each_ref().map(|path| path.display());
    let more = format!("nvml_library = \"{library}\"\nstate_dir = \"{state}\"\nledger_dir = \"{ledger}\"\nlog = \"{log}\"\n");
    fs::write(host.path("etc/carm/carm.toml"), host.read("etc/carm/carm.toml") + &more).expect("the configuration");
    let cluster = slurm_on(&host);
    let said = host.install(&["--check"], &cluster.slurm_conf());
    assert_eq!(said.code, 0, "{}", said.text);

    let script = cluster.script("job.sh", "#!/bin/sh\n#SBATCH --gpus=1 --time=5\nsleep 2\n");
    let job = cluster.sbatch(&["--carbon-deadline=now+1hour", "--carbon-runtime=0:02", &script]).job();
    assert_eq!(cluster.wait_for_job(job), "COMPLETED", "{}", host.read("var/log/carm/prolog.log"));
    let line = wait_for("the ledger line", || ledger::read_dir(&host.path("var/lib/carm/ledger")).ok()?.records.pop());
    assert_eq!((line.job, line.site.as_deref(), line.zone.as_deref()), (job, Some("default"), Some("typical")));
    assert_eq!(line.marks, [], "{}", host.read("var/log/carm/prolog.log"));
    assert!(line.clock_mhz.is_some(), "{}", line.decision);

    // The site takes its own scripts out, then CARM: what is left in the folders keeps the node.
    for verb in ["prolog", "epilog"] {
        fs::remove_file(host.path(&format!("etc/slurm/{verb}.d/90-record"))).expect("a script");
    }
    let said = host.install(&["--remove"], &cluster.slurm_conf());
    assert_eq!(said.code, 0, "{}", said.text);
    assert!(!host.path("usr/libexec/carm").exists() && !host.path("plugins/spank_carm.so").exists(), "{}", said.text);
    let job = cluster.sbatch(&[&script]).job();
    wait_for("a job without CARM", || (cluster.job(job).remove("JobState")? == "COMPLETED").then_some(()));
    wait_for("the node", || (cluster.node_states() == ["idle"]).then_some(()));
}

/// The releases print Prolog= in different ways: `Prolog = x` before 24.05, `Prolog[0] = x` from then on.
fn check_and_removal_read_prolog_lines(release: SlurmRelease) {
    struct Case<'a> {
        /// Below the folder of slurm.conf.
        prolog: &'a str,
        others: &'a [(&'a str, &'a str)],
        check_is_ok: bool,
        script_stays: bool,
    }
    const OURS: (&str, &str) = ("prolog.d/10-site", "#!/bin/sh\n");
    let calls_carm = ("site-prolog", "#!/bin/sh\nexec \"$(dirname \"$0\")/prolog.d/50-carm\"\n");
    let calls_folder = ("site-prolog", "#!/bin/sh\nexec run-parts \"$(dirname \"$0\")/prolog.d\"\n");
    let case = |prolog, others, check_is_ok, script_stays| Case { prolog, others, check_is_ok, script_stays };
    for Case { prolog, others, check_is_ok, script_stays } in [
        case("prolog.d/*", &[], true, true),
        case("prolog.d/*", &[OURS], true, false),
        case("prolog.d/50-*", &[OURS], true, true),
        case("prolog.d/1*", &[OURS], false, false),
        case("prolog.d/50-carm", &[OURS], true, true),
        case("site-prolog", &[calls_carm], true, true),
        case("site-prolog", &[calls_folder], false, true),
    ] {
        let host = Host::new();
        assert_eq!(host.install_without_slurm(&[]).code, 0);
        for (name, text) in others {
            fs::write(host.path("etc/slurm").join(name), text).expect("a script");
            mode(&host.path("etc/slurm").join(name), 0o755);
        }
        let path = host.path("etc/slurm").join(prolog);
        let setup = Setup::on(release).without_plugin().bind(&host.path(""));
        let cluster = setup.extra(&format!("Prolog={}", path.display())).start();
        let check = host.install(&["--check"], &cluster.slurm_conf());
        let missing = check.text.contains("MISSING slurm.conf: Prolog=");
        assert_eq!(!missing, check_is_ok, "{prolog}: {}", check.text);
        let removal = host.install(&["--remove"], &cluster.slurm_conf());
        assert_eq!(removal.code, 0, "{}", removal.text);
        let stays = host.path("etc/slurm/prolog.d/50-carm").exists();
        assert_eq!(stays, script_stays, "{prolog}: {}", removal.text);
    }
}

#[test]
fn prolog_lines_are_read_on_this_slurm() {
    check_and_removal_read_prolog_lines(SlurmRelease::Installed);
}

#[test]
fn prolog_lines_are_read_on_debian_13() {
    SlurmRelease::Debian13.run(check_and_removal_read_prolog_lines);
}

#[test]
fn prolog_lines_are_read_on_debian_sid() {
    SlurmRelease::DebianSid.run(check_and_removal_read_prolog_lines);
}

/// A folder of built programs with another plugin.
fn copy_programs(folder: &Path, plugin: &[u8]) {
    fs::create_dir(folder).expect("a folder");
    for name in ["carm-prolog", "carm-submit", "carm-report", "carm-grid", "carm-sim"] {
        std::os::unix::fs::symlink(built(name), folder.join(name)).expect("a link");
    }
    fs::write(folder.join("libspank_carm.so"), plugin).expect("a plugin");
}

#[test]
fn install_refuses_plugin_of_another_slurm() {
    if !SlurmRelease::Debian13.is_there() {
        return;
    }
    let host = Host::new();
    let programs = host.path("programs");
    copy_programs(&programs, &fs::read(plugin_for(SlurmRelease::Debian13)).expect("a plugin"));
    let before = host.tree();
    let said = host.install_from(&programs, &[], Path::new("/dev/null"));
    assert_eq!(said.code, 1, "{}", said.text);
    assert!(
        said.text.contains(&format!("built for Slurm {}, but this host has ", SlurmRelease::Debian13.major())),
        "{}",
        said.text
    );
    assert!(said.text.contains("; nothing was changed"), "{}", said.text);
    assert_eq!(host.tree(), before);
}

#[test]
fn systemd_sysusers_makes_the_user() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("etc")).expect("a folder");
    let mut command = Command::new("systemd-sysusers");
    command.arg("--root").arg(root.path()).arg(repository().join("etc/sysusers.d/carm.conf"));
    let output = command.output().expect("the package systemd");
    assert!(output.status.success(), "{output:?}");
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(users.starts_with("carm:") && users.contains(":/var/cache/carm:"), "{users}");
}

#[test]
fn cli_filter_goes_to_every_host() {
    for name in ["etc/cli_filter.lua", "docs/install.md"] {
        let text = fs::read_to_string(repository().join(name)).expect("a file").replace('*', "");
        assert!(text.contains("on every host"), "{name}");
        assert!(!text.contains("beside it, on the login nodes"), "{name}");
    }
}

#[test]
fn the_check_names_what_is_missing_in_slurms_own_configuration() {
    let host = Host::new();
    assert_eq!(host.install_without_slurm(&[]).code, 0);
    let cluster = Cluster::setup().without_plugin().extra("PrologEpilogTimeout=5").start();
    let said = host.install(&["--check"], &cluster.slurm_conf());
    assert_eq!(said.code, 1, "{}", said.text);
    for missing in [
        "slurm.conf: Prolog=",
        "slurm.conf: Epilog=",
        "PrologEpilogTimeout=5: CARM may take 5 s",
        "plugstack.conf: does not include",
    ] {
        assert!(said.text.contains(missing), "{missing}: {}", said.text);
    }
}

#[test]
fn the_cli_filter_sample_defers_plain_sbatch_as_carm_submit_would() {
    let cluster = Cluster::setup().extra("CliFilterPlugins=lua").start();
    let site = cluster.folder().join("typical.toml");
    // The first hours of the data are dirty, the rest is clean: waiting is always worth it.
    fs::write(cluster.folder().join("grid.csv"), dirty_hours_then_clean()).expect("a trace");
    let grid =
        "[[zone]]\nname = \"z\"\nsource = \"trace\"\npath = \"grid.csv\"\n[[site]]\nname = \"s\"\nzone = \"z\"\ngpus = 4\n";
    fs::write(&site, grid).expect("a configuration");
    let sample = fs::read_to_string(repository().join("etc/cli_filter.lua")).expect("the sample");
    let here = sample.replace("/usr/bin/carm-submit", &built("carm-submit").display().to_string());
    assert_ne!(sample, here);
    fs::write(cluster.folder().join("cli_filter.lua"), here).expect("the sample");
    let script = cluster.script("job.sh", "#!/bin/sh\n#SBATCH --gres=gpu:2 --time=60\nsleep 1\n");
    let begins = |arguments: &[&str]| {
        let client = cluster.with_env("CARM_CONFIG", &site.display().to_string());
        let job = client.sbatch(&[arguments, &[&script]].concat()).job();
        let job = cluster.job(job);
        let time = |key: &str| chrono::NaiveDateTime::parse_from_str(&job[key], "%Y-%m-%dT%H:%M:%S").expect("a time");
        (time("EligibleTime") - time("SubmitTime")).num_minutes()
    };
    let deferred = begins(&["--carbon-deadline=now+1day"]);
    assert!((55..=120).contains(&deferred), "deferred by {deferred} min");
    assert!((55..=120).contains(&begins(&["--carbon-deadline=now+1day", "--carbon-suspend"])));
    assert_eq!(begins(&[]), 0, "without carbon options");
    assert_eq!(begins(&["--carbon-deadline=now+1day", "--carbon-off"]), 0);
    assert_eq!(begins(&["--carbon-deadline=now+1day", "--carbon-max-delay=0s"]), 0);
    assert_eq!(begins(&["--carbon-deadline=now+1day", "--begin=now+600"]), 10, "the user's own time holds");
}

/// Hourly: two rows of 800 g/kWh, the second of them the present hour's, one more, then two days of 50.
fn dirty_hours_then_clean() -> String {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let hour = now.timestamp() / 3600 * 3600;
    let row = |step: i64| {
        let at = chrono::DateTime::from_timestamp(hour + (step - 1) * 3600, 0).expect("a time");
        format!("{},{}\n", at.format("%Y-%m-%dT%H:%M:%SZ"), if step < 3 { 800 } else { 50 })
    };
    std::iter::once("time,carbon_g_per_kwh\n".to_owned()).chain((0..52).map(row)).collect()
}

#[test]
fn the_job_submit_sample_asks_for_an_answer_about_carbon() {
    let cluster = Cluster::setup().node("n1:4:gpu:1-00:00:00").start();
    // slurmctld looks beside its own slurm.conf.
    fs::copy(repository().join("etc/job_submit.lua"), cluster.folder().join("daemon/job_submit.lua")).expect("the sample");
    let conf = fs::read_to_string(cluster.slurm_conf()).expect("slurm.conf") + "JobSubmitPlugins=lua\n";
    fs::write(cluster.slurm_conf(), conf).expect("slurm.conf");
    assert_eq!(cluster.run("scontrol", &["reconfigure"]).code, 0);
    let submit = |arguments: &[&str]| cluster.sbatch(&[arguments, &["--hold", "--wrap=true"]].concat());
    wait_for("slurmctld to take the sample up", || (submit(&["--gpus=1", "--time=8:00:00"]).code != 0).then_some(()));

    for gpus in ["--gpus=1", "--gres=gpu:1", "--gpus-per-node=1"] {
        let refused = submit(&[gpus, "--time=8:00:00"]);
        let line = "GPU jobs of more than 240 minutes in gpu: give --carbon-deadline, --carbon-budget or --carbon-off";
        assert!(refused.stderr.contains(line), "{gpus}: {refused:?}");
        assert_eq!(submit(&[gpus, "--time=4:00:00"]).code, 0, "{gpus}");
        assert_eq!(submit(&[gpus, "--time=8:00:00", "--carbon-off"]).code, 0, "{gpus}");
        assert_eq!(submit(&[gpus, "--time=8:00:00", "--carbon-budget=2kg"]).code, 0, "{gpus}");
    }
    assert_eq!(submit(&["--time=8:00:00"]).code, 0, "a job without GPUs");
}
