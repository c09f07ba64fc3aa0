//! Jobs as one JSON object: times in RFC 3339 UTC with milliseconds, figures unrounded and with their units in their names.

use carm::counterfactual::Outcome;
use carm::quantity::format_instant;
use serde_json::{Value, json};

use crate::account::{Account, Compared, State};
use crate::exit::Refusal;
use crate::files::LeftOut;
use crate::words;

/// The jobs.
pub fn json(accounts: &[Account], left_out: &LeftOut) -> Result<String, Refusal> {
    let jobs: Vec<Value> = accounts.iter().map(one).collect();
    write(&json!({"version": 1, "jobs": jobs, "left_out": left_out.json()}))
}

/// An object as text.
pub fn write(value: &Value) -> Result<String, Refusal> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Refusal::new(format!("writing JSON: {error}")))?;
    Ok(carm::text::json(&text) + "\n")
}

fn one(account: &Account) -> Value {
    let last = account.last;
    let (exit, closed) = match account.state {
        State::Ended(exit) => (exit, true),
        State::Open => (None, false),
    };
    let gpus: Vec<Value> = account.gpus.iter().map(|(model, count)| json!({"model": model, "count": count})).collect();
    let grams = |wanted: &str| {
        account.carbon_g.iter().find(|(intensity, _)| words::intensity(*intensity) == wanted).map(|(_, grams)| grams)
    };
    let clock = account.clocks.map(|clocks| {
        json!({"low_mhz": clocks.low_mhz, "high_mhz": clocks.high_mhz, "mean_mhz": clocks.mean_mhz,
               "full_mhz": clocks.full_mhz, "changes": clocks.changes, "seen": clocks.seen})
    });
    let (savings, untold) = match (&account.baselines, account.carbon()) {
        (Ok(compared), Some((_, carbon_g))) => (Some(savings(compared, carbon_g)), None),
        (Err((cause, part)), _) => (None, Some(format!("{cause} ({part})"))),
        (Ok(_), None) => (None, None),
    };
    json!({
        "job": account.job.job,
        "cluster": account.job.cluster,
        "name": last.name,
        "user": last.user,
        "uid": last.uid,
        "account": last.account,
        "partition": last.partition,
        "site": last.site,
        "zone": last.zone,
        "grid_source": last.grid_source,
        "closed": closed,
        "exit": exit,
        "runs": account.job.runs.len(),
        "nodes": account.nodes,
        "asked": account.asked.map(format_instant),
        "begin": account.begin.map(format_instant),
        "end": format_instant(account.end),
        "run_s": account.run_s,
        "gpus": gpus,
        "gpu_h": account.gpu_h,
        "clock": clock,
        "gpu_kwh": account.gpu_kwh,
        "energy_kwh": account.energy_kwh,
        "pue": last.pue,
        "host_watts": last.host_watts,
        "carbon_g": {"average": grams("average"), "marginal": grams("marginal")},
        "embodied_g": account.embodied_g,
        "sensor_error": account.error,
        "estimated_share": account.estimated_share,
        "savings": savings,
        "savings_unknown": untold,
        "budget": account.budget.map(|budget| json!({"grams": budget.grams, "used": budget.used, "kept": budget.used <= 1.0})),
        "deadline": account.deadline.map(|deadline| {
            json!({"at": format_instant(deadline.at), "kept": closed.then_some(deadline.spare_s >= 0.0)})
        }),
        "marks": account.marks,
        "notes": account.job.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn savings(compared: &Compared, carbon_g: f64) -> Value {
    let against = |outcome: &Outcome, clock_mhz: u32| {
        json!({"clock_mhz": clock_mhz, "run_s": outcome.seconds, "energy_kwh": outcome.energy_kwh, "carbon_g": outcome.carbon_g,
               "saved_g": outcome.carbon_g - carbon_g, "estimated_share": outcome.estimated_share})
    };
    json!({
        "now_full_clock": against(&compared.full, compared.full_mhz),
        "now_economical_clock": against(&compared.economical, compared.economical_mhz),
        "calibration": [compared.calibration.0, compared.calibration.1],
    })
}
