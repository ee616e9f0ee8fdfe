//! `dump-log`: what is in the files of a log, in words. Kafka's `kafka-dump-log.sh`.
//!
//! Needs no broker, and works beside one that writes. Reads files in blocks, never writes one. Start reading at
//! [`DumpLog::dump`]; `log_file.rs` goes over batches, `index_file.rs` compares indexes with their log, `decoder.rs` reads
//! keys and values, `report.rs` prints.

mod decoder;
mod index_file;
mod log_file;
mod report;
mod small_files;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Run;
use super::help::Example;
use super::support::coordinator_records::CoordinatorTopic;
use super::support::{Exit, IgnoredWords, Output, UsageError, report_failure};
use decoder::{ClassDecoder, Decoder};
use report::{Format, Report, Stopped};

/// Show what is in segment, index and snapshot files
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
A directory stands for all files in it. Damage is told of on stderr, with file and byte; the exit code is 0 all the same \
unless --strict is given, as for Kafka's tool.
--output json prints {version, files: [{file, kind, entries: [{type, ...}]}]}, --output ndjson an entry with its file per \
line; docs/output.md has the types.")]
pub(super) struct DumpLog {
    /// Files to show, separated by commas
    #[arg(long, value_name = "FILE,...", value_hint = clap::ValueHint::AnyPath)]
    files: Option<String>,
    /// Print keys and values too
    #[arg(long)]
    print_data_log: bool,
    /// Print every record, not only batches
    #[arg(long, hide_short_help = true)]
    deep_iteration: bool,
    /// Leave out offsets, times and sizes of records, and control records
    #[arg(long, hide_short_help = true)]
    skip_record_metadata: bool,
    /// Read no more than this many bytes of a .log file
    #[arg(long, value_name = "BYTES", hide_short_help = true)]
    max_bytes: Option<String>,
    /// Compare an index with its log, but do not print its entries
    #[arg(long, hide_short_help = true)]
    verify_index_only: bool,
    /// Only check what a broker checks of an index when it starts
    #[arg(long, hide_short_help = true)]
    index_sanity_check: bool,
    /// Largest batch that an index entry may point to
    #[arg(long, value_name = "BYTES", hide_short_help = true)]
    max_message_size: Option<String>,
    /// How keys are read: StringDecoder, LongDecoder, IntegerDecoder or DefaultDecoder
    #[arg(long, value_name = "CLASS", num_args = 0..=1, default_missing_value = decoder::DEFAULT_CLASS)]
    key_decoder_class: Option<String>,
    /// How values are read: StringDecoder, LongDecoder, IntegerDecoder or DefaultDecoder
    #[arg(long, value_name = "CLASS", num_args = 0..=1, default_missing_value = decoder::DEFAULT_CLASS)]
    value_decoder_class: Option<String>,
    /// Records are those of __consumer_offsets
    #[arg(long)]
    offsets_decoder: bool,
    /// Records are those of __transaction_state
    #[arg(long)]
    transaction_log_decoder: bool,
    /// Records are those of __cluster_metadata
    #[arg(long)]
    cluster_metadata_decoder: bool,
    /// Records are those of __remote_log_metadata
    #[arg(long, hide_short_help = true)]
    remote_log_metadata_decoder: bool,
    /// Records are those of __share_group_state
    #[arg(long)]
    share_group_state_decoder: bool,
    /// End with 1 if anything is damaged or does not agree
    #[arg(long)]
    strict: bool,
    /// What the output looks like [default: kafka]
    #[arg(long, value_name = "FORMAT", hide_default_value = true)]
    output: Option<Format>,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What is wanted of `.log` files.
struct LogOptions {
    deep: bool,
    contents: bool,
    metadata: bool,
    /// `None`: all of it.
    max_bytes: Option<u64>,
    decoder: Decoder,
}

/// What is wanted of index files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IndexMode {
    Print,
    VerifyOnly,
    SanityCheck,
}

impl Run for DumpLog {
    const EXAMPLES: &'static [Example] = &[
        ("See the batches of a segment", "kafka-rs dump-log --files data/orders-0/00000000000000000000.log"),
        ("See its records too", "kafka-rs dump-log --files data/orders-0 --print-data-log"),
        ("Check all files of a partition, in a script", "kafka-rs dump-log --files data/orders-0 --strict"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        let files = self.files.clone().ok_or_else(|| UsageError::missing("files"))?;
        let mut report = Report::new(self.output.unwrap_or(Format::Kafka), out);
        report.stop_at_signals()?;
        let dumped =
            files.split(',').filter(|file| !file.is_empty()).try_for_each(|file| match files_in(Path::new(file))? {
                None => self.dump(Path::new(file), &mut report),
                Some(inside) => inside.iter().try_for_each(|file| self.dump(file, &mut report)),
            });
        // What was found before a failure is told all the same.
        let damaged = report.end()?;
        if let Err(error) = dumped {
            return error.downcast::<Stopped>().map(|stopped| stopped.0.exit());
        }
        Ok(if damaged && self.strict { Exit::Failure } else { Exit::Success })
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        report_failure(error, out)
    }
}

