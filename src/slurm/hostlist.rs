//! Slurm's lists of names: `wind[1-3,7],solar1`, also used for device files (`/dev/nvidia[0-3]`).

/// More names than any node or cluster list has; a bound for hostile text.
const MOST: usize = 65_536;
/// And more text than they have: long names many times over are as hostile as many names.
const MOST_BYTES: usize = 4 << 20;

/// The names of a list, in order; ranges keep their leading zeros. `None`: not a list, or too long.
#[must_use]
pub fn expand(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for part in split_outside_brackets(list)? {
        let mut heads = vec![String::new()];
        let mut rest = part;
        while let Some(open) = rest.find('[') {
            let close = open + rest[open..].find(']')?;
            let (literal, ranges) = (&rest[..open], &rest[open + 1..close]);
            let numbers = expand_ranges(ranges)?;
            let count = heads.len().checked_mul(numbers.len())?;
            let longest = heads.iter().map(String::len).max().unwrap_or(0) + rest.len();
            if count > MOST || count.checked_mul(longest)? > MOST_BYTES {
                return None;
            }
            heads = heads.iter().flat_map(|head| numbers.iter().map(move |n| format!("{head}{literal}{n}"))).collect();
            rest = &rest[close + 1..];
        }
        if rest.contains(']') || part.is_empty() {
            return None;
        }
        names.extend(heads.into_iter().map(|head| head + rest));
        if names.len() > MOST {
            return None;
        }
    }
    Some(names)
}

fn split_outside_brackets(list: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_i32, 0);
    for (at, c) in list.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        if !(0..=1).contains(&depth) {
            return None;
        }
    }
    parts.push(&list[from..]);
    (depth == 0).then_some(parts)
}

fn expand_ranges(ranges: &str) -> Option<Vec<String>> {
    let mut numbers = Vec::new();
    for range in ranges.split(',') {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let width = low.len();
        let digits = |text: &str| if (1..=9).contains(&text.len()) { text.parse::<u32>().ok() } else { None };
        let (low, high) = (digits(low)?, digits(high)?);
        // Each range of a hostile list may be short enough, and all of them together fill the memory.
        if low > high || (high - low) as usize >= MOST - numbers.len() {
            return None;
        }
        numbers.extend((low..=high).map(|n| format!("{n:0width$}")));
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_and_ranges_are_expanded_in_order() {
        assert_eq!(expand("a").expect("one"), ["a"]);
        assert_eq!(expand("wind[1-2,7],sun").expect("ranges"), ["wind1", "wind2", "wind7", "sun"]);
        assert_eq!(expand("n[08-10]").expect("zeros"), ["n08", "n09", "n10"]);
        assert_eq!(expand("/dev/nvidia[0-1]").expect("files"), ["/dev/nvidia0", "/dev/nvidia1"]);
        assert_eq!(expand("r[1-2]n[1-2]").expect("two"), ["r1n1", "r1n2", "r2n1", "r2n2"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["", "a,", "a[", "a]", "a[1", "a[]", "a[2-1]", "a[x]", "a[[1]]", "a[0-999999999]", "a[0-60000]b[0-60000]"] {
            assert_eq!(expand(bad), None, "{bad}");
        }
    }

    #[test]
    fn many_ranges_in_one_bracket_are_bounded_together() {
        assert_eq!(expand("a[0-65535]").map(|names| names.len()), Some(MOST));
        assert_eq!(expand("a[0-65535,0]"), None);
        let long = vec!["0-65535"; 10_000].join(",");
        assert_eq!(expand(&format!("a[{long}]")), None, "refused before it is expanded");
        let wide = format!("a[0-9]{}", format!("{}[0-1]", "x".repeat(200)).repeat(12));
        assert_eq!(expand(&wide), None, "40,960 names of 2,500 letters");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9,\\[\\]-]{0,30}") {
            let _ = expand(&text);
        }
    }
}
