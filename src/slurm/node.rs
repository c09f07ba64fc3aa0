//! `sinfo`: how many GPUs the nodes of each partition have.
//!
//! Asked with [`FORMAT`], a node of a partition a line (22.05 to 26.05).

use super::gpus::is_mig;
use super::queue::gpus_in;

/// The fields.
pub const FORMAT: &str = "PartitionName:|,NodeList:|,Gres:|";

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
}

/// Reads sinfo's answer; lines that are no nodes are skipped.
#[must_use]
pub fn read_nodes(text: &str) -> Vec<PartitionNode> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<PartitionNode> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[partition, name, gres, ..] = fields.as_slice() else { return None };
    Some(PartitionNode {
        partition: partition.to_owned(),
        name: name.to_owned(),
        gpus: u32::try_from(gpus_in(gres)).unwrap_or(u32::MAX),
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
}
