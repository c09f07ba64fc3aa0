//! How many GPUs a job asks for, from the many ways in which sbatch lets one say it.
//!
//! A total is only given where Slurm can come to no other; else the answer says what leaves it open. Widening a job
//! (`--carbon-workers`) needs to know by which option it asked: [`GpuRequest::by`].

use super::job::{Fact, Options};
use crate::quantity::counted;

/// The GPUs that a job asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuRequest {
    /// Over all nodes.
    pub count: u32,
    /// The type, where the request names a single one (`a100` in `--gres=gpu:a100:2`).
    pub kind: Option<String>,
    /// The option that says so: `gpus`, `gres`, `gpus-per-node`, `gpus-per-task`, `gpus-per-socket`, `tres-per-task`,
    /// `ntasks-per-gpu`; `exclusive` for a job that gets whole nodes.
    pub by: &'static str,
}

/// Reads the GPU request; [`Fact::Unsaid`] for a job without GPUs.
pub(super) fn gpu_request(options: &Options) -> Fact<GpuRequest> {
    let mut found: Option<GpuRequest> = None;
    for by in ["gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "tres-per-task", "gres"] {
        let request = match one_option(options, by) {
            Fact::Unsaid => continue,
            Fact::Is(request) => request,
            Fact::Unclear(why) => return Fact::Unclear(why),
        };
        match &found {
            // Slurm lets several options speak of the same GPUs; only where they agree is the number known.
            Some(earlier) if earlier.count != request.count => {
                return Fact::Unclear(format!(
                    "--{} asks for {} and --{by} for {}",
                    earlier.by,
                    counted(earlier.count, "GPU"),
                    request.count
                ));
            }
            Some(_) => {}
            None => found = Some(request),
        }
    }
    match found {
        Some(found) if found.count > 0 => Fact::Is(found),
        Some(_) => Fact::Unsaid,
        None => gpus_of_tasks(options),
    }
}

/// The GPUs of a job that gets whole nodes with so many GPUs each.
#[must_use]
pub fn of_whole_nodes(options: &Options, request: &Fact<GpuRequest>, per_node: u32) -> Fact<GpuRequest> {
    if let Fact::Unclear(_) = request {
        return request.clone();
    }
    if per_node == 0 {
        return Fact::Unsaid;
    }
    let total =
        request.known().filter(|r| r.by == "gpus" && !["nodes", "ntasks", "nodelist"].iter().any(|name| options.has(name)));
    let nodes = match total {
        Some(request) => Some(request.count.div_ceil(per_node)),
        None => options.nodes(),
    };
    match nodes.and_then(|nodes| nodes.checked_mul(per_node)) {
        Some(count) => Fact::Is(GpuRequest { count, kind: request.known().and_then(|r| r.kind.clone()), by: "exclusive" }),
        None => Fact::Unclear("the job gets all GPUs of its nodes, and the number of nodes is open".to_owned()),
    }
}

/// Where no option names GPUs, `--ntasks-per-gpu` (or `--ntasks-per-tres`) makes Slurm derive them from the tasks; with a
/// fixed number of nodes alone it is one a node (gres.c, `gres_job_state_validate`, 22.05 to 26.05).
fn gpus_of_tasks(options: &Options) -> Fact<GpuRequest> {
    let Some(option) = ["ntasks-per-gpu", "ntasks-per-tres"].into_iter().find(|name| options.has(name)) else {
        return Fact::Unsaid;
    };
    let count = match (options.has("ntasks"), options.has("nodes")) {
        (true, _) => {
            let each = options.number(option).filter(|&each| each > 0);
            options.number("ntasks").zip(each).filter(|(tasks, each)| tasks % each == 0).map(|(tasks, each)| tasks / each)
        }
        (false, true) => options.nodes(),
        (false, false) => None,
    };
    match count {
        Some(count) => Fact::Is(GpuRequest { count, kind: None, by: "ntasks-per-gpu" }),
        None => Fact::Unclear(format!("--{option}: the number of tasks is open")),
    }
}

fn one_option(options: &Options, by: &'static str) -> Fact<GpuRequest> {
    let Some(text) = options.text(by) else { return Fact::Unsaid };
    let unclear = |what: &str| Fact::Unclear(format!("--{by}={}: {what}", crate::request::printable(text)));
    let parts: Result<Vec<Part>, NotRead> = match by {
        "gres" | "tres-per-task" => text.split(',').map(gres_part).filter_map(Result::transpose).collect(),
        _ => text.split(',').map(part).collect(),
    };
    let Ok(parts) = parts else { return unclear("not a number of GPUs that CARM reads") };
    if parts.iter().any(|part| part.kind.as_deref().is_some_and(is_mig)) {
        return unclear("MIG instances share a GPU and its clock");
    }
    if parts.is_empty() {
        return Fact::Unsaid;
    }
    let each = parts.iter().map(|p| p.count).fold(0, u32::saturating_add);
    let kind = match &parts[..] {
        [only] => only.kind.clone(),
        _ => None,
    };
    let times = match by {
        "gpus" => Some(1),
        "gpus-per-node" | "gres" => options.nodes(),
        // With a total and a share per task Slurm works out the tasks, not the GPUs.
        "gpus-per-task" | "tres-per-task" => options.tasks().or_else(|| tasks_from_total(options, each)),
        _ => options.nodes().zip(options.number("sockets-per-node")).and_then(|(n, s)| n.checked_mul(s)),
    };
    match times.and_then(|t| t.checked_mul(each)) {
        Some(count) => Fact::Is(GpuRequest { count, kind, by }),
        None => unclear(match by {
            "gpus-per-task" | "tres-per-task" => "the number of tasks is open",
            "gpus-per-socket" => "the number of sockets is open",
            _ => "the number of nodes is open",
        }),
    }
}

