//! `share-consumer-perf-test`: reads records as fast as it can, as one or more members of a share group. Kafka's
//! `kafka-share-consumer-perf-test.sh`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Run;
use super::help::Example;
use super::support::figures::{decimal, megabytes, now_ms, number, per_second};
use super::support::{
    ConsumerPerfArgs, ConsumerPerfLimits, DateFormat, Exit, IgnoredWords, Metrics, Output, Progress, Signals, Style,
    Uncaught, UsageError, block_on_two_threads, explained_config, pick_topic,
};
use crate::client::{ShareConsumer, ShareConsumerOptions};
use crate::config::ShareConsumerConfig;

/// Measure how fast records of a topic can be read by a share group
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Where a new group begins is its setting share.auto.offset.reset, latest unless changed. MB are 2^20 bytes of keys and \
values.")]
pub(super) struct ShareConsumerPerfTest {
    /// Topic to read
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Share group to be members of [default: perf-share-consumer]
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// How many members [default: 1]
    #[arg(long, value_name = "COUNT")]
    threads: Option<String>,
    /// Print a line for each member at the end
    #[arg(long)]
    show_consumer_stats: bool,
    #[command(flatten)]
    common: ConsumerPerfArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

const HEADER: &str =
    "start.time, end.time, data.consumed.in.MB, MB.sec, nMsg.sec, data.consumed.in.nMsg, fetch.time.ms";

/// How long one poll waits, as in Kafka's tool: then the time is looked at.
const POLL: Duration = Duration::from_millis(100);
/// How often the progress line is drawn.
const TICK: Duration = Duration::from_millis(100);
/// Lines of intervals that wait to be printed.
const LINES: usize = 1024;
/// More members than this help nobody.
const MOST_MEMBERS: usize = 10_000;

impl Run for ShareConsumerPerfTest {
    const EXAMPLES: &'static [Example] = &[(
        "Read with two members of a share group",
        "kafka-rs share-consumer-perf-test --topic t --num-records 1000 --threads 2",
    )];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        if self.topic.is_none() && !out.can_ask() {
            return Err(UsageError::missing("topic"));
        }
        self.common.check(out)?;
        if !self.common.hide_header && out.style() == Style::Kafka {
            out.line(HEADER)?;
            out.flush()?;
        }
        let members = match &self.threads {
            None => 1,
            Some(text) => {
                text.parse().ok().filter(|members| (1..=MOST_MEMBERS).contains(members)).ok_or_else(|| {
                    Uncaught::illegal_argument(format!("Cannot parse argument '{text}' of option threads"))
                })?
            }
        };
        let group = self.group.clone().unwrap_or_else(|| "perf-share-consumer".to_owned());
        let properties = self.common.properties(&group, "perf-share-consumer-client", "fetch.max.bytes", out)?;
        let config = ShareConsumerConfig::new(&properties).map_err(explained_config)?;
        let limits = self.common.limits()?;
        block_on_two_threads(self.measure(ShareConsumerOptions::from(&config), members, limits, out))
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        ConsumerPerfArgs::failed(error, out)
    }
}

/// What all members have read.
#[derive(Debug, Default)]
struct Total {
    records: AtomicU64,
    bytes: AtomicU64,
}

/// What one member has read.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    records: u64,
    bytes: u64,
}

/// From one time to another.
#[derive(Debug, Clone, Copy)]
struct Span {
    start_ms: i64,
    end_ms: i64,
}

struct Member {
    index: usize,
    client_id: String,
    consumer: ShareConsumer,
    read: Read,
}

