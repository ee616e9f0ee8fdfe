//! How far share groups are: DescribeShareGroupOffsets (key 90, versions 0-1), AlterShareGroupOffsets (91, 0),
//! DeleteShareGroupOffsets (92, 0).
//!
//! Behaviour: what a group has is asked of the share coordinator, partition by partition. To alter or delete it nobody may be in the
//! group; what is altered begins anew in a later epoch, so that a leader of before can't write over it.
//! Versions: DescribeShareGroupOffsets v1 tells the lag (KIP-1226): what is in the partition and not done with.

use std::collections::HashMap;
use std::sync::Arc;

use super::share_groups::{is_enabled, start_states};
use crate::broker::context::{Broker, RequestContext};
use crate::broker::groups::{Assignment, Refusal};
use crate::broker::share_state::SharePartitionKey;
use crate::protocol::ErrorCode;
use crate::protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use crate::protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use crate::protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use crate::protocol::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};
use crate::protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse,
};
use crate::types::Uuid;

fn words(error: ErrorCode) -> Option<String> {
    (error != ErrorCode::None).then(|| error.name().to_owned())
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: DescribeShareGroupOffsetsRequest,
) -> DescribeShareGroupOffsetsResponse {
    let enabled = is_enabled(ctx);
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let error = match enabled {
            true if group.group_id.is_empty() => Some(ErrorCode::InvalidGroupId),
            true => None,
            false => Some(ErrorCode::UnsupportedVersion),
        };
        let group_id = group.group_id.clone();
        let described = match error {
            Some(error) => Err(Refusal::new(error, error.name())),
            None => describe_group(ctx, group).await,
        };
        groups.push(match described {
            Ok(topics) => DescribeShareGroupOffsetsResponseGroup { group_id, topics, ..Default::default() },
            Err(Refusal { code, message }) => DescribeShareGroupOffsetsResponseGroup {
                group_id,
                error_code: code.code(),
                error_message: Some(message),
                ..Default::default()
            },
        });
    }
    DescribeShareGroupOffsetsResponse { groups, ..Default::default() }
}

async fn describe_group(
    ctx: &RequestContext,
    group: DescribeShareGroupOffsetsRequestGroup,
) -> Result<Vec<DescribeShareGroupOffsetsResponseTopic>, Refusal> {
    let wanted = match group.topics {
        Some(topics) => topics,
        None => all_topics(ctx, &group.group_id).await?,
    };
    let mut topics = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let topic_id = ctx.broker.topics.id_of(&topic.topic_name).unwrap_or_default();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            partitions.push(describe_partition(ctx, &group.group_id, topic_id, partition).await);
        }
        let topic_name = topic.topic_name;
        topics.push(DescribeShareGroupOffsetsResponseTopic { topic_name, topic_id, partitions, ..Default::default() });
    }
    Ok(topics)
}

/// All partitions that a group has states of.
async fn all_topics(ctx: &RequestContext, id: &str) -> Result<Vec<DescribeShareGroupOffsetsRequestTopic>, Refusal> {
    let states = ctx.broker.groups.view(id, ctx.broker.now(), |shard| shard.share_states(id)).await;
    let states = states.map_err(|error| Refusal::new(error, error.name()))??;
    let topics = states.initialized.into_values().map(|topic| DescribeShareGroupOffsetsRequestTopic {
        topic_name: topic.name,
        partitions: topic.partitions.into_iter().collect(),
        ..Default::default()
    });
    Ok(topics.collect())
}

async fn describe_partition(
    ctx: &RequestContext,
    group: &str,
    topic_id: Uuid,
    partition: i32,
) -> DescribeShareGroupOffsetsResponsePartition {
    let answer = DescribeShareGroupOffsetsResponsePartition {
        partition_index: partition,
        start_offset: -1,
        lag: -1,
        ..Default::default()
    };
    let key = SharePartitionKey { group: group.to_owned(), topic_id, partition };
    match ctx.broker.share_states.summary(&key, ctx.broker.now()).await {
        Ok(summary) => {
            let led = ctx.broker.topics.by_id(topic_id).and_then(|topic| topic.partition(partition));
            let end = led.map(|led| led.log().high_watermark().get());
            let is_known = summary.start_offset >= 0 && summary.delivery_complete_count >= 0;
            let left = |end: i64| end - summary.start_offset - i64::from(summary.delivery_complete_count);
            DescribeShareGroupOffsetsResponsePartition {
                start_offset: summary.start_offset,
                leader_epoch: summary.leader_epoch,
                lag: end.filter(|_| is_known).map_or(-1, |end| left(end).max(0)),
                ..answer
            }
        }
        Err(refused) => DescribeShareGroupOffsetsResponsePartition {
            error_code: refused.error.code(),
            error_message: words(refused.error),
            ..answer
        },
    }
}

pub(in crate::broker) async fn alter(
    ctx: &RequestContext,
    request: AlterShareGroupOffsetsRequest,
) -> AlterShareGroupOffsetsResponse {
    match try_alter(ctx, request).await {
        Ok(responses) => AlterShareGroupOffsetsResponse { responses, ..Default::default() },
        Err(Refusal { code, message }) => AlterShareGroupOffsetsResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        },
    }
}

