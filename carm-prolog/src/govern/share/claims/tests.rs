//! Nodes that look, fail, die and come back in any order: at no instant do their jobs count on more than all of the roof.

use proptest::prelude::*;

use super::*;

const INTERVAL_MS: i64 = 1000;
const START_MS: i64 = 100_000;

fn beat(now_ms: i64) -> Beat {
    Beat { now_ms, interval_ms: INTERVAL_MS as f64 }
}

fn wants(gpus: f64, busy: f64) -> Wants {
    Wants { gpus, busy, ..Wants::default() }
}

#[test]
fn one_busy_node_gets_what_the_idle_ones_leave_and_gives_it_back() {
    let mut claims = Claims::default();
    let mut claim = |node: &str, busy, at| claims.claim(node, &wants(4.0, busy), 8.0, beat(START_MS + at));
    assert_eq!(claim("a", 4.0, 0), 0.5, "b has no governor yet: its part is its own");
    assert_eq!(claim("b", 0.0, 0), 0.0);
    assert_eq!(claim("a", 4.0, 1), 1.0, "b is idle");
    assert_eq!(claim("b", 4.0, 2), 0.0, "a still counts on all of it");
    assert_eq!(claim("a", 4.0, 3), 0.5);
    assert_eq!(claim("b", 4.0, 4), 0.5);
}

#[test]
fn a_node_that_is_down_holds_nothing() {
    let mut claims = Claims::default();
    claims.claim("a", &wants(4.0, 4.0), 8.0, beat(START_MS));
    claims.claim("b", &wants(4.0, 4.0), 8.0, beat(START_MS));
    let later = beat(START_MS + 11 * INTERVAL_MS);
    assert_eq!(claims.claim("b", &wants(4.0, 4.0), 8.0, later), 0.5, "a's GPUs have no governor any more");
    let last = beat(START_MS + 23 * INTERVAL_MS);
    claims.claim("b", &wants(4.0, 4.0), 8.0, last);
    assert_eq!(claims.nodes.len(), 1, "forgotten");
}

#[test]
fn a_job_on_several_nodes_is_left_its_part_once_whoever_announces_it() {
    let mut claims = Claims::default();
    let with_job = |busy| Wants { jobs: BTreeMap::from([(7, 0.5)]), ..wants(4.0, busy) };
    let mut claim = |node: &str, wants: &Wants| claims.claim(node, wants, 16.0, beat(START_MS));
    for node in ["b", "c", "d"] {
        claim(node, &wants(4.0, 0.0));
    }
    assert_eq!(claim("a", &wants(4.0, 4.0)), 1.0);
    claim("b", &with_job(0.0));
    assert_eq!(claim("a", &wants(4.0, 4.0)), 0.5);
    claim("c", &with_job(0.0));
    assert_eq!(claim("a", &wants(4.0, 4.0)), 0.5, "it is the same job");
}

#[test]
fn after_a_torn_file_nothing_is_granted_while_a_node_that_is_down_may_count_on_it() {
    let mut claims = Claims::anew(beat(START_MS));
    let mut claim = |at| claims.claim("a", &wants(8.0, 8.0), 8.0, beat(START_MS + at));
    assert_eq!((claim(0), claim(2 * INTERVAL_MS), claim(3 * INTERVAL_MS)), (0.0, 0.0, 1.0));
}

#[test]
fn a_file_of_the_last_release_is_read() {
    let text = r#"{"nodes":{"a":{"at_ms":5,"gpus":4.0,"busy":2.0,"granted":0.25}}}"#;
    let claims: Claims = serde_json::from_str(text).expect("claims");
    assert_eq!((claims.last("a"), claims.last("b")), (Some(5), None));
}

/// A node, and what its jobs count on.
#[derive(Default)]
struct Node {
    /// GPUs that run a job on this node alone.
    busy: f64,
    /// What they count on.
    counts_on: f64,
    /// When the governor last claimed, as it remembers.
    last_ms: Option<i64>,
    /// Until when the governor is down.
    down_until: i64,
    /// When that was granted.
    since_ms: i64,
}

/// What befalls a node at one of its looks.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Claims,
    CannotLock,
    Down { intervals: i64 },
    Busy { gpus: f64 },
    FileTorn,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Claims),
        2 => Just(Fate::CannotLock),
        1 => (1..25_i64).prop_map(|intervals| Fate::Down { intervals }),
        3 => (0..5_u32).prop_map(|gpus| Fate::Busy { gpus: gpus.into() }),
        1 => Just(Fate::FileTorn),
    ]
}

const NODES: usize = 4;
const GPUS: f64 = 4.0;

/// The site: every node of it, its file, and a job on the last two nodes.
struct Site {
    nodes: Vec<Node>,
    claims: Claims,
    /// When the job on two nodes started.
    job: Option<i64>,
    now_ms: i64,
}

impl Site {
    fn new() -> Self {
        Self { nodes: (0..NODES).map(|_| Node::default()).collect(), claims: Claims::default(), job: None, now_ms: START_MS }
    }

    fn site_gpus() -> f64 {
        NODES as f64 * GPUS
    }

    fn of_job(index: usize) -> bool {
        index >= NODES - 2
    }

