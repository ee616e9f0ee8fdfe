//! Printing: in Kafka's lines, or as JSON. What was found wrong goes to stderr too, some of it at the end as in Kafka's tool.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use indicatif::HumanBytes;

use crate::cli::support::{Output, Progress, Signal, Tint, at_first_signal, with_thousands};
use crate::protocol::json::{Json as _, JsonObject};

/// What the output looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Exactly what Kafka's script prints
    Kafka,
    /// One JSON document
    Json,
    /// A JSON document per line
    Ndjson,
}

/// Raised when what is in the documents changes its meaning.
const VERSION: i32 = 1;

/// No more pairs than this are kept of one file for the end: a file of garbage must not fill the memory.
const MAX_KEPT: usize = 100_000;

/// Two numbers that should go together.
type Pairs = BTreeMap<PathBuf, Vec<(i64, i64)>>;

/// What is printed, and what was found.
pub(super) struct Report<'o> {
    format: Format,
    out: &'o mut Output,
    progress: Progress,
    file: PathBuf,
    files: usize,
    entries: usize,
    damaged: bool,
    records: u64,
    bytes: u64,
    stopped: Arc<OnceLock<Signal>>,
    index_mismatches: Pairs,
    timestamp_mismatches: Pairs,
    timestamps_out_of_order: Pairs,
    offsets_not_found: Pairs,
    not_consecutive: Pairs,
}

/// What does not agree: the kinds that Kafka's tool tells of at the end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Disagreement {
    /// An offset of an index, and the last offset of the batch that it points to.
    Index,
    /// A timestamp of an index, and the largest of its batch.
    Timestamp,
    /// A timestamp of an index, and the one before it, which is not smaller.
    TimestampOrder,
    /// An offset of an index, and the batch's where it should be; -1: there is none.
    OffsetNotFound,
    /// A record's offset, and that of the next one.
    NotConsecutive,
}

impl Disagreement {
    /// Its name in JSON, and what the two numbers are.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Index => ("offsetMismatch", "indexOffset", "logOffset"),
            Self::Timestamp => ("timestampMismatch", "indexTimestamp", "logTimestamp"),
            Self::TimestampOrder => ("timestampOutOfOrder", "indexTimestamp", "previousTimestamp"),
            Self::OffsetNotFound => ("offsetNotFound", "indexOffset", "logOffset"),
            Self::NotConsecutive => ("notConsecutive", "offset", "nextOffset"),
        }
    }
}

/// A signal ended it before all was read.
#[derive(Debug, thiserror::Error)]
#[error("ended by {}", .0.name())]
pub(super) struct Stopped(pub(super) Signal);

impl<'o> Report<'o> {
    pub(super) fn new(format: Format, out: &'o mut Output) -> Self {
        let progress = Progress::new(!out.stdout_is_terminal(), out);
        Self {
            format,
            out,
            progress,
            file: PathBuf::new(),
            files: 0,
            entries: 0,
            damaged: false,
            records: 0,
            bytes: 0,
            stopped: Arc::default(),
            index_mismatches: Pairs::new(),
            timestamp_mismatches: Pairs::new(),
            timestamps_out_of_order: Pairs::new(),
            offsets_not_found: Pairs::new(),
            not_consecutive: Pairs::new(),
        }
    }

    /// From now on a signal ends it between two batches, so that what was found until then is told.
    pub(super) fn stop_at_signals(&self) -> anyhow::Result<()> {
        let stopped = Arc::clone(&self.stopped);
        at_first_signal(move |signal| {
            // It is the first one.
            let _ = stopped.set(signal);
        })
    }

    /// Whether Kafka's lines are wanted.
    pub(super) fn is_text(&self) -> bool {
        self.format == Format::Kafka
    }

    /// Begins with a file; `kind` is none if it is no file of a log.
    pub(super) fn file(&mut self, file: &Path, kind: Option<&'static str>) -> io::Result<()> {
        let begun = self.files > 0;
        file.clone_into(&mut self.file);
        self.files += 1;
        self.entries = 0;
        let mut name = String::new();
        file.to_string_lossy().write_json(&mut name, 0);
        let kind_json = kind.map_or_else(|| "null".to_owned(), |kind| format!("\"{kind}\""));
        match self.format {
            Format::Kafka => {
                let heading = self.out.bold(&format!("Dumping {}", file.display()));
                self.out.line(heading)?;
            }
            Format::Json => {
                let before = if begun { "]},\n" } else { "" };
                let start = if begun { String::new() } else { format!("{{\"version\":{VERSION},\"files\":[\n") };
                write!(self.out.stdout(), "{before}{start}{{\"file\":{name},\"kind\":{kind_json},\"entries\":[")?;
            }
            Format::Ndjson => {}
        }
        if kind.is_none() {
            self.note(format_args!("Ignoring unknown file {}", file.display()))?;
        }
        Ok(())
    }

