//! What accounts, QOS and partitions allow this user's job: how long its time limit may become, and which partitions admit it.
//!
//! Slurm is asked only where the answer matters: `scontrol show assoc_mgr`, and `sacctmgr` for the default QOS of a job that names none.

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::rc::Rc;

use carm::slurm::limits::{self, Applied, Limits};
use carm::slurm::partition::{Applicant, Partition};
use nix::unistd::{Group, User, getgroups, getuid};

use crate::gather::Gathered;
use crate::places::Place;
use crate::recent::Recent;
use crate::slurm::scontrol;

/// Of one submission; each answer is asked for once.
pub struct Policy<'a> {
    gathered: &'a Gathered,
    known: RefCell<Vec<Known>>,
}

/// What is known of one cluster.
struct Known {
    cluster: Option<String>,
    /// `None`: not answered.
    limits: Option<Rc<Limits>>,
    /// sacctmgr's answer; the outer `None`: not asked.
    associations: Option<Option<Rc<str>>>,
}

impl<'a> Policy<'a> {
    pub fn new(gathered: &'a Gathered) -> Self {
        Self { gathered, known: RefCell::default() }
    }

    /// The longest time limit, in seconds, that the job may have at this place and width; `None`: only the partition limits it.
    ///
    /// # Errors
    /// It is not known; the text says why.
    pub fn longest_s(&self, place: &Place, gpus: u32) -> Result<Option<u64>, String> {
        let cluster = place.cluster.as_deref();
        let limits = self.limits(cluster).ok_or("scontrol show assoc_mgr: no answer")?;
        let qos = if limits.has_qos_limits() { self.qos(cluster, place.partition.as_deref(), &limits)? } else { Vec::new() };
        let applied = Applied {
            account: self.gathered.options.text("account"),
            partition: place.partition.as_deref(),
            partition_qos: place.qos.as_deref(),
            qos: &qos,
            gpus: gpus.into(),
        };
        Ok(limits.longest_min(&applied)?.map(|minutes| minutes * 60))
    }

    /// The job and its user, as far as a partition's rules need them.
    pub fn applicant(&self, cluster: Option<&str>, partition: &Partition) -> Applicant {
        let options = &self.gathered.options;
        let mut who = Applicant { is_root: getuid().is_root(), nodes: nodes(options.text("nodes")), ..Applicant::default() };
        if partition.admits.groups.is_some() {
            let groups = getgroups().unwrap_or_default();
            who.groups = groups.into_iter().filter_map(|id| Some(Group::from_gid(id).ok()??.name)).collect();
        }
        who.host = rustix::system::uname().nodename().to_string_lossy().split('.').next().unwrap_or_default().to_owned();
        if partition.admits.asks_account() {
            who.account = options.text("account").map(str::to_owned);
            who.qos = options.text("qos").map(str::to_owned).into_iter().collect();
            if let Some(limits) = self.limits(cluster).filter(|_| who.account.is_none() || who.qos.is_empty()) {
                who.qos = self.qos(cluster, Some(&partition.name), &limits).unwrap_or_default();
                who.account = who.account.or_else(|| limits.default_account().map(str::to_owned));
            }
        }
        who
    }

    fn limits(&self, cluster: Option<&str>) -> Option<Rc<Limits>> {
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.iter().find(|known| known.cluster.as_deref() == cluster) {
            return known.limits.clone();
        }
        let limits = self.user().and_then(|user| {
            let text = Recent::ask(scontrol(cluster).args(limits::arguments(&user))).answer()?;
            Some(Rc::new(Limits::read(&text, &user)))
        });
        known.push(Known { cluster: cluster.map(str::to_owned), limits: limits.clone(), associations: None });
        limits
    }

    /// The QOS that the job may have; empty: any.
    fn qos(&self, cluster: Option<&str>, partition: Option<&str>, limits: &Limits) -> Result<Vec<String>, String> {
        if let Some(name) = self.gathered.options.text("qos") {
            return Ok(vec![name.to_owned()]);
        }
        let account = self.gathered.options.text("account").or(limits.default_account());
        let (Some(account), Some(user), Some(name)) = (account, self.user(), limits.cluster()) else { return Ok(Vec::new()) };
        let mut known = self.known.borrow_mut();
        let known = known.iter_mut().find(|known| known.cluster.as_deref() == cluster);
        let ask = || {
            let mut sacctmgr = Command::new("sacctmgr");
            sacctmgr.args(["--noheader", "--parsable2", "show", "associations", "where", &format!("user={user}")]);
            sacctmgr.args([&format!("cluster={name}"), limits::FORMAT]).stdin(Stdio::null());
            Recent::ask(&mut sacctmgr).answer().map(Rc::from)
        };
        let associations = known.and_then(|known| known.associations.get_or_insert_with(ask).clone());
        let associations = associations.ok_or("sacctmgr show associations: no answer")?;
        Ok(limits::default_qos(&associations, account, partition))
    }

    /// The user's name. For another user's job (`--uid`) this user's limits are no answer.
    fn user(&self) -> Option<String> {
        let user = User::from_uid(getuid()).ok().flatten().filter(|_| !self.gathered.options.has("uid"));
        user.map(|user| user.name)
    }
}

/// `--nodes`: the least and the most; a job that names none asks for one at least. `None`: not read.
fn nodes(text: Option<&str>) -> Option<(u32, Option<u32>)> {
    let Some(text) = text else { return Some((1, None)) };
    match text.split_once('-') {
        Some((least, most)) => Some((least.parse().ok()?, Some(most.parse().ok()?))),
        None => text.parse().ok().map(|count| (count, Some(count))),
    }
}
