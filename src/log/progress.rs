//! How far opening the logs has come: counted by all who open them, told now and then if it takes long.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A line this often: seldom enough to be read, often enough to see that it goes on.
const EVERY: Duration = Duration::from_secs(3);

/// Counts what was done of opening many logs.
///
/// The clock is read here, not given: it decides about nothing but when a line is written.
#[derive(Debug)]
pub(super) struct Progress {
    logs: usize,
    opened: AtomicUsize,
    checked_segments: AtomicUsize,
    checked_bytes: AtomicU64,
    next_line: Mutex<Instant>,
}

impl Progress {
    /// Of opening as many logs, from now on.
    pub(super) fn new(logs: usize, now: Instant) -> Self {
        Self {
            logs,
            opened: AtomicUsize::new(0),
            checked_segments: AtomicUsize::new(0),
            checked_bytes: AtomicU64::new(0),
            next_line: Mutex::new(now + EVERY),
        }
    }

    /// A log is open.
    pub(super) fn log_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// All batches of a segment were checked.
    pub(super) fn segment_checked(&self, bytes: u64) {
        self.checked_segments.fetch_add(1, Ordering::Relaxed);
        self.checked_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        if let Some(line) = self.due_line(Instant::now()) {
            tracing::info!("{line}");
        }
    }

    /// The next line, if it is time for one.
    fn due_line(&self, now: Instant) -> Option<String> {
        let mut next = self.next_line.lock().unwrap_or_else(PoisonError::into_inner);
        if now < *next {
            return None;
        }
        *next = now + EVERY;
        let opened = self.opened.load(Ordering::Relaxed);
        let (left, segments) = (self.logs.saturating_sub(opened), self.checked_segments.load(Ordering::Relaxed));
        let megabytes = self.checked_bytes.load(Ordering::Relaxed) / 1_000_000;
        Some(format!(
            "{opened} of {} logs are open, {left} to go; {segments} segments with {megabytes} MB were checked",
            self.logs
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_now_and_then_if_it_takes_long() {
        let start = Instant::now();
        let progress = Progress::new(7, start);
        progress.log_opened();
        progress.segment_checked(1_500_000);
        progress.segment_checked(900_000);
        assert_eq!(progress.due_line(start + EVERY / 2), None, "quick starts say nothing");
        let line = progress.due_line(start + EVERY).unwrap();
        assert_eq!(line, "1 of 7 logs are open, 6 to go; 2 segments with 2 MB were checked");
        assert_eq!(progress.due_line(start + EVERY), None);
        assert!(progress.due_line(start + EVERY * 2).is_some());
    }
}
