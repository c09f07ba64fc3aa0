//! HTTP, for all sources: one client with time-outs and bounds, and what went wrong in words.

use std::error::Error as _;
use std::io::Read;
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::token::Token;

/// How long a connection may take, and a whole answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// A larger answer is not of a service that CARM asks.
const MOST_BYTES: u64 = 32 << 20;

/// A client of all services.
pub struct Http {
    client: Client,
}

/// One request: a GET.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Address and path, without a query.
    pub url: String,
    /// The query, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// Parts of the query that are secret.
    pub secret_query: Vec<(&'static str, Token)>,
    /// Headers; their values never show.
    pub secret_headers: Vec<(&'static str, Token)>,
    /// `user:password` of HTTP's Basic authentication.
    pub basic: Option<Token>,
    /// `Authorization: Bearer`.
    pub bearer: Option<Token>,
}

impl Request {
    /// A request without a query.
    pub fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }
}

/// An answer of status 200.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Who gave it.
    pub url: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer as JSON of a shape.
    ///
    /// # Errors
    /// It is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        // A byte order mark stands in front of some services' JSON.
        let bytes = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        serde_json::from_slice(bytes).map_err(|error| {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).trim().to_owned();
            let what = if start.starts_with('<') { "a page and no JSON" } else { "no JSON of the documented shape" };
            self.wrong(format!("{what} ({error}); begins '{}'", carm::request::printable(&start)))
        })
    }

    /// A fault of this answer.
    pub fn wrong(&self, cause: impl Into<String>) -> Fault {
        Fault::Answer { url: self.url.clone(), cause: cause.into() }
    }
}

impl Http {
    /// A client.
    ///
    /// # Errors
    /// The host's certificates cannot be loaded.
    pub fn new() -> Result<Self, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("carm-grid/", env!("CARGO_PKG_VERSION"))));
        let client = Client::builder().connect_timeout(CONNECT).timeout(ANSWER).default_headers(headers).build();
        client.map(|client| Self { client }).map_err(|error| Fault::Setup(format!("HTTP client: {}", chain(&error))))
    }

    /// Sends a request once and reads the answer whole.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub fn get(&self, request: &Request) -> Result<Answer, Fault> {
        let url = request.url.clone();
        let mut call = self.client.get(&url).query(&request.query);
        let secrets: Vec<_> = request.secret_query.iter().map(|(name, token)| (name, token.secret())).collect();
        call = call.query(&secrets);
        for (name, token) in &request.secret_headers {
            call = call.header(*name, token.secret());
        }
        if let Some(basic) = &request.basic {
            let (user, password) = basic.secret().split_once(':').unwrap_or((basic.secret(), ""));
            call = call.basic_auth(user, Some(password));
        }
        if let Some(bearer) = &request.bearer {
            call = call.bearer_auth(bearer.secret());
        }
        let answer = call.send().map_err(|error| no_answer(&url, &error))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        answer.take(MOST_BYTES + 1).read_to_end(&mut body).map_err(|error| cut_short(&url, &error))?;
        if body.len() as u64 > MOST_BYTES {
            return Err(Fault::Answer { url, cause: format!("an answer of more than {} MiB", MOST_BYTES >> 20) });
        }
        if status != 200 {
            return Err(Fault::Status {
                way_out: way_out(status),
                said: said(&body),
                retry_after: retry_after.map(Duration::from_secs),
                url,
                status,
            });
        }
        Ok(Answer { url, body })
    }
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &reqwest::Error) -> String {
    // Without its address: a token may stand in the query.
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if !text.is_empty() {
            text += ": ";
        }
        text += &cause.to_string();
        next = cause.source();
    }
    if text.is_empty() { "no answer".to_owned() } else { text }
}

fn no_answer(url: &str, error: &reqwest::Error) -> Fault {
    let cause = if error.is_timeout() { "timed out".to_owned() } else { chain(error) };
    Fault::NoAnswer {
        url: url.to_owned(),
        cause,
        way_out: "it is asked again at the next fetch; look at network, proxy and base_url",
    }
}

fn cut_short(url: &str, error: &std::io::Error) -> Fault {
    Fault::NoAnswer {
        url: url.to_owned(),
        cause: format!("the answer broke off: {error}"),
        way_out: "it is asked again at the next fetch",
    }
}

fn way_out(status: u16) -> &'static str {
    match status {
        401 | 403 => "look at the token, and at what its plan includes",
        404 => "look at area, base_url and api",
        429 => "asked too often; raise interval, or let one host fetch for all",
        500..=599 => "the service has a fault; it is asked again at the next fetch",
        _ => "look at the zone's keys",
    }
}

/// The start of what a service says beside a status, for people.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.starts_with('<') { String::new() } else { format!(" ('{}')", carm::request::printable(&text)) }
}
