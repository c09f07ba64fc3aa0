use super::*;

/// Slurm 22.05.8, shortened: a user below two accounts.
const ASSOC_MGR: &str = "Current Association Manager state
User Records
UserName=ada(1001) DefAccount=physics DefWckey= AdminLevel=None
Association Records
ClusterName=main Account=root UserName= Partition= Priority=0 ID=1 ParentAccount= GrpWall=N(0.00) GrpTRESRunMins=cpu=N(0),gres/gpu=N(0) MaxWallPJ= MaxTRESMinsPJ=
ClusterName=main Account=science UserName= Partition= Priority=0 ID=3 ParentAccount=root(1) GrpWall=N(0.00) GrpTRESRunMins=cpu=N(0),gres/gpu=6000(600) MaxWallPJ= MaxTRESMinsPJ=
ClusterName=main Account=physics UserName= Partition= Priority=0 ID=4 ParentAccount=science(3) GrpWall=N(0.00) GrpTRESRunMins=cpu=N(0),gres/gpu=N(0) MaxWallPJ=2880 MaxTRESMinsPJ=
ClusterName=main Account=physics UserName=ada(1001) Partition= Priority=0 ID=5 ParentAccount= GrpWall=N(0.00) GrpTRESRunMins=cpu=N(0),gres/gpu=N(0) MaxWallPJ=2880 MaxTRESMinsPJ=
ClusterName=main Account=physics UserName=ada(1001) Partition=debug Priority=0 ID=6 ParentAccount= GrpWall=N(0.00) GrpTRESRunMins=cpu=N(0) MaxWallPJ=30 MaxTRESMinsPJ=
QOS Records
QOS=normal(1) UsageRaw=0.000000 GrpWall=N(0.00) GrpTRESMins=cpu=N(0) GrpTRESRunMins=cpu=N(0) MaxWallPJ= MaxTRESMinsPJ= Account Limits=No Accounts User Limits=No Users
QOS=day(2) UsageRaw=0.000000 GrpWall=N(0.00) GrpTRESMins=cpu=N(0) GrpTRESRunMins=cpu=N(0) MaxWallPJ=480 MaxTRESMinsPJ= Account Limits=No Accounts User Limits=No Users
QOS=long(3) UsageRaw=0.000000 GrpWall=N(0.00) GrpTRESMins=cpu=N(0) GrpTRESRunMins=cpu=N(0) MaxWallPJ=10080 MaxTRESMinsPJ=gres/gpu=9000 Account Limits=No Accounts User Limits=No Users
QOS=cpus(4) UsageRaw=0.000000 GrpWall=N(0.00) GrpTRESMins=cpu=N(0) GrpTRESRunMins=cpu=5(0) MaxWallPJ= MaxTRESMinsPJ= Account Limits=No Accounts User Limits=No Users
QOS=share(5) GrpTRESRunMins=cpu=N(0) MaxWallPJ= Account Limits= physics={MaxJobsPA=N(0) MaxTRESRunMinsPA=gres/gpu=N(9)} User Limits= bob(7)={MaxJobsPU=N(0) MaxTRESRunMinsPU=gres/gpu=10(9)} ada(1001)={MaxJobsPU=N(0) MaxTRESRunMinsPU=gres/gpu=900(300)}
";

fn longest(qos: &[&str], partition: Option<&str>, partition_qos: Option<&str>, gpus: u64) -> Result<Option<u64>, String> {
    let qos: Vec<String> = qos.iter().map(|name| (*name).to_owned()).collect();
    let job = Applied { account: None, partition, partition_qos, qos: &qos, gpus };
    Limits::read(ASSOC_MGR, "ada").longest_min(&job)
}

#[test]
fn qos_hides_the_associations_max_wall() {
    assert_eq!(longest(&["normal"], None, None, 1), Ok(Some(2880)));
    assert_eq!(longest(&["day"], None, None, 1), Ok(Some(480)));
    assert_eq!(longest(&["LONG"], None, None, 1), Ok(Some(5400)), "science has 5,400 GPU-minutes left");
    assert_eq!(longest(&["normal"], None, Some("day"), 1), Ok(Some(480)));
    assert_eq!(longest(&["normal"], Some("debug"), None, 1), Ok(Some(30)));
}

#[test]
fn minutes_are_shared_by_the_jobs_gpus() {
    assert_eq!(longest(&["long"], None, None, 4), Ok(Some(1350)));
    assert_eq!(longest(&["share"], None, None, 2), Ok(Some(300)), "ada has 600 left, and bob's are not hers");
}

#[test]
fn what_is_not_known_is_no_permission() {
    assert_eq!(longest(&["cpus"], None, None, 1), Err("a limit on cpu minutes holds for this job".into()));
    let hidden: String =
        ASSOC_MGR.lines().filter(|line| !line.contains("Account=science UserName=")).collect::<Vec<_>>().join("\n");
    let job = Applied { account: None, partition: None, partition_qos: None, qos: &["normal".to_owned()], gpus: 1 };
    let hidden = Limits::read(&hidden, "ada").longest_min(&job);
    assert_eq!(hidden, Err("the limits of account science are hidden (PrivateData)".into()));
}

#[test]
fn a_slurm_without_accounting_has_no_limits() {
    let text = "Current Association Manager state\nNo users currently cached in Slurm.\nNo associations currently cached in Slurm.\n\
                No QOS currently cached in Slurm.\n";
    let limits = Limits::read(text, "ada");
    let job = Applied { account: None, partition: Some("gpu"), partition_qos: None, qos: &[], gpus: 1 };
    assert_eq!((limits.longest_min(&job), limits.default_account(), limits.has_qos_limits()), (Ok(None), None, false));
}

#[test]
fn sacctmgr_names_the_default_qos() {
    let text = "physics|||day,normal\nphysics|debug||day\nbiology||long|day,long\n";
    assert_eq!(default_qos(text, "physics", None), ["day", "normal"]);
    assert_eq!(default_qos(text, "physics", Some("debug")), ["day"]);
    assert_eq!(default_qos(text, "Biology", Some("debug")), ["long"]);
    assert!(default_qos(text, "chemistry", None).is_empty());
}
