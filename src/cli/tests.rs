//! What holds for every tool, by its definition alone: nothing here runs one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use clap::Arg;

use super::*;
use support::{needs_value, takes_value, with_two_dashes};

fn visible() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(|tool| !tool.name.starts_with("__"))
}

/// The words of a line up to where a shell would do something with it.
fn words_of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut quoted: Option<(char, String)> = None;
    for word in line.split(' ') {
        match &mut quoted {
            Some((quote, text)) => {
                text.push(' ');
                text.push_str(word.trim_end_matches(*quote));
                if word.ends_with(*quote) {
                    words.extend(quoted.take().map(|(_, text)| text));
                }
            }
            None if ["|", ">", ">>", "<", "&", "&&"].contains(&word) => break,
            None => match word.chars().next().filter(|first| "'\"".contains(*first)) {
                Some(quote) if !(word.len() > 1 && word.ends_with(quote)) => {
                    quoted = Some((quote, word[1..].to_owned()));
                }
                _ => words.push(word.trim_matches(['\'', '"']).to_owned()),
            },
        }
    }
    words
}

#[test]
fn every_tool_has_examples_and_they_parse() {
    for tool in visible() {
        let examples = help::texts(&(tool.command)(), tool.examples).examples;
        assert!(!examples.is_empty(), "{} has no EXAMPLES", tool.name);
        for (what, line) in &examples {
            let start = line.find("kafka-rs ").unwrap_or_else(|| panic!("{line}: does not run kafka-rs"));
            let words = words_of(&line[start..]);
            assert_eq!(words[1], tool.name, "{line}: an example of another tool");
            assert!(line.chars().count() <= 76, "{line}: too long for a help page");
            assert!(!what.ends_with([':', '.']), "{what}");
            let command = tool.command();
            let words = with_two_dashes(&command, words[1..].iter().map(OsString::from));
            if let Err(error) = command.try_get_matches_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}

#[test]
fn no_heading_stands_twice() {
    for tool in visible() {
        for (path, mut command) in commands(tool) {
            let help = command.render_help().to_string();
            let mut headings: Vec<_> =
                help.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
            headings.sort_unstable();
            let count = headings.len();
            headings.dedup();
            assert_eq!(count, headings.len(), "{path:?}: {help}");
        }
    }
}

#[test]
fn a_part_of_a_name_or_a_slip_is_enough_to_be_told_it() {
    let meant = |name: &str| meant_tools(name).join(" ");
    assert_eq!(meant("topic"), "topics");
    assert_eq!(meant("kafka-topic.sh"), "topics");
    assert_eq!(meant("consumer"), "console-consumer console-share-consumer consumer-groups");
    assert_eq!(meant("dotcor"), "doctor");
    assert_eq!(meant("shell"), "metadata-shell");
    assert_eq!(meant("xyzzy"), "");
}

#[test]
fn brief_help_is_brief() {
    for tool in visible() {
        let mut command = tool.command_with(Detail::Brief);
        let lines = command.render_help().to_string().lines().count();
        assert!(lines <= 48, "{} --help has {lines} lines: hide_short_help what few need", tool.name);
    }
}

/// A tool and each of its subcommands, with the words that lead there.
fn commands(tool: &Tool) -> Vec<(Vec<OsString>, Command)> {
    let command = tool.command();
    let mut found: Vec<_> = command
        .get_subcommands()
        .map(|subcommand| (vec![OsString::from(tool.name), subcommand.get_name().into()], subcommand.clone()))
        .collect();
    found.push((vec![tool.name.into()], command));
    found
}

/// Goal: no option takes a word that is none of its values, none panics, and the message names it.
/// Method: each option with each kind of rubbish, alone on the line; text options take any text, and the tools look at
/// it later, which `tests/malformed_words.rs` tries.
#[test]
fn rubbish_is_refused_by_the_name_of_the_option() {
    let rubbish = [
        OsString::from(""),
        "99999999999999999999999999".into(),
        "-99999999999999999999999999".into(),
        "-".into(),
        "\u{1}\u{1b}[2J\u{7f}".into(),
        "NaN".into(),
        "\u{202e}\u{0}".trim_end_matches('\0').into(),
        OsString::from_vec(vec![0xff, 0xfe]),
    ];
    for tool in TOOLS {
        for (path, command) in commands(tool) {
            for arg in command.get_arguments().filter(|arg| takes_value(arg) && !arg.is_positional()) {
                let Some(name) = arg.get_long() else { continue };
                for word in &rubbish {
                    refuses(tool, &path, arg, name, word);
                }
            }
        }
    }
}

fn refuses(tool: &Tool, path: &[OsString], arg: &Arg, name: &str, word: &OsString) {
    let mut option: OsString = format!("--{name}").into();
    let mut typed = vec![option.clone(), word.clone()];
    if !needs_value(arg) {
        // What begins with a dash is then no value of it.
        option.push("=");
        option.push(word);
        typed = vec![option];
    }
    let words: Vec<_> = path.iter().skip(1).cloned().chain(typed).collect();
    let command = tool.command();
    let all: Vec<_> = path.iter().take(1).chain(&words).cloned().collect();
    let mistake = match command.clone().try_get_matches_from(all) {
        Ok(_) => return,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => UsageError::not_utf8(&command, &words),
        Err(error) => anyhow::Error::new(UsageError::from_clap(&error)),
    };
    let message = mistake.to_string();
    let is_missing = message.starts_with("Missing required");
    assert!(is_missing || message.contains(name), "{} {words:?} ({}): {message}", tool.name, arg.get_id());
}
