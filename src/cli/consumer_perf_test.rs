//! `consumer-perf-test`: reads records as fast as it can, as the member of a group, and tells how fast that was. Kafka's
//! `kafka-consumer-perf-test.sh`.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Run;
use super::help::Example;
use super::support::figures::{decimal, megabytes, now_ms, number, per_second};
use super::support::{
    ConsumerPerfArgs, ConsumerPerfLimits, Exit, IgnoredWords, Metrics, Output, Progress, Signals, Style, UsageError,
    block_on_two_threads, explained_config, pick_topic,
};
use crate::client::consumer::RebalanceListener;
use crate::client::{ClientOptions, Consumer, ConsumerOptions};
use crate::config::ConsumerConfig;
use crate::types::TopicPartition;

/// Measure how fast records of a topic can be read
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
MB are 2^20 bytes of keys and values. The rebalance is the time until the group has given the partitions.")]
pub(super) struct ConsumerPerfTest {
    /// Topic to read
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Topics to read: a regular expression that the whole name must match
    #[arg(long, value_name = "PATTERN")]
    include: Option<String>,
    /// Group to read as [default: perf-consumer- and a random number]
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// Begin at the end where the group has no offset
    #[arg(long)]
    from_latest: bool,
    #[command(flatten)]
    common: ConsumerPerfArgs,
    /// Ignored since Kafka 3
    #[arg(long, value_name = "COUNT", alias = "num-fetch-threads", hide = true)]
    threads: Option<String>,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

impl Run for ConsumerPerfTest {
    const EXAMPLES: &'static [Example] = &[
        ("Read a million records", "kafka-rs consumer-perf-test --topic load --num-records 1000000"),
        ("Read several topics", "kafka-rs consumer-perf-test --include 'load.*' --num-records 100000"),
    ];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        if self.topic.is_some() == self.include.is_some() && (self.topic.is_some() || !out.can_ask()) {
            return Err(UsageError::because("Exactly one of the following arguments is required: [topic], [include]"));
        }
        self.common.check(out)?;
        if self.threads.is_some() {
            out.note(
                "WARNING: option [threads] and [num-fetch-threads] have been deprecated and will be ignored by the test",
            )?;
        }
        if !self.common.hide_header && out.style() == Style::Kafka {
            out.line(if self.common.show_detailed_stats { DETAILED_HEADER } else { HEADER })?;
            out.flush()?;
        }
        let group = self.group.clone().unwrap_or_else(|| format!("perf-consumer-{}", fastrand::u32(0..100_000)));
        let mut properties =
            self.common.properties(&group, "perf-consumer-client", "max.partition.fetch.bytes", out)?;
        properties.set("auto.offset.reset", if self.from_latest { "latest" } else { "earliest" });
        let config = ConsumerConfig::new(&properties).map_err(explained_config)?;
        let limits = self.common.limits()?;
        block_on_two_threads(self.measure(&config, limits, out))
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        ConsumerPerfArgs::failed(error, out)
    }
}

const HEADER: &str = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                      rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";
const DETAILED_HEADER: &str = "time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                               rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";

/// How long one poll waits, as in Kafka's tool: then the time is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How long it took until there were partitions to read.
#[derive(Debug, Clone, Default)]
struct Joining(Arc<Mutex<Joined>>);

#[derive(Debug, Default)]
struct Joined {
    started_ms: i64,
    total_ms: i64,
    /// Since the last interval was told.
    interval_ms: i64,
    assigned: HashSet<TopicPartition>,
}

impl Joining {
    fn state(&self) -> MutexGuard<'_, Joined> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RebalanceListener for Joining {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        let mut state = self.state();
        if state.assigned.is_empty() {
            let elapsed_ms = now_ms() - state.started_ms;
            state.total_ms += elapsed_ms;
            state.interval_ms += elapsed_ms;
        }
        state.assigned.extend(partitions.iter().cloned());
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, crate::client::admin::GroupOffset)> {
        let mut state = self.state();
        state.assigned.retain(|partition| !partitions.contains(partition));
        if state.assigned.is_empty() {
            state.started_ms = now_ms();
        }
        Vec::new()
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.revoked(partitions);
    }
}

/// What was read so far.
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
    /// How much of it went by without partitions.
    joining_ms: i64,
    /// Read in this time.
    read: Read,
}

impl Span {
    fn elapsed_ms(&self) -> i64 {
        self.end_ms - self.start_ms
    }

    fn fetching_ms(&self) -> i64 {
        self.elapsed_ms() - self.joining_ms
    }

    fn object(&self) -> Value {
        json!({
            "startMs": self.start_ms,
            "endMs": self.end_ms,
            "records": self.read.records,
            "bytes": self.read.bytes,
            "recordsPerSecond": per_second(number(self.read.records), self.elapsed_ms()),
            "bytesPerSecond": per_second(number(self.read.bytes), self.elapsed_ms()),
            "rebalanceMs": self.joining_ms,
            "fetchMs": self.fetching_ms(),
        })
    }
}

