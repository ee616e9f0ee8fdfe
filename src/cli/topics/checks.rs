//! Which options of `topics` go together. The order of the checks and their texts are Kafka's.

use super::{Action, Topics};
use crate::cli::support::{JavaError, Output, UsageError};
use crate::types::Uuid;

impl Topics {
    /// The action, if the options make sense.
    pub(super) fn check(&self, out: &mut Output) -> anyhow::Result<Action> {
        let actions = self.actions();
        let mut given = actions.iter().filter(|(_, given, _)| *given).map(|(action, _, _)| *action);
        let (Some(action), None) = (given.next(), given.next()) else {
            return Err(UsageError::because(
                "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
            ));
        };
        self.check_required(action, out)?;
        self.check_allowed(action, out)?;
        Ok(action)
    }

    fn actions(&self) -> [(Action, bool, &'static str); 5] {
        [
            (Action::Alter, self.alter, "alter"),
            (Action::Create, self.create, "create"),
            (Action::Describe, self.describe, "describe"),
            (Action::List, self.list, "list"),
            (Action::Delete, self.delete, "delete"),
        ]
    }

    fn check_required(&self, action: Action, out: &mut Output) -> anyhow::Result<()> {
        if action == Action::Describe && self.if_exists {
            if self.topic.is_none() && self.topic_id.is_none() {
                return Err(UsageError::because("--topic or --topic-id is required to describe a topic"));
            }
            if self.topic.is_some() && self.topic_id.is_some() {
                out.line(format_args!(
                    "Only topic id will be used when both --topic and --topic-id are specified and topicId is not \
                     Uuid.ZERO_UUID"
                ))?;
            }
        }
        // Where somebody can be asked, the topics to alter or delete are picked from a list.
        let can_pick = matches!(action, Action::Alter | Action::Delete) && out.can_ask();
        if !matches!(action, Action::List | Action::Describe) && self.topic.is_none() && !can_pick {
            return Err(UsageError::missing("topic"));
        }
        if action == Action::Alter {
            if !self.config.is_empty() {
                return Err(UsageError::because(
                    "Option combination \"[[config], [bootstrap-server]]\" can't be used with option \"[alter]\" (To \
                     alter topic configurations, the kafka-configs tool can be used.)",
                ));
            }
            if self.partitions.is_none() {
                return Err(UsageError::missing("partitions"));
            }
        }
        Ok(())
    }

    fn check_allowed(&self, action: Action, out: &mut Output) -> anyhow::Result<()> {
        use Action::{Alter, Create, Delete, Describe, List};
        let reports = [
            ("under-replicated-partitions", self.under_replicated_partitions),
            ("under-min-isr-partitions", self.under_min_isr_partitions),
            ("at-min-isr-partitions", self.at_min_isr_partitions),
            ("unavailable-partitions", self.unavailable_partitions),
        ];
        let only_with: [(&str, bool, &[Action]); 5] = [
            ("config", !self.config.is_empty(), &[Alter, Create]),
            ("partitions", self.partitions.is_some(), &[Alter, Create]),
            ("replication-factor", self.replication_factor.is_some(), &[Create]),
            ("replica-assignment", self.replica_assignment.is_some(), &[Alter, Create]),
            ("topics-with-overrides", self.topics_with_overrides, &[Describe]),
        ];
        let flags_only_with: [(&str, bool, &[Action]); 3] = [
            ("if-exists", self.if_exists, &[Alter, Delete, Describe]),
            ("if-not-exists", self.if_not_exists, &[Create]),
            ("exclude-internal", self.exclude_internal, &[List, Describe]),
        ];
        if !self.delete_config.is_empty() {
            out.note(
                "delete-config option is no longer supported and deprecated since version 4.0. The config will be \
                 fully removed in future releases.",
            )?;
        }
        for (option, given, actions) in only_with.iter().take(4) {
            self.check_action(option, *given, actions, action)?;
        }
        if action == Create && self.replica_assignment.is_some() {
            for (option, given) in
                [("partitions", self.partitions.is_some()), ("replication-factor", self.replication_factor.is_some())]
            {
                if given {
                    return Err(UsageError::conflict("replica-assignment", option));
                }
            }
        }
        for (option, given) in reports {
            self.check_action(option, given, &[Describe], action)?;
            if given && self.topics_with_overrides {
                return Err(UsageError::conflict(option, "topics-with-overrides"));
            }
        }
        for (option, given, actions) in only_with.iter().skip(4).chain(&flags_only_with) {
            self.check_action(option, *given, actions, action)?;
        }
        Ok(())
    }

    fn check_action(&self, option: &str, given: bool, allowed: &[Action], action: Action) -> anyhow::Result<()> {
        if !given || allowed.contains(&action) {
            return Ok(());
        }
        let name = self.actions().iter().find(|(other, _, _)| *other == action).map_or("", |(_, _, name)| name);
        Err(UsageError::conflict(option, name))
    }

    /// The id of `--topic-id`; none if it is not given, or zero.
    pub(super) fn wanted_id(&self) -> anyhow::Result<Option<Uuid>> {
        let Some(text) = &self.topic_id else { return Ok(None) };
        match Uuid::parse(text) {
            Some(id) => Ok(Some(id).filter(|id| !id.is_zero())),
            None => Err(JavaError::illegal_argument(unreadable_id(text)).into()),
        }
    }
}

/// Java's decoder takes any base64 text, so the message tells how many bytes there were.
fn unreadable_id(text: &str) -> String {
    let bytes = text.trim_end_matches('=').len() * 3 / 4;
    if bytes == 16 {
        return format!("Input string `{text}` is not a base64-encoded UUID");
    }
    format!(
        "Input string `{text}` decoded as {bytes} bytes, which is not equal to the expected 16 bytes of a \
         base64-encoded UUID"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn check(words: &str) -> Result<Action, String> {
        let words = std::iter::once("topics").chain(words.split_whitespace());
        let (mut out, _) = Output::captured();
        Topics::try_parse_from(words).unwrap().check(&mut out).map_err(|e| e.to_string())
    }

    #[test]
    fn one_action_at_a_time() {
        assert_eq!(check("--list"), Ok(Action::List));
        let message = "Command must include exactly one action: --list, --describe, --create, --alter or --delete";
        assert_eq!(check("").unwrap_err(), message);
        assert_eq!(check("--list --describe").unwrap_err(), message);
    }

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        for (words, message) in [
            ("--create", "Missing required argument \"[topic]\""),
            ("--delete", "Missing required argument \"[topic]\""),
            ("--alter --topic a", "Missing required argument \"[partitions]\""),
            ("--list --partitions 3", "Option \"[partitions]\" can't be used with option \"[list]\""),
            ("--list --config a=b", "Option \"[config]\" can't be used with option \"[list]\""),
            (
                "--describe --replication-factor 1",
                "Option \"[replication-factor]\" can't be used with option \"[describe]\"",
            ),
            (
                "--create --topic a --partitions 1 --replica-assignment 1",
                "Option \"[replica-assignment]\" can't be used with option \"[partitions]\"",
            ),
            (
                "--alter --topic a --config retention.ms=1",
                "Option combination \"[[config], [bootstrap-server]]\" can't be used with option \"[alter]\" (To \
                 alter topic configurations, the kafka-configs tool can be used.)",
            ),
            (
                "--describe --under-replicated-partitions --topics-with-overrides",
                "Option \"[under-replicated-partitions]\" can't be used with option \"[topics-with-overrides]\"",
            ),
            ("--delete --topic a --if-not-exists", "Option \"[if-not-exists]\" can't be used with option \"[delete]\""),
            ("--describe --if-exists", "--topic or --topic-id is required to describe a topic"),
        ] {
            assert_eq!(check(words).unwrap_err(), message, "{words}");
        }
    }

    #[test]
    fn ids() {
        let id = |text: &str| {
            Topics::try_parse_from(["topics", "--topic-id", text]).unwrap().wanted_id().map_err(|e| e.to_string())
        };
        assert_eq!(id("AAAAAAAAAAAAAAAAAAAAAQ"), Ok(Some(Uuid::METADATA_TOPIC)));
        assert_eq!(id("AAAAAAAAAAAAAAAAAAAAAA"), Ok(None));
        assert_eq!(
            id("xyz").unwrap_err(),
            "Input string `xyz` decoded as 2 bytes, which is not equal to the expected 16 bytes of a base64-encoded \
             UUID"
        );
    }
}
