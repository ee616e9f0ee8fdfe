//! Settings that change at run time: what AlterConfigs and IncrementalAlterConfigs ask for, as records and answers.

use std::collections::BTreeMap;

use super::error::ApiError;
use super::runtime::Plan;
use crate::config::{
    AlterError, AlterOp, Alteration, BrokerTarget, Layers, ServerConfig, Settings, alter_broker, alter_group,
    alter_topic, check_eligible_leader_replicas, replacing,
};
use crate::metadata::{ConfigResource, ConfigResourceType, MetadataImage, MetadataRecord, topic_name};
use crate::protocol::ErrorCode;
use crate::protocol::messages::incremental_alter_configs_request as incremental;
use crate::protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ClearElrRecord, ConfigRecord, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs_response, incremental_alter_configs_response,
};
use crate::types::NodeId;

/// The key by which eligible leader replicas are reckoned.
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What a client metrics subscription may have (KIP-714).
const CLIENT_METRICS_INTERVALS_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;
const CLIENT_METRICS_KEYS: [&str; 3] = ["interval.ms", "match", "metrics"];
const CLIENT_METRICS_SELECTORS: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// What the node knows of its own settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) node_id: NodeId,
    /// As it was started.
    pub(super) config: &'a ServerConfig,
}

impl Own<'_> {
    /// The settings with what the image says was set at run time.
    pub(super) fn layers(&self, image: &MetadataImage) -> Layers {
        let mut layers = self.config.layers.clone();
        let of = |resource| settings_of(image, &resource);
        layers.set_dynamic(of(ConfigResource::all_brokers()), of(ConfigResource::broker(self.node_id)));
        layers
    }
}

fn settings_of(image: &MetadataImage, resource: &ConfigResource) -> Settings {
    image.configs(resource).cloned().unwrap_or_default()
}

/// How an error of the settings is answered.
pub(super) fn error_of(error: AlterError) -> ApiError {
    let code = match &error {
        AlterError::InvalidConfig(_) => ErrorCode::InvalidConfig,
        AlterError::InvalidRequest(_) => ErrorCode::InvalidRequest,
    };
    ApiError::new(code, error.to_string())
}

/// What IncrementalAlterConfigs leads to.
pub(super) fn incremental_alter(
    image: &MetadataImage,
    own: Own<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> Plan<IncrementalAlterConfigsResponse> {
    let key =
        |resource: &incremental::AlterConfigsResource| resource_of(resource.resource_type, &resource.resource_name);
    let counts = count(request.resources.iter().map(key));
    let (mut records, mut responses) = (Vec::new(), Vec::new());
    for resource in &request.resources {
        let changes: Result<Vec<Alteration>, ApiError> = resource
            .configs
            .iter()
            .map(|change| {
                let op = AlterOp::from_code(change.config_operation).ok_or_else(|| {
                    let message = format!("Unknown operation type {} for {}", change.config_operation, change.name);
                    ApiError::new(ErrorCode::InvalidRequest, message)
                })?;
                Ok(Alteration { name: change.name.clone(), op, value: change.value.clone() })
            })
            .collect();
        let target = key(resource);
        let altered = once(&counts, &target).and(changes).and_then(|changes| alter(image, own, &target, &changes));
        let mut response = incremental_alter_configs_response::AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            error_message: None,
            ..Default::default()
        };
        match altered {
            Ok(altered) => records.extend(altered),
            Err(ApiError { code, message }) => {
                response.error_code = code.code();
                response.error_message = message;
            }
        }
        responses.push(response);
    }
    if request.validate_only {
        records.clear();
    }
    Plan { records, response: IncrementalAlterConfigsResponse { responses, ..Default::default() } }
}

