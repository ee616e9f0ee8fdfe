//! Which options of `consumer-groups` go together. The order of the checks and their texts are Kafka's.

use super::{Action, ConsumerGroups};
use crate::cli::support::groups::{check_available, check_pairs, needs_group, only_action};
use crate::cli::support::{Output, Style, UsageError};

impl ConsumerGroups {
    /// The action, if the options make sense.
    pub(super) fn check(&self, out: &mut Output) -> anyhow::Result<Action> {
        // Options that Kafka's parser takes with some actions only.
        check_available(&[
            ("members", self.members && !self.describe),
            ("verbose", self.verbose && !self.describe),
            ("offsets", self.offsets && !self.describe),
            ("state", self.state.is_some() && !self.describe && !self.list),
            ("type", self.group_type.is_some() && !self.list),
        ])?;
        let has_one = !self.group.is_empty() || out.can_ask();
        let has_group = has_one || self.all_groups;
        if self.describe {
            needs_group("describe", has_group)?;
            self.describe_options().check()?;
        }
        if self.delete {
            needs_group("delete", has_group)?;
            if !self.topic.is_empty() {
                return Err(UsageError::because(
                    "The consumer does not support topic-specific offset deletion from a consumer group.",
                ));
            }
        }
        if self.delete_offsets && (!has_one || self.topic.is_empty()) {
            return Err(UsageError::because("Option [delete-offsets] takes the following options: [topic], [group]"));
        }
        if self.reset_offsets {
            self.check_reset(out)?;
            needs_group("reset-offsets", has_group)?;
            self.scenario.check()?;
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

    fn action(&self) -> anyhow::Result<Action> {
        let actions = [
            (self.list, Action::List),
            (self.describe, Action::Describe),
            (self.delete, Action::Delete),
            (self.reset_offsets, Action::ResetOffsets),
            (self.delete_offsets, Action::DeleteOffsets),
        ];
        let validate_regex = self.validate_regex.clone().map(|pattern| (true, Action::ValidateRegex(pattern)));
        only_action(
            actions.into_iter().chain(validate_regex),
            "--list, --describe, --delete, --reset-offsets, --delete-offsets, --validate-regex",
        )
    }

    fn check_reset(&self, out: &mut Output) -> anyhow::Result<()> {
        if self.dry_run && self.execute {
            return Err(UsageError::because("Option [reset-offsets] only accepts one of [execute] and [dry-run]"));
        }
        if !self.dry_run && !self.execute {
            out.note(if out.style() == Style::Kafka {
                "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command \
                 will require either --dry-run or --execute to be specified. You should add the --dry-run option \
                 explicitly if you are scripting this command and want to keep the current default behavior without \
                 prompting."
            } else {
                "nothing is changed without --execute"
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn check(words: &str) -> Result<Action, String> {
        let words = std::iter::once("consumer-groups").chain(words.split_whitespace());
        let (mut out, _) = Output::captured();
        ConsumerGroups::try_parse_from(words).unwrap().check(&mut out).map_err(|e| e.to_string())
    }

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        for (words, message) in [
            (
                "",
                "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, \
                 --delete-offsets, --validate-regex",
            ),
            ("--list --describe", "Option [describe] takes one of these options: [all-groups], [group]"),
            ("--describe --group g --all-groups", "Option \"[group]\" can't be used with option \"[all-groups]\""),
            ("--describe --group g --state x", "Option [describe] does not take a value for [state]"),
            ("--delete-offsets --group g", "Option [delete-offsets] takes the following options: [topic], [group]"),
            ("--describe --group g --topic t", "Option \"[topic]\" can't be used with option \"[describe]\""),
            ("--list --verbose", "Option(s) [verbose] are unavailable given other options on the command line"),
            (
                "--reset-offsets --group g --to-latest --to-offset 3",
                "Option \"[to-offset]\" can't be used with option \"[to-latest]\"",
            ),
        ] {
            assert_eq!(check(words).unwrap_err(), message, "{words}");
        }
    }

    #[test]
    fn actions() {
        assert_eq!(check("--list --state --type classic"), Ok(Action::List));
        assert_eq!(check("--describe --all-groups --state"), Ok(Action::Describe));
        assert_eq!(check("--delete --all-groups"), Ok(Action::Delete));
        assert_eq!(check("--validate-regex a"), Ok(Action::ValidateRegex("a".to_owned())));
        assert_eq!(check("--reset-offsets --group g --group h --all-topics --to-latest"), Ok(Action::ResetOffsets));
    }
}
