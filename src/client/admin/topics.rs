//! Topics: create, delete, grow, describe.

use std::collections::{BTreeMap, HashMap};

use super::{Admin, checked};
use crate::client::cluster::{AutoCreate, TopicScope};
use crate::client::{ApiError, ClientError, TopicMetadata};
use crate::protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use crate::protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use crate::protocol::messages::delete_topics_request::DeleteTopicState;
use crate::protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use crate::protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeTopicPartitionsRequest,
};
use crate::protocol::{ApiKey, ErrorCode};
use crate::types::{LeaderEpoch, NodeId, PartitionId, Uuid};

/// How the partitions of a new topic are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewTopicLayout {
    /// So many, where the cluster puts them. `None`: as the cluster's settings say.
    Counts {
        /// Number of partitions.
        partitions: Option<i32>,
        /// Replicas of each.
        replication_factor: Option<i16>,
    },
    /// The replicas of partition 0, 1, ..., the preferred leader first.
    Replicas(Vec<Vec<NodeId>>),
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub layout: NewTopicLayout,
    /// Settings that differ from the cluster's.
    pub configs: Vec<(String, String)>,
}

/// A topic that is to have more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MorePartitions {
    /// Its name.
    pub topic: String,
    /// How many it is to have.
    pub count: i32,
    /// The replicas of each of the new ones; `None`: where the cluster puts them.
    pub replicas: Option<Vec<Vec<NodeId>>>,
}

/// A topic that was created, as far as the broker tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero if not told.
    pub id: Uuid,
    /// Number of partitions; -1 if not told.
    pub partitions: i32,
    /// Replicas of each; -1 if not told.
    pub replication_factor: i16,
}

/// A topic by name or by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicName {
    /// By its name.
    Name(String),
    /// By its id.
    Id(Uuid),
}

/// A partition, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedPartition {
    /// Its number.
    pub id: PartitionId,
    /// What is wrong with it, `None` if nothing.
    pub error: ErrorCode,
    /// Its leader, if it has one.
    pub leader: Option<NodeId>,
    /// Counts its leaderships; -1 if not told.
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Those of them that have all of it.
    pub isr: Vec<NodeId>,
    /// Those that may lead though not in sync (KIP-966); `None` if the broker does not tell.
    pub eligible_leader_replicas: Option<Vec<NodeId>>,
    /// Those that may lead if all else fails; `None` if the broker does not tell.
    pub last_known_elr: Option<Vec<NodeId>>,
    /// Those that are down.
    pub offline_replicas: Vec<NodeId>,
}

/// A topic, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id; zero if not told.
    pub id: Uuid,
    /// One of Kafka's own topics.
    pub is_internal: bool,
    /// Its partitions in order.
    pub partitions: Vec<DescribedPartition>,
    /// Bits of what the caller may do with it, if told.
    pub authorized_operations: i32,
}

