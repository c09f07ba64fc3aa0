//! `sinfo`: how many GPUs the nodes of each partition have.
//!
//! Asked with [`FORMAT`], a node of a partition a line (22.05 to 26.05).

use super::gpus::is_mig;
use super::queue::gpus_in;

/// The fields.
pub const FORMAT: &str = "PartitionName:|,NodeList:|,Gres:|,Features:|";

/// A node of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionNode {
    /// The partition.
    pub partition: String,
    /// The node.
    pub name: String,
    /// Its GPUs; MIG instances count as GPUs.
    pub gpus: u32,
    /// Whether MIG instances are among them.
    pub mig: bool,
    /// Its features, as Slurm writes them: `a100,ib`.
    pub features: String,
}

/// The GPUs of the nodes of a site, each node once. `constraint`: a feature, or several with `&` between them.
#[must_use]
pub fn gpus_of_site(nodes: &[PartitionNode], partition: Option<&str>, list: Option<&[String]>, constraint: Option<&str>) -> u32 {
    let has = |node: &PartitionNode, feature: &str| node.features.split(',').any(|own| own == feature);
    let is_there = |node: &&PartitionNode| {
        partition.is_none_or(|name| name == node.partition)
            && list.is_none_or(|names| names.contains(&node.name))
            && constraint.is_none_or(|features| features.split('&').all(|feature| has(node, feature)))
    };
    let mut there: Vec<&PartitionNode> = nodes.iter().filter(is_there).collect();
    there.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    there.dedup_by(|a, b| a.name == b.name);
    there.iter().map(|node| node.gpus).fold(0, u32::saturating_add)
}

/// Reads sinfo's answer; lines that are no nodes are skipped.
#[must_use]
pub fn read_nodes(text: &str) -> Vec<PartitionNode> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<PartitionNode> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[partition, name, gres, ref rest @ ..] = fields.as_slice() else { return None };
    Some(PartitionNode {
        partition: partition.to_owned(),
        name: name.to_owned(),
        gpus: u32::try_from(gpus_in(gres)).unwrap_or(u32::MAX),
        features: rest.first().copied().filter(|list| *list != "(null)").unwrap_or_default().to_owned(),
        mig: gres.split(',').any(|entry| entry.starts_with("gpu:") && entry.split(':').any(is_mig)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines_of_22_05_are_read() {
        let text = "main|n1|gpu:2080ti:4(S:0-1),shard:8|\nmig|m1|gpu:a100_1g.5gb:7,gpu:a100:1|\ncpu|c1|(null)|\n\n";
        let nodes = read_nodes(text);
        let read: Vec<_> = nodes.iter().map(|n| (n.partition.as_str(), n.name.as_str(), n.gpus, n.mig)).collect();
        assert_eq!(read, [("main", "n1", 4, false), ("mig", "m1", 8, true), ("cpu", "c1", 0, false)]);
    }

    #[test]
    fn a_node_counts_once_in_a_site() {
        let text = "main|n1|gpu:4|ib,a100|\nmain|n2|gpu:a100:8|(null)|\ndebug|n1|gpu:4|ib,a100|\ncpu|c1|(null)|ib|\n";
        let nodes = read_nodes(text);
        let n2 = ["n2".to_owned()];
        assert_eq!(gpus_of_site(&nodes, None, None, None), 12);
        assert_eq!(gpus_of_site(&nodes, Some("debug"), None, None), 4);
        assert_eq!(gpus_of_site(&nodes, Some("main"), Some(&n2), None), 8);
        assert_eq!(gpus_of_site(&nodes, None, None, Some("ib&a100")), 4);
        assert_eq!(gpus_of_site(&nodes, Some("cpu"), None, None), 0);
    }
}
