//! The stand-in's power log, integrated here: no code is shared with what CARM books.

use std::path::Path;

/// The log, by card.
pub struct PowerLog(Vec<Vec<Point>>);

/// From `at` on.
#[derive(Clone, Copy)]
struct Point {
    at: f64,
    watts: f64,
    clock_mhz: u32,
}

impl PowerLog {
    /// Reads `power.csv`: Unix time, card, watts, clock.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the power log");
        let mut cards: Vec<Vec<Point>> = Vec::new();
        for line in text.lines() {
            let fields: Vec<f64> = line.split(',').map(|field| field.parse().expect("a number")).collect();
            let card = fields[1] as usize;
            cards.resize_with(cards.len().max(card + 1), Vec::new);
            cards[card].push(Point { at: fields[0], watts: fields[2], clock_mhz: fields[3] as u32 });
        }
        // A load that was killed is dated back.
        cards.iter_mut().for_each(|points| points.sort_by(|a, b| a.at.total_cmp(&b.at)));
        Self(cards)
    }

    /// Energy of a card between two Unix times, in joules.
    pub fn energy_j(&self, card: usize, from: f64, to: f64) -> f64 {
        self.pieces(card, from, to).map(|(seconds, point)| seconds * point.watts).sum()
    }

    /// For how many seconds a card was busy below a clock, between two Unix times.
    pub fn slowed_s(&self, card: usize, from: f64, to: f64, full_mhz: u32) -> f64 {
        let slow = self.pieces(card, from, to).filter(|(_, point)| point.watts > 50.0 && point.clock_mhz < full_mhz);
        slow.map(|(seconds, _)| seconds).sum()
    }

    fn pieces(&self, card: usize, from: f64, to: f64) -> impl Iterator<Item = (f64, Point)> {
        let points = self.0.get(card).map_or(&[][..], Vec::as_slice);
        let first = points.partition_point(|point| point.at <= from).saturating_sub(1);
        points[first..].iter().enumerate().take_while(move |(_, point)| point.at < to).map(move |(index, point)| {
            let end = points.get(first + index + 1).map_or(to, |next| next.at.min(to));
            ((end - point.at.max(from)).max(0.0), *point)
        })
    }
}
