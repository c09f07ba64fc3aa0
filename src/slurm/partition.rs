//! `scontrol show partition -o`: what each partition allows.
//!
//! One partition a line, `Key=value` words; 22.05 to 26.05 add and drop keys, so unknown ones are skipped and missing
//! ones leave their field open.

use super::hostlist;
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
    /// The QOS of all its jobs.
    pub qos: Option<String>,
    /// Who may use it.
    pub admits: Admits,
}

/// Who may use a partition, and with which jobs. Each list as Slurm writes it; `None`: all, or of a `deny` none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admits {
    /// AllowGroups.
    pub groups: Option<String>,
    /// AllowAccounts.
    pub accounts: Option<String>,
    /// DenyAccounts.
    pub denied_accounts: Option<String>,
    /// AllowQos.
    pub qos: Option<String>,
    /// DenyQos.
    pub denied_qos: Option<String>,
    /// AllocNodes: the hosts that jobs may come from.
    pub hosts: Option<String>,
    /// RootOnly=YES.
    pub root_only: bool,
    /// DisableRootJobs=YES.
    pub no_root: bool,
    /// ReqResv=YES.
    pub needs_reservation: bool,
    /// MinNodes.
    pub min_nodes: u32,
    /// MaxNodes.
    pub max_nodes: Option<u32>,
}

/// A job and its user, as a partition's rules see them; a fact that is `None` is not known.
#[derive(Debug, Clone, Default)]
pub struct Applicant {
    /// Whether the user is root.
    pub is_root: bool,
    /// The user's groups.
    pub groups: Vec<String>,
    /// The submitting host.
    pub host: String,
    /// The job's account.
    pub account: Option<String>,
    /// The QOS that the job may have; empty: not known.
    pub qos: Vec<String>,
    /// The least and the most nodes that it asks for.
    pub nodes: Option<(u32, Option<u32>)>,
}

impl Admits {
    /// Whether accounts or QOS matter.
    #[must_use]
    pub fn asks_account(&self) -> bool {
        [&self.accounts, &self.denied_accounts, &self.qos, &self.denied_qos].into_iter().any(Option::is_some)
    }

    /// Why the partition would not run the job: slurmctld refuses it or leaves it pending (`_part_access_check`, job_mgr.c).
    #[must_use]
    pub fn refusal(&self, who: &Applicant) -> Option<String> {
        let holds = |list: &str, name: &str| list.split(',').any(|entry| entry.eq_ignore_ascii_case(name));
        let qos = (!who.qos.is_empty()).then_some(&who.qos);
        let allowed = |list: &String, names: Option<&[String]>, what: &str| match names {
            Some(names) => {
                let other = names.iter().find(|name| !holds(list, name))?;
                Some(format!("admits no jobs of {what} {other}"))
            }
            None => Some(format!("admits jobs of {what} {list} alone, and this job's is not known")),
        };
        let denied = |list: &String, names: Option<&[String]>, what: &str| match names {
            Some(names) => Some(format!("admits no jobs of {what} {}", names.iter().find(|name| holds(list, name))?)),
            None => Some(format!("denies {what} {list}, and this job's is not known")),
        };
        let account = who.account.as_ref().map(std::slice::from_ref);
        let qos = qos.map(Vec::as_slice);
        if self.needs_reservation {
            return Some("needs a reservation".to_owned());
        }
        if self.root_only && !who.is_root {
            return Some("is for root alone (RootOnly)".to_owned());
        }
        if self.no_root && who.is_root {
            return Some("admits no jobs of root (DisableRootJobs)".to_owned());
        }
        if let Some(groups) = self.groups.as_ref().filter(|_| !who.is_root)
            && !who.groups.iter().any(|group| groups.split(',').any(|entry| entry == group))
        {
            return Some(format!("is for members of {groups} alone (AllowGroups)"));
        }
        if let Some(hosts) = &self.hosts
            && !hostlist::expand(hosts).is_some_and(|hosts| hosts.contains(&who.host))
        {
            return Some(format!("admits no jobs from host {} (AllocNodes)", who.host));
        }
        let by_list = [
            self.accounts.as_ref().and_then(|list| allowed(list, account, "account")),
            self.denied_accounts.as_ref().and_then(|list| denied(list, account, "account")),
            self.qos.as_ref().and_then(|list| allowed(list, qos, "QOS")),
            self.denied_qos.as_ref().and_then(|list| denied(list, qos, "QOS")),
        ];
        if let Some(reason) = by_list.into_iter().flatten().next() {
            return Some(reason);
        }
        let (least, most) = who.nodes?;
        if least < self.min_nodes {
            return Some(format!("admits no jobs of fewer than {} nodes (MinNodes)", self.min_nodes));
        }
        let over = self.max_nodes.filter(|&max| most.unwrap_or(least) > max);
        over.map(|max| format!("admits no jobs of more than {max} nodes (MaxNodes)"))
    }
}