impl ShareConsumerPerfTest {
    async fn measure(
        mut self,
        options: ShareConsumerOptions,
        members: usize,
        limits: ConsumerPerfLimits,
        out: &mut Output,
    ) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let topic = match self.topic.take() {
            Some(topic) => topic,
            None => pick_topic(options.client.clone(), out).await?,
        };
        let total = Arc::new(Total::default());
        let (lines, mut told) = mpsc::channel(LINES);
        let start_ms = now_ms();
        let mut tasks = JoinSet::new();
        for index in 1..=members {
            let mut options = options.clone();
            if members > 1 {
                options.client.client_id = format!("{}-{index}", options.client.client_id);
            }
            let client_id = options.client.client_id.clone();
            let mut consumer = ShareConsumer::new(options);
            consumer.subscribe([topic.as_str()]);
            let member = Member { index, client_id, consumer, read: Read::default() };
            let tells = self.common.show_detailed_stats.then(|| lines.clone());
            tasks.spawn(member.read_all(Arc::clone(&total), limits.clone(), tells));
        }
        drop(lines);
        let mut progress =
            Progress::new(out.style() != Style::Kafka || !out.stdout_is_terminal(), out).of(limits.records);
        let mut done: Vec<Member> = Vec::new();
        let mut intervals = Vec::new();
        let mut tick = tokio::time::interval(TICK);
        let signal = loop {
            tokio::select! {
                // Order: what members tell is told before it is over.
                biased;
                signal = signals.next() => break Some(signal),
                Some(interval) = told.recv() => {
                    progress.clear();
                    self.interval(&interval, &limits.dates, &mut intervals, out)?;
                }
                ended = tasks.join_next() => match ended {
                    Some(member) => done.push(member??),
                    None => break None,
                },
                _ = tick.tick() => {
                    progress.set(total.records.load(Ordering::Relaxed), total.bytes.load(Ordering::Relaxed));
                }
            }
        };
        progress.clear();
        done.sort_by_key(|member| member.index);
        let span = Span { start_ms, end_ms: now_ms() };
        let read = Read { records: total.records.load(Ordering::Relaxed), bytes: total.bytes.load(Ordering::Relaxed) };
        if let Some(signal) = signal {
            if out.style() == Style::Table {
                self.end(&done, span, read, intervals, &limits, out)?;
            }
            return Ok(signal.exit());
        }
        for member in &mut done {
            member.consumer.commit().await?;
        }
        self.end(&done, span, read, intervals, &limits, out)?;
        if self.common.print_metrics {
            for member in &done {
                metrics(member, span, out)?;
            }
        }
        out.flush()?;
        for member in done {
            drop(member.consumer.close().await);
        }
        Ok(Exit::Success)
    }

    fn interval(
        &self,
        interval: &Interval,
        dates: &DateFormat,
        intervals: &mut Vec<Value>,
        out: &mut Output,
    ) -> io::Result<()> {
        match out.style() {
            Style::Json => intervals.push(object(interval.span, interval.read, Some(interval.member))),
            Style::Kafka | Style::Table => {
                out.line(interval.line(dates))?;
                out.flush()?;
            }
        }
        Ok(())
    }

    fn end(
        &self,
        members: &[Member],
        span: Span,
        total: Read,
        intervals: Vec<Value>,
        limits: &ConsumerPerfLimits,
        out: &mut Output,
    ) -> io::Result<()> {
        if out.style() == Style::Kafka && self.show_consumer_stats {
            for member in members {
                let figures = figures(span, member.read, &limits.dates);
                out.line(format_args!(
                    "Share consumer {} having client id {} consumption metrics- {figures}",
                    member.index, member.client_id
                ))?;
            }
        }
        if total.records < limits.records {
            ConsumerPerfArgs::tell_timeout(limits, out)?;
        }
        match out.style() {
            Style::Kafka => out.line(figures(span, total, &limits.dates)),
            Style::Table => {
                let mut rows = vec![row("all", span, total)];
                if self.show_consumer_stats {
                    rows.extend(members.iter().map(|member| row(&member.client_id, span, member.read)));
                }
                out.table(&["Member", "Records", "Records/s", "MB", "MB/s"], rows)
            }
            Style::Json => {
                let each: Vec<_> = members.iter().map(|member| object(span, member.read, Some(member.index))).collect();
                let total = object(span, total, None);
                out.json(&json!({"version": 1, "intervals": intervals, "members": each, "total": total}))
            }
        }
    }
}

