//! The node's GPUs in GRES order: what an index in `SLURM_JOB_GPUS` points into.
//!
//! slurmd reads gres.conf's `Name=` lines before its `NodeName=` lines, sorts them by the types of slurm.conf's `Gres=`, cuts
//! them to its counts, and with `AutoDetect=` merges them with the GPUs that it detects. Source: `_merge_config` in gres.c and
//! `_merge_system_gres_conf` in gres_gpu.c, the same from 22.05 to 26.05; `slurmd -G` prints the result.

use std::cmp::Ordering;

use super::conf::Pairs;
use super::hostlist;
use crate::text::printable;

/// More GPUs than any node has; a bound for hostile counts.
const MAX_GPUS: usize = 1024;

/// How slurmd detects GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoDetect {
    /// Not at all: gres.conf names the device files.
    Off,
    /// By NVML, with links.
    Nvml,
    /// From /proc, without links (24.05 on).
    Nvidia,
    /// `nvml`, then `nvidia` (26.05 on).
    Full,
    /// Other vendors' libraries.
    Other,
}

/// One GPU of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// `Type=`; none where slurm.conf has no types.
    pub kind: Option<String>,
    /// `File=`; none where slurmd has to detect it.
    pub file: Option<String>,
    /// Whether `Links=` is set.
    pub links: bool,
}

/// gres.conf and slurm.conf, merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// How slurmd detects GPUs.
    pub detect: AutoDetect,
    /// The GPUs, in the order before detection.
    pub gpus: Vec<Configured>,
}

/// One GPU that slurmd detects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The model in lower case, with `_` for blanks.
    pub kind: String,
    /// `/dev/nvidiaN`, N the minor number.
    pub file: String,
    /// The position by PCI bus; it is the `-1` in `Links`.
    pub nvml_index: u32,
}

impl Listing {
    /// Reads gres.conf; `slurm_conf` holds slurm.conf's lines where that file is readable.
    ///
    /// # Errors
    /// Why the order is not certain.
    pub fn read(gres_conf: &[Pairs], slurm_conf: Option<&[Pairs]>, node: &str) -> Result<Self, String> {
        let (detect, lines) = gres_lines(gres_conf, node)?;
        let counts = match slurm_conf {
            Some(lines) => node_gres(lines, node)?.map(|gres| gpu_counts(&gres)).transpose()?,
            None => None,
        };
        let gpus = match counts {
            Some(counts) => merge(lines, &counts),
            None => {
                let gpus: Vec<Configured> = lines.concat();
                if gpus.is_empty() || gpus.iter().any(|gpu| gpu.file.is_none()) {
                    return Err(format!("no File= for every GPU, and no Gres= for node {} in slurm.conf", printable(node)));
                }
                if gpus.iter().any(|gpu| gpu.kind != gpus[0].kind) {
                    return Err(format!("several types, and no Gres= for node {} in slurm.conf", printable(node)));
                }
                gpus
            }
        };
        if gpus.is_empty() {
            return Err(format!("no GPU is configured for node {}", printable(node)));
        }
        let mut files: Vec<&String> = gpus.iter().filter_map(|gpu| gpu.file.as_ref()).collect();
        files.sort();
        if let Some(twice) = files.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("'{}': named twice", printable(twice[0])));
        }
        Ok(Self { detect, gpus })
    }

    /// The device files in GRES order, with what slurmd detects.
    ///
    /// # Errors
    /// Why the order is not certain.
    pub fn order(&self, detected: &[Detected]) -> Result<Vec<String>, String> {
        let configured: Option<Vec<String>> = self.gpus.iter().map(|gpu| gpu.file.clone()).collect();
        match self.detect {
            AutoDetect::Off => configured.ok_or_else(|| "Name=gpu without File=: no device file is named".to_owned()),
            AutoDetect::Nvml => self.merged(detected, true),
            AutoDetect::Nvidia => self.merged(detected, false),
            // Slurm without NVML's plugin falls back to the other order; a second answer is a doubt.
            AutoDetect::Full => same(&self.merged(detected, true)?, &self.merged(detected, false)?),
            AutoDetect::Other => {
                let configured = configured.ok_or_else(|| "AutoDetect= of another vendor, and no File=".to_owned())?;
                same(&self.merged(&[], false)?, &configured)
            }
        }
    }

    /// `_merge_system_gres_conf`.
    fn merged(&self, detected: &[Detected], links: bool) -> Result<Vec<String>, String> {
        let mut system: Vec<(Option<String>, &Detected)> = detected.iter().map(|gpu| (Some(gpu.kind.clone()), gpu)).collect();
        let mut configured: Vec<&Configured> = self.gpus.iter().collect();
        normalize_types(&mut system, &configured);
        configured.sort_by(|a, b| by_file(a.file.as_deref(), b.file.as_deref()));
        system.sort_by(|a, b| natural(&a.1.file, &b.1.file));
        let mut order: Vec<(Option<u32>, String)> = Vec::new();
        for gpu in configured {
            let matching = system.iter().position(|(kind, found)| {
                (gpu.kind.is_none() || gpu.kind == *kind) && gpu.file.as_ref().is_none_or(|file| *file == found.file)
            });
            match (matching, &gpu.file) {
                (Some(at), _) => {
                    let found = system.remove(at).1;
                    order.push((links.then_some(found.nvml_index), found.file.clone()));
                }
                (None, Some(file)) if gpu.links => return Err(format!("'{}': Links= of a GPU not detected", printable(file))),
                (None, Some(file)) => order.push((None, file.clone())),
                (None, None) => return Err("slurm.conf counts more GPUs than the driver lists".into()),
            }
        }
        // By links, those without last, and by file within.
        order.sort_by(|a, b| natural(&a.1, &b.1));
        order.sort_by_key(|(index, _)| (index.is_none(), *index));
        Ok(order.into_iter().map(|(_, file)| file).collect())
    }
}

