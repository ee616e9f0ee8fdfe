//! What was found, for people and for programs.

use std::io;

use serde_json::{Value, json};

use crate::cli::support::{Output, Signal, Tint, with_thousands};
use crate::log::check::{DirectoryState, Fault, PartitionSummary, Severity};

/// What the output looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A line per fault; grouped, with a summary, on a terminal
    Text,
    /// One JSON document
    Json,
    /// A JSON document per line
    Ndjson,
}

/// Raised when what is in the documents changes its meaning.
const VERSION: i32 = 1;

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) directories: Vec<DirectoryState>,
    faults: Vec<Fault>,
    counts: [u64; 3],
    /// Partitions that were to be looked at.
    pub(super) wanted: u64,
    /// What ended it before it was done.
    pub(super) stopped: Option<Signal>,
    pub(super) partitions: u64,
    segments: u64,
    bytes: u64,
}

impl Found {
    /// Takes a fault; beyond a bound they are only counted.
    pub(super) fn add(&mut self, fault: Fault) {
        if let Some(count) = self.counts.get_mut(fault.severity as usize) {
            *count += 1;
        }
        if self.faults.len() < super::MAX_SHOWN {
            self.faults.push(fault);
        }
    }

    /// Counts a partition.
    pub(super) fn took(&mut self, summary: &PartitionSummary) {
        self.partitions += 1;
        self.segments += summary.segments as u64;
        self.bytes += summary.bytes;
    }

    /// Faults of this severity.
    pub(super) fn count(&self, severity: Severity) -> u64 {
        self.counts.get(severity as usize).copied().unwrap_or(0)
    }

    /// By path, so that two looks at the same directory say the same.
    pub(super) fn sort(&mut self) {
        self.faults.sort_by(|a, b| (&a.path, a.position, a.kind, &a.text).cmp(&(&b.path, b.position, b.kind, &b.text)));
    }

    fn summary(&self) -> Value {
        json!({
            "partitions": self.partitions,
            "segments": self.segments,
            "bytes": self.bytes,
            "info": self.count(Severity::Info),
            "warnings": self.count(Severity::Warning),
            "dataLoss": self.count(Severity::DataLoss),
            "complete": self.stopped.is_none(),
            "notShown": self.counts.iter().sum::<u64>() - self.faults.len() as u64,
        })
    }
}

/// Prints it all.
pub(super) fn print(found: &Found, format: Format, out: &mut Output) -> io::Result<()> {
    print_found(found, format, out)?;
    if let Some(signal) = found.stopped {
        out.note(format_args!(
            "ended by {} after {} of {} and {}: nothing is known of the others",
            signal.name(),
            with_thousands(found.partitions),
            counted(found.wanted, "partition"),
            indicatif::HumanBytes(found.bytes),
        ))?;
    }
    Ok(())
}

fn print_found(found: &Found, format: Format, out: &mut Output) -> io::Result<()> {
    match format {
        Format::Json => out.json(&json!({
            "version": VERSION,
            "directories": found.directories.iter().map(directory).collect::<Vec<_>>(),
            "faults": found.faults.iter().map(fault).collect::<Vec<_>>(),
            "summary": found.summary(),
        })),
        Format::Ndjson => {
            for value in found.directories.iter().map(directory).chain(found.faults.iter().map(fault)) {
                out.line(&value)?;
            }
            let mut summary = found.summary();
            if let Some(object) = summary.as_object_mut() {
                object.insert("version".to_owned(), VERSION.into());
                object.insert("type".to_owned(), "summary".into());
            }
            out.line(&summary)
        }
        Format::Text if out.is_for_people() => print_groups(found, out),
        Format::Text => {
            for fault in &found.faults {
                out.line(format_args!("{} {} {fault}", fault.severity.name(), fault.kind.name()))?;
            }
            Ok(())
        }
    }
}

fn directory(state: &DirectoryState) -> Value {
    let properties = state.properties.as_ref();
    json!({
        "version": VERSION,
        "type": "directory",
        "path": state.path.display().to_string(),
        "clusterId": properties.and_then(|p| p.cluster_id.clone()),
        "nodeId": properties.and_then(|p| p.node_id).map(|id| id.get()),
        "directoryId": properties.and_then(|p| p.directory_id).map(|id| id.to_string()),
        "partitions": state.partitions.len(),
        "usedByProcess": state.user,
        "cleanlyClosed": state.was_closed,
    })
}

fn fault(fault: &Fault) -> Value {
    json!({
        "version": VERSION,
        "type": "fault",
        "severity": fault.severity.name(),
        "kind": fault.kind.name(),
        "path": fault.path.display().to_string(),
        "position": fault.position,
        "lostFrom": fault.lost.map(|(from, _)| from),
        "lostTo": fault.lost.map(|(_, to)| to).filter(|to| *to != i64::MAX),
        "text": fault.text,
    })
}

/// For a person: the worst first, a directory of a partition once, and what to do next.
fn print_groups(found: &Found, out: &mut Output) -> io::Result<()> {
    for (severity, title, tint) in [
        (Severity::DataLoss, "Records are gone or can't be read", Some(Tint::Bad)),
        (Severity::Warning, "Faults without loss", Some(Tint::Odd)),
        (Severity::Info, "Good to know", None),
    ] {
        let mut parent = None;
        for fault in found.faults.iter().filter(|fault| fault.severity == severity) {
            if parent.is_none() {
                let title = tint.map_or_else(|| out.bold(title), |tint| out.tinted(title, tint));
                out.line(title)?;
            }
            let directory = fault.path.parent();
            if parent != Some(directory) {
                out.line(format_args!("  {}", directory.unwrap_or(&fault.path).display()))?;
                parent = Some(directory);
            }
            let name = fault.path.file_name().unwrap_or_default().display();
            let at = fault.position.map(|position| format!(" byte {position}")).unwrap_or_default();
            let lost = match fault.lost {
                Some((from, to)) if to == i64::MAX => format!(" (offsets from {from} on)"),
                Some((from, to)) => format!(" (offsets {from} up to {to})"),
                None => String::new(),
            };
            out.line(format_args!("    {name}{at}: {}{lost} [{}]", fault.text, fault.kind.name()))?;
        }
        if parent.is_some() {
            out.line("")?;
        }
    }
    let (losses, warnings) = (found.count(Severity::DataLoss), found.count(Severity::Warning));
    let (verdict, tint) = match (losses, warnings) {
        (0, 0) if found.stopped.is_some() => ("nothing wrong so far".to_owned(), Tint::Odd),
        (0, 0) => ("nothing wrong".to_owned(), Tint::Good),
        (0, warnings) => (format!("{}, no records lost", counted(warnings, "fault")), Tint::Odd),
        (losses, warnings) => {
            let text = format!("records lost in {}, {}", counted(losses, "place"), counted(warnings, "other fault"));
            (text, Tint::Bad)
        }
    };
    let verdict = out.tinted(&verdict, tint);
    out.line(format_args!(
        "{}, {}, {}: {verdict}",
        counted(found.partitions, "partition"),
        counted(found.segments, "segment"),
        indicatif::HumanBytes(found.bytes),
    ))?;
    if losses > 0 {
        out.hint("keep a copy of the directory before a broker starts on it; `kafka-rs dump-log` shows what is left in a file")?;
    } else if warnings > 0 {
        out.hint("a start of the broker mends indexes, snapshots and torn ends; directories have to be moved by hand")?;
    }
    Ok(())
}

/// A number of things: `1 segment`, `2 segments`.
fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", with_thousands(number), if number == 1 { "" } else { "s" })
}
