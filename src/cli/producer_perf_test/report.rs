//! What `producer-perf-test` tells: Kafka's lines, a table, or JSON.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::stats::{Stats, Sum, Tally, Window};
use crate::cli::support::figures::{decimal, megabytes, number, per_second};
use crate::cli::support::{Metrics, Output, Progress, Style, chain_text, produce_exception};

/// The parts of all records whose latency is told.
const PERCENTILES: [f64; 4] = [0.5, 0.95, 0.99, 0.999];

/// Tells how it goes.
pub(super) struct Report {
    topic: String,
    progress: Progress,
    /// For JSON, which is one document.
    windows: Vec<Window>,
}

impl Report {
    pub(super) fn new(topic: &str, records: u64, out: &Output) -> Self {
        let progress = Progress::new(out.style() != Style::Kafka || !out.stdout_is_terminal(), out).of(records);
        Self { topic: topic.to_owned(), progress, windows: Vec::new() }
    }

    /// Tells what has happened since it was called last.
    pub(super) fn news(&mut self, stats: &Stats, out: &mut Output) -> io::Result<()> {
        let (windows, failures) = stats.take_news();
        if !windows.is_empty() || !failures.is_empty() {
            self.progress.clear();
        }
        for window in windows {
            match out.style() {
                Style::Kafka => {
                    if window.steady_begins {
                        out.line("In steady state.")?;
                    }
                    out.line(window_line(&window))?;
                    out.flush()?;
                }
                // The progress line says as much.
                Style::Table if self.progress.is_drawn() => {}
                Style::Table => out.line(window_line(&window))?,
                Style::Json => self.windows.push(window),
            }
        }
        for (records, error) in failures {
            if out.style() == Style::Kafka {
                let (class, message) = produce_exception(&self.topic, &error);
                for _ in 0..records {
                    out.note(format_args!("{class}: {message}"))?;
                }
            } else {
                let records = if records == 1 { "a record".to_owned() } else { format!("{records} records") };
                let reason = chain_text(&anyhow::Error::new(error));
                out.error(&format!("{records} could not be delivered: {reason}"))?;
            }
        }
        let (records, bytes) = stats.acknowledged();
        self.progress.set(records, bytes);
        Ok(())
    }

    /// Tells all at the end.
    pub(super) fn end(&mut self, stats: &Stats, out: &mut Output) -> io::Result<()> {
        self.progress.clear();
        let (whole, steady) = stats.totals();
        match out.style() {
            Style::Kafka => {
                out.line(total_line(&whole, ""))?;
                if let Some(steady) = &steady {
                    out.line(total_line(steady, " steady state"))?;
                }
            }
            Style::Table => {
                let header =
                    ["", "Records", "Records/s", "MB/s", "Avg ms", "Max ms", "50% ms", "95% ms", "99% ms", "99.9% ms"];
                let mut rows = vec![row("all", &whole)];
                rows.extend(steady.as_ref().map(|steady| row("steady state", steady)));
                out.table(&header, rows)?;
            }
            Style::Json => {
                let windows: Vec<_> =
                    self.windows.iter().map(|window| sum_object(&window.sum, window.elapsed_ms)).collect();
                let document = json!({
                    "version": 1,
                    "windows": windows,
                    "total": total_object(&whole),
                    "steadyState": steady.as_ref().map(total_object),
                    "notDelivered": stats.lost(),
                });
                out.json(&document)?;
            }
        }
        Ok(())
    }

    /// `--print-metrics`
    pub(super) fn metrics(&self, stats: &Stats, client_id: &str, out: &mut Output) -> io::Result<()> {
        let (whole, _) = stats.totals();
        let elapsed_ms = whole.elapsed_ms();
        let sum = whole.sum;
        let mut metrics = Metrics::new(client_id);
        let figure = |value: f64| decimal(value, 3);
        for (name, value) in [
            ("record-send-total", number(sum.records)),
            ("record-send-rate", per_second(number(sum.records), elapsed_ms)),
            ("record-error-total", number(stats.lost())),
            ("record-error-rate", per_second(number(stats.lost()), elapsed_ms)),
            ("record-size-avg", number(sum.bytes) / number(sum.records)),
        ] {
            metrics.add(&format!("producer-metrics:{name}"), figure(value));
        }
        for (name, value) in [
            ("byte-total", number(sum.bytes)),
            ("byte-rate", per_second(number(sum.bytes), elapsed_ms)),
            ("record-send-total", number(sum.records)),
            ("record-send-rate", per_second(number(sum.records), elapsed_ms)),
            ("record-error-total", number(stats.lost())),
        ] {
            metrics.add_of_topic(&format!("producer-topic-metrics:{name}"), &self.topic, figure(value));
        }
        metrics.print(out)
    }
}