fn tasks_from_total(options: &Options, each: u32) -> Option<u32> {
    let total = options.text("gpus").and_then(|text| part(text).ok())?.count;
    (each > 0 && total % each == 0).then(|| total / each)
}

struct Part {
    kind: Option<String>,
    count: u32,
}

/// Text that might ask for GPUs and is not understood.
struct NotRead;

/// One entry of a `--gres` list: `gpu`, `gpu:2`, `gpu:a100`, `gpu:a100:2`, also with `gres:` or `gres/` in front and with
/// `=` before the number. `None` for other resources.
fn gres_part(text: &str) -> Result<Option<Part>, NotRead> {
    let text = text.trim();
    let text = text.strip_prefix("gres:").or_else(|| text.strip_prefix("gres/")).unwrap_or(text);
    let (name, rest) = match text.split_once([':', '=']) {
        Some((name, rest)) => (name, Some(rest)),
        None => (text, None),
    };
    match rest {
        _ if name != "gpu" => Ok(None),
        None => Ok(Some(Part { kind: None, count: 1 })),
        Some(rest) => part(rest).map(Some),
    }
}

/// What stands behind `gpu:`, and in `--gpus` and its kin: `2`, `a100`, `a100:2`. Slurm takes the last word for the number
/// where it is one, else for a type of which it gives one (`slurm_get_next_tres`, 22.05 to 26.05); a type may begin with a
/// digit (`2080ti`).
fn part(text: &str) -> Result<Part, NotRead> {
    let (kind, count) = match text.rsplit_once([':', '=']) {
        Some((kind, count)) => (kind, number(count).ok_or(NotRead)?),
        None => number(text).map_or((text, 1), |count| ("", count)),
    };
    let is_type = |kind: &str| kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+'));
    // `4k` is 4096 to Slurm, whatever it counts.
    let is_scaled = |kind: &str| kind.strip_suffix(|c: char| c.is_ascii_alphabetic()).is_some_and(|n| number(n).is_some());
    match kind {
        "" if text.contains([':', '=']) => Err(NotRead),
        "" => Ok(Part { kind: None, count }),
        kind if is_type(kind) && !is_scaled(kind) => Ok(Part { kind: Some(kind.to_owned()), count }),
        _ => Err(NotRead),
    }
}

/// Whether a type is a MIG profile's: `1g.10gb`, `a100_3g.20gb`, `h100_1g.10gb+me` (NVIDIA's names, which Slurm's NVML
/// plugin puts behind the card's).
pub(super) fn is_mig(kind: &str) -> bool {
    kind.match_indices("g.").any(|(at, _)| {
        let memory = kind[at + 2..].trim_start_matches(|c: char| c.is_ascii_digit());
        kind[..at].ends_with(|c: char| c.is_ascii_digit()) && memory.len() < kind.len() - at - 2 && memory.starts_with("gb")
    })
}

