//! `--array`: how many tasks, and how many of them at once.

/// No array has more tasks: what stands there else is no number to count with.
pub(super) const MOST: u64 = 10_000_000;

/// An array's tasks, or those of it that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tasks {
    /// All of them; at least 1.
    pub count: u64,
    /// The most tasks that run at the same time (`%4`); `None`: no limit.
    pub throttle: Option<u64>,
}

impl Tasks {
    /// Reads `--array`: `0-9%1`, `1,3-9:2,20%4`. What is no range counts for nothing; sbatch refuses it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (list, throttle) = text.split_once('%').unwrap_or((text, ""));
        let count = |range: &str| -> Option<u64> {
            let (range, step) = range.split_once(':').unwrap_or((range, "1"));
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let (from, to, step) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?, step.parse::<u64>().ok()?);
            Some(to.checked_sub(from)?.checked_div(step)?.saturating_add(1).min(MOST))
        };
        let count = list.split(',').filter_map(count).fold(0, u64::saturating_add).clamp(1, MOST);
        let digits = throttle.find(|c: char| !c.is_ascii_digit()).map_or(throttle, |end| &throttle[..end]);
        // `%0` bounds nothing.
        Self { count, throttle: digits.parse().ok().filter(|&most| most > 0) }
    }

    /// The tasks that run at once, where there is room.
    #[must_use]
    pub fn at_once(self) -> u64 {
        self.throttle.map_or(self.count, |throttle| throttle.min(self.count))
    }

    /// So many tasks run one behind the other: `ceil(count / throttle)`.
    #[must_use]
    pub fn rounds(self) -> u64 {
        self.count.div_ceil(self.at_once().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn throttled_tasks_run_in_rounds() {
        for (text, count, at_once, rounds) in [
            ("7", 1, 1, 1),
            ("0-9", 10, 10, 1),
            ("0-9%1", 10, 1, 10),
            ("0-9%4", 10, 4, 3),
            ("1,3-9:2,20%4", 6, 4, 2),
            ("0-9%20", 10, 10, 1),
            ("0-9%0", 10, 10, 1),
            ("1-3,...%2]", 3, 2, 2), // squeue cuts long lists
            ("nonsense", 1, 1, 1),
        ] {
            let tasks = Tasks::parse(text);
            assert_eq!((tasks.count, tasks.at_once(), tasks.rounds()), (count, at_once, rounds), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_rounds_for_all_its_tasks(text in "[0-9,:%-]{0,30}|\\PC{0,20}") {
            let tasks = Tasks::parse(&text);
            prop_assert!(tasks.rounds() * tasks.at_once() >= tasks.count && tasks.at_once() >= 1);
        }
    }
}