/// Reads all partitions; lines that are none are skipped.
#[must_use]
pub fn read_partitions(text: &str) -> Vec<Partition> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<Partition> {
    let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let list = |key| value(key).filter(|list| !matches!(*list, "ALL" | "NONE" | "(null)" | "N/A" | "")).map(str::to_owned);
    let yes = |key| value(key) == Some("YES");
    let admits = Admits {
        groups: list("AllowGroups"),
        accounts: list("AllowAccounts"),
        denied_accounts: list("DenyAccounts"),
        qos: list("AllowQos"),
        denied_qos: list("DenyQos"),
        hosts: list("AllocNodes"),
        root_only: yes("RootOnly"),
        no_root: yes("DisableRootJobs"),
        needs_reservation: yes("ReqResv"),
        min_nodes: value("MinNodes").and_then(|text| text.parse().ok()).unwrap_or(0),
        max_nodes: value("MaxNodes").and_then(|text| text.parse().ok()),
    };
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
        qos: list("QoS"),
        admits,
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
            ..Partition::default()
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

    fn refusal(rule: &str, who: &Applicant) -> Option<String> {
        read_partitions(&format!("PartitionName=p {rule}"))[0].admits.refusal(who)
    }

    #[test]
    fn a_partition_says_whom_it_does_not_admit() {
        let own = |text: &str| vec![text.to_owned()];
        let who = Applicant {
            groups: own("physics"),
            host: "login1".into(),
            account: Some("qcd".into()),
            qos: own("day"),
            nodes: Some((2, Some(4))),
            ..Applicant::default()
        };
        for (rule, reason) in [
            ("AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL MaxNodes=UNLIMITED MinNodes=0 RootOnly=NO", None),
            ("AllowAccounts=a,QCD AllowQos=day AllowGroups=physics AllocNodes=login[1-2] MinNodes=2 MaxNodes=4", None),
            ("DenyAccounts=a DenyQos=long", None),
            ("AllowAccounts=a,b", Some("admits no jobs of account qcd")),
            ("DenyAccounts=qcd", Some("admits no jobs of account qcd")),
            ("AllowQos=long", Some("admits no jobs of QOS day")),
            ("DenyQos=day", Some("admits no jobs of QOS day")),
            ("AllowGroups=chem", Some("is for members of chem alone (AllowGroups)")),
            ("AllocNodes=login2", Some("admits no jobs from host login1 (AllocNodes)")),
            ("RootOnly=YES", Some("is for root alone (RootOnly)")),
            ("ReqResv=YES", Some("needs a reservation")),
            ("MinNodes=3", Some("admits no jobs of fewer than 3 nodes (MinNodes)")),
            ("MaxNodes=3", Some("admits no jobs of more than 3 nodes (MaxNodes)")),
        ] {
            assert_eq!(refusal(rule, &who).as_deref(), reason, "{rule}");
        }
        let unknown = Applicant { account: None, qos: Vec::new(), ..who };
        assert_eq!(refusal("DenyQos=long", &unknown).as_deref(), Some("denies QOS long, and this job's is not known"));
        let root = Applicant { is_root: true, ..unknown };
        assert_eq!(refusal("RootOnly=YES AllowGroups=chem", &root), None);
        assert!(refusal("DisableRootJobs=YES", &root).is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(PartitionName=[a-z]{0,3} )?\\PC{0,60}") {
            let _ = read_partitions(&text);
        }
    }
}
