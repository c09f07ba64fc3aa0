//! The job as slurmd's environment tells of it: Slurm's own variables, the carbon request, the GPUs.
//!
//! `SLURM_*` comes from slurmd and cannot be forged by the job; `SPANK_*` is the user's text and is read as hostile.

use std::path::PathBuf;

use carm::request::{CarbonRequest, variables};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A job at the start or end of its run on this node.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: u32,
    pub restart_count: u32,
    pub node: String,
    pub cluster: String,
    pub nodes: u32,
    pub uid: Option<u32>,
    pub user: Option<String>,
    pub account: Option<String>,
    pub partition: Option<String>,
    /// Slurm tells both from 23.02 on.
    pub start_time: Option<DateTime<Utc>>,
    pub end_time: Option<DateTime<Utc>>,
    pub slurm_conf: Option<PathBuf>,
    /// `code:signal`, for the epilog alone.
    pub exit_code2: Option<String>,
    /// The same as a status of wait(2).
    pub exit_code: Option<String>,
    pub gpus: GpuNames,
    /// Other jobs may be on its GPUs, as far as the environment tells: gres/mps sets a thread percentage, and from Slurm 23.02 on
    /// `SLURM_JOB_OVERSUBSCRIBE=YES` stands for `--oversubscribe` and for `OverSubscribe=FORCE` of the partition.
    pub shares_gpus: bool,
    /// The carbon request, or why it was refused.
    pub request: Result<Option<CarbonRequest>, String>,
}

/// How the environment names the job's GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuNames {
    /// It has none.
    #[default]
    None,
    /// By UUID: Slurm 25.11 on with AutoDetect=nvml.
    Uuids(Vec<String>),
    /// By index into the node's GRES device list.
    GresIndices(Vec<u32>),
    /// Cannot be told for certain; the text says why.
    Ambiguous(String),
}

impl Job {
    /// Reads the job from an environment; the error says which variable of slurmd's is missing.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |name: &str| variable(name).and_then(|text| text.parse::<u32>().ok());
        let id =
            number("SLURM_JOB_ID").or_else(|| number("SLURM_JOBID")).ok_or("SLURM_JOB_ID is not set; slurmd runs carm-prolog")?;
        let instant = |name: &str| variable(name).and_then(|text| DateTime::from_timestamp(text.parse().ok()?, 0));
        let spank = |name: &str| variable(&format!("{}{name}", variables::SLURM_PREFIX));
        Ok(Self {
            id,
            restart_count: number("SLURM_JOB_RESTART_COUNT").or_else(|| number("SLURM_RESTART_COUNT")).unwrap_or(0),
            node: variable("SLURMD_NODENAME").unwrap_or_else(|| "localhost".to_owned()),
            cluster: variable("SLURM_CLUSTER_NAME").unwrap_or_default(),
            nodes: number("SLURM_JOB_NUM_NODES").unwrap_or(1).max(1),
            uid: number("SLURM_JOB_UID").or_else(|| number("SLURM_UID")),
            user: variable("SLURM_JOB_USER"),
            account: variable("SLURM_JOB_ACCOUNT"),
            partition: variable("SLURM_JOB_PARTITION"),
            start_time: instant("SLURM_JOB_START_TIME"),
            end_time: instant("SLURM_JOB_END_TIME"),
            slurm_conf: variable("SLURM_CONF").map(PathBuf::from),
            exit_code2: variable("SLURM_JOB_EXIT_CODE2"),
            exit_code: variable("SLURM_JOB_EXIT_CODE"),
            gpus: GpuNames::read(&variable),
            shares_gpus: variable("SLURM_JOB_OVERSUBSCRIBE").as_deref() == Some("YES")
                || variable("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE").is_some(),
            request: variables::read(spank).map_err(|error| error.to_string()),
        })
    }

    /// Whether the job asked CARM for anything, were it in words that cannot be read.
    pub fn is_carbon(&self) -> bool {
        self.request.as_ref().map_or(true, |request| request.as_ref().is_some_and(|request| !request.off))
    }
}