/// What AlterConfigs leads to: the settings that it names, and no others.
pub(super) fn alter_all(
    image: &MetadataImage,
    own: Own<'_>,
    request: &AlterConfigsRequest,
) -> Plan<AlterConfigsResponse> {
    let keys = request.resources.iter().map(|resource| resource_of(resource.resource_type, &resource.resource_name));
    let counts = count(keys);
    let (mut records, mut responses) = (Vec::new(), Vec::new());
    for resource in &request.resources {
        let target = resource_of(resource.resource_type, &resource.resource_name);
        let altered = once(&counts, &target).and_then(|()| {
            if target.kind == ConfigResourceType::BROKER_LOGGER {
                return Err(unknown_type(&target));
            }
            let wanted: Vec<_> = resource.configs.iter().map(|c| (c.name.clone(), c.value.clone())).collect();
            let mut changes = replacing(&settings_of(image, &target), &wanted);
            if image.has_eligible_leader_replicas() && target == ConfigResource::all_brokers() {
                // Always set (KIP-966): leaving it out of a list does not take it away.
                changes.retain(|change| change.name != MIN_INSYNC_REPLICAS || change.op != AlterOp::Delete);
            }
            alter(image, own, &target, &changes)
        });
        let mut response = alter_configs_response::AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            error_message: None,
            ..Default::default()
        };
        match altered {
            Ok(altered) => records.extend(altered),
            Err(ApiError { code, message }) => {
                response.error_code = code.code();
                response.error_message = message;
            }
        }
        responses.push(response);
    }
    if request.validate_only {
        records.clear();
    }
    Plan { records, response: AlterConfigsResponse { responses, ..Default::default() } }
}

fn resource_of(kind: i8, name: &str) -> ConfigResource {
    ConfigResource { kind: ConfigResourceType(kind), name: name.to_owned() }
}

fn count(resources: impl Iterator<Item = ConfigResource>) -> BTreeMap<ConfigResource, usize> {
    let mut counts = BTreeMap::new();
    for resource in resources {
        *counts.entry(resource).or_default() += 1;
    }
    counts
}

fn once(counts: &BTreeMap<ConfigResource, usize>, target: &ConfigResource) -> Result<(), ApiError> {
    match counts.get(target) {
        Some(2..) => Err(ApiError::new(ErrorCode::InvalidRequest, "Each resource must appear at most once.")),
        _ => Ok(()),
    }
}

fn unknown_type(target: &ConfigResource) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, format!("Unknown resource type {}", target.kind.0))
}

/// The records that make these changes to one resource.
fn alter(
    image: &MetadataImage,
    own: Own<'_>,
    target: &ConfigResource,
    changes: &[Alteration],
) -> Result<Vec<MetadataRecord>, ApiError> {
    let invalid = |message: &str| ApiError::new(ErrorCode::InvalidRequest, message);
    let current = settings_of(image, target);
    let layers = own.layers(image);
    let altered = match target.kind {
        ConfigResourceType::TOPIC => {
            if target.name.is_empty() {
                return Err(invalid("Default topic resources are not allowed."));
            }
            topic_name::check(&target.name)
                .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
            if image.topic(&target.name).is_none() {
                let message = format!("The topic '{}' does not exist.", target.name);
                return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
            }
            alter_topic(&layers, &current, changes).map_err(error_of)?
        }
        ConfigResourceType::BROKER => {
            let broker = if target.name.is_empty() { BrokerTarget::All } else { BrokerTarget::This };
            check_own_broker(own, &target.name, broker)?;
            if image.has_eligible_leader_replicas() {
                check_eligible_leader_replicas(broker, changes).map_err(error_of)?;
            }
            alter_broker(&layers, broker, changes).map_err(error_of)?
        }
        ConfigResourceType::GROUP => {
            if target.name.is_empty() {
                return Err(invalid("Default group resources are not allowed."));
            }
            alter_group(&layers, &current, changes).map_err(error_of)?
        }
        ConfigResourceType::CLIENT_METRICS => alter_client_metrics(target, &current, changes)?,
        ConfigResourceType::BROKER_LOGGER => {
            check_own_broker(own, &target.name, BrokerTarget::This)?;
            // The logs of this program have no loggers by name.
            let Some(first) = changes.first() else { return Ok(Vec::new()) };
            let message = format!("Logger {} does not exist!", first.name);
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        }
        _ => return Err(unknown_type(target)),
    };
    Ok(records_of(image, target, changes, &current, &altered))
}

