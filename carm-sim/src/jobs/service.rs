//! Inference: a service runs for its time limit, and each of its requests is to be answered within a latency limit.
//!
//! A GPU serves its share of the requests one batch after the other, each in the same time: a queue with random arrivals and one
//! fixed service time (M/D/1). With service time s and load u = rate x s / batch the mean answer takes `s + u s / (2 (1 - u))`
//! (Pollaczek and Khinchine); at u >= 1 there is none. So a latency limit and a rate make a longest service time, and that is what
//! CARM is told as the latency limit of one request: its own rule ([`carm::govern::answering`]) then gives the clocks.

/// What is asked of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Requests are answered within this, ms.
    pub latency_ms: f64,
    /// How long one request takes at full clock, ms; none: as the profile says.
    pub full_clock_ms: Option<f64>,
    /// Requests a second on each GPU, by the hour from the submission on, round and round.
    pub rate_per_s: Vec<f64>,
    /// Requests that are answered together.
    pub batch: f64,
}

impl Demand {
    /// The most requests a second and GPU of all hours.
    #[must_use]
    pub fn peak_per_s(&self) -> f64 {
        self.rate_per_s.iter().copied().fold(0.0, f64::max)
    }

    /// The rate at an hour after the submission.
    #[must_use]
    pub fn rate_at(&self, after_h: f64) -> f64 {
        let hours = self.rate_per_s.len().max(1);
        self.rate_per_s.get((after_h.max(0.0) as usize) % hours).copied().unwrap_or(0.0)
    }

    /// The longest time that one request may take, ms, for the mean answer to keep the limit at the highest rate; 0 if none does.
    #[must_use]
    pub fn longest_service_ms(&self) -> f64 {
        longest_service_ms(self.latency_ms, self.peak_per_s(), self.batch)
    }
}

/// The mean time to an answer, ms; infinite where requests come faster than they are answered.
#[must_use]
pub fn answer_ms(service_ms: f64, rate_per_s: f64, batch: f64) -> f64 {
    let load = rate_per_s * service_ms / 1e3 / batch;
    if load >= 1.0 { f64::INFINITY } else { service_ms + load * service_ms / (2.0 * (1.0 - load)) }
}

/// The service time at which the mean answer takes just the limit: the lesser root of a quadratic. With r = rate / batch per ms,
/// `s + r s^2 / (2 (1 - r s)) = L` is `r s^2 - 2 (1 + r L) s + 2 L = 0`.
fn longest_service_ms(limit_ms: f64, rate_per_s: f64, batch: f64) -> f64 {
    let r = rate_per_s / 1e3 / batch;
    let b = 1.0 + r * limit_ms;
    // The stable form of the lesser root.
    2.0 * limit_ms / (b + (b * b - 2.0 * r * limit_ms).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_half_load_a_request_takes_half_a_service_time_longer() {
        // s = 10 ms, 50 requests a second: u = 0.5, waiting 0.5 x 10 / (2 x 0.5) = 5 ms.
        assert!((answer_ms(10.0, 50.0, 1.0) - 15.0).abs() < 1e-12);
        assert_eq!(answer_ms(10.0, 100.0, 1.0), f64::INFINITY);
        assert!((answer_ms(10.0, 100.0, 2.0) - 15.0).abs() < 1e-12, "two at a time");
    }

    #[test]
    fn the_longest_service_time_just_keeps_the_limit() {
        for (limit, rate) in [(15.0, 50.0), (100.0, 3.0), (20.0, 0.0), (5.0, 190.0)] {
            let longest = longest_service_ms(limit, rate, 1.0);
            assert!((answer_ms(longest, rate, 1.0) - limit).abs() < 1e-9, "{limit} {rate} {longest}");
        }
    }
}
