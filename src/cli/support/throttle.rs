//! Keeps a sender to a rate, as Kafka's tools do: it sleeps only once it is ahead by enough to be worth a sleep.

use std::time::Duration;

/// Shorter sleeps are saved up until they add up to this.
const SHORTEST_SLEEP: Duration = Duration::from_millis(2);

/// How fast, and how far ahead.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: f64,
    started_ms: i64,
    /// The time that one record may take.
    each: Duration,
    owed: Duration,
}

impl Throttle {
    /// At most `per_second` from `started_ms` on; a negative rate is none, and with 0 nothing goes on after the first.
    pub(crate) fn new(per_second: f64, started_ms: i64) -> Self {
        let each = if per_second > 0.0 { Duration::try_from_secs_f64(1.0 / per_second).ok() } else { None };
        Self { per_second, started_ms, each: each.unwrap_or(Duration::MAX), owed: Duration::ZERO }
    }

    /// How long to pause after `sent` records of which the last was sent at `now_ms`; [`Duration::MAX`]: for ever.
    pub(crate) fn pause(&mut self, sent: u64, now_ms: i64) -> Option<Duration> {
        if self.per_second < 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let ahead = {
            let seconds = (now_ms - self.started_ms) as f64 / 1000.0;
            seconds > 0.0 && sent as f64 / seconds > self.per_second
        };
        if !ahead {
            return None;
        }
        if self.per_second == 0.0 {
            return Some(Duration::MAX);
        }
        self.owed = self.owed.saturating_add(self.each);
        (self.owed >= SHORTEST_SLEEP).then(|| std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_taken_once_they_are_worth_it() {
        let mut throttle = Throttle::new(1000.0, 0);
        assert_eq!(throttle.pause(5, 0), None, "nobody can tell a rate yet");
        assert_eq!(throttle.pause(10, 10), None, "just as fast as wanted");
        assert_eq!(throttle.pause(11, 10), None, "a millisecond is owed");
        assert_eq!(throttle.pause(12, 10), Some(Duration::from_millis(2)));
        assert_eq!(throttle.pause(13, 10), None, "what was owed is paid");
    }

    #[test]
    fn a_slow_rate_pauses_for_its_whole_period() {
        let mut throttle = Throttle::new(5.0, 0);
        assert_eq!(throttle.pause(1, 1), Some(Duration::from_millis(200)));
    }

    #[test]
    fn no_rate_and_none_at_all() {
        assert_eq!(Throttle::new(-1.0, 0).pause(1_000_000, 1), None);
        assert_eq!(Throttle::new(0.0, 0).pause(1, 1), Some(Duration::MAX));
        assert_eq!(Throttle::new(0.0, 0).pause(0, 1), None);
    }
}
