//! `__complete`: what the completion scripts ask at each press of the key.
//!
//! It reads the line typed so far and prints one candidate per line, then a line that begins with `:` and says what
//! the shell shall do besides: complete files (`:files`, `:directories`) or nothing
//! (`:done`). It never fails and never waits long: a broker that does not answer at once adds no names.

use std::time::Duration;

use clap::{Arg, ArgAction, Command, ValueHint};

use super::completions::Shell;
use super::support::{DEFAULT_SERVER, Exit, Output, block_on, needs_value, takes_value};
use super::{Run, TOOLS, called_by_link, find, root_command};
use crate::client::{Admin, ClientError, ClientOptions};

/// The subcommand's name. Two dashes keep it out of help, completions and man pages.
pub(super) const NAME: &str = "__complete";

/// How long a press of the key may wait for the broker.
const PATIENCE: Duration = Duration::from_millis(700);

/// Answer a shell's completion script
#[derive(Debug, clap::Parser)]
pub(super) struct Complete {
    shell: Shell,
    /// The words up to and with the one being completed; for bash: the line, the cursor's place in it, and the
    /// characters that break words
    #[arg(last = true)]
    words: Vec<String>,
}

/// What may follow.
#[derive(Debug, Default, PartialEq, Eq)]
struct Candidates {
    /// Values and what they mean.
    values: Vec<(String, String)>,
    then: Then,
}

/// What the shell shall do besides offering the values.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Then {
    #[default]
    Done,
    Files,
    Directories,
}

impl Run for Complete {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        let (words, strip) = match (self.shell, self.words.as_slice()) {
            (Shell::Bash, [line, point, breaks]) => {
                let end = point.parse().unwrap_or(line.len());
                let words = split_words(line.get(..end).unwrap_or(line));
                let current = words.last().map(String::as_str).unwrap_or_default();
                // Readline replaces only what stands after the last of these characters.
                let strip = current.rfind(|c| ":=".contains(c) && breaks.contains(c)).map_or(0, |at| at + 1);
                (words, strip)
            }
            (_, words) => (words.to_vec(), 0),
        };
        let found = candidates(&words, &|kind, typed| live_names(kind, typed));
        for (value, meaning) in &found.values {
            match self.shell {
                Shell::Bash => out.line(value.get(strip..).unwrap_or(value))?,
                Shell::Zsh if meaning.is_empty() => out.line(value.replace(':', "\\:"))?,
                Shell::Zsh => out.line(format_args!("{}:{meaning}", value.replace(':', "\\:")))?,
                Shell::Fish => out.line(format_args!("{value}\t{meaning}"))?,
            }
        }
        out.line(match found.then {
            Then::Done => ":done",
            Then::Files => ":files",
            Then::Directories => ":directories",
        })?;
        Ok(Exit::Success)
    }
}

/// Names that only a broker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Live {
    Topic,
    Group,
}

/// Asks the broker that the words name, and has no names if it does not answer in time.
fn live_names(kind: Live, words: &[String]) -> Vec<String> {
    let Ok(servers) = servers(words).split(',').map(|server| server.trim().parse()).collect() else {
        return Vec::new();
    };
    let options = ClientOptions { bootstrap_patience: PATIENCE, ..ClientOptions::for_servers(servers) };
    let asked = block_on(async {
        let admin = Admin::new(options);
        Ok(tokio::time::timeout(PATIENCE, async { names(kind, &admin).await }).await??)
    });
    asked.unwrap_or_default()
}

async fn names(kind: Live, admin: &Admin) -> Result<Vec<String>, ClientError> {
    match kind {
        Live::Topic => Ok(admin.list_topics().await?.into_iter().map(|topic| topic.name).collect()),
        Live::Group => Ok(admin.list_groups(&[], &[]).await?.into_iter().map(|group| group.group_id).collect()),
    }
}

