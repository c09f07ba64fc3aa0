//! The files beside the library: `gpus.state` under flock, `power.csv`, `calls.log`.
//! It decides how the state survives a process killed in the middle of a write; what the state means is [`crate::state`]'s.
//!
//! `gpus.state` holds two copies in turn, each with a sequence number and a checksum: a torn write leaves the older one. The
//! power log's committed length is part of the state, so a line whose state was never written is written over.
//! Files are created with mode 0666 whatever the umask: prologs (root) and jobs (users) share them. An existing file is never
//! opened with O_CREAT, which the kernel refuses for another user's file in a sticky folder (fs.protected_regular).

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};

/// Room for one copy of the state: some hundred cards and clients.
const SLOT: usize = 64 * 1024;
const MAGIC: &str = "nvml-standin";

/// The open, locked state file; unlocked when dropped.
pub struct Store {
    file: File,
    dir: PathBuf,
    sequence: u64,
    before: Vec<u8>,
}

impl Store {
    /// Opens `<dir>/gpus.state`, waits for the lock, and returns the newest whole copy (empty at the first use).
    pub fn lock(dir: &Path) -> io::Result<(Store, Vec<u8>)> {
        let mut file = open(&dir.join("gpus.state"), OpenOptions::new().read(true).write(true))?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        let mut bytes = Vec::with_capacity(2 * SLOT);
        file.read_to_end(&mut bytes)?;
        let copies = [bytes.get(..SLOT.min(bytes.len())), bytes.get(SLOT..)];
        let newest = copies.into_iter().flatten().filter_map(parse).max_by_key(|(sequence, _)| *sequence);
        let (sequence, text) = newest.map_or((0, Vec::new()), |(sequence, text)| (sequence, text.to_vec()));
        let store = Store { file, dir: dir.to_owned(), sequence, before: text.clone() };
        Ok((store, text))
    }

    /// Writes the state, unless nothing changed.
    pub fn commit(mut self, text: &[u8]) -> io::Result<()> {
        if text == self.before {
            return Ok(());
        }
        self.sequence += 1;
        let mut slot = format!("{MAGIC} {} {} {:016x}\n", self.sequence, text.len(), checksum(text)).into_bytes();
        slot.extend_from_slice(text);
        if slot.len() > SLOT {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "gpus.state: too many cards or clients"));
        }
        let offset = if self.sequence % 2 == 1 { 0 } else { SLOT as u64 };
        self.file.write_all_at(&slot, offset)
    }

    /// Appends lines to `power.csv` after the committed length, and returns the new length.
    pub fn log_power(&self, committed: u64, lines: &str) -> io::Result<u64> {
        let mut file = open(&self.dir.join("power.csv"), OpenOptions::new().write(true))?;
        if file.metadata()?.len() > committed {
            file.set_len(committed)?;
        }
        let end = file.seek(SeekFrom::End(0))?;
        file.write_all(lines.as_bytes())?;
        Ok(end + lines.len() as u64)
    }
}

/// Appends one line to `calls.log`.
pub fn log_call(dir: &Path, line: &str) -> io::Result<()> {
    open(&dir.join("calls.log"), OpenOptions::new().append(true))?.write_all(line.as_bytes())
}

/// Opens a shared file, creating it for everyone where it is missing.
fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    loop {
        match options.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other.map_err(named),
        }
        match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(named(error)),
            Ok(file) => {
                fchmod(&file, Mode::from_raw_mode(0o666))?;
                return Ok(file);
            }
        }
    }
}

fn parse(slot: &[u8]) -> Option<(u64, &[u8])> {
    let end = slot.iter().take(128).position(|&byte| byte == b'\n')?;
    let mut header = std::str::from_utf8(&slot[..end]).ok()?.split(' ');
    if header.next()? != MAGIC {
        return None;
    }
    let sequence = header.next()?.parse().ok()?;
    let length: usize = header.next()?.parse().ok()?;
    let sum = u64::from_str_radix(header.next()?, 16).ok()?;
    let text = slot.get(end + 1..end + 1 + length)?;
    (checksum(text) == sum).then_some((sequence, text))
}

/// FNV-1a, 64 bits: enough to know a torn write.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