fn same(one: &[String], other: &[String]) -> Result<Vec<String>, String> {
    if one == other { Ok(one.to_vec()) } else { Err("AutoDetect= leaves two orders open".into()) }
}

/// The configured types replace the detected ones that contain them, longest first, each once (`_normalize_sys_gres_types`).
fn normalize_types(system: &mut [(Option<String>, &Detected)], configured: &[&Configured]) {
    let mut free: Vec<&Configured> = configured.to_vec();
    let length = |kind: Option<&str>| std::cmp::Reverse(kind.map_or(-1, |kind| i64::try_from(kind.len()).unwrap_or(i64::MAX)));
    free.sort_by(|a, b| {
        let kind = |gpu: &Configured| (length(gpu.kind.as_deref()), gpu.kind.clone());
        kind(a).cmp(&kind(b)).then_with(|| by_file(a.file.as_deref(), b.file.as_deref()))
    });
    system.sort_by(|a, b| {
        (length(a.0.as_deref()), &a.0).cmp(&(length(b.0.as_deref()), &b.0)).then_with(|| natural(&a.1.file, &b.1.file))
    });
    let strip = free.iter().all(|gpu| gpu.kind.as_ref().is_none_or(String::is_empty));
    for (kind, _) in system {
        let name = kind.as_deref().unwrap_or_default().to_ascii_lowercase();
        let unused = |gpu: &&Configured| gpu.kind.as_ref().is_some_and(|kind| name.contains(&kind.to_ascii_lowercase()));
        match free.iter().position(unused) {
            Some(at) => kind.clone_from(&free.remove(at).kind),
            None if strip => *kind = None,
            None => {}
        }
    }
}

/// The `gpu` lines for a node, `Name=` lines before `NodeName=` lines, and how GPUs are detected.
fn gres_lines(lines: &[Pairs], node: &str) -> Result<(AutoDetect, Vec<Vec<Configured>>), String> {
    let (mut global, mut local) = (None, None);
    let (mut named, mut of_node) = (Vec::new(), Vec::new());
    for line in lines {
        let mut line = &line[..];
        while let Some(((key, how), rest)) = line.split_first()
            && key == "autodetect"
        {
            global = Some(auto_detect(how)?);
            line = rest;
        }
        let Some(((key, value), rest)) = line.split_first() else { continue };
        match key.as_str() {
            "name" => named.extend(gpu_line(line)?),
            "nodename" => {
                if !hosts(value)?.iter().any(|host| host == node) {
                    continue;
                }
                if let Some(how) = find(rest, "autodetect") {
                    local = Some(auto_detect(how)?);
                }
                of_node.extend(gpu_line(rest)?);
            }
            _ => return Err(format!("'{}': neither Name=, NodeName= nor AutoDetect= starts the line", printable(key))),
        }
    }
    named.extend(of_node);
    Ok((local.or(global).unwrap_or(AutoDetect::Off), named))
}