/// The value of `--bootstrap-server` among the words typed so far.
fn servers(words: &[String]) -> String {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if name.starts_with('-') && ["bootstrap-server", "broker-list"].contains(&name.trim_start_matches('-')) {
            let value = value.map(str::to_owned).or_else(|| words.next().cloned());
            return value.filter(|value| !value.is_empty()).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        }
    }
    DEFAULT_SERVER.to_owned()
}

/// What may follow `words`, of which the last is the one being typed.
fn candidates(words: &[String], live: &dyn Fn(Live, &[String]) -> Vec<String>) -> Candidates {
    let Some((program, rest)) = words.split_first() else { return Candidates::default() };
    let (tool, typed) = match called_by_link(program.as_ref()) {
        Some(tool) => (tool, rest),
        None => match rest {
            [] | [_] => return tools(rest.first().map(String::as_str).unwrap_or_default()),
            [name, typed @ ..] => match find(name) {
                Some(tool) => (tool, typed),
                None => return Candidates::default(),
            },
        },
    };
    let command = tool.command();
    let Some((current, before)) = typed.split_last() else { return Candidates::default() };
    let state = read(&command, before);
    if let Some(option) = state.waiting {
        return values_of(option, "", current, words, live);
    }
    if let Some((name, value)) = current.split_once('=')
        && let Some(option) = option_named(&command, name)
    {
        return values_of(option, &format!("{name}="), value, words, live);
    }
    if !current.starts_with('-')
        && let Some(positional) = command.get_positionals().filter(|arg| !arg.is_hide_set()).nth(state.positionals)
    {
        return values_of(positional, "", current, words, live);
    }
    Candidates { values: options(&command, current, &state.used), then: Then::Done }
}

fn tools(current: &str) -> Candidates {
    let mut values: Vec<_> = root_command()
        .get_subcommands()
        .filter(|tool| !tool.is_hide_set() && tool.get_name().starts_with(current))
        .map(|tool| (tool.get_name().to_owned(), tool.get_about().map(ToString::to_string).unwrap_or_default()))
        .collect();
    for flag in ["--help", "--version"] {
        if current.starts_with('-') && flag.starts_with(current) {
            values.push((flag.to_owned(), String::new()));
        }
    }
    debug_assert!(values.len() <= TOOLS.len() + 2);
    Candidates { values, then: Then::Done }
}

/// What the complete words before the cursor say.
struct State<'a> {
    used: Vec<&'a str>,
    positionals: usize,
    /// The option whose value the next word is.
    waiting: Option<&'a Arg>,
}

fn read<'a>(command: &'a Command, before: &[String]) -> State<'a> {
    let mut state = State { used: Vec::new(), positionals: 0, waiting: None };
    for word in before {
        if let Some(option) = state.waiting.take()
            && (needs_value(option) || !word.starts_with('-'))
        {
            continue;
        }
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        match option_named(command, name) {
            Some(option) => {
                state.used.push(option.get_id().as_str());
                if takes_value(option) && !word.contains('=') {
                    state.waiting = Some(option);
                }
            }
            None => state.positionals += usize::from(!word.starts_with('-')),
        }
    }
    state
}

fn option_named<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(name) || arg.get_short().is_some_and(|short| name.chars().eq(std::iter::once(short)))
    })
}

fn options(command: &Command, current: &str, used: &[&str]) -> Vec<(String, String)> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter(|arg| matches!(arg.get_action(), ArgAction::Append) || !used.contains(&arg.get_id().as_str()))
        .filter_map(|arg| {
            let option = format!("--{}", arg.get_long()?);
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            option.starts_with(current).then_some((option, help))
        })
        .collect()
}

