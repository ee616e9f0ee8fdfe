//! The options of `console-consumer`: what goes together, and the settings of its consumer and formatter.
//!
//! Checks come in the order of Kafka's tool, with its texts.

use std::collections::BTreeSet;
use std::path::Path;

use regex_lite::Regex;

use super::ConsoleConsumer;
use super::formatter::Formatter;
use crate::cli::support::{Hinted, Output, RenamedOptions, Target, UsageError, explained_config, warn};
use crate::config::{Client, ClientProperties, ConsumerConfig};

/// What to read, how, and what to do with it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) source: Source,
    pub(super) config: ConsumerConfig,
    pub(super) formatter: Formatter,
    /// The group was named by the user; without that nothing is committed.
    pub(super) named_group: bool,
    /// `--from-beginning`
    pub(super) from_beginning: bool,
}

/// What to read.
#[derive(Debug)]
pub(super) enum Source {
    /// One partition, from a place on.
    Partition { topic: String, partition: i32, start: Start },
    /// A topic with all its partitions.
    Topic(String),
    /// The topics whose whole names match.
    Pattern(Regex),
    /// What the user will choose.
    Ask,
}

/// Where to begin in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
    Offset(i64),
}

impl ConsoleConsumer {
    /// Checks what goes together, and takes old spellings for new ones.
    pub(super) fn check(&mut self, out: &mut Output) -> anyhow::Result<()> {
        if let Some(pattern) = self.whitelist.take() {
            out.note(format_args!("--whitelist is old: write --include '{pattern}'"))?;
            self.include.get_or_insert(pattern);
        }
        match (&self.topic, &self.include) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) if out.can_ask() && self.partition.is_none() => {}
            _ => {
                return Err(UsageError::because(
                    "Exactly one of the following arguments is required: [topic], [include]",
                ));
            }
        }
        if self.partition.is_some() {
            if self.topic.is_none() {
                return Err(UsageError::because("The topic is required when partition is specified."));
            }
            if self.from_beginning && self.offset.is_some() {
                return Err(UsageError::because("Options from-beginning and offset cannot be specified together."));
            }
        } else if self.offset.is_some() {
            return Err(UsageError::because("The partition is required when offset is specified."));
        }
        let renamed = RenamedOptions::CONSUMER;
        renamed.take_old(
            ("property", &mut self.format.property),
            ("formatter-property", &mut self.format.formatter_property),
            out,
        )?;
        renamed.take_old(
            ("consumer-property", &mut self.consumer_property),
            ("command-property", &mut self.command_property),
            out,
        )?;
        renamed.take_old(
            ("consumer.config", &mut self.consumer_config),
            ("command-config", &mut self.command_config),
            out,
        )
    }

    /// Everything that has to be known before the first request.
    pub(super) fn plan(&self, target: &Target, out: &mut Output) -> anyhow::Result<Plan> {
        let (mut found, group) = properties_and_group(
            target,
            self.group.as_deref(),
            (self.command_config.as_deref(), "--consumer.config"),
            &self.command_property,
        )?;
        let named_group = self.choose_group(group, &mut found)?;
        self.choose_reset(&mut found)?;
        if let Some(level) = &self.isolation_level {
            found.set("isolation.level", level);
        }
        found.set_default("client.id", "console-consumer");
        found.set("bootstrap.servers", &target.servers);
        let start = self.start()?;
        let formatter = self.format.formatter(out)?;
        warn(&found.warnings(), out)?;
        let config = ConsumerConfig::new(&found).map_err(explained_config)?;
        let source = match (&self.topic, self.partition, &self.include) {
            (Some(topic), Some(partition), _) => Source::Partition { topic: topic.clone(), partition, start },
            (Some(topic), None, _) => Source::Topic(topic.clone()),
            (None, _, Some(pattern)) => Source::Pattern(whole_name_pattern(pattern)?),
            (None, _, None) => Source::Ask,
        };
        Ok(Plan { source, config, formatter, named_group, from_beginning: self.from_beginning })
    }

    fn choose_group(&self, group: Option<String>, found: &mut ClientProperties) -> anyhow::Result<bool> {
        match group {
            Some(_) if self.partition.is_some() => {
                Err(UsageError::because("Options group and partition cannot be specified together."))
            }
            Some(group) => {
                found.set("group.id", &group);
                Ok(true)
            }
            None => {
                // A group of its own, so that all partitions are its; offsets are not committed, so nothing stays.
                found.set("group.id", &format!("console-consumer-{}", fastrand::u32(0..100_000)));
                found.set_default("enable.auto.commit", "false");
                Ok(false)
            }
        }
    }

    fn choose_reset(&self, found: &mut ClientProperties) -> anyhow::Result<()> {
        const KEY: &str = "auto.offset.reset";
        match found.get(KEY) {
            Some(reset) if self.from_beginning && reset != "earliest" => Err(UsageError::because(format!(
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset={reset}', please remove one option"
            ))),
            Some(_) => Ok(()),
            None => {
                found.set(KEY, if self.from_beginning { "earliest" } else { "latest" });
                Ok(())
            }
        }
    }

    fn start(&self) -> anyhow::Result<Start> {
        let Some(text) = &self.offset else {
            return Ok(if self.from_beginning { Start::Earliest } else { Start::Latest });
        };
        match (text.to_ascii_lowercase().as_str(), text.parse::<i64>()) {
            ("earliest", _) => Ok(Start::Earliest),
            ("latest", _) => Ok(Start::Latest),
            (_, Ok(offset)) if offset >= 0 => Ok(Start::Offset(offset)),
            _ => Err(UsageError::because(format!(
                "The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a \
                 non-negative long."
            ))),
        }
    }
}