fn check_own_broker(own: Own<'_>, name: &str, target: BrokerTarget) -> Result<(), ApiError> {
    if target == BrokerTarget::All {
        return Ok(());
    }
    let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    match name.parse::<i32>() {
        Err(_) => invalid(format!("Node id must be an integer, but it is: {name}")),
        Ok(id) if id != own.node_id.get() => {
            invalid(format!("Unexpected broker id, expected {}, but received {id}", own.node_id))
        }
        Ok(_) => Ok(()),
    }
}

fn records_of(
    image: &MetadataImage,
    target: &ConfigResource,
    changes: &[Alteration],
    current: &Settings,
    altered: &Settings,
) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    for change in changes {
        let (before, after) = (current.get(&change.name), altered.get(&change.name));
        // Setting a broker's key again makes it take effect again: a key store read anew (KAFKA-14136).
        let repeats = target.kind == ConfigResourceType::BROKER && after.is_some();
        if before == after && !repeats {
            continue;
        }
        let record = ConfigRecord {
            resource_type: target.kind.0,
            resource_name: target.name.clone(),
            name: change.name.clone(),
            value: after.cloned(),
            ..Default::default()
        };
        records.push(record.into());
        if change.name == MIN_INSYNC_REPLICAS && image.has_eligible_leader_replicas() {
            // Who is eligible was reckoned with the old number.
            let topic = target.kind == ConfigResourceType::TOPIC;
            let topic_name = if topic { target.name.clone() } else { String::new() };
            records.push(ClearElrRecord { topic_name, ..Default::default() }.into());
        }
    }
    records
}

fn alter_client_metrics(
    target: &ConfigResource,
    current: &Settings,
    changes: &[Alteration],
) -> Result<Settings, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidRequest, message);
    if target.name.is_empty() {
        return Err(invalid("Subscription name can't be empty".to_owned()));
    }
    let mut settings = current.clone();
    for Alteration { name, op, value } in changes {
        let given = value.clone().unwrap_or_default();
        match op {
            AlterOp::Set if value.is_none() => {
                return Err(invalid(format!("Null value not supported for : {name}")));
            }
            AlterOp::Set => {
                settings.insert(name.clone(), given);
            }
            AlterOp::Delete => {
                settings.remove(name);
            }
            AlterOp::Append | AlterOp::Subtract
                if name == "interval.ms" || !CLIENT_METRICS_KEYS.contains(&name.as_str()) =>
            {
                let verb = if *op == AlterOp::Append { "APPEND" } else { "SUBTRACT" };
                let message = format!("Can't {verb} to key {name} because its type is not LIST.");
                return Err(ApiError::new(ErrorCode::InvalidConfig, message));
            }
            AlterOp::Append | AlterOp::Subtract => {
                let list = settings.get(name).cloned().unwrap_or_default();
                let mut elements: Vec<&str> = list.split(',').filter(|element| !element.is_empty()).collect();
                for element in given.split(',') {
                    if *op == AlterOp::Subtract {
                        elements.retain(|one| *one != element);
                    } else if !elements.contains(&element) {
                        elements.push(element);
                    }
                }
                let joined = elements.join(",");
                settings.insert(name.clone(), joined);
            }
        }
    }
    check_client_metrics(&settings)?;
    Ok(settings)
}

