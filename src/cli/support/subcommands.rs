//! What Kafka's tools with commands of their own (`cluster`, `features`, `transactions`, ...) share: another parser reads
//! their options, which has words of its own.

use std::io;

use super::{Exit, Mistake, Output, UsageError};

/// How such a tool tells mistakes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandWords {
    /// What Kafka's tool calls itself.
    pub(crate) program: &'static str,
    /// Its commands, as Kafka lists them.
    pub(crate) commands: &'static [&'static str],
}

impl CommandWords {
    /// The mistake in the words of that parser.
    pub(crate) fn text(&self, mistake: &UsageError) -> String {
        match mistake.kind {
            Mistake::Unknown => format!("unrecognized arguments: '{}'", mistake.given),
            Mistake::NoValue => {
                let option = mistake.given.split(' ').next().unwrap_or_default();
                format!("argument {option}: expected one argument")
            }
            _ if mistake.to_string().starts_with("invalid choice") => {
                let commands: Vec<_> = self.commands.iter().map(|command| format!("'{command}'")).collect();
                format!("{mistake} (choose from {})", commands.join(", "))
            }
            _ => mistake.to_string(),
        }
    }

    /// Prints `program: error: text`, and where help is.
    pub(crate) fn report(&self, mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        let text = self.text(mistake);
        if out.is_for_people() {
            out.error(&text)?;
        } else {
            out.note(format_args!("{}: error: {text}", self.program))?;
        }
        out.hint(&format!("`{called_as} --help` lists the commands, `{called_as} COMMAND --help` the options of one"))?;
        Ok(Exit::Failure)
    }

    /// No command at all.
    pub(crate) fn none() -> anyhow::Error {
        UsageError::because("too few arguments")
    }
}

/// A value that has to be there; `option` is how that parser writes it, as `--id/-i`.
pub(crate) fn required<T>(value: Option<T>, option: &str) -> anyhow::Result<T> {
    value.ok_or_else(|| UsageError::because(format!("argument {option} is required")))
}

/// A number, or that parser's words for what is none.
pub(crate) fn number<T: std::str::FromStr>(text: &str, option: &str, java_type: &str) -> anyhow::Result<T> {
    text.parse().map_err(|_| {
        UsageError::because(format!(
            "argument {option}: could not convert '{text}' to {java_type} (For input string: \"{text}\")"
        ))
    })
}

/// The lines of a table as these tools print it: cells padded to the widest of their column, a tab after each.
pub(crate) fn tab_table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let length = |text: &str| text.encode_utf16().count();
    let width = |index: usize, name: &str| {
        rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell)).fold(length(name), usize::max)
    };
    let widths: Vec<usize> = header.iter().enumerate().map(|(index, name)| width(index, name)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(length(cell))));
            line.push('\t');
        }
        line
    };
    let mut lines = vec![line(&mut header.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_end_each_cell_with_a_tab() {
        let rows = [vec!["tx-1".to_owned(), "1".to_owned()]];
        assert_eq!(tab_table(&["TransactionalId", "C"], &rows), ["TransactionalId\tC\t", "tx-1           \t1\t"]);
        assert_eq!(tab_table(&["A"], &[]), ["A\t"]);
    }

    #[test]
    fn numbers_are_named() {
        assert_eq!(number::<i32>("7", "--id/-i", "Integer").unwrap(), 7);
        assert_eq!(
            number::<i32>("x", "--id/-i", "Integer").unwrap_err().to_string(),
            "argument --id/-i: could not convert 'x' to Integer (For input string: \"x\")"
        );
    }
}
