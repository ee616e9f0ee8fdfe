//! Figures of performance tests, in the form of Kafka's tools.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// Kafka's tools call 2^20 bytes a megabyte.
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// A number as Java's `%.<decimals>f` prints it, with words for what is no number.
pub(crate) fn decimal(value: f64, decimals: usize) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{value:.decimals$}")
    }
}

/// Bytes in megabytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    number(bytes) / MEGABYTE
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "figures are told with few digits")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// How much in a second, of so much in `milliseconds`.
pub(crate) fn per_second(amount: f64, milliseconds: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "figures are told with few digits")]
    let elapsed = milliseconds as f64;
    1000.0 * amount / elapsed
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How often each latency, in whole milliseconds, was seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latencies {
    seen: BTreeMap<u64, u64>,
    count: u64,
}

impl Latencies {
    /// Adds `count` of the same latency.
    pub(crate) fn add(&mut self, milliseconds: u64, count: u64) {
        *self.seen.entry(milliseconds).or_default() += count;
        self.count += count;
    }

    /// The latency that `part` of all (0.99) stay below, as Kafka's tools choose it from a sorted list; 0 of none.
    pub(crate) fn percentile(&self, part: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a count, and a saturating cast"
        )]
        let mut before = (part * number(self.count)) as u64;
        for (latency, count) in &self.seen {
            if before < *count {
                return *latency;
            }
            before -= count;
        }
        self.seen.last_key_value().map_or(0, |(latency, _)| *latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_in_java() {
        assert_eq!(decimal(1.0 / 3.0, 2), "0.33");
        assert_eq!(decimal(f64::NAN, 2), "NaN");
        assert_eq!(decimal(f64::INFINITY, 2), "Infinity");
        assert_eq!(decimal(megabytes(3 << 19), 1), "1.5");
        assert_eq!(decimal(per_second(3.0, 1500), 1), "2.0");
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(0.5), 0);
        let list = [7, 1, 3, 3, 9, 2, 2, 2, 30, 4];
        for latency in list {
            latencies.add(latency, 1);
        }
        let mut sorted = list;
        sorted.sort_unstable();
        for (part, index) in [(0.0, 0), (0.5, 5), (0.95, 9), (0.99, 9), (0.9, 9), (0.89, 8)] {
            assert_eq!(latencies.percentile(part), sorted[index], "{part}");
        }
    }
}
