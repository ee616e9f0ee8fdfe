//! Topics that come, grow and go: what requests ask for, checked in Kafka's order, as records and answers.

use std::collections::{BTreeMap, BTreeSet};

use super::configs::error_of;
use super::error::ApiError;
use super::placement::Placement;
use super::runtime::Plan;
use crate::config::{InternalTopic, Layers, ServerConfig, Settings, describe_new_topic, new_topic_settings};
use crate::log::directory_name::CLUSTER_METADATA_TOPIC;
use crate::metadata::{ConfigResourceType, MetadataImage, MetadataRecord, TopicImage, topic_name};
use crate::protocol::ErrorCode;
use crate::protocol::messages::create_partitions_request::CreatePartitionsTopic;
use crate::protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use crate::protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use crate::protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use crate::protocol::messages::delete_topics_response::DeletableTopicResult;
use crate::protocol::messages::{
    ConfigRecord, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, RemoveTopicRecord, TopicRecord,
};
use crate::types::{NodeId, Uuid};

/// Most partitions that one request may make: what Kafka writes in one operation.
const MAX_PARTITIONS_PER_REQUEST: i64 = 10_000;
const TOO_MANY_PARTITIONS: &str = "Excessively large number of partitions per request.";

/// The topic of groups and their offsets.
const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";
/// The topic of transactions.
const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
const SHARE_GROUP_STATE_TOPIC: &str = "__share_group_state";

/// A topic that can be created.
struct NewTopic {
    id: Uuid,
    partitions: i32,
    replication_factor: i16,
    settings: Settings,
    records: Vec<MetadataRecord>,
}

/// What CreateTopics leads to.
pub(super) fn create_topics(
    image: &MetadataImage,
    config: &ServerConfig,
    layers: &Layers,
    request: &CreateTopicsRequest,
) -> Plan<CreateTopicsResponse> {
    let twice = names_given_twice(request.topics.iter().map(|topic| topic.name.as_str()));
    let wanted: i64 = request.topics.iter().map(|topic| partitions_of(topic, config)).sum();
    let mut placement = Placement::new(image);
    let (mut records, mut results, mut refused_names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for topic in &request.topics {
        let created = if wanted > MAX_PARTITIONS_PER_REQUEST {
            Err(ApiError::new(ErrorCode::PolicyViolation, TOO_MANY_PARTITIONS))
        } else if twice.contains(topic.name.as_str()) {
            if !refused_names.insert(topic.name.as_str()) {
                continue; // One answer for all of them.
            }
            Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
        } else {
            create_topic(image, config, layers, &mut placement, topic)
        };
        results.push(match created {
            Ok(created) => {
                if !request.validate_only {
                    records.extend(created.records);
                }
                CreatableTopicResult {
                    name: topic.name.clone(),
                    topic_id: created.id,
                    num_partitions: created.partitions,
                    replication_factor: created.replication_factor,
                    configs: Some(shown_configs(layers, &created.settings)),
                    error_message: None,
                    ..Default::default()
                }
            }
            Err(ApiError { code, message }) => CreatableTopicResult {
                name: topic.name.clone(),
                error_code: code.code(),
                error_message: message,
                ..Default::default()
            },
        });
    }
    Plan { records, response: CreateTopicsResponse { topics: results, ..Default::default() } }
}

fn partitions_of(topic: &CreatableTopic, config: &ServerConfig) -> i64 {
    match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => config.num_partitions.into(),
        (0, count) => count.max(0).into(),
        (count, _) => i64::try_from(count).unwrap_or(i64::MAX),
    }
}

