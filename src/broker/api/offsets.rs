//! Committed offsets: OffsetCommit (key 8, versions 2-10), OffsetFetch (9, 1-10), OffsetDelete (47, 0); and FindCoordinator (10, 0-6), which
//! tells where to send them.
//!
//! Behaviour: an offset is answered when its record is committed to `__consumer_offsets`. OffsetFetch gives -1 for what was never committed.
//! Versions: OffsetCommit v2-4 may bring a retention time, v6 brings leader epochs, v9 a member epoch, v10 topic ids; OffsetFetch v2 may ask
//! for all topics, v7 for offsets that no open transaction may change (KIP-447), v8 for several groups, v10 by topic id; FindCoordinator v4 takes several keys,
//! v6 share-partitions.

use std::sync::Arc;

use super::metadata::addresses;
use crate::broker::context::RequestContext;
use crate::broker::groups::{Commit, Committed, Committer, OFFSETS_TOPIC, Shard};
use crate::broker::share_state::{SHARE_STATE_TOPIC, SharePartitionKey};
use crate::broker::transactions::TRANSACTION_STATE_TOPIC;
use crate::protocol::ErrorCode;
use crate::protocol::messages::find_coordinator_response::Coordinator;
use crate::protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use crate::protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use crate::protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use crate::types::{PartitionId, Uuid};

/// First version of OffsetCommit that may answer with errors of the newer group protocols.
const FIRST_VERSION_WITH_MEMBER_EPOCH: i16 = 9;
/// First version of OffsetCommit and OffsetFetch that names topics by their ids.
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 10;

pub(in crate::broker) async fn commit(ctx: &RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let now = ctx.broker.now();
    let expires_ms = (request.retention_time_ms >= 0).then(|| now.wall_ms.saturating_add(request.retention_time_ms));
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut commits = Vec::new();
    for topic in &request.topics {
        let by_id = ctx.version >= FIRST_VERSION_WITH_TOPIC_IDS;
        let (name, topic_id) = if by_id {
            (ctx.broker.topics.name_of(topic.topic_id), topic.topic_id)
        } else {
            let id = ctx.broker.topics.id_of(&topic.name);
            (Some(Arc::from(topic.name.as_str())), id.unwrap_or(Uuid::ZERO))
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let error = match &name {
                None => ErrorCode::UnknownTopicId,
                Some(name) if ctx.broker.topics.has_partition(name, index) => {
                    commits.push(Commit {
                        topic: name.to_string(),
                        partition: index,
                        committed: Committed {
                            offset: partition.committed_offset,
                            leader_epoch: partition.committed_leader_epoch,
                            metadata: partition.committed_metadata.clone().unwrap_or_default(),
                            committed_ms: now.wall_ms,
                            expires_ms,
                            topic_id,
                        },
                    });
                    ErrorCode::None
                }
                Some(_) => ErrorCode::UnknownTopicOrPartition,
            };
            partitions.push(OffsetCommitResponsePartition {
                partition_index: index,
                error_code: error.code(),
                ..Default::default()
            });
        }
        topics.push(OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions,
            ..Default::default()
        });
    }
    let committer = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
        version: ctx.version,
    };
    let id = request.group_id.as_str();
    let answers = if commits.is_empty() {
        Ok(Vec::new())
    } else {
        let result = ctx.broker.groups.run(id, now, |shard| match shard.commit(id, committer, commits, now) {
            Ok((answers, effects)) => (Ok(answers), effects),
            Err(error) => (Err(error), Default::default()),
        });
        result.await.unwrap_or_else(Err).map_err(|error| match error {
            // Versions before the newer group protocols have no word for it.
            ErrorCode::GroupIdNotFound if ctx.version < FIRST_VERSION_WITH_MEMBER_EPOCH => ErrorCode::IllegalGeneration,
            error => error,
        })
    };
    let accepted = topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|p| p.error_code == 0);
    match answers {
        Ok(answers) => accepted.zip(answers).for_each(|(partition, error)| partition.error_code = error.code()),
        Err(error) => accepted.for_each(|partition| partition.error_code = error.code()),
    }
    OffsetCommitResponse { topics, ..Default::default() }
}

/// Whose offsets are wanted, and of which partitions; no topics means all.
struct Wanted {
    group: String,
    topics: Option<Vec<WantedTopic>>,
    /// Offsets that open transactions may change are refused.
    require_stable: bool,
    /// Who asks, if it says so (version 9).
    member_id: Option<String>,
    member_epoch: i32,
}

struct WantedTopic {
    name: Option<Arc<str>>,
    id: Uuid,
    partitions: Vec<i32>,
}

/// One offset of the answer.
struct Found {
    partition: i32,
    committed: Option<Committed>,
    error: ErrorCode,
}

