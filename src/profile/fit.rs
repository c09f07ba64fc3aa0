//! A curve through measured levels: power and time against the clock. It smooths nothing and replaces nothing: the measured
//! levels are the profile; the curve shows whether they hang together, and by how much they do not.
//!
//! With x = f / fmax, fmax the profile's highest clock:
//!
//! - power: `P(x) = base + slope x + bend max(0, x - knee)^exponent`, the exponent between 2 and 3. Up to the knee the voltage
//!   is at its lowest and power grows with the clock alone; above it the voltage rises too. The form is that of NHR@FAU's
//!   measurements on A40, A100 and H100 (a linear part, and a steeper one above a transition frequency).
//! - time of a piece of work: `T(x) / T(1) = core / x + memory`: what waits for the core takes longer as the clock falls, what
//!   waits for memory does not (Abe et al., "Power and performance characterization and modeling of GPU-accelerated systems",
//!   IPDPS 2014, and many since).
//!
//! No part of either may be negative. Both are fitted by least squares of the relative errors: a linear problem once knee and
//! exponent are given, and those are tried out on a grid.

use super::Level;

/// The knee's grid: so many places between the lowest and the highest clock.
const KNEES: u32 = 120;
/// The exponent's grid: 2 to 3 in tenths.
const EXPONENTS: std::ops::RangeInclusive<u32> = 20..=30;
/// Below this many levels the bent curve, with its five parameters, would go through any points: power is a line then.
const LEAST_LEVELS_TO_BEND: usize = 6;

/// Power and time against x = clock / highest clock, and how far the levels are from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// The highest clock, at which x is 1, in MHz.
    pub top_mhz: u32,
    /// Power at clock 0, in watts.
    pub base_w: f64,
    /// Watts that grow with x.
    pub slope_w: f64,
    /// Watts of the bent part, per (x - knee)^exponent; 0 where the levels are too few or show none.
    pub bend_w: f64,
    /// Where the bend begins, 0..1.
    pub knee: f64,
    /// 2..=3.
    pub exponent: f64,
    /// The part of the time at full clock that waits for the core.
    pub core: f64,
    /// The part that does not.
    pub memory: f64,
    /// The largest relative error of the power, 0..
    pub power_error: f64,
    /// The largest relative error of the time, 0..
    pub time_error: f64,
}

impl Fit {
    /// Fits the curve to levels, rising; `None` for fewer than two.
    #[must_use]
    pub fn of(levels: &[Level]) -> Option<Self> {
        let top_mhz = levels.last()?.clock_mhz;
        if levels.len() < 2 {
            return None;
        }
        let x: Vec<f64> = levels.iter().map(|level| f64::from(level.clock_mhz) / f64::from(top_mhz)).collect();
        let watts: Vec<f64> = levels.iter().map(|level| level.watts).collect();
        let times: Vec<f64> = levels.iter().map(|level| 1.0 / level.speed).collect();

        let [core, memory, _] = least_squares(&rows(&x, |x| [1.0 / x, 1.0, 0.0]), &times, 2);
        let mut fit = Self {
            top_mhz,
            base_w: 0.0,
            slope_w: 0.0,
            bend_w: 0.0,
            knee: 1.0,
            exponent: 2.0,
            core,
            memory,
            power_error: 0.0,
            time_error: 0.0,
        };
        let mut best = f64::INFINITY;
        let mut consider = |knee: f64, exponent: f64, columns: usize| {
            let rows = rows(&x, |x| [1.0, x, (x - knee).max(0.0).powf(exponent)]);
            let [base_w, slope_w, bend_w] = least_squares(&rows, &watts, columns);
            let tried = Self { base_w, slope_w, bend_w, knee, exponent, ..fit };
            let squares = x.iter().zip(&watts).map(|(&x, &w)| relative(tried.watts_at(x), w).powi(2)).sum::<f64>();
            if squares < best {
                (best, fit) = (squares, tried);
            }
        };
        consider(1.0, 2.0, 2);
        if levels.len() >= LEAST_LEVELS_TO_BEND {
            let (low, high) = (x[0], 1.0);
            for step in 0..KNEES {
                let knee = low + (high - low) * f64::from(step) / f64::from(KNEES);
                for tenths in EXPONENTS {
                    consider(knee, f64::from(tenths) / 10.0, 3);
                }
            }
        }
        let worst = |errors: &mut dyn Iterator<Item = f64>| errors.fold(0.0, |worst, error: f64| error.abs().max(worst));
        fit.power_error = worst(&mut x.iter().zip(&watts).map(|(&x, &w)| relative(fit.watts_at(x), w)));
        fit.time_error = worst(&mut x.iter().zip(&times).map(|(&x, &t)| relative(fit.core / x + fit.memory, t)));
        Some(fit)
    }

