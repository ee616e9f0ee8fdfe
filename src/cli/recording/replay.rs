//! `replay`: a recording back to a topic.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::format::{Description, FormatError, Piece, Reader, Recorded};
use crate::cli::Run;
use crate::cli::help::Example;
use crate::cli::support::{
    ConnectArgs, Exit, MOMENTS, Outgoing, Output, OwnOutputArgs, PartitionsArg, Progress, Signal, Signals, Transfer,
    TransferOutcome, UsageError, block_on_two_threads, moment_text, parse_moment, with_thousands,
};
use crate::client::Admin;
use crate::record::Header;

/// Chunks that are read ahead of what is sent.
const READ_AHEAD: usize = 2;

/// Send a recording to a topic, in its own time or faster
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Records keep their keys, values, headers and timestamps. The topic must exist. A recording that is cut off is replayed \
as far as it goes, and the exit code is 1 then.

--output json prints {version, file, topic, complete, records, bytes, partitions: [{partition, records}]}; with \
--dry-run also from and to, the earliest and latest timestamp.")]
pub(in crate::cli) struct Replay {
    /// Recording; - for standard input
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Topic to send to [default: that of the recording]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// How fast: 1 as recorded, 10 ten times as fast, max as fast as it goes
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed)]
    speed: Speed,
    #[command(flatten)]
    partitions: PartitionsArg,
    /// Timestamps: keep those of the recording, or now
    #[arg(long, value_name = "WHICH", default_value = "keep", hide_short_help = true)]
    timestamps: Timestamps,
    /// Leave out what is before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_moment)]
    from: Option<i64>,
    /// Leave out what is at or after this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_moment)]
    to: Option<i64>,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OwnOutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// The timestamps of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Timestamps {
    /// Those of the recording
    Keep,
    /// When they are sent
    Now,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Speed::Times(factor)),
        _ => Err("a number above 0, or max".to_owned()),
    }
}

impl Run for Replay {
    const EXAMPLES: &'static [Example] = &[
        ("Send it as it came", "kafka-rs replay --file orders.rec"),
        ("All at once, to another topic", "kafka-rs replay --file orders.rec --topic orders-2 --speed max"),
        ("See what is in a recording", "kafka-rs replay --file orders.rec --dry-run"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let Some(file) = &self.file else { return Err(UsageError::missing("file")) };
        if self.from.is_some_and(|from| self.to.is_some_and(|to| from >= to)) {
            return Err(UsageError::because(format!("Option from must be before option to; both are {MOMENTS}")));
        }
        let source: Box<dyn Read + Send> = if file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(file).with_context(|| format!("could not read {}", file.display()))?)
        };
        let (reader, description) =
            Reader::new(BufReader::new(source)).with_context(|| format!("could not read {}", file.display()))?;
        let shown = file.display().to_string();
        if self.dry_run {
            return self.describe(reader, &description, &shown, out);
        }
        block_on_two_threads(self.replay(reader, &description, &shown, out))
    }
}

impl Replay {
    fn wants(&self, recorded: &Recorded) -> bool {
        let timestamp = recorded.record.timestamp;
        self.from.is_none_or(|from| timestamp >= from) && self.to.is_none_or(|to| timestamp < to)
    }

    fn target<'a>(&'a self, description: &'a Description) -> &'a str {
        self.topic.as_deref().unwrap_or(&description.topic)
    }

