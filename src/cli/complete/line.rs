//! Which option or word of which tool is being typed.

use clap::{Arg, ArgAction, Command};

use super::live::Live;
use super::values::values_of;
use super::{Candidates, Then};
use crate::cli::support::{needs_value, takes_value};
use crate::cli::{called_by_link, find, root_command};

/// Asks for the names of a kind at the cluster that the words name.
pub(super) type Ask<'a> = &'a dyn Fn(Live, &[String]) -> Vec<String>;

/// What may follow `words`, of which the last is the one being typed.
pub(super) fn candidates(words: &[String], ask: Ask<'_>) -> Candidates {
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
    let line = Line { tool: tool.name, words: before, ask };
    let state = read(&command, before);
    let command = state.command;
    if let Some(option) = state.waiting {
        return values_of(option, "", current, &line);
    }
    if let Some((name, value)) = current.split_once('=')
        && let Some(option) = option_named(command, name)
    {
        return values_of(option, &format!("{name}="), value, &line);
    }
    if !current.starts_with('-') {
        if command.has_subcommands() {
            return subcommands(command, current);
        }
        if let Some(positional) = command.get_positionals().filter(|arg| !arg.is_hide_set()).nth(state.positionals) {
            return values_of(positional, "", current, &line);
        }
    }
    Candidates { values: options(command, current, &state.used), then: Then::Done }
}

/// What else is on the line, which may say what a value is.
pub(super) struct Line<'a> {
    /// The tool's name.
    pub(super) tool: &'a str,
    /// The words after it and before the one being typed.
    pub(super) words: &'a [String],
    pub(super) ask: Ask<'a>,
}

impl Line<'_> {
    /// Whether the option stands on the line.
    pub(super) fn has(&self, option: &str) -> bool {
        self.words.iter().any(|word| name_in(word).is_some_and(|(name, _)| name == option))
    }

    /// The value of the first of these options.
    pub(super) fn value_of(&self, options: &[&str]) -> Option<&str> {
        value_of(self.words, options)
    }
}

/// The value of the first of these options among the words.
pub(super) fn value_of<'a>(words: &'a [String], options: &[&str]) -> Option<&'a str> {
    let at = words.iter().position(|word| name_in(word).is_some_and(|(name, _)| options.contains(&name)))?;
    let inline = words.get(at).and_then(|word| name_in(word)?.1);
    inline.or_else(|| words.get(at + 1).map(String::as_str)).filter(|value| !value.is_empty())
}

/// The name in `--name` or `--name=value`, also with one dash, and the value.
fn name_in(word: &str) -> Option<(&str, Option<&str>)> {
    let text = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    Some(text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value))))
}

/// The tools whose names begin so.
pub(super) fn tools(current: &str) -> Candidates {
    let mut found = subcommands(&root_command(), current);
    for flag in ["--help", "--version"] {
        if current.starts_with('-') && flag.starts_with(current) {
            found.values.push((flag.to_owned(), String::new()));
        }
    }
    found
}

fn subcommands(command: &Command, current: &str) -> Candidates {
    let values = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name().starts_with(current))
        .map(|command| {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            (command.get_name().to_owned(), about)
        })
        .collect();
    Candidates { values, then: Then::Done }
}

/// What the complete words before the cursor say.
struct State<'a> {
    /// The tool, or its subcommand that the words name.
    command: &'a Command,
    used: Vec<&'a str>,
    positionals: usize,
    /// The option whose value the next word is.
    waiting: Option<&'a Arg>,
}

fn read<'a>(command: &'a Command, before: &[String]) -> State<'a> {
    let mut state = State { command, used: Vec::new(), positionals: 0, waiting: None };
    for word in before {
        if let Some(option) = state.waiting.take()
            && (needs_value(option) || !word.starts_with('-'))
        {
            continue;
        }
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        if let Some(option) = option_named(state.command, name) {
            state.used.push(option.get_id().as_str());
            if takes_value(option) && !word.contains('=') {
                state.waiting = Some(option);
            }
        } else if let Some(subcommand) = state.command.find_subcommand(word) {
            state.command = subcommand;
            state.positionals = 0;
        } else {
            state.positionals += usize::from(!word.starts_with('-'));
        }
    }
    state
}

fn option_named<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(name)
            || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
            || arg.get_short().is_some_and(|short| name.chars().eq(std::iter::once(short)))
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

/// Splits a line as a shell would; a space at the end begins a new, empty word. Also tells whether a quote is open.
pub(super) fn split_words(line: &str) -> (Vec<String>, bool) {
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
    (words, quote.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        split_words(line).0
    }

    fn complete(line: &str) -> Vec<String> {
        let ask = |kind: Live, _: &[String]| match kind {
            Live::Topic => vec!["payments".to_owned(), "orders".to_owned()],
            Live::Group(_) => vec!["billing".to_owned()],
            Live::Broker => vec!["1".to_owned(), "2".to_owned()],
        };
        let found = candidates(&split(line), &ask);
        found.values.into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn lines_are_split_as_a_shell_does() {
        assert_eq!(split("a  b "), ["a", "b", ""]);
        assert_eq!(split(r#"a 'b c' "d\"e" f\ g"#), ["a", "b c", "d\"e", "f g"]);
        assert_eq!(split(""), [""]);
        assert!(split_words("a 'b").1);
    }

    #[test]
    fn tools_come_first() {
        assert!(complete("kafka-rs ").contains(&"links".to_owned()));
        assert_eq!(complete("kafka-rs comp"), ["completions"]);
        assert!(!complete("kafka-rs ").iter().any(|name| name.starts_with("__")));
        assert_eq!(complete("kafka-rs man server-sta"), ["server-start"]);
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
    fn keys_are_those_of_what_is_configured() {
        assert_eq!(complete("kafka-rs topics --create --config cleanup"), ["cleanup.policy="]);
        assert_eq!(
            complete("kafka-rs topics --create --config cleanup.policy="),
            ["cleanup.policy=compact", "cleanup.policy=delete"]
        );
        assert_eq!(complete("kafka-console-producer.sh --command-property linge"), ["linger.ms="]);
        assert_eq!(complete("kafka-console-consumer.sh --command-property max.poll.rec"), ["max.poll.records="]);
        assert_eq!(complete("kafka-server-start.sh s --override log.dirs"), ["log.dirs="]);
    }

    #[test]
    fn help_is_offered_once() {
        for line in ["kafka-rs --he", "kafka-rs topics --he", "kafka-rs storage --he", "kafka-rs storage format --he"] {
            assert_eq!(complete(line).first().map(String::as_str), Some("--help"), "{line}");
            assert_eq!(complete(line).iter().filter(|word| *word == "--help").count(), 1, "{line}");
        }
    }

    #[test]
    fn options_and_fixed_values_are_known() {
        assert_eq!(complete("kafka-rs completions "), ["bash", "zsh", "fish", "powershell"]);
        assert_eq!(complete("kafka-rs links --fo"), ["--force"]);
        assert!(complete("kafka-rs links --force --fo").is_empty());
    }

    #[test]
    fn subcommands_have_options_of_their_own() {
        assert_eq!(complete("kafka-rs storage ver"), ["version-mapping"]);
        assert_eq!(complete("kafka-storage.sh format --cluster"), ["--cluster-id"]);
        assert!(complete("kafka-storage.sh info --cluster").is_empty());
    }
}