impl Admin {
    /// Names and ids of all topics that the caller may see, internal ones included, sorted by name.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn list_topics(&self) -> Result<Vec<TopicMetadata>, ClientError> {
        let deadline = self.cluster.api_deadline();
        let metadata = self.cluster.refresh(&TopicScope::All, AutoCreate::Never, deadline).await?;
        let mut topics: Vec<_> = metadata.topics.values().map(|topic| TopicMetadata::clone(topic)).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// Creates topics; with `validate_only` only says whether that would work.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Vec<(String, Result<CreatedTopic, ApiError>)>, ClientError> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: self.request_timeout_ms(),
            validate_only,
            ..Default::default()
        };
        let response = self
            .call_controller(
                |_| request.clone(),
                |response| not_controller(response.topics.iter().map(|topic| topic.error_code)),
            )
            .await?;
        let told = response.topics.into_iter().map(|topic| {
            let created = CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            (topic.name, checked(topic.error_code, topic.error_message, || created))
        });
        Ok(in_order(topics.iter().map(|topic| &topic.name), told))
    }

    /// Deletes topics.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn delete_topics(
        &self,
        topics: &[TopicName],
    ) -> Result<Vec<(TopicName, Result<(), ApiError>)>, ClientError> {
        let timeout_ms = self.request_timeout_ms();
        let build = |version: i16| {
            let mut request = DeleteTopicsRequest { timeout_ms, ..Default::default() };
            if version >= 6 {
                request.topics = topics.iter().map(delete_state).collect();
            } else {
                request.topic_names = topics.iter().filter_map(TopicName::name).map(str::to_owned).collect();
            }
            request
        };
        let response = self
            .call_controller(build, |response| not_controller(response.responses.iter().map(|topic| topic.error_code)))
            .await?;
        let mut by_name = HashMap::new();
        let mut by_id = HashMap::new();
        for topic in response.responses {
            let result = ApiError::check(topic.error_code, topic.error_message);
            by_id.insert(topic.topic_id, result.clone());
            by_name.insert(topic.name.unwrap_or_default(), result);
        }
        let result_of = |topic: &TopicName| match topic {
            TopicName::Name(name) => by_name.get(name).cloned(),
            TopicName::Id(id) => by_id.get(id).cloned(),
        };
        // Ids can't be said to brokers before 2.8.
        let missing = || Err(ApiError::from(ErrorCode::UnsupportedVersion));
        Ok(topics.iter().map(|topic| (topic.clone(), result_of(topic).unwrap_or_else(missing))).collect())
    }

    /// Raises the number of partitions of topics.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn create_partitions(
        &self,
        topics: &[MorePartitions],
        validate_only: bool,
    ) -> Result<Vec<(String, Result<(), ApiError>)>, ClientError> {
        let assignment = |replicas: &Vec<NodeId>| CreatePartitionsAssignment {
            broker_ids: replicas.iter().map(|node| node.get()).collect(),
            ..Default::default()
        };
        let grown = |more: &MorePartitions| CreatePartitionsTopic {
            name: more.topic.clone(),
            count: more.count,
            assignments: more.replicas.as_ref().map(|replicas| replicas.iter().map(assignment).collect()),
            ..Default::default()
        };
        let request = CreatePartitionsRequest {
            topics: topics.iter().map(grown).collect(),
            timeout_ms: self.request_timeout_ms(),
            validate_only,
            ..Default::default()
        };
        let response = self
            .call_controller(
                |_| request.clone(),
                |response| not_controller(response.results.iter().map(|topic| topic.error_code)),
            )
            .await?;
        let told = response
            .results
            .into_iter()
            .map(|topic| (topic.name, checked(topic.error_code, topic.error_message, || ())));
        Ok(in_order(topics.iter().map(|more| &more.topic), told))
    }

    /// Describes topics by name. Brokers that can (3.8 and newer) are asked page by page, `page` partitions at a time.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn describe_topics(
        &self,
        names: &[String],
        page: i32,
    ) -> Result<Vec<(String, Result<TopicDescription, ApiError>)>, ClientError> {
        if names.iter().any(String::is_empty) {
            return self.describe_named(names, page).await;
        }
        let deadline = self.cluster.api_deadline();
        if self.cluster.any(deadline).await?.api_versions().get(ApiKey::DescribeTopicPartitions).is_some() {
            match self.describe_paged(names, page).await {
                Err(ClientError::UnsupportedVersion { .. }) => {}
                described => return described,
            }
        }
        let scope = TopicScope::Names(names.to_vec());
        let metadata = self.cluster.refresh(&scope, AutoCreate::Never, deadline).await?;
        let told = names.iter().filter_map(|name| {
            let topic = metadata.topics.get(name)?;
            Some((name.clone(), checked(topic.error.code(), None, || TopicDescription::from(&**topic))))
        });
        Ok(in_order(names.iter(), told))
    }

    /// As [`Self::describe_topics`], where a name is empty: brokers say nothing of such a topic.
    async fn describe_named(
        &self,
        names: &[String],
        page: i32,
    ) -> Result<Vec<(String, Result<TopicDescription, ApiError>)>, ClientError> {
        let named: Vec<String> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        // No names at all would mean all topics.
        let mut described =
            if named.is_empty() { Vec::new() } else { Box::pin(self.describe_topics(&named, page)).await? };
        let message = "The given topic name '' cannot be represented in a request.";
        described.push((
            String::new(),
            Err(ApiError { message: Some(message.to_owned()), ..ErrorCode::InvalidTopicException.into() }),
        ));
        Ok(described)
    }

    /// Describes topics by id.
    ///
    /// # Errors
    /// No broker answers, or it does not know topics by id (before 3.1).
    pub async fn describe_topics_by_id(
        &self,
        ids: &[Uuid],
    ) -> Result<Vec<(Uuid, Result<TopicDescription, ApiError>)>, ClientError> {
        use crate::protocol::messages::MetadataRequest;
        use crate::protocol::messages::metadata_request::MetadataRequestTopic;
        let topic = |id: &Uuid| MetadataRequestTopic { topic_id: *id, name: None, ..Default::default() };
        let request = MetadataRequest {
            topics: Some(ids.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let response =
            self.call_any(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code))).await?;
        let mut told: HashMap<_, _> = response
            .topics
            .into_iter()
            .map(|topic| (topic.topic_id, TopicMetadata::from(topic)))
            .map(|(id, topic)| (id, checked(topic.error.code(), None, || TopicDescription::from(&topic))))
            .collect();
        let unknown = || Err(ApiError::from(ErrorCode::UnknownTopicId));
        Ok(ids.iter().map(|id| (*id, told.remove(id).unwrap_or_else(unknown))).collect())
    }

    async fn describe_paged(
        &self,
        names: &[String],
        page: i32,
    ) -> Result<Vec<(String, Result<TopicDescription, ApiError>)>, ClientError> {
        let mut sorted: Vec<_> = names.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut told: BTreeMap<String, Result<TopicDescription, ApiError>> = BTreeMap::new();
        let mut cursor: Option<(String, i32)> = None;
        loop {
            // Brokers answer in the order of the names; those before the cursor are done.
            let rest = sorted.iter().filter(|name| cursor.as_ref().is_none_or(|(from, _)| *name >= from));
            let request = DescribeTopicPartitionsRequest {
                topics: rest.map(|name| TopicRequest { name: name.clone(), ..Default::default() }).collect(),
                response_partition_limit: page,
                cursor: cursor.clone().map(|(topic_name, partition_index)| Cursor {
                    topic_name,
                    partition_index,
                    ..Default::default()
                }),
                ..Default::default()
            };
            let response = self.call_any(|_| request.clone(), |_| None).await?;
            for topic in response.topics {
                take_page(&mut told, topic);
            }
            let next = response.next_cursor.map(|cursor| (cursor.topic_name, cursor.partition_index));
            // A cursor that does not move would turn this into an endless loop.
            match next {
                Some(next) if Some(&next) != cursor.as_ref() => cursor = Some(next),
                _ => break,
            }
        }
        Ok(in_order(names.iter(), told))
    }
}

