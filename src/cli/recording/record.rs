//! `record`: a topic to a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::format::{Description, Writer};
use crate::cli::Run;
use crate::cli::help::Example;
use crate::cli::support::{
    Bounds, ConnectArgs, Exit, Hinted, IsolationArg, MOMENTS, Output, OwnOutputArgs, Progress, RangeReader, Signals,
    Stretch, UsageError, block_on_two_threads, bounds, moment_text, parse_moment, partitions_of, pick_topic,
    size_of_record, with_thousands,
};
use crate::client::{Admin, ConsumerRecord};
use crate::record::{Codec, Compression};
use crate::types::{Offset, TopicPartition};

/// Record a topic to a file, with timing, keys, headers and partitions
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
What is there is recorded, in the order of time across partitions; with --follow also what still comes, until Ctrl-C. \
A recording can be replayed as far as it goes, also after Ctrl-C. docs/recording.md describes the file.

--output json prints {version, topic, file, complete, records, bytes, from, to, partitions: [{partition, firstOffset, \
lastOffset, records}]}; from and to are the earliest and latest timestamp.")]
pub(in crate::cli) struct RecordTopic {
    /// Topic to record
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// File to write; - for standard output
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Begin at this time [default: at the first record]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_moment, help = FROM_HELP)]
    from: Option<i64>,
    /// End before this time [default: at what is there now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_moment)]
    to: Option<i64>,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, conflicts_with = "to")]
    follow: bool,
    /// Only these partitions, such as 0,2
    #[arg(long, value_name = "NUMBER,...", value_delimiter = ',', hide_short_help = true)]
    partitions: Vec<i32>,
    /// End after this many records
    #[arg(long, value_name = "COUNT")]
    max_records: Option<u64>,
    /// How the file is compressed: zstd, lz4, gzip, snappy or none
    #[arg(long, value_name = "CODEC", default_value = "zstd", value_parser = codec, hide_short_help = true)]
    compression: Codec,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Show what would be recorded, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    isolation: IsolationArg,
    #[command(flatten)]
    output: OwnOutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

const FROM_HELP: &str = "Begin at this time: a date and time, -90m (ago), milliseconds [default: at the first record]";

/// A codec by its name.
fn codec(name: &str) -> Result<Codec, String> {
    match name {
        "none" => Ok(Codec::None),
        "gzip" => Ok(Codec::Gzip),
        "snappy" => Ok(Codec::Snappy),
        "lz4" => Ok(Codec::Lz4),
        "zstd" => Ok(Codec::Zstd),
        _ => Err("zstd, lz4, gzip, snappy or none".to_owned()),
    }
}

/// What was recorded.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    bytes: u64,
    from: Option<i64>,
    to: Option<i64>,
    partitions: BTreeMap<i32, PartitionTally>,
}

#[derive(Debug)]
struct PartitionTally {
    first: Offset,
    last: Offset,
    records: u64,
}

impl Run for RecordTopic {
    const EXAMPLES: &'static [Example] = &[
        ("Keep what is in a topic", "kafka-rs record --topic orders --file orders.rec"),
        ("Keep the last hour", "kafka-rs record --topic orders --from -1h --file orders.rec"),
        ("Watch until Ctrl-C", "kafka-rs record --topic orders --from now --follow --file orders.rec"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let Some(file) = self.file.clone().or_else(|| self.dry_run.then(|| PathBuf::from("-"))) else {
            return Err(UsageError::missing("file"));
        };
        if self.from.is_some_and(|from| self.to.is_some_and(|to| from >= to)) {
            return Err(UsageError::because(format!("Option from must be before option to; both are {MOMENTS}")));
        }
        if self.topic.is_none() && !out.can_ask() {
            return Err(UsageError::missing("topic"));
        }
        block_on_two_threads(self.record(&file, out))
    }
}

impl RecordTopic {
    async fn record(&self, file: &Path, out: &mut Output) -> anyhow::Result<Exit> {
        let options = self.connect.admin_options(out)?;
        let topic = match &self.topic {
            Some(topic) => topic.clone(),
            None => pick_topic(options.clone(), out).await?,
        };
        let admin = Admin::new(options.clone());
        let all = partitions_of(&admin, &topic).await?;
        let wanted = self.wanted(&topic, &all)?;
        let stretch = Stretch { from: self.from, to: self.to, follow: self.follow };
        let bounds = bounds(&admin, &wanted, stretch, self.isolation.level()).await?;
        if self.dry_run {
            return self.plan(&topic, &bounds, out);
        }
        let metadata = admin.cluster().metadata();
        let description = Description {
            topic: topic.clone(),
            partitions: i32::try_from(all.len()).unwrap_or(i32::MAX),
            cluster_id: metadata.cluster_id.clone(),
            recorded_at: jiff::Timestamp::now().as_millisecond(),
        };
        let compression = Compression { codec: self.compression, level: None };
        let mut writer = Writer::new(self.open(file)?, &description, compression)
            .with_context(|| format!("could not write {}", file.display()))?;
        let mut reader = RangeReader::new(options, self.isolation.level(), &bounds, stretch);
        let mut signals = Signals::listen()?;
        let mut progress = Progress::new(true, out);
        let mut tally = Tally::default();
        let left = |tally: &Tally| self.max_records.map_or(u64::MAX, |most| most.saturating_sub(tally.records));
        let interrupted = loop {
            if left(&tally) == 0 {
                break None;
            }
            let records = tokio::select! {
                records = reader.next() => records,
                signal = signals.next() => break Some(signal),
            };
            let Some(records) = records? else { break None };
            let most = usize::try_from(left(&tally)).unwrap_or(usize::MAX);
            let before = (tally.records, tally.bytes);
            for record in records.into_iter().take(most) {
                tally.count(&record);
                writer.add(record).with_context(|| format!("could not write {}", file.display()))?;
            }
            if self.follow {
                // What has come is safe in the file while nothing comes.
                writer.end_chunk().with_context(|| format!("could not write {}", file.display()))?;
            }
            progress.add(tally.records - before.0, tally.bytes - before.1);
        };
        progress.clear();
        let complete = interrupted.is_none() || self.follow;
        writer.end(complete).with_context(|| format!("could not write {}", file.display()))?;
        self.tell(&topic, file, &tally, complete, out)?;
        Ok(match interrupted {
            // Following has no other end.
            Some(signal) if !self.follow => signal.exit(),
            _ => Exit::Success,
        })
    }

