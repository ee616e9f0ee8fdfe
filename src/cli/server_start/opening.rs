//! At a terminal: a bar that shows how far opening the logs is, where that takes longer than a moment.
//!
//! Drawn by a thread of its own, since the broker's start occupies the one that waits for it. In a pipe or a file there are the
//! log's lines instead (`OpenProgress`).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::broker::{OpenProgress, OpenedSoFar};
use crate::cli::support::Output;
use crate::telemetry;

/// Starts that are shorter show nothing.
const QUIET: Duration = Duration::from_millis(500);
/// How often it is drawn.
const INTERVAL: Duration = Duration::from_millis(100);
/// The bar's steps.
const WHOLE: u64 = 1000;

/// The bar, as long as this lives.
pub(super) struct Drawn {
    progress: Arc<OpenProgress>,
    drawing: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Drawn {
    /// A bar if stderr is a terminal; it shows what [`Self::progress`] is told.
    pub(super) fn start(out: &Output) -> io::Result<Self> {
        if !out.can_draw() {
            return Ok(Self { progress: Arc::default(), drawing: None });
        }
        let progress = Arc::new(OpenProgress::watched());
        let (end, ended) = mpsc::channel();
        let watched = Arc::clone(&progress);
        let thread = thread::Builder::new().name("opening-bar".to_owned()).spawn(move || draw(&watched, &ended))?;
        Ok(Self { progress, drawing: Some((end, thread)) })
    }

    /// Who is to be told.
    pub(super) fn progress(&self) -> Arc<OpenProgress> {
        Arc::clone(&self.progress)
    }
}

impl Drop for Drawn {
    /// Takes the bar away, so that what is printed next stands alone.
    fn drop(&mut self) {
        if let Some((end, thread)) = self.drawing.take() {
            drop(end);
            // A bar that could not be drawn is no loss.
            let _ = thread.join();
        }
    }
}

fn draw(progress: &OpenProgress, ended: &mpsc::Receiver<()>) {
    let started = Instant::now();
    let mut bar = None;
    let mut wait = QUIET;
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = INTERVAL;
        let so_far = progress.so_far();
        if so_far.logs == 0 || so_far.opened == so_far.logs {
            continue;
        }
        let bar = bar.get_or_insert_with(new_bar);
        bar.set_position(part_done(&so_far));
        bar.set_message(line(&so_far, started.elapsed()));
        bar.tick();
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
        telemetry::write_above(None);
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr_with_hz(20));
    let style = ProgressStyle::with_template("[{bar:20}] {wide_msg}").map(|style| style.progress_chars("=> "));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    telemetry::write_above(Some(bar.clone()));
    bar
}

/// How much is done, of [`WHOLE`]: by bytes where there are any to check, since logs differ in size.
fn part_done(so_far: &OpenedSoFar) -> u64 {
    let (done, all) = match so_far.bytes_to_check {
        0 => (so_far.opened as u64, so_far.logs as u64),
        bytes => (so_far.checked_bytes.min(bytes), bytes),
    };
    u64::try_from(u128::from(done) * u128::from(WHOLE) / u128::from(all.max(1))).unwrap_or(WHOLE)
}

fn line(so_far: &OpenedSoFar, took: Duration) -> String {
    let (opened, logs) = (HumanCount(so_far.opened as u64), HumanCount(so_far.logs as u64));
    let mut line = format!("opening logs: {opened} of {logs} partitions");
    if so_far.bytes_to_check > 0 {
        let per_second = u128::from(so_far.checked_bytes) * 1000 / took.as_millis().max(1);
        line += &format!(
            ", {} of {} checked ({}/s)",
            HumanBytes(so_far.checked_bytes),
            HumanBytes(so_far.bytes_to_check),
            HumanBytes(u64::try_from(per_second).unwrap_or(u64::MAX)),
        );
    }
    let done = part_done(so_far);
    if done > 0 && done < WHOLE {
        let left = took.as_millis() * u128::from(WHOLE - done) / u128::from(done);
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX));
        line += &format!(", {} left", HumanDuration(left));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_partitions_bytes_rate_and_what_is_left() {
        let took = Duration::from_secs(2);
        let unclean = OpenedSoFar { logs: 1500, opened: 300, bytes_to_check: 4 << 30, checked_bytes: 1 << 30 };
        assert_eq!(
            line(&unclean, took),
            "opening logs: 300 of 1,500 partitions, 1.00 GiB of 4.00 GiB checked (512.00 MiB/s), 6 seconds left"
        );
        assert_eq!(part_done(&unclean), 250);
        let clean = OpenedSoFar { bytes_to_check: 0, checked_bytes: 0, ..unclean };
        assert_eq!(line(&clean, took), "opening logs: 300 of 1,500 partitions, 8 seconds left");
        let begun = OpenedSoFar { opened: 0, ..clean };
        assert_eq!(line(&begun, took), "opening logs: 0 of 1,500 partitions");
    }
}
