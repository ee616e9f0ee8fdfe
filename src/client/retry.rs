//! How long to wait before trying again, and when to stop.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Spread of the waits around their nominal length, as in Kafka's clients (KIP-580): many clients must not come back at
/// the same moment.
const JITTER: f64 = 0.2;

/// Waits that double from `first` to `most`.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits that start at `first` and never exceed `most` (by more than the jitter), not even the first (KIP-580).
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first: first.min(most), most, failures: 0 }
    }

    /// How many failures were counted since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and says how long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let nominal = self.first.saturating_mul(1u32.checked_shl(self.failures.min(30)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        nominal.min(self.most).mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
    }
}

/// The moment until which an operation with all its attempts may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    started: Instant,
    at: Instant,
}

impl Deadline {
    /// The moment that lies `after` ahead.
    #[must_use]
    pub fn after(after: Duration) -> Self {
        let started = Instant::now();
        // A wait beyond 30 years is for ever; it keeps the sum within what an instant can hold.
        let at = started + after.min(Duration::from_secs(1 << 30));
        Self { started, at }
    }

    /// The moment itself.
    #[must_use]
    pub fn at(self) -> Instant {
        self.at
    }

    /// Time that is left, zero if none.
    #[must_use]
    pub fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Time since it was set.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// Runs a future at most until then; `None` if it was not done (it is dropped).
    pub async fn limit<T>(self, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.at, future).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for nominal in [100.0, 200.0, 400.0, 800.0, 1000.0, 1000.0] {
            let wait = backoff.next_wait().as_secs_f64() * 1000.0;
            assert!((nominal * 0.79..=nominal * 1.21).contains(&wait), "{wait} for {nominal}");
        }
        backoff.reset();
        assert!(backoff.next_wait() < Duration::from_millis(121));
    }

    #[test]
    fn a_first_wait_above_the_most_is_the_most() {
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_millis(100));
        for _ in 0..3 {
            assert!((79..=121).contains(&backoff.next_wait().as_millis()));
        }
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1 << 40), Duration::from_secs(1 << 40));
        for _ in 0..100 {
            backoff.next_wait();
        }
        assert_eq!(backoff.failures(), 100);
        assert!(!Deadline::after(Duration::MAX).is_over());
    }
}
