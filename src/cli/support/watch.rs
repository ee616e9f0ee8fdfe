//! `--watch`: what a tool shows, shown again every few seconds.
//!
//! On a terminal each frame is drawn over the last one, on the terminal's other screen; Ctrl-C gives back the first with the
//! last frame on it. Elsewhere frames follow each other.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;

use super::{Exit, Output, Signal, Signals, Style, UsageError, chain_text};

/// How often, where `--watch` does not say.
const DEFAULT_SECONDS: &str = "2";
/// Brokers have other things to do.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// To the other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left corner; to the end of a line; to the end of the screen.
const HOME: &str = "\x1b[H";
const END_LINE: &str = "\x1b[K";
const END_SCREEN: &str = "\x1b[J";

/// `--watch`, for tools that describe what changes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WatchArgs {
    /// Show it again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = DEFAULT_SECONDS)]
    watch: Option<String>,
}

impl WatchArgs {
    /// Whether it was asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.watch.is_some()
    }

    /// How long to wait between two frames, if it was asked for.
    pub(crate) fn interval(&self) -> anyhow::Result<Option<Duration>> {
        let Some(text) = &self.watch else { return Ok(None) };
        let seconds: Option<f64> = text.parse().ok();
        let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match interval.filter(|interval| (SHORTEST..=LONGEST).contains(interval)) {
            Some(interval) => Ok(Some(interval)),
            None => Err(UsageError::because(format!(
                "--watch takes a number of seconds from 0.1 to {}, but received: {text}",
                LONGEST.as_secs()
            ))),
        }
    }

    /// Prints once, or, if asked to, again and again until a signal. Must be called within a runtime.
    pub(crate) async fn run(
        &self,
        out: &mut Output,
        mut print: impl AsyncFnMut(&mut Output) -> anyhow::Result<Exit>,
    ) -> anyhow::Result<Exit> {
        let Some(interval) = self.interval()? else { return print(out).await };
        let mut signals = Signals::listen()?;
        // What is wrong from the start is told as without --watch; what goes wrong later may pass.
        let (first, frame) = out.collect(&mut print).await;
        first?;
        let mut screen = Screen::open(out)?;
        let mut frame = frame;
        let signal = loop {
            screen.show(&frame, interval, out)?;
            let next = async {
                tokio::time::sleep(interval).await;
                let (result, mut frame) = out.collect(&mut print).await;
                if let Err(error) = result {
                    let _ = writeln!(frame, "error: {}", chain_text(&error));
                }
                frame
            };
            tokio::select! {
                next = next => frame = next,
                signal = signals.next() => break signal,
            }
        };
        screen.close(&frame, out)?;
        // Ctrl-C is how watching is meant to end.
        Ok(if signal == Signal::Interrupt { Exit::Success } else { signal.exit() })
    }
}

/// Where frames are shown.
struct Screen {
    redraws: bool,
}

impl Screen {
    fn open(out: &mut Output) -> anyhow::Result<Self> {
        let redraws = out.can_redraw() && out.style() != Style::Json;
        if redraws {
            write(ENTER.as_bytes(), out)?;
        }
        Ok(Self { redraws })
    }

    fn show(&mut self, frame: &[u8], interval: Duration, out: &mut Output) -> anyhow::Result<()> {
        if !self.redraws {
            return write(frame, out);
        }
        let now = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        let title = format!("{now}, every {} s; Ctrl-C ends", interval.as_secs_f64());
        write(&drawn(&title, &String::from_utf8_lossy(frame), rows()), out)
    }

    fn close(&self, frame: &[u8], out: &mut Output) -> anyhow::Result<()> {
        if self.redraws {
            write(LEAVE.as_bytes(), out)?;
            write(frame, out)?;
        }
        Ok(())
    }
}

/// A frame over what is on the screen: no more lines than fit, each cleared to its end, and below it nothing.
fn drawn(title: &str, frame: &str, rows: usize) -> Vec<u8> {
    let lines: Vec<&str> = std::iter::once(title).chain(frame.trim_end().lines()).collect();
    let fits = rows.max(2);
    let left_out = lines.len().saturating_sub(fits);
    let shown = if left_out > 0 { fits - 1 } else { lines.len() };
    let mut text = HOME.to_owned();
    for line in lines.iter().take(shown) {
        text.push_str(line);
        text.push_str(END_LINE);
        text.push_str("\r\n");
    }
    if left_out > 0 {
        text.push_str(&format!("... {} more lines{END_LINE}\r\n", left_out + 1));
    }
    // The last line end would scroll the first line away.
    text.truncate(text.len() - 2);
    text.push_str(END_SCREEN);
    text.into_bytes()
}

/// How many lines the terminal has.
fn rows() -> usize {
    const USUAL: usize = 24;
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 => usize::from(size.ws_row),
        _ => USUAL,
    }
}

fn write(bytes: &[u8], out: &mut Output) -> anyhow::Result<()> {
    let write = |out: &mut Output| {
        out.stdout().write_all(bytes)?;
        out.flush()
    };
    // No context around what may be a closed pipe.
    write(out).map_err(anyhow::Error::new).or_else(|error| match error.downcast_ref::<std::io::Error>() {
        Some(inner) if inner.kind() == std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Err(error).context("could not print"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(text: &str) -> WatchArgs {
        WatchArgs { watch: Some(text.to_owned()) }
    }

    #[test]
    fn seconds() {
        assert_eq!(WatchArgs::default().interval().unwrap(), None);
        assert_eq!(watch("0.5").interval().unwrap(), Some(Duration::from_millis(500)));
        for text in ["0", "-1", "x", "", "nan", "inf", "1e30", "0.01"] {
            let error = watch(text).interval().unwrap_err().to_string();
            assert!(error.ends_with(&format!("but received: {text}")), "{error}");
        }
    }

    #[test]
    fn a_frame_covers_the_last_one_and_fits() {
        let frame = drawn("now", "a\nb\n", 24);
        assert_eq!(String::from_utf8(frame).unwrap(), "\x1b[Hnow\x1b[K\r\na\x1b[K\r\nb\x1b[K\x1b[J");
        let long: String = (0..30).map(|n| format!("{n}\n")).collect();
        let frame = String::from_utf8(drawn("now", &long, 4)).unwrap();
        assert_eq!(frame, "\x1b[Hnow\x1b[K\r\n0\x1b[K\r\n1\x1b[K\r\n... 28 more lines\x1b[K\x1b[J");
    }
}
