//! Which of the configured sites a job may use, and the sbatch options that send it there.
//!
//! What the user said is kept: a site is left out where it contradicts the job's partitions, clusters, nodes or GPU type,
//! and a constraint is added to the user's own, never put in its place.

use carm::config::{Config, Site};
use carm::quantity::counted;
use carm::slurm::gpus::GpuRequest;
use carm::slurm::hostlist;
use carm::slurm::job::Job;
use carm::slurm::partition::{Applicant, Partition};

use crate::slurm::{Partitions, Told};

/// A site that takes the job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    /// Index into the configuration's sites.
    pub site: usize,
    /// The partition, where it is known.
    pub partition: Option<String>,
    /// The cluster, where it is known.
    pub cluster: Option<String>,
    /// The sbatch options that send the job there.
    pub options: Vec<String>,
    /// The longest time limit there in seconds; `None`: none.
    pub max_time_s: Option<u64>,
    /// The time limit there of a job that names none, in seconds.
    pub default_time_s: Option<u64>,
    /// Whether the limits above could be asked for.
    pub limits_known: bool,
    /// The partition's own QOS.
    pub qos: Option<String>,
}

/// Whether the job may go to a site's cluster: its user named it, or the site lets jobs go to other clusters.
pub fn consents(config: &Config, site: &Site, job: &Job) -> Result<(), String> {
    match &site.cluster {
        Some(cluster) if !config.submit.other_clusters && !job.clusters.contains(cluster) => {
            Err(format!("it is on cluster {cluster}; give -M {cluster}, or set [submit] other_clusters = true"))
        }
        _ => Ok(()),
    }
}

/// The job and its user as a cluster's partition sees them.
pub type Applying<'a> = &'a dyn Fn(Option<&str>, &Partition) -> Applicant;

/// The place at a site, or why the job cannot go there. `partitions`: what Slurm says, where it can be asked. `applicant`: the job and
/// its user, for a partition of a cluster that the job is moved to; `None`: whom a partition admits is no matter yet.
pub fn place(
    config: &Config,
    index: usize,
    job: &Job,
    gpus: &GpuRequest,
    partitions: &Partitions,
    applicant: Option<Applying<'_>>,
) -> Result<Place, String> {
    let site = &config.sites[index];
    let mut options = Vec::new();
    fits_gpus(site, gpus, config.path.is_some())?;

    let cluster = match &site.cluster {
        Some(cluster) if !job.clusters.is_empty() && !job.clusters.contains(cluster) => {
            return Err(format!("the job asks for cluster {}", job.clusters.join(",")));
        }
        Some(cluster) => {
            if job.clusters[..] != [cluster.clone()] {
                options.push(format!("--clusters={cluster}"));
            }
            Some(cluster.clone())
        }
        None if job.clusters.is_empty() || config.path.is_none() => job.clusters.first().cloned(),
        None => return Err(format!("the job asks for cluster {}, and the site names none", job.clusters.join(","))),
    };
    let told = partitions.of(cluster.as_deref());
    if let (Some(cluster), Told::Silent) = (&cluster, told) {
        return Err(format!("cluster {cluster}: no answer"));
    }
    let known = told.known();

    let mut is_moved = false;
    let partition = match &site.partition {
        Some(partition) if !job.partitions.is_empty() && !job.partitions.contains(partition) => {
            return Err(format!("the job asks for partition {}", job.partitions.join(",")));
        }
        Some(partition) => {
            if job.partitions[..] != [partition.clone()] {
                options.push(format!("--partition={partition}"));
                is_moved = true;
            }
            Some(partition.clone())
        }
        None => match &job.partitions[..] {
            [] => known.and_then(|all| all.iter().find(|p| p.default)).map(|p| p.name.clone()),
            [only] => Some(only.clone()),
            _ => None,
        },
    };
    if is_moved && matches!(told, Told::Silent) {
        let name = partition.as_deref().unwrap_or_default();
        return Err(format!("scontrol show partition: no answer on whom partition '{name}' admits"));
    }
    let found = known.zip(partition.as_ref()).map(|(all, name)| all.iter().find(|p| p.name == *name));
    if let Some(told) = found {
        let name = partition.as_deref().unwrap_or_default();
        let here = || cluster.as_ref().map_or("this Slurm".to_owned(), |cluster| format!("cluster {cluster}"));
        let told = told.ok_or_else(|| format!("{} has no partition '{name}'", here()))?;
        if !told.up {
            return Err(format!("partition '{name}' is not up"));
        }
        // Where the job goes without CARM, too, Slurm has its own word on it.
        if is_moved
            && let Some(applicant) = applicant
            && let Some(reason) = told.admits.refusal(&applicant(cluster.as_deref(), told))
        {
            return Err(format!("partition '{name}' {reason}"));
        }
    }
    let told = found.flatten();

    if let Some(wanted) = site.constraint.as_ref().filter(|wanted| job.constraint.as_ref() != Some(wanted)) {
        options.push(match &job.constraint {
            Some(own) if own.contains(['|', '[', '*', ',']) => format!("--constraint=({own})&{wanted}"),
            Some(own) => format!("--constraint={own}&{wanted}"),
            None => format!("--constraint={wanted}"),
        });
    }
    options.extend(keep_to_nodes(config, site, job, told)?);
    Ok(Place {
        site: index,
        partition,
        cluster,
        options,
        max_time_s: told.and_then(|p| p.max_time_s),
        default_time_s: told.and_then(|p| p.default_time_s.or(p.max_time_s)),
        limits_known: told.is_some(),
        qos: told.and_then(|p| p.qos.clone()),
    })
}