impl ConsumerPerfTest {
    async fn measure(
        mut self,
        config: &ConsumerConfig,
        limits: ConsumerPerfLimits,
        out: &mut Output,
    ) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        if self.topic.is_none() && self.include.is_none() {
            self.topic = Some(pick_topic(ClientOptions::from(&config.common), out).await?);
        }
        let client_id = config.common.client_id.clone();
        let mut consumer = Consumer::new(ConsumerOptions::from(config));
        let start_ms = now_ms();
        let joining = Joining::default();
        joining.state().started_ms = start_ms;
        let listener = Some(Box::new(joining.clone()) as Box<dyn RebalanceListener>);
        match (&self.topic, &self.include) {
            (Some(topic), _) => consumer.subscribe([topic.as_str()], listener)?,
            (None, Some(pattern)) => consumer.subscribe_pattern(pattern, listener)?,
            (None, None) => anyhow::bail!("nothing to read"),
        }
        let mut reading = Reading {
            detailed: self.common.show_detailed_stats,
            progress: Progress::new(out.style() != Style::Kafka || !out.stdout_is_terminal(), out).of(limits.records),
            limits,
            joining,
            read: Read::default(),
            told: Read::default(),
            told_ms: start_ms,
            intervals: Vec::new(),
        };
        let signal = tokio::select! {
            done = reading.read_all(&mut consumer, out) => {
                done?;
                None
            }
            signal = signals.next() => Some(signal),
        };
        reading.progress.clear();
        if let Some(signal) = signal {
            if out.style() == Style::Table {
                reading.end(start_ms, out)?;
            }
            return Ok(signal.exit());
        }
        reading.end(start_ms, out)?;
        if self.common.print_metrics {
            reading.metrics(&client_id, start_ms, out)?;
        }
        out.flush()?;
        // The offsets of this group are for nobody but it.
        drop(consumer.close().await);
        Ok(Exit::Success)
    }
}

struct Reading {
    limits: ConsumerPerfLimits,
    detailed: bool,
    joining: Joining,
    progress: Progress,
    read: Read,
    /// As of the last interval.
    told: Read,
    told_ms: i64,
    /// For JSON, which is one document.
    intervals: Vec<Value>,
}

impl Reading {
    async fn read_all(&mut self, consumer: &mut Consumer, out: &mut Output) -> anyhow::Result<()> {
        let mut last_record = Instant::now();
        while self.read.records < self.limits.records && last_record.elapsed() <= self.limits.timeout {
            let records = consumer.poll(POLL).await?;
            let now = now_ms();
            if records.is_empty() {
                continue;
            }
            last_record = Instant::now();
            let before = self.read;
            for record in &records {
                let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                self.read.records += 1;
                self.read.bytes += length(&record.key) + length(&record.value);
                if now - self.told_ms >= self.limits.interval_ms {
                    self.interval(now, out)?;
                }
            }
            self.progress.add(self.read.records - before.records, self.read.bytes - before.bytes);
        }
        if self.read.records < self.limits.records {
            self.progress.clear();
            ConsumerPerfArgs::tell_timeout(&self.limits, out)?;
        }
        Ok(())
    }

    /// An interval is over.
    fn interval(&mut self, now: i64, out: &mut Output) -> io::Result<()> {
        let joining_ms = std::mem::take(&mut self.joining.state().interval_ms);
        let read = Read { records: self.read.records - self.told.records, bytes: self.read.bytes - self.told.bytes };
        let span = Span { start_ms: self.told_ms, end_ms: now, joining_ms, read };
        if self.detailed {
            match out.style() {
                Style::Json => self.intervals.push(span.object()),
                Style::Kafka | Style::Table => {
                    self.progress.clear();
                    out.line(self.interval_line(&span))?;
                    out.flush()?;
                }
            }
        }
        self.told = self.read;
        self.told_ms = now;
        Ok(())
    }

    fn interval_line(&self, span: &Span) -> String {
        let fetching_ms = span.fetching_ms();
        let while_fetching =
            |amount: f64| decimal(if fetching_ms <= 0 { 0.0 } else { per_second(amount, fetching_ms) }, 4);
        format!(
            "{}, 0, {}, {}, {}, {}, {}, {fetching_ms}, {}, {}",
            self.limits.dates.format(span.end_ms),
            decimal(megabytes(self.read.bytes), 4),
            decimal(per_second(megabytes(span.read.bytes), span.elapsed_ms()), 4),
            self.read.records,
            decimal(per_second(number(span.read.records), span.elapsed_ms()), 4),
            span.joining_ms,
            while_fetching(megabytes(span.read.bytes)),
            while_fetching(number(span.read.records)),
        )
    }

