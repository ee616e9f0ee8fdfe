//! A line that shows how far a long run is: how many records, how many bytes, how fast. On stderr, on a terminal only.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::Output;

/// How often the line is drawn.
const INTERVAL: Duration = Duration::from_millis(100);
/// Runs that are shorter show nothing.
const QUIET: Duration = Duration::from_millis(500);

/// The line, or nothing where nobody would see it.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    drawn: Instant,
    records: u64,
    bytes: u64,
    total: Total,
}

/// How much there will be.
#[derive(Debug, Clone, Copy)]
enum Total {
    Unknown,
    Records(u64),
    /// Of work that counts no records.
    Bytes(u64),
}

impl Progress {
    /// A line if `wanted` and if stderr is a terminal.
    pub(crate) fn new(wanted: bool, out: &Output) -> Self {
        let bar = (wanted && out.can_draw()).then(|| {
            // Drawn by this type at its own pace, so that counting costs an addition.
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(20));
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let now = Instant::now();
        Self { bar, started: now, drawn: now, records: 0, bytes: 0, total: Total::Unknown }
    }

    /// The same for work of so many records, so that it tells when it will be done.
    pub(crate) fn of(self, total: u64) -> Self {
        Self { total: if total == 0 { Total::Unknown } else { Total::Records(total) }, ..self }
    }

    /// The same for so many bytes, of which no record is counted: a bar beside the line.
    pub(crate) fn of_bytes(self, total: u64) -> Self {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            let style = ProgressStyle::with_template("[{bar:24}] {msg}").map(|style| style.progress_chars("=> "));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Self { total: Total::Bytes(total), ..self }
    }

    /// Whether there is a line.
    pub(crate) fn is_drawn(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows that so much is done in all.
    pub(crate) fn set(&mut self, records: u64, bytes: u64) {
        (self.records, self.bytes) = (0, 0);
        self.add(records, bytes);
    }

    /// Counts what was done.
    pub(crate) fn add(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        let Some(bar) = &self.bar else { return };
        let now = Instant::now();
        if now.duration_since(self.started) > QUIET && now.duration_since(self.drawn) > INTERVAL {
            self.drawn = now;
            let seconds = now.duration_since(self.started).as_secs_f64();
            bar.set_position(self.bytes);
            bar.set_message(match self.total {
                Total::Unknown => line(self.records, self.bytes, seconds),
                Total::Records(total) => line(self.records, self.bytes, seconds) + &left(self.records, total, seconds),
                Total::Bytes(total) => byte_line(self.bytes, total, seconds) + &left(self.bytes, total, seconds),
            });
            bar.tick();
        }
    }

    /// Takes the line away, so that what is printed next stands alone.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(records: u64, bytes: u64, seconds: f64) -> String {
    format!(
        "{} records, {} ({}/s, {} records/s)",
        HumanCount(records),
        HumanBytes(bytes),
        HumanBytes(per_second(bytes, seconds)),
        HumanCount(per_second(records, seconds)),
    )
}

fn byte_line(bytes: u64, total: u64, seconds: f64) -> String {
    format!("{} of {} ({}/s)", HumanBytes(bytes), HumanBytes(total), HumanBytes(per_second(bytes, seconds)))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a figure for people"
)]
fn per_second(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds.max(0.001)) as u64
}

/// `, 40 %, 12 seconds left`, if the total is known.
fn left(done: u64, total: u64, seconds: f64) -> String {
    if total == 0 || done == 0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let left = seconds * total.saturating_sub(done) as f64 / done as f64;
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or_default().min(100);
    let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
    format!(", {percent} %, {} left", HumanDuration(left))
}

/// A count as people read it: 1,234,567.
pub(crate) fn with_thousands(count: u64) -> String {
    HumanCount(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_counts_and_rates() {
        assert_eq!(line(3_000_000, 2 << 20, 2.0), "3,000,000 records, 2.00 MiB (1.00 MiB/s, 1,500,000 records/s)");
    }

    #[test]
    fn bytes_are_told_where_no_record_is_counted() {
        assert_eq!(byte_line(1 << 30, 4 << 30, 2.0), "1.00 GiB of 4.00 GiB (512.00 MiB/s)");
    }

    #[test]
    fn the_rest_is_told_where_the_total_is_known() {
        assert_eq!(left(25, 100, 5.0), ", 25 %, 15 seconds left");
        assert_eq!(left(25, 0, 5.0), "");
        assert_eq!(left(200, 100, 5.0), ", 100 %, 0 seconds left");
    }
}