fn create_topic(
    image: &MetadataImage,
    config: &ServerConfig,
    layers: &Layers,
    placement: &mut Placement,
    topic: &CreatableTopic,
) -> Result<NewTopic, ApiError> {
    let name = topic.name.as_str();
    if name == CLUSTER_METADATA_TOPIC {
        let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if image.topic(name).is_some() {
        return Err(ApiError::new(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidTopicException, message);
    topic_name::check(name).map_err(|error| invalid(error.to_string()))?;
    let mut others = image.topics().keys().filter(|_| name.contains(['.', '_']));
    if let Some(other) = others.find(|other| topic_name::collide(name, other)) {
        return Err(invalid(format!("Topic '{name}' collides with existing topic: {other}")));
    }
    let mut wanted: Vec<(String, Option<String>)> = Vec::new();
    for config in &topic.configs {
        // Of a key given twice the last value counts.
        wanted.retain(|(name, _)| *name != config.name);
        wanted.push((config.name.clone(), config.value.clone()));
    }
    let settings = new_topic_settings(layers, &wanted).map_err(error_of)?;

    let id = Uuid::random();
    let replicas = replicas_of(config, placement, topic)?;
    let mut records = vec![TopicRecord { name: name.to_owned(), topic_id: id, ..Default::default() }.into()];
    for (key, value) in wanted {
        let resource_type = ConfigResourceType::TOPIC.0;
        let resource_name = name.to_owned();
        records.push(ConfigRecord { resource_type, resource_name, name: key, value, ..Default::default() }.into());
    }
    for (index, replicas) in (0..).zip(&replicas) {
        records.push(placement.record(id, index, replicas)?.into());
    }
    Ok(NewTopic {
        id,
        partitions: i32::try_from(replicas.len()).unwrap_or(i32::MAX),
        replication_factor: replicas.first().map_or(0, |first| i16::try_from(first.len()).unwrap_or(i16::MAX)),
        settings,
        records,
    })
}

/// The replicas of each partition, as the request names them or as they are placed.
fn replicas_of(
    config: &ServerConfig,
    placement: &mut Placement,
    topic: &CreatableTopic,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    if !topic.assignments.is_empty() {
        return assigned_replicas(placement, topic);
    }
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        return Err(ApiError::new(
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ));
    }
    if topic.num_partitions < -1 || topic.num_partitions == 0 {
        return Err(ApiError::new(
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ));
    }
    let or_default = |value: i32, default: i32| if value == -1 { default } else { value };
    let partitions = or_default(topic.num_partitions, config.num_partitions);
    let factor = or_default(topic.replication_factor.into(), config.default_replication_factor);
    placement.choose(usize::try_from(partitions).unwrap_or_default(), usize::try_from(factor).unwrap_or_default())
}

fn assigned_replicas(placement: &Placement, topic: &CreatableTopic) -> Result<Vec<Vec<NodeId>>, ApiError> {
    let not_both = |what| {
        let message = format!("A manual partition assignment was specified, but {what} was not set to -1.");
        Err(ApiError::new(ErrorCode::InvalidRequest, message))
    };
    if topic.replication_factor != -1 {
        return not_both("replication factor");
    }
    if topic.num_partitions != -1 {
        return not_both("numPartitions");
    }
    let refused = |message: String| ApiError::new(ErrorCode::InvalidReplicaAssignment, message);
    let mut partitions = BTreeMap::new();
    let mut factor = None;
    for assignment in &topic.assignments {
        let index = assignment.partition_index;
        placement.check_manual(&assignment.broker_ids, factor).and_then(|()| {
            let replicas: Vec<NodeId> = assignment.broker_ids.iter().copied().map(NodeId).collect();
            match partitions.insert(index, replicas) {
                Some(_) => Err(refused(format!("Found multiple manual partition assignments for partition {index}"))),
                None => Ok(()),
            }
        })?;
        factor = Some(assignment.broker_ids.len());
    }
    if !partitions.keys().copied().eq((0..).take(partitions.len())) {
        return Err(refused("partitions should be a consecutive 0-based integer sequence".to_owned()));
    }
    Ok(partitions.into_values().collect())
}

fn shown_configs(layers: &Layers, settings: &Settings) -> Vec<CreatableTopicConfigs> {
    let shown = describe_new_topic(layers, settings).into_iter().map(|entry| CreatableTopicConfigs {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.sensitive,
        ..Default::default()
    });
    shown.collect()
}

/// The topic that is created when it is asked for by its name alone.
pub(super) fn missing_topic(config: &ServerConfig, name: String, brokers: usize) -> CreatableTopic {
    let (kind, num_partitions, configs) = match name.as_str() {
        GROUP_METADATA_TOPIC => {
            let segment_bytes = config.offsets_topic_segment_bytes.to_string();
            let configs = vec![
                ("compression.type", "producer".to_owned()),
                ("cleanup.policy", "compact".to_owned()),
                ("segment.bytes", segment_bytes),
            ];
            (InternalTopic::Offsets, config.offsets_topic_num_partitions, configs)
        }
        TRANSACTION_STATE_TOPIC => {
            let configs = vec![
                ("unclean.leader.election.enable", "false".to_owned()),
                ("compression.type", "uncompressed".to_owned()),
                ("cleanup.policy", "compact".to_owned()),
                ("min.insync.replicas", config.transaction_state_log_min_isr.to_string()),
                ("segment.bytes", config.transaction_state_log_segment_bytes.to_string()),
            ];
            (InternalTopic::TransactionState, config.transaction_state_log_num_partitions, configs)
        }
        SHARE_GROUP_STATE_TOPIC => {
            let configs = vec![
                ("cleanup.policy", "delete".to_owned()),
                ("compression.type", "uncompressed".to_owned()),
                ("segment.bytes", config.share_coordinator_state_topic_segment_bytes.to_string()),
                ("min.insync.replicas", config.share_coordinator_state_topic_min_isr.to_string()),
                // Old records are deleted when newer ones tell the same, and never for their age.
                ("retention.ms", "-1".to_owned()),
            ];
            (InternalTopic::ShareGroupState, config.share_coordinator_state_topic_num_partitions, configs)
        }
        _ => return CreatableTopic { name, num_partitions: -1, replication_factor: -1, ..Default::default() },
    };
    let config_of = |(name, value): (&str, String)| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value),
        ..Default::default()
    };
    CreatableTopic {
        name,
        num_partitions,
        replication_factor: config.internal_topic_replication_factor(kind, brokers),
        configs: configs.into_iter().map(config_of).collect(),
        ..Default::default()
    }
}

