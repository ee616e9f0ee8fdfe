//! Which options of `share-groups` go together. The order of the checks and their texts are Kafka's.

use super::{Action, ShareGroups};
use crate::cli::support::groups::{check_available, check_pairs, needs_group, only_action};
use crate::cli::support::{Output, UsageError};

impl ShareGroups {
    /// The action, if the options make sense.
    pub(super) fn check(&self, out: &Output) -> anyhow::Result<Action> {
        // Options that Kafka's parser takes with some actions only.
        check_available(&[
            ("members", self.members && !self.describe),
            ("offsets", self.offsets && !self.describe),
            ("state", self.state.is_some() && !self.describe && !self.list),
            ("verbose", self.verbose && !self.describe),
        ])?;
        let has_one = !self.group.is_empty() || out.can_ask();
        let has_group = has_one || self.all_groups;
        let refuse = |text: &str| Err(UsageError::because(text));
        if self.describe {
            needs_group("describe", has_group)?;
            self.describe_options().check()?;
        }
        if self.delete {
            if !has_group {
                return refuse("Option [delete] takes the options [group] or [all-groups]");
            }
            if self.all_groups && !self.group.is_empty() {
                return refuse("Option [delete] takes either [group] or [all-groups], not both.");
            }
            if !self.topic.is_empty() {
                return refuse("Option [delete] does not take the option: [topic]");
            }
        }
        if self.delete_offsets && (!has_one || self.topic.is_empty()) {
            return refuse("Option [delete-offsets] takes the following options: [group], [topic]");
        }
        if self.reset_offsets {
            self.check_reset(has_one)?;
        }
        let list = ("list", self.list);
        let group = ("group", !self.group.is_empty());
        let topic = ("topic", !self.topic.is_empty());
        check_pairs(&[
            (group, ("all-groups", self.all_groups)),
            (group, list),
            (topic, list),
            (topic, ("describe", self.describe)),
        ])?;
        self.action()
    }

    fn check_reset(&self, has_one: bool) -> anyhow::Result<()> {
        let refuse = |text: &str| Err(UsageError::because(format!("Option [reset-offsets] {text}")));
        if self.dry_run && self.execute {
            return refuse("only accepts one of [execute] and [dry-run]");
        }
        if !self.dry_run && !self.execute {
            return refuse("takes the option: [execute] or [dry-run]");
        }
        if !has_one {
            return refuse("takes the option: [group]");
        }
        if self.topic.is_empty() && !self.all_topics {
            return refuse("takes one of these options: [all-topics], [topic]");
        }
        let given = [
            ("to-datetime", self.to_datetime.is_some()),
            ("to-earliest", self.to_earliest),
            ("to-latest", self.to_latest),
        ];
        let mut given = given.iter().filter(|(_, given)| *given);
        match (given.next(), given.next()) {
            (None, _) => refuse("takes one of these options: [to-datetime], [to-earliest], [to-latest]"),
            (Some((first, _)), Some((second, _))) => Err(UsageError::conflict(first, second)),
            _ => Ok(()),
        }
    }

    fn action(&self) -> anyhow::Result<Action> {
        let actions = [
            (self.list, Action::List),
            (self.describe, Action::Describe),
            (self.delete, Action::Delete),
            (self.reset_offsets, Action::ResetOffsets),
            (self.delete_offsets, Action::DeleteOffsets),
        ];
        only_action(actions, "--list, --describe, --delete, --reset-offsets, --delete-offsets.")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        let check = |words: &str| {
            let words = std::iter::once("share-groups").chain(words.split_whitespace());
            let (out, _) = Output::captured();
            ShareGroups::try_parse_from(words).unwrap().check(&out).map_err(|e| e.to_string())
        };
        for (words, message) in [
            ("--describe", "Option [describe] takes one of these options: [all-groups], [group]"),
            ("--delete --group g --all-groups", "Option [delete] takes either [group] or [all-groups], not both."),
            ("--delete --group g --topic t", "Option [delete] does not take the option: [topic]"),
            ("--reset-offsets --group g", "Option [reset-offsets] takes the option: [execute] or [dry-run]"),
            ("--reset-offsets --dry-run", "Option [reset-offsets] takes the option: [group]"),
            (
                "--reset-offsets --dry-run --group g",
                "Option [reset-offsets] takes one of these options: [all-topics], [topic]",
            ),
            (
                "--reset-offsets --dry-run --group g --all-topics",
                "Option [reset-offsets] takes one of these options: [to-datetime], [to-earliest], [to-latest]",
            ),
            (
                "--reset-offsets --dry-run --group g --all-topics --to-latest --to-earliest",
                "Option \"[to-earliest]\" can't be used with option \"[to-latest]\"",
            ),
            ("--list --members", "Option(s) [members] are unavailable given other options on the command line"),
        ] {
            assert_eq!(check(words).unwrap_err(), message, "{words}");
        }
        assert_eq!(check("--describe --group g --members --verbose"), Ok(Action::Describe));
    }
}
