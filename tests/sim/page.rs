//! The page: what is on it, and how it looks in a browser.

use std::path::{Path, PathBuf};

use carm_sim::account::SlotSum;
use carm_sim::output::html::week;
use tempfile::TempDir;

use super::browser;
use super::program::{carm_sim, told};
use super::setup::{Case, near, under};

/// Two sites, one with a roof, made-up jobs and a service.
const MADE_UP: &str = "name = \"<script>alert(1)</script> & co\"\nseed = 3\n[time]\nstart = \"2022-06-06T00:00:00Z\"\nlength = \"2d\"\ncount = 2\n\
    [[zone]]\nname = \"sun\"\nmade_up = \"sunny\"\nutc_offset_hours = -8\n[[zone]]\nname = \"wind\"\nmade_up = \"windy\"\n\
    [[site]]\nname = \"west\"\nzone = \"sun\"\ngpus = 24\nonsite_made_up = true\nonsite_peak = 1.0\n\
    [[site]]\nname = \"north\"\nzone = \"wind\"\ngpus = 16\n\
    [jobs]\nsource = \"made-up\"\nper_hour = 3\ndeadline_factor = 2.0\nbudget_factor = 0.8\n\
    [[service]]\nname = \"chat\"\nsite = \"west\"\ngpus = 4\nlatency = \"60ms\"\nfull_clock_latency = \"20ms\"\nrate_per_s = 40\nswing = 0.5\n";

fn made_up(words: &[&str]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("scenario.toml"), MADE_UP).unwrap();
    let path = page_in(folder.path(), words);
    (folder, path)
}

