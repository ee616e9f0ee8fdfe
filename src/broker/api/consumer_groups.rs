//! Consumer groups of KIP-848: ConsumerGroupHeartbeat (key 68, versions 0-1), ConsumerGroupDescribe (69, 0-1).
//!
//! Behaviour: the rules are in `groups/consumer/`; here requests become commands and their results become answers. Served where
//! `group.coordinator.rebalance.protocols` has `consumer` and `group.version` is 1 or more; `UNSUPPORTED_VERSION` elsewhere.
//! Versions: ConsumerGroupHeartbeat v1 has regular expressions, and members draw their own ids; ConsumerGroupDescribe v1 tells which protocol
//! a member speaks.

use super::groups::{ALL_GROUP_OPERATIONS, check_described, has_feature, has_protocol};
use crate::broker::context::RequestContext;
use crate::broker::groups::{Client, Shard};
use crate::protocol::ErrorCode;
use crate::protocol::messages::consumer_group_describe_response::DescribedGroup;
use crate::protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
};

/// The feature that these groups come with.
const GROUP_VERSION: &str = "group.version";

fn is_enabled(ctx: &RequestContext) -> bool {
    has_protocol(ctx, "consumer") && has_feature(ctx, GROUP_VERSION)
}

pub(in crate::broker) async fn heartbeat(
    ctx: &RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let refused = |error: ErrorCode| ConsumerGroupHeartbeatResponse { error_code: error.code(), ..Default::default() };
    if !is_enabled(ctx) {
        return refused(ErrorCode::UnsupportedVersion);
    }
    let client = Client { id: ctx.client_id.clone(), host: ctx.client_host() };
    let (view, now) = (ctx.broker.group_views.get(), ctx.broker.now());
    let answer = ctx.broker.groups.run(&request.group_id, now, |shard| {
        shard.observe(&view);
        shard.consumer_heartbeat(&request, ctx.version, &client, now)
    });
    answer.await.unwrap_or_else(refused)
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
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
                    (shard.describe_consumer_group(id), Default::default())
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
    ConsumerGroupDescribeResponse { groups, ..Default::default() }
}
