//! A request, as a service looks at it.

use chrono::{DateTime, Utc};

/// One GET below a service's path.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The service: the first part of the path.
    pub service: String,
    /// The rest of the path, with its slash: `/v4/carbon-intensity/latest`.
    pub path: String,
    /// The query, decoded, in its order.
    pub query: Vec<(String, String)>,
    /// The headers; names in small letters.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// The first value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter that may stand more than once.
    pub fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The token of `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Whether HTTP's Basic authentication names this user and password.
    pub fn is_basic(&self, user: &str, password: &str) -> bool {
        let expected = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
        self.header("authorization") == Some(expected.as_str())
    }

    /// A parameter as an RFC 3339 time.
    pub fn instant(&self, name: &str) -> Option<DateTime<Utc>> {
        self.param(name).and_then(instant)
    }

    /// The parts of the path.
    pub fn parts(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }
}

/// A time as services take it: RFC 3339, with or without seconds.
pub fn instant(text: &str) -> Option<DateTime<Utc>> {
    let with_seconds = || DateTime::parse_from_rfc3339(text).ok();
    let without = || DateTime::parse_from_str(&text.replace('Z', "+0000"), "%Y-%m-%dT%H:%M%z").ok();
    with_seconds().or_else(without).map(|time| time.to_utc())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| char::from(LETTERS[(bits & 63) as usize]);
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        text.extend([letter(bits >> 18), letter(bits >> 12)]);
        text.push(if chunk.len() > 1 { letter(bits >> 6) } else { '=' });
        text.push(if chunk.len() > 2 { letter(bits) } else { '=' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (text, coded) in cases {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }

    #[test]
    fn times_are_read_with_and_without_seconds() {
        let expected = DateTime::parse_from_rfc3339("2026-05-01T12:30:00Z").unwrap().to_utc();
        for text in ["2026-05-01T12:30Z", "2026-05-01T12:30:00Z", "2026-05-01T14:30:00.000+02:00"] {
            assert_eq!(instant(text), Some(expected), "{text}");
        }
    }
}
