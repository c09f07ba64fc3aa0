//! Sets up a bench for a test: the library under its real name, beside a description. Everyone may use the folder, as a
//! prolog (root) and a job (a user) do; the parents of the folder are the caller's business.

use std::fs::{Permissions, set_permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Eight modelled "NVIDIA GeForce RTX 4090", with minor numbers that differ from the index order.
pub const EIGHT_GPUS: &str = include_str!("../gpus-8.toml");

/// Copies the library into a folder, writes `gpus.toml`, and returns the library's path, for `nvml_library` and `--library`.
pub fn place(dir: &Path, description: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    // Sticky, as /tmp: nobody else can replace the library that root loads ([node] strict_modes).
    set_permissions(dir, Permissions::from_mode(0o1777))?;
    std::fs::write(dir.join("gpus.toml"), description)?;
    let path = dir.join("libnvidia-ml.so.1");
    std::fs::copy(built()?, &path)?;
    Ok(path)
}

/// The library as cargo built it, looked for beside the running test or program. A test finds the one in deps/ first: cargo test
/// builds that one afresh, and leaves target/debug/libnvidia_ml.so as the last cargo build made it.
fn built() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let places = exe.ancestors().skip(1).take(2).flat_map(|dir| [dir.to_owned(), dir.join("deps")]);
    let built = places.map(|dir| dir.join("libnvidia_ml.so")).find(|path| path.exists());
    built.ok_or_else(|| {
        let cause = format!("libnvidia_ml.so is not beside {}; run cargo build -p nvml-standin", exe.display());
        Error::new(ErrorKind::NotFound, cause)
    })
}
