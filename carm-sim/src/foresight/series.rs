//! A site's outlook by hours after the episode's begin, with running sums: what the baselines look at.

use carm::site::Outlook;

use crate::world::World;

/// Steps of grid intensity and on-site power.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Where steps begin, h, and at last where they end.
    borders_h: Vec<f64>,
    /// Grid intensity, g/kWh.
    g_per_kwh: Vec<f64>,
    /// The sum of intensity x hours before each border.
    before: Vec<f64>,
    /// On-site power, W.
    onsite_w: Vec<f64>,
}

impl Series {
    pub(super) fn of(outlook: &Outlook, world: &World) -> Self {
        let from = outlook.intensity.start().max(world.start);
        let spans = outlook.spans_between(from, outlook.intensity.end(), 1.0);
        let mut borders_h: Vec<f64> = spans.iter().map(|span| world.hour(span.from)).collect();
        borders_h.push(world.hour(outlook.intensity.end()));
        let g_per_kwh: Vec<f64> = spans.iter().map(|span| span.g_per_kwh).collect();
        let onsite_w = spans.iter().map(|span| span.onsite_w).collect();
        let mut before = vec![0.0];
        for (i, g) in g_per_kwh.iter().enumerate() {
            before.push(before[i] + g * (borders_h[i + 1] - borders_h[i]));
        }
        Self { borders_h, g_per_kwh, before, onsite_w }
    }

    fn step(&self, at_h: f64) -> usize {
        self.borders_h.partition_point(|&border| border <= at_h).clamp(1, self.g_per_kwh.len()) - 1
    }

    /// Grid intensity at an instant, g/kWh; outside the steps the nearest.
    #[must_use]
    pub fn g_per_kwh(&self, at_h: f64) -> f64 {
        self.g_per_kwh[self.step(at_h)]
    }

    /// On-site power at an instant, W.
    #[must_use]
    pub fn onsite_w(&self, at_h: f64) -> f64 {
        self.onsite_w[self.step(at_h)]
    }

    /// Intensity x hours over a span.
    #[must_use]
    pub fn integral(&self, from_h: f64, to_h: f64) -> f64 {
        self.until(to_h) - self.until(from_h)
    }

    fn until(&self, at_h: f64) -> f64 {
        let step = self.step(at_h);
        self.before[step] + self.g_per_kwh[step] * (at_h - self.borders_h[step])
    }

    /// The steps' borders within a span, its begin first and its end left out.
    pub fn borders(&self, from_h: f64, to_h: f64) -> impl Iterator<Item = f64> + '_ {
        let first = self.borders_h.partition_point(|&border| border <= from_h);
        std::iter::once(from_h).chain(self.borders_h[first..].iter().copied().take_while(move |&border| border < to_h))
    }

    /// The steps within a span: begin, end, intensity.
    pub fn steps(&self, from_h: f64, to_h: f64) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        let (first, last) = (self.step(from_h), self.borders_h.partition_point(|&border| border < to_h));
        (first..last.min(self.g_per_kwh.len()))
            .map(move |i| (self.borders_h[i].max(from_h), self.borders_h[i + 1].min(to_h), self.g_per_kwh[i]))
    }

    /// Where the steps end, h.
    #[must_use]
    pub fn end_h(&self) -> f64 {
        self.borders_h[self.borders_h.len() - 1]
    }
}
