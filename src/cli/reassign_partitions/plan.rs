//! The JSON files of `reassign-partitions`: which topics to move, and where partitions are to be.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::support::{JavaError, java_json};
use crate::protocol::ErrorCode;
use crate::types::{NodeId, TopicPartition};

/// What stands for a directory where it does not matter which.
const ANY: &str = "any";

pub(super) const FAILED: &str = "org.apache.kafka.tools.AdminCommandFailedException";
pub(super) const OPERATION: &str = "org.apache.kafka.tools.AdminOperationException";

/// A replica: of a partition, on a broker.
pub(super) type Replica = (TopicPartition, NodeId);

/// A replica in the order of Kafka's tool: by broker, then by partition.
pub(super) fn by_broker(replica: &Replica) -> (NodeId, TopicPartition) {
    (replica.1, replica.0.clone())
}

/// `topic-partition-broker`
pub(super) fn replica_text((partition, broker): &Replica) -> String {
    format!("{partition}-{broker}")
}

/// Where partitions are to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of the file.
    pub(super) partitions: Vec<(TopicPartition, Vec<NodeId>)>,
    /// Directories of replicas, where the file names one.
    pub(super) log_dirs: BTreeMap<Replica, String>,
}

impl Plan {
    /// Reads the text of `--reassignment-json-file`.
    pub(super) fn parse(text: &str, place: &str) -> Result<Self, JavaError> {
        let value = java_json::parse_plan_with_text(text, place)?;
        let root = java_json::object(&value)?;
        check_version(root)?;
        let mut plan = Self::default();
        let Some(partitions) = root.get("partitions") else { return Ok(plan) };
        for element in java_json::array(partitions)? {
            let element = java_json::object(element)?;
            let topic = java_json::string(java_json::field(element, "topic")?)?;
            let partition = TopicPartition::new(topic, java_json::integer(java_json::field(element, "partition")?)?);
            let mut replicas = Vec::new();
            for id in java_json::list(java_json::field(element, "replicas")?)? {
                replicas.push(NodeId(java_json::integer(id)?));
            }
            let mut dirs = Vec::new();
            match element.get("log_dirs") {
                None => dirs.resize(replicas.len(), ANY),
                Some(listed) => {
                    for dir in java_json::list(listed)? {
                        dirs.push(java_json::string(dir)?);
                    }
                }
            }
            if dirs.len() != replicas.len() {
                return Err(JavaError::new(
                    FAILED,
                    format!(
                        "Size of replicas list [{}] is different from size of log dirs list [{}] for partition {partition}",
                        ids(&replicas, ", "),
                        dirs.join(", ")
                    ),
                ));
            }
            for (replica, dir) in replicas.iter().zip(dirs).filter(|(_, dir)| *dir != ANY) {
                plan.log_dirs.insert((partition.clone(), *replica), dir.to_owned());
            }
            plan.partitions.push((partition, replicas));
        }
        Ok(plan)
    }

    /// Whether it can be carried out as far as it can be told from the file.
    pub(super) fn check(&self) -> Result<(), JavaError> {
        let refused = |message: String| Err(JavaError::new(FAILED, message));
        if self.partitions.is_empty() {
            return refused("Partition reassignment list cannot be empty".to_owned());
        }
        if self.partitions.iter().any(|(_, replicas)| replicas.is_empty()) {
            return refused("Partition replica list cannot be empty".to_owned());
        }
        let repeated = duplicates(self.partitions.iter().map(|(partition, _)| partition));
        if !repeated.is_empty() {
            let shown: Vec<_> = repeated.iter().map(ToString::to_string).collect();
            return refused(format!("Partition reassignment contains duplicate topic partitions: {}", shown.join(",")));
        }
        let twice: Vec<String> = self
            .partitions
            .iter()
            .filter_map(|(partition, replicas)| {
                let repeated: Vec<NodeId> = duplicates(replicas.iter()).into_iter().copied().collect();
                (!repeated.is_empty())
                    .then(|| format!("{partition} contains multiple entries for {}", ids(&repeated, ",")))
            })
            .collect();
        if !twice.is_empty() {
            return refused(format!("Partition replica lists may not contain duplicate entries: {}", twice.join(". ")));
        }
        Ok(())
    }

