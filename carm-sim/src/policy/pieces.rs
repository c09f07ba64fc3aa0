//! Runs in pieces: when a job that may pause is to run, and how wide. A piece that began late for want of room ends when it should have; what it
//! did not do is done after the last.

use super::{Action, AtWork, Next};

/// A piece of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Begin, h.
    pub from_h: f64,
    /// End, h.
    pub to_h: f64,
    /// GPUs.
    pub workers: u32,
}

/// Pieces that touch and are as wide become one.
pub fn joined(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_by(|a, b| a.from_h.total_cmp(&b.from_h));
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if last.workers == piece.workers && piece.from_h - last.to_h < 1e-9 => last.to_h = piece.to_h,
            _ => joined.push(piece),
        }
    }
    joined
}

/// What a job does by its pieces, at a level.
pub fn next(at: &AtWork, now_h: f64, level: usize) -> Next {
    let run = |workers| Action::Run { level, workers };
    match at.pieces.iter().position(|piece| piece.to_h > now_h + 1e-9) {
        None => Next { action: run(at.asked.gpus()), look_h: f64::INFINITY },
        Some(index) => {
            let piece = at.pieces[index];
            let last = index + 1 == at.pieces.len();
            if piece.from_h > now_h + 1e-9 {
                Next { action: Action::Pause, look_h: piece.from_h }
            } else {
                // The last one runs on until the work is done.
                Next { action: run(piece.workers), look_h: if last { f64::INFINITY } else { piece.to_h } }
            }
        }
    }
}