async fn try_alter(
    ctx: &RequestContext,
    request: AlterShareGroupOffsetsRequest,
) -> Result<Vec<AlterShareGroupOffsetsResponseTopic>, Refusal> {
    check_group(ctx, &request.group_id)?;
    let group = request.group_id;
    let mut offsets: HashMap<(Uuid, i32), i64> = HashMap::new();
    let mut restarting = Assignment::new();
    for topic in &request.topics {
        let Some(known) = ctx.broker.topics.by_name(&topic.topic_name) else { continue };
        for partition in topic.partitions.iter().filter(|p| known.partition(p.partition_index).is_some()) {
            restarting.entry(known.id).or_default().insert(partition.partition_index);
            offsets.insert((known.id, partition.partition_index), partition.start_offset);
        }
    }
    let (view, now) = (ctx.broker.group_views.get(), ctx.broker.now());
    let starting = ctx.broker.groups.run(&group, now, |shard| {
        shard.observe(&view);
        shard.restart_share_states(&group, restarting, now)
    });
    let starting = starting.await.map_err(|error| Refusal::new(error, error.name()))??;
    let known = offsets.clone();
    let start = move |topic, partition| known.get(&(topic, partition)).copied().unwrap_or(-1);
    let broker = Arc::clone(&ctx.broker);
    let id = group.clone();
    // As a task of its own: what was noted as begun is begun also if the client does not wait for it.
    let errors = tokio::spawn(async move { start_states(&broker, &id, starting, start).await });
    let errors: HashMap<(Uuid, i32), ErrorCode> = errors.await.unwrap_or_default().into_iter().collect();
    let topics = request.topics.into_iter().map(|topic| {
        let topic_id = ctx.broker.topics.id_of(&topic.topic_name).unwrap_or_default();
        let partitions = topic.partitions.iter().map(|partition| {
            let id = (topic_id, partition.partition_index);
            let error = match offsets.contains_key(&id) {
                true => errors.get(&id).copied().unwrap_or(ErrorCode::None),
                false => ErrorCode::UnknownTopicOrPartition,
            };
            AlterShareGroupOffsetsResponsePartition {
                partition_index: partition.partition_index,
                error_code: error.code(),
                error_message: words(error),
                ..Default::default()
            }
        });
        let partitions = partitions.collect();
        AlterShareGroupOffsetsResponseTopic { topic_name: topic.topic_name, topic_id, partitions, ..Default::default() }
    });
    Ok(topics.collect())
}

pub(in crate::broker) async fn delete(
    ctx: &RequestContext,
    request: DeleteShareGroupOffsetsRequest,
) -> DeleteShareGroupOffsetsResponse {
    match try_delete(ctx, request).await {
        Ok(responses) => DeleteShareGroupOffsetsResponse { responses, ..Default::default() },
        Err(Refusal { code, message }) => DeleteShareGroupOffsetsResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        },
    }
}

async fn try_delete(
    ctx: &RequestContext,
    request: DeleteShareGroupOffsetsRequest,
) -> Result<Vec<DeleteShareGroupOffsetsResponseTopic>, Refusal> {
    check_group(ctx, &request.group_id)?;
    let ids: Vec<Uuid> = request.topics.iter().filter_map(|t| ctx.broker.topics.id_of(&t.topic_name)).collect();
    let outcome = end_states(&ctx.broker, &request.group_id, Some(ids)).await?;
    let topics = request.topics.into_iter().map(|topic| {
        let topic_id = ctx.broker.topics.id_of(&topic.topic_name);
        let (error, message) = match topic_id.map(|id| outcome.get(&id).copied()) {
            None => (ErrorCode::UnknownTopicOrPartition, words(ErrorCode::UnknownTopicOrPartition)),
            Some(None) => {
                let message = "There is no offset information to delete.";
                (ErrorCode::UnknownTopicOrPartition, Some(message.to_owned()))
            }
            Some(Some(error)) => (error, words(error)),
        };
        DeleteShareGroupOffsetsResponseTopic {
            topic_name: topic.topic_name,
            topic_id: topic_id.unwrap_or_default(),
            error_code: error.code(),
            error_message: message,
            ..Default::default()
        }
    });
    Ok(topics.collect())
}

fn check_group(ctx: &RequestContext, group: &str) -> Result<(), Refusal> {
    let error = if !is_enabled(ctx) {
        ErrorCode::UnsupportedVersion
    } else if group.is_empty() {
        ErrorCode::InvalidGroupId
    } else {
        return Ok(());
    };
    Err(Refusal::new(error, error.name()))
}

/// Ends the states of topics, or of all; says how that went, by topic.
///
/// # Errors
/// Somebody is in the group, or it is no share group.
pub(super) async fn end_states(
    broker: &Arc<Broker>,
    group: &str,
    topics: Option<Vec<Uuid>>,
) -> Result<HashMap<Uuid, ErrorCode>, Refusal> {
    let (view, now) = (broker.group_views.get(), broker.now());
    let ending = broker.groups.run(group, now, |shard| {
        shard.observe(&view);
        shard.end_share_states(group, topics.as_deref(), now)
    });
    let ending = ending.await.map_err(|error| Refusal::new(error, error.name()))??;
    let mut outcome = HashMap::new();
    for (topic_id, partitions) in ending {
        let mut error = ErrorCode::None;
        for partition in partitions {
            let key = SharePartitionKey { group: group.to_owned(), topic_id, partition };
            match broker.share_states.delete(&key, broker.now()).await {
                Ok(()) => {}
                // Its topic is gone, and its states with it.
                Err(refused) if refused.error == ErrorCode::UnknownTopicOrPartition => {}
                Err(refused) => error = refused.error,
            }
        }
        outcome.insert(topic_id, error);
    }
    let ended: Vec<Uuid> = outcome.iter().filter(|(_, error)| **error == ErrorCode::None).map(|(id, _)| *id).collect();
    let now = broker.now();
    let told = broker.groups.run(group, now, |shard| shard.share_states_ended(group, &ended, now));
    told.await.map_err(|error| Refusal::new(error, error.name()))?;
    Ok(outcome)
}
