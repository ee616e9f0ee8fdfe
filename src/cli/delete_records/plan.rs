//! What is to be deleted: a JSON file of partitions and offsets.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::cli::support::{JavaError, java, java_json};
use crate::types::{Offset, TopicPartition};

/// Stands for the end in a plan: all records that are there.
const TO_THE_END: i64 = -1;

/// For each partition the first offset that is to be left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// By topic and number. Kafka's tool has them in another order each time.
    pub(super) partitions: Vec<(TopicPartition, i64)>,
}

impl Plan {
    pub(super) fn read(file: &Path) -> Result<Self, JavaError> {
        Self::from_json(&java_json::read_plan(file)?).map_err(|error| java_json::at(&file.display().to_string(), error))
    }

    fn from_json(json: &Value) -> Result<Self, JavaError> {
        let plan = java_json::object(json)?;
        java_json::check_version(plan)?;
        let partitions = plan.get("partitions").ok_or_else(|| {
            JavaError::new("org.apache.kafka.tools.AdminOperationException", "Missing partitions field")
        })?;
        let mut offsets: BTreeMap<TopicPartition, Vec<i64>> = BTreeMap::new();
        for entry in java_json::array(partitions)? {
            let entry = java_json::object(entry)?;
            let topic = java_json::string(java_json::field(entry, "topic")?)?;
            let partition = java_json::integer(java_json::field(entry, "partition")?)?;
            let offset = java_json::long(java_json::field(entry, "offset")?)?;
            offsets.entry(TopicPartition::new(topic, partition)).or_default().push(offset);
        }
        let mut duplicates: Vec<_> = offsets.iter().filter(|(_, offsets)| offsets.len() > 1).collect();
        if !duplicates.is_empty() {
            java::in_partition_hash_map_order(&mut duplicates, |(partition, _)| partition);
            let names: Vec<_> = duplicates.iter().map(|(partition, _)| partition.to_string()).collect();
            return Err(JavaError::new(
                "org.apache.kafka.tools.AdminCommandFailedException",
                format!("Offset json file contains duplicate topic partitions: {}", names.join(",")),
            ));
        }
        let partitions = offsets
            .into_iter()
            .filter_map(|(partition, offsets)| Some((partition, offsets.into_iter().next()?)))
            .collect();
        Ok(Self { partitions })
    }

    /// As the client wants it. An offset below -1 is sent as it stands: the broker refuses it.
    pub(super) fn before(&self) -> Vec<(TopicPartition, Option<Offset>)> {
        let before = |offset| (offset != TO_THE_END).then_some(Offset(offset));
        self.partitions.iter().map(|(partition, offset)| (partition.clone(), before(*offset))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn partition(topic: &str, partition: i32, offset: i64) -> Value {
        json!({"topic": topic, "partition": partition, "offset": offset})
    }

    #[test]
    fn plans() {
        let plan = json!({"partitions": [partition("a", 0, 3), partition("b", 1, -1)]});
        let plan = Plan::from_json(&plan).unwrap();
        let expected = [(TopicPartition::new("a", 0), Some(Offset(3))), (TopicPartition::new("b", 1), None)];
        assert_eq!(plan.before().into_iter().collect::<BTreeMap<_, _>>(), expected.into());
        assert_eq!(Plan::from_json(&json!({"partitions": [], "version": 1})).unwrap().partitions, []);
    }

    #[test]
    fn the_culprit_is_named() {
        for (plan, message) in [
            (json!({"version": 1}), "Missing partitions field"),
            (json!({"version": 2}), "Not supported version field value 2"),
            (json!({"partitions": [{"topic": "a", "offset": 1}]}), "No such field exists: `partition`"),
            (json!({"partitions": [{"topic": "a", "partition": "0"}]}), "Expected `Integer` value, received \"0\""),
            (
                json!({"partitions": [partition("a", 0, 1), partition("a", 0, 2)]}),
                "Offset json file contains duplicate topic partitions: a-0",
            ),
            (json!([1]), "Expected JSON object, received [1]"),
        ] {
            assert_eq!(Plan::from_json(&plan).unwrap_err().message(), message);
        }
    }
}
