//! From the first poll to the last line: reads, prints, and ends by count, by time, by signal or by a closed pipe.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::discovery::{Discovery, Unreadable};
use super::ending::{End, LastWords, Logger, sleep_until, write_records};
use super::formatter::{FormatError, Formatter, Shown};
use super::going_on;
use super::settings::{Plan, Source, Start};
use crate::cli::support::{
    Exit, Output, Progress, SILENCE, Signals, chain_text, hint_for, hint_for_code, java, remark_if_unreachable,
    stdout_closed,
};
use crate::client::AutoCreate;
use crate::client::consumer::{ConsumeError, Consumer, ConsumerOptions, ConsumerRecord};
use crate::config::OffsetReset;
use crate::protocol::ErrorCode;
use crate::record::TimestampType;
use crate::types::{Offset, TopicPartition};

pub(super) const LOGGER: Logger = Logger("org.apache.kafka.tools.consumer.ConsoleConsumer");

/// When to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// `--max-messages`
    pub(super) messages: Option<u64>,
    /// `--timeout-ms`
    pub(super) idle: Option<Duration>,
    pub(super) skip_errors: bool,
    pub(super) systest_events: bool,
}

pub(super) struct Reading {
    consumer: Consumer,
    source: Source,
    formatter: Formatter,
    limits: Limits,
    create: AutoCreate,
    /// For a consumer without a group.
    discovery: Option<Discovery>,
    /// The group, if it was asked to begin at the beginning.
    from_beginning: Option<String>,
    progress: Progress,
    /// Records handed to the formatter, those that it could not print included.
    processed: u64,
    /// The text of the records of a poll.
    text: Vec<u8>,
}

impl Reading {
    pub(super) fn new(plan: Plan, limits: Limits, out: &Output) -> Self {
        let mut options = ConsumerOptions::from(&plan.config);
        if !plan.named_group {
            // Partitions are assigned by this tool itself.
            options.group = None;
        }
        let discovery = (!plan.named_group).then(|| Discovery::new(plan.config.common.metadata_max_age_ms));
        let from_beginning = plan.config.group_id.clone().filter(|_| plan.named_group && plan.from_beginning);
        let create = if plan.config.allow_auto_create_topics { AutoCreate::Allowed } else { AutoCreate::Never };
        Self {
            consumer: Consumer::new(options),
            source: plan.source,
            formatter: plan.formatter,
            limits,
            create,
            discovery,
            from_beginning,
            progress: Progress::new(!out.stdout_is_terminal(), out),
            processed: 0,
            text: Vec::new(),
        }
    }

