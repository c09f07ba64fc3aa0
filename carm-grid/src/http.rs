//! HTTP, for all sources: one client with time-outs and bounds, asked again where that may help, and what went wrong in words.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AGE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::token::Token;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole answer may take, unless the command line says otherwise.
pub const ANSWER: Duration = Duration::from_secs(30);
/// A larger answer is not of a service that CARM asks: the largest are some 2 MiB (ENTSO-E, ten days of quarter hours).
const MOST_BYTES: usize = 4 << 20;
/// An answer of at most this is read whatever else is going on; of larger ones one at a time, so that memory stays bounded
/// whatever services send. The answers of a fetch that goes on from the last one are smaller as a rule.
const SMALL_BYTES: usize = 64 << 10;
/// What is read at once.
const PART_BYTES: usize = 16 << 10;
/// The part of an error's body that is read: proxies send pages of any length.
const MOST_ERROR_BYTES: usize = 8 << 10;
/// The length of a round: requests that wait for their host's turn start no later.
const ROUND: Duration = Duration::from_secs(4 * 60);
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
    /// The hosts by origin: one request at a time each.
    hosts: Mutex<BTreeMap<String, Arc<Mutex<Host>>>>,
    /// This host's clock, and when it was looked at.
    clock: (DateTime<Utc>, Instant),
    /// How far this host's clock is ahead of a service's, as each answer tells.
    ahead: Mutex<Vec<TimeDelta>>,
    /// Held while a large answer is read.
    large: Mutex<()>,
    /// Held by [`Http::alone`].
    alone: Mutex<()>,
}