    /// Refuses partitions that no topic can have.
    pub(super) fn check_partitions(&self) -> Result<(), JavaError> {
        match self.partitions.iter().find(|(partition, _)| partition.partition.get() < 0) {
            None => Ok(()),
            Some((TopicPartition { partition, .. }, _)) => {
                let message = format!("The given partition index {partition} is not valid.");
                let refused = JavaError::code(ErrorCode::InvalidTopicException, message);
                Err(refused.wrapped_in("java.util.concurrent.ExecutionException"))
            }
        }
    }

    /// The partitions, sorted.
    pub(super) fn sorted_partitions(&self) -> Vec<TopicPartition> {
        let mut partitions: Vec<_> = self.partitions.iter().map(|(partition, _)| partition.clone()).collect();
        partitions.sort();
        partitions.dedup();
        partitions
    }

    /// The topics, each once.
    pub(super) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<_> = self.partitions.iter().map(|(partition, _)| partition.topic.clone()).collect();
        topics.sort();
        topics.dedup();
        topics
    }
}

fn check_version(root: &serde_json::Map<String, Value>) -> Result<(), JavaError> {
    let version = root.get("version").map(java_json::integer).transpose()?.unwrap_or(1);
    if version == 1 {
        return Ok(());
    }
    Err(JavaError::new(OPERATION, format!("Not supported version field value {version}")))
}

/// The topics of `--topics-to-move-json-file`.
pub(super) fn topics_to_move(text: &str, place: &str) -> Result<Vec<String>, JavaError> {
    let value = java_json::parse_plan_with_text(text, place)?;
    let root = java_json::object(&value)?;
    check_version(root)?;
    let mut topics = Vec::new();
    if let Some(listed) = root.get("topics") {
        for element in java_json::array(listed)? {
            topics.push(java_json::string(java_json::field(java_json::object(element)?, "topic")?)?.to_owned());
        }
    }
    Ok(topics)
}

/// The brokers of `--broker-list`.
pub(super) fn broker_list(text: &str) -> Result<Vec<NodeId>, JavaError> {
    let mut brokers = Vec::new();
    // Java's split forgets what is empty at the end.
    for id in text.trim_end_matches(',').split(',') {
        let id = id.parse().map_err(|_| {
            JavaError::new("java.lang.NumberFormatException", format!("For input string: \"{id}\""))
                .with_plain(format!("--broker-list takes the ids of brokers, as 1,2,3, and `{id}` is none"))
        })?;
        brokers.push(NodeId(id));
    }
    Ok(brokers)
}

/// What is there more than once, each once, in order.
pub(super) fn duplicates<'a, T: Ord>(items: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let mut counts: BTreeMap<&T, u32> = BTreeMap::new();
    let mut repeated = Vec::new();
    for item in items {
        let count = counts.entry(item).or_default();
        *count = count.saturating_add(1);
        if *count == 2 {
            repeated.push(item);
        }
    }
    repeated
}

/// `1,2,3`
pub(super) fn ids(nodes: &[NodeId], separator: &str) -> String {
    let ids: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    ids.join(separator)
}

/// An assignment in the layout of the files.
pub(super) fn assignment_json(
    partitions: &BTreeMap<TopicPartition, Vec<NodeId>>,
    log_dirs: &BTreeMap<Replica, String>,
) -> Value {
    let entry = |(partition, replicas): (&TopicPartition, &Vec<NodeId>)| {
        let dir = |id: &NodeId| log_dirs.get(&(partition.clone(), *id)).map_or(ANY, String::as_str);
        json!({
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "replicas": replicas.iter().map(|id| id.get()).collect::<Vec<_>>(),
            "log_dirs": replicas.iter().map(dir).collect::<Vec<_>>(),
        })
    };
    json!({ "version": 1, "partitions": partitions.iter().map(entry).collect::<Vec<_>>() })
}

