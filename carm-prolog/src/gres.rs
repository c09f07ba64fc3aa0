//! The node's GPU device files in GRES order: what an index in `SLURM_JOB_GPUS` points into.
//!
//! The index counts the devices of gres.conf in the order of its lines; it is neither the device's minor number nor NVML's
//! index (with `File=/dev/nvidia[1-2]` the first GPU is index 0, minor 1). Where the order cannot be known for certain there
//! is no list: to lock the wrong GPU is worse than to lock none.

use std::path::{Path, PathBuf};

use carm::slurm::hostlist;

/// The device files, or why they are not known.
pub fn device_files(configured: Option<&[PathBuf]>, slurm_conf: Option<&Path>, node: &str) -> Result<Vec<PathBuf>, String> {
    if let Some(files) = configured {
        return Ok(files.to_vec());
    }
    let path = slurm_conf.and_then(Path::parent).unwrap_or(Path::new("/etc/slurm")).join("gres.conf");
    match std::fs::read_to_string(&path) {
        Ok(text) => match from_gres_conf(&text, node)
            .map_err(|cause| format!("{}: {cause}; list them as gpu_files under [node]", path.display()))?
        {
            Listing::Files(files) => Ok(files),
            Listing::Automatic => from_dev(Path::new("/dev")),
        },
        Err(error) => {
            Err(format!("{}: cannot be read: {error}; list the device files as gpu_files under [node]", path.display()))
        }
    }
}

#[derive(Debug, PartialEq)]
enum Listing {
    Files(Vec<PathBuf>),
    /// `AutoDetect=nvml` and no file named: Slurm sorts what it finds by device file.
    Automatic,
}

fn from_gres_conf(text: &str, node: &str) -> Result<Listing, String> {
    let mut files = Vec::new();
    let mut automatic = false;
    // A backslash at a line's end continues it, as in all of Slurm's files.
    let text = text.replace("\\\n", " ");
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut pairs = std::collections::HashMap::new();
        for word in line.split_whitespace() {
            if let Some((key, value)) = word.split_once('=') {
                pairs.insert(key.to_ascii_lowercase(), value);
            }
        }
        let here = match pairs.get("nodename") {
            Some(names) => {
                hostlist::expand(names).ok_or_else(|| format!("NodeName={names}: not a host list"))?.iter().any(|n| n == node)
            }
            None => true,
        };
        if !here {
            continue;
        }
        if let Some(how) = pairs.get("autodetect") {
            automatic = how.eq_ignore_ascii_case("nvml") || how.eq_ignore_ascii_case("nvidia");
        }
        if !pairs.get("name").is_some_and(|name| name.eq_ignore_ascii_case("gpu")) {
            continue;
        }
        if pairs.contains_key("multiplefiles") {
            return Err("MultipleFiles= (MIG) is left alone".into());
        }
        match pairs.get("file") {
            Some(file) => files.extend(
                hostlist::expand(file).ok_or_else(|| format!("File={file}: not a list of files"))?.into_iter().map(PathBuf::from),
            ),
            None if automatic => {}
            None => return Err("Name=gpu without File=: no device file is named".into()),
        }
    }
    match (files.is_empty(), automatic) {
        (false, _) => Ok(Listing::Files(files)),
        (true, true) => Ok(Listing::Automatic),
        (true, false) => Err(format!("no Name=gpu line for node {node}")),
    }
}

fn from_dev(dev: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dev).map_err(|error| format!("{}: {error}", dev.display()))?;
    let numbered = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let digits = path.file_name()?.to_str()?.strip_prefix("nvidia")?.parse::<u32>().ok()?;
        Some((digits, path))
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// The device minor of a file: the digits at the end of its name, as Slurm reads it.
pub fn minor(file: &Path) -> Option<u32> {
    let name = file.file_name()?.to_str()?;
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name[digits..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str, node: &str) -> Result<Vec<String>, String> {
        match from_gres_conf(text, node)? {
            Listing::Files(files) => Ok(files.iter().map(|f| f.display().to_string()).collect()),
            Listing::Automatic => Ok(vec!["automatic".into()]),
        }
    }

    #[test]
    fn devices_stand_in_the_order_of_the_lines_for_this_node_alone() {
        let text = "# GPUs\nNodeName=wind[1-2] Name=gpu Type=a100 File=/dev/nvidia[1-2]\nNodeName=wind1 name=GPU \\\n file=/dev/nvidia0\nNodeName=sun Name=gpu File=/dev/nvidia7\n";
        assert_eq!(files(text, "wind1").expect("files"), ["/dev/nvidia1", "/dev/nvidia2", "/dev/nvidia0"]);
        assert_eq!(files(text, "wind2").expect("files"), ["/dev/nvidia1", "/dev/nvidia2"]);
        assert!(files(text, "moon").expect_err("no line").contains("no Name=gpu line for node moon"));
    }

    #[test]
    fn what_cannot_be_known_for_certain_is_refused() {
        assert!(files("Name=gpu Count=4\n", "n").expect_err("no files").contains("no device file"));
        assert!(files("Name=gpu MultipleFiles=/dev/nvidia0,/dev/nvidia-caps/1\n", "n").expect_err("MIG").contains("MIG"));
        assert_eq!(files("AutoDetect=nvml\n", "n").expect("automatic"), ["automatic"]);
    }

    #[test]
    fn the_minor_number_is_the_digits_at_the_end() {
        assert_eq!(minor(Path::new("/dev/nvidia12")), Some(12));
        assert_eq!(minor(Path::new("/dev/dri/card0")), Some(0));
        assert_eq!(minor(Path::new("/dev/nvidiactl")), None);
    }
}
