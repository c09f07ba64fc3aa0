//! What was possible on the GPUs that there are: by hand, below every policy, and by prices as by HiGHS.

use carm_sim::account::PolicyRun;
use carm_sim::bound;
use carm_sim::capacity::{Engine, Instance, prices};
use carm_sim::chance::Chance;
use carm_sim::world::World;

use super::setup::{Case, near, under};

/// By prices; and by HiGHS, where it is built in.
fn bounds_g(world: &World) -> (f64, Option<f64>) {
    let highs = Engine::named("highs").ok().map(|engine| engine.least_g(world).unwrap());
    (Engine::Prices.least_g(world).unwrap(), highs)
}

/// Prices come so near to a bound that is known, from below.
#[track_caller]
fn bounds_are(world: &World, known_g: f64) {
    let (prices_g, highs_g) = bounds_g(world);
    assert!(prices_g <= known_g * (1.0 + 1e-9) && prices_g >= known_g * 0.999, "{prices_g} for {known_g}");
    if let Some(highs_g) = highs_g {
        assert!((highs_g - known_g).abs() <= 1e-6 * known_g, "{highs_g} for {known_g}");
    }
}

#[test]
fn two_jobs_that_want_the_same_hour_share_it() {
    // Each has 1 h of work by hour 4. In an hour of 100 g the GPUs do 0.8 h for 18 g each at 1500 MHz, and at 2000 the other 0.2 for 12 g; in the second of
    // 200 g 0.8 h for 36 g. Both jobs: 0.8 + 0.8 h, the faster part of the first hour (60 g an hour of work), and 0.2 h of the third hour
    // (225 W x 300 g = 67.5) rather than the faster part of the second (120).
    let case = Case::grid(&[100.0, 200.0, 300.0, 400.0, 1.0]).rules("deadline_factor = 4.0").job(0.0, 1.0, 4).job(0.0, 1.0, 4);
    let world = case.world();
    bounds_are(&world, 4.0 * (18.0 + 36.0 + 12.0 + 0.2 * 67.5));
    near(bound::per_job_g(&world), 2.0 * 4.0 * (18.0 + 0.2 * 45.0));
}

#[test]
fn jobs_share_the_roof() {
    // 720 W in the second hour: four GPUs at 1500 MHz, that is 0.8 h of each job for nothing. The other 0.2 h: in the first hour at
    // 225 W x 100 g. Alone, each would run in the second hour at full clock for nothing.
    let case =
        Case::grid(&[100.0; 4]).roof(&[0.0, 720.0, 0.0, 0.0]).rules("deadline_factor = 2.0").job(0.0, 1.0, 2).job(0.0, 1.0, 2);
    let world = case.world();
    bounds_are(&world, 4.0 * 0.2 * 22.5);
    near(bound::per_job_g(&world), 0.0);
}

#[test]
fn a_deadline_that_the_queue_breaks_gives_way_to_first_come_first_served() {
    // Both must end by hour 1 and only one can: the other has until hour 2, where first come, first served ends it. Then both need all of their time.
    let case = Case::grid(&[100.0, 200.0, 1.0]).rules("deadline_factor = 1.0").job(0.0, 1.0, 4).job(0.0, 1.0, 4);
    let world = case.world();
    bounds_are(&world, 4.0 * (30.0 + 60.0));
    near(under(&world, "fcfs").carbon_g(), 4.0 * (30.0 + 60.0));
}

#[test]
fn a_job_that_its_limit_ends_counts_with_the_work_that_it_did() {
    let case = Case::grid(&[100.0; 4]).rules("deadline_factor = 1.0\nlimit_factor = 0.5").job(0.0, 2.0, 4);
    let world = case.world();
    assert!(under(&world, "fcfs").records[0].killed);
    bounds_are(&world, 4.0 * 22.5);
}

#[test]
fn a_service_takes_its_gpus_and_its_power_away() {
    // Its 2 GPUs run for 4 h at 180 W, the slowest clock that answers within 30 ms. The job of 4 GPUs cannot run beside it, but one of 2 can.
    let service = "[[service]]\nname = \"v\"\nsite = \"s\"\ngpus = 2\nlatency = \"30ms\"\nrate_per_s = 0\nlength = \"4h\"";
    let case = Case::grid(&[100.0, 100.0, 100.0, 100.0, 50.0]).from("2022-01-01T00:00:00Z", "4h").more(service);
    let world = case.clone().rules("deadline_factor = 2.0").job(0.0, 1.0, 2).world();
    bounds_are(&world, 2.0 * 4.0 * 18.0 + 2.0 * 22.5);
    // In its four hours only half of the four GPUs' time is left: 1 h of 4 GPUs is 1.25 h at 1500 MHz, in 2 h of which half is free: 0.8 h there, and
    // 0.2 h at full clock (600 W an hour of work).
    let world = case.rules("deadline_factor = 2.0").job(0.0, 1.0, 4).world();
    let by_h = Instance::of(&world).needs[0].by_h;
    near(by_h, 5.0);
    bounds_are(&world, 2.0 * 4.0 * 18.0 + 4.0 * (0.8 * 11.25 + 0.2 * 22.5));
}

