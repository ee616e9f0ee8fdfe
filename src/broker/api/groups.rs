//! Classic consumer groups: JoinGroup (key 11, versions 0-9), Heartbeat (12, 0-4), LeaveGroup (13, 0-5), SyncGroup (14, 0-5),
//! DescribeGroups (15, 0-6), ListGroups (16, 0-5), DeleteGroups (42, 0-2).
//!
//! Behaviour: the rules are in `groups/`; here requests become commands and their results become answers.
//! Versions: JoinGroup v4 makes a dynamic member come back with its id (KIP-394), v5 knows static members (KIP-345), v7 has nullable
//! protocol names; LeaveGroup v3 takes several members; DescribeGroups v6 answers `GROUP_ID_NOT_FOUND` where earlier versions
//! say that the group is dead; ListGroups v4 filters by state, v5 by type.
//! The same requests serve members of the classic protocol in a consumer group (KIP-848).

use super::share_offsets::end_states;
use crate::broker::context::RequestContext;
use crate::broker::groups::{Client, Described, Reply, Shard};
use crate::protocol::ErrorCode;
use crate::protocol::messages::delete_groups_response::DeletableGroupResult;
use crate::protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::leave_group_response::MemberResponse;
use crate::protocol::messages::list_groups_response::ListedGroup;
use crate::protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};

/// First version of SyncGroup whose clients must say which protocol they mean (KIP-559).
const FIRST_SYNC_VERSION_WITH_PROTOCOL: i16 = 5;

/// The state of a group that is not there, as DescribeGroups has it.
const DEAD: &str = "Dead";

pub(in crate::broker) async fn join(ctx: &RequestContext, request: JoinGroupRequest) -> JoinGroupResponse {
    let client = Client { id: ctx.client_id.clone(), host: ctx.client_host() };
    let (view, now) = (ctx.broker.group_views.get(), ctx.broker.now());
    let member_id = request.member_id.clone();
    let reply = ctx.broker.groups.run_waiting(&request.group_id, now, |shard, token| {
        shard.observe(&view);
        shard.join(&request, ctx.version, &client, token, now)
    });
    let mut answer = match reply.await {
        Ok(Reply::Join(answer)) => answer,
        Ok(_) => join_error(ErrorCode::UnknownServerError, member_id),
        Err(error) => join_error(error, member_id),
    };
    if answer.error_code != 0 && ctx.version >= 7 {
        answer.protocol_name = None;
    }
    answer
}

fn join_error(error: ErrorCode, member_id: String) -> JoinGroupResponse {
    JoinGroupResponse { error_code: error.code(), member_id, ..Default::default() }
}

