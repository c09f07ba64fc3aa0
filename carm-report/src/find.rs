//! Finds single jobs in the ledger, and hands them to the form that is wanted.

use carm::ledger::{Job, Record, join};
use memchr::memmem;

use crate::account::Account;
use crate::choose::Window;
use crate::cli::{JobsCall, Shape};
use crate::exit::Refusal;
use crate::files::{self, LeftOut};
use crate::place::{self, Found};
use crate::scan::{self, Made};
use crate::{html, job_csv, job_json, job_text};

/// Reports single jobs.
pub fn run(call: &JobsCall) -> Result<String, Refusal> {
    let place = place::find(&call.place)?;
    let (jobs, left_out) = read(call, &place)?;
    left_out.warn();
    if let Some(missing) = call.jobs.iter().find(|&&id| !jobs.iter().any(|job| job.job == id)) {
        return Err(unknown(*missing, call, &place));
    }
    let accounts: Vec<Account> = call
        .jobs
        .iter()
        .flat_map(|&id| jobs.iter().filter(move |job| job.job == id))
        .filter_map(|job| Account::of(job, &place))
        .collect();
    if let Some(path) = &call.html {
        let [account] = accounts.as_slice() else {
            return Err(Refusal::new(format!("job {}: in several clusters; give --cluster=NAME", call.jobs[0])));
        };
        std::fs::write(path, html::page(account)).map_err(|error| Refusal::new(format!("{}: {error}", path.display())))?;
    }
    match call.shape {
        Shape::Text if call.html.is_some() => Ok(String::new()),
        Shape::Text => Ok(job_text::text(&accounts)),
        Shape::Json => job_json::json(&accounts, &left_out),
        Shape::Csv => Ok(job_csv::csv(&accounts)?),
    }
}

fn unknown(job: u32, call: &JobsCall, place: &Found) -> Refusal {
    let of = if call.clusters.is_empty() { String::new() } else { format!(" of cluster {}", call.clusters.join(" or ")) };
    Refusal::new(format!(
        "job {job}{of}: not in the ledger {}; a job is booked when it ends, if it had GPUs and carbon options \
         (or [node] account = \"all\"); give --ledger=DIR for another ledger",
        place.ledger.display()
    ))
}

/// The jobs' lines, joined.
fn read(call: &JobsCall, place: &Found) -> Result<(Vec<Job>, LeftOut), Refusal> {
    let (files, mut left_out) = files::open(&place.ledger, Window::default())?;
    // Of a busy cluster's years only the lines that may be the job's become records.
    let finders: Vec<_> = call
        .jobs
        .iter()
        .flat_map(|id| [format!("\"job\":{id},"), format!("\"job\": {id},")])
        .map(|key| memmem::Finder::new(key.as_bytes()).into_owned())
        .collect();
    let make = |piece: &[u8]| {
        let mut made = Made { result: Vec::new(), lines: memchr::memchr_iter(b'\n', piece).count(), bad: Vec::new() };
        if finders.iter().all(|finder| finder.find(piece).is_none()) {
            return made;
        }
        for (at, line) in scan::lines(piece).filter(|(_, line)| finders.iter().any(|finder| finder.find(line).is_some())) {
            match Record::parse(line) {
                Ok(record) => made.result.push(record),
                Err(cause) => made.bad.push((at, cause)),
            }
        }
        made
    };
    let mut records: Vec<Record> = Vec::new();
    scan::scan(&files, &mut left_out, make, |found| records.extend(found.into_iter().rev()));
    records.reverse(); // as they were written
    records.retain(|record| {
        call.jobs.contains(&record.job) && (call.clusters.is_empty() || call.clusters.contains(&record.cluster))
    });
    let (jobs, unreadable) = join(records);
    if unreadable > 0 {
        crate::exit::warn(&format!("{unreadable} of the jobs' lines have a time that is none, and are left out"));
    }
    Ok((jobs, left_out))
}
