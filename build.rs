//! Builds spank-plugin's view of Slurm: `slurm/spank.h` becomes Rust (`$OUT_DIR/spank.rs`), and the `.so` gets its link
//! arguments.
//!
//! Decides whose header is read: `SPANK_INCLUDE` (a folder that holds `slurm/spank.h`), else what pkg-config says of
//! `slurm`, else the system's own. The header decides which Slurm release the plugin fits. Leaves what is done with the
//! interface to `spank-plugin/src/spank.rs`.

use std::env;
use std::panic;
use std::path::{Path, PathBuf};

/// All that the plugin uses of the header. Every function here has been in Slurm since 20.02, so the plugin loads with
/// all symbols bound at once, as Rust links it.
const FUNCTIONS: &str = "spank_context|spank_option_register|spank_job_control_(set|unset)env|slurm_error|slurm_spank_log";

fn main() {
    println!("cargo::rerun-if-env-changed=SPANK_INCLUDE");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    match write_bindings() {
        Ok(()) => {
            // Slurm opens, checks and closes a plugin before it opens it again; a Rust library must not be unmapped in
            // between, for what its standard library registered at the first load stays registered.
            println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
            println!("cargo::rustc-cdylib-link-arg=-Wl,-z,relro");
        }
        // cargo fails the build for this line and, unlike for an exit status, prints nothing beside it.
        Err(reason) => println!("cargo::error={reason}"),
    }
}

fn write_bindings() -> Result<(), String> {
    let include = include_folder()?;
    println!("cargo::rustc-env=SLURM_RELEASE={}", release(&include)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set; run this through cargo")?).join("spank.rs");
    let header = include.join("slurm/spank.h");
    let builder = bindgen::Builder::default()
        .header(header.display().to_string())
        .clang_arg(format!("-I{}", include.display()))
        .allowlist_function(FUNCTIONS)
        .allowlist_var("SLURM_VERSION_NUMBER|ESPANK_SUCCESS")
        .allowlist_type("spank_option|spank_context")
        .prepend_enum_name(false)
        .layout_tests(false)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    // bindgen panics where libclang is missing, with twenty lines and no package's name.
    panic::set_hook(Box::new(|_| {}));
    let generated = panic::catch_unwind(panic::AssertUnwindSafe(|| builder.generate()));
    drop(panic::take_hook());
    match generated {
        Ok(Ok(bindings)) => bindings.write_to_file(&out).map_err(|error| format!("writing {}: {error}", out.display())),
        Ok(Err(error)) => Err(format!("{}: bindgen: {}", header.display(), one_line(&error.to_string()))),
        Err(cause) => {
            let cause = cause.downcast_ref::<String>().map_or("bindgen panicked", String::as_str);
            if cause.contains("libclang") {
                Err("libclang is missing, which reads Slurm's header; install libclang-dev or set LIBCLANG_PATH".into())
            } else {
                Err(format!("{}: bindgen: {}", header.display(), one_line(cause)))
            }
        }
    }
}

/// The folder that holds `slurm/spank.h`.
fn include_folder() -> Result<PathBuf, String> {
    let holds_header = |folder: &Path| folder.join("slurm/spank.h").is_file();
    if let Some(named) = env::var_os("SPANK_INCLUDE").filter(|named| !named.is_empty()) {
        let folder = PathBuf::from(named);
        return if holds_header(&folder) {
            Ok(folder)
        } else {
            Err(format!("SPANK_INCLUDE: '{}': no slurm/spank.h in it; name the folder above slurm/", folder.display()))
        };
    }
    // No cargo metadata: the plugin's Slurm symbols are those of the program that loads it, so nothing may be linked.
    let packaged = pkg_config::Config::new().cargo_metadata(false).probe("slurm");
    let packaged = packaged.map(|library| library.include_paths).unwrap_or_default();
    let system = ["/usr/include", "/usr/local/include"].map(PathBuf::from);
    packaged.into_iter().chain(system).find(|folder| holds_header(folder)).ok_or_else(|| {
        "slurm/spank.h is missing; install libslurm-dev (slurm-devel on RPM systems) or set SPANK_INCLUDE".to_owned()
    })
}

/// `22.05`, from `#define SLURM_VERSION_NUMBER 0x160508`: each byte is a part, and the last is free.
fn release(include: &Path) -> Result<String, String> {
    let path = include.join("slurm/slurm_version.h");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    let number = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define SLURM_VERSION_NUMBER"))
        .find_map(|value| u32::from_str_radix(value.trim().strip_prefix("0x")?, 16).ok())
        .ok_or_else(|| format!("{}: no SLURM_VERSION_NUMBER in it; is this a Slurm header?", path.display()))?;
    Ok(format!("{:02}.{:02}", number >> 16 & 0xff, number >> 8 & 0xff))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
