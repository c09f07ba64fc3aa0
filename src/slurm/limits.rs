//! `scontrol show assoc_mgr`: how long a time limit accounts and QOS allow.
//!
//! Asked with `--oneliner` and [`arguments`]: one record a line, `Key=value` words (22.05 to 26.05); `users=` drops other users'
//! associations and keeps those of accounts. slurmctld checks the partition's QOS, the job's QOS, the user's association and its
//! accounts up to root (acct_policy.c). A QOS's MaxWall hides that of the association. Which QOS hides the other depends on the flag
//! OverPartQOS, which scontrol does not print, so the smaller one counts here. `UsageFactorSafe` is not printed either.

/// The words behind `scontrol --oneliner`.
#[must_use]
pub fn arguments(user: &str) -> [String; 4] {
    ["show".to_owned(), "assoc_mgr".to_owned(), format!("users={user}"), "flags=users,assoc,qos".to_owned()]
}

/// The fields of `sacctmgr --noheader --parsable2 show associations`, as [`default_qos`] reads them. scontrol prints no default QOS.
pub const FORMAT: &str = "format=Account,Partition,DefaultQOS,QOS";

/// What the association manager knows of one user.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    user: String,
    default_account: Option<String>,
    cluster: Option<String>,
    associations: Vec<Association>,
    qos: Vec<(String, Record)>,
}

#[derive(Debug, Clone)]
struct Association {
    account: String,
    /// Empty: the account's own.
    user: String,
    /// Empty: every partition.
    partition: String,
    parent: String,
    record: Record,
}

/// The limits of one association or QOS.
#[derive(Debug, Clone, Default, PartialEq)]
struct Record {
    /// MaxWallPJ, minutes.
    max_wall: Option<u64>,
    /// GrpWall less what is used, minutes.
    group_wall: Option<u64>,
    /// What one job may still use of a resource, in resource-minutes.
    resource_minutes: Vec<(String, u64)>,
}

/// A job as far as its time limit is checked.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// `--account`; `None`: the user's default.
    pub account: Option<&'a str>,
    /// The partition.
    pub partition: Option<&'a str>,
    /// The partition's own QOS.
    pub partition_qos: Option<&'a str>,
    /// The QOS that the job may have; empty: any.
    pub qos: &'a [String],
    /// Its GPUs.
    pub gpus: u64,
}

impl Limits {
    /// Reads scontrol's answer; lines that are no records are skipped.
    #[must_use]
    pub fn read(text: &str, user: &str) -> Self {
        let mut limits = Self { user: user.to_owned(), ..Self::default() };
        for line in text.lines() {
            let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            if let Some(name) = value("QOS").filter(|_| line.starts_with("QOS=")) {
                let account = limits.default_account.clone();
                limits.qos.push((without_id(name), Record::read(line, user, account.as_deref())));
            } else if line.starts_with("ClusterName=") {
                limits.cluster = value("ClusterName").map(str::to_owned);
                limits.associations.push(Association {
                    account: value("Account").unwrap_or_default().to_owned(),
                    user: without_id(value("UserName").unwrap_or_default()),
                    partition: value("Partition").unwrap_or_default().to_owned(),
                    parent: without_id(value("ParentAccount").unwrap_or_default()),
                    record: Record::read(line, user, None),
                });
            } else if line.starts_with("UserName=") && value("UserName").is_some_and(|name| without_id(name) == user) {
                limits.default_account = value("DefAccount").filter(|name| *name != "(null)").map(str::to_owned);
            }
        }
        limits
    }

    /// The account of a job that names none.
    #[must_use]
    pub fn default_account(&self) -> Option<&str> {
        self.default_account.as_deref()
    }

    /// The cluster's name; `None` without accounting.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Whether the job's QOS makes a difference.
    #[must_use]
    pub fn has_qos_limits(&self) -> bool {
        self.qos.iter().any(|(_, record)| *record != Record::default())
    }

