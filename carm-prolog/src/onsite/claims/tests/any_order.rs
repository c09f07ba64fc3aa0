//! Nodes that look, fail, die and come back in any order, beside a job on several of them: at no instant do jobs count on more than all of
//! the roof.

use proptest::prelude::*;

use super::super::super::held::heed;
use super::*;

const NODES: usize = 4;
const GPUS: f64 = 4.0;
const SITE_GPUS: f64 = NODES as f64 * GPUS;

/// The job on several nodes, and its GPUs on each of them.
const JOB: u32 = 7;
const JOB_NODES: std::ops::Range<usize> = 1..NODES;
const JOB_GPUS: f64 = 2.0;

/// What the state of a job tells.
#[derive(Clone, Copy)]
struct State {
    share: Option<f64>,
    next: Option<Next>,
    since_ms: i64,
    gpus: f64,
}

impl State {
    fn counts_on(self, beat: Beat) -> f64 {
        let part = self.gpus / SITE_GPUS;
        self.share.map_or(part, |share| heed(share, self.next, self.since_ms, part, beat))
    }
}

#[derive(Default)]
struct Node {
    /// A job that is on this node alone.
    alone: Option<State>,
    /// The job on several nodes.
    spread: Option<State>,
    /// The one shares the other's GPUs.
    shared: bool,
    /// When the governor last claimed or began, as it remembers.
    remembered_ms: i64,
    /// When it was last at work, as the host remembers.
    at_work_ms: Option<i64>,
    /// Until when the governor is down.
    down_until: i64,
    /// Until when it cannot reach the file.
    cut_off_until: i64,
}

impl Node {
    /// The GPUs of both jobs, those that they share in part.
    fn weights(&self) -> (f64, f64) {
        let alone = self.alone.map_or(0.0, |state| state.gpus);
        if self.shared { (JOB_GPUS / 2.0, JOB_GPUS / 2.0) } else { (alone, JOB_GPUS) }
    }

    fn counts_on(&self, beat: Beat) -> f64 {
        [self.alone, self.spread].into_iter().flatten().map(|state| state.counts_on(beat)).sum()
    }
}

/// What befalls a node at one of its looks.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Claims,
    CutOff { intervals: i64 },
    KilledAfterClaim { intervals: i64 },
    Down { intervals: i64 },
    Reboots { intervals: i64 },
    JobStarts { gpus: f64, shared: bool },
    JobEnds,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Claims),
        1 => (1..25_i64).prop_map(|intervals| Fate::CutOff { intervals }),
        1 => (1..25_i64).prop_map(|intervals| Fate::KilledAfterClaim { intervals }),
        1 => (1..25_i64).prop_map(|intervals| Fate::Down { intervals }),
        1 => (1..25_i64).prop_map(|intervals| Fate::Reboots { intervals }),
        3 => (1..5_u32, any::<bool>()).prop_map(|(gpus, shared)| Fate::JobStarts { gpus: gpus.into(), shared }),
        1 => Just(Fate::JobEnds),
    ]
}

/// The nodes of a site, and their file.
struct Site {
    nodes: Vec<Node>,
    file: Option<Claims>,
    now_ms: i64,
}

impl Site {
    fn new() -> Self {
        let node = || Node { remembered_ms: START_MS, ..Node::default() };
        Self { nodes: (0..NODES).map(|_| node()).collect(), file: None, now_ms: START_MS }
    }

    fn beat(&self) -> Beat {
        beat(self.now_ms)
    }

    /// What the prolog writes.
    fn begun(&self, index: usize, gpus: f64, shared: bool) -> State {
        let (node, beat) = (&self.nodes[index], self.beat());
        let is_governed = self.now_ms >= node.down_until;
        let by_file = self.file.as_ref().is_some_and(|claims| claims.may_count(&index.to_string(), beat));
        let is_left = is_governed || may_count(node.at_work_ms, beat) || by_file;
        State { share: (is_left || shared).then_some(0.0), next: None, since_ms: self.now_ms, gpus }
    }