/// The same as text, with the fields in the order of Kafka's tool.
pub(super) fn assignment_text(
    partitions: &BTreeMap<TopicPartition, Vec<NodeId>>,
    log_dirs: &BTreeMap<Replica, String>,
) -> String {
    let entry = |(partition, replicas): (&TopicPartition, &Vec<NodeId>)| {
        let dir = |id: &NodeId| Value::from(log_dirs.get(&(partition.clone(), *id)).map_or(ANY, String::as_str));
        let dirs: Vec<_> = replicas.iter().map(|id| dir(id).to_string()).collect();
        format!(
            "{{\"topic\":{},\"partition\":{},\"replicas\":[{}],\"log_dirs\":[{}]}}",
            Value::from(partition.topic.as_str()),
            partition.partition,
            ids(replicas, ","),
            dirs.join(",")
        )
    };
    let entries: Vec<_> = partitions.iter().map(entry).collect();
    format!("{{\"version\":1,\"partitions\":[{}]}}", entries.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Plan, String> {
        let plan = Plan::parse(text, "f").map_err(|error| error.to_string())?;
        plan.check().map_err(|error| error.to_string())?;
        Ok(plan)
    }

    #[test]
    fn plans_say_where_partitions_are_to_be() {
        let plan = parse(
            r#"{"version":1,"partitions":[{"topic":"r","partition":1,"replicas":[2,1],"log_dirs":["any","/d"]},
                {"topic":"r","partition":0,"replicas":[1]}]}"#,
        )
        .unwrap();
        assert_eq!(plan.partitions.len(), 2);
        assert_eq!(plan.partitions[0], (TopicPartition::new("r", 1), vec![NodeId(2), NodeId(1)]));
        assert_eq!(plan.log_dirs, [((TopicPartition::new("r", 1), NodeId(1)), "/d".to_owned())].into());
        assert_eq!(plan.topics(), ["r"]);
    }

    #[test]
    fn what_is_wrong_is_told_in_kafkas_words() {
        let one = |replicas: &str| {
            format!(r#"{{"version":1,"partitions":[{{"topic":"r1","partition":0,"replicas":{replicas}}}]}}"#)
        };
        for (text, message) in [
            (r#"{"version":1,"partitions":[]}"#.to_owned(), "Partition reassignment list cannot be empty"),
            (one("[]"), "Partition replica list cannot be empty"),
            (
                one("[1,1]"),
                "Partition replica lists may not contain duplicate entries: r1-0 contains multiple entries for 1",
            ),
            (
                one(r#"[1,2],"log_dirs":["any"]"#),
                "Size of replicas list [1, 2] is different from size of log dirs list [any] for partition r1-0",
            ),
            (r#"{"version":2}"#.to_owned(), "Not supported version field value 2"),
            ("x".to_owned(), "The input string is not a valid JSON"),
            (
                r#"{"partitions":[{"topic":"r1","partition":0,"replicas":[1]},{"topic":"r1","partition":0,"replicas":[1]}]}"#
                    .to_owned(),
                "Partition reassignment contains duplicate topic partitions: r1-0",
            ),
            (one("\"x\""), "Expected `JSON array` value, received \"x\""),
        ] {
            assert_eq!(parse(&text).unwrap_err(), message, "{text}");
        }
        assert_eq!(broker_list("1,x").unwrap_err().to_string(), "For input string: \"x\"");
        assert_eq!(broker_list("1,2").unwrap(), [NodeId(1), NodeId(2)]);
    }

    #[test]
    fn assignments_are_written_as_kafkas_tool_writes_them() {
        let partitions = BTreeMap::from([
            (TopicPartition::new("r1", 0), vec![NodeId(1)]),
            (TopicPartition::new("r1", 1), vec![NodeId(2), NodeId(1)]),
        ]);
        let dirs = BTreeMap::from([((TopicPartition::new("r1", 0), NodeId(1)), "/data/kafka".to_owned())]);
        let text = assignment_text(&partitions, &dirs);
        assert_eq!(
            text,
            "{\"version\":1,\"partitions\":[{\"topic\":\"r1\",\"partition\":0,\"replicas\":[1],\"log_dirs\":[\"/data/kafka\"]},\
             {\"topic\":\"r1\",\"partition\":1,\"replicas\":[2,1],\"log_dirs\":[\"any\",\"any\"]}]}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), assignment_json(&partitions, &dirs));
    }
}
