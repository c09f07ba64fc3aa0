//! Jobs as comma-separated values, a row a job; units stand in the names, what is not known is empty.

use carm::quantity::format_instant;
use carm::text::csv_cell;

use crate::account::Account;
use crate::words;

const COLUMNS: [&str; 20] = [
    "job",
    "cluster",
    "name",
    "user",
    "account",
    "partition",
    "site",
    "begin",
    "end",
    "run_s",
    "gpu_h",
    "gpu_kwh",
    "energy_kwh",
    "carbon_g",
    "intensity",
    "embodied_g",
    "now_full_clock_g",
    "now_economical_clock_g",
    "estimated_share",
    "marks",
];

/// The jobs.
pub fn csv(accounts: &[Account]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for account in accounts {
        let text = |value: &Option<String>| value.as_deref().map(csv_cell).unwrap_or_default();
        let last = account.last;
        let only = account.carbon();
        let compared = account.baselines.as_ref().ok();
        writer.write_record([
            account.job.job.to_string(),
            csv_cell(&account.job.cluster),
            text(&last.name),
            text(&last.user),
            text(&last.account),
            text(&last.partition),
            text(&last.site),
            account.begin.map(format_instant).unwrap_or_default(),
            format_instant(account.end),
            account.run_s.to_string(),
            account.gpu_h.to_string(),
            account.gpu_kwh.to_string(),
            account.energy_kwh.to_string(),
            only.map(|(_, grams)| grams.to_string()).unwrap_or_default(),
            only.map(|(intensity, _)| words::intensity(intensity).to_owned()).unwrap_or_default(),
            account.embodied_g.to_string(),
            compared.map(|compared| compared.full.carbon_g.to_string()).unwrap_or_default(),
            compared.map(|compared| compared.economical.carbon_g.to_string()).unwrap_or_default(),
            account.estimated_share.to_string(),
            account.marks.iter().map(|mark| words::mark_name(*mark)).collect::<Vec<_>>().join(" "),
        ])?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
