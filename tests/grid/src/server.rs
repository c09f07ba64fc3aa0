//! The server: HTTP/1.1 on a loopback port of the system's choice, a thread a connection, gone when it is dropped.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::service;
use crate::trouble::Trouble;
use crate::world::World;

/// How long a stalled answer is held: longer than any client of the tests waits.
const STALL: Duration = Duration::from_secs(120);

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Path and query, as sent.
    pub target: String,
    /// Its headers; names in small letters.
    pub headers: Vec<(String, String)>,
    /// The status that was answered; none where nothing was.
    pub status: Option<u16>,
}

#[derive(Default)]
struct Knobs {
    now: Option<DateTime<Utc>>,
    latency: Duration,
    /// Part of a request's target, the trouble, and how many requests it still hits.
    troubles: Vec<(String, Trouble, usize)>,
    /// Part of a request's target, and the body that it is answered with.
    replies: Vec<(String, String)>,
    seen: Vec<Seen>,
    open: usize,
    most_open: usize,
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    knobs: Arc<Mutex<Knobs>>,
    stop: Arc<AtomicBool>,
    accepting: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts one on a free port.
    pub fn start() -> Self {
        Self::listen(0, None)
    }

    /// Starts one on a port.
    pub fn start_at(port: u16) -> Self {
        Self::listen(port, None)
    }

    /// Starts one that speaks TLS, by a certificate that nobody trusts.
    pub fn start_tls() -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .expect("a certificate and its key");
        Self::listen(0, Some(Arc::new(config)))
    }

    fn listen(port: u16, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let knobs = Arc::new(Mutex::new(Knobs::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepting = {
            let (knobs, stop) = (Arc::clone(&knobs), Arc::clone(&stop));
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    let (knobs, stop, tls) = (Arc::clone(&knobs), Arc::clone(&stop), tls.clone());
                    thread::spawn(move || {
                        let raw = stream.try_clone().expect("a socket");
                        match tls {
                            None => connection(stream, &raw, &knobs, &stop),
                            Some(config) => {
                                let session = ServerConnection::new(config).expect("a session");
                                connection(StreamOwned::new(session, stream), &raw, &knobs, &stop);
                            }
                        }
                        let _ = raw.shutdown(Shutdown::Both);
                    });
                }
            })
        };
        Self { address, scheme, knobs, stop, accepting: Some(accepting) }
    }

    fn knobs(&self) -> MutexGuard<'_, Knobs> {
        lock(&self.knobs)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The `base_url` of a service.
    pub fn url(&self, service: &str) -> String {
        format!("{}://127.0.0.1:{}/{service}", self.scheme, self.port())
    }

    /// The `base_url` of a service with a trouble of its own, whatever else is asked.
    pub fn url_with(&self, trouble: Trouble, service: &str) -> String {
        format!("{}://127.0.0.1:{}/~{trouble}/{service}", self.scheme, self.port())
    }

    /// From now on it is this time; without, the machine's own.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.knobs().now = Some(now);
    }

    /// The world of the answers, without trouble.
    pub fn world(&self) -> World {
        World::at(self.knobs().now.unwrap_or_else(Utc::now))
    }

    /// From now on every answer takes at least this long.
    pub fn set_latency(&self, latency: Duration) {
        self.knobs().latency = latency;
    }

    /// From now on requests with this text in path and query fail so.
    pub fn trouble(&self, part: &str, trouble: Trouble) {
        self.trouble_times(part, trouble, usize::MAX);
    }

    /// As [`Server::trouble`], the next `times` times.
    pub fn trouble_times(&self, part: &str, trouble: Trouble, times: usize) {
        self.knobs().troubles.push((part.to_owned(), trouble, times));
    }

    /// From now on requests with this text in path and query have this body, such as a recorded one.
    pub fn reply(&self, part: &str, body: &str) {
        self.knobs().replies.push((part.to_owned(), body.to_owned()));
    }

    /// Ends all trouble, and what [`Server::reply`] began.
    pub fn calm(&self) {
        let mut knobs = self.knobs();
        knobs.troubles.clear();
        knobs.replies.clear();
    }

    /// The requests so far, in their order.
    pub fn seen(&self) -> Vec<Seen> {
        self.knobs().seen.clone()
    }

    /// How many requests so far have this text in path and query.
    pub fn count(&self, part: &str) -> usize {
        self.knobs().seen.iter().filter(|seen| seen.target.contains(part)).count()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.knobs().seen.clear();
    }

    /// The most requests that were answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.knobs().most_open
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn lock(knobs: &Mutex<Knobs>) -> MutexGuard<'_, Knobs> {
    knobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Answers the requests of a connection until it is closed.