fn values_of(
    arg: &Arg,
    prefix: &str,
    current: &str,
    words: &[String],
    live: &dyn Fn(Live, &[String]) -> Vec<String>,
) -> Candidates {
    let fixed = arg.get_possible_values();
    if !fixed.is_empty() && takes_value(arg) {
        let values = fixed
            .iter()
            .filter(|value| !value.is_hide_set() && value.get_name().starts_with(current))
            .map(|value| {
                let help = value.get_help().map(ToString::to_string).unwrap_or_default();
                (format!("{prefix}{}", value.get_name()), help)
            })
            .collect();
        return Candidates { values, then: Then::Done };
    }
    let kind = match arg.get_id().as_str() {
        // A topic to create has no name yet.
        "topic" if words.iter().any(|word| word.trim_start_matches('-') == "create") => None,
        "topic" => Some(Live::Topic),
        "group" => Some(Live::Group),
        _ => None,
    };
    if let Some(kind) = kind {
        let mut names = live(kind, words);
        names.retain(|name| name.starts_with(current));
        names.sort_unstable();
        let values = names.into_iter().map(|name| (format!("{prefix}{name}"), String::new())).collect();
        return Candidates { values, then: Then::Done };
    }
    if arg.get_id() == "tool" {
        return tools(current);
    }
    let then = match arg.get_value_hint() {
        ValueHint::FilePath | ValueHint::AnyPath => Then::Files,
        ValueHint::DirPath => Then::Directories,
        _ => Then::Done,
    };
    Candidates { values: Vec::new(), then }
}

/// Splits a line as a shell would; a space at the end begins a new, empty word.
fn split_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut fresh = true;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let Some(word) = words.last_mut() else { break };
        match (letter, quote) {
            ('\\', None | Some('"')) => word.extend(letters.next()),
            (_, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => word.push(letter),
            ('\'' | '"', None) => quote = Some(letter),
            (' ' | '\t', None) => {
                if !fresh {
                    words.push(String::new());
                }
                fresh = true;
                continue;
            }
            (_, None) => word.push(letter),
        }
        fresh = false;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> Vec<String> {
        let live = |kind: Live, _: &[String]| match kind {
            Live::Topic => vec!["payments".to_owned(), "orders".to_owned()],
            Live::Group => vec!["billing".to_owned()],
        };
        let found = candidates(&split_words(line), &live);
        found.values.into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn lines_are_split_as_a_shell_does() {
        assert_eq!(split_words("a  b "), ["a", "b", ""]);
        assert_eq!(split_words(r#"a 'b c' "d\"e" f\ g"#), ["a", "b c", "d\"e", "f g"]);
        assert_eq!(split_words(""), [""]);
    }

    #[test]
    fn tools_come_first() {
        assert!(complete("kafka-rs ").contains(&"links".to_owned()));
        assert_eq!(complete("kafka-rs comp"), ["completions"]);
        assert!(!complete("kafka-rs ").iter().any(|name| name.starts_with("__")));
    }

    #[test]
    fn names_are_asked_from_the_broker() {
        assert_eq!(complete("kafka-rs topics --describe --topic "), ["orders", "payments"]);
        assert_eq!(complete("kafka-topics.sh --delete -topic pa"), ["payments"]);
        assert_eq!(complete("kafka-rs topics --topic=or"), ["--topic=orders"]);
        assert_eq!(complete("kafka-rs console-consumer --group "), ["billing"]);
        assert!(complete("kafka-rs topics --create --topic ").is_empty());
    }

    #[test]
    fn the_broker_is_the_one_that_was_typed() {
        let of = |line: &str| servers(&split_words(line));
        assert_eq!(of("kafka-rs topics --bootstrap-server h:1 --topic "), "h:1");
        assert_eq!(of("kafka-rs topics --topic --bootstrap-server=h:1"), "h:1");
        assert_eq!(of("kafka-rs console-producer -broker-list h:1"), "h:1");
        assert_eq!(of("kafka-rs topics --topic "), "localhost:9092");
    }

    #[test]
    fn help_is_offered_once() {
        for line in ["kafka-rs --he", "kafka-rs topics --he", "kafka-rs storage --he", "kafka-rs storage format --he"] {
            assert_eq!(complete(line), ["--help"], "{line}");
        }
    }

    #[test]
    fn options_and_fixed_values_are_known() {
        assert_eq!(complete("kafka-rs completions "), ["bash", "zsh", "fish"]);
        assert_eq!(complete("kafka-rs links --fo"), ["--force"]);
        assert!(complete("kafka-rs links --force --fo").is_empty());
    }
}
