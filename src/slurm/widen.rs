//! Changes how many GPUs a job asks for (`--carbon-workers`), through the options by which it asked.
//!
//! The result stands behind everything else on sbatch's command line, where it wins over the script and the environment.
//! Only a request that Slurm can read in one way is changed, with the tasks where the job has one task a GPU; of any other
//! the refusal says what makes it ambiguous, and its caller keeps the job's own width.

use super::job::Options;
use crate::quantity::counted;

/// The options by which a job asks for `from` GPUs, rewritten for `to` of them.
///
/// # Errors
/// The text says why this request cannot be changed without guessing.
pub fn widened(options: &Options, from: u32, to: u32) -> Result<Vec<String>, String> {
    let said: Vec<&str> = ["gpus", "gpus-per-node", "gpus-per-task", "gres", "gpus-per-socket", "tres-per-task"]
        .into_iter()
        .filter(|name| options.text(name).is_some_and(|text| !matches!(*name, "gres" | "tres-per-task") || names_gpus(text)))
        .collect();
    let by = match said[..] {
        [] => return Err("no option names its GPUs".to_owned()),
        ["gpus-per-socket" | "tres-per-task"] => return Err(format!("--{} ties its GPUs to something else", said[0])),
        [only] => only,
        _ => return Err(format!("--{} and --{} both speak of its GPUs", said[0], said[1])),
    };
    for tied in ["nodelist", "nodefile", "ntasks-per-gpu", "ntasks-per-socket", "gpu-bind", "exclusive"] {
        if options.has(tied) {
            return Err(format!("--{tied} holds for {} alone", counted(from, "GPU")));
        }
    }
    // Only a total may leave the number of nodes to Slurm.
    let nodes = match options.nodes() {
        Some(nodes) => nodes.max(1),
        None if by == "gpus" && !options.has("nodes") => 1,
        None if by == "gpus-per-task" && !options.has("nodes") && !options.has("ntasks-per-node") => 1,
        None => return Err("the number of nodes is open".to_owned()),
    };
    if to == 0 || !to.is_multiple_of(nodes) {
        return Err(format!("{} do not spread evenly over {}", counted(to, "GPU"), counted(nodes, "node")));
    }
    let text = options.text(by).unwrap_or_default();
    let mut changed = Vec::new();
    if by == "gpus-per-task" {
        let (kind, each) = kind_and_count(text).ok_or_else(|| unread(by, text))?;
        if each == 0 || !from.is_multiple_of(each) {
            return Err(unread(by, text));
        }
        if from == each {
            changed.push(format!("--{by}={kind}{to}"));
        } else if to.is_multiple_of(each * nodes) {
            changed.push(tasks(options, from / each, to / each, nodes)?);
        } else {
            return Err(format!("{to} GPUs do not make whole tasks of {each}"));
        }
        return Ok(changed);
    }
    let per_node = if by == "gpus" { to } else { to / nodes };
    changed.push(match by {
        "gres" => format!("--gres={}", gres_with(text, per_node).ok_or_else(|| unread(by, text))?),
        _ => {
            let (kind, _) = kind_and_count(text).ok_or_else(|| unread(by, text))?;
            format!("--{by}={kind}{per_node}")
        }
    });
    if options.has("ntasks") || options.has("ntasks-per-node") {
        let count = options.tasks().ok_or_else(|| "the number of tasks is open".to_owned())?;
        match count {
            count if count == nodes && count == from && nodes > 1 => {
                return Err(format!("its {count} tasks could be one a node, and one a GPU"));
            }
            count if count == nodes => {} // one task a node drives all of its GPUs
            count if count == from => changed.push(tasks(options, from, to, nodes)?),
            count => return Err(format!("it has {} for {}", counted(count, "task"), counted(from, "GPU"))),
        }
    }
    Ok(changed)
}

/// The option that sets so many tasks instead, as the job said it.
fn tasks(options: &Options, from: u32, to: u32, nodes: u32) -> Result<String, String> {
    match (options.has("ntasks"), options.has("ntasks-per-node")) {
        (true, false) => Ok(format!("--ntasks={to}")),
        (false, true) => Ok(format!("--ntasks-per-node={}", to / nodes)),
        _ => Err(format!("what makes its {from} tasks is open")),
    }
}

fn unread(by: &str, text: &str) -> String {
    format!("--{by}={}: not a single number of GPUs", crate::request::printable(text))
}

/// `a100:4` as (`a100:`, 4); `None` for a list of types.
fn kind_and_count(text: &str) -> Option<(&str, u32)> {
    let at = text.rfind(':').map_or(0, |colon| colon + 1);
    let (kind, count) = text.split_at(at);
    if kind.contains(',') {
        return None;
    }
    Some((kind, count.parse().ok()?))
}

