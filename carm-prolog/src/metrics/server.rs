//! The page on a loopback port (`[node] metrics_listen`): GET /metrics, and nothing else.
//!
//! Any user of the node may connect, so nothing waits for a client: one thread serves them all without blocking, each has
//! [`PATIENCE`] for all that it says and hears, and where [`MOST_CLIENTS`] are connected the oldest makes room. The governor
//! only puts the next page down.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};

use super::{Snapshot, render};

/// From a client's coming to its going.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_CLIENTS: usize = 32;
/// A scraper's head is some 300 bytes.
const MOST_BYTES: usize = 8192;
const MOST_HEADERS: usize = 64;
/// Where there is no room for another file descriptor, the listener would be ready again at once.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(100);

type Page = Arc<Mutex<Arc<str>>>;

/// The port; closed when dropped.
pub struct Server {
    page: Page,
    address: SocketAddr,
    /// The thread ends when this end is closed.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the port. Until something is published the page tells the release alone.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let what = || format!("listening on {address} for metrics");
        let listener = TcpListener::bind(address).with_context(what)?;
        listener.set_nonblocking(true).with_context(what)?;
        let address = listener.local_addr().with_context(what)?;
        let (stop, stopped) = UnixStream::pair().with_context(what)?;
        let page: Page = Arc::new(Mutex::new(render(&[]).into()));
        let serving = Arc::clone(&page);
        let serve = move || serve(&listener, &stopped, &serving);
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(serve).with_context(what)?;
        Ok(Self { page, address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page from now on.
    pub fn publish(&self, snapshots: &[Snapshot]) {
        let page: Arc<str> = render(snapshots).into();
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stopped: &UnixStream, page: &Page) {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut ready = {
            let mut fds = vec![PollFd::new(stopped, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
            fds.extend(clients.iter().map(|client| PollFd::new(&client.stream, client.waits_for())));
            let next = clients.iter().map(|client| client.until.saturating_duration_since(Instant::now())).min();
            match poll(&mut fds, next.and_then(|next| next.try_into().ok()).as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    log::warn!("metrics: {error}");
                    std::thread::sleep(NO_ROOM_PAUSE);
                }
            }
            fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<bool>>().into_iter()
        };
        if ready.next() == Some(true) {
            return;
        }
        let knocks = ready.next() == Some(true);
        let now = Instant::now();
        clients.retain_mut(|client| {
            let goes_on = ready.next() != Some(true) || client.go_on(page);
            goes_on && now < client.until
        });
        if knocks {
            accept(listener, &mut clients);
        }
    }
}

fn accept(listener: &TcpListener, clients: &mut Vec<Client>) {
    // Not until nobody knocks: those who came before must be served in between.
    for _ in 0..MOST_CLIENTS {
        match listener.accept() {
            Ok((stream, _)) => {
                if clients.len() >= MOST_CLIENTS {
                    clients.remove(0);
                }
                if stream.set_nonblocking(true).is_ok() {
                    clients.push(Client { stream, until: Instant::now() + PATIENCE, said: Vec::new(), answer: None });
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(error) => {
                log::debug!("metrics: {error}");
                return std::thread::sleep(NO_ROOM_PAUSE);
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    until: Instant,
    said: Vec<u8>,
    /// The answer, and how much of it is sent.
    answer: Option<(Vec<u8>, usize)>,
}

impl Client {
    fn waits_for(&self) -> PollFlags {
        if self.answer.is_some() { PollFlags::OUT } else { PollFlags::IN }
    }

    /// Reads or writes what it can without waiting; false when the client is done with.
    fn go_on(&mut self, page: &Page) -> bool {
        let mut buffer = [0; 1024];
        while self.answer.is_none() {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.said.extend_from_slice(&buffer[..count]);
                    self.answer = answer(&self.said, page).map(|answer| (answer, 0));
                }
                Err(error) => return waits(&error),
            }
        }
        let Some((answer, sent)) = &mut self.answer else { return true };
        while *sent < answer.len() {
            match self.stream.write(&answer[*sent..]) {
                Ok(0) => return false,
                Ok(count) => *sent += count,
                Err(error) => return waits(&error),
            }
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        false
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The answer to what was said so far; none where the request is not yet whole.
fn answer(said: &[u8], page: &Page) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(said) {
        Ok(httparse::Status::Partial) if said.len() < MOST_BYTES => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(refusal("431 Request Header Fields Too Large", ""));
        }
        Err(_) => return Some(refusal("400 Bad Request", "")),
        Ok(httparse::Status::Complete(_)) => {}
    }
    let path = request.path.unwrap_or_default().split('?').next();
    match (request.method, path) {
        (_, path) if path != Some("/metrics") => Some(refusal("404 Not Found", "")),
        (Some("GET"), _) => {
            let page = Arc::clone(&page.lock().unwrap_or_else(PoisonError::into_inner));
            Some(response("200 OK", "text/plain; version=0.0.4; charset=utf-8", "", &page))
        }
        _ => Some(refusal("405 Method Not Allowed", "Allow: GET\r\n")),
    }
}

fn refusal(status: &str, more: &str) -> Vec<u8> {
    response(status, "text/plain; charset=utf-8", more, &format!("{status}: GET /metrics is all there is\n"))
}

fn response(status: &str, content: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n");
    (head + body).into_bytes()
}

#[cfg(test)]
mod tests;
