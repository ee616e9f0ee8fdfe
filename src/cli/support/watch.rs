//! `--watch`: what a tool shows, shown again every few seconds.
//!
//! On a terminal each frame is drawn over the last one, on the terminal's other screen; Ctrl-C gives back the first with the
//! last frame on it. While an answer is late the screen says for how long. Elsewhere frames follow each other.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Output, Signal, Signals, Style, Tint, UsageError, chain_text};

/// How often, where `--watch` does not say.
const DEFAULT_SECONDS: &str = "2";
/// Brokers have other things to do.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// An answer that takes longer is late.
const LATE: Duration = Duration::from_secs(1);

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
        let mut resizes = signal(SignalKind::window_change()).context("could not listen for signals")?;
        let redraws = out.can_redraw() && out.style() != Style::Json;
        // What is wrong from the start is told as without --watch; what goes wrong later may pass.
        let (first, mut frame) = tokio::select! {
            first = Frame::of(&mut print, out) => first,
            signal = signals.next() => return Ok(signal.exit()),
        };
        if let Err(error) = first {
            frame.print(out)?;
            return Err(error);
        }
        let mut screen = redraws.then(|| Screen::open(interval, out)).transpose()?;
        let apart = out.apart();
        let signal = 'watching: loop {
            match &mut screen {
                Some(screen) => screen.show(&frame, out)?,
                None => frame.print(out)?,
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                // What is shown was laid out for another width.
                _ = resizes.recv(), if screen.is_some() => {}
                signal = signals.next() => break signal,
            }
            let asked = Instant::now();
            let mut next = std::pin::pin!(Frame::of(&mut print, &apart));
            // What was asked goes on meanwhile; a signal alone gives it up.
            frame = loop {
                tokio::select! {
                    (result, next) = &mut next => break next.with_error(result.err().as_ref(), out),
                    () = tokio::time::sleep(interval.max(LATE)) => {}
                    _ = resizes.recv(), if screen.is_some() => {}
                    signal = signals.next() => break 'watching signal,
                }
                if let Some(screen) = &mut screen {
                    screen.show_late(&frame, asked.elapsed(), out)?;
                }
            };
        };
        if let Some(screen) = screen {
            screen.close(&frame, out)?;
        }
        // Ctrl-C is how watching is meant to end.
        Ok(if signal == Signal::Interrupt { Exit::Success } else { signal.exit() })
    }
}

/// What was printed once.
struct Frame {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Frame {
    async fn of(
        print: &mut impl AsyncFnMut(&mut Output) -> anyhow::Result<Exit>,
        out: &Output,
    ) -> (anyhow::Result<Exit>, Self) {
        let (result, stdout, stderr) = out.collect(print).await;
        (result, Self { stdout, stderr })
    }

    /// With what went wrong, where a person or a log sees it.
    fn with_error(mut self, error: Option<&anyhow::Error>, out: &Output) -> Self {
        let at = if out.can_redraw() { &mut self.stdout } else { &mut self.stderr };
        if let Some(error) = error {
            at.extend_from_slice(format!("error: {}\n", chain_text(error)).as_bytes());
        }
        self
    }

    fn print(&self, out: &mut Output) -> anyhow::Result<()> {
        write(&self.stdout, out)?;
        Ok(out.remark_bytes(&self.stderr)?)
    }
}

/// The terminal's other screen.
struct Screen {
    interval: Duration,
    /// When what is shown was true.
    time: String,
}

impl Screen {
    fn open(interval: Duration, out: &mut Output) -> anyhow::Result<Self> {
        write(ENTER.as_bytes(), out)?;
        Ok(Self { interval, time: String::new() })
    }

    fn show(&mut self, frame: &Frame, out: &mut Output) -> anyhow::Result<()> {
        self.time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        self.draw(&format!("{}, every {} s; Ctrl-C ends", self.time, self.interval.as_secs_f64()), frame, out)
    }

