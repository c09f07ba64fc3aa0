//! Roofs: whose sun shines where.

use std::path::Path;

use carm_sim::run::{Options, simulate};
use carm_sim::scenario::Scenario;

/// Two zones of the same grid; the city "night" has no sun at all, "day" has it always.
#[test]
fn a_varied_zone_has_its_own_citys_sun() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |of: &dyn Fn(usize) -> String| (0..288).map(of).collect::<String>();
    let table = "time,day,night\n".to_owned() + &rows(&|i| format!("{},1.0,0.0\n", 300 * i));
    std::fs::write(folder.path().join("sun.csv"), table).unwrap();
    let text = "[time]\nstart = \"2022-01-01T00:00:00Z\"\nlength = \"1d\"\n[vary]\nzones = [\"own\", \"dark\"]\n\
        [[zone]]\nname = \"own\"\nmade_up = \"windy\"\n[[zone]]\nname = \"dark\"\nmade_up = \"windy\"\nsolar_city = \"night\"\n\
        [[site]]\nname = \"s\"\nzone = \"own\"\ngpus = 8\nonsite_peak = 1.0\nsolar = { path = \"sun.csv\", city = \"day\" }\n\
        [jobs]\nsource = \"made-up\"\nmax_gpus = 2\n";
    let (scenario, _) = Scenario::parse(text, &folder.path().join("s.toml"), Some(Path::new("/"))).unwrap();
    let options = Options { threads: 1, keep_first: false, capacity: None, progress: None };
    let results = simulate(&scenario, &["fcfs".to_owned()], &options).unwrap();
    let text = carm_sim::output::json::text(&results).unwrap();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    let carbon = |i: usize| object["policies"][0]["episodes"][i]["carbon_g"].as_f64().unwrap();
    assert!(object["policies"][0]["onsite_kwh"].as_f64().unwrap() > 0.0);
    assert!(carbon(0) < 0.5 * carbon(1), "{} g under the sun, {} g at night", carbon(0), carbon(1));
}
