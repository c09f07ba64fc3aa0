//! Answers that carry an ETag, kept so that a service need not send them twice.
//!
//! Readable by whoever runs carm-grid alone: an answer may be under a licence. No token is in it: files are named and known by
//! the public part of a request, and answers to log-ins are not kept.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::http::Request;

/// A larger one is sent again.
const MOST_BYTES: usize = 4 << 20;
/// What was not asked for since then will hardly be again: most requests name times.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 86_400);

/// A folder of answers.
pub struct Kept {
    folder: PathBuf,
}

/// An answer that a service may say still holds.
pub struct Known {
    /// Its ETag.
    pub etag: String,
    /// What was answered.
    pub body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    asked: String,
    etag: String,
}

impl Kept {
    /// In a folder that is made when it is needed. Forgets what is old.
    pub fn new(folder: PathBuf) -> Self {
        let old = |entry: &fs::DirEntry| {
            let written = entry.metadata().and_then(|meta| meta.modified()).ok()?;
            SystemTime::now().duration_since(written).ok().filter(|age| *age > FORGOTTEN_AFTER)
        };
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten().filter(|entry| old(entry).is_some()) {
            let _ = fs::remove_file(entry.path());
        }
        Self { folder }
    }

    /// The answer that is known of a request.
    pub fn find(&self, request: &Request) -> Option<Known> {
        let bytes = carm::files::read(&self.path(request), 2 * MOST_BYTES as u64).ok()?;
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        (head.asked == asked(request)).then(|| Known { etag: head.etag, body: bytes[end + 1..].to_vec() })
    }

    /// Keeps an answer. Where that fails the service sends it again, and nothing is lost.
    pub fn keep(&self, request: &Request, etag: &str, body: &[u8]) {
        let head = Head { asked: asked(request), etag: etag.to_owned() };
        let Ok(mut bytes) = serde_json::to_vec(&head) else { return };
        if body.len() > MOST_BYTES || crate::state::private_folder(&self.folder).is_err() {
            return;
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        let _ = crate::state::replace(&self.path(request), &bytes, 0o600);
    }

    fn path(&self, request: &Request) -> PathBuf {
        self.folder.join(format!("{:016x}", crate::state::fingerprint(&asked(request))))
    }
}

/// The public part of a request.
fn asked(request: &Request) -> String {
    let mut text = request.url.clone();
    for (name, value) in &request.query {
        text += &format!("\n{name}={value}");
    }
    text
}