    /// Shows it again, and that nothing newer is known.
    fn show_late(&self, frame: &Frame, waited: Duration, out: &mut Output) -> anyhow::Result<()> {
        let late = format!("no answer for {} s", waited.as_secs());
        self.draw(&format!("{}, {}; Ctrl-C ends", self.time, out.tinted(&late, Tint::Odd)), frame, out)
    }

    fn draw(&self, title: &str, frame: &Frame, out: &mut Output) -> anyhow::Result<()> {
        write(&drawn(title, &String::from_utf8_lossy(&frame.stdout), size()), out)
    }

    fn close(self, frame: &Frame, out: &mut Output) -> anyhow::Result<()> {
        write(LEAVE.as_bytes(), out)?;
        frame.print(out)
    }
}

/// A frame over what is on the screen: no more lines than fit, each cleared to its end, and below it nothing. A line that is
/// wider than the terminal goes on in the next row.
fn drawn(title: &str, frame: &str, (columns, rows): (usize, usize)) -> Vec<u8> {
    let lines: Vec<&str> = std::iter::once(title).chain(frame.trim_end().lines()).collect();
    let rows_of = |line: &str| width(line).div_ceil(columns).max(1);
    let rows = rows.max(2);
    let all: usize = lines.iter().map(|line| rows_of(line)).sum();
    let (mut left, mut shown) = (if all > rows { rows - 1 } else { rows }, 0);
    for line in &lines {
        let Some(still_left) = left.checked_sub(rows_of(line)) else { break };
        (left, shown) = (still_left, shown + 1);
    }
    let mut text = HOME.to_owned();
    for line in lines.iter().take(shown) {
        text.push_str(line);
        // At the end of a full row clearing would take its last letter.
        if width(line) == 0 || !width(line).is_multiple_of(columns) {
            text.push_str(END_LINE);
        }
        text.push_str("\r\n");
    }
    match lines.len() - shown {
        // The last line end would scroll the first line away.
        0 if left == 0 => text.truncate(text.len() - 2),
        0 => text.push_str(END_SCREEN),
        more => text.push_str(&format!("... {more} more lines{END_SCREEN}")),
    }
    text.into_bytes()
}

/// How many columns a line takes; colours take none.
fn width(line: &str) -> usize {
    let mut in_colour = false;
    let takes_place = |letter: &char| {
        let was_in_colour = in_colour;
        in_colour = *letter == '\x1b' || in_colour && *letter != 'm';
        !was_in_colour && !in_colour
    };
    line.chars().filter(takes_place).count()
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    const USUAL: (usize, usize) = (80, 24);
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
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

    fn shown(frame: &str, size: (usize, usize)) -> String {
        String::from_utf8(drawn("now", frame, size)).unwrap()
    }

    #[test]
    fn a_frame_covers_the_last_one_and_fits() {
        assert_eq!(shown("a\nb\n", (80, 24)), "\x1b[Hnow\x1b[K\r\na\x1b[K\r\nb\x1b[K\r\n\x1b[J");
        assert_eq!(shown("a\nb\n", (80, 3)), "\x1b[Hnow\x1b[K\r\na\x1b[K\r\nb\x1b[K");
        let long: String = (0..30).map(|n| format!("{n}\n")).collect();
        assert_eq!(shown(&long, (80, 4)), "\x1b[Hnow\x1b[K\r\n0\x1b[K\r\n1\x1b[K\r\n... 28 more lines\x1b[J");
    }

    /// Goal: the title is never scrolled away by lines that take several rows, and a full row keeps its last letter.
    #[test]
    fn lines_that_are_wider_than_the_terminal_take_their_rows() {
        assert_eq!(shown("12345678\nb", (4, 4)), "\x1b[Hnow\x1b[K\r\n12345678\r\nb\x1b[K");
        assert_eq!(shown("123456789\nb", (4, 4)), "\x1b[Hnow\x1b[K\r\n... 2 more lines\x1b[J");
        assert_eq!(shown("\x1b[31mfour\x1b[0m\nb", (4, 3)), "\x1b[Hnow\x1b[K\r\n\x1b[31mfour\x1b[0m\r\nb\x1b[K");
    }
}