#[test]
fn where_there_is_room_for_all_the_bound_is_the_sum_of_the_jobs_limits() {
    let world = crowded(1, &Crowd { gpus: 400, roof: false, second: false, widths: false });
    let (together_g, alone_g) = (Engine::Prices.least_g(&world).unwrap(), bound::per_job_g(&world));
    // The jobs' own limits cut instants to milliseconds.
    assert!((together_g - alone_g).abs() < 1e-6 * alone_g, "{together_g} {alone_g}");
}

/// A made-up episode.
struct Crowd {
    gpus: u32,
    roof: bool,
    second: bool,
    widths: bool,
}

fn crowded(seed: u64, of: &Crowd) -> World {
    let mut chance = Chance::of(seed, "capacity", &[]);
    let grid: Vec<f64> = (0..120).map(|hour| 260.0 + 150.0 * (f64::from(hour) * 0.26).sin() + 30.0 * chance.normal()).collect();
    let grid: Vec<f64> = grid.into_iter().map(|g| g.max(20.0)).collect();
    let watts = 250.0 * f64::from(of.gpus);
    let sun = |hour: i32| (watts * (f64::from(hour % 24 - 6) * std::f64::consts::TAU / 24.0).sin()).max(0.0);
    let mut case = Case::grid(&grid).gpus(of.gpus).rules("deadline_factor = 3.0");
    if of.roof {
        case = case.roof(&(0..120).map(sun).collect::<Vec<_>>());
    }
    if of.widths {
        case = case.rules("widths = [1, 2]");
    }
    if of.second {
        case = case.more(
            "[[zone]]\nname = \"y\"\nmade_up = \"windy\"\n\
             [[site]]\nname = \"t\"\nzone = \"y\"\ngpus = 3\ngpu = \"card\"\nprofile = \"p\"",
        );
    }
    for _ in 0..40 {
        case = case.job(40.0 * chance.uniform(), 0.5 + 6.0 * chance.uniform(), 1 << chance.index(2));
    }
    case.world()
}

/// Twelve of them, from roomy to crowded.
fn all() -> impl Iterator<Item = (u64, World)> {
    (0..12).map(|seed| {
        let of = Crowd { gpus: 6 + 2 * (seed as u32 / 4), roof: seed % 2 == 0, second: seed % 3 == 0, widths: seed % 4 == 1 };
        (seed, crowded(seed, &of))
    })
}

/// Whether a policy did what the bound counts on: all the work, by the ends that it allows.
fn kept(run: &PolicyRun, instance: &Instance) -> bool {
    let ended = |need: &carm_sim::capacity::instance::Need| run.records[need.job].end_h <= need.by_h + 1e-6;
    instance.needs.iter().all(ended) && run.records.iter().all(|record| !record.killed)
}

#[test]
fn no_policy_emits_less_and_prices_never_more_than_the_linear_program() {
    let (mut held, mut tight) = (0, 0);
    for (seed, world) in all() {
        let (prices_g, highs_g) = bounds_g(&world);
        if let Some(highs_g) = highs_g {
            assert!(prices_g <= highs_g * (1.0 + 1e-7), "{seed}: prices {prices_g}, HiGHS {highs_g}");
            assert!(prices_g >= highs_g * 0.99, "{seed}: prices {prices_g}, HiGHS {highs_g}");
        }
        tight += usize::from(prices_g > 1.02 * bound::per_job_g(&world));
        let (instance, possible_g) = (Instance::of(&world), highs_g.unwrap_or(prices_g));
        for name in carm_sim::policy::names() {
            let run = under(&world, name);
            if kept(&run, &instance) {
                assert!(run.carbon_g() >= possible_g * (1.0 - 1e-7), "{seed}, {name}: {} below {possible_g}", run.carbon_g());
                held += 1;
            }
        }
        assert!(kept(&under(&world, "fcfs"), &instance), "{seed}: first come, first served is always allowed");
    }
    assert!(held > 60 && tight >= 6, "{held} runs held against a bound, {tight} of them tighter than the jobs' own");
}

#[test]
fn any_number_of_rounds_gives_a_bound_and_more_give_no_lesser_one() {
    let (_, world) = all().next().unwrap();
    let instance = Instance::of(&world);
    let best_g = prices::least_g(&instance, 1000);
    let bounds: Vec<f64> = [1, 10, 300].into_iter().map(|rounds| prices::least_g(&instance, rounds)).collect();
    assert!(bounds.iter().all(|&bound| bound <= best_g * (1.0 + 1e-4)), "{bounds:?} {best_g}");
    assert!(bounds[0] < bounds[1] && bounds[1] < bounds[2] && bounds[2] >= best_g * 0.999, "{bounds:?} {best_g}");
}
