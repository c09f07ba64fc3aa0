//! Chance, seeded: the same numbers on every machine, for every order of asking. Each question has a generator of its own.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of chance numbers.
#[derive(Debug, Clone)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a question: the scenario's seed, what is asked about, and which of these.
    #[must_use]
    pub fn of(seed: u64, about: &str, which: &[u64]) -> Self {
        // FNV-1a, 64 bits (Fowler, Noll, Vo): words to one number.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        about.bytes().for_each(&mut eat);
        which.iter().flat_map(|number| number.to_le_bytes()).for_each(&mut eat);
        Self(ChaCha8Rng::seed_from_u64(seed ^ hash))
    }

    /// From 0 to 1, 1 left out.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of `count`.
    pub fn index(&mut self, count: usize) -> usize {
        ((self.uniform() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// Standard normal (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_has_the_same_answer_and_another_has_another() {
        let first = |seed, about, which: &[u64]| Chance::of(seed, about, which).uniform();
        assert_eq!(first(1, "jobs", &[3]), first(1, "jobs", &[3]));
        assert_ne!(first(1, "jobs", &[3]), first(1, "jobs", &[4]));
        assert_ne!(first(1, "jobs", &[3]), first(2, "jobs", &[3]));
        assert_ne!(first(1, "jobs", &[3]), first(1, "noise", &[3]));
    }

    #[test]
    fn normal_numbers_have_mean_nought_and_spread_one() {
        let mut chance = Chance::of(7, "test", &[]);
        let many: Vec<f64> = (0..20_000).map(|_| chance.normal()).collect();
        let mean = many.iter().sum::<f64>() / 2e4;
        let spread = many.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4;
        assert!(mean.abs() < 0.03 && (spread - 1.0).abs() < 0.05, "{mean} {spread}");
    }
}
