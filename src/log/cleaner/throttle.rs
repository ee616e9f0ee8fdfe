//! How long a cleaner waits so that reading and writing stay below `log.cleaner.io.max.bytes.per.second`.

use std::time::Duration;

/// What may be done at once after a rest, as a share of a second.
const BURST: Duration = Duration::from_millis(300);

/// A budget of bytes that fills with time; all cleaners share one.
#[derive(Debug, Default)]
pub struct Throttle {
    /// When all that was asked for so far is paid.
    paid_at: Duration,
}

impl Throttle {
    /// How long to wait after `bytes` were read or written at `now`, counted from any moment.
    pub fn wait(&mut self, bytes: u64, bytes_per_second: f64, now: Duration) -> Duration {
        let price = Duration::try_from_secs_f64(bytes as f64 / bytes_per_second).unwrap_or(Duration::ZERO);
        self.paid_at = self.paid_at.max(now.saturating_sub(BURST)).saturating_add(price);
        self.paid_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept() {
        let mut throttle = Throttle::default();
        let mut now = Duration::from_secs(100);
        let start = now;
        for _ in 0..50 {
            now += throttle.wait(1000, 1000.0, now);
        }
        let took = now - start;
        assert!(took > Duration::from_secs(49) && took <= Duration::from_secs(50), "{took:?}");
    }

    #[test]
    fn without_a_limit_there_is_no_wait() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.wait(u64::MAX, f64::MAX, Duration::ZERO), Duration::ZERO);
        assert_eq!(throttle.wait(1, 0.0, Duration::ZERO), Duration::ZERO, "nonsense is no limit");
    }
}
