//! `--help` and `--help-all`: the same for all tools, which only fill in texts.
//!
//! `--help` shows the options that most people need, and examples; `--help-all` every option and the tool's notes too.

use std::ffi::OsStr;

use clap::{Arg, ArgAction, Command};

/// What a command line does, and the line.
pub(super) type Example = (&'static str, &'static str);

/// How much help tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Brief,
    All,
}

/// Headings look like clap's own.
const HEADING: &str = "\x1b[1m\x1b[4m";
const PLAIN: &str = "\x1b[0m";

/// Whether the word asks for [`Detail::All`].
pub(super) fn asks_for_all(word: &OsStr) -> bool {
    word == "--help-all" || word == "-help-all"
}

/// What a tool tells besides its options.
pub(super) struct Texts {
    /// What command lines do, and the lines.
    pub(super) examples: Vec<(String, String)>,
    pub(super) notes: Option<String>,
}

/// A tool's texts: its examples are those that it declares and the lines `kafka-rs ...   what it does` at the head of
/// its `after_help`; what follows there are its notes.
pub(super) fn texts(command: &Command, declared: &[Example]) -> Texts {
    let mut examples: Vec<_> = declared.iter().map(|(what, line)| ((*what).to_owned(), (*line).to_owned())).collect();
    let text = command.get_after_help().map(|notes| notes.ansi().to_string()).unwrap_or_default();
    let mut notes = text.as_str();
    while let Some((line, what)) = notes.lines().next().and_then(|line| line.split_once("  ")) {
        if !line.starts_with("kafka-rs ") {
            break;
        }
        let mut what = what.trim().to_owned();
        if let Some(first) = what.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        examples.push((what, line.to_owned()));
        notes = notes.split_once('\n').map_or("", |(_, rest)| rest);
    }
    let notes = notes.trim();
    Texts { examples, notes: (!notes.is_empty()).then(|| notes.to_owned()) }
}

/// Gives a tool's command its help.
pub(super) fn with_help(command: Command, examples: &[Example], detail: Detail) -> Command {
    let Texts { examples, notes } = texts(&command, examples);
    let mut parts = Vec::new();
    if !examples.is_empty() {
        parts.push(listed(&examples));
    }
    match detail {
        // Without examples the notes have to do.
        Detail::Brief if examples.is_empty() => parts.extend(notes),
        Detail::Brief => {
            if notes.is_some() || command.get_arguments().any(Arg::is_hide_short_help_set) {
                parts.push("--help-all shows the other options, and notes.".to_owned());
            }
        }
        Detail::All => parts.extend(notes),
    }
    let command = if detail == Detail::All { with_all_options(command) } else { command };
    let command = command.after_help(parts.join("\n\n"));
    let flag = |name: &'static str, action, help: &'static str| {
        Arg::new(name).long(name).action(action).help(help).help_heading("Options")
    };
    let help = || flag("help", ArgAction::HelpShort, "Print help").short('h');
    let help_all = || flag("help-all", ArgAction::HelpShort, "Print help on everything");
    command
        .mut_subcommands(|command| command.disable_help_flag(true).arg(help()).arg(help_all()))
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .arg(help())
        .arg(help_all())
        .arg(flag("version", ArgAction::Version, "Print the version"))
}

/// Gives an own heading to what has none: headings then stand in the order in which the tool declares its options.
pub(super) fn with_headings(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_help_heading() {
        None if !arg.is_positional() => arg.help_heading("Options"),
        _ => arg,
    });
    command.mut_subcommands(with_headings)
}

fn with_all_options(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_short_help(false)).mut_subcommands(with_all_options)
}

fn listed(examples: &[(String, String)]) -> String {
    let mut text = format!("{HEADING}Examples:{PLAIN}");
    for (what, line) in examples {
        text.push_str(&format!("\n  {what}:\n    {line}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("t")
            .version("1")
            .disable_version_flag(true)
            .after_help("Notes.")
            .arg(Arg::new("common").long("common").num_args(1))
            .arg(Arg::new("rare").long("rare").num_args(1).hide_short_help(true))
    }

    fn help(detail: Detail, examples: &[Example]) -> String {
        let error = with_help(command(), examples, detail).try_get_matches_from(["t", "--help"]).unwrap_err();
        error.render().to_string()
    }

    #[test]
    fn examples_stand_at_the_head_of_the_notes() {
        let text = "kafka-rs t --list       all there is\nkafka-rs t --list --x   some\n\nNotes  follow.\nkafka-rs t  is fine.";
        let found = texts(&Command::new("t").after_help(text), &[]);
        let pair = |what: &str, line: &str| (what.to_owned(), line.to_owned());
        assert_eq!(found.examples, [pair("All there is", "kafka-rs t --list"), pair("Some", "kafka-rs t --list --x")]);
        assert_eq!(found.notes.as_deref(), Some("Notes  follow.\nkafka-rs t  is fine."));
    }

    #[test]
    fn rare_options_and_notes_are_left_to_help_all() {
        let examples: &[Example] = &[("Do it", "t --common x")];
        let brief = help(Detail::Brief, examples);
        assert!(brief.contains("--common") && !brief.contains("--rare <") && !brief.contains("Notes."), "{brief}");
        assert!(brief.contains("Examples:\n  Do it:\n    t --common x\n\n--help-all shows"), "{brief}");
        let all = help(Detail::All, examples);
        assert!(all.contains("--rare <") && all.contains("Notes.") && all.contains("Examples:"), "{all}");
        assert!(help(Detail::Brief, &[]).contains("Notes."), "nothing else tells how to use it");
    }
}
