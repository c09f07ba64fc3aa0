//! `--set key=value`: one scenario, some of its keys otherwise, for sweeps. Lines named in faults are then those of the rewritten text.

use std::path::Path;
use std::str::FromStr;

use super::ScenarioError;

/// One key path and its new value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    text: String,
    key: Vec<String>,
    value: toml::Value,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("no '='; give KEY=VALUE, such as planner.host_watts=0")?;
        let key: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
        if key.iter().any(String::is_empty) {
            return Err("an empty key; give KEY=VALUE, such as planner.host_watts=0".to_owned());
        }
        let value = value.trim();
        let read: Option<toml::Table> = format!("v = {value}").parse().ok();
        // A bare word is a string.
        let value = read.and_then(|mut table| table.remove("v")).unwrap_or_else(|| toml::Value::String(value.to_owned()));
        Ok(Self { text: text.to_owned(), key, value })
    }
}

/// The text with the settings put in.
pub(super) fn apply(text: String, settings: &[Setting], path: &Path) -> Result<String, ScenarioError> {
    if settings.is_empty() {
        return Ok(text);
    }
    // Faults of the file itself are told by its own lines.
    carm::located::Located::parse(&text, path)?;
    let wrong =
        |setting: &Setting, cause: &str| ScenarioError::Setting { setting: setting.text.clone(), cause: cause.to_owned() };
    let mut root: toml::Value = match text.parse::<toml::Table>() {
        Ok(table) => toml::Value::Table(table),
        Err(_) => return Ok(text),
    };
    for setting in settings {
        let mut at = &mut root;
        let Some((last, way)) = setting.key.split_last() else { continue };
        for part in way {
            at = match at {
                toml::Value::Table(table) => table.entry(part.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new())),
                toml::Value::Array(array) => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| array.get_mut(index))
                    .ok_or_else(|| wrong(setting, "no such entry; give its number from 0, such as site.0.gpus=8"))?,
                _ => return Err(wrong(setting, "the key leads into a value that is no table")),
            };
        }
        match at {
            toml::Value::Table(table) => {
                table.insert(last.clone(), setting.value.clone());
            }
            _ => return Err(wrong(setting, "the key leads into a value that is no table; lists are counted from 0")),
        }
    }
    toml::to_string(&root).map_err(|error| ScenarioError::Setting { setting: String::new(), cause: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_reaches_tables_and_entries_of_lists_and_a_bare_word_is_a_string() {
        let text = "seed = 1\n[planner]\npue = 1.2\n[[site]]\ngpus = 4\n".to_owned();
        let settings: Vec<Setting> =
            ["planner.pue=1.5", "site.0.gpus=8", "forecast.kind=carm"].iter().map(|s| s.parse().expect("a setting")).collect();
        let changed: toml::Table = apply(text, &settings, Path::new("s.toml")).expect("applied").parse().expect("TOML");
        assert_eq!(changed["planner"]["pue"].as_float(), Some(1.5));
        assert_eq!(changed["site"][0]["gpus"].as_integer(), Some(8));
        assert_eq!(changed["forecast"]["kind"].as_str(), Some("carm"));
    }

    #[test]
    fn a_setting_that_leads_nowhere_is_refused() {
        let settings = ["site.3.gpus=8".parse().expect("a setting")];
        let error = apply("[[site]]\ngpus = 4\n".to_owned(), &settings, Path::new("s.toml")).expect_err("no such site");
        assert_eq!(error.to_string(), "--set: 'site.3.gpus=8': no such entry; give its number from 0, such as site.0.gpus=8");
        assert!("planner".parse::<Setting>().is_err());
    }
}