/// The files of a log that are in a directory, by name; `None` if `path` is none.
fn files_in(path: &Path) -> anyhow::Result<Option<Vec<PathBuf>>> {
    if !path.is_dir() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("could not read {}", path.display()))? {
        let file = entry.with_context(|| format!("could not read {}", path.display()))?.path();
        if Kind::of(&file).is_some() {
            files.push(file);
        }
    }
    files.sort();
    Ok(Some(files))
}

/// What a file's name says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Log,
    Checkpoint,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    ProducerSnapshot,
}

impl Kind {
    fn of(file: &Path) -> Option<Self> {
        match file.extension().and_then(OsStr::to_str)? {
            "log" => Some(Self::Log),
            "checkpoint" => Some(Self::Checkpoint),
            "index" => Some(Self::OffsetIndex),
            "timeindex" => Some(Self::TimeIndex),
            "txnindex" => Some(Self::TxnIndex),
            "snapshot" => Some(Self::ProducerSnapshot),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Checkpoint => "checkpoint",
            Self::OffsetIndex => "offsetIndex",
            Self::TimeIndex => "timeIndex",
            Self::TxnIndex => "txnIndex",
            Self::ProducerSnapshot => "producerSnapshot",
        }
    }
}

impl DumpLog {
    fn dump(&self, file: &Path, report: &mut Report<'_>) -> anyhow::Result<()> {
        let kind = Kind::of(file);
        report.file(file, kind.map(Kind::name))?;
        match kind {
            None => Ok(()),
            Some(kind @ (Kind::Log | Kind::Checkpoint)) => {
                let options = self.log_options()?;
                for class in [&self.key_decoder_class, &self.value_decoder_class].into_iter().flatten() {
                    if let Some(name) = class.strip_prefix(decoder::OLD_PACKAGE) {
                        report.remark(format_args!("{class} is now {}{name}", decoder::PACKAGE))?;
                    }
                }
                log_file::dump(file, kind, &options, report)
            }
            Some(Kind::OffsetIndex) => {
                index_file::dump_offsets(file, self.index_mode(), self.max_message_size()?, report)
            }
            Some(Kind::TimeIndex) => index_file::dump_times(file, self.index_mode(), report),
            Some(Kind::TxnIndex) => small_files::dump_aborted(file, report),
            Some(Kind::ProducerSnapshot) => small_files::dump_producers(file, report),
        }
    }

    fn index_mode(&self) -> IndexMode {
        if self.index_sanity_check {
            IndexMode::SanityCheck
        } else if self.verify_index_only {
            IndexMode::VerifyOnly
        } else {
            IndexMode::Print
        }
    }

    fn max_message_size(&self) -> anyhow::Result<u64> {
        const DEFAULT: i32 = 5 * 1024 * 1024;
        Ok(number("max-message-size", self.max_message_size.as_deref())?.unwrap_or(DEFAULT).max(0) as u64)
    }

    /// Read for `.log` files only, as Kafka does: what is wrong in them does not matter for others.
    fn log_options(&self) -> anyhow::Result<LogOptions> {
        let decoder = self.decoder()?;
        let classes = self.key_decoder_class.is_some() || self.value_decoder_class.is_some();
        let contents = self.print_data_log || classes || !matches!(decoder, Decoder::Classes { .. });
        let max_bytes = match number("max-bytes", self.max_bytes.as_deref())? {
            None | Some(i32::MAX) => None,
            Some(bytes) => Some(
                u64::try_from(bytes)
                    .map_err(|_| UsageError::because(format!("--max-bytes is a number of bytes, {bytes} is not")))?,
            ),
        };
        Ok(LogOptions {
            deep: self.deep_iteration || contents,
            contents,
            metadata: !self.skip_record_metadata,
            max_bytes,
            decoder,
        })
    }

    fn decoder(&self) -> anyhow::Result<Decoder> {
        Ok(if self.offsets_decoder {
            Decoder::Coordinator(CoordinatorTopic::Offsets)
        } else if self.transaction_log_decoder {
            Decoder::Coordinator(CoordinatorTopic::Transactions)
        } else if self.cluster_metadata_decoder {
            Decoder::ClusterMetadata
        } else if self.remote_log_metadata_decoder {
            Decoder::RemoteLogMetadata
        } else if self.share_group_state_decoder {
            Decoder::Coordinator(CoordinatorTopic::ShareGroups)
        } else {
            let class =
                |given: &Option<String>| ClassDecoder::named(given.as_deref().unwrap_or(decoder::DEFAULT_CLASS));
            Decoder::Classes { key: class(&self.key_decoder_class)?, value: class(&self.value_decoder_class)? }
        })
    }
}

fn number(option: &str, text: Option<&str>) -> anyhow::Result<Option<i32>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| UsageError::because(format!("Cannot parse argument '{text}' of option {option}")))
    };
    text.map(parse).transpose()
}

/// The base offset in a file's name: what stands before the first point.
fn base_offset(file: &Path) -> anyhow::Result<i64> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().map_err(|_| anyhow::anyhow!("the name of {} does not begin with an offset", file.display()))
}

/// The file of the same segment with another extension.
fn sibling(file: &Path, extension: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!("{}.{extension}", name.split('.').next().unwrap_or_default()))
}
