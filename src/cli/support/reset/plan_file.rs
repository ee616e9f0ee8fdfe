//! Offsets of groups as lines of text: `topic,partition,offset`, or with the group before it.

use std::io;
use std::path::Path;

use super::GroupReset;
use crate::cli::support::{JavaError, Output, UsageError};
use crate::types::TopicPartition;

/// An offset that a group is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// None: the group that the command names.
    pub(crate) group: Option<String>,
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
}

/// Reads a plan. `single`: whether one group is named, so that lines may leave it out.
pub(crate) fn read(file: &Path, single: bool) -> anyhow::Result<Vec<Planned>> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        JavaError::new("java.io.IOException", format!("Unable to read file {}", file.display()))
            .with_plain(format!("could not read {}: {error}", file.display()))
            .wrapped_in("java.lang.RuntimeException")
    })?;
    parse(&text, single).map_err(|mistake| {
        let message = format!("{}, line {}: {}", file.display(), mistake.line, mistake.what);
        if mistake.is_negative {
            return UsageError::because(message);
        }
        let hint = format!("each line has the form {}; --export writes such a file", mistake.form);
        let error = JavaError::new("com.fasterxml.jackson.databind.exc.InvalidFormatException", message);
        error.with_hint(Some(hint)).into()
    })
}

/// A line that makes no sense.
#[derive(Debug, PartialEq, Eq)]
struct BadLine {
    line: usize,
    what: String,
    form: &'static str,
    /// The offset is one, but below 0: that Kafka's tools tell as a mistake in the options.
    is_negative: bool,
}

fn parse(text: &str, single: bool) -> Result<Vec<Planned>, BadLine> {
    let mut planned = Vec::new();
    let mut with_group = !single;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (at, (index, line)) in lines.enumerate() {
        let cells = cells(line);
        // The first line says which form a plan has.
        with_group |= at == 0 && cells.len() == 4;
        let form = if with_group { "group,topic,partition,offset" } else { "topic,partition,offset" };
        let bad = |what: String| BadLine { line: index + 1, what, form, is_negative: false };
        let (group, rest) = match cells.split_first() {
            Some((group, rest)) if with_group => (Some(group.clone()), rest),
            _ => (None, cells.as_slice()),
        };
        let [topic, partition, offset] = rest else { return Err(bad(format!("this is no {form}: {line}"))) };
        let partition: i32 = partition.trim().parse().map_err(|_| bad(format!("{partition} is no partition")))?;
        let offset: i64 = offset.trim().parse().map_err(|_| bad(format!("{offset} is no offset")))?;
        if offset < 0 {
            return Err(BadLine { is_negative: true, ..bad(format!("Invalid negative offset: {offset}")) });
        }
        planned.push(Planned { group, partition: TopicPartition::new(topic.trim(), partition), offset });
    }
    Ok(planned)
}

/// The cells of a line. One in quotes may hold commas, and a quote twice.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(cell) = cells.last_mut() else { break };
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells
}

/// Prints new offsets as lines that [`read`] reads again. `single`: whether one group is named, which they leave out.
pub(crate) fn print(resets: &[GroupReset], single: bool, out: &mut Output) -> io::Result<()> {
    for reset in resets {
        for (partition, offset) in &reset.offsets {
            let group = (!single).then(|| reset.group.clone());
            out.line(line(&Planned { group, partition: partition.clone(), offset: *offset }))?;
        }
    }
    // As Kafka's tools, which end the text once more.
    out.line("")
}

fn line(planned: &Planned) -> String {
    let Planned { group, partition, offset } = planned;
    let group = group.as_deref().map_or_else(String::new, |group| quoted(group) + ",");
    format!("{group}{},{},{offset}", quoted(&partition.topic), partition.partition)
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(group: Option<&str>, topic: &str, partition: i32, offset: i64) -> Planned {
        Planned { group: group.map(str::to_owned), partition: TopicPartition::new(topic, partition), offset }
    }

    #[test]
    fn both_forms() {
        assert_eq!(parse("a,0,5\nb,1,0\n\n", true).unwrap(), [planned(None, "a", 0, 5), planned(None, "b", 1, 0)]);
        let with_groups = [planned(Some("g"), "a", 0, 5)];
        assert_eq!(parse("g,a,0,5\r\n", true).unwrap(), with_groups);
        assert_eq!(parse("g,a,0,5", false).unwrap(), with_groups);
        assert_eq!(parse("", true).unwrap(), []);
    }

    #[test]
    fn the_culprit_is_named() {
        let what = |text, single| parse(text, single).map_err(|bad| (bad.line, bad.what)).unwrap_err();
        assert_eq!(what("a,0,1\na,x,2", true), (2, "x is no partition".to_owned()));
        assert_eq!(what("a,0,y", true), (1, "y is no offset".to_owned()));
        assert_eq!(what("a,0,1\na,1,-1", true), (2, "Invalid negative offset: -1".to_owned()));
        assert_eq!(what("g1;0;1", true), (1, "this is no topic,partition,offset: g1;0;1".to_owned()));
        assert_eq!(what("a,0,1", false), (1, "this is no group,topic,partition,offset: a,0,1".to_owned()));
    }

    #[test]
    fn odd_groups_survive() {
        for group in ["plain", "a,b", "a\"b", "\"", ",,"] {
            let planned = planned(Some(group), "t", 3, 9);
            assert_eq!(parse(&line(&planned), false).unwrap(), [planned]);
        }
    }
}