    fn spread_starts(&mut self) {
        for index in JOB_NODES {
            if self.nodes[index].alone.is_some_and(|state| state.gpus > GPUS - JOB_GPUS) {
                self.nodes[index].alone = None;
            }
            self.nodes[index].spread = Some(self.begun(index, JOB_GPUS, false));
        }
    }

    fn spread_ends(&mut self) {
        for index in JOB_NODES {
            (self.nodes[index].spread, self.nodes[index].shared) = (None, false);
        }
    }

    /// It is torn, or deleted, but for that not while a node has just been rebooted.
    fn file_is_lost(&mut self, deleted: bool) {
        if !deleted {
            self.file = Some(Claims::anew(self.beat()));
        } else if self.nodes.iter().all(|node| node.at_work_ms.is_some()) {
            self.file = None;
        }
    }

    fn befall(&mut self, index: usize, fate: Fate) {
        let after = |intervals| self.now_ms + intervals * INTERVAL_MS;
        match fate {
            Fate::JobStarts { gpus, shared } => {
                let shared = shared && self.nodes[index].spread.is_some();
                let gpus = if self.nodes[index].spread.is_some() { gpus.min(JOB_GPUS) } else { gpus };
                let gpus = if shared { JOB_GPUS } else { gpus };
                let state = self.begun(index, gpus, shared);
                (self.nodes[index].alone, self.nodes[index].shared) = (Some(state), shared);
            }
            Fate::JobEnds => (self.nodes[index].alone, self.nodes[index].shared) = (None, false),
            // What tells of its claim then is the file alone.
            Fate::Reboots { .. } if self.file.is_none() => {}
            Fate::Down { intervals } => self.nodes[index].down_until = after(intervals),
            Fate::CutOff { intervals } => self.nodes[index].cut_off_until = after(intervals),
            Fate::Reboots { intervals } => {
                let down_until = after(intervals);
                if self.nodes[index].spread.is_some() {
                    self.spread_ends();
                }
                self.nodes[index] = Node { down_until, remembered_ms: self.now_ms, ..Node::default() };
            }
            Fate::Claims | Fate::KilledAfterClaim { .. } => {}
        }
        if self.now_ms >= self.nodes[index].down_until {
            self.look(index, fate);
        }
    }

    fn look(&mut self, index: usize, fate: Fate) {
        let (beat, name) = (self.beat(), index.to_string());
        let node = &mut self.nodes[index];
        if std::mem::take(&mut node.down_until) > 0 {
            node.remembered_ms = self.now_ms;
        }
        node.at_work_ms = Some(self.now_ms);
        let (alone, spread) = node.weights();
        let held = |state: Option<State>| state.map_or(0.0, |state| state.counts_on(beat));
        if self.now_ms < node.cut_off_until {
            let last = self.file.as_ref().and_then(|claims| claims.last(&name)).unwrap_or(node.remembered_ms);
            for (state, gpus) in [(&mut node.alone, alone), (&mut node.spread, spread)] {
                let Some(state) = state else { continue };
                match Without::after(Some(last), beat) {
                    Without::Last => {
                        state.next = state.next.filter(|next| next.at_ms > beat.now_ms);
                        state.share = Some(state.counts_on(beat));
                    }
                    Without::Part => (state.next, state.share) = (None, Some(gpus / SITE_GPUS)),
                }
                state.gpus = gpus;
            }
            return;
        }
        let of_spread =
            |state: State| (JOB, SpreadWants { gpus: spread, nodes: JOB_NODES.len() as u32, held: state.counts_on(beat) });
        let wants =
            Wants { gpus: GPUS, busy: alone, held: held(node.alone), spread: node.spread.map(of_spread).into_iter().collect() };
        let granted = self.file.get_or_insert_with(|| Claims::anew(beat)).claim(&name, &wants, SITE_GPUS, beat);
        if let Fate::KilledAfterClaim { intervals } = fate {
            node.down_until = self.now_ms + intervals * INTERVAL_MS;
            return;
        }
        node.remembered_ms = self.now_ms;
        let now_held =
            |gpus, portion: Portion| State { share: Some(portion.now), next: portion.next, since_ms: beat.now_ms, gpus };
        node.alone = node.alone.map(|_| now_held(alone, Portion { now: granted.alone, next: None }));
        node.spread = node.spread.map(|_| now_held(spread, granted.spread[&JOB]));
    }