fn gpu_line(line: &[(String, String)]) -> Result<Option<Vec<Configured>>, String> {
    if !find(line, "name").is_some_and(|name| name.eq_ignore_ascii_case("gpu")) {
        return Ok(None);
    }
    if line.iter().any(|(key, _)| key == "nodename") {
        return Err("NodeName= does not start its line".into());
    }
    if find(line, "multiplefiles").is_some() {
        return Err("MultipleFiles= (MIG) is left alone".into());
    }
    let gpu = Configured {
        kind: find(line, "type").map(str::to_owned),
        file: None,
        links: find(line, "links").or_else(|| find(line, "link")).is_some(),
    };
    let gpus = match find(line, "file").or_else(|| find(line, "files")) {
        Some(files) => hosts(files)?.into_iter().map(|file| Configured { file: Some(file), ..gpu.clone() }).collect(),
        None => vec![gpu; find(line, "count").map_or(Ok(1), count)?],
    };
    Ok((gpus.len() <= MAX_GPUS).then_some(gpus).ok_or("too many GPUs")?.into())
}

/// Slurm's hostlists take commas and blanks as they come.
fn hosts(list: &str) -> Result<Vec<String>, String> {
    let parts: Vec<&str> =
        list.split(char::is_whitespace).map(|part| part.trim_matches(',')).filter(|part| !part.is_empty()).collect();
    hostlist::expand(&parts.join(",")).ok_or_else(|| format!("'{}': not a list", printable(list)))
}

/// The last value counts, as in Slurm's hash table.
fn find<'a>(line: &'a [(String, String)], key: &str) -> Option<&'a str> {
    line.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// slurmd searches for these words anywhere in the value, in this order (`_handle_autodetect_flags`).
fn auto_detect(how: &str) -> Result<AutoDetect, String> {
    let how = how.to_ascii_lowercase();
    Ok(match how.as_str() {
        _ if how.contains("nvml") => AutoDetect::Nvml,
        _ if ["rsmi", "oneapi", "nrt"].iter().any(|vendor| how.contains(vendor)) => AutoDetect::Other,
        _ if how.contains("nvidia") => AutoDetect::Nvidia,
        _ if how.contains("full") => AutoDetect::Full,
        "off" => AutoDetect::Off,
        _ => return Err(format!("AutoDetect={}: not known", printable(&how))),
    })
}

/// slurm.conf's `Gres=` for a node, of its own line or of the `NodeName=DEFAULT` line before it.
fn node_gres(lines: &[Pairs], node: &str) -> Result<Option<String>, String> {
    let mut default = None;
    for line in lines {
        let Some((_, names)) = line.first().filter(|(key, _)| key == "nodename") else { continue };
        let gres = find(line, "gres").map(str::to_owned);
        if names.eq_ignore_ascii_case("default") {
            default = gres.or(default);
        } else if hosts(names)?.iter().any(|host| host == node) {
            return Ok(gres.or(default));
        }
    }
    Ok(None)
}

