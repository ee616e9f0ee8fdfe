//! Kafka's option style, on top of clap.
//!
//! Kafka's tools read `--name value` and `--name=value`, also with one dash (`-daemon`). An option that needs a value
//! takes the next word whatever it looks like; words that belong to no option are ignored; abbreviations are refused, save by
//! tools with commands of their own.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::UsageError;

/// Stray words: Kafka's tools ignore them, so ours do.
#[derive(Debug, Default, Clone, clap::Args)]
pub(crate) struct IgnoredWords {
    #[arg(hide = true, value_name = "WORD")]
    ignored: Vec<OsString>,
}

/// Gives a tool's command the rules that clap does not have by default.
pub(crate) fn with_kafkas_option_rules(command: Command) -> Command {
    command.mut_subcommands(with_kafkas_option_rules).mut_args(|arg| {
        let id = arg.get_id().clone();
        if takes_several_words(&arg) && !arg.is_positional() {
            arg.allow_negative_numbers(true)
        } else if needs_value(&arg) && !arg.is_positional() {
            arg.allow_hyphen_values(true)
        } else if matches!(arg.get_action(), ArgAction::SetTrue) {
            arg.overrides_with(id)
        } else {
            arg
        }
    })
}

/// Whether the option can be given a value.
pub(crate) fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Whether the option must be given a value.
pub(crate) fn needs_value(arg: &Arg) -> bool {
    takes_value(arg) && arg.get_num_args().is_none_or(|range| range.min_values() > 0)
}

/// Whether the option takes all words up to the next option.
fn takes_several_words(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// Rewrites `-name` to `--name` where `name` is one of the command's options, so that clap understands it.
///
/// Values are left alone: a word that an option takes is not looked at, nor anything after `--`.
pub(crate) fn with_two_dashes(command: &Command, words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let find = |name: &str| command.get_arguments().find(|arg| names(arg).any(|known| known == name));
    let mut rewritten = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            rewritten.push(word);
            continue;
        };
        if text == "--" {
            rewritten.push(word);
            rewritten.extend(words);
            break;
        }
        let dashes = text.len() - text.trim_start_matches('-').len();
        let (name, inline_value) = match text[dashes..].split_once('=') {
            Some((name, _)) => (name, true),
            None => (&text[dashes..], false),
        };
        // A single letter is a short option's own business.
        let option =
            if dashes == 2 || (dashes == 1 && name.len() > 1) { find(name) } else { find_short(command, text) };
        let takes_next = option.is_some_and(|arg| needs_value(arg) && !inline_value);
        if dashes == 1 && name.len() > 1 && option.is_some() {
            rewritten.push(format!("-{text}").into());
        } else {
            rewritten.push(word);
        }
        if takes_next {
            rewritten.extend(words.next());
        }
    }
    rewritten
}

/// Puts the lines of files in the place of words such as `@file`, each line a word; files that these name are not read.
pub(crate) fn with_words_from_files(words: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let mut found = Vec::with_capacity(words.len());
    for word in words {
        let Some(file) = word.to_str().and_then(|word| word.strip_prefix('@')) else {
            found.push(word);
            continue;
        };
        let text = std::fs::read_to_string(file)
            .map_err(|_| UsageError::because(format!("Could not read arguments from file '{file}'")))?;
        found.extend(text.lines().map(OsString::from));
    }
    Ok(found)
}

fn names(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default())
}

fn find_short<'a>(command: &'a Command, text: &str) -> Option<&'a Arg> {
    let mut letters = text.strip_prefix('-')?.chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    command.get_arguments().find(|arg| arg.get_short() == Some(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(words: &[&str]) -> Vec<String> {
        let command = Command::new("t")
            .arg(Arg::new("topic").long("topic"))
            .arg(Arg::new("list").long("list").action(ArgAction::SetTrue))
            .arg(Arg::new("config").short('c').long("config"))
            .arg(Arg::new("codec").long("codec").num_args(0..=1));
        with_two_dashes(&command, words.iter().map(OsString::from))
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        assert_eq!(rewrite(&["-list", "-topic", "a", "-topic=b"]), ["--list", "--topic", "a", "--topic=b"]);
    }

    #[test]
    fn files_of_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("words");
        std::fs::write(&file, "-t\r\n an id\n@other\n").unwrap();
        let named = |name: &str| OsString::from(format!("@{}", dir.path().join(name).display()));
        let found = with_words_from_files(vec!["a".into(), named("words"), "b".into()]).unwrap();
        assert_eq!(found, ["a", "-t", " an id", "@other", "b"]);
        let absent = with_words_from_files(vec![named("none")]).unwrap_err().to_string();
        assert_eq!(absent, format!("Could not read arguments from file '{}'", dir.path().join("none").display()));
    }

    #[test]
    fn values_are_left_alone() {
        assert_eq!(rewrite(&["--topic", "-list"]), ["--topic", "-list"]);
        assert_eq!(rewrite(&["-c", "-list", "-list"]), ["-c", "-list", "--list"]);
        assert_eq!(rewrite(&["--", "-list"]), ["--", "-list"]);
        assert_eq!(rewrite(&["--codec", "-list"]), ["--codec", "--list"]);
    }

    #[test]
    fn unknown_words_are_left_to_the_parser() {
        assert_eq!(rewrite(&["-boot", "x", "-5", "-"]), ["-boot", "x", "-5", "-"]);
    }
}