/// A host, locked during each request to it.
#[derive(Default)]
struct Host {
    /// Until when it refuses further requests, and its refusal.
    refuses: Option<(Instant, Fault)>,
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
        let client = Client::builder().connect_timeout(CONNECT).default_headers(headers).redirect(within_the_origin()).build();
        let client = client.map_err(|error| Fault::Setup(format!("HTTP client: {}", chain(&error))))?;
        let clock = (Utc::now(), Instant::now());
        let (hosts, ahead, large, alone) = Default::default();
        Ok(Self { client, answer_within: ANSWER, hosts, clock, ahead, large, alone })
    }

    /// With another bound on how long an answer may take.
    #[must_use]
    pub fn within(self, answer_within: Duration) -> Self {
        Self { answer_within, ..self }
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

    /// Does memory-hungry work one at a time, each in a thread of its own. glibc gives each thread that allocates an arena, and
    /// keeps what is freed in it; the next thread gets the arena of the one that ended last.
    pub fn alone<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        one_at_a_time(&self.alone, work)
    }

    /// Sends a request, again where that may help, and reads the answer by `read`. Nothing of the answer outlives that.
    ///
    /// # Errors
    /// No answer, another status than 200, or what `read` says.
    pub fn get<T: Send>(&self, request: &Request, mut read: impl FnMut(&Answer) -> Result<T, Fault> + Send) -> Result<T, Fault> {
        let host = self.host(request);
        let (mut wait, mut tries) = (FIRST_WAIT, 1);
        loop {
            let fault = match self.in_turn(request, &host, &mut read) {
                Err(fault) if fault.is_passing() && self.clock.1.elapsed() < ROUND => fault,
                done => return done,
            };
            match fault.retry_after() {
                Some(rest) if rest > LONGEST_WAIT => return Err(fault),
                // The next turn at this host comes after its rest. A limited service serves all zones in the end.
                Some(_) if matches!(fault, Fault::Status { status: 429, .. }) => {}
                // Too many requests: another one now makes it worse.
                None if matches!(fault, Fault::Status { status: 429, .. }) => return Err(fault),
                _ if tries == TRIES => return Err(fault),
                Some(_) => tries += 1,
                None => {
                    std::thread::sleep(jittered(wait));
                    (wait, tries) = (wait * 2, tries + 1);
                }
            }
        }
    }

    fn host(&self, request: &Request) -> Arc<Mutex<Host>> {
        let origin = reqwest::Url::parse(&request.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        Arc::clone(self.hosts.lock().unwrap_or_else(PoisonError::into_inner).entry(origin).or_default())
    }

    /// Sends a request when its host's turn has come: one at a time, and none before the end of a `Retry-After`, whichever
    /// zone received that.
    fn in_turn<T: Send>(
        &self,
        request: &Request,
        host: &Mutex<Host>,
        read: impl FnMut(&Answer) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        let mut host = host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, fault)) = &host.refuses {
            let rest = until.saturating_duration_since(Instant::now());
            if rest > LONGEST_WAIT || rest > ROUND.saturating_sub(self.clock.1.elapsed()) {
                return Err(fault.clone());
            }
            std::thread::sleep(rest);
        }
        if self.clock.1.elapsed() > ROUND {
            let cause = format!("no turn at this host in the {} min of a round", ROUND.as_secs() / 60);
            return Err(Fault::NoAnswer { url: request.url.clone(), cause, way_out: LATER });
        }
        let result = self.get_once(request, read);
        host.refuses = match &result {
            Err(fault) => fault.retry_after().map(|rest| {
                let rest = rest.clamp(Duration::from_millis(100), Duration::from_secs(86_400));
                (Instant::now() + rest + jittered(FIRST_WAIT / 10), fault.clone())
            }),
            Ok(_) => None,
        };
        result
    }

    fn get_once<T: Send>(&self, request: &Request, mut read: impl FnMut(&Answer) -> Result<T, Fault> + Send) -> Result<T, Fault> {
        let url = request.url.clone();
        let sent = Instant::now();
        let mut answer = self.call(request).timeout(self.answer_within).send().map_err(|error| no_answer(&url, &error))?;
        self.compare_clocks(&answer, sent);
        let status = answer.status().as_u16();
        let retry_after = text_of(&answer, &RETRY_AFTER).and_then(|text| self.retry_after(text));
        if status != 200 {
            let mut body = Vec::new();
            // What arrives before an error is enough for its message.
            let _ = answer.take(MOST_ERROR_BYTES as u64).read_to_end(&mut body);
            return Err(Fault::Status { way_out: way_out(status), said: said(&body), retry_after, url, status });
        }
        let mut body = Vec::new();
        let mut read = |body| self.alone(|| read(&Answer { url: url.clone(), body }));
        if self.body(&mut answer, &mut body, SMALL_BYTES, &url, sent)? {
            return read(body);
        }
        one_at_a_time(&self.large, || {
            let mut whole = Vec::with_capacity(MOST_BYTES + PART_BYTES);
            whole.append(&mut body);
            body.shrink_to_fit();
            self.body(&mut answer, &mut whole, MOST_BYTES, &url, sent)?;
            read(whole)
        })
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

    /// Reads on up to `most` bytes, in time: a service that sends a byte now and then must not hold a fetch up. Whether that was
    /// all.
    fn body(&self, answer: &mut Response, body: &mut Vec<u8>, most: usize, url: &str, sent: Instant) -> Result<bool, Fault> {
        let mut part = vec![0; PART_BYTES];
        while body.len() <= most {
            match answer.read(&mut part) {
                Ok(0) => return Ok(true),
                Ok(count) => body.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cut_short(url, &error)),
            }
            if sent.elapsed() > self.answer_within {
                return Err(Fault::NoAnswer {
                    url: url.to_owned(),
                    cause: format!("the answer was not whole after {} s", self.answer_within.as_secs()),
                    way_out: LATER,
                });
            }
        }
        if body.len() > MOST_BYTES {
            let cause = format!("an answer of more than {} MiB; look at base_url and area", MOST_BYTES >> 20);
            return Err(Fault::Answer { url: url.to_owned(), cause });
        }
        Ok(false)
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

fn one_at_a_time<T: Send>(turn: &Mutex<()>, work: impl FnOnce() -> T + Send) -> T {
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = std::thread::scope(|scope| scope.spawn(work).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Redirections within an origin (scheme, host and port) are followed; any other would carry a token's header to another
/// server.
fn within_the_origin() -> Policy {
    Policy::custom(|attempt| {
        let from = attempt.previous().last();
        let is_same = from.is_some_and(|from| from.origin() == attempt.url().origin());
        if is_same && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
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
pub fn said(body: &[u8]) -> String {
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes and holds the connection open; the address.
    fn serve(head: String, body: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            std::thread::sleep(Duration::from_secs(20));
        });
        address
    }

    fn whole(answer: &Answer) -> Result<usize, Fault> {
        Ok(answer.body.len())
    }

    #[test]
    fn four_mib_of_an_answer_are_read() {
        for (bytes, expected) in
            [(10, Some(10)), (SMALL_BYTES + 1, Some(SMALL_BYTES + 1)), (MOST_BYTES, Some(MOST_BYTES)), (MOST_BYTES + 1, None)]
        {
            let url = serve(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n"), vec![b'x'; bytes]);
            let read = Http::new().expect("a client").within(Duration::from_secs(10)).get(&Request::to(url), whole);
            match read {
                Ok(read) => assert_eq!(Some(read), expected),
                Err(fault) => {
                    assert!(expected.is_none() && fault.to_string().contains("an answer of more than 4 MiB"), "{fault}")
                }
            }
        }
    }

    #[test]
    fn retry_after_may_be_a_date() {
        let head = "HTTP/1.1 503 No\r\nRetry-After: Fri, 01 May 2026 12:10:00 GMT\r\nContent-Length: 0\r\n\r\n";
        let http = Http::new().expect("a client").within(Duration::from_secs(10)).at(noon());
        let fault = http.get(&Request::to(serve(head.to_owned(), Vec::new())), whole).expect_err("503");
        let rest = fault.retry_after().expect("a rest").as_secs();
        assert!((570..=600).contains(&rest), "{rest} s");
    }

    #[test]
    fn age_header_dates_a_cached_response() {
        let head = "HTTP/1.1 200 OK\r\nDate: Fri, 01 May 2026 11:50:00 GMT\r\nAge: 600\r\nContent-Length: 0\r\n\r\n";
        let http = Http::new().expect("a client").within(Duration::from_secs(10)).at(noon());
        http.get(&Request::to(serve(head.to_owned(), Vec::new())), whole).expect("an answer");
        let ahead = http.ahead().expect("a date").num_seconds();
        assert!((-5..=30).contains(&ahead), "{ahead} s");
    }

    fn noon() -> DateTime<Utc> {
        carm::quantity::parse_instant("2026-05-01T12:00:00Z").expect("a time")
    }

    #[test]
    fn redirect_to_another_port_is_not_followed() {
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        other.set_nonblocking(true).expect("a mode");
        let target = other.local_addr().expect("an address");
        let url = serve(format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n"), Vec::new());
        let mut request = Request::to(url);
        request.secret_headers.push(("auth-token", Token::from("secret")));
        let fault = Http::new().expect("a client").within(Duration::from_secs(5)).get(&request, whole).expect_err("a redirect");
        assert!(matches!(fault, Fault::Status { status: 302, .. }), "{fault}");
        assert!(other.accept().is_err(), "the token went to another port");
    }

    #[test]
    fn eight_kib_of_an_error_are_read() {
        let body = format!("<{}", "x".repeat(16 << 10)).into_bytes();
        let url = serve("HTTP/1.1 404 No\r\nContent-Length: 67108864\r\n\r\n".to_owned(), body);
        let begin = Instant::now();
        let fault =
            Http::new().expect("a client").within(Duration::from_secs(10)).get(&Request::to(url), whole).expect_err("404");
        assert!(matches!(fault, Fault::Status { status: 404, .. }), "{fault}");
        assert!(begin.elapsed() < Duration::from_secs(5), "the rest was not waited for");
    }
}
