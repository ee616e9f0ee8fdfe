//! Standard input to batches of messages, on a thread of its own: reading blocks, and parsing beside sending is faster.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::reader::{LineReader, Message, ReaderError};

/// What is read at a time. Also what a batch of messages is made from, so it bounds what waits in the channel.
const CHUNK: usize = 128 * 1024;
/// A longer line is no line: something else was fed in by mistake. Far above any `max.request.size` in use.
const LONGEST_LINE: usize = 1 << 30;
/// Batches read ahead of the sender.
const BATCHES_AHEAD: usize = 4;

/// What the input holds next.
#[derive(Debug)]
pub(super) enum Input {
    /// Lines, in order, and how many bytes of input they took.
    Messages { messages: Vec<Message>, bytes: usize },
    /// A line that makes no sense; nothing follows.
    Bad(ReaderError),
    /// The input can't be read; nothing follows.
    Failed(io::Error),
}

/// Input that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    /// What was read; closes at the end of the input.
    pub(super) batches: mpsc::Receiver<Input>,
    stop: Arc<AtomicBool>,
}

impl Reading {
    /// Nothing more is to be read; what was read already still comes.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts to read `source`.
pub(super) fn start(source: impl Read + Send + 'static, reader: LineReader) -> io::Result<Reading> {
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    // Not joined: it may sit in a read that never returns when Ctrl-C ends the tool.
    thread::Builder::new().name("stdin".to_owned()).spawn(move || read_all(source, reader, &sender, &told))?;
    Ok(Reading { batches, stop })
}

fn read_all(mut source: impl Read, mut reader: LineReader, sender: &mpsc::Sender<Input>, stop: &AtomicBool) {
    let mut lines = Lines::default();
    while !stop.load(Ordering::Relaxed) {
        let (found, done) = match lines.fill(&mut source) {
            Ok(0) => (lines.last(), true),
            Ok(_) => (lines.whole(), false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = sender.blocking_send(Input::Failed(error));
                return;
            }
        };
        let mut messages = Vec::with_capacity(found.len());
        let mut bytes = 0;
        let mut bad = None;
        for line in found {
            match reader.read(&line) {
                Ok(message) => {
                    bytes += line.len() + 1;
                    messages.push(message);
                }
                Err(error) => {
                    bad = Some(error);
                    break;
                }
            }
        }
        if !messages.is_empty() && sender.blocking_send(Input::Messages { messages, bytes }).is_err() {
            return; // The sender has gone: Ctrl-C, or an error that it has told.
        }
        if let Some(error) = bad {
            let _ = sender.blocking_send(Input::Bad(error));
            return;
        }
        if done {
            return;
        }
    }
}

/// Cuts a stream into lines as Java's readers do: at `\n`, `\r\n` or a lone `\r`.
#[derive(Debug, Default)]
struct Lines {
    /// What is read and not yet handed out; between calls, a begun line.
    rest: Vec<u8>,
    /// How much of `rest` is known to have no line end.
    searched: usize,
    /// The last line ended in `\r`: a `\n` that follows belongs to that end.
    after_carriage_return: bool,
}

impl Lines {
    /// Reads once; 0 is the end of the stream.
    fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        let start = self.rest.len();
        if start > LONGEST_LINE {
            return Err(io::Error::other(format!("a line is longer than {LONGEST_LINE} bytes")));
        }
        self.rest.resize(start + CHUNK, 0);
        let result = self.rest.get_mut(start..).map_or(Ok(0), |free| source.read(free));
        self.rest.truncate(start + result.as_ref().copied().unwrap_or(0));
        result
    }

