//! The simple models: what each says of the cells to come, seen from an origin. None sees a cell at or past its origin.

use crate::grid::Quantity;

/// How many there are.
pub(super) const COUNT: usize = 14;
/// The model that is used where the past is too short to score any: seven days, scaled.
pub(super) const UNSCORED: usize = 5;

/// The past as the models see it: cells, and the kind of day of each, also of those to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past<'a> {
    pub y: &'a [f64],
    pub kinds: &'a [u8],
    pub per_hour: usize,
    pub quantity: Quantity,
}

/// What is seen from an origin, the first cell that is not known: by time of day, and the ratios of the last hours.
#[derive(Debug, Default)]
pub(super) struct View {
    origin: usize,
    seven: Vec<f64>,
    month: Vec<f64>,
    /// The highest of four weeks: what a clear sky gives. Zero where it is always dark.
    envelope: Vec<f64>,
    kinds: [Vec<f64>; 3],
    ratio_yesterday: f64,
    ratio_seven: f64,
    ratio_kind: f64,
    ratio_kind_last: f64,
    ratio_month_last: f64,
    clear: f64,
    clear_last: f64,
}

impl Past<'_> {
    fn per_day(&self) -> usize {
        24 * self.per_hour
    }

    /// The latest known cell that lies whole periods before `cell`; none where the past does not reach so far.
    fn back(&self, cell: usize, origin: usize, period: usize) -> Option<usize> {
        if cell < origin { Some(cell) } else { cell.checked_sub(((cell - origin) / period + 1) * period) }
    }

    /// Known values at the same time of day, latest first.
    fn same_time(&self, cell: usize, origin: usize) -> impl Iterator<Item = usize> {
        let day = self.per_day();
        let first = if cell < origin { cell.checked_sub(day) } else { self.back(cell, origin, day) };
        std::iter::successors(first, move |&cell| cell.checked_sub(day))
    }

    /// The mean of up to five earlier days of the same kind (three of a weekend's), without the least and the greatest.
    fn of_kind(&self, cell: usize, kind: u8, origin: usize) -> Option<f64> {
        let days = if kind == 0 { 5 } else { 3 };
        let four_weeks = 28 * self.per_day();
        let alike = self.same_time(cell, origin).take_while(|&at| cell - at <= four_weeks + self.per_day() * 7);
        trimmed(alike.filter(|&at| self.kinds[at] == kind).take(days).map(|at| self.y[at]))
    }

    /// Fills a view from an origin of a day at least.
    pub fn look(&self, origin: usize, view: &mut View) {
        let day = self.per_day();
        view.origin = origin;
        let clear = |list: &mut Vec<f64>| {
            list.clear();
            list.resize(day, 0.0);
        };
        [&mut view.seven, &mut view.month, &mut view.envelope].into_iter().for_each(clear);
        view.kinds.iter_mut().for_each(clear);
        for cell in origin..origin + day {
            let of_day = cell % day;
            view.seven[of_day] = trimmed(self.same_time(cell, origin).take(7).map(|at| self.y[at])).unwrap_or(0.0);
            let (mut sum, mut most, mut count) = (0.0, 0.0_f64, 0.0);
            for at in self.same_time(cell, origin).take(28) {
                sum += self.y[at];
                most = most.max(self.y[at]);
                count += 1.0;
            }
            view.month[of_day] = sum / f64::max(count, 1.0);
            view.envelope[of_day] = most;
            for kind in 0..3_u8 {
                let mean = self.of_kind(cell, kind, origin);
                view.kinds[usize::from(kind)][of_day] = mean.unwrap_or(view.seven[of_day]);
            }
        }
        let last = |hours: usize| origin.saturating_sub(hours * self.per_hour)..origin;
        let seen = |hours: usize| last(hours).map(|cell| self.y[cell]).sum::<f64>();
        let ratio = |hours: usize, model: &dyn Fn(usize) -> f64| {
            let said: f64 = last(hours).map(model).sum();
            // Where the model says next to nothing, as at night, a ratio tells nothing.
            let usual = view.month.iter().sum::<f64>() / day as f64 * (hours * self.per_hour) as f64;
            if said > usual * 0.02 && said > 0.0 { (seen(hours) / said).clamp(0.2, 5.0) } else { 1.0 }
        };
        let before = |cell: usize| self.same_time(cell, origin).next().map_or(self.y[cell], |at| self.y[at]);
        let alike = |cell: usize| self.of_kind(cell, self.kinds[cell], cell).unwrap_or_else(|| before(cell));
        view.ratio_yesterday = ratio(3, &before);
        view.ratio_seven = ratio(3, &|cell| view.seven[cell % day]);
        view.ratio_kind = ratio(3, &alike);
        view.ratio_kind_last = ratio(1, &alike);
        view.ratio_month_last = ratio(1, &|cell| view.month[cell % day]);
        let top: f64 = view.envelope.iter().sum();
        view.clear = if top > 0.0 { view.month.iter().sum::<f64>() / top } else { 1.0 };
        let (light, bright) =
            last(3).fold((0.0, 0.0), |(light, bright), cell| (light + self.y[cell], bright + view.envelope[cell % day]));
        let enough = bright > 0.05 * top / day as f64 * (3 * self.per_hour) as f64;
        view.clear_last = if enough { light / bright } else { view.clear };
    }
}