/// A `--gres` list with so many GPUs in place of its one entry of GPUs; the other entries stay as they are.
fn gres_with(text: &str, count: u32) -> Option<String> {
    let mut found = 0;
    let entries: Option<Vec<String>> = text
        .split(',')
        .map(|entry| {
            if !is_gpu(entry) {
                return Some(entry.to_owned());
            }
            found += 1;
            let digits = entry.len() - entry.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let (head, number) = entry.split_at(entry.len() - digits);
            match (number.is_empty(), head.ends_with([':', '='])) {
                (false, true) => Some(format!("{head}{count}")),
                // A bare `gpu` or `gpu:a100`, whose name may end in digits.
                (true, true) => None,
                (_, false) => Some(format!("{entry}:{count}")),
            }
        })
        .collect();
    entries.filter(|_| found == 1).map(|entries| entries.join(","))
}

fn names_gpus(text: &str) -> bool {
    text.split(',').any(is_gpu)
}

fn is_gpu(entry: &str) -> bool {
    let entry = entry.trim();
    let entry = entry.strip_prefix("gres:").or_else(|| entry.strip_prefix("gres/")).unwrap_or(entry);
    entry.split([':', '=']).next() == Some("gpu")
}

#[cfg(test)]
mod tests {
    use super::super::gpus::gpu_request;
    use super::super::job::Fact;
    use super::*;

    fn options(pairs: &str) -> Options {
        let mut options = Options::default();
        for pair in pairs.split_whitespace() {
            let (name, value) = pair.split_once('=').expect(pair);
            options.set(name, Some(value.into()));
        }
        options
    }

    fn count(options: &Options) -> u32 {
        match gpu_request(options) {
            Fact::Is(request) => request.count,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_way_to_ask_is_rewritten_in_its_own_words_and_then_asks_for_that_many() {
        for (pairs, to, expected) in [
            ("gpus=2", 4, "--gpus=4"),
            ("gpus=a100:2", 1, "--gpus=a100:1"),
            ("gpus=4 nodes=2", 8, "--gpus=8"),
            ("gpus=4 ntasks=1", 2, "--gpus=2"),
            ("gpus=1 nodes=1 ntasks=1", 4, "--gpus=4"),
            ("gpus-per-node=2 nodes=2 ntasks=2", 8, "--gpus-per-node=4"),
            ("gpus=4 nodes=1 ntasks=4", 2, "--gpus=2 --ntasks=2"),
            ("gres=gpu", 3, "--gres=gpu:3"),
            ("gres=gpu:2", 3, "--gres=gpu:3"),
            ("gres=gpu:a100", 2, "--gres=gpu:a100:2"),
            ("gres=nvme:1,gpu:a100:2,shard:4", 8, "--gres=nvme:1,gpu:a100:8,shard:4"),
            ("gres=gpu:4 nodes=1 ntasks-per-node=4", 2, "--gres=gpu:2 --ntasks-per-node=2"),
            ("gpus-per-node=4 nodes=2", 4, "--gpus-per-node=2"),
            ("gpus-per-node=a100:4 nodes=2 ntasks-per-node=4", 4, "--gpus-per-node=a100:2 --ntasks-per-node=2"),
            ("gpus-per-task=1 ntasks=8", 4, "--ntasks=4"),
            ("gpus-per-task=2 ntasks=2", 8, "--ntasks=4"),
            ("gpus-per-task=2 ntasks=1", 4, "--gpus-per-task=4"),
            ("gpus-per-task=1 nodes=2 ntasks-per-node=4", 4, "--ntasks-per-node=2"),
        ] {
            let mut asked = options(pairs);
            let changed = widened(&asked, count(&asked), to).unwrap_or_else(|why| panic!("{pairs}: {why}"));
            assert_eq!(changed.join(" "), expected, "{pairs}");
            for option in &changed {
                let (name, value) = option.trim_start_matches("--").split_once('=').expect("a value");
                asked.set(name, Some(value.into()));
            }
            assert_eq!(count(&asked), to, "{pairs}");
        }
    }

    #[test]
    fn a_request_that_could_mean_two_things_is_left_alone() {
        for (pairs, to, why) in [
            ("gpus=8 gpus-per-task=2", 4, "both speak of its GPUs"),
            ("gpus=a100:1,v100:1", 4, "not a single number"),
            ("gpus=4 nodes=2", 3, "do not spread evenly over 2 nodes"),
            ("gpus=4 nodes=1-4", 2, "the number of nodes is open"),
            ("gpus=4 nodes=1 ntasks=2", 2, "it has 2 tasks for 4 GPUs"),
            ("gpus-per-node=1 nodes=2 ntasks-per-node=1", 8, "its 2 tasks could be one a node, and one a GPU"),
            ("gpus=4 nodes=4 ntasks=4", 8, "its 4 tasks could be one a node, and one a GPU"),
            ("gpus-per-task=2 ntasks=2", 3, "do not make whole tasks of 2"),
            ("gres=gpu:a:1,gpu:b:1", 4, "not a single number"),
            ("gpus-per-socket=1 sockets-per-node=2 nodes=2", 8, "--gpus-per-socket"),
            ("gpus=4 gpu-bind=map_gpu:0,1,2,3", 2, "--gpu-bind"),
            ("gres=gpu:2 nodes=1 nodelist=n1", 1, "--nodelist"),
            ("gpus=2", 0, "do not spread"),
        ] {
            let asked = options(pairs);
            let refused = widened(&asked, count(&asked), to).expect_err(pairs);
            assert!(refused.contains(why), "{pairs}: {refused}");
        }
    }
}
