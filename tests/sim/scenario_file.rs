//! A scenario that is wrong is refused by file, line and key.

use std::path::Path;

use carm_sim::scenario::Scenario;

const GOOD: &str = "[time]\nstart = \"2022-06-01T00:00:00Z\"\nlength = \"7d\"\n[[zone]]\nname = \"z\"\nmade_up = \"sunny\"\n\
    [[site]]\nname = \"s\"\nzone = \"z\"\ngpus = 8\n[jobs]\nsource = \"made-up\"\n";

fn refusal(from: &str, to: &str) -> String {
    let text = GOOD.replacen(from, to, 1);
    assert_ne!(text, GOOD, "{from}");
    Scenario::parse(&text, Path::new("s.toml"), None).expect_err(to).to_string()
}

#[test]
fn the_least_scenario_is_enough() {
    let (scenario, remarks) = Scenario::parse(GOOD, Path::new("dir/s.toml"), None).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.starts.len(), scenario.length_h), ("s", 1, 168.0));
    assert!(remarks.is_empty());
}

#[test]
fn what_is_wrong_is_named_by_file_line_and_key() {
    for (from, to, expected) in [
        ("gpus = 8", "gpu_count = 8", "s.toml:10: unknown field `gpu_count`"),
        ("zone = \"z\"", "zone = \"y\"", "s.toml:9: site[0].zone: 'y': no such zone; give one of z"),
        ("gpus = 8", "gpus = 0", "s.toml:10: site[0].gpus: '0': not a number of GPUs; give 1 to 1000000"),
        ("length = \"7d\"", "length = \"7 parsecs\"", "s.toml:3: time.length: '7 parsecs': not a duration"),
        ("length = \"7d\"", "length = \"7d\"\ncount = 0", "s.toml:4: time.count: '0': not a number of episodes; give 1 to 10000"),
        ("made_up = \"sunny\"", "", "s.toml:4: zone[0].path: no source; give path, paths or made_up"),
        ("made_up = \"sunny\"", "path = \"no.csv\"", "s.toml:6: zone[0].path: 'no.csv': no such file: no.csv"),
        ("made_up = \"sunny\"", "made_up = \"cloudy\"", "s.toml:6: unknown variant `cloudy`"),
        ("source = \"made-up\"", "source = \"pai\"", "s.toml:11: jobs.path: missing; give the trace, or source = \"made-up\""),
        ("source = \"made-up\"", "source = \"made-up\"\nsample = 2.0", "s.toml:13: jobs.sample: '2': out of range; give 0 to 1"),
        (
            "gpus = 8",
            "gpus = 8\nonsite_made_up = true",
            "s.toml:7: site[0].onsite_peak: missing; give the peak as a part of the GPUs' power at full clock",
        ),
        ("gpus = 8", "gpus = 8\nprofile = \"q\"", "s.toml:11: site[0].profile: 'q': no such profile; give one of generic"),
        (
            "[jobs]",
            "[policies]\nrun = [\"fcfs\", \"luck\"]\n[jobs]",
            "s.toml:12: policies.run[1]: 'luck': no such policy; give some of fcfs, ",
        ),
        ("[jobs]", "[vary]\nzones = [\"y\"]\n[jobs]", "s.toml:12: vary.zones[0]: 'y': no such zone; give one of z"),
        (
            "[jobs]\nsource = \"made-up\"\n",
            "[[service]]\nname = \"c\"\nsite = \"s\"\ngpus = 1\nlatency = \"20ms\"\nrate_per_s = 1\n",
            "s.toml:11: service[0].full_clock_latency: missing, and the profile tells no latency",
        ),
        ("[jobs]\nsource = \"made-up\"\n", "", "s.toml:1: jobs: nothing to run; give [jobs] or a [[service]]"),
    ] {
        let message = refusal(from, to);
        assert!(message.starts_with(expected), "{message}\nis not\n{expected}");
    }
}

#[test]
fn without_data_what_they_hold_is_made_up_and_said_so() {
    let text = GOOD
        .replace("made_up = \"sunny\"", "path = \"$CARM_DATA/carbon/ES_2022.csv\"")
        .replace("source = \"made-up\"", "source = \"pai\"\npath = \"$CARM_DATA/jobs/pai-100k.csv\"");
    let (scenario, remarks) = Scenario::parse(&text, Path::new("s.toml"), None).unwrap();
    let remarks: Vec<&str> = remarks.iter().map(|remark| remark.0.as_str()).collect();
    assert_eq!(
        remarks,
        [
            "zone 'z': CARM_DATA is not set: a made-up grid takes its place",
            "jobs: CARM_DATA is not set: made-up jobs take their place"
        ]
    );
    let world = carm_sim::world::Source::read(&scenario).unwrap().world(0).unwrap();
    assert!(world.jobs.len() > 1000, "{}", world.jobs.len());
}

#[test]
fn an_episode_outside_the_data_is_refused() {
    let case = super::setup::Case::grid(&[100.0; 48]).from("2023-01-01T00:00:00Z", "1d").job(0.0, 1.0, 1);
    let (_folder, scenario) = case.scenario();
    let source = carm_sim::world::Source::read(&scenario).unwrap();
    assert_eq!(
        source.world(0).expect_err("no data").to_string(),
        "zone 'z': no grid data for 2023-01-01 00:00:00 UTC; give an episode within the trace, or a longer trace"
    );
}