fn number(text: &str) -> Option<u32> {
    let digits = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &str) -> String {
        let mut options = Options::default();
        for pair in pairs.split_whitespace() {
            let (name, value) = pair.split_once('=').expect(pair);
            options.set(name, Some(value.into()));
        }
        match gpu_request(&options) {
            Fact::Unsaid => "none".into(),
            Fact::Is(r) => format!("{}{} by {}", r.count, r.kind.map(|k| format!(" {k}")).unwrap_or_default(), r.by),
            Fact::Unclear(why) => format!("unclear: {why}"),
        }
    }

    #[test]
    fn every_way_to_ask_is_read() {
        for (options, expected) in [
            ("gpus=4", "4 by gpus"),
            ("gpus=a100:4", "4 a100 by gpus"),
            ("gpus=a100:2,v100:1", "3 by gpus"),
            ("gres=gpu", "1 by gres"),
            ("gres=gpu:2", "2 by gres"),
            ("gres=gpu:a100", "1 a100 by gres"),
            ("gres=gpu:a100:2,nvme:1", "2 a100 by gres"),
            ("gres=gpu:2 nodes=3", "6 by gres"),
            ("gres=gres:gpu:2", "2 by gres"),
            ("gpus-per-node=4 nodes=2-2", "8 by gpus-per-node"),
            ("gpus-per-node=4 ntasks=8 ntasks-per-node=4", "8 by gpus-per-node"),
            ("gpus-per-task=1 ntasks=8", "8 by gpus-per-task"),
            ("gpus-per-task=1 nodes=2 ntasks-per-node=4", "8 by gpus-per-task"),
            ("gpus-per-task=1 nodes=2", "2 by gpus-per-task"),
            ("gpus-per-task=2 gpus=8", "8 by gpus"),
            ("tres-per-task=cpu=4,gres/gpu=2 ntasks=2", "4 by tres-per-task"),
            ("gpus-per-socket=1 sockets-per-node=2 nodes=2", "4 by gpus-per-socket"),
            ("gpus=8 gpus-per-node=4 nodes=2", "8 by gpus"),
            ("gres=gpu:2080ti:1", "1 2080ti by gres"),
            ("gres=gpu:2080ti", "1 2080ti by gres"),
            ("gres=gpu:3090=2", "2 3090 by gres"),
            ("gpus=2080ti:4", "4 2080ti by gpus"),
            ("gpus=a100", "1 a100 by gpus"),
            ("gpus-per-node=4090ti:2 nodes=2", "4 4090ti by gpus-per-node"),
            ("gpus-per-node=2 nodelist=n1", "2 by gpus-per-node"),
            ("gpus-per-node=2 nodelist=n[1-3]", "6 by gpus-per-node"),
            ("gres=gpu:2 nodelist=n1,n2 ntasks=2", "4 by gres"),
            ("gres=gpu:2 nodelist=n1 ntasks=8 ntasks-per-node=4", "4 by gres"),
            ("ntasks-per-gpu=2 ntasks=4", "2 by ntasks-per-gpu"),
            ("ntasks-per-tres=2 ntasks=4 nodes=1-2", "2 by ntasks-per-gpu"),
            ("ntasks-per-gpu=4 nodes=2", "2 by ntasks-per-gpu"),
            ("ntasks-per-gpu=2 ntasks=4 gpus=2", "2 by gpus"),
            ("nodes=2", "none"),
            ("gres=none", "none"),
            ("gres=shard:4", "none"),
            ("gpus=0", "none"),
        ] {
            assert_eq!(asked(options), expected, "{options}");
        }
    }

    #[test]
    fn whole_nodes_count_with_all_their_gpus() {
        for (options, expected) in [
            ("exclusive=", "4"),
            ("gres=gpu:1", "4"),
            ("gres=gpu:a100:1 nodes=2", "8 a100"),
            ("gpus=6", "8"),
            ("gpus=6 nodes=3", "12"),
            ("gpus-per-task=1 ntasks=8", "open"),
            ("nodes=1-2", "open"),
        ] {
            let mut parsed = Options::default();
            for pair in options.split_whitespace() {
                let (name, value) = pair.split_once('=').expect(pair);
                parsed.set(name, Some(value.into()));
            }
            let shown = match of_whole_nodes(&parsed, &gpu_request(&parsed), 4) {
                Fact::Is(r) => format!("{}{}", r.count, r.kind.map(|k| format!(" {k}")).unwrap_or_default()),
                Fact::Unsaid => "none".into(),
                Fact::Unclear(_) => "open".into(),
            };
            assert_eq!(shown, expected, "{options}");
            assert_eq!(of_whole_nodes(&parsed, &Fact::Unsaid, 0), Fact::Unsaid, "no GPUs there");
        }
    }

    #[test]
    fn an_open_number_is_unclear_and_never_guessed() {
        for (options, why) in [
            ("gpus-per-node=4 nodes=2-4", "the number of nodes is open"),
            ("gpus-per-node=4 ntasks=8", "the number of nodes is open"),
            ("gpus-per-task=1 nodes=1-2", "the number of tasks is open"),
            ("gpus-per-socket=1", "the number of sockets is open"),
            ("gpus=a100:many", "not a number of GPUs"),
            ("gpus=4k", "not a number of GPUs"),
            ("gpus=:2", "not a number of GPUs"),
            ("gpus-per-node=1 nodelist=n1 ntasks=20", "the number of nodes is open"),
            ("ntasks-per-gpu=2", "the number of tasks is open"),
            ("ntasks-per-gpu=2 ntasks=5", "the number of tasks is open"),
            ("gpus=1g.10gb:2", "MIG instances share a GPU"),
            ("gres=gpu:a100_1g.5gb:1", "MIG instances share a GPU"),
            ("gpus-per-task=h100_1g.10gb+me:1 ntasks=2", "MIG instances share a GPU"),
            ("gpus-per-node=nvidia_a100_3g.20gb", "MIG instances share a GPU"),
            ("tres-per-task=gres/gpu:h100_1g.10gb=1 ntasks=1", "MIG instances share a GPU"),
            ("gres=gpu:a100:x", "not a number of GPUs"),
            ("gpus=8 gpus-per-node=4 nodes=1", "--gpus asks for 8 GPUs and --gpus-per-node for 4"),
        ] {
            let asked = asked(options);
            assert!(asked.starts_with("unclear") && asked.contains(why), "{options}: {asked}");
        }
    }
}