    fn counted_on(&self) -> f64 {
        self.nodes.iter().map(|node| node.counts_on(self.beat())).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn at_no_instant_do_jobs_count_on_more_than_all_of_it(
        fates in prop::collection::vec(prop::array::uniform4(fate()), 1..80),
        phases in prop::array::uniform4(0..INTERVAL_MS),
        spread_at in 0..40_usize,
        spread_for in 1..60_usize,
        (cut_off_at, cut_off_for) in (0..80_usize, 1..25_i64),
        lost_at in prop::collection::vec((0..80_usize, any::<bool>()), 0..3),
    ) {
        let mut site = Site::new();
        let mut order: Vec<usize> = (0..NODES).collect();
        order.sort_by_key(|&index| phases[index]);
        for (round, fates) in fates.into_iter().enumerate() {
            site.now_ms = START_MS + round as i64 * INTERVAL_MS;
            if round == spread_at {
                site.spread_starts();
            } else if round == spread_at + spread_for {
                site.spread_ends();
            }
            lost_at.iter().filter(|lost| lost.0 == round).for_each(|lost| site.file_is_lost(lost.1));
            if round == cut_off_at {
                // All nodes of the job at once.
                JOB_NODES.for_each(|index| site.nodes[index].cut_off_until = site.now_ms + cut_off_for * INTERVAL_MS);
            }
            for &index in &order {
                site.now_ms = START_MS + round as i64 * INTERVAL_MS + phases[index];
                site.befall(index, fates[index]);
                prop_assert!(site.counted_on() <= 1.0 + 1e-9, "{} at {} ms", site.counted_on(), site.now_ms);
            }
        }
    }

    #[test]
    fn in_quiet_times_all_of_it_is_in_use_where_anybody_is_busy(busy in prop::array::uniform4(0..3_u32), is_spread in any::<bool>()) {
        prop_assume!(is_spread || busy.iter().any(|&gpus| gpus > 0));
        let mut site = Site::new();
        if is_spread {
            site.spread_starts();
        }
        for round in 0..24 {
            for (index, gpus) in busy.into_iter().map(f64::from).enumerate() {
                site.now_ms = START_MS + round * INTERVAL_MS;
                let starts = round == 0 && gpus > 0.0;
                site.befall(index, if starts { Fate::JobStarts { gpus, shared: false } } else { Fate::Claims });
            }
        }
        prop_assert!((site.counted_on() - 1.0).abs() < 0.02, "{}", site.counted_on());
        let on_spread = if is_spread { JOB_GPUS * JOB_NODES.len() as f64 } else { 0.0 };
        let all = f64::from(busy.iter().sum::<u32>()) + on_spread;
        for (node, gpus) in site.nodes.iter().zip(busy) {
            let of = |state: Option<State>| state.map_or(0.0, |state| state.counts_on(site.beat()));
            prop_assert!((of(node.alone) - f64::from(gpus) / all).abs() < 0.02, "{} of {all} GPUs: {}", gpus, of(node.alone));
            let fair = if node.spread.is_some() { JOB_GPUS / all } else { 0.0 };
            prop_assert!((of(node.spread) - fair).abs() < 0.02, "{fair}: {}", of(node.spread));
        }
    }
}
