//! The finished `.so`: what it shows to Slurm, what it wants from it, and what else it needs.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol};

use crate::common::{SlurmRelease, plugin_for};

const EXPORTED: [&str; 7] = [
    "plugin_name",
    "plugin_type",
    "plugin_version",
    "slurm_spank_init",
    "slurm_spank_init_failure_mode",
    "slurm_spank_init_post_opt",
    "spank_plugin_version",
];

/// All of them in every Slurm since 20.02, for Rust links so that one missing symbol keeps the plugin from loading.
const WANTED_FROM_SLURM: [&str; 6] = [
    "slurm_error",
    "slurm_spank_log",
    "spank_context",
    "spank_job_control_setenv",
    "spank_job_control_unsetenv",
    "spank_option_register",
];

fn plugins() -> impl Iterator<Item = Vec<u8>> {
    let releases = [SlurmRelease::Installed, SlurmRelease::Debian13, SlurmRelease::DebianSid].into_iter();
    releases.filter(|release| release.is_there()).map(|release| std::fs::read(plugin_for(release)).expect("reading the plugin"))
}

fn with_plugin<T>(look: impl Fn(&ElfFile64) -> T) -> Vec<T> {
    plugins().map(|bytes| look(&ElfFile64::parse(&*bytes).expect("an ELF file"))).collect()
}

#[test]
fn the_plugin_shows_slurm_its_hooks_and_nothing_else() {
    for exported in with_plugin(|file| {
        let names =
            file.dynamic_symbols().filter(|symbol| symbol.is_definition()).filter_map(|s| Some(s.name().ok()?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }) {
        assert_eq!(exported, EXPORTED);
    }
}

#[test]
fn the_plugin_wants_only_what_every_slurm_has() {
    for wanted in with_plugin(|file| {
        let wanted = file.dynamic_symbols().filter(|symbol| symbol.is_undefined());
        let names = wanted.filter_map(|symbol| Some(symbol.name().ok()?.to_owned()));
        let mut names: Vec<String> = names.filter(|name| name.contains("spank") || name.contains("slurm")).collect();
        names.sort();
        names
    }) {
        assert_eq!(wanted, WANTED_FROM_SLURM);
    }
}

#[test]
fn the_plugin_needs_only_libc_and_stays_loaded() {
    use object::elf;
    use object::read::elf::{Dyn, FileHeader};
    for bytes in plugins() {
        let data = &*bytes;
        let header = elf::FileHeader64::<object::Endianness>::parse(data).expect("an ELF header");
        let endian = header.endian().expect("its byte order");
        let sections = header.sections(endian, data).expect("its sections");
        let (entries, link) = sections.dynamic(endian, data).expect("readable").expect("a dynamic section");
        let strings = sections.strings(endian, data, link).expect("its strings");
        let mut needed = Vec::new();
        let mut flags = 0;
        for entry in entries {
            match entry.tag32(endian) {
                Some(elf::DT_NEEDED) => {
                    let name = entry.string(endian, strings).expect("a library's name");
                    needed.push(String::from_utf8_lossy(name).into_owned());
                }
                Some(elf::DT_FLAGS_1) => flags = entry.d_val(endian),
                _ => {}
            }
        }
        assert!(!needed.is_empty());
        for library in needed {
            let allowed = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
            assert!(allowed.contains(&library.as_str()), "{library}");
        }
        assert_ne!(flags & u64::from(elf::DF_1_NODELETE), 0, "-z nodelete");
    }
}