pub(in crate::broker) async fn sync(ctx: &RequestContext, request: SyncGroupRequest) -> SyncGroupResponse {
    let now = ctx.broker.now();
    let refused = |error: ErrorCode| SyncGroupResponse { error_code: error.code(), ..Default::default() };
    let is_complete = request.protocol_type.is_some() && request.protocol_name.is_some();
    if ctx.version >= FIRST_SYNC_VERSION_WITH_PROTOCOL && !is_complete {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    let reply = ctx.broker.groups.run_waiting(&request.group_id, now, |shard, token| shard.sync(&request, token, now));
    match reply.await {
        Ok(Reply::Sync(answer)) => answer,
        Ok(_) => refused(ErrorCode::UnknownServerError),
        // As Kafka: the member joins again when the groups are loaded.
        Err(ErrorCode::CoordinatorLoadInProgress) => refused(ErrorCode::RebalanceInProgress),
        Err(error) => refused(error),
    }
}

pub(in crate::broker) async fn heartbeat(ctx: &RequestContext, request: HeartbeatRequest) -> HeartbeatResponse {
    let now = ctx.broker.now();
    let answer = ctx.broker.groups.run(&request.group_id, now, |shard| {
        let instance = request.group_instance_id.as_deref();
        let id = request.group_id.as_str();
        (shard.heartbeat(id, &request.member_id, instance, request.generation_id, now), Default::default())
    });
    let error = match answer.await {
        // As Kafka: while the groups are loaded every member counts as alive.
        Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Ok(error) | Err(error) => error,
    };
    HeartbeatResponse { error_code: error.code(), ..Default::default() }
}

pub(in crate::broker) async fn leave(ctx: &RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let now = ctx.broker.now();
    let members = if ctx.version < 3 {
        vec![MemberIdentity { member_id: request.member_id, ..Default::default() }]
    } else {
        request.members
    };
    if request.group_id.is_empty() {
        return LeaveGroupResponse { error_code: ErrorCode::InvalidGroupId.code(), ..Default::default() };
    }
    let answers = ctx.broker.groups.run(&request.group_id, now, |shard| shard.leave(&request.group_id, &members, now));
    match answers.await {
        Err(error) => LeaveGroupResponse { error_code: error.code(), ..Default::default() },
        Ok(answers) if ctx.version < 3 => {
            let error_code = answers.first().copied().unwrap_or(ErrorCode::UnknownMemberId).code();
            LeaveGroupResponse { error_code, ..Default::default() }
        }
        Ok(answers) => LeaveGroupResponse {
            members: members
                .into_iter()
                .zip(answers)
                .map(|(member, error)| MemberResponse {
                    member_id: member.member_id,
                    group_instance_id: member.group_instance_id,
                    error_code: error.code(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        },
    }
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let now = ctx.broker.now();
    let mut groups = Vec::with_capacity(request.groups.len());
    for id in request.groups {
        let find = |shard: &Shard| shard.describe(&id).ok_or_else(|| shard.not_classic(&id));
        let found = ctx.broker.groups.view(&id, now, find).await;
        groups.push(match found {
            Ok(Ok(group)) => described(id, group, request.include_authorized_operations),
            Ok(Err(message)) if ctx.version >= 6 => DescribedGroup {
                error_code: ErrorCode::GroupIdNotFound.code(),
                error_message: Some(message),
                group_id: id,
                group_state: DEAD.to_owned(),
                ..Default::default()
            },
            Ok(Err(_)) => DescribedGroup { group_id: id, group_state: DEAD.to_owned(), ..Default::default() },
            Err(error) => DescribedGroup { error_code: error.code(), group_id: id, ..Default::default() },
        });
    }
    DescribeGroupsResponse { groups, ..Default::default() }
}

fn described(id: String, group: Described, with_operations: bool) -> DescribedGroup {
    DescribedGroup {
        group_id: id,
        group_state: group.state.to_owned(),
        protocol_type: group.protocol_type,
        protocol_data: group.protocol,
        members: group
            .members
            .into_iter()
            .map(|member| DescribedGroupMember {
                member_id: member.id,
                group_instance_id: member.instance_id,
                client_id: member.client.id,
                client_host: member.client.host,
                member_metadata: member.metadata,
                member_assignment: member.assignment,
                ..Default::default()
            })
            .collect(),
        authorized_operations: if with_operations { ALL_GROUP_OPERATIONS } else { i32::MIN },
        ..Default::default()
    }
}

/// Read, delete, describe, describe configs and alter configs, by their numbers as bits: without an authorizer everybody may do everything.
pub(super) const ALL_GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Whether the cluster has a feature; all that come with group protocols begin with level 1.
pub(super) fn has_feature(ctx: &RequestContext, feature: &str) -> bool {
    ctx.broker.metadata.read().features().get(feature).is_some_and(|level| *level >= 1)
}

/// Whether this broker serves a group protocol (`group.coordinator.rebalance.protocols`).
pub(super) fn has_protocol(ctx: &RequestContext, protocol: &str) -> bool {
    let protocols = &ctx.broker.config.group_coordinator_rebalance_protocols;
    protocols.iter().any(|served| served.eq_ignore_ascii_case(protocol))
}

/// Whether a group of a newer protocol can be looked for, to be described.
pub(super) fn check_described(is_enabled: bool, id: &str) -> Result<(), ErrorCode> {
    match id {
        _ if !is_enabled => Err(ErrorCode::UnsupportedVersion),
        "" => Err(ErrorCode::InvalidGroupId),
        _ => Ok(()),
    }
}

pub(in crate::broker) async fn list(ctx: &RequestContext, request: ListGroupsRequest) -> ListGroupsResponse {
    let wants = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
    };
    let mut groups = Vec::new();
    let complete = ctx.broker.groups.view_all(|shard| {
        for group in shard.list() {
            if wants(&request.states_filter, group.state) && wants(&request.types_filter, group.kind) {
                groups.push(ListedGroup {
                    group_id: group.id,
                    protocol_type: group.protocol_type,
                    group_state: group.state.to_owned(),
                    group_type: group.kind.to_owned(),
                    ..Default::default()
                });
            }
        }
    });
    match complete {
        Ok(()) => ListGroupsResponse { groups, ..Default::default() },
        Err(error) => ListGroupsResponse { error_code: error.code(), ..Default::default() },
    }
}

pub(in crate::broker) async fn delete(ctx: &RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let now = ctx.broker.now();
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        // The empty id too: consumers of long ago have committed offsets under it.
        let error = if let Err(error) = end_share_states(ctx, &id).await {
            error
        } else {
            ctx.broker.groups.run(&id, now, |shard| shard.delete(&id, now)).await.unwrap_or_else(|error| error)
        };
        results.push(DeletableGroupResult { group_id: id, error_code: error.code(), ..Default::default() });
    }
    DeleteGroupsResponse { results, ..Default::default() }
}

/// A share group takes with it what is known of how far it is.
async fn end_share_states(ctx: &RequestContext, id: &str) -> Result<(), ErrorCode> {
    if !ctx.broker.groups.view(id, ctx.broker.now(), |shard| shard.is_share_group(id)).await? {
        return Ok(());
    }
    let ended = end_states(&ctx.broker, id, None).await.map_err(|refusal| refusal.code)?;
    ended.into_values().find(|error| *error != ErrorCode::None).map_or(Ok(()), Err)
}