fn check_client_metrics(settings: &Settings) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    for (name, value) in settings {
        match name.as_str() {
            "interval.ms" if !value.trim().parse().is_ok_and(|ms| CLIENT_METRICS_INTERVALS_MS.contains(&ms)) => {
                return invalid(format!(
                    "Invalid value {value} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                ));
            }
            "match" => {
                let known = |pattern: &str| {
                    pattern.split_once('=').is_some_and(|(name, _)| CLIENT_METRICS_SELECTORS.contains(&name.trim()))
                };
                let mut patterns = value.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
                if let Some(pattern) = patterns.find(|pattern| !known(pattern)) {
                    let message = format!("Illegal client matching pattern: {pattern}");
                    return Err(ApiError::new(ErrorCode::InvalidConfig, message));
                }
            }
            known if CLIENT_METRICS_KEYS.contains(&known) => {}
            _ => return invalid(format!("Unknown client metrics configuration: {name}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Controller;
    use super::super::tests::{NOW, Node};
    use super::*;
    use crate::protocol::messages::CreateTopicsRequest;
    use crate::protocol::messages::create_topics_request::CreatableTopic;
    use crate::protocol::messages::{alter_configs_request, incremental_alter_configs_request};

    const TOPIC: i8 = 2;
    const BROKER: i8 = 4;
    const LOGGER: i8 = 8;
    const METRICS: i8 = 16;
    const GROUP: i8 = 32;

    fn with_topic(node: &Node) -> Controller {
        let controller = node.start();
        let topic =
            CreatableTopic { name: "a".to_owned(), num_partitions: 1, replication_factor: 1, ..Default::default() };
        controller.create_topics(&CreateTopicsRequest { topics: vec![topic], ..Default::default() }, NOW);
        controller
    }

    fn incremental(kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> IncrementalAlterConfigsRequest {
        let change = |(name, config_operation, value): &(&str, i8, Option<&str>)| {
            incremental_alter_configs_request::AlterableConfig {
                name: (*name).to_owned(),
                config_operation: *config_operation,
                value: value.map(str::to_owned),
                ..Default::default()
            }
        };
        let resource = incremental_alter_configs_request::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configs: changes.iter().map(change).collect(),
            ..Default::default()
        };
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }
    }

    fn all(kind: i8, name: &str, settings: &[(&str, &str)]) -> AlterConfigsRequest {
        let setting = |(name, value): &(&str, &str)| alter_configs_request::AlterableConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        };
        let resource = alter_configs_request::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configs: settings.iter().map(setting).collect(),
            ..Default::default()
        };
        AlterConfigsRequest { resources: vec![resource], ..Default::default() }
    }

    fn set(controller: &Controller, kind: i8, name: &str) -> Vec<(String, String)> {
        controller.cache().read().configs(&resource_of(kind, name)).cloned().unwrap_or_default().into_iter().collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_are_set_appended_and_taken_back() {
        let node = Node::new(&[]);
        let controller = with_topic(&node);
        let change = |changes: &[(&str, i8, Option<&str>)]| {
            let response = controller.incremental_alter_configs(&incremental(TOPIC, "a", changes), NOW);
            assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);
            set(&controller, TOPIC, "a")
        };
        assert_eq!(change(&[("retention.ms", 0, Some("5"))]), pairs(&[("retention.ms", "5")]));
        assert_eq!(
            change(&[("cleanup.policy", 2, Some("compact"))]),
            pairs(&[("cleanup.policy", "delete,compact"), ("retention.ms", "5")])
        );
        assert_eq!(
            change(&[("cleanup.policy", 3, Some("delete")), ("retention.ms", 1, None)]),
            pairs(&[("cleanup.policy", "compact")])
        );
        let before = controller.quorum().end_offset;
        change(&[("no.such", 1, None), ("cleanup.policy", 0, Some("compact"))]);
        assert_eq!(controller.quorum().end_offset, before, "what changes nothing is not written");
    }

    #[test]
    fn changes_are_refused_in_kafkas_words() {
        let node = Node::new(&[]);
        let controller = with_topic(&node);
        for (kind, name, change, code, message) in [
            (
                TOPIC,
                "a",
                ("retention.ms", 0, Some("x")),
                40,
                "Invalid value x for configuration retention.ms: Not a number of type LONG",
            ),
            (
                TOPIC,
                "a",
                ("retention.ms", 2, Some("1")),
                40,
                "Can't APPEND to key retention.ms because its type is not LIST.",
            ),
            (TOPIC, "a", ("retention.ms", 0, None), 42, "Null value not supported for : retention.ms"),
            (TOPIC, "nope", ("retention.ms", 0, Some("1")), 3, "The topic 'nope' does not exist."),
            (TOPIC, "", ("retention.ms", 0, Some("1")), 42, "Default topic resources are not allowed."),
            (BROKER, "1", ("log.dirs", 0, Some("/x")), 42, "Cannot update these configs dynamically: [log.dirs]"),
            (
                BROKER,
                "2",
                ("log.cleaner.threads", 0, Some("2")),
                42,
                "Unexpected broker id, expected 1, but received 2",
            ),
            (BROKER, "x", ("log.cleaner.threads", 0, Some("2")), 42, "Node id must be an integer, but it is: x"),
            (
                BROKER,
                "1",
                ("min.insync.replicas", 0, Some("1")),
                40,
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            ),
            (
                BROKER,
                "",
                ("min.insync.replicas", 1, None),
                40,
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
            ),
            (LOGGER, "1", ("kafka.x", 0, Some("INFO")), 40, "Logger kafka.x does not exist!"),
            (
                METRICS,
                "m",
                ("interval.ms", 0, Some("1")),
                42,
                "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
            ),
            (METRICS, "m", ("no.such", 0, Some("1")), 42, "Unknown client metrics configuration: no.such"),
            (GROUP, "g", ("no.such", 0, Some("1")), 40, "Unknown group config name: no.such"),
            (3, "g", ("no.such", 0, Some("1")), 42, "Unknown resource type 3"),
        ] {
            let response = controller.incremental_alter_configs(&incremental(kind, name, &[change]), NOW);
            let result = &response.responses[0];
            assert_eq!((result.error_code, result.error_message.as_deref()), (code, Some(message)));
        }
    }

    #[test]
    fn one_resource_named_twice_is_refused_both_times() {
        let node = Node::new(&[]);
        let controller = with_topic(&node);
        let mut request = incremental(TOPIC, "a", &[("retention.ms", 0, Some("5"))]);
        request.resources.extend(request.resources.clone());
        let codes = |code: i16| code;
        let response = controller.incremental_alter_configs(&request, NOW);
        assert_eq!(response.responses.iter().map(|r| codes(r.error_code)).collect::<Vec<_>>(), [42, 42]);
        let mut request = all(TOPIC, "a", &[("retention.ms", "5")]);
        request.resources.extend(request.resources.clone());
        let response = controller.alter_configs(&request, NOW);
        assert_eq!(response.responses.iter().map(|r| codes(r.error_code)).collect::<Vec<_>>(), [42, 42]);
        assert!(set(&controller, TOPIC, "a").is_empty());
    }

    #[test]
    fn altering_all_takes_away_what_is_not_named() {
        let node = Node::new(&[]);
        let controller = with_topic(&node);
        controller.alter_configs(&all(TOPIC, "a", &[("retention.ms", "5"), ("segment.ms", "6")]), NOW);
        controller.alter_configs(&all(TOPIC, "a", &[("retention.ms", "7")]), NOW);
        assert_eq!(set(&controller, TOPIC, "a"), pairs(&[("retention.ms", "7")]));
        controller.alter_configs(&all(BROKER, "", &[("log.cleaner.threads", "2")]), NOW);
        // Always there with eligible leader replicas (KIP-966).
        assert_eq!(set(&controller, BROKER, ""), pairs(&[("log.cleaner.threads", "2"), ("min.insync.replicas", "1")]));
    }

    #[test]
    fn validating_changes_nothing() {
        let node = Node::new(&[]);
        let controller = with_topic(&node);
        let mut request = incremental(TOPIC, "a", &[("retention.ms", 0, Some("5"))]);
        request.validate_only = true;
        assert_eq!(controller.incremental_alter_configs(&request, NOW).responses[0].error_code, 0);
        assert!(set(&controller, TOPIC, "a").is_empty());
    }

    #[test]
    fn client_metrics_and_groups_keep_their_settings() {
        let node = Node::new(&[]);
        let controller = with_topic(&node);
        let change = |kind, name: &str, changes: &[(&str, i8, Option<&str>)]| {
            let response = controller.incremental_alter_configs(&incremental(kind, name, changes), NOW);
            assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);
        };
        change(METRICS, "m", &[("interval.ms", 0, Some("1000")), ("metrics", 2, Some("a,b"))]);
        change(METRICS, "m", &[("metrics", 3, Some("a"))]);
        assert_eq!(set(&controller, METRICS, "m"), pairs(&[("interval.ms", "1000"), ("metrics", "b")]));
        change(GROUP, "g", &[("consumer.session.timeout.ms", 0, Some("50000"))]);
        assert_eq!(set(&controller, GROUP, "g"), pairs(&[("consumer.session.timeout.ms", "50000")]));
    }
}
