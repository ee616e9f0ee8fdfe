//! The screen of `top`, and its keys.

use std::io::{Read as _, Write as _};

use indicatif::{HumanBytes, HumanDuration};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

use super::rates::{GroupRow, Rates, TopicRow};
use super::{Filter, View};
use crate::cli::support::{Output, with_thousands};

/// To the other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const END_LINE: &str = "\x1b[K";
const END_SCREEN: &str = "\x1b[J";
/// Keys that nobody has looked at yet.
const KEYS: usize = 64;

/// A key that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Enter,
    Escape,
    Backspace,
}

/// Where rows are shown.
pub(super) struct Screen {
    terminal: Option<Terminal>,
    keys: Option<mpsc::Receiver<Key>>,
}

/// A terminal without echo and without waiting for a line's end; as before when dropped.
struct Terminal(Termios);

impl Terminal {
    fn open() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut modes = before.clone();
        // Ctrl-C stays a signal.
        modes.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &modes).ok()?;
        Some(Self(before))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(LEAVE.as_bytes());
        let _ = stdout.flush();
    }
}

impl Screen {
    /// Takes the terminal over, if there is one and it is wanted.
    pub(super) fn open(out: &mut Output, wanted: bool) -> anyhow::Result<Self> {
        if !(wanted && out.stdout_is_terminal() && out.stdin_is_terminal()) {
            return Ok(Self { terminal: None, keys: None });
        }
        let terminal = Terminal::open();
        let keys = terminal.is_some().then(read_keys);
        if terminal.is_some() {
            out.stdout().write_all(ENTER.as_bytes())?;
            out.flush()?;
        }
        Ok(Self { terminal, keys })
    }

    /// The next key. Cancelling it loses nothing.
    pub(super) async fn key(&mut self) -> Key {
        if let Some(keys) = &mut self.keys
            && let Some(key) = keys.recv().await
        {
            return key;
        }
        // Nobody types any more.
        self.keys = None;
        std::future::pending().await
    }

    /// Shows the rows: over the last ones, or below them.
    pub(super) fn show(&self, rates: &Rates, view: &View, out: &mut Output) -> anyhow::Result<()> {
        let size = tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
        let (rows, columns) = size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        if self.terminal.is_some() {
            let lines = lines(rates, view, rows, out);
            let mut frame = HOME.to_owned();
            for (number, line) in lines.iter().take(rows).enumerate() {
                frame.push_str(if number > 0 { "\r\n" } else { "" });
                frame.push_str(&cut(line, columns));
                frame.push_str(END_LINE);
            }
            frame.push_str(END_SCREEN);
            out.stdout().write_all(frame.as_bytes())?;
        } else if rates.seconds > 0.0 {
            for line in lines(rates, view, usize::MAX, out) {
                out.line(line)?;
            }
        }
        Ok(out.flush()?)
    }

    /// Gives the terminal back with the last rows on it.
    pub(super) fn close(mut self, rates: &Rates, view: &View, out: &mut Output) -> anyhow::Result<()> {
        if let Some(terminal) = self.terminal.take() {
            out.flush()?;
            drop(terminal);
            self.show(rates, view, out)?;
        }
        Ok(())
    }
}

/// Reads keys on a thread of its own, which ends with the process: nothing can take it away from the terminal.
fn read_keys() -> mpsc::Receiver<Key> {
    let (sender, receiver) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        let mut bytes = [0; 16];
        while let Ok(count @ 1..) = std::io::stdin().read(&mut bytes) {
            let typed = bytes.get(..count).unwrap_or_default();
            if keys_in(typed).into_iter().any(|key| sender.blocking_send(key).is_err()) {
                break;
            }
        }
    });
    receiver
}

/// The keys in what the terminal sent at once; arrows and the like begin with an escape and mean nothing here.
fn keys_in(bytes: &[u8]) -> Vec<Key> {
    match bytes {
        [0x1b] => vec![Key::Escape],
        [0x1b, ..] => Vec::new(),
        _ => String::from_utf8_lossy(bytes)
            .chars()
            .filter_map(|letter| match letter {
                '\r' | '\n' => Some(Key::Enter),
                '\u{7f}' | '\u{8}' => Some(Key::Backspace),
                letter if letter.is_control() => None,
                letter => Some(Key::Letter(letter)),
            })
            .collect(),
    }
}

