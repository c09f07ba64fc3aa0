//! What is granted, and to whom; that it is never more than all of it, whatever befalls the nodes, is tried in [`any_order`].

mod any_order;

use super::*;

const INTERVAL_MS: i64 = 1000;
const START_MS: i64 = 100_000;

fn beat(now_ms: i64) -> Beat {
    Beat { now_ms, interval_ms: INTERVAL_MS as f64 }
}

fn at(intervals: f64) -> Beat {
    beat(START_MS + (intervals * INTERVAL_MS as f64) as i64)
}

fn wants(gpus: f64, busy: f64) -> Wants {
    Wants { gpus, busy, ..Wants::default() }
}

/// A node of two that a job is on, with two GPUs of it.
fn with_job(held: f64) -> Wants {
    Wants { spread: BTreeMap::from([(7, SpreadWants { gpus: 2.0, nodes: 2, held })]), ..wants(4.0, 0.0) }
}

fn next(at_intervals: i64, share: f64) -> Option<Next> {
    Some(Next { at_ms: START_MS + at_intervals * INTERVAL_MS, share })
}

#[test]
fn one_busy_node_gets_what_the_idle_ones_leave_and_gives_it_back() {
    let mut claims = Claims::default();
    let mut held = BTreeMap::new();
    let mut claim = |node: &'static str, busy, when| {
        let wants = Wants { held: held.get(node).copied().unwrap_or(0.0), ..wants(4.0, busy) };
        let alone = claims.claim(node, &wants, 8.0, at(when)).alone;
        held.insert(node, alone);
        alone
    };
    assert_eq!(claim("a", 4.0, 0.0), 0.5, "b has no governor yet: its part is its own");
    assert_eq!(claim("b", 0.0, 0.0), 0.0);
    assert_eq!(claim("a", 4.0, 1.0), 1.0, "b is idle");
    assert_eq!(claim("b", 4.0, 1.5), 0.0, "a still counts on all of it");
    assert_eq!(claim("a", 4.0, 2.0), 0.5);
    assert_eq!(claim("b", 4.0, 2.5), 0.0, "whether a's jobs know, the next look tells");
    assert_eq!(claim("a", 4.0, 3.0), 0.5);
    assert_eq!(claim("b", 4.0, 3.5), 0.5);
}

#[test]
fn a_node_that_is_down_holds_nothing() {
    let mut claims = Claims::default();
    claims.claim("a", &wants(4.0, 4.0), 8.0, at(0.0));
    claims.claim("b", &wants(4.0, 4.0), 8.0, at(0.0));
    assert_eq!(claims.claim("b", &wants(4.0, 4.0), 8.0, at(STALE + 1.0)).alone, 0.5, "a's GPUs have no governor any more");
    claims.claim("b", &wants(4.0, 4.0), 8.0, at(STALE + ROOM + 1.0));
    assert_eq!(claims.nodes.len(), 1, "forgotten");
}

#[test]
fn the_nodes_of_a_job_count_on_all_that_idle_ones_leave_from_the_same_instant_on() {
    let mut claims = Claims::default();
    for node in ["c", "d"] {
        claims.claim(node, &wants(4.0, 0.0), 16.0, at(0.0));
    }
    // Half of the roof has no governor yet when the first node comes.
    let first = claims.claim("a", &with_job(0.0), 16.0, at(0.1));
    assert_eq!(first.spread[&7], Portion { now: 0.0, next: next(2, 0.375) });
    assert_eq!(claims.claim("b", &with_job(0.0), 16.0, at(0.4)), first, "it sees what the first one claimed");
    for node in ["a", "b"] {
        let early = claims.claim(node, &with_job(0.0), 16.0, at(1.0)).spread[&7];
        assert_eq!(early, Portion { now: 0.0, next: next(2, 0.375) }, "a change at a time");
    }
    let [a, b] = ["a", "b"].map(|node| claims.claim(node, &with_job(0.375), 16.0, at(2.0)).spread[&7]);
    assert_eq!((a, b), (Portion { now: 0.375, next: next(4, 0.5) }, a), "and now all of it");
}