    /// The lines that are complete.
    fn whole(&mut self) -> Vec<Bytes> {
        let mut ends = Vec::new();
        if self.after_carriage_return && !self.rest.is_empty() {
            self.after_carriage_return = false;
            if self.rest.first() == Some(&b'\n') {
                self.rest.remove(0);
            }
        }
        let mut at = self.searched;
        while let Some(found) =
            self.rest.get(at..).and_then(|rest| rest.iter().position(|b| matches!(b, b'\n' | b'\r')))
        {
            let end = at + found;
            let carriage_return = self.rest.get(end) == Some(&b'\r');
            let next = end + if carriage_return && self.rest.get(end + 1) == Some(&b'\n') { 2 } else { 1 };
            self.after_carriage_return = carriage_return && next == self.rest.len() && next == end + 1;
            ends.push((end, next));
            at = next;
        }
        let Some(&(_, taken)) = ends.last() else {
            self.searched = self.rest.len();
            return Vec::new();
        };
        // A copy of its own, so that a few short lines don't keep a whole chunk in memory until they are sent.
        let block = Bytes::copy_from_slice(self.rest.get(..taken).unwrap_or_default());
        self.rest.drain(..taken);
        self.searched = self.rest.len();
        let mut start = 0;
        ends.into_iter()
            .map(|(end, next)| {
                let line = block.slice(start..end);
                start = next;
                line
            })
            .collect()
    }

    /// The line that ends with the stream, if one was begun.
    fn last(&mut self) -> Vec<Bytes> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() { Vec::new() } else { vec![rest.into()] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands out the bytes in pieces of the given sizes.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buf[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    fn lines(mut source: Pieces) -> Vec<Bytes> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        while lines.fill(&mut source).unwrap() > 0 {
            found.extend(lines.whole());
        }
        found.extend(lines.last());
        found
    }

    #[test]
    fn lines_end_as_in_java() {
        let split = |text: &str| lines(Pieces(vec![text.as_bytes().to_vec()]));
        assert_eq!(split("a\nb\n"), ["a", "b"]);
        assert_eq!(split("a\r\nb\rc"), ["a", "b", "c"]);
        assert_eq!(split("\n\nlast without newline"), ["", "", "last without newline"]);
        assert_eq!(split("a\r\r\n"), ["a", ""]);
    }

    #[test]
    fn a_carriage_return_at_the_end_of_a_piece_is_one_line_end() {
        let pieces = |texts: &[&str]| lines(Pieces(texts.iter().map(|t| t.as_bytes().to_vec()).collect()));
        assert_eq!(pieces(&["a\r", "\nb\n"]), ["a", "b"]);
        assert_eq!(pieces(&["a\r", "b\n"]), ["a", "b"]);
        assert_eq!(pieces(&["a\r", "\n"]), ["a"]);
        assert_eq!(pieces(&["a\r", "\n\n"]), ["a", ""]);
    }

    proptest! {
        /// However the stream is cut into pieces, the lines are the same.
        #[test]
        fn pieces_do_not_matter(text in "[ab\r\n]{0,40}", cuts in proptest::collection::vec(1usize..5, 0..40)) {
            let whole = lines(Pieces(if text.is_empty() { vec![] } else { vec![text.as_bytes().to_vec()] }));
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                if !piece.is_empty() {
                    pieces.push(piece.to_vec());
                }
                rest = others;
            }
            if !rest.is_empty() {
                pieces.push(rest.to_vec());
            }
            prop_assert_eq!(lines(Pieces(pieces)), whole);
        }
    }

    #[test]
    fn a_bad_line_comes_after_the_good_ones() {
        let properties = [("parse.key".to_owned(), "true".to_owned())].into();
        let source = Pieces(vec![b"a\t1\nb\t2\nnokey\nc\t3\n".to_vec()]);
        let mut reading = start(source, LineReader::new(&properties).unwrap()).unwrap();
        let Some(Input::Messages { messages, bytes }) = reading.batches.blocking_recv() else { panic!("no messages") };
        assert_eq!((messages.len(), bytes), (2, 8));
        let Some(Input::Bad(error)) = reading.batches.blocking_recv() else { panic!("no error") };
        assert_eq!(error.to_string(), "No key separator found on line number 3: 'nokey'");
        assert!(reading.batches.blocking_recv().is_none());
    }
}
