//! The lines of a ledger file, one by one, however long the file or a line is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result, Seek, SeekFrom};

use memchr::memchr;

/// A longer line is none of CARM's: 1,500 steps (the most) are 300 kB, a month of a grid in steps of a minute is 5 MB.
pub const MOST_LINE_BYTES: usize = 16 << 20;

/// A longer file is none of CARM's: ten million of the usual lines.
pub const MOST_FILE_BYTES: u64 = 64 << 30;

/// More files in a folder are none of CARM's: 8,000 nodes for ten years.
pub const MOST_FILES: usize = 1_000_000;

/// Calls `each` with every line that begins in the last `most_bytes` of a file, with its number (from 1) among them, and `None` in
/// place of a line that is longer than [`MOST_LINE_BYTES`]. How many bytes were read.
pub(super) fn for_each_line(mut file: File, most_bytes: u64, mut each: impl FnMut(usize, Option<&[u8]>)) -> Result<u64> {
    let from = file.metadata()?.len().saturating_sub(most_bytes);
    file.seek(SeekFrom::Start(from))?;
    // A file that grows meanwhile is not read past the limit.
    let mut reader = BufReader::with_capacity(64 << 10, file.take(most_bytes));
    let (mut line, mut text, mut is_too_long, mut length) = (1, Vec::new(), false, 0);
    // The first line is cut, unless the file begins with it.
    let mut is_cut = from > 0;
    loop {
        let block = reader.fill_buf()?;
        let end = memchr(b'\n', block);
        let part = &block[..end.unwrap_or(block.len())];
        let read = part.len() + usize::from(end.is_some());
        if is_cut || is_too_long || text.len() + part.len() > MOST_LINE_BYTES {
            is_too_long = true;
            text = Vec::new();
        } else {
            text.extend_from_slice(part);
        }
        if end.is_some() || read == 0 {
            if !is_cut && (is_too_long || !text.trim_ascii().is_empty()) {
                each(line, (!is_too_long).then(|| text.trim_ascii()));
            }
            if read == 0 {
                return Ok(length);
            }
            line += usize::from(!is_cut);
            (is_cut, is_too_long) = (false, false);
            text.clear();
        }
        length += read as u64;
        reader.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(text: &[u8], most_bytes: u64) -> (Vec<(usize, Option<String>)>, u64) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text).expect("written");
        let mut lines = Vec::new();
        let each = |line, text: Option<&[u8]>| {
            lines.push((line, text.map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"))));
        };
        let length = for_each_line(file, most_bytes, each).expect("the file");
        (lines, length)
    }

    #[test]
    fn lines_come_in_order_with_numbers() {
        let line = |line, text: &str| (line, Some(text.to_owned()));
        assert_eq!(lines(b"a\n\n b \nc", 100), (vec![line(1, "a"), line(3, "b"), line(4, "c")], 8));
        assert_eq!(lines(b"", 100), (vec![], 0));
        assert_eq!(lines(b"first\nb\nc\n", 6), (vec![line(1, "b"), line(2, "c")], 6));
        assert_eq!(lines(b"first\nb\nc\n", 4), (vec![line(1, "c")], 4), "whether a line begins at the limit is not known");
    }

    #[test]
    fn line_of_gigabytes_takes_no_memory() {
        let mut file = tempfile::tempfile().expect("a file");
        // Sparse: it takes no room on disk.
        file.set_len(6 << 30).expect("a length");
        file.seek(SeekFrom::End(0)).expect("the end");
        file.write_all(b"\nlast\n").expect("written");
        let mut seen = Vec::new();
        for_each_line(file, 1 << 30, |line, text| seen.push((line, text.map(<[u8]>::to_vec)))).expect("the file");
        assert_eq!(seen, [(1, Some(b"last".to_vec()))]);
        let mut text = vec![b'x'; MOST_LINE_BYTES + 1];
        text.extend_from_slice(b"\nlast\n");
        assert_eq!(lines(&text, 1 << 30).0, [(1, None), (2, Some("last".to_owned()))]);
    }
}