fn connection(mut stream: impl Read + Write, raw: &TcpStream, knobs: &Mutex<Knobs>, stop: &AtomicBool) {
    let _ = raw.set_read_timeout(Some(Duration::from_secs(30)));
    let _ = raw.set_nodelay(true);
    let mut bytes = Vec::new();
    while let Some((target, headers, used)) = request(&mut stream, &mut bytes) {
        bytes.drain(..used);
        let (asked, world, latency, index, body) = {
            let mut knobs = lock(knobs);
            knobs.open += 1;
            knobs.most_open = knobs.most_open.max(knobs.open);
            knobs.seen.push(Seen { at: Instant::now(), target: target.clone(), headers: headers.clone(), status: None });
            let now = knobs.now.unwrap_or_else(Utc::now);
            let (asked, own) = read(&target, headers);
            let found = own.or_else(|| {
                let hit = knobs.troubles.iter_mut().find(|(part, _, left)| target.contains(part.as_str()) && *left > 0)?;
                hit.2 -= 1;
                Some(hit.1)
            });
            let body = knobs.replies.iter().find(|(part, _)| target.contains(part.as_str())).map(|(_, body)| body.clone());
            (asked, World { now, trouble: found }, knobs.latency, knobs.seen.len() - 1, body)
        };
        thread::sleep(latency);
        let status = respond(&mut stream, &asked, &world, body, stop);
        let mut knobs = lock(knobs);
        knobs.open -= 1;
        if let Some(seen) = knobs.seen.get_mut(index).filter(|seen| seen.target == target) {
            seen.status = status;
        }
        if status.is_none() || stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Headers: names in small letters, and values.
type Headers = Vec<(String, String)>;

/// Target, headers and length of the next request's head; `None` at the connection's end or at anything but a GET.
fn request(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Option<(String, Headers, usize)> {
    loop {
        let mut room = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut room);
        if let httparse::Status::Complete(used) = parsed.parse(bytes).ok()? {
            let headers = parsed.headers.iter();
            let headers =
                headers.map(|h| (h.name.to_lowercase(), String::from_utf8_lossy(h.value).into_owned())).collect::<Vec<_>>();
            return (parsed.method? == "GET").then_some((parsed.path?.to_owned(), headers, used));
        }
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
    }
}

/// A request in its parts, and the trouble that its path asks for: `/~stall/eia/v2/...`.
fn read(target: &str, headers: Headers) -> (Asked, Option<Trouble>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, own) = match path.strip_prefix("/~").and_then(|rest| rest.split_once('/')) {
        Some((word, rest)) => (rest, word.parse().ok()),
        None => (path.trim_start_matches('/'), None),
    };
    let (service, rest) = path.split_once('/').unwrap_or((path, ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    (Asked { service: service.to_owned(), path: format!("/{rest}"), query, headers }, own)
}

/// Answers one request; the status, or none where the connection is to be closed.
fn respond(stream: &mut impl Write, asked: &Asked, world: &World, body: Option<String>, stop: &AtomicBool) -> Option<u16> {
    let trouble = world.trouble;
    let stall = || {
        let until = Instant::now() + STALL;
        while Instant::now() < until && !stop.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
    };
    let mut reply = match trouble {
        Some(Trouble::Closed) => return None,
        Some(Trouble::Stall) => {
            stall();
            return None;
        }
        Some(Trouble::Html) => Reply::html(200, "Sign in to the network"),
        Some(Trouble::Status { status, retry_after }) => {
            let message = serde_json::json!({"message": format!("trouble on demand: {status}")});
            let mut reply = Reply::error(status, &message);
            reply.headers.extend(retry_after.map(|seconds| ("Retry-After", seconds.to_string())));
            reply
        }
        _ => body.map_or_else(|| service::answer(asked, world), Reply::text),
    };
    if let Some(body) = trouble.and_then(|trouble| trouble.rewrite(&reply.body)) {
        reply.body = body;
    }
    let off = if let Some(Trouble::Clock(seconds)) = trouble { seconds } else { 0 };
    let date = (world.now + TimeDelta::seconds(off)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    reply.headers.push(("Date", date));
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, if reply.status < 400 { "OK" } else { "No" });
    head += &format!("Content-Type: {}\r\nContent-Length: {}\r\n", reply.kind, reply.body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let broken = matches!(trouble, Some(Trouble::StallInBody | Trouble::CutInBody));
    let sent = if broken { reply.body.len() / 2 } else { reply.body.len() };
    let done =
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body[..sent])).and_then(|()| stream.flush());
    if trouble == Some(Trouble::StallInBody) {
        stall();
    }
    (done.is_ok() && !broken).then_some(reply.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(server: &Server, target: &str, header: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n{header}\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    #[test]
    fn a_service_answers_below_its_path_and_is_counted() {
        let server = Server::start();
        let text = get(&server, "/plain/?area=D%45", "");
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\"zone\":\"DE\""), "{text}");
        assert_eq!((server.count("/plain"), server.count("fr"), server.seen()[0].status), (1, 0, Some(200)));
        assert!(get(&server, "/nobody/", "").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn trouble_hits_whom_it_names_and_as_often_as_it_says() {
        let server = Server::start();
        server.trouble_times("area=FR", Trouble::Status { status: 429, retry_after: Some(3) }, 1);
        assert!(get(&server, "/plain/?area=DE", "").starts_with("HTTP/1.1 200 "));
        let refused = get(&server, "/plain/?area=FR", "");
        assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("Retry-After: 3\r\n"), "{refused}");
        assert!(get(&server, "/plain/?area=FR", "").starts_with("HTTP/1.1 200 "));
        assert!(get(&server, "/~html/plain/?area=DE", "").contains("Sign in to the network"));
        assert_eq!(get(&server, "/~closed/plain/?area=DE", ""), "");
    }
}