struct FoundTopic {
    name: String,
    id: Uuid,
    partitions: Vec<Found>,
}

pub(in crate::broker) async fn fetch(ctx: &RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if ctx.version < 8 {
        let topics = request.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| WantedTopic { name: Some(t.name.into()), id: Uuid::ZERO, partitions: t.partition_indexes })
                .collect()
        });
        let wanted = Wanted {
            group: request.group_id,
            topics,
            require_stable: request.require_stable,
            member_id: None,
            member_epoch: -1,
        };
        return match offsets_of(ctx, &wanted).await {
            Ok(found) => {
                OffsetFetchResponse { topics: found.into_iter().map(classic_topic).collect(), ..Default::default() }
            }
            Err(error) => OffsetFetchResponse { error_code: error.code(), ..Default::default() },
        };
    }
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let by_id = ctx.version >= FIRST_VERSION_WITH_TOPIC_IDS;
        let topics = group.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| WantedTopic {
                    name: if by_id { ctx.broker.topics.name_of(t.topic_id) } else { Some(t.name.into()) },
                    id: t.topic_id,
                    partitions: t.partition_indexes,
                })
                .collect()
        });
        let wanted = Wanted {
            group: group.group_id,
            topics,
            require_stable: request.require_stable,
            member_id: group.member_id,
            member_epoch: group.member_epoch,
        };
        let (topics, error) = match offsets_of(ctx, &wanted).await {
            Ok(found) => (found.into_iter().map(topic_of_group).collect(), ErrorCode::None),
            Err(error) => (Vec::new(), error),
        };
        groups.push(OffsetFetchResponseGroup {
            group_id: wanted.group,
            topics,
            error_code: error.code(),
            ..Default::default()
        });
    }
    OffsetFetchResponse { groups, ..Default::default() }
}

async fn offsets_of(ctx: &RequestContext, wanted: &Wanted) -> Result<Vec<FoundTopic>, ErrorCode> {
    let now = ctx.broker.now();
    let id = wanted.group.as_str();
    let found = |shard: &Shard, topic: &str, partition: i32, committed: Option<Committed>| {
        if wanted.require_stable && shard.is_undecided(id, topic, partition) {
            // A transaction that may change it is open: the client asks again (KIP-447).
            return Found { partition, committed: None, error: ErrorCode::UnstableOffsetCommit };
        }
        Found { partition, committed, error: ErrorCode::None }
    };
    let answer = ctx.broker.groups.view(id, now, |shard| {
        shard.check_fetch(id, wanted.member_id.as_deref(), wanted.member_epoch)?;
        Ok(match &wanted.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| FoundTopic {
                    name: topic.name.as_deref().unwrap_or_default().to_owned(),
                    id: topic.id,
                    partitions: topic
                        .partitions
                        .iter()
                        .map(|partition| match &topic.name {
                            Some(name) => {
                                let is_same = |committed: &&Committed| is_same_topic(committed.topic_id, topic.id);
                                let committed = shard.offset(id, name, *partition).filter(is_same).cloned();
                                found(shard, name, *partition, committed)
                            }
                            None => Found { partition: *partition, committed: None, error: ErrorCode::UnknownTopicId },
                        })
                        .collect(),
                })
                .collect(),
            None => {
                let mut topics: Vec<FoundTopic> = Vec::new();
                for (name, partition, committed) in shard.offsets(id) {
                    let found = found(shard, &name, partition, Some(committed));
                    match topics.last_mut() {
                        Some(topic) if topic.name == name => topic.partitions.push(found),
                        _ => {
                            let id = ctx.broker.topics.id_of(&name);
                            if id.is_none() && ctx.version >= FIRST_VERSION_WITH_TOPIC_IDS {
                                continue; // There is no way to name it.
                            }
                            let id = id.unwrap_or(Uuid::ZERO);
                            topics.push(FoundTopic { name, id, partitions: vec![found] });
                        }
                    }
                }
                topics
            }
        })
    });
    answer.await?
}

/// Whether an offset is of the topic that is asked for, and not of one that had its name before.
fn is_same_topic(committed: Uuid, wanted: Uuid) -> bool {
    committed == wanted || committed == Uuid::ZERO || wanted == Uuid::ZERO
}

fn classic_topic(topic: FoundTopic) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|found| {
        let (committed_offset, committed_leader_epoch, metadata) = told(found.committed);
        OffsetFetchResponsePartition {
            partition_index: found.partition,
            committed_offset,
            committed_leader_epoch,
            metadata: Some(metadata),
            error_code: found.error.code(),
            ..Default::default()
        }
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect(), ..Default::default() }
}

