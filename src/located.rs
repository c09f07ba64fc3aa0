//! TOML whose faults name file, line and key: what the configuration and the profiles are read with.
//!
//! serde names unknown keys and wrong types; values that are well-typed but wrong are refused afterwards by path
//! (`site[1].zone`), and the line is looked up here.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::text::{parser_message, printable};

/// A fault in a TOML file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {cause}", path.display())]
pub struct TomlError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong; for a checked value: key, value, cause and way out.
    pub cause: String,
}

/// A TOML text that knows where each of its keys stands.
pub struct Located<'a> {
    path: &'a Path,
    text: &'a str,
    table: toml::Spanned<DeTable<'a>>,
}

impl<'a> Located<'a> {
    /// Reads the text as TOML.
    ///
    /// # Errors
    /// It is not TOML.
    pub fn parse(text: &'a str, path: &'a Path) -> Result<Self, TomlError> {
        let table = DeTable::parse(text).map_err(|error| from_toml(&error, text, path))?;
        Ok(Self { path, text, table })
    }

    /// Reads the text into a type.
    ///
    /// # Errors
    /// An unknown or missing key, or a value of the wrong type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, TomlError> {
        toml::from_str(self.text).map_err(|error| from_toml(&error, self.text, self.path))
    }

    /// A fault in the value at a key path such as `site[1].zone`.
    #[must_use]
    pub fn refuse(&self, key: &str, value: impl fmt::Display, cause: impl fmt::Display) -> TomlError {
        let cause = parser_message(&format!("{key}: '{}': {cause}", printable(&value.to_string())));
        TomlError { path: self.path.to_owned(), line: self.line(key), cause }
    }

    /// A fault at a key that has no value of its own.
    #[must_use]
    pub fn refuse_absent(&self, key: &str, cause: impl fmt::Display) -> TomlError {
        TomlError { path: self.path.to_owned(), line: self.line(key), cause: parser_message(&format!("{key}: {cause}")) }
    }

    /// Refuses a name that cannot be printed as it stands.
    ///
    /// # Errors
    /// It is empty, longer than 100 bytes, or has a control character.
    pub fn name(&self, key: &str, name: &str) -> Result<(), TomlError> {
        match name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            true => Err(self.refuse(key, name, "not a name; give 1 to 100 characters")),
            false => Ok(()),
        }
    }

    /// The line of the nearest key on the path that stands in the text; 1 where none does.
    fn line(&self, key: &str) -> usize {
        let mut offset = 0;
        let mut table = Some(self.table.get_ref());
        for part in key.split('.') {
            let (name, index) = match part.strip_suffix(']').and_then(|p| p.split_once('[')) {
                Some((name, index)) => (name, index.parse::<usize>().ok()),
                None => (part, None),
            };
            let Some((found, value)) = table.and_then(|t| t.get_key_value(name)) else { break };
            offset = found.span().start;
            table = match (value.get_ref(), index) {
                (DeValue::Table(inner), _) => Some(inner),
                (DeValue::Array(array), Some(index)) => match array.get(index) {
                    Some(item) => {
                        offset = item.span().start;
                        if let DeValue::Table(inner) = item.get_ref() { Some(inner) } else { None }
                    }
                    None => None,
                },
                _ => None,
            };
        }
        line_at(self.text, offset)
    }
}

fn from_toml(error: &toml::de::Error, text: &str, path: &Path) -> TomlError {
    let line = error.span().map_or(1, |span| line_at(text, span.start));
    TomlError { path: path.to_owned(), line, cause: parser_message(error.message()) }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_value_names_file_line_and_key() {
        let text = "[planner]\npue = 1\n[[site]]\nname = \"a\"\n[[site]]\nname = \"b\"\nzone = \"X\"\n";
        let located = Located::parse(text, Path::new("carm.toml")).expect("TOML");
        assert_eq!(
            located.refuse("site[1].zone", "X", "no such zone").to_string(),
            "carm.toml:7: site[1].zone: 'X': no such zone"
        );
        assert_eq!(located.refuse("site[1].gpus", 0, "none").line, 5);
        assert_eq!(located.refuse("node.x", 0, "none").line, 1);
    }

    #[test]
    fn a_fault_shows_no_control_character() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Known,
        }
        let path = Path::new("carm.toml");
        let located = Located::parse("kind = \"a\\u001B[2J\"\n", path).expect("TOML");
        let error = located.read::<std::collections::BTreeMap<String, Kind>>().expect_err("an unknown kind");
        assert!(error.cause.contains("a\\u{1b}[2J") && !error.cause.contains('\u{1b}'), "{error}");
        let text = format!("kind = \"{}\"\n", "long".repeat(1000));
        let located = Located::parse(&text, path).expect("TOML");
        let error = located.read::<std::collections::BTreeMap<String, Kind>>().expect_err("an unknown kind");
        assert!(error.cause.len() < 460 && error.cause.ends_with("expected `known`"), "{error}");
        let _ = Kind::Known;
    }

    #[test]
    fn text_that_is_not_toml_names_its_line() {
        let Err(error) = Located::parse("a = 1\nb = = 2\n", Path::new("carm.toml")) else { unreachable!("it is not TOML") };
        assert!(error.to_string().starts_with("carm.toml:2: "), "{error}");
    }
}
