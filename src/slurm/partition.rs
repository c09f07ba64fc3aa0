//! `scontrol show partition -o`: what each partition allows.
//!
//! One partition a line, `Key=value` words; 22.05 to 26.05 add and drop keys, so unknown ones are skipped and missing
//! ones leave their field open.

use crate::quantity::{SlurmTime, parse_slurm_time};

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// The longest time limit in seconds; `None`: none, or not told.
    pub max_time_s: Option<u64>,
    /// The time limit of a job that names none, in seconds.
    pub default_time_s: Option<u64>,
    /// Whether a job that names no partition lands here.
    pub default: bool,
    /// Whether jobs start here (`State=UP`); a job may be submitted to a partition that is `DOWN`, too.
    pub up: bool,
    /// Its nodes, as Slurm writes them.
    pub nodes: String,
    /// Whether each job gets whole nodes (`OverSubscribe=EXCLUSIVE`, from 26.05 on `Exclusive=NODE`).
    pub exclusive: bool,
}

/// Reads all partitions; lines that are none are skipped.
#[must_use]
pub fn read_partitions(text: &str) -> Vec<Partition> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<Partition> {
    let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let seconds = |key| value(key).and_then(|text| parse_slurm_time(text).ok()).and_then(SlurmTime::seconds);
    Some(Partition {
        name: value("PartitionName").filter(|name| !name.is_empty())?.to_owned(),
        max_time_s: seconds("MaxTime"),
        default_time_s: seconds("DefaultTime"),
        default: value("Default") == Some("YES"),
        up: value("State").is_none_or(|state| state == "UP"),
        nodes: value("Nodes").unwrap_or_default().to_owned(),
        // 26.05 has `OverSubscribe=NO Exclusive=NODE` for it; TOPO implies whole nodes, USER does not.
        exclusive: value("OverSubscribe") == Some("EXCLUSIVE") || matches!(value("Exclusive"), Some("NODE" | "TOPO")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_real_line_of_22_05_is_read() {
        let text = "PartitionName=gpu-north AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A DefaultTime=01:00:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED MaxTime=2-00:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=n[1-2] PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=4 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED\nPartitionName=slow DefaultTime=NONE MaxTime=UNLIMITED State=DOWN\n";
        let found = read_partitions(text);
        let north = Partition {
            name: "gpu-north".into(),
            max_time_s: Some(172_800),
            default_time_s: Some(3_600),
            default: true,
            up: true,
            nodes: "n[1-2]".into(),
            exclusive: false,
        };
        assert_eq!(found.first(), Some(&north));
        assert_eq!(found.get(1), Some(&Partition { name: "slow".into(), ..Partition::default() }));
    }

    #[test]
    fn exclusive_partitions_are_marked() {
        let found = read_partitions(
            "PartitionName=whole ExclusiveUser=NO OverSubscribe=EXCLUSIVE\nPartitionName=shared OverSubscribe=FORCE:4\n\
             PartitionName=whole Exclusive=NODE OverSubscribe=NO\nPartitionName=user Exclusive=USER OverSubscribe=NO\n",
        );
        assert_eq!(found.iter().map(|p| p.exclusive).collect::<Vec<_>>(), [true, false, true, false]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(PartitionName=[a-z]{0,3} )?\\PC{0,60}") {
            let _ = read_partitions(&text);
        }
    }
}
