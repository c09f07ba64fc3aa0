//! What prolog and epilog cost a job's start and end.

use std::time::{Duration, Instant};

use crate::job::green;
use crate::node::Node;

/// The bound is 50 ms in a release build on a quiet machine; this holds a debug build on a busy one to what no
/// user would notice, so that a table built twenty times over or a pause of a poll's length is seen.
const DEBUG_BOUND: Duration = Duration::from_millis(500);

#[test]
fn prolog_and_epilog_of_eight_gpus_and_a_week_of_grid_take_a_moment() {
    let node = Node::new().grid(chrono::TimeDelta::hours(-1), chrono::TimeDelta::minutes(15), &[400.0; 8 * 96]);
    let (mut prologs, mut epilogs) = (Vec::new(), Vec::new());
    for id in 0..11 {
        let job = green(100 + id).gpus("0-7");
        let since = Instant::now();
        node.prolog(&job);
        prologs.push(since.elapsed());
        assert_eq!(node.locked().len(), 8, "{}", node.log());
        let since = Instant::now();
        node.epilog(&job);
        epilogs.push(since.elapsed());
    }
    for (name, mut times) in [("prolog", prologs), ("epilog", epilogs)] {
        times.sort();
        println!("{name}: median {:?}, least {:?}, most {:?}", times[5], times[0], times[10]);
        assert!(times[5] < DEBUG_BOUND, "{name}: {times:?}");
    }
}
