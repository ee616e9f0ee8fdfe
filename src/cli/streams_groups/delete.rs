//! `streams-groups --delete` and `--delete-offsets`.

use std::collections::BTreeMap;

use super::describe::{committed, describe, input_topics};
use super::{StreamsGroups, TOOL};
use crate::cli::support::groups::{Deletion, deletion_question, unexpected};
use crate::cli::support::is_internal_topic;
use crate::cli::support::{Exit, JavaError, OffsetDeletion, Output, Style, confirm_unless};
use crate::client::Admin;
use crate::client::admin::TopicName;
use crate::types::TopicPartition;

pub(super) async fn run(args: &StreamsGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let groups = args.groups(admin).await?;
    let listed = TOOL.all(admin).await?;
    let mut deletion = Deletion::new(TOOL, false);
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut deletable = Vec::new();
    for group in groups {
        let state = listed.iter().find(|listed| listed.group_id == group).map(|listed| listed.state.as_str());
        let refusal = match state {
            None => {
                let near = TOOL.near(&group, admin).await;
                let message = format!("Group '{group}' does not exist or is not a streams group.");
                Some(JavaError::illegal_argument(message).with_hint(near))
            }
            Some(state) => TOOL.refuses_to_delete(&group, state),
        };
        match refusal {
            Some(error) => deletion.add(group, Err(error)),
            None => {
                if args.delete_all_internal_topics {
                    // Known only as long as the group is there.
                    topics.insert(group.clone(), internal_topics(&group, admin, out).await?);
                }
                deletable.push(group);
            }
        }
    }
    let mut question = deletion_question(&deletable);
    let all: Vec<&str> = topics.values().flatten().map(String::as_str).collect();
    if !all.is_empty() {
        question = format!("{} And the internal topics {}?", question.replace('?', "."), all.join(", "));
    }
    confirm_unless(args.yes || deletable.is_empty(), &question, out)?;
    deletion.carry_out(deletable, admin).await;
    // Topics of a group that is still there stay.
    topics.retain(|group, topics| deletion.deleted().contains(group) && !topics.is_empty());
    let exit = deletion.print(out)?;
    if topics.is_empty() {
        return Ok(exit);
    }
    let mut failed = Vec::new();
    for (group, topics) in &topics {
        let failures = delete_topics(topics, admin).await?;
        failed.extend(failures.into_iter().map(|(topic, error)| (group.clone(), topic, error)));
    }
    tell_topics(&topics, &failed, out)?;
    Ok(if failed.is_empty() || out.style() == Style::Kafka { exit } else { Exit::Failure })
}

fn tell_topics(
    topics: &BTreeMap<String, Vec<String>>,
    failed: &[(String, String, JavaError)],
    out: &mut Output,
) -> anyhow::Result<()> {
    if out.style() == Style::Json {
        for (_, topic, error) in failed {
            out.error(&format!("the internal topic {topic} was not deleted: {}", error.plain()))?;
        }
        return Ok(());
    }
    if failed.is_empty() {
        let groups: Vec<_> = topics.keys().map(|group| format!("'{group}'")).collect();
        out.line(format_args!(
            "Deletion of associated internal topics of the streams groups ({}) was successful.",
            groups.join(", ")
        ))?;
        return Ok(());
    }
    for (_, topic, _) in failed {
        out.line(format_args!("Failed to delete internal topic: {topic}"))?;
    }
    out.line("Deletion of some associated internal topics failed:")?;
    for (group, _, error) in failed {
        let error = error.to_java();
        out.line(format_args!(
            "* Internal topics of the streams group '{group}' could not be deleted due to: {error}"
        ))?;
    }
    Ok(())
}

/// The topics that the group has made for itself.
pub(super) async fn internal_topics(group: &str, admin: &Admin, out: &mut Output) -> anyhow::Result<Vec<String>> {
    let description = describe(group, admin).await.map_err(unexpected)?;
    let inputs = input_topics(&description);
    let parts = description.subtopologies.iter();
    let own = parts.flat_map(|part| part.repartition_source_topics.iter().chain(&part.changelog_topics));
    let (internal, others): (Vec<String>, Vec<String>) = own
        .filter(|topic| !inputs.contains(topic.as_str()))
        .cloned()
        .partition(|topic| is_internal_topic(topic, group));
    for topic in others {
        let text = format!(
            "The internal topic '{topic}' is not inferred as internal and thus will not be deleted with the group \
             '{group}'."
        );
        if out.style() == Style::Kafka {
            out.line(format_args!("\nError: {text}"))?;
        } else {
            out.note(text)?;
        }
    }
    Ok(internal)
}

/// Deletes topics; gives those that could not be.
pub(super) async fn delete_topics(topics: &[String], admin: &Admin) -> Result<Vec<(String, JavaError)>, JavaError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<_> = topics.iter().cloned().map(TopicName::Name).collect();
    let results = admin.delete_topics(&names).await.map_err(|error| JavaError::call("deleteTopics", &error))?;
    let failed = topics.iter().zip(results);
    Ok(failed.filter_map(|(topic, (_, result))| Some((topic.clone(), JavaError::api(&result.err()?)))).collect())
}

pub(super) async fn offsets(args: &StreamsGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let group = args.group.first().map(String::as_str).unwrap_or_default();
    let mut deletion = OffsetDeletion::new(group, false);
    let partitions: Vec<TopicPartition> = if args.all_input_topics {
        let description = describe(group, admin).await.map_err(unexpected)?;
        committed(group, &input_topics(&description), admin).await?.into_keys().collect()
    } else {
        deletion.partitions_of(&args.input_topic, admin).await?
    };
    deletion.carry_out(partitions, args.yes, admin, out).await?;
    deletion.print(out)
}
