//! `topics --create`.

use serde_json::{Value, json};

use super::Topics;
use crate::cli::support::{JavaError, Output, Style, did_you_mean, print_plan};
use crate::client::Admin;
use crate::client::admin::{CreatedTopic, NewTopic, NewTopicLayout};
use crate::config::{Scope, table};
use crate::protocol::ErrorCode;
use crate::types::NodeId;

pub(super) async fn run(args: &Topics, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let name = args.topic.clone().unwrap_or_default();
    let topic = NewTopic { name: name.clone(), configs: configs(&args.config)?, layout: layout(args)? };
    if name.contains(['.', '_']) && out.style() == Style::Kafka {
        out.line(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
             collide. To avoid issues it is best to use either, but not both.",
        )?;
    }
    check_counts(&topic.layout, args.replication_factor)?;
    if name.is_empty() {
        let class = "org.apache.kafka.common.errors.InvalidTopicException";
        return Err(JavaError::new(class, "The given topic name '' cannot be represented in a request.").into());
    }
    let results =
        admin.create_topics(&[topic], args.dry_run).await.map_err(|error| JavaError::call("createTopics", &error))?;
    let mut steps = Vec::new();
    for (_, result) in results {
        match result {
            Ok(created) => steps.push(step(&name, &created)),
            Err(error) if error.code == ErrorCode::TopicAlreadyExists && args.if_not_exists => {
                if args.dry_run {
                    return Ok(print_plan(&[], out)?);
                }
                if out.style() == Style::Json {
                    out.json(&json!({ "version": 1, "created": [] }))?;
                }
                return Ok(());
            }
            Err(error) => return Err(JavaError::api(&error).into()),
        }
    }
    if args.dry_run {
        return Ok(print_plan(&steps, out)?);
    }
    match out.style() {
        Style::Json => out.json(&json!({ "version": 1, "created": [name] }))?,
        _ => out.line(format_args!("Created topic {name}."))?,
    }
    Ok(())
}

/// What a broker that was only asked would create.
fn step(name: &str, created: &CreatedTopic) -> (String, Value) {
    let CreatedTopic { partitions, replication_factor, .. } = created;
    let text = format!("create {name}: partitions {partitions}, replication factor {replication_factor}");
    (text, json!({ "create": name, "partitions": partitions, "replicationFactor": replication_factor }))
}

fn layout(args: &Topics) -> anyhow::Result<NewTopicLayout> {
    Ok(match &args.replica_assignment {
        Some(text) if !text.is_empty() => NewTopicLayout::Replicas(replica_assignment(text)?),
        _ => NewTopicLayout::Counts {
            partitions: args.partitions,
            replication_factor: args.replication_factor.and_then(|factor| i16::try_from(factor).ok()),
        },
    })
}

fn check_counts(layout: &NewTopicLayout, replication_factor: Option<i32>) -> anyhow::Result<()> {
    let NewTopicLayout::Counts { partitions, .. } = layout else { return Ok(()) };
    if replication_factor.is_some_and(|factor| !(1..=i32::from(i16::MAX)).contains(&factor)) {
        let message = format!("The replication factor must be between 1 and {} inclusive", i16::MAX);
        return Err(JavaError::illegal_argument(message).into());
    }
    if partitions.is_some_and(|count| count < 1) {
        return Err(JavaError::illegal_argument("The partitions must be greater than 0").into());
    }
    Ok(())
}

/// The settings of `--config`, checked before the broker sees them, as Kafka's tool does.
fn configs(pairs: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let mut configs: Vec<(String, String)> = Vec::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(JavaError::illegal_argument(
                "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".",
            )
            .into());
        };
        let (key, value) = (key.trim(), value.trim());
        let Some(def) = table(Scope::Topic).get(key) else {
            let class = "org.apache.kafka.common.errors.InvalidConfigurationException";
            let near = did_you_mean(key, table(Scope::Topic).iter().map(|def| def.name));
            return Err(JavaError::new(class, format!("Unknown topic config name: {key}")).with_hint(near).into());
        };
        def.parse(value).map_err(|error| JavaError::config(&error))?;
        configs.retain(|(known, _)| known != key);
        configs.push((key.to_owned(), value.to_owned()));
    }
    Ok(configs)
}

