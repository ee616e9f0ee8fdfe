//! How far opening the logs has come: counted by all who open them, told now and then if it takes long.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A line this often: seldom enough to be read, often enough to see that it goes on.
const EVERY: Duration = Duration::from_secs(3);

/// Counts what was done of opening many logs; whoever shares it can look at any time.
///
/// The clock is read here, not given: it decides about nothing but when a line is written.
#[derive(Debug, Default)]
pub struct OpenProgress {
    /// Somebody looks, and wants to know how much there is to check.
    is_watched: bool,
    logs: AtomicUsize,
    opened: AtomicUsize,
    checked_segments: AtomicUsize,
    checked_bytes: AtomicU64,
    bytes_to_check: AtomicU64,
    next_line: Mutex<Option<Instant>>,
}

/// What [`OpenProgress`] says at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedSoFar {
    /// Logs to be opened; 0 before they are known.
    pub logs: usize,
    /// Logs that are open.
    pub opened: usize,
    /// Bytes in segments that have to be checked.
    pub bytes_to_check: u64,
    /// Bytes that were checked.
    pub checked_bytes: u64,
}

impl OpenProgress {
    /// One that somebody looks at: what there is to check is looked up beforehand, which takes a moment.
    #[must_use]
    pub fn watched() -> Self {
        Self { is_watched: true, ..Self::default() }
    }

    /// How far it is.
    #[must_use]
    pub fn so_far(&self) -> OpenedSoFar {
        OpenedSoFar {
            logs: self.logs.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
            bytes_to_check: self.bytes_to_check.load(Ordering::Relaxed),
            checked_bytes: self.checked_bytes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// As many logs are to be opened from now on.
    pub(super) fn begin(&self, logs: usize, now: Instant) {
        self.logs.store(logs, Ordering::Relaxed);
        *self.next_line.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + EVERY);
    }

    /// So much more has to be checked.
    pub(super) fn expect(&self, bytes: u64) {
        self.bytes_to_check.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A log is open.
    pub(super) fn log_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Some more bytes of a segment were checked.
    pub(super) fn bytes_checked(&self, bytes: u64) {
        self.checked_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// All batches of a segment were checked.
    pub(super) fn segment_checked(&self) {
        self.checked_segments.fetch_add(1, Ordering::Relaxed);
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
        if next.is_none_or(|next| now < next) {
            return None;
        }
        *next = Some(now + EVERY);
        let so_far = self.so_far();
        let (left, segments) =
            (so_far.logs.saturating_sub(so_far.opened), self.checked_segments.load(Ordering::Relaxed));
        let megabytes = so_far.checked_bytes / 1_000_000;
        Some(format!(
            "{} of {} logs are open, {left} to go; {segments} segments with {megabytes} MB were checked",
            so_far.opened, so_far.logs
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_now_and_then_if_it_takes_long() {
        let start = Instant::now();
        let progress = OpenProgress::default();
        assert_eq!(progress.due_line(start + EVERY), None, "nothing was begun");
        progress.begin(7, start);
        progress.log_opened();
        progress.bytes_checked(1_500_000);
        progress.segment_checked();
        progress.bytes_checked(900_000);
        progress.segment_checked();
        assert_eq!(progress.due_line(start + EVERY / 2), None, "quick starts say nothing");
        let line = progress.due_line(start + EVERY).unwrap();
        assert_eq!(line, "1 of 7 logs are open, 6 to go; 2 segments with 2 MB were checked");
        assert_eq!(progress.due_line(start + EVERY), None);
        assert!(progress.due_line(start + EVERY * 2).is_some());
    }
}
