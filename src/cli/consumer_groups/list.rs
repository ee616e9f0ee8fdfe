//! `consumer-groups --list`.

use serde_json::json;

use super::{ConsumerGroups, TOOL};
use crate::cli::support::groups::states;
use crate::cli::support::{Column, Exit, Output, Style, UsageError, in_columns, java, with_header};
use crate::client::Admin;
use crate::client::admin::{GroupListing, GroupType};

/// The states of groups of consumers, in the order in which Kafka's tool tells them.
const STATES: [&str; 7] =
    ["Reconciling", "Empty", "Dead", "CompletingRebalance", "Assigning", "PreparingRebalance", "Stable"];

pub(super) async fn run(args: &ConsumerGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let types = types(args.group_type.as_deref().unwrap_or_default())?;
    let states = states(args.state.as_deref().unwrap_or_default(), &STATES)?;
    let mut groups = TOOL.list_of_types(&types, &states, admin).await?;
    match out.style() {
        Style::Kafka => {
            java::in_hash_map_order(&mut groups, |group| &group.group_id);
            for line in lines(&groups, args.group_type.is_some(), args.state.is_some()) {
                out.line(line)?;
            }
        }
        Style::Table => {
            let row = |group: &GroupListing| {
                vec![group.group_id.clone(), shown_type(group), group.state.clone(), group.coordinator.to_string()]
            };
            if groups.is_empty() {
                out.note("no such groups")?;
            }
            out.table(&["Group", "Type", "State", "Coordinator"], groups.iter().map(row).collect())?;
        }
        Style::Json => {
            let object = |group: &GroupListing| {
                json!({
                    "group": group.group_id,
                    "type": group.group_type.to_lowercase(),
                    "state": group.state,
                    "coordinator": group.coordinator.get(),
                })
            };
            let groups: Vec<_> = groups.iter().map(object).collect();
            out.json(&json!({"version": 1, "groups": groups}))?;
        }
    }
    Ok(Exit::Success)
}

fn shown_type(group: &GroupListing) -> String {
    GroupType::parse(&group.group_type).map_or("Unknown", GroupType::name).to_owned()
}

fn lines(groups: &[GroupListing], with_type: bool, with_state: bool) -> Vec<String> {
    if !with_type && !with_state {
        return groups.iter().map(|group| group.group_id.clone()).collect();
    }
    let longest = groups.iter().map(|group| group.group_id.encode_utf16().count()).fold(15, usize::max);
    let mut columns = vec![Column::Fixed(longest + 10)];
    let mut header = vec!["GROUP"];
    for (title, _) in [("TYPE", with_type), ("STATE", with_state)].into_iter().filter(|(_, with)| *with) {
        columns.push(Column::Fixed(20));
        header.push(title);
    }
    let row = |group: &GroupListing| {
        let state = if group.state.is_empty() { "Unknown".to_owned() } else { group.state.clone() };
        let mut row = vec![group.group_id.clone()];
        row.extend(with_type.then(|| shown_type(group)));
        row.extend(with_state.then_some(state));
        row
    };
    in_columns(&columns, &with_header(&header, groups.iter().map(row)))
}

fn types(text: &str) -> anyhow::Result<Vec<String>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let group_type = |word: &str| {
        let group_type = GroupType::parse(word.trim());
        group_type.filter(|t| matches!(t, GroupType::Classic | GroupType::Consumer)).map(|t| t.name().to_owned())
    };
    text.split(',')
        .map(group_type)
        .collect::<Option<Vec<String>>>()
        .ok_or_else(|| UsageError::because(format!("Invalid types list '{text}'. Valid types are: Consumer, Classic")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    #[test]
    fn lists_of_states_and_types() {
        assert_eq!(states("stable, EMPTY", &STATES).unwrap(), ["Stable", "Empty"]);
        assert_eq!(states("", &STATES).unwrap(), [""; 0]);
        assert_eq!(
            states("wrong", &STATES).unwrap_err().to_string(),
            "Invalid state list 'wrong'. Valid states are: Reconciling, Empty, Dead, CompletingRebalance, Assigning, \
             PreparingRebalance, Stable"
        );
        assert_eq!(types("classic,Consumer").unwrap(), ["Classic", "Consumer"]);
        let error = types("share").unwrap_err().to_string();
        assert_eq!(error, "Invalid types list 'share'. Valid types are: Consumer, Classic");
    }

    #[test]
    fn columns() {
        let group = GroupListing {
            group_id: "g".to_owned(),
            protocol_type: String::new(),
            state: "Empty".to_owned(),
            group_type: "classic".to_owned(),
            coordinator: NodeId(1),
        };
        let both = lines(std::slice::from_ref(&group), true, true);
        assert_eq!(both[1], format!("{:25} {:20} {:20}", "g", "Classic", "Empty"));
        assert_eq!(lines(&[group], false, false), ["g"]);
    }
}