    /// Power at a clock, in watts.
    #[must_use]
    pub fn watts(&self, clock_mhz: f64) -> f64 {
        self.watts_at(clock_mhz / f64::from(self.top_mhz))
    }

    /// Speed at a clock, relative to full clock.
    #[must_use]
    pub fn speed(&self, clock_mhz: f64) -> f64 {
        let time = self.core / (clock_mhz / f64::from(self.top_mhz)) + self.memory;
        (self.core + self.memory) / time
    }

    fn watts_at(&self, x: f64) -> f64 {
        self.base_w + self.slope_w * x + self.bend_w * (x - self.knee).max(0.0).powf(self.exponent)
    }
}

/// The curve as a person reads it, with its largest errors.
impl std::fmt::Display for Fit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { top_mhz, base_w, slope_w, bend_w, knee, exponent, core, memory, .. } = self;
        write!(f, "watts = {base_w:.1} + {slope_w:.1} x")?;
        if *bend_w > 0.0 {
            write!(f, " + {bend_w:.1} max(0, x - {knee:.3})^{exponent:.1}")?;
        }
        write!(f, ", time = {core:.3} / x + {memory:.3}, x = clock / {top_mhz} MHz; ")?;
        write!(f, "off by {:.1} % of power and {:.1} % of time at most", self.power_error * 1e2, self.time_error * 1e2)
    }
}

fn relative(fitted: f64, measured: f64) -> f64 {
    fitted / measured - 1.0
}

fn rows(x: &[f64], row: impl Fn(f64) -> [f64; 3]) -> Vec<[f64; 3]> {
    x.iter().map(|&x| row(x)).collect()
}

/// The factors, none negative, of the first `columns` columns with the least sum of squared relative errors. With so few
/// columns the best of all their subsets is soon found: the optimum is the unbounded one of the columns that it uses.
fn least_squares(rows: &[[f64; 3]], values: &[f64], columns: usize) -> [f64; 3] {
    let mut best = ([0.0; 3], f64::INFINITY);
    for subset in 1_u32..1 << columns {
        let used: Vec<usize> = (0..columns).filter(|&column| subset >> column & 1 == 1).collect();
        let Some(factors) = normal_equations(rows, values, &used) else { continue };
        if factors.iter().any(|&factor| factor < 0.0) {
            continue;
        }
        let fitted = |row: &[f64; 3]| row.iter().zip(&factors).map(|(a, b)| a * b).sum::<f64>();
        let squares = rows.iter().zip(values).map(|(row, &value)| relative(fitted(row), value).powi(2)).sum::<f64>();
        if squares < best.1 {
            best = (factors, squares);
        }
    }
    best.0
}