fn take_page(
    told: &mut BTreeMap<String, Result<TopicDescription, ApiError>>,
    topic: DescribeTopicPartitionsResponseTopic,
) {
    let name = topic.name.unwrap_or_default();
    let partitions = topic.partitions.into_iter().map(DescribedPartition::from);
    if let Some(Ok(begun)) = told.get_mut(&name) {
        begun.partitions.extend(partitions);
        return;
    }
    let description = checked(topic.error_code, None, || TopicDescription {
        name: name.clone(),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions: partitions.collect(),
        authorized_operations: topic.topic_authorized_operations,
    });
    told.insert(name, description);
}

impl TopicName {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Id(_) => None,
        }
    }
}

fn delete_state(topic: &TopicName) -> DeleteTopicState {
    match topic {
        TopicName::Name(name) => DeleteTopicState { name: Some(name.clone()), ..Default::default() },
        TopicName::Id(id) => DeleteTopicState { topic_id: *id, ..Default::default() },
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let mut creatable =
        CreatableTopic { name: topic.name.clone(), num_partitions: -1, replication_factor: -1, ..Default::default() };
    match &topic.layout {
        NewTopicLayout::Counts { partitions, replication_factor } => {
            creatable.num_partitions = partitions.unwrap_or(-1);
            creatable.replication_factor = replication_factor.unwrap_or(-1);
        }
        NewTopicLayout::Replicas(partitions) => {
            creatable.assignments = (0..)
                .zip(partitions)
                .map(|(partition_index, replicas)| CreatableReplicaAssignment {
                    partition_index,
                    broker_ids: replicas.iter().map(|node| node.get()).collect(),
                    ..Default::default()
                })
                .collect();
        }
    }
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
        ..Default::default()
    };
    creatable.configs = topic.configs.iter().map(config).collect();
    creatable
}

/// The code that says that the whole request went to the wrong broker, if one of the results does.
fn not_controller(codes: impl Iterator<Item = i16>) -> Option<ErrorCode> {
    codes.map(ErrorCode::from_code).find(|code| *code == ErrorCode::NotController)
}

/// Results in the order of the question. What the broker left out, it does not know.
pub(super) fn in_order<'a, T>(
    asked: impl Iterator<Item = &'a String>,
    told: impl IntoIterator<Item = (String, Result<T, ApiError>)>,
) -> Vec<(String, Result<T, ApiError>)> {
    let mut told: HashMap<_, _> = told.into_iter().collect();
    let unknown = || Err(ApiError::from(ErrorCode::UnknownTopicOrPartition));
    asked.map(|name| (name.clone(), told.remove(name).unwrap_or_else(unknown))).collect()
}

fn nodes(ids: Vec<i32>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

impl From<DescribeTopicPartitionsResponsePartition> for DescribedPartition {
    fn from(partition: DescribeTopicPartitionsResponsePartition) -> Self {
        Self {
            id: PartitionId(partition.partition_index),
            error: ErrorCode::from_code(partition.error_code),
            leader: (partition.leader_id >= 0).then_some(NodeId(partition.leader_id)),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            replicas: nodes(partition.replica_nodes),
            isr: nodes(partition.isr_nodes),
            // Null from a broker that could tell means that there are none.
            eligible_leader_replicas: Some(nodes(partition.eligible_leader_replicas.unwrap_or_default())),
            last_known_elr: Some(nodes(partition.last_known_elr.unwrap_or_default())),
            offline_replicas: nodes(partition.offline_replicas),
        }
    }
}

impl From<&TopicMetadata> for TopicDescription {
    fn from(topic: &TopicMetadata) -> Self {
        let partitions = topic.partitions.iter().map(|partition| DescribedPartition {
            id: partition.id,
            error: partition.error,
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            eligible_leader_replicas: None,
            last_known_elr: None,
            offline_replicas: partition.offline_replicas.clone(),
        });
        Self {
            name: topic.name.clone(),
            id: topic.id,
            is_internal: topic.is_internal,
            partitions: partitions.collect(),
            authorized_operations: topic.authorized_operations,
        }
    }
}
