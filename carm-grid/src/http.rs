//! HTTP, for all sources: one client with time-outs and bounds, asked again where that may help, and what went wrong in words.

use std::error::Error as _;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::kept::Kept;
use crate::token::Token;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole answer may take, unless the command line says otherwise.
pub const ANSWER: Duration = Duration::from_secs(30);
/// A larger answer is not of a service that CARM asks.
const MOST_BYTES: usize = 32 << 20;
/// How often a request is sent in all, where it may go through a little later.
const TRIES: u32 = 3;
/// The wait before the second; it doubles, and jitter takes or adds up to a half.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A service that wants to be left alone for longer than this is asked at a later fetch.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A client of all services.
pub struct Http {
    client: Client,
    answer_within: Duration,
    kept: Option<Kept>,
    /// This host's clock, and when it was looked at.
    clock: (DateTime<Utc>, Instant),
    /// How far this host's clock is ahead of a service's, as each answer tells.
    ahead: Mutex<Vec<TimeDelta>>,
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
            let start = start.split_whitespace().collect::<Vec<_>>().join(" ");
            let begins = carm::request::printable(&start);
            self.wrong(if start.starts_with('<') {
                format!("a page instead of JSON: '{begins}...'; look at base_url, and at proxies that answer in its place")
            } else if error.is_eof() {
                format!("JSON that breaks off after {} bytes; {LATER}", bytes.len())
            } else {
                format!("no JSON of the documented shape ({error}): '{begins}...'; look at base_url and api")
            })
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
        let client = Client::builder().connect_timeout(CONNECT).default_headers(headers).redirect(within_the_host()).build();
        let client = client.map_err(|error| Fault::Setup(format!("HTTP client: {}", chain(&error))))?;
        let clock = (Utc::now(), Instant::now());
        Ok(Self { client, answer_within: ANSWER, kept: None, clock, ahead: Mutex::default() })
    }

    /// With another bound on how long an answer may take.
    #[must_use]
    pub fn within(self, answer_within: Duration) -> Self {
        Self { answer_within, ..self }
    }

    /// With a folder for answers that carry an ETag, so that they need not be sent twice.
    #[must_use]
    pub fn keeping(self, folder: PathBuf) -> Self {
        Self { kept: Some(Kept::new(folder)), ..self }
    }

    /// With another time as this host's.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        Self { clock: (now, Instant::now()), ..self }
    }

    /// How far this host's clock is ahead of those of the services that were asked; none where no answer told.
    pub fn ahead(&self) -> Option<TimeDelta> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ahead.sort_unstable();
        // The middle one: a service whose own clock is off is outvoted.
        ahead.get(ahead.len() / 2).copied()
    }

    /// Sends a request, again where that may help, and reads the answer whole.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub fn get(&self, request: &Request) -> Result<Answer, Fault> {
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.get_once(request) {
                Err(fault) if fault.is_passing() => match fault.retry_after() {
                    Some(asked) if asked > LONGEST_WAIT => return Err(fault),
                    Some(asked) => std::thread::sleep(asked.max(Duration::from_millis(100)) + jittered(FIRST_WAIT / 4)),
                    // Asked too often: another request now makes it worse.
                    None if matches!(fault, Fault::Status { status: 429, .. }) => return Err(fault),
                    None => std::thread::sleep(jittered(wait)),
                },
                done => return done,
            }
            wait *= 2;
        }
        self.get_once(request)
    }

    fn get_once(&self, request: &Request) -> Result<Answer, Fault> {
        let url = request.url.clone();
        let sent = Instant::now();
        let kept = self.kept.as_ref().filter(|_| request.basic.is_none());
        let known = kept.and_then(|kept| kept.find(request));
        let mut call = self.call(request);
        if let Some(known) = &known {
            call = call.header(IF_NONE_MATCH, &known.etag);
        }
        let answer = call.timeout(self.answer_within).send().map_err(|error| no_answer(&url, &error))?;
        self.compare_clocks(&answer, sent);
        let status = answer.status().as_u16();
        if let (304, Some(known)) = (status, known) {
            return Ok(Answer { url, body: known.body });
        }
        let retry_after = text_of(&answer, &RETRY_AFTER).and_then(|text| self.retry_after(text));
        let etag = text_of(&answer, &ETAG).map(str::to_owned);
        let body = self.body(answer, &url, sent)?;
        if status != 200 {
            return Err(Fault::Status { way_out: way_out(status), said: said(&body), retry_after, url, status });
        }
        if let (Some(kept), Some(etag)) = (kept, etag) {
            kept.keep(request, &etag, &body);
        }
        Ok(Answer { url, body })
    }

    fn call(&self, request: &Request) -> RequestBuilder {
        let mut call = self.client.get(&request.url).query(&request.query);
        let secrets: Vec<_> = request.secret_query.iter().map(|(name, token)| (name, token.secret())).collect();
        call = call.query(&secrets);
        for (name, token) in &request.secret_headers {
            call = call.header(*name, token.secret());
        }
        if let Some(basic) = &request.basic {
            let (user, password) = basic.secret().split_once(':').unwrap_or((basic.secret(), ""));
            call = call.basic_auth(user, Some(password));
        }
        match &request.bearer {
            Some(bearer) => call.bearer_auth(bearer.secret()),
            None => call,
        }
    }

    /// The body, in time: a service that sends a byte now and then must not hold a fetch up.
    fn body(&self, mut answer: Response, url: &str, sent: Instant) -> Result<Vec<u8>, Fault> {
        let (mut body, mut part) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            match answer.read(&mut part) {
                Ok(0) => return Ok(body),
                Ok(count) => body.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cut_short(url, &error)),
            }
            if body.len() > MOST_BYTES {
                let cause = format!("an answer of more than {} MiB; look at base_url and area", MOST_BYTES >> 20);
                return Err(Fault::Answer { url: url.to_owned(), cause });
            }
            if sent.elapsed() > self.answer_within {
                return Err(Fault::NoAnswer {
                    url: url.to_owned(),
                    cause: format!("the answer was not whole after {} s", self.answer_within.as_secs()),
                    way_out: LATER,
                });
            }
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.0 + TimeDelta::from_std(self.clock.1.elapsed()).unwrap_or_default()
    }

    /// `Retry-After`: seconds, or a date.
    fn retry_after(&self, text: &str) -> Option<Duration> {
        let text = text.trim();
        let date = || (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - self.now()).to_std().ok();
        text.parse().ok().map(Duration::from_secs).or_else(date)
    }

    fn compare_clocks(&self, answer: &Response, sent: Instant) {
        let Some(date) = text_of(answer, &DATE).and_then(|text| DateTime::parse_from_rfc2822(text).ok()) else { return };
        // A cache on the way hands on the date of the day when it was asked, and says how long ago that was.
        let age = text_of(answer, &AGE).and_then(|text| text.parse().ok()).map_or(TimeDelta::zero(), TimeDelta::seconds);
        let half_way = TimeDelta::from_std(sent.elapsed() / 2).unwrap_or_default();
        let ahead = self.now() - half_way - (date.to_utc() + age);
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).push(ahead);
    }
}

