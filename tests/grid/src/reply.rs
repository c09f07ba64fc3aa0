//! An answer, before any trouble.

use serde_json::{Value, json};

/// What a service answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub kind: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Reply {
    /// 200 with JSON.
    pub fn json(value: &Value) -> Self {
        Self::error(200, value)
    }

    /// 200 with a text that is JSON or XML.
    pub fn text(text: String) -> Self {
        let kind = if text.starts_with('<') { "text/xml" } else { "application/json" };
        Self { status: 200, kind, headers: Vec::new(), body: text.into_bytes() }
    }

    /// Another status with JSON.
    pub fn error(status: u16, value: &Value) -> Self {
        Self { status, kind: "application/json", headers: Vec::new(), body: value.to_string().into_bytes() }
    }

    /// 200 with XML.
    pub fn xml(text: impl Into<String>) -> Self {
        Self { status: 200, kind: "text/xml", headers: Vec::new(), body: text.into().into_bytes() }
    }

    /// Any status with a page.
    pub fn html(status: u16, text: &str) -> Self {
        let body = format!("<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n");
        Self { status, kind: "text/html", headers: Vec::new(), body: body.into_bytes() }
    }

    /// 404, for a path that a service does not know.
    pub fn not_found() -> Self {
        Self::error(404, &json!({"error": "no such path"}))
    }
}
