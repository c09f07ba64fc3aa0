//! A profile as the text of its file: what [`Profile::parse`] reads back is the same profile. Remarks go with it as comments.

use std::fmt::Write;

use super::Profile;
use crate::text::legible;

/// What a profile's file says to people beside its figures.
#[derive(Debug, Clone, Default)]
pub struct Remarks {
    /// Lines at the top of the file.
    pub head: Vec<String>,
    /// A line above each level, in the order of the levels; one that is empty or missing is left out.
    pub levels: Vec<String>,
}

impl Profile {
    /// The profile's file. No remark can become anything but a comment.
    #[must_use]
    pub fn to_toml(&self, remarks: &Remarks) -> String {
        let mut text: String = remarks.head.iter().map(|line| comment(line)).collect();
        let mut put = |key: &str, value: toml::Value| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        };
        put("name", self.name.as_str().into());
        for (key, value) in [("gpu", &self.gpu), ("model", &self.model)] {
            if let Some(value) = value {
                put(key, value.as_str().into());
            }
        }
        put("source", self.source.as_str().into());
        put("measured", self.measured.into());
        put("default_workers", i64::from(self.default_workers).into());
        if let Some(throughput) = self.throughput {
            put("throughput", throughput.into());
        }
        for (index, level) in self.levels.iter().enumerate() {
            text.push('\n');
            text.extend(remarks.levels.get(index).filter(|line| !line.is_empty()).map(|line| comment(line)));
            let _ = writeln!(text, "[[level]]\nclock_mhz = {}", level.clock_mhz);
            let _ = writeln!(text, "watts = {:?}\nspeed = {:?}", level.watts, level.speed);
            if let Some(latency_ms) = level.latency_ms {
                let _ = writeln!(text, "latency_ms = {latency_ms:?}");
            }
        }
        if !self.scaling.is_empty() {
            text.push_str("\n[scaling]\n");
            for (count, throughput) in &self.scaling {
                let _ = writeln!(text, "{count} = {throughput:?}");
            }
        }
        text
    }
}

fn comment(line: &str) -> String {
    format!("# {}\n", legible(line.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::profile::generic;

    #[test]
    fn what_is_written_reads_back_as_the_same_profile() {
        let mut hostile = generic();
        hostile.gpu = Some("rtx\"4090\"".into());
        hostile.model = Some("NVIDIA \\ \u{e9}\u{1b}[2J".into());
        hostile.source = "two\nlines, ''' and \"\"\"".into();
        hostile.measured = true;
        hostile.throughput = Some(1.25);
        hostile.levels[0].latency_ms = Some(12.5);
        hostile.scaling = [(1, 1.0), (2, 1.93)].into();
        let remarks = Remarks {
            head: vec!["name = \"another\"\nname = \"x\"".into(), String::new()],
            levels: vec!["[[level]]\r\nclock_mhz = 1".into()],
        };
        for profile in [generic(), hostile] {
            for remarks in [&Remarks::default(), &remarks] {
                let text = profile.to_toml(remarks);
                assert_eq!(Profile::parse(&text, Path::new("p.toml")).expect(&text), profile);
            }
        }
    }
}
