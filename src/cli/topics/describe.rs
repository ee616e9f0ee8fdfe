//! `topics --describe`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Topics;
use super::partition_lines::{DescribedTopic, Filters};
use crate::cli::support::{JavaError, Output, Style, java};
use crate::client::Admin;
use crate::client::admin::{ConfigResource, Reassignment, TopicDescription};
use crate::types::NodeId;

pub(super) async fn run(args: &Topics, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let mut topics = describe(args, admin).await?;
    if out.style() == Style::Kafka {
        // No order that anybody would choose, but always the same one: scripts may compare outputs.
        java::in_sized_hash_map_order(&mut topics, |topic| &topic.description.name);
    }
    let filters = Filters {
        under_replicated: args.under_replicated_partitions,
        unavailable: args.unavailable_partitions,
        under_min_isr: args.under_min_isr_partitions,
        at_min_isr: args.at_min_isr_partitions,
    };
    // Metadata names the brokers that are alive.
    let live: BTreeSet<NodeId> = admin.cluster().metadata().nodes.keys().copied().collect();
    if args.topics_with_overrides {
        topics.retain(|topic| !topic.overrides().is_empty());
    }
    match out.style() {
        Style::Kafka => {
            for topic in &topics {
                if !filters.any() {
                    out.line(topic.topic_line())?;
                }
                if !args.topics_with_overrides {
                    for partition in topic.partitions(filters, &live) {
                        out.line(topic.partition_line(partition))?;
                    }
                }
            }
        }
        Style::Table => print_tables(args, &topics, filters, &live, out)?,
        Style::Json => {
            let shown: Vec<_> = topics
                .iter()
                .filter(|topic| !filters.any() || topic.partitions(filters, &live).next().is_some())
                .map(|topic| topic.json(topic.partitions(filters, &live)))
                .collect();
            out.json(&json!({ "version": 1, "topics": shown }))?;
        }
    }
    Ok(())
}

fn print_tables(
    args: &Topics,
    topics: &[DescribedTopic],
    filters: Filters,
    live: &BTreeSet<NodeId>,
    out: &mut Output,
) -> anyhow::Result<()> {
    let mut shown = 0;
    for topic in topics {
        let rows: Vec<_> = topic.partitions(filters, live).map(|partition| topic.partition_row(partition)).collect();
        if filters.any() && rows.is_empty() {
            continue;
        }
        if shown > 0 {
            out.line("")?;
        }
        shown += 1;
        let description = &topic.description;
        let name = out.bold(&description.name);
        let (partitions, replicas) = (description.partitions.len(), topic.replication_factor());
        out.line(format_args!("{name}  partitions {partitions}, replicas {replicas}, id {}", description.id))?;
        for (key, value) in topic.overrides() {
            out.line(format_args!("  {key}={value}"))?;
        }
        if !args.topics_with_overrides {
            out.table(&["Partition", "Leader", "Replicas", "In sync"], rows)?;
        }
    }
    if shown == 0 {
        out.note(if filters.any() { "no such partitions" } else { "no topics" })?;
    }
    Ok(())
}

async fn describe(args: &Topics, admin: &Admin) -> anyhow::Result<Vec<DescribedTopic>> {
    let descriptions = match args.wanted_id()? {
        Some(id) => {
            let unknown = format!("TopicId '{id}' does not exist as expected");
            let topics = super::list::find(&Topics { topic: None, ..args.clone() }, admin).await?;
            if !topics.iter().any(|topic| topic.id == id) {
                return if args.if_exists { Ok(Vec::new()) } else { Err(JavaError::illegal_argument(unknown).into()) };
            }
            let call = |error| JavaError::call("describeTopicsWithIds", &error);
            collect(admin.describe_topics_by_id(&[id]).await.map_err(call)?)?
        }
        None => {
            let topics = super::list::find(args, admin).await?;
            if let Some(topic) = args.topic.as_deref().filter(|_| topics.is_empty() && !args.if_exists) {
                return Err(super::list::missing(topic, admin).into());
            }
            if topics.is_empty() {
                return Ok(Vec::new());
            }
            let names: Vec<_> = topics.into_iter().map(|topic| topic.name).collect();
            let page = args.partition_size_limit_per_response;
            let call = |error| JavaError::call("describeTopicPartitions", &error);
            collect(admin.describe_topics(&names, page).await.map_err(call)?)?
        }
    };
    let resources: Vec<_> = descriptions.iter().map(|topic| ConfigResource::topic(&topic.name)).collect();
    let call = |error| JavaError::call("describeConfigs", &error);
    let configs = admin.describe_configs(&resources, None, false).await.map_err(call)?;
    let mut moving = reassignments(admin).await;
    let mut described = Vec::with_capacity(descriptions.len());
    for (description, (_, configs)) in descriptions.into_iter().zip(configs) {
        let configs = configs.map_err(|error| JavaError::api(&error))?;
        let reassignments = moving.remove(&description.name).unwrap_or_default();
        described.push(DescribedTopic { description, configs, reassignments });
    }
    Ok(described)
}

/// Moves under way, by topic and partition. Without the right or the API to ask, Kafka's tool shows none.
async fn reassignments(admin: &Admin) -> BTreeMap<String, Vec<(i32, Reassignment)>> {
    let mut found: BTreeMap<String, Vec<(i32, Reassignment)>> = BTreeMap::new();
    for (partition, moving) in admin.list_reassignments(None).await.unwrap_or_default() {
        found.entry(partition.topic).or_default().push((partition.partition.get(), moving));
    }
    found
}

fn collect<K>(
    results: Vec<(K, Result<TopicDescription, crate::client::ApiError>)>,
) -> anyhow::Result<Vec<TopicDescription>> {
    let mut topics = Vec::with_capacity(results.len());
    for (_, result) in results {
        topics.push(result.map_err(|error| JavaError::api(&error))?);
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}