impl GpuNames {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let visible = variable("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        // NoDevFiles is Slurm's word for none.
        let tokens: Vec<&str> = visible.split(',').map(str::trim).filter(|t| !t.is_empty() && *t != "NoDevFiles").collect();
        if tokens.iter().any(|token| token.starts_with("MIG-")) {
            return Self::Ambiguous("MIG instances share a GPU's clocks".into());
        }
        if !tokens.is_empty() && tokens.iter().all(|token| token.starts_with("GPU-")) {
            return Self::Uuids(tokens.into_iter().map(str::to_owned).collect());
        }
        let indices = variable("SLURM_JOB_GPUS").filter(|text| !text.is_empty());
        match indices {
            Some(text) => match parse_indices(&text) {
                Some(indices) => Self::GresIndices(indices),
                None => Self::Ambiguous(format!("SLURM_JOB_GPUS={} is no list of indices", carm::request::printable(&text))),
            },
            None if tokens.is_empty() => Self::None,
            None => Self::Ambiguous("CUDA_VISIBLE_DEVICES without SLURM_JOB_GPUS: the GRES index is not known".into()),
        }
    }
}

/// `0,2-3`: SLURM_JOB_GPUS.
fn parse_indices(text: &str) -> Option<Vec<u32>> {
    let numbers = carm::slurm::hostlist::expand(&format!("[{text}]"))?;
    numbers.iter().map(|n| n.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Result<Job, String> {
        Job::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn gpus_are_named_by_uuid_where_slurm_gives_them_and_by_gres_index_otherwise() {
        let gpus = |pairs: &[(&str, &str)]| job(&[pairs, &[("SLURM_JOB_ID", "7")]].concat()).expect("a job").gpus;
        assert_eq!(gpus(&[]), GpuNames::None);
        assert_eq!(gpus(&[("CUDA_VISIBLE_DEVICES", "NoDevFiles")]), GpuNames::None);
        assert_eq!(gpus(&[("SLURM_JOB_GPUS", "1,3-4"), ("CUDA_VISIBLE_DEVICES", "0,1,2")]), GpuNames::GresIndices(vec![1, 3, 4]));
        assert_eq!(
            gpus(&[("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b"), ("SLURM_JOB_GPUS", "0,1")]),
            GpuNames::Uuids(vec!["GPU-a".into(), "GPU-b".into()])
        );
        for ambiguous in [
            &[("CUDA_VISIBLE_DEVICES", "MIG-1"), ("SLURM_JOB_GPUS", "0")][..],
            &[("CUDA_VISIBLE_DEVICES", "0")],
            &[("SLURM_JOB_GPUS", "all;reboot")],
        ] {
            assert!(matches!(gpus(ambiguous), GpuNames::Ambiguous(_)), "{ambiguous:?}");
        }
    }

    #[test]
    fn a_forged_request_is_an_error_of_the_request_and_not_of_the_job() {
        let job = job(&[("SLURM_JOB_ID", "7"), ("SPANK_CARM_V", "1"), ("SPANK_CARM_BUDGET", "$(reboot)")]).expect("a job");
        assert!(job.request.clone().expect_err("forged").starts_with("--carbon-budget: '$(reboot)': not a mass"));
        assert!(job.is_carbon());
    }

    #[test]
    fn a_job_without_carbon_options_or_with_carbon_off_is_none_of_carms_business() {
        assert!(!job(&[("SLURM_JOB_ID", "7")]).expect("a job").is_carbon());
        let off = job(&[("SLURM_JOB_ID", "7"), ("SPANK_CARM_V", "1"), ("SPANK_CARM_OFF", "")]);
        assert!(!off.expect("a job").is_carbon());
        assert!(job(&[]).expect_err("no job").contains("SLURM_JOB_ID"));
    }
}