/// The embedded site stands for any machine; a configured one has so many GPUs, of one type.
fn fits_gpus(site: &Site, gpus: &GpuRequest, configured: bool) -> Result<(), String> {
    if configured && gpus.count > site.gpus {
        return Err(format!("the job asks for {}, and the site has {}", counted(gpus.count, "GPU"), site.gpus));
    }
    match (&gpus.kind, &site.gpu) {
        (Some(wanted), Some(has)) if !wanted.eq_ignore_ascii_case(has) => {
            Err(format!("the job asks for GPUs of type {wanted}, and the site has {has}"))
        }
        _ => Ok(()),
    }
}

/// A site that is a list of nodes. sbatch's `--nodelist` would ask for *all* of them, so the others are excluded.
fn keep_to_nodes(config: &Config, site: &Site, job: &Job, partition: Option<&Partition>) -> Result<Option<String>, String> {
    let Some(own) = &site.nodelist else { return Ok(None) };
    let unread = |list: &str| format!("'{list}' is no list of nodes that CARM reads");
    let own = hostlist::expand(own).ok_or_else(|| unread(own))?;
    if let Some(wanted) = &job.nodelist {
        let wanted = hostlist::expand(wanted).ok_or_else(|| unread(wanted))?;
        return match wanted.iter().find(|node| !own.contains(node)) {
            Some(node) => Err(format!("the job asks for node {node}")),
            None => Ok(None),
        };
    }
    // The partition's own nodes where Slurm tells them, else those of the sites that share it.
    let others: Vec<String> = match partition {
        Some(partition) => vec![partition.nodes.clone()],
        None => {
            let shares = |other: &&Site| other.partition == site.partition && other.cluster == site.cluster;
            config.sites.iter().filter(shares).filter_map(|other| other.nodelist.clone()).collect()
        }
    };
    let mut excluded: Vec<String> = job.exclude.iter().cloned().collect();
    for list in others.iter().filter(|list| !list.is_empty() && *list != "(null)") {
        excluded.extend(hostlist::expand(list).ok_or_else(|| unread(list))?.into_iter().filter(|node| !own.contains(node)));
    }
    let added = excluded.len() > usize::from(job.exclude.is_some());
    Ok(added.then(|| format!("--exclude={}", excluded.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carm::quantity::Moment;
    use carm::slurm::job::Options;
    use std::path::Path;

    const CONFIG: &str = r#"
        [[zone]]
        name = "Z"
        source = "typical-day"
        [[site]]
        name = "north"
        zone = "Z"
        partition = "gpu-north"
        gpu = "a100"
        gpus = 8
        [[site]]
        name = "wind"
        zone = "Z"
        partition = "shared"
        nodelist = "w[1-2]"
        gpus = 4
        [[site]]
        name = "sun"
        zone = "Z"
        cluster = "far"
        constraint = "solar"
        gpus = 4
    "#;

    fn place_at(site: usize, options: &[(&str, &str)], partitions: Option<&str>) -> Result<Place, String> {
        let config = Config::parse(CONFIG, Path::new("carm.toml")).expect("a configuration");
        let mut given = Options::default();
        for (name, value) in options {
            given.set(name, Some(value.into()));
        }
        let moment = Moment { now: chrono::DateTime::UNIX_EPOCH, local: &|wall| Some(wall.and_utc()) };
        let job = Job::read(&given, &moment);
        let gpus = job.gpus.known().cloned().unwrap_or(GpuRequest { count: 1, kind: None, by: "gpus" });
        let told = |text: &str| Told::Is(carm::slurm::partition::read_partitions(text));
        let here = partitions.map_or(Told::Unasked, told);
        let elsewhere = vec![("far".to_owned(), told("PartitionName=dark Default=YES MaxTime=02:00:00 State=UP"))];
        place(&config, site, &job, &gpus, &Partitions { here, elsewhere }, Some(&|_, _| Applicant::default()))
    }

    fn at(site: usize, options: &[(&str, &str)], partitions: Option<&str>) -> Result<Vec<String>, String> {
        place_at(site, options, partitions).map(|place| place.options)
    }

    #[test]
    fn another_clusters_partitions_bound_the_jobs_that_go_there() {
        let there = |options: &[_]| place_at(2, options, Some("PartitionName=here Default=YES MaxTime=09:00:00 State=UP"));
        let place = there(&[]).expect("a place");
        assert_eq!((place.partition.as_deref(), place.max_time_s, place.limits_known), (Some("dark"), Some(7200), true));
        assert_eq!(there(&[("partition", "here")]), Err("cluster far has no partition 'here'".into()));
        let unknown = place_at(0, &[("clusters", "far")], None);
        assert_eq!(unknown, Err("the job asks for cluster far, and the site names none".into()));
    }

    #[test]
    fn a_job_that_names_no_partition_may_go_anywhere() {
        assert_eq!(at(0, &[], None), Ok(vec!["--partition=gpu-north".into()]));
        assert_eq!(at(1, &[], None), Ok(vec!["--partition=shared".into()]));
        assert_eq!(at(2, &[], None), Ok(vec!["--clusters=far".into(), "--constraint=solar".into()]));
    }

    #[test]
    fn what_the_user_asked_for_is_kept() {
        assert_eq!(at(0, &[("partition", "gpu-north")], None), Ok(vec![]));
        assert_eq!(at(0, &[("partition", "x,gpu-north")], None), Ok(vec!["--partition=gpu-north".into()]));
        assert_eq!(at(0, &[("partition", "x")], None), Err("the job asks for partition x".into()));
        assert_eq!(at(0, &[("gpus", "h100:2")], None), Err("the job asks for GPUs of type h100, and the site has a100".into()));
        assert_eq!(at(1, &[("gpus", "8")], None), Err("the job asks for 8 GPUs, and the site has 4".into()));
        assert_eq!(at(1, &[("nodelist", "w3")], None), Err("the job asks for node w3".into()));
        assert!(at(0, &[("clusters", "far")], None).is_err());
        let both = |own| at(2, &[("constraint", own)], None).map(|options| options.last().cloned());
        assert_eq!(both("big&new"), Ok(Some("--constraint=big&new&solar".into())));
        assert_eq!(both("a|b"), Ok(Some("--constraint=(a|b)&solar".into())));
    }

    #[test]
    fn a_site_that_is_a_list_of_nodes_keeps_the_job_off_the_others() {
        let told = Some("PartitionName=shared MaxTime=UNLIMITED Nodes=w[1-2],s[1-2] State=UP");
        assert_eq!(at(1, &[], told), Ok(vec!["--partition=shared".into(), "--exclude=s1,s2".into()]));
        assert_eq!(at(1, &[("exclude", "w2")], told).map(|o| o[1].clone()), Ok("--exclude=w2,s1,s2".into()));
        assert_eq!(at(1, &[("nodelist", "w1")], told), Ok(vec!["--partition=shared".into()]));
    }

    #[test]
    fn jobs_stay_out_of_partitions_without_access() {
        let root_only = Some("PartitionName=gpu-north RootOnly=YES State=UP");
        assert_eq!(at(0, &[], root_only), Err("partition 'gpu-north' is for root alone (RootOnly)".into()));
        assert_eq!(at(0, &[("partition", "a,gpu-north")], root_only), at(0, &[], root_only));
        assert_eq!(at(0, &[("partition", "gpu-north")], root_only), Ok(vec![]), "its user's own choice");
    }

    #[test]
    fn a_partition_that_slurm_does_not_have_or_that_is_down_is_left_out() {
        assert_eq!(at(0, &[], Some("PartitionName=other State=UP")), Err("this Slurm has no partition 'gpu-north'".into()));
        assert_eq!(at(0, &[], Some("PartitionName=gpu-north State=DOWN")), Err("partition 'gpu-north' is not up".into()));
    }
}