fn window_line(window: &Window) -> String {
    let Window { sum, elapsed_ms, .. } = window;
    format!(
        "{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency.",
        sum.records,
        decimal(per_second(number(sum.records), *elapsed_ms), 1),
        decimal(per_second(megabytes(sum.bytes), *elapsed_ms), 2),
        decimal(average(sum), 1),
        decimal(number(sum.max_ms), 1),
    )
}

fn total_line(tally: &Tally, which: &str) -> String {
    let elapsed_ms = tally.elapsed_ms();
    let [p50, p95, p99, p999] = PERCENTILES.map(|part| tally.latencies.percentile(part));
    format!(
        "{}{which} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency, {p50} ms 50th, \
         {p95} ms 95th, {p99} ms 99th, {p999} ms 99.9th.",
        tally.sum.records,
        decimal(per_second(number(tally.sum.records), elapsed_ms), 6),
        decimal(per_second(megabytes(tally.sum.bytes), elapsed_ms), 2),
        decimal(average(&tally.sum), 2),
        decimal(number(tally.sum.max_ms), 2),
    )
}

fn row(which: &str, tally: &Tally) -> Vec<String> {
    let elapsed_ms = tally.elapsed_ms();
    let mut cells = vec![
        which.to_owned(),
        tally.sum.records.to_string(),
        decimal(per_second(number(tally.sum.records), elapsed_ms), 0),
        decimal(per_second(megabytes(tally.sum.bytes), elapsed_ms), 2),
        decimal(average(&tally.sum), 2),
        tally.sum.max_ms.to_string(),
    ];
    cells.extend(PERCENTILES.map(|part| tally.latencies.percentile(part).to_string()));
    cells
}

fn average(sum: &Sum) -> f64 {
    number(sum.latency_ms) / number(sum.records)
}

fn sum_object(sum: &Sum, elapsed_ms: i64) -> Value {
    json!({
        "records": sum.records,
        "bytes": sum.bytes,
        "elapsedMs": elapsed_ms,
        "recordsPerSecond": per_second(number(sum.records), elapsed_ms),
        "bytesPerSecond": per_second(number(sum.bytes), elapsed_ms),
        "averageLatencyMs": average(sum),
        "maxLatencyMs": sum.max_ms,
    })
}

fn total_object(tally: &Tally) -> Value {
    let mut object = sum_object(&tally.sum, tally.elapsed_ms());
    let [p50, p95, p99, p999] = PERCENTILES.map(|part| tally.latencies.percentile(part));
    object["latencyPercentilesMs"] = json!({"50": p50, "95": p95, "99": p99, "99.9": p999});
    object
}

/// How often news are told.
pub(super) const NEWS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartitionId;

    #[test]
    fn a_window_is_told_in_kafkas_words() {
        let sum = Sum { records: 500_000, bytes: 500_000 * 100, latency_ms: 6_150_000, max_ms: 321 };
        assert_eq!(
            window_line(&Window { sum, elapsed_ms: 5001, steady_begins: false }),
            "500000 records sent, 99980.0 records/sec (9.53 MB/sec), 12.3 ms avg latency, 321.0 ms max latency."
        );
    }

    #[test]
    fn nothing_delivered_is_no_average() {
        let stats = Stats::new(1000);
        stats.sent(PartitionId(0), 0, 1);
        let (mut out, captured) = Output::captured();
        Report::new("t", 1, &out).end(&stats, &mut out).unwrap();
        out.flush().unwrap();
        let line = captured.stdout();
        assert!(line.starts_with("0 records sent, "), "{line}");
        assert!(
            line.ends_with(
                ", NaN ms avg latency, 0.00 ms max latency, 0 ms 50th, 0 ms 95th, 0 ms 99th, 0 ms 99.9th.\n"
            ),
            "{line}"
        );
    }
}
