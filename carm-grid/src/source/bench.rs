//! What the tests of the sources have in common: the stand-in services, a zone of theirs, and what they are asked.

use carm::config::{Live, Service};
use carm::grid::Intensity;
use carm::quantity::parse_instant;
use chrono::{DateTime, TimeDelta, Utc};
use grid_standin::{Server, World};

use super::{Area, Ask, Reading, Source, of};
use crate::fault::Fault;
use crate::http::{Answer, Http};
use crate::token::Token;

/// A zone at the stand-in services. It is 12:10 UTC on the first of May there.
pub struct Bench {
    pub server: Server,
    pub live: Live,
    pub intensity: Intensity,
    pub token: Option<Token>,
    pub now: DateTime<Utc>,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// A time.
pub fn at(text: &str) -> DateTime<Utc> {
    parse_instant(text).expect(text)
}

/// An answer as if a service had given it.
pub fn answer(body: &str) -> Answer {
    Answer { url: "http://x/y".to_owned(), body: body.as_bytes().to_vec() }
}

/// A recorded answer of a service, where there is one on this machine.
pub fn recorded(file: &str) -> Option<Answer> {
    let Some(folder) = std::env::var_os("CARM_DATA") else {
        eprintln!("skipped: CARM_DATA is not set, so there is no {file}");
        return None;
    };
    let path = std::path::Path::new(&folder).join("api").join(file);
    Some(Answer {
        url: file.to_owned(),
        body: std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    })
}

/// A fenced block of a page's worked example, by its place.
pub fn example(page: &str, place: usize) -> &str {
    let (_, section) = page.split_once("\n## Worked example\n").expect("a worked example");
    let block = section.split("\n```").nth(2 * place + 1).expect("a block");
    block.split_once('\n').map_or("", |(_, text)| text)
}

/// Points of intensity, as a page's worked example tells them.
pub fn told_g_per_kwh(points: &[super::Point]) -> String {
    told(points, |value| format!("{value:.2} g/kWh"))
}

/// The same of shares.
pub fn told_share(points: &[super::Point]) -> String {
    told(points, |value| format!("share {value:.3}"))
}

fn told(points: &[super::Point], value: impl Fn(f64) -> String) -> String {
    let line = |point: &super::Point| {
        let from = point.from.format("%Y-%m-%dT%H:%MZ");
        format!("{from}, {} minutes: {}", point.length.num_minutes(), value(point.value))
    };
    points.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Bench {
    /// A zone of a service: a day back and two days ahead are asked for.
    pub fn of(service: Service, area: &str) -> Self {
        let (server, now) = (Server::start(), at("2026-05-01T12:10:00Z"));
        server.set_now(now);
        let live = Live {
            service,
            area: area.to_owned(),
            token_file: None,
            base_url: Some(server.url(service.name())),
            api: None,
            query: None,
            quantity: None,
            command: Vec::new(),
            user: None,
            interval_s: None,
            extend: true,
            utc_offset_s: 0,
        };
        let (since, until) = (now - TimeDelta::days(1), now + TimeDelta::days(2));
        Self { server, live, intensity: Intensity::Average, token: None, now, since, until }
    }

    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(Token::from(token)), ..self }
    }

    pub fn world(&self) -> World {
        self.server.world()
    }

    fn source(&self) -> (Http, &'static dyn Source, Ask<'_>) {
        let Self { live, intensity, token, now, since, until, .. } = self;
        let token = token.as_ref();
        let ask = Ask { live, intensity: *intensity, token, now: *now, since: *since, until: *until };
        (Http::new().expect("a client"), of(live.service).expect("a source"), ask)
    }

    /// Asks the service as the fetch does.
    pub fn ask(&self) -> Result<Reading, Fault> {
        let (http, source, ask) = self.source();
        source.ask(&http, &ask)
    }

    /// What a service says that fails.
    pub fn fault(&self) -> String {
        self.ask().expect_err("a fault").to_string()
    }

    pub fn areas(&self) -> Result<Vec<Area>, Fault> {
        let (http, source, ask) = self.source();
        source.areas(&http, &ask)
    }
}

/// Every point is what the world says of its begin, at least `least` of them, each of a length.
pub fn holds(points: &[super::Point], least: usize, minutes: i64, tolerance: f64, world: impl Fn(DateTime<Utc>) -> f64) {
    assert!(points.len() >= least, "{} points, not {least}", points.len());
    for point in points {
        let expected = world(point.from);
        assert!((point.value - expected).abs() <= tolerance, "{}: {} is not {expected}", point.from, point.value);
        assert_eq!(point.length, TimeDelta::minutes(minutes), "{}", point.from);
    }
}
