//! Share groups of KIP-932: ShareGroupHeartbeat (key 76, version 1), ShareGroupDescribe (77, 1).
//!
//! Behaviour: the rules are in `groups/share/`; here requests become commands and their results become answers. Served where
//! `share.version` is 1 or more; `UNSUPPORTED_VERSION` elsewhere. States that a heartbeat wants to begin are begun before it is
//! answered, so that a member's first answer has its partitions (Kafka's has them in the next).

use std::sync::Arc;

use super::groups::{ALL_GROUP_OPERATIONS, check_described, has_feature};
use crate::broker::context::{Broker, RequestContext};
use crate::broker::groups::{Assignment, Client, Shard, Starting};
use crate::broker::share_state::{Initialize, SHARE_STATE_TOPIC, SharePartitionKey};
use crate::protocol::ErrorCode;
use crate::protocol::messages::share_group_describe_response::DescribedGroup;
use crate::protocol::messages::{
    ShareGroupDescribeRequest, ShareGroupDescribeResponse, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
};
use crate::types::Uuid;

/// The feature that these groups come with.
const SHARE_VERSION: &str = "share.version";

/// Stands for "where the group's settings say".
const UNKNOWN_OFFSET: i64 = -1;

/// Whether there are share groups in this cluster.
pub(in crate::broker) fn is_enabled(ctx: &RequestContext) -> bool {
    has_feature(ctx, SHARE_VERSION)
}

pub(in crate::broker) async fn heartbeat(
    ctx: &RequestContext,
    request: ShareGroupHeartbeatRequest,
) -> ShareGroupHeartbeatResponse {
    let refused = |error: ErrorCode| ShareGroupHeartbeatResponse { error_code: error.code(), ..Default::default() };
    if !is_enabled(ctx) {
        return refused(ErrorCode::UnsupportedVersion);
    }
    let client = Client { id: ctx.client_id.clone(), host: ctx.client_host() };
    let beat = || async {
        let (view, now) = (ctx.broker.group_views.get(), ctx.broker.now());
        let answer = ctx.broker.groups.run(&request.group_id, now, |shard| {
            shard.observe(&view);
            shard.share_heartbeat(&request, &client, now)
        });
        answer.await
    };
    match beat().await {
        Ok((answer, None)) => answer,
        Ok((answer, Some(starting))) => {
            start_states(&ctx.broker, &request.group_id, starting, |_, _| UNKNOWN_OFFSET).await;
            // What has begun can be assigned: asked again, the group does that.
            let again = beat().await.map(|(again, _)| again);
            again.ok().filter(|again| again.error_code == 0).unwrap_or(answer)
        }
        Err(error) => refused(error),
    }
}

/// Has the share coordinator begin states, and tells the group how that went; gives the errors, by partition.
pub(super) async fn start_states(
    broker: &Arc<Broker>,
    group: &str,
    starting: Starting,
    offset: impl Fn(Uuid, i32) -> i64,
) -> Vec<((Uuid, i32), ErrorCode)> {
    if broker.topics.by_name(SHARE_STATE_TOPIC).is_none() {
        broker.create_missing_topics([SHARE_STATE_TOPIC.to_owned()].into()).await;
    }
    let (mut started, mut failed, mut errors) = (Assignment::new(), Assignment::new(), Vec::new());
    for (topic_id, partitions) in starting.topics {
        for partition in partitions {
            let key = SharePartitionKey { group: group.to_owned(), topic_id, partition };
            let start_offset = offset(topic_id, partition);
            let initialize = Initialize { state_epoch: starting.state_epoch, start_offset };
            match broker.share_states.initialize(&key, initialize, broker.now()).await {
                Ok(()) => {
                    started.entry(topic_id).or_default().insert(partition);
                }
                Err(refused) => {
                    tracing::warn!(%key, error = %refused.error, "a share group's state could not be begun");
                    failed.entry(topic_id).or_default().insert(partition);
                    errors.push(((topic_id, partition), refused.error));
                }
            }
        }
    }
    let (view, now) = (broker.group_views.get(), broker.now());
    let told = broker.groups.run(group, now, |shard| {
        shard.observe(&view);
        shard.share_states_started(group, &started, &failed, now)
    });
    if let Err(error) = told.await {
        // Noted as about to begin: the next heartbeat asks again.
        tracing::warn!(group, %error, "that states of a share group have begun could not be noted");
    }
    errors
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: ShareGroupDescribeRequest,
) -> ShareGroupDescribeResponse {
    let refused = |group_id: &str, error: ErrorCode| DescribedGroup {
        group_id: group_id.to_owned(),
        error_code: error.code(),
        ..Default::default()
    };
    let enabled = is_enabled(ctx);
    let (view, now) = (ctx.broker.group_views.get(), ctx.broker.now());
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for id in &request.group_ids {
        let found = match check_described(enabled, id) {
            Ok(()) => {
                let describe = |shard: &mut Shard| {
                    shard.observe(&view);
                    (shard.describe_share_group(id), Default::default())
                };
                ctx.broker.groups.run(id, now, describe).await
            }
            Err(error) => Err(error),
        };
        let mut group = found.unwrap_or_else(|error| refused(id, error));
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = ALL_GROUP_OPERATIONS;
        }
        groups.push(group);
    }
    ShareGroupDescribeResponse { groups, ..Default::default() }
}
