//! `top`: the rates of topics and the lag of groups, live.
//!
//! `sample.rs` asks the cluster, `rates.rs` makes rows of two samples, `screen.rs` draws them and reads keys.

mod rates;
mod sample;
mod screen;

use std::time::Duration;

use regex_lite::Regex;

use super::Run;
use super::help::Example;
use super::support::{ConnectArgs, Exit, Output, OwnOutputArgs, Signal, Signals, UsageError, block_on, explained};
use crate::client::Admin;
use rates::{Order, Rates};
use sample::Sample;
use screen::{Key, Screen};

/// Watch the rates of topics and the lag of groups
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Keys: s sorts by the next column, / filters by part of a name (Enter keeps it, Esc drops it), i shows Kafka's own \
topics, q or Ctrl-C ends. Bytes are what partitions have grown by on their leaders' disks, so compressed; deleted \
segments make them less. Lag and rates of groups are of their committed offsets.

Without a terminal each interval is printed below the last. --output json prints a line per interval: {version, time, \
seconds, topics: [{topic, partitions, recordsPerSecond, bytesPerSecond, bytes}], groups: [{group, state, lag, \
recordsPerSecond, secondsToCatchUp}]}.")]
pub(super) struct Top {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    interval: Duration,
    /// What comes first: rate, size or lag, or name
    #[arg(long, value_name = "COLUMN", default_value = "rate")]
    sort: Order,
    /// Only topics and groups whose names hold this
    #[arg(long, value_name = "PATTERN")]
    filter: Option<Regex>,
    /// Show Kafka's own topics too
    #[arg(long)]
    include_internal: bool,
    /// End after one interval
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    output: OwnOutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a number of seconds from 0.1 to 86400".to_owned())
}

/// What is shown, as keys change it.
#[derive(Debug, Clone)]
struct View {
    order: Order,
    filter: Filter,
    include_internal: bool,
}

/// Which names are shown.
#[derive(Debug, Clone)]
enum Filter {
    None,
    Pattern(Regex),
    /// What is being typed, or was.
    Text {
        text: String,
        typing: bool,
    },
}

impl View {
    fn shows(&self, name: &str) -> bool {
        match &self.filter {
            Filter::None => true,
            Filter::Pattern(pattern) => pattern.is_match(name),
            Filter::Text { text, .. } => name.contains(text.as_str()),
        }
    }

    /// What a key does; `false`: it ends the tool.
    fn press(&mut self, key: Key) -> bool {
        if let Filter::Text { text, typing: typing @ true } = &mut self.filter {
            match key {
                Key::Enter => *typing = false,
                Key::Escape => self.filter = Filter::None,
                Key::Backspace => {
                    text.pop();
                }
                Key::Letter(letter) => text.push(letter),
            }
            return true;
        }
        match key {
            Key::Letter('q') => return false,
            Key::Letter('s') => self.order = self.order.next(),
            Key::Letter('i') => self.include_internal = !self.include_internal,
            Key::Letter('/') => self.filter = Filter::Text { text: String::new(), typing: true },
            Key::Escape => self.filter = Filter::None,
            _ => {}
        }
        true
    }
}

impl Run for Top {
    const NEEDS_NO_WORDS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        ("Watch a cluster", "kafka-rs top --bootstrap-server kafka:9092"),
        ("The most behind first", "kafka-rs top --sort lag"),
        ("Rates over ten seconds, for a script", "kafka-rs top --once --interval 10 --output json"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        if self.filter.as_ref().is_some_and(|filter| filter.as_str().is_empty()) {
            return Err(UsageError::because("Cannot parse argument '' of option filter"));
        }
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(self.watch(&admin, out))
    }
}

impl Top {
    async fn watch(&self, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
        let mut view = View {
            order: self.sort,
            filter: self.filter.clone().map_or(Filter::None, Filter::Pattern),
            include_internal: self.include_internal,
        };
        let mut signals = Signals::listen()?;
        let mut before = tokio::select! {
            first = Sample::take(admin) => first.map_err(explained)?,
            signal = signals.next() => return Ok(signal.exit()),
        };
        let mut screen = Screen::open(out, !self.once && !self.output.is_json())?;
        let mut rates = Rates::default();
        screen.show(&rates, &view, out)?;
        let end = 'watching: loop {
            let due = tokio::time::Instant::now() + self.interval;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => break,
                    signal = signals.next() => break 'watching Some(signal),
                    key = screen.key() => {
                        if !view.press(key) {
                            break 'watching None;
                        }
                        screen.show(&rates, &view, out)?;
                    }
                }
            }
            let after = tokio::select! {
                after = Sample::take(admin) => after,
                signal = signals.next() => break Some(signal),
            };
            // What goes wrong on the way may pass; the screen says so until then.
            match after {
                Ok(after) => {
                    rates = Rates::between(&before, &after);
                    before = after;
                }
                Err(error) if self.once => return Err(explained(error)),
                Err(error) => rates.failed = Some(super::support::chain_text(&anyhow::Error::new(error))),
            }
            if self.output.is_json() {
                out.line(rates.to_json(&view))?;
                out.flush()?;
            } else {
                screen.show(&rates, &view, out)?;
            }
            if self.once {
                break None;
            }
        };
        screen.close(&rates, &view, out)?;
        Ok(match end {
            // Ctrl-C is how watching is meant to end.
            None | Some(Signal::Interrupt) => Exit::Success,
            Some(signal) => signal.exit(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_change_what_is_shown() {
        let mut view = View { order: Order::Rate, filter: Filter::None, include_internal: false };
        for key in "s/or".chars().map(Key::Letter) {
            assert!(view.press(key));
        }
        assert_eq!(view.order, Order::Size);
        assert!(view.shows("orders") && !view.shows("payments"));
        assert!(view.press(Key::Letter('q')), "a letter of the filter");
        assert!(!view.shows("orders"));
        assert!(view.press(Key::Backspace) && view.press(Key::Enter) && view.shows("orders"));
        assert!(!view.press(Key::Letter('q')), "the filter is no longer typed");
        assert!(view.press(Key::Escape) && view.shows("payments"));
    }
}
