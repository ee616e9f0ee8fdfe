//! The changes that clients ask for, as methods: each plans, commits and answers. When the metadata can't be written, every
//! part of the answer says so.

use std::collections::BTreeSet;

use tracing::warn;

use super::configs::{self, Own};
use super::directories;
use super::error::{ApiError, ControllerError};
use super::runtime::{Controller, Plan};
use super::topics;
use crate::broker::partition::is_internal;
use crate::protocol::ErrorCode;
use crate::protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use crate::protocol::messages::create_topics_response::CreatableTopicResult;
use crate::protocol::messages::delete_topics_response::DeletableTopicResult;
use crate::protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, alter_configs_response,
    incremental_alter_configs_response,
};

/// Says why, and gives the code and words for the client.
fn refused(error: &ControllerError) -> (i16, Option<String>) {
    let ApiError { code, message } = error.to_api_error();
    (code.code(), message)
}

impl Controller {
    fn own(&self) -> Own<'_> {
        Own { node_id: self.node_id(), config: self.config() }
    }

    /// CreateTopics.
    pub(in crate::broker) fn create_topics(&self, request: &CreateTopicsRequest, now_ms: i64) -> CreateTopicsResponse {
        let own = self.own();
        let planned =
            self.change(now_ms, |image| topics::create_topics(image, own.config, &own.layers(image), request));
        planned.unwrap_or_else(|error| {
            let (error_code, error_message) = refused(&error);
            let result = |name: &String| CreatableTopicResult {
                name: name.clone(),
                error_code,
                error_message: error_message.clone(),
                ..Default::default()
            };
            let topics = request.topics.iter().map(|topic| result(&topic.name)).collect();
            CreateTopicsResponse { topics, ..Default::default() }
        })
    }

    /// Creates topics that somebody asked for without knowing more than their names; internal ones as the settings say.
    /// Gives those that can't be created; one that is there by now is fine.
    pub(in crate::broker) fn create_missing_topics(
        &self,
        names: BTreeSet<String>,
        now_ms: i64,
    ) -> Vec<(String, ErrorCode)> {
        let brokers = self.cache().read().live_brokers().count();
        let topics = names.into_iter().map(|name| topics::missing_topic(self.config(), name, brokers)).collect();
        let response = self.create_topics(&CreateTopicsRequest { topics, ..Default::default() }, now_ms);
        let mut refused = Vec::new();
        for topic in response.topics {
            let code = ErrorCode::from_code(topic.error_code);
            if matches!(code, ErrorCode::None | ErrorCode::TopicAlreadyExists) {
                continue;
            }
            // The client that needs one of the broker's own topics only hears that there is no coordinator.
            if is_internal(&topic.name) {
                let why = topic.error_message.unwrap_or_default();
                warn!(topic = topic.name, error = %code, why, "a topic of the broker's own can't be created");
            }
            refused.push((topic.name, code));
        }
        refused
    }

    /// AssignReplicasToDirs.
    pub(in crate::broker) fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
        now_ms: i64,
    ) -> AssignReplicasToDirsResponse {
        let planned = self.change(now_ms, |image| {
            let (records, response) = directories::assign_replicas(image, request);
            Plan { records, response }
        });
        planned.unwrap_or_else(|error| AssignReplicasToDirsResponse {
            error_code: refused(&error).0,
            ..Default::default()
        })
    }

    /// CreatePartitions.
    pub(in crate::broker) fn create_partitions(
        &self,
        request: &CreatePartitionsRequest,
        now_ms: i64,
    ) -> CreatePartitionsResponse {
        let planned = self.change(now_ms, |image| topics::create_partitions(image, request));
        planned.unwrap_or_else(|error| {
            let (error_code, error_message) = refused(&error);
            let result = |name: &String| CreatePartitionsTopicResult {
                name: name.clone(),
                error_code,
                error_message: error_message.clone(),
                ..Default::default()
            };
            let results = request.topics.iter().map(|topic| result(&topic.name)).collect();
            CreatePartitionsResponse { results, ..Default::default() }
        })
    }

    /// DeleteTopics.
    pub(in crate::broker) fn delete_topics(
        &self,
        request: &DeleteTopicsRequest,
        version: i16,
        now_ms: i64,
    ) -> DeleteTopicsResponse {
        let planned = self.change(now_ms, |image| topics::delete_topics(image, self.config(), request, version));
        planned.unwrap_or_else(|error| {
            let (error_code, error_message) = refused(&error);
            let result = |name: Option<String>, topic_id| DeletableTopicResult {
                name,
                topic_id,
                error_code,
                error_message: error_message.clone(),
                ..Default::default()
            };
            let named = request.topic_names.iter().map(|name| result(Some(name.clone()), Default::default()));
            let states = request.topics.iter().map(|topic| result(topic.name.clone(), topic.topic_id));
            DeleteTopicsResponse { responses: named.chain(states).collect(), ..Default::default() }
        })
    }

    /// IncrementalAlterConfigs.
    pub(in crate::broker) fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest,
        now_ms: i64,
    ) -> IncrementalAlterConfigsResponse {
        let own = self.own();
        let planned = self.change(now_ms, |image| configs::incremental_alter(image, own, request));
        planned.unwrap_or_else(|error| {
            let (error_code, error_message) = refused(&error);
            let responses =
                request.resources.iter().map(|r| incremental_alter_configs_response::AlterConfigsResourceResponse {
                    error_code,
                    error_message: error_message.clone(),
                    resource_type: r.resource_type,
                    resource_name: r.resource_name.clone(),
                    ..Default::default()
                });
            IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
        })
    }

    /// AlterConfigs.
    pub(in crate::broker) fn alter_configs(&self, request: &AlterConfigsRequest, now_ms: i64) -> AlterConfigsResponse {
        let own = self.own();
        let planned = self.change(now_ms, |image| configs::alter_all(image, own, request));
        planned.unwrap_or_else(|error| {
            let (error_code, error_message) = refused(&error);
            let responses = request.resources.iter().map(|r| alter_configs_response::AlterConfigsResourceResponse {
                error_code,
                error_message: error_message.clone(),
                resource_type: r.resource_type,
                resource_name: r.resource_name.clone(),
                ..Default::default()
            });
            AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
        })
    }
}
