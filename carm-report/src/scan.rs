//! Reads files in pieces, on as many threads as there are cores, and hands over what was made of the pieces, the last one first: of a
//! span that stands twice the line that was written last counts, and so comes first.
//!
//! Nothing is kept but what the caller makes of a piece: the ledger may be larger than memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use carm::ledger::{BadLine, MOST_LINE_BYTES};

use crate::files::{LedgerFile, LeftOut};

/// Bytes of a piece: large enough that handing over costs nothing, small enough that every thread has work to the end.
const PIECE: u64 = 1 << 20;
const MOST_THREADS: usize = 8;
/// More lines that cannot be read are counted, and not named.
const MOST_BAD_LINES: usize = 10_000;

/// What was made of a piece.
#[derive(Debug)]
pub struct Made<T> {
    /// The caller's own.
    pub result: T,
    /// Lines in the piece.
    pub lines: usize,
    /// Those that cannot be read: the line, from 0 in the piece, and why.
    pub bad: Vec<(usize, String)>,
}

/// Gives each piece, whole lines all, to `make`, and what it made, from the last piece of the last file on, to `take`.
pub fn scan<T: Send>(
    files: &[LedgerFile],
    left_out: &mut LeftOut,
    make: impl Fn(&[u8]) -> Made<T> + Sync,
    mut take: impl FnMut(T),
) {
    let pieces_of = |(i, file): (usize, &LedgerFile)| (0..file.length.div_ceil(PIECE)).rev().map(move |n| (i, n * PIECE));
    let pieces: Vec<(usize, u64)> = files.iter().enumerate().rev().flat_map(pieces_of).collect();
    let threads =
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS).min(pieces.len().max(1));
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(threads * 4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, pieces, make) = (sender.clone(), &next, &pieces, &make);
            scope.spawn(move || {
                let mut buffer = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&(file, from)) = pieces.get(number) else { break };
                    let made = read_piece(&files[file], from, &mut buffer).map(|range| make(&buffer[range]));
                    if sender.send((number, made)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        // How many lines stand before a piece is known when its file's first piece has come.
        let (mut bad, mut behind): (Vec<(usize, BadLine)>, usize) = (Vec::new(), 0);
        for (number, made) in receiver {
            waiting.insert(number, made);
            while let Some(made) = waiting.remove(&due) {
                let (file, from) = pieces[due];
                let path: &Path = &files[file].path;
                due += 1;
                match made {
                    Ok(made) => {
                        behind += made.lines;
                        let of_piece = made.bad.into_iter();
                        let of_piece =
                            of_piece.map(|(at, cause)| (behind - at, BadLine { path: path.to_owned(), line: 0, cause }));
                        let room = MOST_BAD_LINES.saturating_sub(bad.len() + left_out.lines.len());
                        left_out.more_lines += of_piece.len().saturating_sub(room);
                        bad.extend(of_piece.take(room));
                        take(made.result);
                    }
                    Err(error) => left_out.files.push((path.to_owned(), error.to_string())),
                }
                if from == 0 {
                    let of_file = bad.drain(..).map(|(from_end, one)| BadLine { line: behind - from_end + 1, ..one });
                    left_out.lines.extend(of_file);
                    behind = 0;
                }
            }
        }
    });
}

/// The lines that begin in a piece: `buffer` gets them, and the range tells where in it they are. A line that is longer than any of
/// CARM's ends where it is cut, and then is no JSON.
fn read_piece(file: &LedgerFile, from: u64, buffer: &mut Vec<u8>) -> std::io::Result<std::ops::Range<usize>> {
    let (open, length) = (file.open()?, file.length);
    // The byte before tells whether a line begins at the piece's first.
    let before = from.saturating_sub(1);
    let mut to = (from + PIECE).min(length);
    let mut end = read(&open, before, to, buffer, 0)?;
    let begin = if from == 0 { 0 } else { memchr::memchr(b'\n', &buffer[..end]).map_or(end, |at| at + 1) };
    // The piece lies within a line that began before it, or ends with one: no line begins in it.
    if begin == end {
        return Ok(0..0);
    }
    let most = end + MOST_LINE_BYTES;
    while to < length && end < most && buffer[..end].last() != Some(&b'\n') {
        let further = (to + (PIECE >> 5)).min(length);
        let seen = end;
        end = read(&open, to, further, buffer, seen)?;
        to = further;
        if let Some(at) = memchr::memchr(b'\n', &buffer[seen..end]) {
            end = seen + at + 1;
            break;
        }
    }
    if end >= most && buffer[..end].last() != Some(&b'\n') {
        // Cut: it still counts as one line.
        buffer.truncate(end);
        buffer.push(b'\n');
        end += 1;
    }
    Ok(begin..end)
}

/// Reads a part of a file to behind `seen` bytes of the buffer, and says where it ends. The buffer only grows: clearing it anew
/// for each piece would be a good part of the work.
fn read(file: &File, from: u64, to: u64, buffer: &mut Vec<u8>, seen: usize) -> std::io::Result<usize> {
    let end = seen + usize::try_from(to - from).unwrap_or(0);
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    file.read_exact_at(&mut buffer[seen..end], from)?;
    Ok(end)
}

/// The lines of a piece, with their numbers in it.
pub fn lines(piece: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut from = 0;
    let ends = memchr::memchr_iter(b'\n', piece).chain(std::iter::once(piece.len()));
    ends.map(move |end| {
        let line = &piece[from.min(end)..end];
        from = end + 1;
        line
    })
    .enumerate()
    .filter(|(_, line)| !line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use carm::files::Folder;
    use proptest::prelude::*;
    use std::io::Write;
    use std::sync::Arc;

    fn read_back(text: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text).expect("a write");
        let (dir, name) = (file.path().parent().expect("a folder"), file.path().file_name().expect("a name"));
        let folder = Arc::new(Folder::open(dir).expect("the folder"));
        let files = [LedgerFile::of(&folder, dir, name.to_owned()).expect("the file")];
        let (mut found, mut left_out) = (Vec::new(), LeftOut::default());
        let make = |piece: &[u8]| Made {
            result: lines(piece).map(|(_, line)| line.to_vec()).collect::<Vec<_>>(),
            lines: memchr::memchr_iter(b'\n', piece).count(),
            bad: Vec::new(),
        };
        scan(&files, &mut left_out, make, |lines| found.extend(lines.into_iter().rev()));
        found.reverse();
        assert!(left_out.files.is_empty());
        let count = found.len();
        (found, count)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_line_comes_once_and_in_order(lengths in proptest::collection::vec(prop_oneof![1_usize..400, 100_000_usize..5_000_000], 1..14), torn: bool) {
            let line = |(i, length): (usize, &usize)| format!("{i}{}\n", "x".repeat(*length)).into_bytes();
            let mut text: Vec<u8> = lengths.iter().enumerate().flat_map(line).collect();
            if torn {
                text.pop();
            }
            let (found, count) = read_back(&text);
            prop_assert_eq!(count, lengths.len());
            for (i, line) in found.iter().enumerate() {
                prop_assert_eq!(line.len(), i.to_string().len() + lengths[i]);
                prop_assert!(line.starts_with(i.to_string().as_bytes()));
            }
        }
    }
}