/// Redirections within a host are followed; any other would carry a token's header to somebody else.
fn within_the_host() -> Policy {
    Policy::custom(|attempt| {
        let from = attempt.previous().last();
        let here =
            from.is_some_and(|from| from.host_str() == attempt.url().host_str() && from.scheme() == attempt.url().scheme());
        if here && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
    })
}

fn text_of<'a>(answer: &'a Response, name: &HeaderName) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// Half of a wait to one and a half: those who failed together do not come again together.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let chance = RandomState::new().hash_one(0) >> 11;
    wait.mul_f64(0.5 + chance as f64 / (1_u64 << 53) as f64)
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
    // hyper's own words for where it was, and the number of an error that is named already.
    let noises = [
        "client error (Connect): ",
        "client error (SendRequest): ",
        "tcp connect error: ",
        "request or response body error: ",
        "error reading a body from connection: ",
    ];
    for noise in noises {
        text = text.replace(noise, "");
    }
    let text = text.split(" (os error ").next().unwrap_or_default();
    if text.is_empty() { "no answer".to_owned() } else { text.to_owned() }
}

const LATER: &str = "it is asked again at the next fetch";

fn no_answer(url: &str, error: &reqwest::Error) -> Fault {
    let text = chain(error);
    let (cause, way_out) = if error.is_timeout() {
        ("no answer in time".to_owned(), "it is asked again at the next fetch; look at network, proxy and base_url")
    } else if text.contains("certificate") {
        (text, "look at this host's certificates and clock, and at what stands between it and the service")
    } else if text.contains("dns error") {
        (text, "look at base_url, and at whether this host finds names of the internet")
    } else {
        (text, "it is asked again at the next fetch; look at network, proxy and base_url")
    };
    Fault::NoAnswer { url: url.to_owned(), cause, way_out }
}

fn cut_short(url: &str, error: &std::io::Error) -> Fault {
    // reqwest hides its own error in one of the standard library.
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    let cause = match inner {
        _ if error.kind() == std::io::ErrorKind::TimedOut => "the answer stopped half-way".to_owned(),
        Some(inner) if inner.is_timeout() => "the answer stopped half-way".to_owned(),
        Some(inner) => format!("the answer broke off: {}", chain(inner)),
        None => format!("the answer broke off: {error}"),
    };
    Fault::NoAnswer { url: url.to_owned(), cause, way_out: LATER }
}

fn way_out(status: u16) -> &'static str {
    match status {
        401 | 403 => "look at the token, and at what its plan includes",
        300..=399 => "it has moved; look at base_url",
        404 => "look at area, base_url and api",
        429 => "asked too often; raise interval, or let one host fetch for all",
        500..=599 => "the service has a fault; it is asked again at the next fetch",
        _ => "look at the zone's keys",
    }
}

/// What a service says beside a status, for people: its message, or the start of its text.
fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|json| {
        let texts = ["message", "error", "detail", "title"].into_iter().filter_map(|name| json.get(name));
        // `{"error": {"message": "..."}}` as well.
        texts.filter_map(|text| text.as_str().or_else(|| text.get("message")?.as_str())).next().map(str::to_owned)
    });
    // ENTSO-E's refusals are XML.
    let reason = || {
        let text = std::str::from_utf8(body).ok().filter(|text| text.contains("Acknowledgement_MarketDocument"))?;
        Some(text.split_once("<text>")?.1.split_once("</text>")?.0.to_owned())
    };
    let start = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let text = message.or_else(reason).unwrap_or_else(start);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
    if text.is_empty() || text.starts_with('<') { String::new() } else { format!(" ('{}')", carm::text::legible(&text)) }
}