    /// Prints a line of Kafka's.
    pub(super) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        if self.is_text() { self.out.line(text) } else { Ok(()) }
    }

    /// Prints bytes that hold a line of Kafka's.
    pub(super) fn raw_line(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.stdout().write_all(bytes)?;
        self.out.stdout().write_all(b"\n")
    }

    /// Prints an entry of the file as JSON.
    pub(super) fn entry(&mut self, kind: &str, fill: impl FnOnce(&mut JsonObject<'_>)) -> io::Result<()> {
        let mut json = String::new();
        let mut object = JsonObject::begin(&mut json);
        match self.format {
            Format::Kafka => return Ok(()),
            Format::Json => {}
            Format::Ndjson => {
                object.field("version", &VERSION, 0);
                object.field("file", self.file.to_string_lossy().as_ref(), 0);
            }
        }
        object.field("type", kind, 0);
        fill(&mut object);
        object.end();
        let before = match (self.format, self.entries) {
            (Format::Json, 0) => "\n",
            (Format::Json, _) => ",\n",
            _ => "",
        };
        let after = if self.format == Format::Ndjson { "\n" } else { "" };
        self.entries += 1;
        write!(self.out.stdout(), "{before}{json}{after}")
    }

    /// Tells of damage at a byte of the current file.
    pub(super) fn damage(&mut self, position: u64, what: impl fmt::Display) -> io::Result<()> {
        self.damaged = true;
        let what = what.to_string();
        self.entry("damage", |object| {
            object.field("position", &position, 0);
            object.field("reason", &what, 0);
        })?;
        let file = self.file.display().to_string();
        self.alarm(&format!("{file}: byte {position}: {what}"))
    }

    /// Tells of what is wrong with the current file as a whole, in Kafka's words.
    pub(super) fn unreadable(&mut self, what: impl fmt::Display) -> io::Result<()> {
        self.damaged = true;
        let what = what.to_string();
        self.entry("damage", |object| object.field("reason", &what, 0))?;
        self.alarm(&what)
    }

    /// Keeps two numbers that do not agree for the end.
    pub(super) fn disagree(&mut self, kind: Disagreement, one: i64, other: i64) -> io::Result<()> {
        // Segments of compacted topics have gaps, and none but the first begins at 0: no damage.
        self.damaged |= !matches!(kind, Disagreement::NotConsecutive);
        let (name, first, second) = kind.names();
        self.entry("disagreement", |object| {
            object.field("kind", name, 0);
            object.field(first, &one, 0);
            object.field(second, &other, 0);
        })?;
        let pairs = match kind {
            Disagreement::Index => &mut self.index_mismatches,
            Disagreement::Timestamp => &mut self.timestamp_mismatches,
            Disagreement::TimestampOrder => &mut self.timestamps_out_of_order,
            Disagreement::OffsetNotFound => &mut self.offsets_not_found,
            Disagreement::NotConsecutive => &mut self.not_consecutive,
        };
        let path = std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone());
        let kept = pairs.entry(path).or_default();
        if kept.len() < MAX_KEPT {
            kept.push((one, other));
        }
        Ok(())
    }

    /// Counts what was read, for whoever waits.
    ///
    /// # Errors
    /// [`Stopped`] after a signal.
    pub(super) fn advance(&mut self, records: u64, bytes: u64) -> Result<(), Stopped> {
        self.records += records;
        self.bytes += bytes;
        self.progress.add(records, bytes);
        self.stopped.get().map_or(Ok(()), |signal| Err(Stopped(*signal)))
    }

    /// Prints a remark on stderr.
    pub(super) fn remark(&mut self, text: impl fmt::Display) -> io::Result<()> {
        self.note(text)
    }

    fn note(&mut self, text: impl fmt::Display) -> io::Result<()> {
        self.progress.clear();
        self.out.note(text)
    }

    /// Tells of something that is wrong.
    fn alarm(&mut self, text: &str) -> io::Result<()> {
        let text = self.out.tinted_remark(text, Tint::Bad);
        self.note(text)
    }

    /// The same of a heading at the end.
    fn heading(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        let text = self.out.tinted_remark(&text.to_string(), Tint::Odd);
        self.out.note(text)
    }

    /// Ends the document and tells what did not agree; says whether anything was damaged.
    pub(super) fn end(mut self) -> io::Result<bool> {
        self.progress.clear();
        match (self.format, self.files) {
            (Format::Json, 0) => self.out.line(format_args!("{{\"version\":{VERSION},\"files\":[]}}"))?,
            (Format::Json, _) => self.out.line("]}\n]}")?,
            _ => {}
        }
        // Kafka keeps these in maps: one value per offset, here with the largest first.
        for (file, pairs) in std::mem::take(&mut self.index_mismatches) {
            self.heading(format_args!("Mismatches in :{}", file.display()))?;
            for (offset, found) in pairs.into_iter().collect::<BTreeMap<_, _>>().into_iter().rev() {
                self.out.note(format_args!("  Index offset: {offset}, log offset: {found}"))?;
            }
        }
        for (file, pairs) in std::mem::take(&mut self.timestamp_mismatches) {
            self.heading(format_args!("Found timestamp mismatch in :{}", file.display()))?;
            for (timestamp, found) in pairs {
                self.out.note(format_args!("  Index timestamp: {timestamp}, log timestamp: {found}"))?;
            }
        }
        for (file, pairs) in std::mem::take(&mut self.timestamps_out_of_order) {
            self.heading(format_args!("Found out of order timestamp in :{}", file.display()))?;
            for (timestamp, previous) in pairs {
                self.out
                    .note(format_args!("  Index timestamp: {timestamp}, Previously indexed timestamp: {previous}"))?;
            }
        }
        for (file, pairs) in std::mem::take(&mut self.offsets_not_found) {
            self.heading(format_args!("The following indexed offsets are not found in :{}", file.display()))?;
            for (offset, found) in pairs {
                self.out.note(format_args!("Indexed offset: {offset}, found log offset: {found}"))?;
            }
        }
        for (file, pairs) in std::mem::take(&mut self.not_consecutive) {
            self.heading(format_args!("Non-consecutive offsets in {}", file.display()))?;
            for (offset, next) in pairs.into_iter().collect::<BTreeMap<_, _>>() {
                self.out.note(format_args!("  {offset} is followed by {next}"))?;
            }
        }
        if let Some(signal) = self.stopped.get() {
            self.out.note(format_args!(
                "ended by {} in {} after {} in all, {} records or entries",
                signal.name(),
                self.file.display(),
                HumanBytes(self.bytes),
                with_thousands(self.records),
            ))?;
        }
        Ok(self.damaged)
    }
}