#[test]
fn a_job_on_several_nodes_makes_room_and_is_never_left_less_than_its_part() {
    let mut claims = Claims::default();
    claims.claim("b", &with_job(0.0), 8.0, at(0.0));
    claims.claim("a", &with_job(0.0), 8.0, at(0.0));
    assert_eq!(claims.claim("a", &with_job(0.25), 8.0, at(2.0)).spread[&7].next, next(4, 0.5));
    assert_eq!(claims.claim("a", &with_job(0.5), 8.0, at(4.0)).spread[&7], Portion { now: 0.5, next: None });
    claims.claim("b", &with_job(0.5), 8.0, at(4.0));
    // Two GPUs more want power: the job's nodes make room from a later instant on, and theirs have it when that is sure.
    let busy = |held| Wants { held, busy: 2.0, ..with_job(0.5) };
    assert_eq!(
        claims.claim("a", &busy(0.0), 8.0, at(5.0)),
        Granted { alone: 0.0, spread: [(7, Portion { now: 0.5, next: next(7, 1.0 / 3.0) })].into() }
    );
    claims.claim("b", &with_job(0.5), 8.0, at(6.0));
    let late = |when| claims.clone().claim("a", &busy(0.0), 8.0, at(when)).alone;
    assert_eq!((late(7.0), late(9.9)), (0.0, 0.0));
    assert!((late(10.0) - 1.0 / 3.0).abs() < 1e-9);
    // Before a node that was cut off is forgotten, its GPUs count on their part of the roof, whatever the others agree on.
    let crowded = Wants { busy: 1000.0, ..with_job(0.5) };
    let portion = claims.claim("a", &crowded, 8.0, at(10.0)).spread[&7];
    assert_eq!(portion.next.map(|next| next.share), Some(0.25), "its own two GPUs'");
}

#[test]
fn what_jobs_had_is_held_for_them_until_they_surely_know_what_they_have() {
    let mut claims = Claims::default();
    claims.claim("b", &wants(4.0, 0.0), 8.0, at(0.0));
    assert_eq!(claims.claim("a", &wants(4.0, 4.0), 8.0, at(0.0)).alone, 1.0);
    claims.claim("b", &wants(4.0, 4.0), 8.0, at(0.5));
    let a = Wants { held: 1.0, ..wants(4.0, 4.0) };
    assert_eq!(claims.claim("a", &a, 8.0, at(1.0)).alone, 0.5);
    // Its governor was killed before it could tell its jobs.
    assert_eq!(claims.claim("b", &wants(4.0, 4.0), 8.0, at(1.5)).alone, 0.0);
    assert_eq!(claims.claim("b", &wants(4.0, 4.0), 8.0, at(2.5)).alone, 0.0);
}

#[test]
fn what_a_job_on_several_nodes_counts_on_beyond_its_claim_is_held_too() {
    let mut claims = Claims::default();
    // Its node was forgotten, and it counted on its part without a claim.
    claims.claim("a", &with_job(0.25), 8.0, at(0.0));
    assert_eq!(claims.nodes["a"].before, 0.25);
    claims.claim("a", &with_job(0.25), 8.0, at(2.0));
    assert_eq!(claims.nodes["a"].before, 0.125, "half of a quarter is its claim's");
}

#[test]
fn after_a_torn_file_nothing_is_granted_while_a_node_that_is_down_may_count_on_it() {
    let mut claims = Claims::anew(at(0.0));
    let mut claim = |when| claims.claim("a", &Wants { busy: 4.0, ..with_job(0.0) }, 8.0, at(when));
    let nothing = Granted { alone: 0.0, spread: [(7, Portion { now: 0.0, next: None })].into() };
    assert_eq!((claim(0.0), claim(2.0)), (nothing.clone(), nothing));
    assert!(claim(3.0).alone > 0.2);
}

#[test]
fn a_file_of_an_earlier_release_is_read() {
    let text = r#"{"nodes":{"a":{"at_ms":5,"gpus":4.0,"busy":2.0,"granted":0.25,"jobs":{"7":0.5}}}}"#;
    let claims: Claims = serde_json::from_str(text).expect("claims");
    assert_eq!((claims.last("a"), claims.last("b")), (Some(5), None));
}
