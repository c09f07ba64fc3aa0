//! The node's GPU device files in GRES order: what an index in `SLURM_JOB_GPUS` points into.
//!
//! The index is neither the device's minor number nor always NVML's index. Without `AutoDetect=` it counts the files of
//! gres.conf (with `File=/dev/nvidia[1-2]`, index 0 is minor 1). With `AutoDetect=nvml` slurmd sorts by PCI bus, which is
//! NVML's order, with or without `File=`; with `AutoDetect=nvidia` it sorts by device file. [`Listing`] has the rules.
//! An uncertain order is an error: a clock lock on another job's GPU is worse than no lock.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use carm::request::printable;
use carm::slurm::conf::{self, Pairs};
use carm::slurm::gres_conf::{AutoDetect, Detected, Listing};

use crate::bounded::whole;
use crate::gpu::{Card, Driver};

/// The character device major of /dev/nvidiaN (Linux's devices.txt).
const NVIDIA_MAJOR: u32 = 195;

/// The device files by gres.conf and slurm.conf, or why their order is not certain.
pub fn device_files(
    slurm_conf: Option<&Path>,
    node: &str,
    driver: &dyn Driver,
    nvml_library: &Path,
) -> Result<Vec<PathBuf>, String> {
    let slurm_conf = slurm_conf.unwrap_or(Path::new("/etc/slurm/slurm.conf"));
    let gres_conf = slurm_conf.with_file_name("gres.conf");
    let files = order(&gres_conf, slurm_conf, node, driver, nvml_library)
        .map_err(|cause| format!("{}: {cause}; list the device files as gpu_files under [node]", gres_conf.display()))?;
    Ok(files.into_iter().map(PathBuf::from).collect())
}

fn order(
    gres_conf: &Path,
    slurm_conf: &Path,
    node: &str,
    driver: &dyn Driver,
    nvml_library: &Path,
) -> Result<Vec<String>, String> {
    let gres = lines(gres_conf)?.ok_or("cannot be read: no such file")?;
    let slurm = lines(slurm_conf).map_err(|cause| format!("{}: {cause}", slurm_conf.display()))?;
    let listing = Listing::read(&gres, slurm.as_deref(), node)?;
    if listing.detect == AutoDetect::Off {
        return listing.order(&[]);
    }
    let cards = driver.cards().map_err(|error| error.to_string())?;
    let order = listing.order(&detected(&cards))?;
    check_detection(&listing, &order, &cards, driver)?;
    if listing.detect == AutoDetect::Nvml
        && depends_on_detection(&listing, &order)
        && !slurmd_has_nvml(slurm.as_deref().unwrap_or_default(), slurm_conf, nvml_library)
    {
        return Err("AutoDetect=nvml, but Slurm's gpu_nvml.so or libnvidia-ml.so is not found, and without NVML slurmd \
                    uses the order of the files"
            .into());
    }
    Ok(order)
}

