//! A signal: a step function of time. A value holds from its instant to the next one's; outside its span there is no data.

use chrono::{DateTime, TimeDelta, Utc};

/// One step of a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// When the value starts to hold.
    pub from: DateTime<Utc>,
    /// The value, in the signal's own unit.
    pub value: f64,
    /// The least that the value may turn out to be; the value itself where the source names no error.
    pub low: f64,
    /// The most that it may turn out to be.
    pub high: f64,
    /// Forecast by CARM itself or taken from the typical day, rather than given by the source.
    pub estimated: bool,
    /// Given by the source, and marked by it as an estimate that it will replace (Electricity Maps' `isEstimated`).
    pub provisional: bool,
}

impl Step {
    /// A value that is what it is.
    #[must_use]
    pub fn exact(from: DateTime<Utc>, value: f64) -> Self {
        Self { from, value, low: value, high: value, estimated: false, provisional: false }
    }

    /// A value that was not given by the source, with no word on how far it may be off.
    #[must_use]
    pub fn estimate(from: DateTime<Utc>, value: f64) -> Self {
        Self { estimated: true, ..Self::exact(from, value) }
    }
}

/// A step function of time over one contiguous span.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    steps: Vec<Step>,
    end: DateTime<Utc>,
}

impl Signal {
    /// A signal from steps in rising order; the last one holds until `end`. `None` without a step, with instants out of
    /// order, or with an `end` that is not after the last step.
    #[must_use]
    pub fn new(steps: Vec<Step>, end: DateTime<Utc>) -> Option<Self> {
        let rising = steps.windows(2).all(|pair| pair[0].from < pair[1].from);
        let last = steps.last()?;
        (rising && last.from < end).then_some(Self { steps, end })
    }

    /// The steps, rising.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where data starts.
    #[must_use]
    pub fn start(&self) -> DateTime<Utc> {
        self.steps[0].from
    }

    /// Where data ends.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// The step that holds at an instant; `None` outside the signal's span.
    #[must_use]
    pub fn at(&self, instant: DateTime<Utc>) -> Option<Step> {
        if instant >= self.end {
            return None;
        }
        let next = self.steps.partition_point(|step| step.from <= instant);
        next.checked_sub(1).map(|index| self.steps[index])
    }

    /// The instants inside (`from`, `to`) at which the value may change.
    pub fn boundaries(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        let first = self.steps.partition_point(|step| step.from <= from);
        self.steps[first..].iter().map(|step| step.from).take_while(move |&instant| instant < to)
    }

    /// The same signal with every value passed through `f`, which rises or falls throughout.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        let map = |step: &Step| {
            let (one, other) = (f(step.low), f(step.high));
            Step { value: f(step.value), low: one.min(other), high: one.max(other), ..*step }
        };
        Self { steps: self.steps.iter().map(map).collect(), end: self.end }
    }

    /// Whether any value carries an error band.
    #[must_use]
    pub fn has_band(&self) -> bool {
        self.steps.iter().any(|step| step.low < step.high)
    }

    /// The integral of the value over [`from`, `to`], in value x hours, and the part of that time that was estimated;
    /// `None` where the span leaves the signal.
    #[must_use]
    pub fn integrate(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<f64> {
        if from < self.start() || to > self.end || to < from {
            return None;
        }
        let mut sum = 0.0;
        let mut at = from;
        while at < to {
            let index = self.steps.partition_point(|step| step.from <= at) - 1;
            let until = self.steps.get(index + 1).map_or(self.end, |next| next.from).min(to);
            sum += self.steps[index].value * hours(until - at);
            at = until;
        }
        Some(sum)
    }
}

/// A span in hours.
#[must_use]
pub(crate) fn hours(span: TimeDelta) -> f64 {
    // Milliseconds in f64 are exact for any span that a signal can have.
    span.num_microseconds().map_or(span.num_milliseconds() as f64 / 3.6e6, |us| us as f64 / 3.6e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::parse_instant;

    fn at(text: &str) -> DateTime<Utc> {
        parse_instant(text).expect(text)
    }

    fn two_hours() -> Signal {
        let step = |hour: u32, value| Step::exact(at(&format!("2026-05-01T{hour:02}:00:00Z")), value);
        Signal::new(vec![step(0, 100.0), step(1, 300.0)], at("2026-05-01T02:00:00Z")).expect("a signal")
    }

    #[test]
    fn a_value_holds_from_its_time_to_the_next_and_nothing_outside() {
        let signal = two_hours();
        assert_eq!(signal.at(at("2026-04-30T23:59:59Z")), None);
        assert_eq!(signal.at(at("2026-05-01T00:59:59Z")).map(|s| s.value), Some(100.0));
        assert_eq!(signal.at(at("2026-05-01T01:00:00Z")).map(|s| s.value), Some(300.0));
        assert_eq!(signal.at(at("2026-05-01T02:00:00Z")), None);
    }

    #[test]
    fn an_integral_weighs_each_step_with_its_time() {
        let signal = two_hours();
        let integral = signal.integrate(at("2026-05-01T00:30:00Z"), at("2026-05-01T01:15:00Z")).expect("inside");
        assert!((integral - (50.0 + 75.0)).abs() < 1e-9, "{integral}");
        assert_eq!(signal.integrate(at("2026-05-01T01:30:00Z"), at("2026-05-01T02:30:00Z")), None);
    }

    #[test]
    fn steps_out_of_order_are_no_signal() {
        let mut steps = two_hours().steps().to_vec();
        steps.swap(0, 1);
        assert_eq!(Signal::new(steps, at("2026-05-01T02:00:00Z")), None);
        assert_eq!(Signal::new(Vec::new(), at("2026-05-01T02:00:00Z")), None);
    }
}
