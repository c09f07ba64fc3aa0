use super::*;

use crate::metrics::{GpuNow, Snapshot};

fn server() -> Server {
    let server = Server::start("127.0.0.1:0".parse().expect("an address")).expect("a port");
    server.publish(&[snapshot("GPU-1")]);
    server
}

fn snapshot(uuid: &str) -> Snapshot {
    let gpus = vec![GpuNow { uuid: uuid.to_owned(), power_w: Some(250.5), ..GpuNow::default() }];
    Snapshot { node: "n1".to_owned(), gpus, ..Snapshot::default() }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream
}

/// What a client hears that says this; a connection that is reset ends it.
fn hear(server: &Server, said: &[u8]) -> String {
    let mut stream = connect(server);
    let _ = stream.write_all(said);
    rest(&mut stream)
}

fn rest(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        heard.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(heard).expect("UTF-8")
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n";

#[test]
fn the_page_that_was_published_last_is_served() {
    let server = server();
    for uuid in ["GPU-1", "GPU-2"] {
        server.publish(&[snapshot(uuid)]);
        let heard = hear(&server, GET);
        let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(body, render(&[snapshot(uuid)]));
    }
    assert!(hear(&server, b"GET /metrics?node=n1 HTTP/1.0\n\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn anything_else_is_refused_with_its_status() {
    let server = server();
    let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 2 * MOST_BYTES]].concat();
    let many = [b"GET /metrics HTTP/1.1\r\n".as_slice(), &b"X: y\r\n".repeat(MOST_HEADERS + 1), b"\r\n"].concat();
    for (said, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
        (b"GET /metrics/../etc/shadow HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "400 Bad Request"),
        (b"\xff\xfe\0\0", "400 Bad Request"),
        (b"GET /metrics SPDY/9\r\n\r\n", "400 Bad Request"),
    ] {
        assert!(hear(&server, said).starts_with(&format!("HTTP/1.1 {status}\r\n")), "{:?}", String::from_utf8_lossy(said));
    }
    // What is left unread resets the connection, which may overtake the answer.
    for said in [long, many] {
        let heard = hear(&server, &said);
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 431 "), "{heard}");
    }
    assert!(hear(&server, GET).starts_with("HTTP/1.1 200"));
}

#[test]
fn slow_and_silent_clients_are_dropped_in_time_and_hold_nobody_up() {
    let server = server();
    let since = Instant::now();
    let mut silent = connect(&server);
    let mut deaf = connect(&server);
    deaf.write_all(GET).expect("a request");
    let mut slow = connect(&server);
    // A byte now and then must not count as a new start.
    let drip = std::thread::spawn(move || {
        let since = Instant::now();
        for byte in GET.iter().cycle() {
            if slow.write_all(&[byte.to_ascii_lowercase()]).is_err() || since.elapsed() > Duration::from_secs(8) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        since.elapsed()
    });
    for _ in 0..20 {
        let asked = Instant::now();
        assert!(hear(&server, GET).starts_with("HTTP/1.1 200"));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        server.publish(&[snapshot("GPU-1")]);
    }
    assert_eq!(rest(&mut silent), "");
    assert!(since.elapsed() < 2 * PATIENCE, "{:?}", since.elapsed());
    assert!(drip.join().expect("the slow client") < 2 * PATIENCE);
}

#[test]
fn a_crowd_that_says_nothing_does_not_keep_a_scraper_out() {
    let server = server();
    let crowd: Vec<TcpStream> = (0..4 * MOST_CLIENTS).map(|_| connect(&server)).collect();
    let asked = Instant::now();
    assert!(hear(&server, GET).starts_with("HTTP/1.1 200"));
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    let scrapers: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    for mut scraper in scrapers {
        scraper.write_all(GET).expect("a request");
        assert!(rest(&mut scraper).starts_with("HTTP/1.1 200"));
    }
    drop(crowd);
}

#[test]
fn a_reader_of_a_large_page_gets_it_in_pieces_and_whole() {
    let server = server();
    // More than the buffers of a connection hold.
    let gpus = (0..40_000).map(|n| GpuNow { uuid: format!("GPU-{n}"), power_w: Some(1.0), ..GpuNow::default() }).collect();
    let large = Snapshot { node: "n1".to_owned(), gpus, ..Snapshot::default() };
    server.publish(std::slice::from_ref(&large));
    let mut reader = connect(&server);
    reader.write_all(GET).expect("a request");
    std::thread::sleep(Duration::from_millis(200));
    assert!(hear(&server, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    let heard = rest(&mut reader);
    assert_eq!(heard.split_once("\r\n\r\n").expect("a head").1.len(), render(&[large]).len());
}

#[test]
fn a_port_that_is_taken_is_named_and_free_again_after_the_server() {
    let first = server();
    let address = first.address();
    let error = Server::start(address).err().expect("taken");
    assert!(format!("{error:#}").starts_with(&format!("listening on {address} for metrics: ")), "{error:#}");
    let held = connect(&first);
    drop(first);
    drop(held);
    assert!(TcpStream::connect(address).is_err(), "closed");
}
