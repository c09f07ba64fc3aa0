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
    /// The option that says so: `gpus`, `gres`, `gpus-per-node`, `gpus-per-task`, `gpus-per-socket` or `tres-per-task`.
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
    found.filter(|r| r.count > 0).map_or(Fact::Unsaid, Fact::Is)
}

fn one_option(options: &Options, by: &'static str) -> Fact<GpuRequest> {
    let Some(text) = options.text(by) else { return Fact::Unsaid };
    let unclear = |what: &str| Fact::Unclear(format!("--{by}={}: {what}", crate::request::printable(text)));
    let parts: Option<Vec<Part>> = match by {
        "gres" | "tres-per-task" => text.split(',').map(gres_part).filter_map(Result::transpose).collect::<Result<_, _>>().ok(),
        _ => text.split(',').map(count_part).collect(),
    };
    let Some(parts) = parts else { return unclear("not a number of GPUs that CARM reads") };
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
    let total = options.text("gpus").and_then(count_part)?.count;
    (each > 0 && total % each == 0).then(|| total / each)
}

struct Part {
    kind: Option<String>,
    count: u32,
}

/// `2`, `a100:2`.
fn count_part(text: &str) -> Option<Part> {
    let (kind, count) = match text.rsplit_once(':') {
        Some((kind, count)) => (Some(kind.to_owned()).filter(|k| !k.is_empty()), count),
        None => (None, text),
    };
    Some(Part { kind, count: number(count)? })
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
    if name != "gpu" {
        return Ok(None);
    }
    let Some(rest) = rest else { return Ok(Some(Part { kind: None, count: 1 })) };
    if let Some(count) = number(rest) {
        return Ok(Some(Part { kind: None, count }));
    }
    let (kind, count) = match rest.split_once([':', '=']) {
        Some((kind, count)) => (kind, number(count).ok_or(NotRead)?),
        None => (rest, 1),
    };
    if kind.starts_with(|c: char| c.is_ascii_alphabetic()) {
        Ok(Some(Part { kind: Some(kind.to_owned()), count }))
    } else {
        Err(NotRead)
    }
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
            ("nodes=2", "none"),
            ("gres=none", "none"),
            ("gres=shard:4", "none"),
            ("gpus=0", "none"),
        ] {
            assert_eq!(asked(options), expected, "{options}");
        }
    }

    #[test]
    fn an_open_number_is_unclear_and_never_guessed() {
        for (options, why) in [
            ("gpus-per-node=4 nodes=2-4", "the number of nodes is open"),
            ("gpus-per-node=4 ntasks=8", "the number of nodes is open"),
            ("gpus-per-task=1 nodes=1-2", "the number of tasks is open"),
            ("gpus-per-socket=1", "the number of sockets is open"),
            ("gpus=many", "not a number of GPUs"),
            ("gres=gpu:a100:x", "not a number of GPUs"),
            ("gpus=8 gpus-per-node=4 nodes=1", "--gpus asks for 8 GPUs and --gpus-per-node for 4"),
        ] {
            let asked = asked(options);
            assert!(asked.starts_with("unclear") && asked.contains(why), "{options}: {asked}");
        }
    }
}