impl Member {
    /// Reads until all members together have read enough, or nothing comes any more.
    async fn read_all(
        mut self,
        total: Arc<Total>,
        limits: ConsumerPerfLimits,
        tells: Option<mpsc::Sender<Interval>>,
    ) -> anyhow::Result<Self> {
        let mut last_record = Instant::now();
        let mut told = self.read;
        let mut told_ms = now_ms();
        while total.records.load(Ordering::Relaxed) < limits.records && last_record.elapsed() <= limits.timeout {
            let records = self.consumer.poll(POLL).await?;
            if records.is_empty() {
                continue;
            }
            last_record = Instant::now();
            let before = self.read;
            let now = now_ms();
            for delivered in &records {
                let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                self.read.records += 1;
                self.read.bytes += length(&delivered.record.key) + length(&delivered.record.value);
                if now - told_ms >= limits.interval_ms {
                    if let Some(tells) = &tells {
                        let read =
                            Read { records: self.read.records - told.records, bytes: self.read.bytes - told.bytes };
                        let span = Span { start_ms: told_ms, end_ms: now };
                        let interval = Interval { member: self.index, span, read, so_far: self.read };
                        // Nobody listens any more when the tool is ending.
                        drop(tells.send(interval).await);
                    }
                    told = self.read;
                    told_ms = now;
                }
            }
            total.records.fetch_add(self.read.records - before.records, Ordering::Relaxed);
            total.bytes.fetch_add(self.read.bytes - before.bytes, Ordering::Relaxed);
        }
        Ok(self)
    }
}

/// What a member has read in an interval.
#[derive(Debug)]
struct Interval {
    member: usize,
    span: Span,
    read: Read,
    so_far: Read,
}

impl Interval {
    fn line(&self, dates: &DateFormat) -> String {
        let Span { start_ms, end_ms } = self.span;
        let elapsed_ms = end_ms - start_ms;
        format!(
            "{}, {}, {}, {}, {}, {}, {elapsed_ms} for share consumer {}",
            dates.format(start_ms),
            dates.format(end_ms),
            decimal(megabytes(self.so_far.bytes), 4),
            decimal(per_second(megabytes(self.read.bytes), elapsed_ms), 4),
            decimal(per_second(number(self.read.records), elapsed_ms), 4),
            self.so_far.records,
            self.member,
        )
    }
}

fn figures(span: Span, read: Read, dates: &DateFormat) -> String {
    let elapsed_ms = span.end_ms - span.start_ms;
    format!(
        "{}, {}, {}, {}, {}, {}, {elapsed_ms}",
        dates.format(span.start_ms),
        dates.format(span.end_ms),
        decimal(megabytes(read.bytes), 4),
        decimal(per_second(megabytes(read.bytes), elapsed_ms), 4),
        decimal(per_second(number(read.records), elapsed_ms), 4),
        read.records,
    )
}

fn row(name: &str, span: Span, read: Read) -> Vec<String> {
    let elapsed_ms = span.end_ms - span.start_ms;
    vec![
        name.to_owned(),
        read.records.to_string(),
        decimal(per_second(number(read.records), elapsed_ms), 0),
        decimal(megabytes(read.bytes), 2),
        decimal(per_second(megabytes(read.bytes), elapsed_ms), 2),
    ]
}

fn object(span: Span, read: Read, member: Option<usize>) -> Value {
    let elapsed_ms = span.end_ms - span.start_ms;
    let mut object = json!({
        "startMs": span.start_ms,
        "endMs": span.end_ms,
        "records": read.records,
        "bytes": read.bytes,
        "recordsPerSecond": per_second(number(read.records), elapsed_ms),
        "bytesPerSecond": per_second(number(read.bytes), elapsed_ms),
    });
    if let Some(member) = member {
        object["member"] = json!(member);
    }
    object
}

fn metrics(member: &Member, span: Span, out: &mut Output) -> io::Result<()> {
    let elapsed_ms = span.end_ms - span.start_ms;
    let mut metrics = Metrics::new(&member.client_id);
    for (name, value) in [
        ("bytes-consumed-total", number(member.read.bytes)),
        ("bytes-consumed-rate", per_second(number(member.read.bytes), elapsed_ms)),
        ("records-consumed-total", number(member.read.records)),
        ("records-consumed-rate", per_second(number(member.read.records), elapsed_ms)),
    ] {
        metrics.add(&format!("consumer-share-fetch-manager-metrics:{name}"), decimal(value, 3));
    }
    metrics.print(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kafkas() {
        let dates = DateFormat::new("'t'").unwrap();
        let span = Span { start_ms: 0, end_ms: 2000 };
        let read = Read { records: 3, bytes: 1 << 20 };
        assert_eq!(figures(span, read, &dates), "t, t, 1.0000, 0.5000, 1.5000, 3, 2000");
        let interval = Interval { member: 2, span, read, so_far: Read { records: 9, bytes: 3 << 20 } };
        assert_eq!(interval.line(&dates), "t, t, 3.0000, 0.5000, 1.5000, 9, 2000 for share consumer 2");
    }
}
