//! `__complete`: what the completion scripts ask at each press of the key.
//!
//! It reads the line typed so far and prints one candidate per line, then a line that begins with `:` and says what
//! the shell shall do besides: complete files (`:files`, `:directories`) or nothing (`:done`). It never fails and never
//! waits long: a broker that does not answer at once adds no names.
//!
//! `line.rs` finds which option is being typed, `values.rs` knows by an option's name what its values are, so that a new
//! tool need not say; `live.rs` asks the broker.

mod line;
mod live;
mod values;

use super::Run;
use super::completions::Shell;
use super::support::{Exit, Output};
use line::{candidates, split_words};

/// The subcommand's name. Two dashes keep it out of help, completions and man pages.
pub(super) const NAME: &str = "__complete";

/// Answer a shell's completion script
#[derive(Debug, clap::Parser)]
pub(super) struct Complete {
    shell: Shell,
    /// The words up to and with the one being completed, for PowerShell each with a `=` before it; for bash: the line,
    /// the cursor's place in it, and the characters that break words
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
        let typed = self.typed();
        let found = candidates(&typed.words, &live::ask);
        for (value, meaning) in &found.values {
            match self.shell {
                Shell::Bash if typed.is_quoted => out.line(value.get(typed.strip..).unwrap_or(value))?,
                Shell::Bash => out.line(escaped_for_bash(value.get(typed.strip..).unwrap_or(value)))?,
                Shell::Zsh if meaning.is_empty() => out.line(value.replace(':', "\\:"))?,
                Shell::Zsh => out.line(format_args!("{}:{meaning}", value.replace(':', "\\:")))?,
                Shell::Fish | Shell::PowerShell => out.line(format_args!("{value}\t{meaning}"))?,
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

/// The line typed so far.
struct Typed {
    /// Its words, of which the last is the one being typed.
    words: Vec<String>,
    /// How much of a candidate the shell has already and does not want again.
    strip: usize,
    /// Whether the last word is within quotes.
    is_quoted: bool,
}

impl Complete {
    fn typed(&self) -> Typed {
        match (self.shell, self.words.as_slice()) {
            (Shell::Bash, [line, point, breaks]) => {
                let end = point.parse().unwrap_or(line.len());
                let (words, is_quoted) = split_words(line.get(..end).unwrap_or(line));
                let current = words.last().map(String::as_str).unwrap_or_default();
                // Readline replaces only what stands after the last of these characters.
                let strip = current.rfind(|c| ":=".contains(c) && breaks.contains(c)).map_or(0, |at| at + 1);
                Typed { words, strip, is_quoted }
            }
            (Shell::PowerShell, words) => {
                // Old versions drop empty words on their way to a program, hence the mark.
                let words = words.iter().map(|word| word.strip_prefix('=').unwrap_or(word).to_owned()).collect();
                Typed { words, strip: 0, is_quoted: false }
            }
            (_, words) => Typed { words: words.to_vec(), strip: 0, is_quoted: false },
        }
    }
}

/// The other shells do so themselves.
fn escaped_for_bash(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() && !"-_./:=,@%+".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(shell: Shell, words: &[&str]) -> Typed {
        Complete { shell, words: words.iter().map(ToString::to_string).collect() }.typed()
    }

    #[test]
    fn bash_hands_over_its_line() {
        let found = typed(Shell::Bash, &["kafka-rs topics --topic=or x", "26", "=:"]);
        assert_eq!(found.words, ["kafka-rs", "topics", "--topic=or"]);
        assert_eq!(found.strip, "--topic=".len());
        assert!(!found.is_quoted);
        assert!(typed(Shell::Bash, &["kafka-rs topics --topic 'o", "26", "=:"]).is_quoted);
    }

    #[test]
    fn powershell_marks_its_words() {
        assert_eq!(typed(Shell::PowerShell, &["=kafka-rs", "==x", "="]).words, ["kafka-rs", "=x", ""]);
    }

    #[test]
    fn what_bash_would_take_apart_is_escaped() {
        assert_eq!(escaped_for_bash("a b$c'é"), "a\\ b\\$c\\'é");
        assert_eq!(escaped_for_bash("--topic=a.b-c_d,e:9"), "--topic=a.b-c_d,e:9");
    }
}
