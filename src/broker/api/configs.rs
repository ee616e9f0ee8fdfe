//! DescribeConfigs (key 32, versions 1-4), AlterConfigs (33, 0-2), IncrementalAlterConfigs (44, 0-1), ListConfigResources (74, 0-1).
//!
//! Behaviour: topics, this broker and the default of all brokers, groups and client metrics subscriptions; every value with
//! its source, with synonyms if asked. Changes are checked in `controller/configs.rs` and in effect when the answer goes
//! out. AlterConfigs replaces all settings of a resource, IncrementalAlterConfigs changes single ones (KIP-339).
//! ListConfigResources names what has settings, or could have: topics and brokers always, groups and subscriptions where some are set.
//! Versions: DescribeConfigs v3 has the type of each value. ListConfigResources v0 knows subscriptions only (KIP-1142).
//! Not here: documentation of keys (Kafka's text); broker loggers have none to list or set.

use crate::broker::context::{RequestContext, now};
use crate::broker::controller::ApiError;
use crate::config::{
    ConfigEntry, ConfigError, Settings, describe_broker, describe_broker_defaults, describe_client_metrics,
    describe_group, describe_topic,
};
use crate::metadata::{ConfigResource, ConfigResourceType, topic_name};
use crate::protocol::ErrorCode;
use crate::protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::protocol::messages::list_config_resources_response::ConfigResource as ListedResource;
use crate::protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};

/// What ListConfigResources lists, in Kafka's order.
const LISTED: [ConfigResourceType; 5] = [
    ConfigResourceType::GROUP,
    ConfigResourceType::CLIENT_METRICS,
    ConfigResourceType::BROKER_LOGGER,
    ConfigResourceType::BROKER,
    ConfigResourceType::TOPIC,
];

pub(in crate::broker) async fn incremental_alter(
    ctx: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    ctx.broker
        .change_and_cordon(move |broker| broker.controller.incremental_alter_configs(&request, now().wall_ms))
        .await
}

pub(in crate::broker) async fn alter(ctx: &RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse {
    ctx.broker.change_and_cordon(move |broker| broker.controller.alter_configs(&request, now().wall_ms)).await
}

pub(in crate::broker) async fn list_resources(
    ctx: &RequestContext,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let known = |kind: &ConfigResourceType| ctx.version >= 1 || *kind == ConfigResourceType::CLIENT_METRICS;
    let known: Vec<ConfigResourceType> = LISTED.into_iter().filter(known).collect();
    let wanted = request.resource_types;
    if wanted.iter().any(|kind| !known.contains(&ConfigResourceType(*kind))) {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    }
    let image = ctx.broker.metadata.read();
    let mut config_resources = Vec::new();
    for kind in known.into_iter().filter(|kind| wanted.is_empty() || wanted.contains(&kind.0)) {
        let listed =
            |resource_name: String| ListedResource { resource_name, resource_type: kind.0, ..Default::default() };
        match kind {
            ConfigResourceType::TOPIC => config_resources.extend(image.topics().keys().cloned().map(listed)),
            ConfigResourceType::BROKER | ConfigResourceType::BROKER_LOGGER => {
                config_resources.extend(image.live_brokers().map(|(id, _)| listed(id.to_string())));
            }
            _ => {
                let with_some = image
                    .all_configs()
                    .iter()
                    .filter(|(resource, configs)| resource.kind == kind && !configs.is_empty());
                config_resources.extend(with_some.map(|(resource, _)| listed(resource.name.clone())));
            }
        }
    }
    ListConfigResourcesResponse { config_resources, ..Default::default() }
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let mut results = Vec::new();
    for resource in request.resources {
        let kind = ConfigResourceType(resource.resource_type);
        let wanted = resource.configuration_keys.filter(|keys| !keys.is_empty());
        let mut result = DescribeConfigsResult {
            error_message: Some(String::new()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        match entries(ctx, &ConfigResource { kind, name: resource.resource_name }) {
            Ok(mut entries) => {
                entries.retain(|entry| wanted.as_ref().is_none_or(|keys| keys.contains(&entry.name)));
                result.configs = entries.into_iter().map(|entry| shown(entry, request.include_synonyms)).collect();
            }
            Err(ApiError { code, message }) => {
                result.error_code = code.code();
                result.error_message = Some(message.unwrap_or_default());
            }
        }
        results.push(result);
    }
    DescribeConfigsResponse { results, ..Default::default() }
}

fn shown(entry: ConfigEntry, with_synonyms: bool) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().filter(|_| with_synonyms).map(|synonym| DescribeConfigsSynonym {
        name: synonym.name,
        value: synonym.value,
        source: synonym.source.code(),
        ..Default::default()
    });
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.sensitive,
        synonyms: synonyms.collect(),
        config_type: entry.config_type,
        documentation: None,
        ..Default::default()
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

fn entries(ctx: &RequestContext, resource: &ConfigResource) -> Result<Vec<ConfigEntry>, ApiError> {
    let node = ctx.broker.config.node_id;
    let name = resource.name.as_str();
    match resource.kind {
        ConfigResourceType::TOPIC => {
            topic_name::check(name)
                .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
            if ctx.broker.metadata.read().topic(name).is_none() {
                return Err(ErrorCode::UnknownTopicOrPartition.into());
            }
        }
        ConfigResourceType::BROKER if !name.is_empty() => {
            let id = name.parse::<i32>();
            let id = id.map_err(|_| invalid(format!("Broker id must be an integer, but it is: {name}")))?;
            if id != node.get() {
                let message = format!("Unexpected broker id, expected {node} or empty string, but received {name}");
                return Err(invalid(message));
            }
        }
        ConfigResourceType::BROKER_LOGGER => {
            if name.is_empty() {
                return Err(invalid("Broker id must not be empty"));
            }
            let id = name.parse::<i32>();
            let id = id.map_err(|_| invalid(format!("Broker id must be an integer, but it is: {name}")))?;
            if id != node.get() {
                return Err(invalid(format!("Unexpected broker id, expected {node} but received {name}")));
            }
            return Ok(Vec::new());
        }
        ConfigResourceType::GROUP if name.is_empty() => return Err(invalid("Group name must not be empty")),
        ConfigResourceType::CLIENT_METRICS if name.is_empty() => {
            return Err(invalid("Client metrics subscription name must not be empty"));
        }
        ConfigResourceType::BROKER | ConfigResourceType::GROUP | ConfigResourceType::CLIENT_METRICS => {}
        // Kafka's words for what no client should send.
        _ => {
            return Err(invalid(
                "This most likely occurs because of a request being malformed by the client library or the message was \
                 sent to an incompatible broker. See the broker logs for more details.",
            ));
        }
    }
    let overrides: Settings = ctx.broker.metadata.read().configs(resource).cloned().unwrap_or_default();
    let config = ctx.broker.replicas.config();
    let described = match resource.kind {
        ConfigResourceType::TOPIC => describe_topic(&config.layers, &overrides),
        ConfigResourceType::BROKER if name.is_empty() => describe_broker_defaults(&config.layers),
        ConfigResourceType::BROKER => describe_broker(&config.layers),
        ConfigResourceType::GROUP => describe_group(&config.layers, &overrides),
        _ => describe_client_metrics(&overrides),
    };
    described.map_err(|error: ConfigError| ApiError::new(ErrorCode::InvalidConfig, error.to_string()))
}
