//! Which options of `streams-groups` go together. The order of the checks and their texts are Kafka's.

use super::{Action, StreamsGroups};
use crate::cli::support::groups::{check_available, check_pairs, needs_group, only_action};
use crate::cli::support::{Output, UsageError};

fn refuse<T>(text: &str) -> anyhow::Result<T> {
    Err(UsageError::because(text))
}

impl StreamsGroups {
    /// The action, if the options make sense.
    pub(super) fn check(&self, out: &Output) -> anyhow::Result<Action> {
        check_available(&[("verbose", self.verbose && !self.describe)])?;
        let has_one = !self.group.is_empty() || out.can_ask();
        let has_group = has_one || self.all_groups;
        if self.describe {
            needs_group("describe", has_group)?;
            self.describe_options().check()?;
        }
        if self.delete {
            needs_group("delete", has_group)?;
            if !self.input_topic.is_empty() || self.all_input_topics {
                return refuse("Kafka Streams does not support topic-specific offset deletion from a streams group.");
            }
        }
        if self.delete_offsets {
            self.check_delete_offsets(has_one)?;
        }
        if self.reset_offsets {
            self.check_reset(has_group)?;
        }
        self.check_internal_topics()?;
        if (self.dry_run || self.execute) && !self.reset_offsets {
            return refuse("Only Option [reset-offsets] accepts [execute] or [dry-run]");
        }
        let list = ("list", self.list);
        let group = ("group", !self.group.is_empty());
        let topic = ("input-topic", !self.input_topic.is_empty());
        check_pairs(&[
            (list, ("members", self.members)),
            (list, ("offsets", self.offsets)),
            (group, ("all-groups", self.all_groups)),
            (group, list),
            (topic, list),
            (topic, ("describe", self.describe)),
            (topic, ("delete", self.delete)),
        ])?;
        self.action()
    }

    fn check_delete_offsets(&self, has_one: bool) -> anyhow::Result<()> {
        if !has_one || (self.input_topic.is_empty() && !self.all_input_topics) {
            return refuse(
                "Option [delete-offsets] takes the [group] and one of these options: [all-input-topics], [input-topic]",
            );
        }
        if self.group.len() > 1 {
            let found = self.group.join(", ");
            return refuse(&format!(
                "Option [delete-offsets] supports only one [group] at a time, but found: [{found}]"
            ));
        }
        Ok(())
    }

    fn check_reset(&self, has_group: bool) -> anyhow::Result<()> {
        if self.dry_run && self.execute {
            return refuse("Option [reset-offsets] only accepts one of [execute] and [dry-run]");
        }
        if !self.dry_run && !self.execute {
            return refuse("Option [reset-offsets] takes the option: [execute] or [dry-run]");
        }
        needs_group("reset-offsets", has_group)?;
        self.scenario.check()
    }

    fn check_internal_topics(&self) -> anyhow::Result<()> {
        if self.delete_all_internal_topics {
            if !self.reset_offsets && !self.delete {
                return refuse(
                    "Option [delete-all-internal-topics] takes one of these options: [delete], [reset-offsets]",
                );
            }
            if self.reset_offsets && !self.execute {
                return refuse("Option [delete-all-internal-topics] takes [execute] when [reset-offsets] is used.");
            }
        } else if !(self.delete_internal_topic.is_empty() || self.reset_offsets && self.execute) {
            return refuse("Option [delete-internal-topic] takes [reset-offsets] when [execute] is used.");
        }
        Ok(())
    }

    fn action(&self) -> anyhow::Result<Action> {
        let actions = [
            (self.list, Action::List),
            (self.describe, Action::Describe),
            (self.delete, Action::Delete),
            (self.reset_offsets, Action::ResetOffsets),
            (self.delete_offsets, Action::DeleteOffsets),
        ];
        only_action(actions, "--list, --describe, --delete, --reset-offsets, or --delete-offsets.")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        let check = |words: &str| {
            let words = std::iter::once("streams-groups").chain(words.split_whitespace());
            let (out, _) = Output::captured();
            StreamsGroups::try_parse_from(words).unwrap().check(&out).map_err(|e| e.to_string())
        };
        for (words, message) in [
            ("--delete --group g --dry-run", "Only Option [reset-offsets] accepts [execute] or [dry-run]"),
            ("--list --members", "Option \"[list]\" can't be used with option \"[members]\""),
            (
                "--reset-offsets --group g --dry-run --delete-all-internal-topics",
                "Option [delete-all-internal-topics] takes [execute] when [reset-offsets] is used.",
            ),
            (
                "--delete-offsets --group g --group h --all-input-topics",
                "Option [delete-offsets] supports only one [group] at a time, but found: [g, h]",
            ),
            (
                "--delete --group g --delete-internal-topic t",
                "Option [delete-internal-topic] takes [reset-offsets] when [execute] is used.",
            ),
        ] {
            assert_eq!(check(words).unwrap_err(), message, "{words}");
        }
        assert_eq!(check("--delete --all-groups --delete-all-internal-topics"), Ok(Action::Delete));
    }
}