/// A file's lines; none where there is no such file.
pub fn lines(path: &Path) -> Result<Option<Vec<Pairs>>, String> {
    let include = |name: &str| {
        // Slurm looks for a relative name beside slurm.conf; an absolute one replaces the folder in `join`.
        let path = path.parent().unwrap_or(Path::new("/")).join(name);
        text(&path).map_err(|error| format!("Include: '{}': {error}", printable(&path.display().to_string())))
    };
    match text(path) {
        Ok(text) => conf::read(&text, &include).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Comments may be in any encoding.
fn text(path: &Path) -> std::io::Result<String> {
    let file = path.to_owned();
    match whole(path, "", move || fs::read(file)).as_deref() {
        Some(Ok(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Some(Err(error)) => Err(std::io::Error::new(error.kind(), error.to_string())),
        None => Err(ErrorKind::TimedOut.into()),
    }
}

/// The cards under the names that slurmd uses.
fn detected(cards: &[Card]) -> Vec<Detected> {
    let detected = |card: &Card| Detected {
        kind: card.name.to_lowercase().replace(' ', "_"),
        file: format!("/dev/nvidia{}", card.minor),
        nvml_index: card.index,
    };
    cards.iter().map(detected).collect()
}

/// The driver must still list the GPUs that slurmd detected at its start.
fn check_detection(listing: &Listing, order: &[String], cards: &[Card], driver: &dyn Driver) -> Result<(), String> {
    if let Some((index, _)) = (0..).zip(cards).find(|(index, card)| card.index != *index) {
        return Err(format!("AutoDetect= is set, and GPU {index} does not respond"));
    }
    let listed = |file: &String| minor(Path::new(file)).is_some_and(|minor| cards.iter().any(|card| card.minor == minor));
    if let Some(lost) = order.iter().find(|file| !listed(file)) {
        return Err(format!("AutoDetect= is set, and the driver does not list '{}'", printable(lost)));
    }
    if listing.detect == AutoDetect::Nvidia {
        return Ok(());
    }
    for card in cards {
        // slurmd lists MIG instances instead of such a GPU, so all later indices move.
        if driver.mig(&card.uuid).map_err(|error| error.to_string())? {
            return Err(format!("AutoDetect=nvml, and MIG is enabled on GPU {}", card.index));
        }
    }
    Ok(())
}

/// Whether slurmd without NVML would have the same GPUs in another order.
///
/// It then keeps gres.conf's order or sorts by file. If a `File=` is missing, its count is too low and Slurm drains the node.
fn depends_on_detection(listing: &Listing, order: &[String]) -> bool {
    let Some(configured) = listing.gpus.iter().map(|gpu| gpu.file.clone()).collect::<Option<Vec<String>>>() else {
        return false;
    };
    configured != order || listing.order(&[]).as_deref() != Ok(order)
}

/// Whether slurmd's NVML plugin is installed, and the library that slurmd loads first (22.05 to 26.05: without a version).
fn slurmd_has_nvml(slurm_conf: &[Pairs], path: &Path, nvml_library: &Path) -> bool {
    let architecture = std::env::consts::ARCH;
    let distribution = ["/usr/lib64".into(), format!("/usr/lib/{architecture}-linux-gnu"), "/usr/lib".into()];
    let mut libraries: Vec<PathBuf> = distribution.iter().map(PathBuf::from).collect();
    libraries.extend(nvml_library.parent().map(Path::to_owned));

    let setting = slurm_conf.iter().flatten().rev().find(|(key, _)| key == "plugindir");
    let has_plugin = match setting {
        // slurmd takes the first of these folders that has the plugin.
        Some((_, folders)) => folders.split(':').any(|folder| Path::new(folder).join("gpu_nvml.so").exists()),
        None => {
            // A Slurm built with --prefix has its configuration in PREFIX/etc.
            let prefix = path.ancestors().nth(2).map(|prefix| [prefix.join("lib"), prefix.join("lib64")]);
            let roots = distribution.iter().map(PathBuf::from).chain(prefix.into_iter().flatten());
            let folders = roots.flat_map(|root| [root.join("slurm"), root.join("slurm-wlm")]);
            let mut installed = folders.filter(|folder| folder.join("gpu_generic.so").exists()).peekable();
            installed.peek().is_some() && installed.all(|folder| folder.join("gpu_nvml.so").exists())
        }
    };
    has_plugin && libraries.iter().any(|folder| folder.join("libnvidia-ml.so").exists())
}

/// The device minor of a file or of the file that it links to.
pub fn minor(file: &Path) -> Option<u32> {
    let device = fs::metadata(file).ok().filter(|found| found.file_type().is_char_device()).map(|found| found.rdev());
    if let Some(device) = device.filter(|&device| rustix::fs::major(device) == NVIDIA_MAJOR) {
        return Some(rustix::fs::minor(device));
    }
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    file.file_name()?.to_str()?.strip_prefix("nvidia")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_follows_links() {
        let dir = tempfile::tempdir().expect("a folder");
        let (device, link) = (dir.path().join("nvidia12"), dir.path().join("nvidia0"));
        fs::write(&device, "").expect("a file");
        std::os::unix::fs::symlink("nvidia12", &link).expect("a link");
        assert_eq!(minor(&link), Some(12));
        assert_eq!(minor(Path::new("/dev/nvidia7")), Some(7));
        assert_eq!(minor(Path::new("/dev/nvidiactl")), None);
        assert_eq!(minor(Path::new("/dev/nvidia-caps/nvidia-cap3")), None);
    }
}