fn page_in(folder: &Path, words: &[&str]) -> PathBuf {
    told(folder, &[&["run", "scenario.toml", "--html=page.html"], words].concat());
    folder.join("page.html")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// One site, one episode, traces from files: nothing is made up.
fn from_files() -> Case {
    let grid: Vec<f64> = (0..96).map(|hour| 250.0 + 150.0 * (f64::from(hour) * 0.26).sin()).collect();
    let roof: Vec<f64> = (0..96).map(|hour| (900.0 * (f64::from(hour % 24 - 6) * 0.26).sin()).max(0.0)).collect();
    let jobs = (0..40).map(|i| (0.9 * f64::from(i), 0.3 + f64::from(i * 7 % 11), 1 + i as u32 % 3));
    let case = Case::grid(&grid).roof(&roof).gpus(6).from("2022-01-01T00:00:00Z", "2d").rules("deadline_factor = 3.0");
    jobs.fold(case, |case, (submit_h, hours, gpus)| case.job(submit_h, hours, gpus))
}

#[test]
fn a_page_loads_nothing_and_runs_nothing_and_what_others_wrote_is_text() {
    let (_folder, path) = made_up(&["--policy=fcfs,carm-ppc"]);
    let page = text(&path);
    for sign in ["<script", "http://", "https://", "@import", " src=", "<link rel=\"stylesheet"] {
        assert!(!page.contains(sign), "{sign}");
    }
    assert!(page.contains("default-src 'none'") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; co"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn a_page_has_the_same_bytes_on_a_rerun_on_any_number_of_threads_and_in_any_time_zone() {
    let (folder, path) = made_up(&["--threads=1"]);
    let page = text(&path);
    page_in(folder.path(), &["--threads=4"]);
    assert!(page == text(&path), "another page on more threads");
    let mut elsewhere = std::process::Command::new(env!("CARGO_BIN_EXE_carm-sim"));
    let words = ["run", "scenario.toml", "-q", "--html=page.html"];
    elsewhere.current_dir(folder.path()).env("TZ", "Asia/Tokyo").env_remove("CARM_DATA").args(words).output().unwrap();
    assert!(page == text(&path), "another page in another time zone");
    page_in(folder.path(), &["--seed=4"]);
    assert!(page != text(&path), "the seed does nothing");
}

#[test]
fn a_page_tells_seed_version_scenario_and_what_is_made_up() {
    let (folder, path) = made_up(&["--policy=carm-performance"]);
    let page = text(&path);
    for words in [
        "Simulated: no job ran.",
        "seed 3",
        concat!("carm-sim ", env!("CARGO_PKG_VERSION")),
        "perfect forecast",
        "the grid of zone &#39;sun&#39;, the grid of zone &#39;wind&#39;, the roof of site &#39;west&#39;, the training jobs",
        "Modelled, not measured:",
        "budget_factor = 0.8",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let other = text(&page_in(folder.path(), &["--policy=carm-performance", "--set=jobs.budget_factor=0.7", "--seed=9"]));
    assert!(other.contains("budget_factor = 0.7") && other.contains("seed 9"), "the scenario as it was run");

    let folder = from_files().folder();
    let page = text(&page_in(folder.path(), &["--policy=carm-performance"]));
    assert!(!page.contains("Made up:") && !page.contains("Modelled"), "files and a measured card");
}

#[test]
fn a_reference_is_on_the_page_though_nobody_asked_for_it() {
    let folder = from_files().folder();
    let page = text(&page_in(folder.path(), &["--policy=carm-performance"]));
    for name in ["fcfs", "fcfs-static-clock", "carm-performance"] {
        assert!(page.contains(&format!(">{name}</text>")), "{name}");
    }
    assert!(page.contains("limit, each job alone: ") && !page.contains("overnight"));
}

#[test]
fn figures_on_the_page_are_those_of_the_json() {
    let folder = from_files().folder();
    let words = ["run", "scenario.toml", "--json", "--html=page.html", "--policy=carm-performance,fcfs"];
    let object: serde_json::Value = serde_json::from_str(&told(folder.path(), &words)).unwrap();
    let page = text(&folder.path().join("page.html"));
    for of in object["policies"].as_array().unwrap() {
        let grams = carm::quantity::format_mass(of["carbon_g"].as_f64().unwrap());
        let saved = format!("{:.1}", 100.0 * of["saved_vs_fcfs"].as_f64().unwrap());
        let name = of["name"].as_str().unwrap().replace('-', "-<wbr>");
        let row = format!("<td>{name}</td><td>{}</td><td>{saved}</td>", grams.replace(' ', "&nbsp;"));
        assert!(page.contains(&row), "{row}");
        let late = format!("<td>{}<wbr>/{}</td>", of["deadline_misses"], of["deadline_jobs"]);
        assert!(page.contains(&late), "{late}");
    }
}

#[test]
fn the_week_adds_up_to_the_account_of_the_slots() {
    // Hours as they are; five-minute slots put together.
    for step in ["1h", "5m"] {
        let text = MADE_UP.replace("onsite_peak = 1.0", &format!("onsite_peak = 1.0\nonsite_step = \"{step}\""));
        let (scenario, _) = carm_sim::scenario::Scenario::parse(&text, Path::new("s.toml"), None).unwrap();
        let world = carm_sim::world::Source::read(&scenario).unwrap().world(0).unwrap();
        let (run, fcfs) = (under(&world, "carm-performance"), under(&world, "fcfs"));
        let place = &world.sites[0];
        let pieces = week::pieces(place, world.start, &run.slots[0], Some(&fcfs.slots[0]), 40.0);
        assert!((40..=400).contains(&pieces.len()), "{step}: {}", pieces.len());
        assert!(pieces.windows(2).all(|pair| pair[0].to_h == pair[1].from_h), "{step}: a gap");
        assert_eq!((pieces[0].from_h, pieces[pieces.len() - 1].to_h), (0.0, 40.0));
        let slots = place.borders_h.partition_point(|&border| border < 40.0 - 1e-9);
        let kept = |of: fn(&SlotSum) -> f64| run.slots[0][..slots].iter().map(of).sum::<f64>();
        let drawn = |of: fn(&SlotSum) -> f64| pieces.iter().map(|piece| of(&piece.sum)).sum::<f64>();
        for of in [|s: &SlotSum| s.grid_kwh, |s: &SlotSum| s.onsite_kwh, |s: &SlotSum| s.mhz_gpu_h, |s: &SlotSum| s.busy_gpu_h] {
            assert!(kept(of) > 0.0);
            near(drawn(of), kept(of));
        }
        let energy = |s: &SlotSum| s.grid_kwh + s.onsite_kwh;
        near(pieces.iter().filter_map(|piece| piece.fcfs_kwh).sum(), fcfs.slots[0][..slots].iter().map(energy).sum());
        let roof_kwh: f64 =
            (0..slots).map(|i| place.onsite_w[i] * (place.slot_end(i).min(40.0) - place.borders_h[i]) / 1000.0).sum();
        near(pieces.iter().map(|piece| piece.onsite_w * (piece.to_h - piece.from_h) / 1000.0).sum(), roof_kwh);
    }
}

#[test]
fn a_page_fits_a_phone_a_desk_and_paper_and_no_label_covers_another() {
    let (many, crowded) = made_up(&[]);
    let few = from_files().folder();
    let sparse = page_in(few.path(), &["--policy=fcfs"]);
    // Bars, scatter, and each site's week.
    for (path, charts) in [(&crowded, 4), (&sparse, 3)] {
        for width in [320, 390, 700, 1280] {
            let seen = browser::look(path, width);
            assert!(seen.console.is_empty(), "at {width}: {:?}", seen.console);
            assert!(seen.page_width <= f64::from(width), "{} px wide on {width}", seen.page_width);
            assert_eq!(seen.covered, Vec::<String>::new(), "at {width}");
            assert_eq!(seen.charts, charts, "at {width}");
        }
    }
    let picture = browser::picture(&crowded, &many.path().join("page.png"), 390, 844);
    assert!(picture.len() > 20_000, "an empty picture");
    let paper = browser::paper(&crowded, &many.path().join("page.pdf"));
    assert!(paper.starts_with(b"%PDF") && paper.len() > 10_000, "no paper");
}

#[test]
fn a_page_that_cannot_be_written_is_refused_with_its_path() {
    let folder = from_files().folder();
    let output = carm_sim(folder.path(), &["run", "scenario.toml", "--policy=fcfs", "--html=no/page.html"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.starts_with("carm-sim: writing no/page.html: "), "{errors}");
}