    /// Reads until something ends it.
    pub(super) async fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        if let Some(group) = &self.from_beginning {
            going_on::remark(group, &self.source, self.consumer.cluster().clone(), out).await?;
        }
        let begun = tokio::select! {
            begun = self.begin() => begun.map_err(End::Failed),
            signal = signals.next() => Err(End::Signal(signal.exit())),
        };
        let end = match begun {
            Ok(()) => self.until_the_end(&mut signals, out).await,
            Err(end) => end,
        };
        self.progress.clear();
        self.finish(end, out).await
    }

    /// Says to the consumer what to read.
    async fn begin(&mut self) -> anyhow::Result<()> {
        if let Source::Partition { topic, partition, start } = &self.source {
            self.discovery = None;
            let partition = TopicPartition::new(topic.as_str(), *partition);
            self.consumer.assign([partition.clone()]);
            match start {
                Start::Earliest => self.consumer.seek_by(&[partition], OffsetReset::Earliest)?,
                Start::Latest => self.consumer.seek_by(&[partition], OffsetReset::Latest)?,
                Start::Offset(offset) => self.consumer.seek(&partition, Offset(*offset))?,
            }
        } else if self.discovery.is_none() {
            self.subscribe()?;
        }
        Ok(())
    }

    async fn until_the_end(&mut self, signals: &mut Signals, out: &mut Output) -> End {
        let closed = stdout_closed();
        tokio::pin!(closed);
        let mut last_record = Instant::now();
        let mut silent_at = Some(last_record + SILENCE);
        loop {
            if self.limits.messages.is_some_and(|most| self.processed >= most) {
                return End::Count;
            }
            let idle_at = self.limits.idle.map(|idle| last_record + idle);
            let polled = tokio::select! {
                // Order: a signal is seen before more records are taken.
                biased;
                signal = signals.next() => return End::Signal(signal.exit()),
                () = &mut closed => return End::Closed,
                () = sleep_until(idle_at) => return End::Idle,
                () = sleep_until(self.discovery.as_ref().map(Discovery::due)) => None,
                () = sleep_until(silent_at) => {
                    silent_at = None;
                    // Only a remark: if it can't be printed, what follows can't either.
                    let _ = remark_if_unreachable(self.consumer.cluster(), out).await;
                    continue;
                }
                polled = self.consumer.poll(POLL) => Some(polled),
            };
            let Some(polled) = polled else {
                let looked = tokio::select! {
                    signal = signals.next() => return End::Signal(signal.exit()),
                    looked = self.look() => looked,
                };
                match looked {
                    Ok(()) => continue,
                    Err(error) => return End::Failed(error),
                }
            };
            let records = match polled {
                Ok(records) if records.is_empty() => continue,
                Ok(records) => records,
                Err(error) => return End::Failed(error.into()),
            };
            last_record = Instant::now();
            silent_at = None;
            if let Some(end) = self.print(&records, out) {
                return end;
            }
        }
    }

    /// Looks for partitions that are not read yet.
    async fn look(&mut self) -> anyhow::Result<()> {
        match &mut self.discovery {
            Some(discovery) => discovery.look(&self.source, self.create, &mut self.consumer).await,
            None => Ok(()),
        }
    }

    fn subscribe(&mut self) -> anyhow::Result<()> {
        match &self.source {
            Source::Topic(topic) => self.consumer.subscribe([topic.as_str()], None)?,
            Source::Pattern(pattern) => self.consumer.subscribe_pattern(pattern.as_str(), None)?,
            Source::Partition { .. } | Source::Ask => anyhow::bail!("a member of a group reads topics or a pattern"),
        }
        Ok(())
    }

    /// Prints the records of a poll, as many as may still be printed. Returns why to end, if that is so.
    fn print(&mut self, records: &[ConsumerRecord], out: &mut Output) -> Option<End> {
        let allowed = match self.limits.messages {
            Some(most) => usize::try_from(most - self.processed).unwrap_or(usize::MAX).min(records.len()),
            None => records.len(),
        };
        let (wanted, rest) = records.split_at_checked(allowed).unwrap_or((records, &[]));
        self.text.clear();
        let mut end = None;
        let mut printed = 0;
        for record in wanted {
            self.processed += 1;
            match print_record(&self.formatter, record, None, &mut self.text) {
                Ok(()) => printed += 1,
                Err(error) if self.limits.skip_errors => {
                    printed += 1;
                    // Errors of the printing itself show up below.
                    let _ = LOGGER.unprintable(&error, ("skipping", "skipped"), out);
                }
                Err(error) => {
                    end = Some(End::Unprintable(error));
                    break;
                }
            }
        }
        if let Err(end) = write_records(&self.text, out) {
            self.give_back(records);
            return Some(end);
        }
        self.progress.add(printed, self.text.len() as u64);
        if end.is_some() || !rest.is_empty() {
            let done = usize::try_from(printed).unwrap_or(usize::MAX);
            self.give_back(records.get(done..).unwrap_or_default());
        }
        end
    }

    /// Has the consumer stand before these records again: what was not printed is not to be committed.
    fn give_back(&mut self, records: &[ConsumerRecord]) {
        let mut first: BTreeMap<&Arc<TopicPartition>, Offset> = BTreeMap::new();
        for record in records {
            first.entry(&record.partition).or_insert(record.offset);
        }
        for (partition, offset) in first {
            // A partition that was taken away meanwhile has another reader, who begins there.
            let _ = self.consumer.seek(partition, offset);
        }
    }

    async fn finish(self, end: End, out: &mut Output) -> anyhow::Result<Exit> {
        let mut failure = None;
        let exit = match end {
            End::Count | End::Closed => Exit::Success,
            End::Signal(exit) => exit,
            End::Idle => {
                LOGGER.idle(self.limits.idle, out)?;
                Exit::Success
            }
            End::Unprintable(error) => {
                failure = Some(anyhow::Error::new(error));
                Exit::Failure
            }
            End::Failed(error) => {
                let hint = hint_of(&error);
                failure = LOGGER.stopped(error, hint, java_error, out)?;
                Exit::Failure
            }
        };
        let Limits { systest_events, .. } = self.limits;
        let last = LastWords { logger: LOGGER, systest_events, processed: self.processed, exit, failure, java_error };
        // Order: the group is left before the summary, so that who waits for it may go on at once.
        let closed = self.consumer.close().await;
        last.say(closed.map_err(anyhow::Error::new), out)
    }
}

