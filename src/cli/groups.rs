//! `groups`: the groups of all types. Kafka's `kafka-groups.sh`.

use std::io;

use serde_json::json;

use super::Run;
use super::support::{
    Column, ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, Style, UsageError, WatchArgs, block_on,
    did_you_mean, in_columns, java,
};
use crate::client::Admin;
use crate::client::admin::{GroupListing, GroupType};

/// List the groups of all types
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
kafka-rs groups --list                         all groups
kafka-rs groups --list --group-type share      share groups
kafka-rs groups --list --consumer              all that consumers use, whatever their protocol")]
pub(super) struct Groups {
    /// List the groups
    #[arg(long, help_heading = "Actions")]
    list: bool,
    /// Only groups of this type: classic, consumer, share, streams
    #[arg(long, value_name = "TYPE")]
    group_type: Option<String>,
    /// Only groups whose members speak this protocol
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Only groups of consumers: of the consumer type, classic ones of consumers, and those without members
    #[arg(long)]
    consumer: bool,
    /// Only share groups
    #[arg(long)]
    share: bool,
    /// Only streams groups
    #[arg(long)]
    streams: bool,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

impl Run for Groups {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.check(out)?;
        let group_type = self.group_type.as_deref().map(read_type).transpose()?;
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(self.watch.run(out, async |out| {
            let groups = admin.list_groups(&[], &[]).await;
            let mut groups = groups.map_err(|error| JavaError::no_brokers("ListGroups", &error))?;
            groups.retain(|group| self.wants(group, group_type));
            print(&mut groups, out)?;
            Ok(Exit::Success)
        }))
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else {
            return super::support::report_failure(error, out);
        };
        error.report(out, |error, out| {
            if error.is("java.lang.IllegalArgumentException") {
                return out.note(error);
            }
            out.line(format_args!("Error while executing groups command : {error}"))?;
            out.kafka_log_error(format_args!("{}\n", error.to_java()), "org.apache.kafka.tools.GroupsCommand")
        })?;
        Ok(Exit::Failure)
    }
}

impl Groups {
    /// Kafka's checks, in Kafka's order.
    fn check(&self, out: &Output) -> anyhow::Result<()> {
        if !self.list && !out.can_ask() {
            return Err(UsageError::because("Command must include exactly one action: --list."));
        }
        let group_type = ("group-type", self.group_type.is_some());
        let protocol = ("protocol", self.protocol.is_some());
        let consumer = ("consumer", self.consumer);
        let share = ("share", self.share);
        let streams = ("streams", self.streams);
        for (option, others) in [
            (consumer, [group_type, protocol, share, streams]),
            (share, [consumer, group_type, protocol, streams]),
            (streams, [consumer, group_type, protocol, share]),
        ] {
            if let (true, Some((other, _))) = (option.1, others.iter().find(|(_, given)| *given)) {
                return Err(UsageError::conflict(option.0, other));
            }
        }
        Ok(())
    }

    fn wants(&self, group: &GroupListing, group_type: Option<GroupType>) -> bool {
        let is = |wanted| GroupType::parse(&group.group_type) == Some(wanted);
        let protocol = self.protocol.as_ref().is_none_or(|protocol| *protocol == group.protocol_type);
        match group_type {
            Some(group_type) => is(group_type) && protocol,
            None if self.protocol.is_some() => protocol,
            None if self.consumer => is(GroupType::Consumer) || matches!(group.protocol_type.as_str(), "consumer" | ""),
            None if self.share => is(GroupType::Share),
            None if self.streams => is(GroupType::Streams),
            None => true,
        }
    }
}

fn read_type(text: &str) -> Result<GroupType, JavaError> {
    GroupType::parse(text).ok_or_else(|| {
        let near = did_you_mean(text, GroupType::ALL.iter().map(|group_type| group_type.name()));
        JavaError::illegal_argument("--group-type must be a valid group type.")
            .with_plain(format!("{text} is no type of group: classic, consumer, share, streams are"))
            .with_hint(near)
    })
}