/// Reads `1:2,2:3`: the brokers of partition 0, of partition 1, ...
pub(super) fn replica_assignment(text: &str) -> anyhow::Result<Vec<Vec<NodeId>>> {
    let mut partitions: Vec<Vec<NodeId>> = Vec::new();
    // Java's split forgets what is empty at the end.
    for (index, list) in text.trim_end_matches(',').split(',').enumerate() {
        let mut replicas = Vec::new();
        for id in list.trim().trim_end_matches(':').split(':') {
            let id = id.trim().parse().map_err(|_| {
                JavaError::new("java.lang.NumberFormatException", format!("For input string: \"{}\"", id.trim()))
            })?;
            replicas.push(NodeId(id));
        }
        let mut sorted = replicas.clone();
        sorted.sort_unstable();
        let duplicates: Vec<_> = sorted.windows(2).filter(|pair| pair.first() == pair.last()).collect();
        if let Some(id) = duplicates.first().and_then(|pair| pair.first()) {
            let class = "org.apache.kafka.tools.AdminCommandFailedException";
            let message = format!("Partition replica lists may not contain duplicate entries: {id}");
            return Err(JavaError::new(class, message).into());
        }
        if partitions.first().is_some_and(|first| first.len() != replicas.len()) {
            let shown: Vec<_> = replicas.iter().map(ToString::to_string).collect();
            let class = "org.apache.kafka.tools.AdminOperationException";
            let message = format!("Partition {index} has different replication factor: [{}]", shown.join(", "));
            return Err(JavaError::new(class, message).into());
        }
        partitions.push(replicas);
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments() {
        let read = |text: &str| replica_assignment(text).map_err(|e| e.to_string());
        assert_eq!(read("1,1").unwrap(), [[NodeId(1)], [NodeId(1)]]);
        assert_eq!(read("1:2, 2:3").unwrap(), [[NodeId(1), NodeId(2)], [NodeId(2), NodeId(3)]]);
        assert_eq!(read("1:1").unwrap_err(), "Partition replica lists may not contain duplicate entries: 1");
        assert_eq!(read("1,1:2").unwrap_err(), "Partition 1 has different replication factor: [1, 2]");
        assert_eq!(read("x").unwrap_err(), "For input string: \"x\"");
        assert_eq!(read("1:2:,2:1,").unwrap(), [[NodeId(1), NodeId(2)], [NodeId(2), NodeId(1)]]);
        assert_eq!(read("1,,1").unwrap_err(), "For input string: \"\"");
    }

    #[test]
    fn settings_are_checked_first() {
        let check = |pairs: &[&str]| {
            configs(&pairs.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).map_err(|e| e.to_string())
        };
        assert_eq!(
            check(&["retention.ms=1", "retention.ms = 2"]).unwrap(),
            [("retention.ms".to_owned(), "2".to_owned())]
        );
        assert!(check(&["retention.ms"]).unwrap_err().starts_with("requirement failed: Invalid topic config:"));
        assert_eq!(check(&["nonsense=1"]).unwrap_err(), "Unknown topic config name: nonsense");
        assert_eq!(
            check(&["retention.ms=abc"]).unwrap_err(),
            "Invalid value abc for configuration retention.ms: Not a number of type LONG"
        );
        assert_eq!(
            check(&["min.insync.replicas=0"]).unwrap_err(),
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"
        );
    }

    #[test]
    fn counts_are_checked_first() {
        let counts = |partitions, factor: Option<i32>| {
            let replication_factor = factor.and_then(|f| i16::try_from(f).ok());
            check_counts(&NewTopicLayout::Counts { partitions, replication_factor }, factor).map_err(|e| e.to_string())
        };
        assert_eq!(counts(Some(1), Some(1)), Ok(()));
        for factor in [0, 40_000] {
            let message = "The replication factor must be between 1 and 32767 inclusive";
            assert_eq!(counts(None, Some(factor)).unwrap_err(), message);
        }
        assert_eq!(counts(Some(0), None).unwrap_err(), "The partitions must be greater than 0");
    }
}