/// Whether gres.conf's or slurm.conf's lines give a node gres/shard or gres/mps: several jobs may be on one of its GPUs.
///
/// # Errors
/// A list of nodes cannot be read, so that the answer is not certain.
pub fn has_shares(lines: &[Pairs], node: &str) -> Result<bool, String> {
    let is_share = |gres: &str| {
        let name = gres.split([':', '(']).next().unwrap_or_default().trim();
        ["shard", "mps"].iter().any(|share| name.eq_ignore_ascii_case(share))
    };
    if node_gres(lines, node)?.is_some_and(|gres| gres.split(',').any(is_share)) {
        return Ok(true);
    }
    // gres.conf's `Name=` without `NodeName=` is for every node that reads the file.
    for line in lines.iter().filter(|line| find(line, "name").is_some_and(is_share)) {
        let names = line.first().filter(|(key, _)| key == "nodename").map(|(_, names)| hosts(names)).transpose()?;
        if names.is_none_or(|names| names.iter().any(|name| name == node)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `gpu:a100:2,gpu:4(S:0),shard:8`: the counts of GPUs by type, in order.
fn gpu_counts(gres: &str) -> Result<Vec<(Option<String>, usize)>, String> {
    let mut counts: Vec<(Option<String>, usize)> = Vec::new();
    for part in gres.split(',') {
        let part = part.split('(').next().unwrap_or_default().trim();
        let words: Vec<&str> = part.split(':').filter(|word| !word.eq_ignore_ascii_case("no_consume")).collect();
        if !words[0].eq_ignore_ascii_case("gpu") {
            continue;
        }
        let digit = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        let (kind, number) = match words[1..] {
            [] => (None, 1),
            [number] if digit(number) => (None, count(number)?),
            [kind] => (Some(kind.to_owned()), 1),
            [kind, number] => (Some(kind.to_owned()), count(number)?),
            _ => return Err(format!("Gres={}: not GPUs", printable(part))),
        };
        match counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += number,
            None => counts.push((kind, number)),
        }
    }
    if counts.len() > 1 && counts.iter().any(|(kind, _)| kind.is_none()) {
        return Err("Gres= in slurm.conf has GPUs with a type and without".into());
    }
    if counts.iter().map(|(_, number)| number).sum::<usize>() > MAX_GPUS {
        return Err("too many GPUs".into());
    }
    Ok(counts)
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number <= MAX_GPUS).ok_or_else(|| format!("'{}': not a count of GPUs", printable(text)))
}

/// `_merge_gres2`: slurm.conf's types in order, each with gres.conf's lines of that type up to its count, then without a file.
fn merge(mut lines: Vec<Vec<Configured>>, counts: &[(Option<String>, usize)]) -> Vec<Configured> {
    let mut merged = Vec::new();
    for (kind, number) in counts {
        let mut left = *number;
        lines.retain_mut(|line| {
            let matches = match (kind, line.first().and_then(|gpu| gpu.kind.as_ref())) {
                (None, _) => true,
                (Some(kind), Some(of_line)) => kind.eq_ignore_ascii_case(of_line),
                (Some(_), None) => false,
            };
            if left == 0 || !matches {
                return true;
            }
            let part = line.len().min(left);
            left -= part;
            let untyped = kind.is_none();
            merged.extend(line.drain(..part).map(|gpu| if untyped { Configured { kind: None, ..gpu } } else { gpu }));
            false
        });
        merged.extend(vec![Configured { kind: kind.clone(), ..Configured::default() }; left]);
    }
    merged
}

fn by_file(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => natural(a, b),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (None, None) => Ordering::Equal,
    }
}