fn print(groups: &mut [GroupListing], out: &mut Output) -> anyhow::Result<()> {
    match out.style() {
        Style::Kafka => {
            java::in_hash_map_order(groups, |group| &group.group_id);
            print_columns(groups, out)?;
        }
        Style::Table => {
            let row = |group: &GroupListing| {
                let (shown, coordinator) = (shown_type(group), group.coordinator.to_string());
                vec![group.group_id.clone(), shown, group.protocol_type.clone(), group.state.clone(), coordinator]
            };
            if groups.is_empty() {
                out.note("no groups")?;
            }
            out.table(&["Group", "Type", "Protocol", "State", "Coordinator"], groups.iter().map(row).collect())?;
        }
        Style::Json => {
            let object = |group: &GroupListing| {
                json!({
                    "group": group.group_id,
                    "type": group.group_type.to_lowercase(),
                    "protocol": group.protocol_type,
                    "state": group.state,
                    "coordinator": group.coordinator.get(),
                })
            };
            let groups: Vec<_> = groups.iter().map(object).collect();
            out.json(&json!({"version": 1, "groups": groups}))?;
        }
    }
    Ok(())
}

fn shown_type(group: &GroupListing) -> String {
    GroupType::parse(&group.group_type).map_or_else(String::new, |group_type| group_type.name().to_owned())
}

/// All columns are as wide as the longest cell of any.
fn print_columns(groups: &[GroupListing], out: &mut Output) -> io::Result<()> {
    const NARROWEST: usize = 20;
    let cells = |group: &GroupListing| vec![group.group_id.clone(), shown_type(group), group.protocol_type.clone()];
    let rows: Vec<Vec<String>> = groups.iter().map(cells).collect();
    let width = rows.iter().flatten().map(|cell| cell.encode_utf16().count()).fold(NARROWEST, usize::max);
    let columns = [Column::Fixed(width); 3];
    for line in in_columns(&columns, &[vec!["GROUP", "TYPE", "PROTOCOL"]]) {
        out.line(line)?;
    }
    for line in in_columns(&columns, &rows) {
        out.line(format_args!("{line} "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::types::NodeId;

    fn group(id: &str, group_type: &str, protocol: &str) -> GroupListing {
        GroupListing {
            group_id: id.to_owned(),
            protocol_type: protocol.to_owned(),
            state: "Stable".to_owned(),
            group_type: group_type.to_owned(),
            coordinator: NodeId(1),
        }
    }

    fn wanted(words: &str) -> String {
        let args = Groups::try_parse_from(words.split_whitespace()).unwrap();
        let group_type = args.group_type.as_deref().map(|text| read_type(text).unwrap());
        let groups = [
            group("new", "consumer", "consumer"),
            group("old", "classic", "consumer"),
            group("connect", "classic", "connect"),
            group("offsets", "classic", ""),
            group("share", "share", "share"),
            group("streams", "streams", "streams"),
        ];
        let ids: Vec<_> = groups.iter().filter(|g| args.wants(g, group_type)).map(|g| g.group_id.as_str()).collect();
        ids.join(" ")
    }

    #[test]
    fn filters() {
        assert_eq!(wanted("groups --list"), "new old connect offsets share streams");
        assert_eq!(wanted("groups --consumer"), "new old offsets");
        assert_eq!(wanted("groups --share"), "share");
        assert_eq!(wanted("groups --streams"), "streams");
        assert_eq!(wanted("groups --group-type CLASSIC"), "old connect offsets");
        assert_eq!(wanted("groups --group-type classic --protocol consumer"), "old");
        assert_eq!(wanted("groups --protocol consumer"), "new old");
    }

    #[test]
    fn options_that_do_not_go_together() {
        let (out, _) = Output::captured();
        let check = |words: &str| {
            let args = Groups::try_parse_from(words.split_whitespace()).unwrap();
            args.check(&out).map_err(|error| error.to_string())
        };
        assert_eq!(check("groups").unwrap_err(), "Command must include exactly one action: --list.");
        assert_eq!(
            check("groups --list --share --consumer").unwrap_err(),
            "Option \"[consumer]\" can't be used with option \"[share]\""
        );
        assert_eq!(check("groups --list --group-type a --protocol b"), Ok(()));
        assert_eq!(read_type("shar").unwrap_err().message(), "--group-type must be a valid group type.");
    }

    #[test]
    fn all_columns_are_as_wide_as_the_longest_cell() {
        let (mut out, captured) = Output::captured();
        let mut groups = vec![group("a-group-with-a-long-name", "consumer", "consumer")];
        print(&mut groups, &mut out).unwrap();
        out.flush().unwrap();
        assert_eq!(
            captured.stdout(),
            format!(
                "{:24} {:24} {:24}\n{:24} {:24} {:24} \n",
                "GROUP", "TYPE", "PROTOCOL", "a-group-with-a-long-name", "Consumer", "consumer"
            )
        );
    }
}
