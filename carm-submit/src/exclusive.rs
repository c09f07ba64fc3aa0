//! Whole nodes: with `--exclusive`, and in a partition with `OverSubscribe=EXCLUSIVE`, a job gets all GPUs of its nodes,
//! however few it asks for. It is planned for these, where Slurm says how many a node has.

use carm::config::Config;
use carm::slurm::gpus::{self, GpuRequest};
use carm::slurm::hostlist;
use carm::slurm::job::{Fact, Job};
use carm::slurm::node::{self, PartitionNode};

use crate::gather::Gathered;
use crate::places::{self, Place};
use crate::slurm::{self, Partitions};

/// The GPUs that the job gets, where it gets whole nodes; `None` where it does not.
pub fn gpus(config: &Config, gathered: &Gathered, partitions: &Partitions) -> Option<Fact<GpuRequest>> {
    gpus_by(config, gathered, partitions, ask_nodes)
}

fn gpus_by(
    config: &Config,
    gathered: &Gathered,
    partitions: &Partitions,
    ask: impl FnOnce() -> Option<String>,
) -> Option<Fact<GpuRequest>> {
    let job = &gathered.job;
    let least = match &job.gpus {
        Fact::Is(request) => request.clone(),
        Fact::Unsaid | Fact::Unclear(_) => GpuRequest { count: 1, kind: None, by: "exclusive" },
    };
    let asks = gathered.options.whole_nodes();
    let places: Vec<Place> = config
        .sites
        .iter()
        .enumerate()
        .filter(|(_, site)| places::consents(config, site, job).is_ok())
        .filter_map(|(index, _)| places::place(config, index, job, &least, partitions, None).ok())
        .collect();
    let whole = places.iter().filter(|place| asks || gives_whole_nodes(place, job, partitions)).count();
    if whole == 0 {
        return None;
    }
    let by = if asks { "--exclusive" } else { "the partition's OverSubscribe=EXCLUSIVE" };
    let unclear = |why: &str| Some(Fact::Unclear(format!("{by} gives all GPUs of its nodes, {why}")));
    if whole < places.len() {
        return unclear("and not every partition that the job may go to does");
    }
    let here: Option<Vec<&str>> =
        places.iter().map(|place| place.partition.as_deref().filter(|_| place.cluster.is_none())).collect();
    let (Some(here), Some(text)) = (here, ask()) else { return unclear("and how many these have is not known") };
    let nodes = node::read_nodes(&text);
    let open: Vec<&PartitionNode> =
        nodes.iter().filter(|node| here.contains(&node.partition.as_str()) && is_open(node, job)).collect();
    let mut counts: Vec<u32> = open.iter().map(|node| node.gpus).collect();
    counts.sort_unstable();
    counts.dedup();
    match counts[..] {
        _ if open.iter().any(|node| node.mig) => unclear("and some of these are MIG instances, which share a clock"),
        [] => unclear("and how many these have is not known"),
        [only] => Some(gpus::of_whole_nodes(&gathered.options, &job.gpus, only)),
        _ => unclear("and its nodes have different numbers of them"),
    }
}

fn gives_whole_nodes(place: &Place, job: &Job, partitions: &Partitions) -> bool {
    let all = partitions.of(place.cluster.as_deref()).known().map_or(&[][..], Vec::as_slice);
    let may_be = |name: &String| match &place.partition {
        Some(partition) => name == partition,
        None => job.partitions.contains(name),
    };
    all.iter().any(|partition| partition.exclusive && may_be(&partition.name))
}

/// Whether the job may get a node, as far as its options name nodes. One that asks for GPUs gets none without.
fn is_open(node: &PartitionNode, job: &Job) -> bool {
    let names = |list: &Option<String>| list.as_deref().and_then(hostlist::expand).is_some_and(|list| list.contains(&node.name));
    (node.gpus > 0 || job.gpus == Fact::Unsaid) && (job.nodelist.is_none() || names(&job.nodelist)) && !names(&job.exclude)
}

fn ask_nodes() -> Option<String> {
    slurm::ask_nodes().answer()
}

#[cfg(test)]
mod tests {
    use super::*;
    use carm::quantity::Moment;
    use carm::request::CarbonRequest;
    use carm::slurm::job::Options;
    use carm::slurm::partition::read_partitions;

    use crate::slurm::Told;

    const PARTITIONS: &str = "PartitionName=main Default=YES State=UP OverSubscribe=NO\n\
                              PartitionName=whole State=UP OverSubscribe=EXCLUSIVE\n\
                              PartitionName=mixed State=UP OverSubscribe=EXCLUSIVE\n";
    const NODES: &str = "main|n1|gpu:4|\nmain|n2|gpu:4|\nmain|c1|(null)|\nwhole|w1|gpu:8|\nmixed|x1|gpu:8|\nmixed|x2|gpu:4|\n\
                         mig|m1|gpu:a100_1g.5gb:7|\n";

    fn planned(pairs: &str) -> String {
        let mut options = Options::default();
        for pair in pairs.split_whitespace() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(name, Some(value.into()).filter(|v: &std::ffi::OsString| !v.is_empty()));
        }
        let moment = Moment { now: chrono::DateTime::UNIX_EPOCH, local: &|wall| Some(wall.and_utc()) };
        let job = Job::read(&options, &moment);
        let gathered = Gathered {
            request: CarbonRequest::default(),
            job,
            options,
            name: String::new(),
            heterogeneous: false,
            foreign: None,
            later_h: 0.0,
        };
        let partitions = Partitions { here: Told::Is(read_partitions(PARTITIONS)), elsewhere: Vec::new() };
        match gpus_by(&Config::embedded(0), &gathered, &partitions, || Some(NODES.to_owned())) {
            None => "shared".to_owned(),
            Some(Fact::Is(request)) => request.count.to_string(),
            Some(Fact::Unsaid) => "none".to_owned(),
            Some(Fact::Unclear(why)) => why,
        }
    }

    #[test]
    fn whole_nodes_are_planned_with_all_their_gpus() {
        for (options, expected) in [
            ("gres=gpu:1", "shared"),
            ("exclusive gres=gpu:1", "4"),
            ("exclusive=allocation gres=gpu:1 nodes=2", "8"),
            ("exclusive=user gres=gpu:1", "shared"),
            ("exclusive=mcs gres=gpu:1", "shared"),
            ("exclusive oversubscribe gres=gpu:1", "shared"),
            ("exclusive nodelist=n1", "4"),
            ("exclusive nodelist=c1", "none"),
            ("partition=whole gres=gpu:1", "8"),
            ("partition=whole", "8"),
            ("partition=mixed gres=gpu:1 exclude=x2", "8"),
        ] {
            assert_eq!(planned(options), expected, "{options}");
        }
    }

    #[test]
    fn an_open_number_of_gpus_is_named() {
        for (options, why) in [
            ("exclusive", "different numbers"),
            ("partition=mixed gres=gpu:1", "OverSubscribe=EXCLUSIVE gives all GPUs of its nodes, and its nodes have different"),
            ("exclusive partition=main,whole gres=gpu:1", "how many these have is not known"),
            ("exclusive gres=gpu:1 nodes=1-2", "the number of nodes is open"),
        ] {
            assert!(planned(options).contains(why), "{options}: {}", planned(options));
        }
    }
}