/// A line that is not longer than the terminal is wide; colours take no place.
fn cut(line: &str, columns: usize) -> String {
    let (mut cut, mut width, mut in_colour) = (String::new(), 0, false);
    for letter in line.chars() {
        match letter {
            '\x1b' => in_colour = true,
            'm' if in_colour => in_colour = false,
            _ if in_colour => {}
            _ if width == columns => continue,
            _ => width += 1,
        }
        cut.push(letter);
    }
    cut
}

fn lines(rates: &Rates, view: &View, rows: usize, out: &Output) -> Vec<String> {
    let filter = match &view.filter {
        Filter::None => String::new(),
        Filter::Pattern(pattern) => format!(", filter {}", pattern.as_str()),
        Filter::Text { text, typing: true } => format!(", filter: {text}_"),
        Filter::Text { text, .. } => format!(", filter: {text}"),
    };
    let now = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
    let keys = if rows == usize::MAX { "" } else { "  (s sort, / filter, i internal, q quit)" };
    let mut lines = vec![format!("{now}, by {}{filter}{keys}", view.order.name())];
    if let Some(failed) = &rates.failed {
        lines.push(format!("{} {failed}", out.coloured("error:", "\x1b[1;31m")));
    }
    if rates.seconds <= 0.0 && rates.failed.is_none() {
        lines.push("looking ...".to_owned());
        return lines;
    }
    let groups = rates.groups(view);
    // Groups get up to half of the screen, and topics what is left.
    let left = rows.saturating_sub(lines.len() + 3);
    let for_groups = groups.len().min(left / 2);
    let topics = rates.topics(view);
    let name = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or(0).clamp(20, 60);
    let width = name(&mut topics.iter().map(|row| row.name.chars().count()));
    lines.push(out.bold(&format!(
        "{:<width$} {:>10} {:>12} {:>12} {:>11}",
        "TOPIC", "PARTITIONS", "RECORDS/S", "BYTES/S", "SIZE"
    )));
    lines.extend(topics.iter().take(left.saturating_sub(for_groups)).map(|row| topic_line(row, width)));
    if !groups.is_empty() {
        let width = name(&mut groups.iter().map(|row| row.name.chars().count()));
        lines.push(String::new());
        lines.push(out.bold(&format!(
            "{:<width$} {:>10} {:>12} {:>12} {:>11}",
            "GROUP", "STATE", "LAG", "RECORDS/S", "CAUGHT UP"
        )));
        let most = if rows == usize::MAX { usize::MAX } else { for_groups };
        lines.extend(groups.iter().take(most).map(|row| group_line(row, width)));
    }
    lines
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people, never negative")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

fn topic_line(row: &TopicRow, width: usize) -> String {
    format!(
        "{:<width$} {:>10} {:>12} {:>12} {:>11}",
        row.name,
        row.partitions,
        with_thousands(whole(row.records_per_second)),
        HumanBytes(whole(row.bytes_per_second)).to_string(),
        HumanBytes(row.bytes.max(0).unsigned_abs()).to_string()
    )
}

fn group_line(row: &GroupRow, width: usize) -> String {
    let caught_up = match row.catches_up_in {
        Some(time) if time.is_zero() => "yes".to_owned(),
        Some(time) => format!("in {}", HumanDuration(time)),
        None => "-".to_owned(),
    };
    format!(
        "{:<width$} {:>10} {:>12} {:>12} {caught_up:>11}",
        row.name,
        row.state,
        with_thousands(row.lag.unsigned_abs()),
        with_thousands(whole(row.records_per_second)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_what_is_typed() {
        assert_eq!(keys_in(b"s/\r\x7f"), [Key::Letter('s'), Key::Letter('/'), Key::Enter, Key::Backspace]);
        assert_eq!(keys_in(b"\x1b"), [Key::Escape]);
        assert_eq!(keys_in(b"\x1b[A"), []);
        assert_eq!(keys_in(&[0xff, 0x01]), [Key::Letter('\u{fffd}')]);
    }

    #[test]
    fn long_lines_are_cut_and_colours_take_no_place() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("\x1b[1mabcdef\x1b[0m", 3), "\x1b[1mabc\x1b[0m");
    }
}
