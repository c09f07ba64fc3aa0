//! Asking: zones that ask one service the same share one question, and questions are asked at the same time, so many at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use carm::config::{Live, Source, Zone};
use carm::grid::Intensity;
use chrono::{DateTime, Utc};

use crate::fault::Fault;
use crate::http::Http;
use crate::source::{self, Ask, Reading};
use crate::token::Token;

/// Zones that are fetched at the same time. Each may hold five weeks of values in memory; each host gets one request at a time.
const AT_ONCE: usize = 12;

/// A question, and the zones whose answer it is.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The zones, in the configuration's order; never none.
    pub zones: Vec<&'a Zone>,
    /// Their keys, as far as they make the question.
    pub live: &'a Live,
    /// Which intensity is asked for.
    pub intensity: Intensity,
}

/// The questions of live zones; other zones have none.
pub fn questions<'a>(zones: &[&'a Zone]) -> Vec<Question<'a>> {
    let mut questions: Vec<Question<'a>> = Vec::new();
    for &zone in zones {
        let Source::Live(live) = &zone.source else { continue };
        let key = key(live, zone.intensity);
        match questions.iter_mut().find(|question| self::key(question.live, question.intensity) == key) {
            Some(question) => question.zones.push(zone),
            None => questions.push(Question { zones: vec![zone], live, intensity: zone.intensity }),
        }
    }
    questions
}

/// Questions in an order in which each host's first come before any second one: a host answers one at a time, and those that wait
/// for it should not keep others from being asked.
pub fn interleaved(questions: Vec<Question>) -> Vec<Question> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, Question)> = Vec::with_capacity(questions.len());
    for question in questions {
        let turn = counts.entry(address(question.live)).or_default();
        turns.push((*turn, question));
        *turn += 1;
    }
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, question)| question).collect()
}

/// Whom a zone asks, for people.
pub fn address(live: &Live) -> String {
    let own = || source::of(live.service).and_then(|source| source.base_url());
    live.base_url.as_deref().or_else(own).unwrap_or(live.service.name()).to_owned()
}

/// All that an answer depends on, as text. Data fetched under one key are no history of another.
pub fn key(live: &Live, intensity: Intensity) -> String {
    // Not a token's content: a renewed one asks for the same.
    let Live {
        service,
        area,
        token_file,
        base_url,
        api,
        query,
        quantity,
        command,
        user,
        interval_s: _,
        extend: _,
        utc_offset_s: _,
    } = live;
    format!("{service:?} {area:?} {token_file:?} {base_url:?} {api:?} {query:?} {quantity:?} {command:?} {user:?} {intensity:?}")
}

/// Asks one.
///
/// # Errors
/// The token cannot be read, or the source did not answer as it should.
pub fn ask(
    http: &Http,
    question: &Question,
    now: DateTime<Utc>,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Reading, Fault> {
    let live = question.live;
    let name = live.service.name();
    let source = source::of(live.service).ok_or_else(|| Fault::Setup(format!("this release cannot ask {name}")))?;
    let token = live.token_file.as_deref().map(Token::read).transpose()?;
    let mut reading = source.ask(http, &Ask { live, intensity: question.intensity, token: token.as_ref(), now, since, until })?;
    if token.is_some() && live.base_url.as_deref().is_some_and(is_open) {
        reading.remarks.push("the token travels unencrypted: base_url is http:// to another host; use https://".to_owned());
    }
    Ok(reading)
}

/// Whether an address is plain HTTP to a host that is not this one.
fn is_open(base_url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base_url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "http" && !is_loopback
}

/// Does something for each item on a bounded number of threads; the results are in the items' order.
pub fn at_once<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(items.len()));
    // The lock is let go before the work begins.
    let take = || next.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..items.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some((index, item)) = take() {
                    let result = f(item);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use carm::config::Config;
    use std::path::Path;

    #[test]
    fn zones_that_ask_the_same_share_a_question() {
        let zone = |name: &str, keys: &str| format!("[[zone]]\nname = \"{name}\"\nsource = \"energy-charts\"\n{keys}\n");
        let text = zone("DE", "area = \"de\"")
            + &zone("DE again", "area = \"de\"\ninterval = \"1h\"")
            + &zone("elsewhere", "area = \"de\"\nbase_url = \"http://127.0.0.1:1\"")
            + "[[zone]]\nname = \"typical\"\nsource = \"typical-day\"\n";
        let config = Config::parse(&text, Path::new("carm.toml")).unwrap();
        let questions = questions(&config.zones.iter().collect::<Vec<_>>());
        let names: Vec<Vec<&str>> = questions.iter().map(|q| q.zones.iter().map(|zone| zone.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["DE", "DE again"], vec!["elsewhere"]]);
    }

    #[test]
    fn each_hosts_first_question_comes_first() {
        let zone = |host: u32, name: &str| {
            format!(
                "[[zone]]\nname = \"{name}\"\nsource = \"energy-charts\"\narea = \"{name}\"\nbase_url = \"http://127.0.0.{host}\"\n"
            )
        };
        let text = [zone(1, "aa"), zone(1, "ab"), zone(1, "ac"), zone(2, "ba"), zone(2, "bb"), zone(3, "ca")].concat();
        let config = Config::parse(&text, Path::new("carm.toml")).unwrap();
        let order = interleaved(questions(&config.zones.iter().collect::<Vec<_>>()));
        assert_eq!(order.iter().map(|q| q.zones[0].name.as_str()).collect::<Vec<_>>(), ["aa", "ba", "ca", "ab", "bb", "ac"]);
    }

    #[test]
    fn only_plain_http_to_other_hosts_is_open() {
        for url in ["http://grid.example:9090", "http://10.0.0.1", "http://[2001:db8::1]/x"] {
            assert!(is_open(url), "{url}");
        }
        for url in ["https://grid.example", "http://127.0.0.2:1", "http://localhost:9090", "http://[::1]:1"] {
            assert!(!is_open(url), "{url}");
        }
    }

    #[test]
    fn everything_is_done_once_and_told_in_order() {
        let items: Vec<u64> = (0..100).collect();
        let squares = at_once(&items, |&item| {
            std::thread::sleep(std::time::Duration::from_millis(item % 3));
            item * item
        });
        assert_eq!(squares, items.iter().map(|item| item * item).collect::<Vec<_>>());
        assert_eq!(at_once(&[] as &[u64], |&item| item), [0_u64; 0]);
    }
}