/// Natural order of names: a number counts by its value (`strnatcmp`).
fn natural(a: &str, b: &str) -> Ordering {
    let key = |text: &str| {
        let digits = text.len() - text.bytes().rev().take_while(u8::is_ascii_digit).count();
        (text[..digits].to_owned(), text[digits..].parse::<u64>().ok())
    };
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::super::conf;
    use super::*;

    fn order(gres: &str, slurm: &str) -> Result<Vec<String>, String> {
        let lines = |text: &str| conf::read(text, &|path| Err(path.to_owned()));
        let listing = Listing::read(&lines(gres)?, Some(&lines(slurm)?), "n1")?;
        let found = |(index, minor)| Detected {
            kind: "nvidia_a100-sxm4-40gb".into(),
            file: format!("/dev/nvidia{minor}"),
            nvml_index: index,
        };
        let files = listing.order(&[(0, 2), (1, 3), (2, 0), (3, 1)].map(found))?;
        Ok(files.into_iter().map(|file| file.replace("/dev/nvidia", "")).collect())
    }

    const FOUR: &str = "NodeName=n[1-2] Gres=gpu:4";

    #[test]
    fn nvml_order_follows_the_bus() {
        for gres in ["AutoDetect=nvml", "AutoDetect=nvml\nName=gpu File=/dev/nvidia[0-3]", "NodeName=n1 autodetect=NVML"] {
            assert_eq!(order(gres, FOUR).unwrap(), ["2", "3", "0", "1"], "{gres}");
        }
        assert_eq!(order("AutoDetect=nvml", "NodeName=n1 Gres=gpu:2").unwrap(), ["0", "1"]);
        assert_eq!(
            order("AutoDetect=nvml\nName=gpu Type=a100 File=/dev/nvidia[0-3]", "NodeName=n1 Gres=gpu:a100:4").unwrap(),
            ["2", "3", "0", "1"]
        );
    }

    #[test]
    fn nvidia_order_follows_the_files() {
        assert_eq!(order("AutoDetect=nvidia", FOUR).unwrap(), ["0", "1", "2", "3"]);
        assert!(order("AutoDetect=full", FOUR).unwrap_err().contains("two orders"));
    }

    #[test]
    fn node_line_switches_detection_off() {
        let gres = "AutoDetect=nvml\nNodeName=n1 AutoDetect=off Name=gpu File=/dev/nvidia[3,1],\nName=gpu File=/dev/nvidia0";
        assert_eq!(order(gres, "NodeName=n1 Gres=gpu:3").unwrap(), ["0", "3", "1"]);
    }

    #[test]
    fn slurm_conf_orders_the_types() {
        let gres = "Name=gpu Type=b File=/dev/nvidia0\nName=gpu Type=a File=/dev/nvidia[1-2]";
        assert_eq!(order(gres, "NodeName=n1 Gres=gpu:a:2,gpu:b:1").unwrap(), ["1", "2", "0"]);
        assert_eq!(order(gres, "NodeName=DEFAULT Gres=gpu:2\nNodeName=n1").unwrap(), ["0", "1"]);
    }

    #[test]
    fn shares_are_found_for_the_node() {
        let shares = |text: &str| has_shares(&conf::read(text, &|_| Ok("Name=mps Count=200".to_owned()))?, "n1");
        for text in [
            "Name=gpu File=/dev/nvidia[0-1]\nName=shard Count=8\n",
            "NodeName=n[1-2] name = \"MPS\" Count=200 File=/dev/nvidia0\n",
            "NodeName=n2 Gres=gpu:2\nNodeName=n1 CPUs=4 \\\n Gres=gpu:a100:2,shard:8\n",
            "NodeName=DEFAULT Gres=gpu:2,mps:200\nNodeName=n[1-2]\n",
            "NodeName=n1 Gres=\"gpu:2, shard:8(S:0)\"\n",
            "Name=gpu File=/dev/nvidia0\nInclude more.conf\n",
        ] {
            assert_eq!(shares(text), Ok(true), "{text}");
        }
        for text in [
            "",
            "Name=gpu File=/dev/nvidia[0-1]\n# Name=shard Count=8\n",
            "NodeName=n2 Name=shard Count=8\n",
            "NodeName=DEFAULT Gres=gpu:2,mps:200\nNodeName=n1 Gres=gpu:2\n",
            "NodeName=n1 Gres=gpu:shardy:2\nNodeName=n2 Gres=gpu:2,shard:8\n",
            "GresTypes=gpu,shard,mps\n",
        ] {
            assert_eq!(shares(text), Ok(false), "{text}");
        }
        assert_eq!(shares("NodeName=n[ Name=shard Count=8"), Err("'n[': not a list".into()));
    }

    #[test]
    fn uncertain_orders_are_refused() {
        for (gres, slurm, cause) in [
            ("Name=gpu Count=4", FOUR, "no device file"),
            ("Name=gpu MultipleFiles=/dev/nvidia0,/dev/nvidia-caps/1", FOUR, "MIG"),
            ("AutoDetect=nvml", "NodeName=n1 Gres=gpu:5", "more GPUs than the driver"),
            ("AutoDetect=nvml", "NodeName=n9 Gres=gpu:4", "no Gres="),
            ("AutoDetect=magic", FOUR, "not known"),
            ("Name=gpu NodeName=n1 File=/dev/nvidia0", FOUR, "does not start its line"),
            ("Name=gpu File=/dev/nvidia[0-1],/dev/nvidia0", FOUR, "named twice"),
        ] {
            let error = order(gres, slurm).unwrap_err();
            assert!(error.contains(cause), "{gres}: {error}");
        }
    }
}