/// The settings that a file and options say, and the group that these and `--group` name. The file comes with what
/// Kafka's tool calls its option.
pub(in crate::cli) fn properties_and_group(
    target: &Target,
    group: Option<&str>,
    (file, file_option): (Option<&Path>, &str),
    pairs: &[String],
) -> anyhow::Result<(ClientProperties, Option<String>)> {
    let mut found = target.properties(Client::Consumer)?;
    let mut groups: BTreeSet<String> = group.map(str::to_owned).into_iter().collect();
    if let Some(file) = file {
        found.read(file)?;
        groups.extend(found.get("group.id").map(str::to_owned));
    }
    for pair in pairs {
        found.add_option(pair);
        groups.extend(pair.strip_prefix("group.id=").map(str::to_owned));
    }
    if groups.len() > 1 {
        let shown: Vec<_> = groups.iter().map(|group| format!("'{group}'")).collect();
        return Err(UsageError::because(format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '{file_option}') do not match. Detected group ids: {}",
            shown.join(", ")
        )));
    }
    Ok((found, groups.pop_first()))
}

/// A pattern that whole names must match, as in Java.
fn whole_name_pattern(text: &str) -> anyhow::Result<Regex> {
    // Kafka's tools take a comma for "or" here too.
    let text = text.trim().replace(',', "|").replace(' ', "");
    let text = text.trim_matches(['"', '\'']);
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        Hinted::error(
            format!("--include {text} is no regular expression: {error}"),
            "put single quotes around it, so that the shell leaves it alone",
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::OffsetReset;

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let (mut out, _) = Output::captured();
        let words = ["console-consumer"].iter().chain(words);
        let mut tool = ConsoleConsumer::try_parse_from(words).map_err(|e| e.to_string())?;
        tool.check(&mut out)
            .and_then(|()| tool.plan(&Target::at("localhost:9092"), &mut out))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_reader_without_a_group_commits_nothing() {
        let plan = plan(&["--topic", "t", "--from-beginning"]).unwrap();
        assert!(!plan.named_group && !plan.config.enable_auto_commit);
        assert!(plan.config.group_id.unwrap().starts_with("console-consumer-"));
        assert_eq!(plan.config.auto_offset_reset, OffsetReset::Earliest);
        assert_eq!(plan.config.common.client_id, "console-consumer");
    }

    #[test]
    fn a_group_commits() {
        let plan = plan(&["--topic", "t", "--command-property", "group.id=g"]).unwrap();
        assert!(plan.named_group && plan.config.enable_auto_commit);
        assert_eq!(plan.config.auto_offset_reset, OffsetReset::Latest);
    }

    #[test]
    fn places_to_begin() {
        let start =
            |words: &[&str]| match plan(&[&["--topic", "t", "--partition", "1"], words].concat()).unwrap().source {
                Source::Partition { start, partition: 1, .. } => start,
                other => panic!("{other:?}"),
            };
        assert_eq!(start(&[]), Start::Latest);
        assert_eq!(start(&["--from-beginning"]), Start::Earliest);
        assert_eq!(start(&["--offset", "LATEST"]), Start::Latest);
        assert_eq!(start(&["--offset", "7"]), Start::Offset(7));
    }

    #[test]
    fn patterns_match_whole_names() {
        let Source::Pattern(pattern) = plan(&["--include", "c[1],x"]).unwrap().source else { panic!() };
        assert!(pattern.is_match("c1") && pattern.is_match("x") && !pattern.is_match("c12"));
        assert!(plan(&["--include", "["]).is_err());
    }

    #[test]
    fn what_does_not_go_together_is_told_in_kafkas_words() {
        for (words, message) in [
            (&[][..], "Exactly one of the following arguments is required: [topic], [include]"),
            (
                &["--topic", "a", "--include", "b"],
                "Exactly one of the following arguments is required: [topic], [include]",
            ),
            (&["--topic", "a", "--offset", "3"], "The partition is required when offset is specified."),
            (
                &["--topic", "a", "--partition", "0", "--offset", "1", "--from-beginning"],
                "Options from-beginning and offset cannot be specified together.",
            ),
            (
                &["--topic", "a", "--partition", "0", "--group", "g"],
                "Options group and partition cannot be specified together.",
            ),
            (
                &["--topic", "a", "--partition", "0", "--offset=-5"],
                "The provided offset value '-5' is incorrect. Valid values are 'earliest', 'latest', or a non-negative \
                 long.",
            ),
            (
                &["--topic", "a", "--group", "g", "--command-property", "group.id=h"],
                "The group ids provided in different places (directly using '--group', via '--consumer-property', or \
                 via '--consumer.config') do not match. Detected group ids: 'g', 'h'",
            ),
            (
                &["--topic", "a", "--from-beginning", "--command-property", "auto.offset.reset=latest"],
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest', please remove one option",
            ),
            (&["--topic", "a", "--formatter", "no.such.Formatter"], "no.such.Formatter"),
            (
                &["--topic", "a", "--property", "a=1", "--formatter-property", "b=2"],
                "Options --property and --formatter-property cannot be specified together.",
            ),
            (
                &["--topic", "a", "--isolation-level", "wrong"],
                "Invalid value wrong for configuration isolation.level: String must be one of: read_committed, \
                 read_uncommitted",
            ),
        ] {
            assert_eq!(plan(words).unwrap_err(), message);
        }
    }
}