impl View {
    /// What the models say of the cell at `origin + ahead`: the last value, yesterday, a week ago, seven days, days of the same kind, four
    /// weeks; some also scaled by the ratio of the last hours (three, or one: `last`) to what the model says of them. `fade` is the part of the last hours' ratios that is left, by factor:
    /// of 0.8, 0.9, 0.95, 0.97, 0.98.
    pub fn say(&self, past: &Past, ahead: usize, fade: &[f64; 5]) -> [f64; COUNT] {
        let (day, cell) = (past.per_day(), self.origin + ahead);
        let of_day = cell % day;
        let seven = self.seven[of_day];
        let at = |period: usize| past.back(cell, self.origin, period).map(|at| past.y[at]);
        let yesterday = at(day).unwrap_or(seven);
        let kind = self.kinds[usize::from(past.kinds[cell])][of_day];
        let month = self.month[of_day];
        let scaled = |value: f64, ratio: f64, left: f64| value * (1.0 + (ratio - 1.0) * left);
        let [f80, f90, f95, f97, f98] = *fade;
        [
            past.y[self.origin - 1],
            yesterday,
            scaled(yesterday, self.ratio_yesterday, f95),
            at(7 * day).unwrap_or(seven),
            seven,
            scaled(seven, self.ratio_seven, f95),
            scaled(seven, self.ratio_seven, f98),
            scaled(seven, self.ratio_seven, f80),
            kind,
            scaled(kind, self.ratio_kind, f90),
            scaled(kind, self.ratio_kind, f97),
            scaled(kind, self.ratio_kind_last, f95),
            month,
            match past.quantity {
                Quantity::OnsiteW => self.envelope[of_day] * (self.clear + (self.clear_last - self.clear) * f90),
                _ => scaled(month, self.ratio_month_last, f98),
            },
        ]
    }

    /// What is the measure of a miss at a cell: the forecast itself, a clear sky's power, or one.
    pub fn unit(&self, past: &Past, ahead: usize, value: f64) -> f64 {
        let day = past.per_day();
        match past.quantity {
            // A tenth of the usual: near zero, a ratio would tell nothing.
            Quantity::CarbonGPerKwh => value.max(self.usual() * 0.1),
            Quantity::RenewableShare => 1.0,
            Quantity::OnsiteW => self.envelope[(self.origin + ahead) % day],
        }
    }

    fn usual(&self) -> f64 {
        self.month.iter().sum::<f64>() / self.month.len().max(1) as f64
    }

    /// Whether a cell's time of day has seen nothing but zero for four weeks: night, of on-site solar power.
    pub fn is_dark(&self, past: &Past, ahead: usize) -> bool {
        self.envelope[(self.origin + ahead) % past.per_day()] <= 0.0
    }
}

/// What is left of a ratio so many hours ahead.
pub(super) fn fade(hours: f64) -> [f64; 5] {
    [0.8_f64, 0.9, 0.95, 0.97, 0.98].map(|factor| factor.powf(hours + 1.0))
}

/// The mean, of five values and more without the least and the greatest: one odd day does not count.
fn trimmed(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut least, mut most, mut count) = (0.0, f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for value in values {
        sum += value;
        least = least.min(value);
        most = most.max(value);
        count += 1.0;
    }
    match count {
        0.0 => None,
        count if count < 5.0 => Some(sum / count),
        // Rounding must not leave less than nothing of what is never negative.
        count => Some(((sum - least - most) / (count - 2.0)).clamp(least, most)),
    }
}
