//! What is shown, as CSV: one line a step and zone, times in RFC 3339 UTC, empty where a zone has no such
//! signal; the last column names what is estimated.

use carm::quantity::format_instant;

use super::look::Look;
use crate::exit::Refusal;

const HEADER: [&str; 8] = [
    "zone",
    "time",
    "carbon_g_per_kwh",
    "carbon_low_g_per_kwh",
    "carbon_high_g_per_kwh",
    "renewable_share",
    "onsite_w",
    "estimated",
];

/// The lines.
pub fn text(looks: &[Look]) -> Result<String, Refusal> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let refused = |error: csv::Error| Refusal::new(format!("writing CSV: {error}"));
    writer.write_record(HEADER).map_err(refused)?;
    for look in looks {
        for from in look.instants() {
            let at = look.at(from);
            let [carbon, share, onsite] = at;
            let figure = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            let record = [
                carm::text::csv_cell(&look.zone),
                format_instant(from),
                figure(carbon.map(|step| step.value)),
                figure(carbon.map(|step| step.low)),
                figure(carbon.map(|step| step.high)),
                figure(share.map(|step| step.value)),
                figure(onsite.map(|step| step.value)),
                Look::marked(&at, |step| step.estimated).join(" "),
            ];
            writer.write_record(record).map_err(refused)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| Refusal::new(format!("writing CSV: {error}")))?;
    String::from_utf8(bytes).map_err(|error| Refusal::new(format!("writing CSV: {error}")))
}
