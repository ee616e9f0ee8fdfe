//! Mistakes in the words of argparse4j, the second parser among Kafka's tools: `tool: error: message` on stderr.

use std::io;
use std::path::{Path, PathBuf};

use super::{Exit, Mistake, Output, UsageError};
use crate::config::ClientProperties;

/// Lines are as wide as this; its parser spreads the words of longer messages over them.
const WIDTH: usize = 75;

/// A tool of Kafka's that reads its options so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argparse {
    /// What it calls itself: `kafka-producer-perf-test`.
    pub(crate) program: &'static str,
    /// Options whose values are numbers, and the Java types of these.
    pub(crate) numbers: &'static [(&'static str, &'static str)],
}

impl Argparse {
    /// Prints the mistake and, on the next line, where help is.
    pub(crate) fn report(self, mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            return mistake.report(called_as, out);
        }
        out.note(spread(&format!("{}: error: {}", self.program, self.words(mistake))))?;
        out.hint(&format!("`{called_as} --help` lists the options"))?;
        Ok(Exit::Failure)
    }

    fn words(self, mistake: &UsageError) -> String {
        let given = mistake.given.split([' ', '=']).next().unwrap_or_default();
        match mistake.kind {
            Mistake::Unknown => format!("unrecognized arguments: '{}'", mistake.given),
            Mistake::NoValue if mistake.given.ends_with("...") => format!("argument {given}: expected 1 argument(s)"),
            Mistake::NoValue => format!("argument {given}: expected one argument"),
            Mistake::BadValue => {
                let number = self.numbers.iter().find(|(option, _)| given.trim_start_matches('-') == *option);
                match number {
                    Some((_, kind)) => {
                        let value = &mistake.value;
                        format!(
                            "argument {given}: could not convert '{value}' to {kind} (For input string: \"{value}\")"
                        )
                    }
                    None => mistake.to_string(),
                }
            }
            Mistake::Repeated | Mistake::Other => mistake.to_string(),
        }
    }
}

/// `argument --name is required`.
pub(crate) fn required(option: &str) -> anyhow::Error {
    UsageError::because(format!("argument --{option} is required"))
}

/// Of options that exclude each other, the one that is given second is wrong.
pub(crate) fn not_allowed_with(second: &str, first: &str) -> anyhow::Error {
    UsageError::because(format!("argument --{second}: not allowed with argument --{first}"))
}

/// The file of settings, by its old name or by `--command-config`.
pub(crate) fn config_file(
    (old_name, old): (&str, Option<PathBuf>),
    new: Option<PathBuf>,
    out: &mut Output,
) -> anyhow::Result<Option<PathBuf>> {
    if old.is_some() {
        if new.is_some() {
            return Err(UsageError::because(format!(
                "Options --{old_name} and --command-config are mutually exclusive."
            )));
        }
        out.note(format_args!(
            "Option --{old_name} has been deprecated and will be removed in a future version. Use --command-config \
             instead."
        ))?;
    }
    Ok(old.or(new))
}

/// Adds the settings of a file; one that can't be read is a mistake of the command line here.
pub(crate) fn read(properties: &mut ClientProperties, file: &Path) -> anyhow::Result<()> {
    if !file.exists() {
        return Err(UsageError::because(file.display().to_string()));
    }
    Ok(properties.read(file)?)
}

/// Breaks a text into lines of [`WIDTH`], all but the last filled up with spaces between their words.
fn spread(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    // The line end counts as a letter of the last word.
    let text = format!("{text}\n");
    for piece in pieces(&text) {
        if line.chars().count() + piece.chars().count() > WIDTH && !line.is_empty() {
            lines.push(filled(line.trim_end()));
            line.clear();
        }
        line.push_str(piece);
    }
    lines.push(line.trim_end().to_owned());
    lines.join("\n")
}

/// The text cut where a line may end: after spaces, and after dashes that a letter follows.
fn pieces(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut characters = rest.char_indices().zip(rest.chars().skip(1));
        let end = characters.find_map(|((at, this), next)| {
            let ends = (this == ' ' && next != ' ') || (this == '-' && next.is_alphabetic());
            ends.then(|| at + this.len_utf8())
        });
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        found.push(piece);
        rest = after;
    }
    found
}

/// A line with as many spaces more as it lacks: every gap gets as many, what is left goes to those in the middle.
fn filled(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let gaps = words.len().saturating_sub(1);
    if gaps == 0 {
        return line.to_owned();
    }
    let letters: usize = words.iter().map(|word| word.chars().count()).sum();
    let missing = WIDTH.saturating_sub(letters + gaps);
    let left = missing % gaps;
    let from = (gaps - left).div_ceil(2);
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        text.push_str(word);
        if index < gaps {
            let more = usize::from((from..from + left).contains(&index));
            text.extend(std::iter::repeat_n(' ', 1 + missing / gaps + more));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_spread_as_kafkas_parser_does_it() {
        for lines in [
            "kafka-producer-perf-test: error:  one  of  the  arguments  --record-size --\n\
             payload-file --payload-monotonic is required",
            "kafka-producer-perf-test: error: At  least  one  of  --bootstrap-server, --\n\
             command-property, --producer-props,  --producer.config  or --command-config\n\
             must be specified.",
            "kafka-producer-perf-test: error: argument --num-records:  could not convert\n\
             'x' to Long (For input string: \"x\")",
            "kafka-producer-perf-test:  error:  argument   --record-size:  expected  one\nargument",
            "producer-performance: error: one of  the arguments --record-size --payload-\n\
             file --payload-monotonic is required",
            "kafka-producer-perf-test:  error:  --num-records  should  be  greater  than\nzero.",
            "verifiable-producer: error: short",
        ] {
            let words: Vec<&str> = lines.split_whitespace().collect();
            let text = words.join(" ").replace("-- ", "--").replace("payload- file", "payload-file");
            assert_eq!(spread(&text), lines);
        }
    }
}