    fn wanted(&self, topic: &str, all: &[TopicPartition]) -> anyhow::Result<Vec<TopicPartition>> {
        if self.partitions.is_empty() {
            return Ok(all.to_vec());
        }
        let find = |number: &i32| {
            let found = all.iter().find(|partition| partition.partition.get() == *number).cloned();
            found.ok_or_else(|| UsageError::because(format!("Option partitions: {topic} has no partition {number}")))
        };
        self.partitions.iter().map(find).collect()
    }

    fn open(&self, file: &Path) -> anyhow::Result<BufWriter<Box<dyn Write>>> {
        let sink: Box<dyn Write> = if file == Path::new("-") {
            Box::new(std::io::stdout())
        } else {
            let mut options = File::options();
            options.write(true);
            if self.force {
                options.create(true).truncate(true)
            } else {
                options.create_new(true)
            };
            match options.open(file) {
                Ok(file) => Box::new(file),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    return Err(Hinted::error(
                        format!("{} exists already", file.display()),
                        "choose another file, or replace it with --force",
                    ));
                }
                Err(error) => {
                    return Err(anyhow::Error::new(error).context(format!("could not write {}", file.display())));
                }
            }
        };
        Ok(BufWriter::new(sink))
    }

    fn plan(&self, topic: &str, bounds: &BTreeMap<TopicPartition, Bounds>, out: &mut Output) -> anyhow::Result<Exit> {
        let count = |bounds: &Bounds| bounds.end.get() - bounds.start.get();
        let records: i64 = bounds.values().map(count).sum();
        if self.output.is_json() {
            let partition = |(partition, bounds): (&TopicPartition, &Bounds)| {
                json!({
                    "partition": partition.partition.get(),
                    "startOffset": bounds.start.get(),
                    "endOffset": bounds.end.get(),
                })
            };
            let partitions: Vec<Value> = bounds.iter().map(partition).collect();
            out.json(&json!({
                "version": 1, "dryRun": true, "topic": topic, "recordsAtMost": records, "partitions": partitions,
            }))?;
            return Ok(Exit::Success);
        }
        for (partition, bounds) in bounds {
            out.line(format_args!("{partition}: offsets {} to {}", bounds.start.get(), bounds.end.get()))?;
        }
        out.line(format_args!("would record at most {} records of {topic}", with_thousands(records.unsigned_abs())))?;
        Ok(Exit::Success)
    }

    fn tell(&self, topic: &str, file: &Path, tally: &Tally, complete: bool, out: &mut Output) -> anyhow::Result<()> {
        let to_stdout = file == Path::new("-");
        if self.output.is_json() && !to_stdout {
            let partition = |(partition, tally): (&i32, &PartitionTally)| {
                json!({
                    "partition": partition,
                    "firstOffset": tally.first.get(),
                    "lastOffset": tally.last.get(),
                    "records": tally.records,
                })
            };
            out.json(&json!({
                "version": 1,
                "topic": topic,
                "file": file.display().to_string(),
                "complete": complete,
                "records": tally.records,
                "bytes": tally.bytes,
                "from": tally.from,
                "to": tally.to,
                "partitions": tally.partitions.iter().map(partition).collect::<Vec<_>>(),
            }))?;
            return Ok(());
        }
        let range = match (tally.from, tally.to) {
            (Some(from), Some(to)) => format!(", {} to {}", moment_text(from), moment_text(to)),
            _ => String::new(),
        };
        let end = if complete { "" } else { "; interrupted, so the recording is not complete" };
        let text = format!(
            "recorded {} records of {topic} from {} partitions to {}{range}{end}",
            with_thousands(tally.records),
            tally.partitions.len(),
            file.display()
        );
        if to_stdout {
            out.note(text)?
        } else {
            out.line(text)?
        }
        Ok(())
    }
}

impl Tally {
    fn count(&mut self, record: &ConsumerRecord) {
        self.records += 1;
        self.bytes += size_of_record(record) as u64;
        if record.timestamp >= 0 {
            self.from = Some(self.from.map_or(record.timestamp, |from| from.min(record.timestamp)));
            self.to = Some(self.to.map_or(record.timestamp, |to| to.max(record.timestamp)));
        }
        let first = || PartitionTally { first: record.offset, last: record.offset, records: 0 };
        let partition = self.partitions.entry(record.partition.partition.get()).or_insert_with(first);
        partition.last = record.offset;
        partition.records += 1;
    }
}