fn topic_of_group(topic: FoundTopic) -> OffsetFetchResponseTopics {
    let partitions = topic.partitions.into_iter().map(|found| {
        let (committed_offset, committed_leader_epoch, metadata) = told(found.committed);
        OffsetFetchResponsePartitions {
            partition_index: found.partition,
            committed_offset,
            committed_leader_epoch,
            metadata: Some(metadata),
            error_code: found.error.code(),
            ..Default::default()
        }
    });
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn told(committed: Option<Committed>) -> (i64, i32, String) {
    committed.map_or((-1, -1, String::new()), |c| (c.offset, c.leader_epoch, c.metadata))
}

pub(in crate::broker) async fn delete(ctx: &RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let now = ctx.broker.now();
    let id = request.group_id.as_str();
    if id.is_empty() {
        return OffsetDeleteResponse { error_code: ErrorCode::InvalidGroupId.code(), ..Default::default() };
    }
    let partitions: Vec<(String, i32)> = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.clone(), p.partition_index)))
        .collect();
    let answers = ctx.broker.groups.run(id, now, |shard| match shard.delete_offsets(id, &partitions) {
        Ok((answers, effects)) => (Ok(answers), effects),
        Err(error) => (Err(error), Default::default()),
    });
    match answers.await.unwrap_or_else(Err) {
        Err(error) => OffsetDeleteResponse { error_code: error.code(), ..Default::default() },
        Ok(answers) => {
            let mut answers = answers.into_iter();
            let topics = request.topics.into_iter().map(|topic| OffsetDeleteResponseTopic {
                partitions: topic
                    .partitions
                    .iter()
                    .map(|partition| {
                        let known = ctx.broker.topics.has_partition(&topic.name, partition.partition_index);
                        let answer = answers.next().unwrap_or(ErrorCode::UnknownServerError);
                        OffsetDeleteResponsePartition {
                            partition_index: partition.partition_index,
                            error_code: if known { answer } else { ErrorCode::UnknownTopicOrPartition }.code(),
                        }
                    })
                    .collect(),
                name: topic.name,
            });
            OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }
        }
    }
}

/// Kinds of keys in FindCoordinator.
const GROUP_KEY: i8 = 0;
const SHARE_KEY: i8 = 2;

/// First version that may ask for a share-partition's coordinator (KIP-932).
const FIRST_VERSION_WITH_SHARE_KEYS: i16 = 6;
const TRANSACTION_KEY: i8 = 1;

pub(in crate::broker) async fn find_coordinator(
    ctx: &RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if ctx.version < 4 {
        let found = coordinator_of(ctx, request.key_type, request.key).await;
        return FindCoordinatorResponse {
            error_code: found.error_code,
            error_message: found.error_message,
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            ..Default::default()
        };
    }
    let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
    for key in request.coordinator_keys {
        coordinators.push(coordinator_of(ctx, request.key_type, key).await);
    }
    FindCoordinatorResponse { coordinators, ..Default::default() }
}

async fn coordinator_of(ctx: &RequestContext, key_type: i8, key: String) -> Coordinator {
    let refused = |key, error: ErrorCode, message: Option<&str>| Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: error.code(),
        error_message: message.map(str::to_owned),
        ..Default::default()
    };
    let (topic, partition) = match key_type {
        GROUP_KEY => (OFFSETS_TOPIC, ctx.broker.groups.partition_of(&key)),
        SHARE_KEY if ctx.version < FIRST_VERSION_WITH_SHARE_KEYS => {
            return refused(key, ErrorCode::InvalidRequest, None);
        }
        SHARE_KEY if !SharePartitionKey::is_valid(&key) => {
            return refused(key, ErrorCode::InvalidRequest, Some("Invalid share partition key"));
        }
        SHARE_KEY => (SHARE_STATE_TOPIC, ctx.broker.share_coordinator.partition_of(&key)),
        TRANSACTION_KEY => (TRANSACTION_STATE_TOPIC, ctx.broker.transactions.partition_of(&key)),
        _ => {
            let message = "only coordinators of groups, transactions and share groups are served";
            return refused(key, ErrorCode::InvalidRequest, Some(message));
        }
    };
    if ctx.broker.topics.by_name(topic).is_none() {
        ctx.broker.create_missing_topics([topic.to_owned()].into()).await;
    }
    let partition = PartitionId::new(partition);
    let address = {
        let image = ctx.broker.metadata.read();
        let leader = image.partition(topic, partition).map(|partition| partition.leader);
        addresses(&image, &ctx.peer.listener).into_iter().find(|address| Some(address.node_id) == leader)
    };
    match address {
        Some(address) => Coordinator {
            key,
            node_id: address.node_id.get(),
            host: address.host,
            port: i32::from(address.port),
            // Kafka says so in words too.
            error_message: Some("NONE".to_owned()),
            ..Default::default()
        },
        None => refused(key, ErrorCode::CoordinatorNotAvailable, None),
    }
}
