//! What became of each job of the first episode under each policy, as comma-separated values: to be held against a real cluster's accounting.

use crate::run::Kept;

const HEAD: &str = "policy,job,site,gpus,submit_h,eligible_h,start_h,end_h,ran_h,limit_h,grid_kwh,onsite_kwh,carbon_g,clock_changes,pauses,\
killed,late\n";

/// The text, header first; instants are hours after the episode's begin.
#[must_use]
pub fn text(kept: &Kept) -> String {
    let mut text = HEAD.to_owned();
    for run in &kept.runs {
        for of in &run.records {
            let (job, site) = (&kept.world.jobs[of.job], &kept.world.sites[of.site].site);
            // Names come from traces: none may break the row.
            let name = job.name.replace([',', '"', '\n', '\r'], "_");
            text += &format!(
                "{},{name},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
                run.policy,
                site.name.replace([',', '"', '\n', '\r'], "_"),
                of.workers,
                of.submit_h,
                of.eligible_h,
                of.start_h,
                of.end_h,
                of.ran_h,
                of.limit_h,
                of.grid_kwh,
                of.onsite_kwh,
                of.carbon_g,
                of.clock_changes,
                of.pauses,
                of.killed,
                of.late
            );
        }
    }
    text
}