    fn total(&self, start_ms: i64) -> Span {
        Span { start_ms, end_ms: now_ms(), joining_ms: self.joining.state().total_ms, read: self.read }
    }

    fn end(&self, start_ms: i64, out: &mut Output) -> io::Result<()> {
        let total = self.total(start_ms);
        match out.style() {
            // Order: Kafka's tool has no total where it has told of intervals.
            Style::Kafka if self.detailed => Ok(()),
            Style::Kafka => out.line(total_line(&total, &self.limits)),
            Style::Table => {
                let header = ["Records", "Records/s", "MB", "MB/s", "Rebalance ms", "Fetch ms", "Fetch records/s"];
                let row = vec![
                    total.read.records.to_string(),
                    decimal(per_second(number(total.read.records), total.elapsed_ms()), 0),
                    decimal(megabytes(total.read.bytes), 2),
                    decimal(per_second(megabytes(total.read.bytes), total.elapsed_ms()), 2),
                    total.joining_ms.to_string(),
                    total.fetching_ms().to_string(),
                    decimal(per_second(number(total.read.records), total.fetching_ms()), 0),
                ];
                out.table(&header, vec![row])
            }
            Style::Json => out.json(&json!({"version": 1, "intervals": self.intervals, "total": total.object()})),
        }
    }

    fn metrics(&self, client_id: &str, start_ms: i64, out: &mut Output) -> io::Result<()> {
        let total = self.total(start_ms);
        let mut metrics = Metrics::new(client_id);
        for (name, value) in [
            ("bytes-consumed-total", number(total.read.bytes)),
            ("bytes-consumed-rate", per_second(number(total.read.bytes), total.elapsed_ms())),
            ("records-consumed-total", number(total.read.records)),
            ("records-consumed-rate", per_second(number(total.read.records), total.elapsed_ms())),
        ] {
            metrics.add(&format!("consumer-fetch-manager-metrics:{name}"), decimal(value, 3));
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure")]
        let joining = total.joining_ms as f64;
        metrics.add("consumer-coordinator-metrics:rebalance-latency-total", decimal(joining, 3));
        metrics.print(out)
    }
}

fn total_line(total: &Span, limits: &ConsumerPerfLimits) -> String {
    let (elapsed_ms, fetching_ms) = (total.elapsed_ms(), total.fetching_ms());
    let (megabytes, records) = (megabytes(total.read.bytes), number(total.read.records));
    format!(
        "{}, {}, {}, {}, {}, {}, {}, {fetching_ms}, {}, {}",
        limits.dates.format(total.start_ms),
        limits.dates.format(total.end_ms),
        decimal(megabytes, 4),
        decimal(per_second(megabytes, elapsed_ms), 4),
        total.read.records,
        decimal(per_second(records, elapsed_ms), 4),
        total.joining_ms,
        decimal(per_second(megabytes, fetching_ms), 4),
        decimal(per_second(records, fetching_ms), 4),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::support::DateFormat;

    #[test]
    fn lines_are_kafkas() {
        let dates = DateFormat::new("'t'").unwrap();
        let limits = ConsumerPerfLimits { records: 1, timeout: POLL, timeout_ms: 100, interval_ms: 1000, dates };
        let read = Read { records: 1_000_000, bytes: 100_000_000 };
        let total = Span { start_ms: 0, end_ms: 4333, joining_ms: 3050, read };
        assert_eq!(
            total_line(&total, &limits),
            "t, t, 95.3674, 22.0096, 1000000, 230786.9836, 3050, 1283, 74.3316, 779423.2268"
        );
        let reading = Reading {
            limits,
            detailed: true,
            joining: Joining::default(),
            progress: Progress::new(false, &Output::captured().0),
            read: Read { records: 3, bytes: 3 << 20 },
            told: Read::default(),
            told_ms: 0,
            intervals: Vec::new(),
        };
        let span =
            |joining_ms| Span { start_ms: 0, end_ms: 2000, joining_ms, read: Read { records: 2, bytes: 1 << 20 } };
        assert_eq!(reading.interval_line(&span(0)), "t, 0, 3.0000, 0.5000, 3, 1.0000, 0, 2000, 0.5000, 1.0000");
        assert_eq!(reading.interval_line(&span(2000)), "t, 0, 3.0000, 0.5000, 3, 1.0000, 2000, 0, 0.0000, 0.0000");
    }

    #[test]
    fn the_time_without_partitions_is_counted() {
        let mut joining = Joining::default();
        joining.state().started_ms = now_ms() - 500;
        let partition = TopicPartition::new("t", 0);
        joining.assigned(std::slice::from_ref(&partition));
        joining.assigned(&[TopicPartition::new("t", 1)]);
        let first = joining.state().total_ms;
        assert!((500..5000).contains(&first));
        joining.revoked(&[partition]);
        assert!(joining.state().started_ms < now_ms() - 400, "it still has one");
    }
}
