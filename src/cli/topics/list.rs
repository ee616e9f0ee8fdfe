//! `topics --list`.

use serde_json::json;

use super::Topics;
use crate::cli::support::{JavaError, Output, Style, TopicFilter, did_you_mean, pick};
use crate::client::{Admin, TopicMetadata};

pub(super) async fn run(args: &Topics, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let topics = find(args, admin).await?;
    match out.style() {
        Style::Kafka => {
            // Kafka's tool joins the names and ends the line, so no topics are an empty line.
            let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
            out.line(names.join("\n"))?;
        }
        Style::Table => {
            if topics.is_empty() {
                out.note("no topics")?;
            }
            let row = |topic: &TopicMetadata| {
                vec![topic.name.clone(), topic.partitions.len().to_string(), replication_factor(topic).to_string()]
            };
            out.table(&["Topic", "Partitions", "Replicas"], topics.iter().map(row).collect())?;
        }
        Style::Json => {
            let object = |topic: &TopicMetadata| {
                json!({
                    "name": topic.name,
                    "id": topic.id.to_string(),
                    "internal": topic.is_internal,
                    "partitions": topic.partitions.len(),
                    "replicationFactor": replication_factor(topic),
                })
            };
            let topics: Vec<_> = topics.iter().map(object).collect();
            out.json(&json!({ "version": 1, "topics": topics }))?;
        }
    }
    Ok(())
}

fn replication_factor(topic: &TopicMetadata) -> usize {
    topic.partitions.first().map_or(0, |partition| partition.replicas.len())
}

/// The topics that `--topic` and `--exclude-internal` mean, sorted by name.
pub(super) async fn find(args: &Topics, admin: &Admin) -> anyhow::Result<Vec<TopicMetadata>> {
    // Before the call: a pattern that is none needs no broker.
    let filter = args.topic.as_deref().map(TopicFilter::new).transpose()?;
    let mut topics = admin.list_topics().await.map_err(|error| JavaError::call("listTopics", &error))?;
    topics.retain(|topic| {
        filter.as_ref().is_none_or(|filter| filter.matches(&topic.name))
            && !(args.exclude_internal && topic.is_internal)
    });
    Ok(topics)
}

/// The names of the topics to change: those that `--topic` means, else one that is picked.
pub(super) async fn find_or_pick(args: &Topics, admin: &Admin, out: &mut Output) -> anyhow::Result<Vec<String>> {
    let filter = args.topic.as_deref().map(TopicFilter::new).transpose()?;
    let topics = admin.list_topics().await.map_err(|error| JavaError::call("listTopics", &error))?;
    let Some(filter) = filter else {
        // Who means one of Kafka's own topics can name it.
        let names: Vec<_> = topics.into_iter().filter(|topic| !topic.is_internal).map(|topic| topic.name).collect();
        if names.is_empty() {
            return Err(JavaError::illegal_argument("there are no topics").into());
        }
        return Ok(vec![pick("Topic", names, out)?]);
    };
    let names = topics.into_iter().map(|topic| topic.name).collect();
    let (meant, spared) = filter.exact_or_matching(names);
    if !spared.is_empty() {
        let spared = spared.join(", ");
        out.note(format_args!("only the topic of exactly this name is meant; as a pattern it also matches {spared}"))?;
    }
    if meant.is_empty() && !args.if_exists {
        return Err(missing(args.topic.as_deref().unwrap_or_default(), admin).into());
    }
    Ok(meant)
}

/// Nothing matched what had to match.
pub(super) fn missing(topic: &str, admin: &Admin) -> JavaError {
    let metadata = admin.cluster().metadata();
    let near = did_you_mean(topic, metadata.topics.keys().map(String::as_str));
    JavaError::illegal_argument(format!("Topic '{topic}' does not exist as expected")).with_hint(near)
}