/// What CreatePartitions leads to.
pub(super) fn create_partitions(
    image: &MetadataImage,
    request: &CreatePartitionsRequest,
) -> Plan<CreatePartitionsResponse> {
    let twice = names_given_twice(request.topics.iter().map(|topic| topic.name.as_str()));
    let current = |topic: &CreatePartitionsTopic| image.topic(&topic.name).map_or(0, |t| t.partitions.len());
    let added = |topic: &CreatePartitionsTopic| {
        i64::from(topic.count).saturating_sub(i64::try_from(current(topic)).unwrap_or(i64::MAX)).max(0)
    };
    let wanted = request.topics.iter().map(added).fold(0, i64::saturating_add);
    let mut placement = Placement::new(image);
    let (mut records, mut results, mut refused_names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for topic in &request.topics {
        let grown = if twice.contains(topic.name.as_str()) {
            if !refused_names.insert(topic.name.as_str()) {
                continue;
            }
            Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
        } else if wanted > MAX_PARTITIONS_PER_REQUEST {
            Err(ApiError::new(ErrorCode::PolicyViolation, TOO_MANY_PARTITIONS))
        } else {
            grow(image, &mut placement, topic)
        };
        let mut result =
            CreatePartitionsTopicResult { name: topic.name.clone(), error_message: None, ..Default::default() };
        match grown {
            Ok(grown) if !request.validate_only => records.extend(grown),
            Ok(_) => {}
            Err(ApiError { code, message }) => {
                result.error_code = code.code();
                result.error_message = message;
            }
        }
        results.push(result);
    }
    Plan { records, response: CreatePartitionsResponse { results, ..Default::default() } }
}

fn grow(
    image: &MetadataImage,
    placement: &mut Placement,
    topic: &CreatePartitionsTopic,
) -> Result<Vec<MetadataRecord>, ApiError> {
    let found = image.topic(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let current = i32::try_from(found.partitions.len()).unwrap_or(i32::MAX);
    let refused = |message: String| Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    if topic.count == current {
        return refused(format!("Topic already has {current} partition(s)."));
    }
    if topic.count < current {
        return refused(format!(
            "The topic {} currently has {current} partition(s); {} would not be an increase.",
            topic.name, topic.count
        ));
    }
    let added = usize::try_from(topic.count - current).unwrap_or_default();
    let factor = found.partitions.values().next().map_or(1, |first| first.replicas.len());
    let replicas = match &topic.assignments {
        None => placement.choose(added, factor)?,
        Some(assignments) if assignments.len() != added => {
            return Err(ApiError::new(
                ErrorCode::InvalidReplicaAssignment,
                format!(
                    "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                ),
            ));
        }
        Some(assignments) => {
            let mut replicas = Vec::with_capacity(added);
            for assignment in assignments {
                placement.check_manual(&assignment.broker_ids, Some(factor))?;
                replicas.push(assignment.broker_ids.iter().copied().map(NodeId).collect());
            }
            replicas
        }
    };
    let records = (current..).zip(&replicas).map(|(index, replicas)| placement.record(found.id, index, replicas));
    records.map(|record| record.map(MetadataRecord::from)).collect()
}

/// What DeleteTopics leads to.
pub(super) fn delete_topics(
    image: &MetadataImage,
    config: &ServerConfig,
    request: &DeleteTopicsRequest,
    version: i16,
) -> Plan<DeleteTopicsResponse> {
    // Names alone before version 6.
    let named = request.topic_names.iter().map(|name| (Some(name.as_str()), Uuid::ZERO));
    let states = request.topics.iter().map(|topic| (topic.name.as_deref(), topic.topic_id));
    let wanted: Vec<(Option<&str>, Uuid)> = named.chain(states).collect();
    let (mut records, mut responses) = (Vec::new(), Vec::new());
    let mut removed: BTreeSet<Uuid> = BTreeSet::new();
    for (at, (name, id)) in wanted.iter().enumerate() {
        let count = |same: &(Option<&str>, Uuid)| *same == (*name, *id);
        if wanted.iter().take(at).any(count) {
            continue; // Answered with the first of them.
        }
        let is_twice = wanted.iter().skip(at + 1).any(count);
        let mut result = DeletableTopicResult {
            name: name.map(str::to_owned),
            topic_id: *id,
            error_message: None,
            ..Default::default()
        };
        match find_to_delete(image, config, *name, *id, is_twice, version) {
            Ok(topic) if !removed.insert(topic.id) => {
                let message = "The provided topic name maps to an ID that was already supplied.";
                result.error_code = ErrorCode::InvalidRequest.code();
                result.error_message = Some(message.to_owned());
            }
            Ok(topic) => {
                records.push(RemoveTopicRecord { topic_id: topic.id, ..Default::default() }.into());
                result.name = Some(topic.name.clone());
                result.topic_id = topic.id;
            }
            Err(ApiError { code, message }) => {
                result.error_code = code.code();
                result.error_message = message;
            }
        }
        responses.push(result);
    }
    Plan { records, response: DeleteTopicsResponse { responses, ..Default::default() } }
}

fn find_to_delete<'a>(
    image: &'a MetadataImage,
    config: &ServerConfig,
    name: Option<&str>,
    id: Uuid,
    is_twice: bool,
    version: i16,
) -> Result<&'a TopicImage, ApiError> {
    let invalid = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    if !config.delete_topic_enable {
        let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return Err(ApiError::new(code, "Topic deletion is disabled."));
    }
    match name {
        None if id.is_zero() => invalid("Neither topic name nor id were specified."),
        Some(_) if !id.is_zero() => invalid("You may not specify both topic name and topic id."),
        Some(_) if is_twice => invalid("Duplicate topic name."),
        None if is_twice => invalid("Duplicate topic id."),
        Some(name) => image.topic(name).map(AsRef::as_ref).ok_or_else(|| {
            let message = "This server does not host this topic-partition.";
            ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
        }),
        None => image
            .topic_by_id(id)
            .map(AsRef::as_ref)
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID.")),
    }
}

fn names_given_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, Node};
    use super::*;
    use crate::protocol::messages::create_partitions_request::CreatePartitionsAssignment;
    use crate::protocol::messages::create_topics_request::CreatableReplicaAssignment;
    use crate::protocol::messages::delete_topics_request::DeleteTopicState;
    use crate::types::PartitionId;

    fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
        CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..Default::default() }
    }

    fn with(mut topic: CreatableTopic, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
        let config = |(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: value.map(str::to_owned),
            ..Default::default()
        };
        topic.configs = configs.iter().map(config).collect();
        topic
    }

    fn assigned(mut topic: CreatableTopic, assignments: &[(i32, &[i32])]) -> CreatableTopic {
        let assignment = |(index, ids): &(i32, &[i32])| CreatableReplicaAssignment {
            partition_index: *index,
            broker_ids: ids.to_vec(),
            ..Default::default()
        };
        topic.assignments = assignments.iter().map(assignment).collect();
        topic
    }

    fn request(topics: &[CreatableTopic]) -> CreateTopicsRequest {
        CreateTopicsRequest { topics: topics.to_vec(), ..Default::default() }
    }

    fn codes(response: &CreateTopicsResponse) -> Vec<(i16, &str)> {
        let result = |topic: &CreatableTopicResult| topic.error_code;
        response.topics.iter().map(|t| (result(t), t.error_message.as_deref().unwrap_or_default())).collect()
    }

    #[test]
    fn a_topic_is_created_with_its_settings_and_partitions() {
        let node = Node::new(&[("num.partitions", "3")]);
        let controller = node.start();
        let wanted = with(topic("a", -1, -1), &[("retention.ms", Some("5")), ("cleanup.policy", Some("compact"))]);
        let response = controller.create_topics(&request(&[wanted]), NOW);
        let result = &response.topics[0];
        assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 3, 1));
        let shown = result.configs.as_ref().unwrap();
        let retention = shown.iter().find(|config| config.name == "retention.ms").unwrap();
        assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5"), 1));
        // The cluster-wide setting of a new cluster.
        let min_isr = shown.iter().find(|config| config.name == "min.insync.replicas").unwrap();
        assert_eq!((min_isr.value.as_deref(), min_isr.config_source), (Some("1"), 3));

        let image = controller.cache().read();
        let created = image.topic("a").unwrap();
        assert_eq!(created.id, result.topic_id);
        let last = &created.partitions[&PartitionId(2)];
        assert_eq!((last.leader, last.leader_epoch.get(), last.partition_epoch), (NodeId(1), 0, 0));
        assert_eq!(last.directories, [node.identity.metadata_directory_id]);
        assert_eq!(image.configs(&crate::metadata::ConfigResource::topic("a")).unwrap().len(), 2);
    }

    #[test]
    fn names_are_refused_in_kafkas_order() {
        let node = Node::new(&[]);
        let controller = node.start();
        controller.create_topics(&request(&[topic("a.b", 1, 1)]), NOW);
        let wanted = [topic("a.b", 0, 0), topic("a_b", 1, 1), topic("", 1, 1), topic("__cluster_metadata", 1, 1)];
        let response = controller.create_topics(&request(&wanted), NOW);
        assert_eq!(
            codes(&response),
            [
                (36, "Topic 'a.b' already exists."),
                (17, "Topic 'a_b' collides with existing topic: a.b"),
                (17, "Topic name is invalid: the empty string is not allowed"),
                (42, "Creation of internal topic __cluster_metadata is prohibited."),
            ]
        );
        let response = controller.create_topics(&request(&[topic("d", 1, 1), topic("d", 1, 1), topic("e", 1, 1)]), NOW);
        assert_eq!(codes(&response), [(42, "Duplicate topic name."), (0, "")]);
    }

    #[test]
    fn numbers_and_settings_are_refused_in_kafkas_words() {
        let node = Node::new(&[]);
        let controller = node.start();
        let wanted = [
            topic("a", 0, 1),
            topic("b", 0, 0),
            topic("c", 1, 2),
            with(topic("d", 0, 1), &[("retention.ms", Some("x"))]),
            with(topic("e", 1, 1), &[("no.such", Some("x"))]),
            with(topic("f", 1, 1), &[("retention.ms", None)]),
        ];
        let response = controller.create_topics(&request(&wanted), NOW);
        assert_eq!(
            codes(&response),
            [
                (37, "Number of partitions was set to an invalid non-positive value."),
                (38, "Replication factor must be larger than 0, or -1 to use the default value."),
                (
                    38,
                    "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."
                ),
                (40, "Invalid value x for configuration retention.ms: Not a number of type LONG"),
                (40, "Unknown topic config name: no.such"),
                (40, "Null value not supported for topic configs: retention.ms"),
            ]
        );
        let response = controller.create_topics(&request(&[topic("g", 10_001, 1)]), NOW);
        assert_eq!(codes(&response), [(44, "Excessively large number of partitions per request.")]);
        assert!(controller.cache().read().topics().is_empty());
    }

    #[test]
    fn assignments_are_checked() {
        let node = Node::new(&[]);
        let controller = node.start();
        let manual = |assignments| assigned(topic("a", -1, -1), assignments);
        for (wanted, code, message) in [
            (
                assigned(topic("a", 1, -1), &[(0, &[1])]),
                42,
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            ),
            (manual(&[(0, &[1]), (2, &[1])]), 39, "partitions should be a consecutive 0-based integer sequence"),
            (manual(&[(0, &[1]), (0, &[1])]), 39, "Found multiple manual partition assignments for partition 0"),
            (
                manual(&[(0, &[9])]),
                39,
                "The manual partition assignment includes broker 9, but no such broker is registered.",
            ),
            (manual(&[(0, &[1, 1])]), 39, "The manual partition assignment includes the broker 1 more than once."),
            (manual(&[(0, &[])]), 39, "The manual partition assignment includes an empty replica list."),
            (manual(&[(0, &[1]), (1, &[1])]), 0, ""),
        ] {
            let response = controller.create_topics(&request(&[wanted]), NOW);
            assert_eq!(codes(&response), [(code, message)]);
        }
        assert_eq!(controller.cache().read().topic("a").unwrap().partitions.len(), 2);
    }

    #[test]
    fn missing_topics_are_created_from_the_settings() {
        let node = Node::new(&[("num.partitions", "2")]);
        let controller = node.start();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let wanted = names(&["__consumer_offsets", "__transaction_state", "__share_group_state", "a", "b b"]);
        let refused = controller.create_missing_topics(wanted, NOW);
        assert_eq!(refused, [("b b".to_owned(), ErrorCode::InvalidTopicException)]);
        assert!(controller.create_missing_topics(names(&["a"]), NOW).is_empty());
        let image = controller.cache().read();
        let count = |name: &str| image.topic(name).unwrap().partitions.len();
        assert_eq!((count("__consumer_offsets"), count("__transaction_state"), count("a")), (50, 50, 2));
        assert_eq!(count("__share_group_state"), 50);
        let states = image.configs(&crate::metadata::ConfigResource::topic("__share_group_state")).unwrap();
        assert_eq!((states["retention.ms"].as_str(), states["cleanup.policy"].as_str()), ("-1", "delete"));
        let configs = image.configs(&crate::metadata::ConfigResource::topic("__consumer_offsets")).unwrap();
        assert_eq!(configs["segment.bytes"], "104857600");
        assert_eq!(configs["cleanup.policy"], "compact");
    }

    #[test]
    fn validating_changes_nothing() {
        let node = Node::new(&[]);
        let controller = node.start();
        let before = controller.quorum().end_offset;
        let mut wanted = request(&[topic("a", 3, 1)]);
        wanted.validate_only = true;
        let response = controller.create_topics(&wanted, NOW);
        assert_eq!((response.topics[0].error_code, response.topics[0].num_partitions), (0, 3));
        assert_eq!(controller.quorum().end_offset, before);
    }

    fn partitions(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsRequest {
        let assignment = |ids: &&[i32]| CreatePartitionsAssignment { broker_ids: ids.to_vec(), ..Default::default() };
        let topic = CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: assignments.map(|all| all.iter().map(assignment).collect()),
            ..Default::default()
        };
        CreatePartitionsRequest { topics: vec![topic], ..Default::default() }
    }

    #[test]
    fn a_topic_grows() {
        let node = Node::new(&[]);
        let controller = node.start();
        controller.create_topics(&request(&[topic("a", 2, 1)]), NOW);
        for (wanted, code, message) in [
            (partitions("nope", 3, None), 3, None),
            (partitions("a", 2, None), 37, Some("Topic already has 2 partition(s).")),
            (
                partitions("a", 1, None),
                37,
                Some("The topic a currently has 2 partition(s); 1 would not be an increase."),
            ),
            (
                partitions("a", 4, Some(&[&[1]])),
                39,
                Some("Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."),
            ),
            (
                partitions("a", 3, Some(&[&[7]])),
                39,
                Some("The manual partition assignment includes broker 7, but no such broker is registered."),
            ),
            (partitions("a", 20_000, None), 44, Some(TOO_MANY_PARTITIONS)),
            (partitions("a", 4, None), 0, None),
            (partitions("a", 5, Some(&[&[1]])), 0, None),
        ] {
            let response = controller.create_partitions(&wanted, NOW);
            assert_eq!((response.results[0].error_code, response.results[0].error_message.as_deref()), (code, message));
        }
        let image = controller.cache().read();
        let topic = image.topic("a").unwrap();
        assert_eq!(topic.partitions.keys().map(|id| id.get()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn topics_are_deleted_by_name_and_by_id() {
        let node = Node::new(&[]);
        let controller = node.start();
        controller.create_topics(&request(&[topic("a", 1, 1), topic("b", 1, 1), topic("c", 1, 1)]), NOW);
        let id = controller.cache().read().topic("b").unwrap().id;
        let state = |name: Option<&str>, topic_id| DeleteTopicState {
            name: name.map(str::to_owned),
            topic_id,
            ..Default::default()
        };
        let wanted = DeleteTopicsRequest {
            topics: vec![
                state(Some("a"), Uuid::ZERO),
                state(None, id),
                state(None, Uuid::METADATA_TOPIC),
                state(None, Uuid::ZERO),
                state(Some("c"), id),
                state(Some("nope"), Uuid::ZERO),
                state(Some("c"), Uuid::ZERO),
                state(Some("c"), Uuid::ZERO),
            ],
            ..Default::default()
        };
        let response = controller.delete_topics(&wanted, 6, NOW);
        let codes: Vec<i16> = response.responses.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, 0, 100, 42, 42, 3, 42]);
        assert_eq!(response.responses[1].name.as_deref(), Some("b"));
        assert_eq!(controller.cache().read().topics().keys().collect::<Vec<_>>(), ["c"]);

        let node = Node::new(&[("delete.topic.enable", "false")]);
        let controller = node.start();
        controller.create_topics(&request(&[topic("a", 1, 1)]), NOW);
        let wanted = DeleteTopicsRequest { topic_names: vec!["a".to_owned()], ..Default::default() };
        assert_eq!(controller.delete_topics(&wanted, 5, NOW).responses[0].error_code, 73);
        assert_eq!(controller.delete_topics(&wanted, 1, NOW).responses[0].error_code, 42);
    }
}