    async fn replay(
        &self,
        reader: Reader<BufReader<Box<dyn Read + Send>>>,
        description: &Description,
        file: &str,
        out: &mut Output,
    ) -> anyhow::Result<Exit> {
        let options = self.connect.admin_options(out)?;
        let topic = self.target(description);
        let admin = Admin::new(options.clone());
        self.partitions.check(&admin, topic, description.partitions).await?;
        let mut transfer = Transfer::new(options, self.partitions, Progress::new(true, out));
        let mut signals = Signals::listen()?;
        let mut pieces = read_ahead(reader);
        let mut clock = Clock { speed: self.speed, first: None };
        let mut unreadable = None;
        let mut complete = false;
        let mut signal = None;
        'pieces: loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                got = signals.next() => { signal = Some(got); break }
            };
            let records = match piece {
                Some(Ok(Piece::Records(records))) => records,
                Some(Ok(Piece::End { complete: all })) => {
                    complete = all;
                    break;
                }
                Some(Err(error)) => {
                    unreadable = Some(error);
                    break;
                }
                None => break,
            };
            for recorded in records.iter().filter(|recorded| self.wants(recorded)) {
                let work = async {
                    if let Some(due) = clock.due(recorded.record.timestamp)
                        && due > Instant::now()
                    {
                        tokio::time::sleep_until(due).await;
                    }
                    self.send(&mut transfer, topic, recorded).await
                };
                tokio::select! {
                    result = work => result?,
                    got = signals.next() => { signal = Some(got); break 'pieces }
                }
            }
        }
        let outcome = transfer.end().await?;
        self.tell(&outcome, topic, file, complete && signal.is_none(), signal, out)?;
        match (unreadable, signal) {
            (Some(error), _) => Err(anyhow::Error::new(error).context(format!("could not read {file} to its end"))),
            (None, Some(signal)) => Ok(signal.exit()),
            (None, None) => Ok(Exit::Success),
        }
    }

    async fn send(&self, transfer: &mut Transfer, topic: &str, recorded: &Recorded) -> anyhow::Result<()> {
        let record = &recorded.record;
        let headers: Vec<Header<'_>> = record.headers.iter().map(|header| header.as_header()).collect();
        let keeps_time = self.timestamps == Timestamps::Keep && record.timestamp >= 0;
        transfer
            .send(&Outgoing {
                topic,
                partition: recorded.partition,
                timestamp: keeps_time.then_some(record.timestamp),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            })
            .await
    }

    fn tell(
        &self,
        outcome: &TransferOutcome,
        topic: &str,
        file: &str,
        complete: bool,
        signal: Option<Signal>,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if self.output.is_json() {
            out.json(&json!({
                "version": 1,
                "file": file,
                "topic": topic,
                "complete": complete,
                "records": outcome.records,
                "bytes": outcome.bytes,
                "partitions": outcome.partitions_json(topic),
            }))?;
            return Ok(());
        }
        let end = match (signal, complete) {
            (Some(signal), _) => format!("; ended by {}, the rest was not sent", signal.name()),
            (None, false) => "; the recording itself is not complete".to_owned(),
            (None, true) => String::new(),
        };
        out.line(format_args!("sent {} records of {file} to {topic}{end}", with_thousands(outcome.records)))?;
        Ok(())
    }

    /// `--dry-run`: what is in the recording.
    fn describe(
        &self,
        mut reader: Reader<BufReader<Box<dyn Read + Send>>>,
        description: &Description,
        file: &str,
        out: &mut Output,
    ) -> anyhow::Result<Exit> {
        let mut partitions: BTreeMap<i32, u64> = BTreeMap::new();
        let (mut records, mut bytes, mut from, mut to) = (0_u64, 0_u64, None::<i64>, None::<i64>);
        let complete = loop {
            match reader.next().with_context(|| format!("could not read {file} to its end"))? {
                Piece::End { complete } => break complete,
                Piece::Records(found) => {
                    for recorded in found.iter().filter(|recorded| self.wants(recorded)) {
                        let record = &recorded.record;
                        *partitions.entry(recorded.partition).or_default() += 1;
                        records += 1;
                        bytes += (record.key.as_ref().map_or(0, bytes::Bytes::len)
                            + record.value.as_ref().map_or(0, bytes::Bytes::len))
                            as u64;
                        from = Some(from.map_or(record.timestamp, |from| from.min(record.timestamp)));
                        to = Some(to.map_or(record.timestamp, |to| to.max(record.timestamp)));
                    }
                }
            }
        };
        let topic = self.target(description);
        if self.output.is_json() {
            let list: Vec<_> = partitions
                .iter()
                .map(|(partition, records)| json!({"partition": partition, "records": records}))
                .collect();
            out.json(&json!({
                "version": 1, "dryRun": true, "file": file, "topic": topic, "complete": complete, "records": records,
                "bytes": bytes, "from": from, "to": to, "partitions": list,
            }))?;
            return Ok(Exit::Success);
        }
        out.line(format_args!(
            "{file}: recorded of {} on {}{}",
            description.topic,
            moment_text(description.recorded_at),
            if complete { "" } else { ", not complete" }
        ))?;
        for (partition, records) in &partitions {
            out.line(format_args!("partition {partition}: {} records", with_thousands(*records)))?;
        }
        if let (Some(from), Some(to)) = (from, to) {
            let lasts = Duration::from_millis(to.abs_diff(from));
            let (from, to) = (moment_text(from), moment_text(to));
            out.line(format_args!("from {from} to {to}, which lasts {}", indicatif::HumanDuration(lasts)))?;
        }
        out.line(format_args!("would send {} records to {topic}", with_thousands(records)))?;
        Ok(Exit::Success)
    }
}

/// When a record is due.
struct Clock {
    speed: Speed,
    /// When the first record was sent, and its timestamp.
    first: Option<(Instant, i64)>,
}

impl Clock {
    fn due(&mut self, timestamp: i64) -> Option<Instant> {
        let Speed::Times(factor) = self.speed else { return None };
        let (started, first) = *self.first.get_or_insert_with(|| (Instant::now(), timestamp));
        let later = Duration::from_millis(timestamp.saturating_sub(first).max(0).unsigned_abs());
        let wait = Duration::try_from_secs_f64(later.as_secs_f64() / factor).unwrap_or(Duration::MAX);
        started.checked_add(wait)
    }
}

/// Reads on a thread of its own, since a pipe may keep it waiting.
fn read_ahead(mut reader: Reader<BufReader<Box<dyn Read + Send>>>) -> mpsc::Receiver<Result<Piece, FormatError>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        loop {
            let piece = reader.next();
            let is_last = !matches!(piece, Ok(Piece::Records(_)));
            if sender.blocking_send(piece).is_err() || is_last {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("0.5"), Ok(Speed::Times(0.5)));
        for text in ["", "0", "-1", "nan", "inf", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn records_are_due_as_they_came() {
        let mut clock = Clock { speed: Speed::Times(10.0), first: None };
        let first = clock.due(5_000).unwrap();
        assert_eq!(clock.due(15_000), Some(first + Duration::from_secs(1)));
        assert_eq!(clock.due(1_000), Some(first), "older than the first: at once");
        assert_eq!(Clock { speed: Speed::Max, first: None }.due(5), None);
    }
}