    fn look(&mut self, index: usize, fate: Fate) {
        let (beat, job) = (beat(self.now_ms), self.job.filter(|_| Self::of_job(index)));
        let node = &mut self.nodes[index];
        if self.now_ms < node.down_until {
            // A job may end, and the prolog take one up, without a governor.
            if let Fate::Busy { gpus } = fate {
                let is_claimed = self.claims.may_count(&index.to_string(), beat);
                (node.busy, node.since_ms) = (gpus, self.now_ms);
                node.counts_on = if is_claimed { 0.0 } else { gpus / Self::site_gpus() };
            }
            return;
        }
        // The governor was away: it remembers nothing of its own, but when it began.
        let was_down = node.down_until > 0;
        if was_down {
            node.last_ms = Some(self.now_ms);
            node.down_until = 0;
        }
        let part = node.busy / Self::site_gpus();
        if beat.intervals_since(node.since_ms) >= HEEDED {
            node.counts_on = node.counts_on.min(part);
        }
        match fate {
            Fate::Down { intervals } => node.down_until = self.now_ms + intervals * INTERVAL_MS,
            // The job's nodes are not all cut off at once.
            Fate::CannotLock if !Self::of_job(index) => {
                let last_ms = self.claims.last(&index.to_string()).or(node.last_ms);
                node.counts_on = match Without::after(last_ms, beat) {
                    Without::Last => node.counts_on,
                    Without::Part => part,
                };
            }
            Fate::Claims | Fate::CannotLock | Fate::Busy { .. } | Fate::FileTorn => {
                if let Fate::Busy { gpus } = fate {
                    node.busy = if job.is_some() { 0.0 } else { gpus };
                    // What ended counts on nothing, what begins on nothing yet.
                    node.counts_on = if node.busy > 0.0 { node.counts_on } else { 0.0 };
                }
                if matches!(fate, Fate::FileTorn) {
                    self.claims = Claims::anew(beat);
                }
                let jobs = job.map(|_| (7, 2.0 * GPUS / Self::site_gpus())).into_iter().collect();
                let wants = Wants { gpus: GPUS, busy: node.busy, jobs };
                node.counts_on = self.claims.claim(&index.to_string(), &wants, Self::site_gpus(), beat);
                (node.last_ms, node.since_ms) = (Some(self.now_ms), self.now_ms);
            }
        }
    }

    /// What all jobs count on now, those too whose governor is away.
    fn counted_on(&self) -> f64 {
        let beat = beat(self.now_ms);
        let alone = self.nodes.iter().map(|node| {
            let part = node.busy / Self::site_gpus();
            // What is counted when the governor is back.
            if beat.intervals_since(node.since_ms) < HEEDED { node.counts_on } else { node.counts_on.min(part) }
        });
        let job = self.job.filter(|&since| beat.intervals_since(since) >= SETTLE).map_or(0.0, |_| 2.0 * GPUS / Self::site_gpus());
        alone.sum::<f64>() + job
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn at_no_instant_do_jobs_count_on_more_than_all_of_it(
        fates in prop::collection::vec(prop::array::uniform4(fate()), 1..60),
        phases in prop::array::uniform4(0..INTERVAL_MS),
        job_at in prop::option::of(0..40_usize),
    ) {
        let mut site = Site::new();
        let mut order: Vec<usize> = (0..NODES).collect();
        order.sort_by_key(|&index| phases[index]);
        for (round, fates) in fates.into_iter().enumerate() {
            let begin_ms = START_MS + round as i64 * INTERVAL_MS;
            for &index in &order {
                site.now_ms = begin_ms + phases[index];
                if job_at == Some(round) && index == order[0] {
                    // Slurm gives a job GPUs that nobody else has; its nodes' governors are at work.
                    site.job = Some(site.now_ms);
                    for node in &mut site.nodes[NODES - 2..] {
                        (node.busy, node.counts_on, node.down_until) = (0.0, 0.0, 0);
                    }
                }
                let fate = match fates[index] {
                    Fate::Down { .. } if Site::of_job(index) => Fate::Claims,
                    fate => fate,
                };
                site.look(index, fate);
                prop_assert!(site.counted_on() <= 1.0 + 1e-9, "{} at {} ms", site.counted_on(), site.now_ms);
            }
        }
    }

    #[test]
    fn in_quiet_times_all_of_it_is_in_use_where_anybody_is_busy(busy in prop::array::uniform4(0..5_u32)) {
        prop_assume!(busy.iter().any(|&gpus| gpus > 0));
        let mut claims = Claims::default();
        let mut last = [0.0; NODES];
        for round in 0..4 {
            for index in 0..NODES {
                let at = beat(START_MS + round * INTERVAL_MS);
                last[index] = claims.claim(&index.to_string(), &wants(GPUS, busy[index].into()), Site::site_gpus(), at);
            }
        }
        prop_assert!((last.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{last:?}");
        let all: u32 = busy.iter().sum();
        for (share, gpus) in last.iter().zip(busy) {
            prop_assert!((share - f64::from(gpus) / f64::from(all)).abs() < 1e-9, "{last:?}");
        }
    }
}
