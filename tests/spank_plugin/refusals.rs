//! Values that are none: refused at submission, in one line of CARM's, and no job comes of it.

use crate::common::{Cluster, Ran, SlurmRelease};
use crate::on_every_release;

on_every_release!(
    every_malformed_value_is_refused_with_the_option_the_value_and_a_way_out,
    a_malformed_value_is_refused_wherever_it_stands,
);

/// What is wrong for every option that takes a value.
const NEVER: [&str; 9] =
    ["", "(null)", "nan", "-5", "$(touch /tmp/carm-was-here)", "5;reboot", "\u{ff15}kg", "5\nSPANK_CARM_BUDGET=1", "%s%s%n"];

/// Each option, what its message expects, and more that is wrong for it.
const OPTIONS: [(&str, &str, &[&str]); 9] = [
    ("carbon-budget", "1.2kg", &["0", "5lb", "1e3", "99999999t", "1,5kg"]),
    ("carbon-objective", "performance", &["speed", "Carbon"]),
    ("carbon-deadline", "2026-05-01T18:00", &["Tomorrow", "now-1h", "2026-13-01T00:00", "24:00"]),
    ("carbon-latency", "50ms", &["50", "0s", "1 s"]),
    ("carbon-runtime", "HH:MM:SS", &["0", "unlimited", "1:2:3:4", "2h"]),
    ("carbon-profile", "profile", &["../etc/passwd", ".hidden", "a/b"]),
    ("carbon-workers", "1-8 or 1,2,4,8", &["0", "8-1", "1,,2", "4096"]),
    ("carbon-suspend", "duration", &["5", "soon"]),
    ("carbon-max-delay", "duration", &["24", "a while"]),
];

fn refused(ran: &Ran, program: &str, option: &str, expected: &str) {
    // srun and salloc say 1 for what sbatch says 255.
    assert!([1, 255].contains(&ran.code) && ran.stdout.is_empty(), "{ran:?}");
    let first = ran.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("{program}: error: --{option}: '")), "{ran:?}");
    assert!(first.contains("; give ") && first.contains(expected) && first.is_ascii(), "{ran:?}");
    // Slurm adds a line of its own, which repeats the value as it stands.
    let rest: Vec<&str> = ran.stderr.lines().skip(1).collect();
    assert!(rest.first().is_some_and(|line| line.contains(&format!("Invalid --{option} argument: "))), "{ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
}

fn every_malformed_value_is_refused_with_the_option_the_value_and_a_way_out(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let overlong = "9".repeat(300);
    for (option, expected, more) in OPTIONS {
        for value in NEVER.iter().chain(more).copied().chain([overlong.as_str()]) {
            let no_argument = value.is_empty() || value == "(null)";
            if (option == "carbon-suspend" && no_argument) || (option == "carbon-profile" && value == "nan") {
                continue; // a suspend without cost, a profile of that name
            }
            // What an absent or overlong value's message gives is the option's own line of help.
            let expected = if no_argument || value.len() > 256 { "" } else { expected };
            let ran = cluster.sbatch(&[&format!("--{option}={value}"), "--wrap=true"]);
            refused(&ran, "sbatch", option, expected);
        }
    }
    assert_eq!(cluster.queue(), [""; 0]);
    assert_eq!(cluster.sbatch(&["--wrap=true"]).job(), 1, "no job was made before");
    assert!(!std::path::Path::new("/tmp/carm-was-here").exists());
    cluster.assert_no_node_was_lost();
}

fn a_malformed_value_is_refused_wherever_it_stands(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    for program in ["srun", "salloc"] {
        refused(&cluster.run(program, &["--carbon-budget=5lb", "true"]), program, "carbon-budget", "1.2kg");
    }
    let script = "#!/bin/sh\n#SBATCH --carbon-budget=5lb\ntrue\n";
    refused(&cluster.sbatch_script(&[], script), "sbatch", "carbon-budget", "1.2kg");
    // Slurm asks for each occurrence by itself, so a wrong line is not healed by a right flag.
    refused(&cluster.sbatch_script(&["--carbon-budget=5kg"], script), "sbatch", "carbon-budget", "1.2kg");
    let not_text = cluster.run("bash", &["-c", "sbatch --carbon-profile=$'\\xff\\xfe' --wrap=true"]);
    refused(&not_text, "sbatch", "carbon-profile", "profile");
    let with_value = cluster.sbatch(&["--carbon-off=yes", "--wrap=true"]);
    assert!(with_value.code != 0 && with_value.stdout.is_empty(), "{with_value:?}");
    let without = cluster.sbatch(&["--wrap=true", "--carbon-budget"]);
    assert!(without.code != 0 && without.stdout.is_empty(), "{without:?}");
    assert_eq!(cluster.queue(), [""; 0]);
}