    /// The longest time limit that neither gets the job refused nor leaves it pending, in minutes; `None`: no such limit.
    ///
    /// # Errors
    /// A limit holds whose effect on this job is not known.
    pub fn longest_min(&self, job: &Applied) -> Result<Option<u64>, String> {
        let named = |name: &str| self.qos.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, record)| record);
        let mut qos: Vec<&Record> = match job.qos {
            [] => self.qos.iter().map(|(_, record)| record).collect(),
            names => names.iter().filter_map(|name| named(name)).collect(),
        };
        qos.extend(job.partition_qos.and_then(named));
        let chain = self.chain(job)?;
        let max_wall = |records: &[&Record]| records.iter().filter_map(|record| record.max_wall).min();
        // Of several QOS that the job may have one may set no limit: then the association's holds.
        let partition_sets_one = job.partition_qos.and_then(named).is_some_and(|qos| qos.max_wall.is_some());
        let qos_wall = max_wall(&qos).filter(|_| job.qos.len() == 1 || partition_sets_one);
        let mut longest = match qos_wall {
            Some(minutes) => vec![minutes],
            None => max_wall(&qos).into_iter().chain(max_wall(&chain)).collect(),
        };
        for record in qos.iter().chain(&chain) {
            longest.extend(record.group_wall);
            for (resource, minutes) in &record.resource_minutes {
                match resource.split(':').next() {
                    Some("gres/gpu") => longest.push(minutes / job.gpus.max(1)),
                    // A job's CPUs, memory and billing are slurmctld's to count.
                    _ => return Err(format!("a limit on {resource} minutes holds for this job")),
                }
            }
        }
        Ok(longest.into_iter().min())
    }

    /// The user's association and those of its accounts up to root; none where the user has no association.
    fn chain(&self, job: &Applied) -> Result<Vec<&Record>, String> {
        let Some(account) = job.account.or(self.default_account()) else { return Ok(Vec::new()) };
        let own = |partition: &str| {
            self.associations.iter().find(|a| {
                a.user == self.user && a.account.eq_ignore_ascii_case(account) && a.partition.eq_ignore_ascii_case(partition)
            })
        };
        let Some(own) = job.partition.and_then(own).or_else(|| own("")) else { return Ok(Vec::new()) };
        let mut chain = vec![&own.record];
        let mut account = &own.account;
        while chain.len() < MOST_LEVELS && !account.is_empty() {
            let above = self.associations.iter().find(|a| a.user.is_empty() && a.account == *account);
            let above = above.ok_or_else(|| format!("the limits of account {account} are hidden (PrivateData)"))?;
            chain.push(&above.record);
            account = &above.parent;
        }
        Ok(chain)
    }
}

/// No tree of accounts is deeper.
const MOST_LEVELS: usize = 64;

impl Record {
    fn read(line: &str, user: &str, account: Option<&str>) -> Self {
        let mut record = Self::default();
        let mut running = Vec::new();
        let mut of = "";
        for word in line.split_whitespace() {
            // `User Limits= physics(1001)={MaxJobsPU=N(0) ...}`: an entry for each user and account of a QOS.
            let word = match word.split_once("={") {
                Some((name, rest)) => {
                    of = name;
                    rest
                }
                None => word,
            };
            let Some((key, value)) = word.trim_end_matches('}').split_once('=') else { continue };
            match key {
                "MaxWallPJ" => record.max_wall = value.parse().ok(),
                "GrpWall" => record.group_wall = left(value),
                "GrpTRESRunMins" => running.extend(pairs(value)),
                "MaxTRESMinsPJ" => record.resource_minutes.extend(of_pairs(value)),
                "GrpTRESMins" => record.resource_minutes.extend(of_pairs(value)),
                "MaxTRESRunMinsPU" if without_id(of) == user => record.resource_minutes.extend(of_pairs(value)),
                "MaxTRESRunMinsPA" if account == Some(of) => record.resource_minutes.extend(of_pairs(value)),
                _ => {}
            }
        }
        let running_minutes = running.iter().filter_map(|(name, value)| Some(((*name).to_owned(), left(value)?)));
        record.resource_minutes.extend(running_minutes);
        record
    }
}

fn pairs(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split(',').filter_map(|pair| pair.split_once('='))
}

fn of_pairs(list: &str) -> impl Iterator<Item = (String, u64)> {
    pairs(list).filter_map(|(name, value)| Some((name.to_owned(), left(value)?)))
}

/// What is left of `LIMIT(USED)` or `LIMIT`; `None` of `N(USED)`, which is no limit.
fn left(value: &str) -> Option<u64> {
    let (limit, used) = value.split_once('(').unwrap_or((value, "0)"));
    let used: f64 = used.trim_end_matches(')').parse().unwrap_or(0.0);
    Some(limit.parse::<u64>().ok()?.saturating_sub(used.ceil() as u64))
}

/// `physics(1001)`: a name with its number.
fn without_id(name: &str) -> String {
    name.split('(').next().unwrap_or_default().to_owned()
}

/// The QOS that a job without `--qos` may have, by sacctmgr; empty: any.
///
/// slurmctld takes the association's default, else its only QOS, else the root association's default or `normal`.
#[must_use]
pub fn default_qos(text: &str, account: &str, partition: Option<&str>) -> Vec<String> {
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
    let own = |partition: &str| {
        rows.iter().find(|row| row.len() >= 4 && row[0].eq_ignore_ascii_case(account) && row[1].eq_ignore_ascii_case(partition))
    };
    let Some(row) = partition.and_then(own).or_else(|| own("")) else { return Vec::new() };
    match (row[2], row[3]) {
        ("", list) => list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        (default, _) => vec![default.to_owned()],
    }
}

#[cfg(test)]
mod tests;