/// How long one poll waits. Other events end the wait earlier.
const POLL: Duration = Duration::from_secs(60);

/// Appends the text of a record; `delivery`: how often a share group got it.
pub(in crate::cli) fn print_record(
    formatter: &Formatter,
    record: &ConsumerRecord,
    delivery: Option<i16>,
    text: &mut Vec<u8>,
) -> Result<(), FormatError> {
    let headers: Vec<_> = if formatter.prints_headers() {
        record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect()
    } else {
        Vec::new()
    };
    let kind = record.timestamp_type.map(|kind| match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    });
    let shown = Shown {
        topic: &record.partition.topic,
        partition: record.partition.partition.get(),
        offset: record.offset.get(),
        timestamp: kind.map(|kind| (kind, record.timestamp)),
        headers: &headers,
        key: record.key.as_ref(),
        value: record.value.as_ref(),
        delivery,
    };
    formatter.print(&shown, text)
}

/// What to do about an error, if there is something.
fn hint_of(error: &anyhow::Error) -> Option<String> {
    if let Some(unreadable) = error.downcast_ref::<Unreadable>() {
        return hint_for_code(unreadable.code);
    }
    match error.downcast_ref::<ConsumeError>()? {
        ConsumeError::Client(error) => hint_for(error),
        ConsumeError::Api(error) | ConsumeError::Partition { source: error, .. } => hint_for_code(error.code),
        _ => None,
    }
}

/// The exception that Kafka's consumer gives for the error: its class and its text.
fn java_error(error: &anyhow::Error) -> String {
    if let Some(error) = error.downcast_ref::<FormatError>() {
        return format!("{}: {error}", error.java_class());
    }
    if let Some(error) = error.downcast_ref::<Unreadable>() {
        let class = java::exception_class(error.code);
        return match error.code {
            ErrorCode::InvalidTopicException => format!("{class}: Invalid topics: [{}]", error.topic),
            code => format!("{class}: {}", code.name()),
        };
    }
    match error.downcast_ref::<ConsumeError>() {
        Some(ConsumeError::Client(error)) => java::client_exception(error),
        Some(ConsumeError::NoOffset(partition)) => format!(
            "org.apache.kafka.clients.consumer.NoOffsetForPartitionException: Undefined offset with no reset policy \
             for partitions: [{partition}]"
        ),
        Some(ConsumeError::Partition { source, .. } | ConsumeError::Api(source)) => {
            format!("{}: {}", java::exception_class(source.code), java::message(source))
        }
        _ => format!("org.apache.kafka.common.KafkaException: {}", chain_text(error)),
    }
}