/// Solves for the used columns, by elimination with pivots; `None` where the points do not determine them.
fn normal_equations(rows: &[[f64; 3]], values: &[f64], used: &[usize]) -> Option<[f64; 3]> {
    let n = used.len();
    // Every row over its value: the errors are relative ones, and every right side is 1.
    let scaled: Vec<Vec<f64>> =
        rows.iter().zip(values).map(|(row, value)| used.iter().map(|&column| row[column] / value).collect()).collect();
    let mut matrix: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let product = |j: usize| scaled.iter().map(|row| row[i] * row[j]).sum::<f64>();
            (0..n).map(product).chain([scaled.iter().map(|row| row[i]).sum()]).collect()
        })
        .collect();
    let largest = matrix.iter().flat_map(|row| &row[..n]).fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| matrix[a][i].abs().total_cmp(&matrix[b][i].abs()))?;
        matrix.swap(i, pivot);
        if matrix[i][i].abs() <= largest * 1e-13 {
            return None;
        }
        for other in 0..n {
            if other != i {
                let factor = matrix[other][i] / matrix[i][i];
                let row = matrix[i].clone();
                matrix[other].iter_mut().zip(row).for_each(|(value, pivot)| *value -= factor * pivot);
            }
        }
    }
    let mut factors = [0.0; 3];
    for (i, &column) in used.iter().enumerate() {
        factors[column] = matrix[i][n] / matrix[i][i];
    }
    Some(factors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(clock_mhz: u32, watts: f64, speed: f64) -> Level {
        Level { clock_mhz, watts, speed, latency_ms: None }
    }

    fn of_curve(clocks: &[u32], watts: impl Fn(f64) -> f64, time: impl Fn(f64) -> f64) -> Vec<Level> {
        let top = f64::from(*clocks.last().expect("a clock"));
        clocks.iter().map(|&mhz| level(mhz, watts(f64::from(mhz) / top), time(1.0) / time(f64::from(mhz) / top))).collect()
    }

    const CLOCKS: [u32; 8] = [1000, 1140, 1290, 1430, 1570, 1710, 1860, 2000];

    #[test]
    fn a_curve_of_the_very_form_is_recovered() {
        let levels = of_curve(&CLOCKS, |x| 60.0 + 110.0 * x + 500.0 * (x - 0.7).max(0.0).powf(2.4), |x| 0.6 / x + 0.4);
        let fit = Fit::of(&levels).expect("a fit");
        assert!((fit.core - 0.6).abs() < 1e-9 && (fit.memory - 0.4).abs() < 1e-9, "{fit}");
        assert!((fit.base_w - 60.0).abs() < 1.0 && (fit.slope_w - 110.0).abs() < 2.0, "{fit}");
        assert!((fit.knee - 0.7).abs() < 0.02 && (fit.exponent - 2.4).abs() < 0.21, "{fit}");
        assert!(fit.power_error < 1e-3 && fit.time_error < 1e-9, "{fit}");
        for (level, between) in levels.iter().zip([1070, 1200, 1350, 1500, 1640, 1780, 1930, 1990]) {
            assert!((fit.speed(f64::from(level.clock_mhz)) - level.speed).abs() < 1e-9);
            let x = f64::from(between) / 2000.0;
            let truth = 60.0 + 110.0 * x + 500.0 * (x - 0.7).max(0.0).powf(2.4);
            assert!((fit.watts(f64::from(between)) / truth - 1.0).abs() < 2e-3, "{between} MHz: {fit}");
        }
    }

    #[test]
    fn the_error_shown_is_that_of_the_level_farthest_off() {
        let mut levels = of_curve(&CLOCKS, |x| 50.0 + 200.0 * x, |x| 1.0 / x);
        let straight = Fit::of(&levels).expect("a fit");
        assert!(straight.power_error < 1e-9 && straight.memory.abs() < 1e-9, "{straight}");
        levels[3].speed *= 0.9;
        let fit = Fit::of(&levels).expect("a fit");
        let off = |level: &Level| (fit.core * 2000.0 / f64::from(level.clock_mhz) + fit.memory) * level.speed - 1.0;
        let worst = levels.iter().map(|level| off(level).abs()).fold(0.0, f64::max);
        assert!((fit.time_error - worst).abs() < 1e-12 && worst > 0.05, "{fit}");
    }

    #[test]
    fn no_part_is_negative_whatever_was_measured() {
        // Faster as the clock falls, and thirstier: nonsense, but measured nonsense.
        let levels: Vec<Level> = CLOCKS.iter().map(|&mhz| level(mhz, 4e5 / f64::from(mhz), 1.0)).collect();
        let fit = Fit::of(&levels).expect("a fit");
        assert!([fit.base_w, fit.slope_w, fit.bend_w, fit.core, fit.memory].iter().all(|&part| part >= 0.0), "{fit:?}");
        assert!(fit.power_error > 0.2, "{fit}");
        assert!((fit.memory - 1.0).abs() < 1e-9 && fit.core == 0.0, "{fit}");
    }

    #[test]
    fn few_levels_give_a_line_and_one_gives_nothing() {
        assert_eq!(Fit::of(&[]), None);
        assert_eq!(Fit::of(&[level(2000, 300.0, 1.0)]), None);
        let fit = Fit::of(&[level(1000, 200.0, 0.6), level(2000, 300.0, 1.0)]).expect("a fit");
        assert_eq!(fit.bend_w, 0.0);
        assert!(fit.power_error < 1e-9 && fit.time_error < 1e-9, "{fit}");
        assert!(!fit.to_string().contains("max(0"), "{fit}");
    }
}
