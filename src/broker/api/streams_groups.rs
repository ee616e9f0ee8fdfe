//! Streams groups of KIP-1071: StreamsGroupHeartbeat (key 88, version 0), StreamsGroupDescribe (89, 0).
//!
//! Behaviour: the rules are in `groups/streams/`; here requests become commands and their results become answers, and the internal topics
//! that an application still needs are made. Served where `group.coordinator.rebalance.protocols` has `streams` and
//! `streams.version` is 1 or more; `UNSUPPORTED_VERSION` elsewhere.
//! Not there, as in Kafka 4.3: static members, source topics by regular expression, warm-up tasks, another topology for a group.

use super::groups::{ALL_GROUP_OPERATIONS, check_described, has_feature, has_protocol};
use crate::broker::context::RequestContext;
use crate::broker::groups::{Client, InternalTopic, check_streams_request};
use crate::protocol::ErrorCode;
use crate::protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use crate::protocol::messages::create_topics_response::CreatableTopicResult;
use crate::protocol::messages::streams_group_describe_response::DescribedGroup;
use crate::protocol::messages::{
    CreateTopicsRequest, StreamsGroupDescribeRequest, StreamsGroupDescribeResponse, StreamsGroupHeartbeatRequest,
    StreamsGroupHeartbeatResponse,
};

/// The feature that these groups come with.
const STREAMS_VERSION: &str = "streams.version";

/// Topics that could not be made, in a message; of more only their number is told.
const FAILURES_SHOWN: usize = 3;

/// The status of a heartbeat that tells of internal topics that are missing.
const MISSING_INTERNAL_TOPICS: i8 = 3;

fn is_enabled(ctx: &RequestContext) -> bool {
    has_protocol(ctx, "streams") && has_feature(ctx, STREAMS_VERSION)
}

pub(in crate::broker) async fn heartbeat(
    ctx: &RequestContext,
    request: StreamsGroupHeartbeatRequest,
) -> StreamsGroupHeartbeatResponse {
    let refused = |error: ErrorCode, error_message| StreamsGroupHeartbeatResponse {
        error_code: error.code(),
        error_message,
        ..Default::default()
    };
    if !is_enabled(ctx) {
        return refused(ErrorCode::UnsupportedVersion, None);
    }
    if let Err(refusal) = check_streams_request(&request) {
        return refused(refusal.code, Some(refusal.message));
    }
    let client = Client { id: ctx.client_id.clone(), host: ctx.client_host() };
    let (view, now) = (ctx.broker.group_views.get(), ctx.broker.now());
    let beat = ctx.broker.groups.run(&request.group_id, now, |shard| {
        shard.observe(&view);
        shard.streams_heartbeat(&request, &client, now)
    });
    match beat.await {
        Ok(mut beat) => {
            if !beat.missing_topics.is_empty() {
                let failures = create_topics(ctx, beat.missing_topics).await;
                tell_failures(&mut beat.answer, &failures);
            }
            beat.answer
        }
        Err(error) => refused(error, None),
    }
}

/// Makes the internal topics of an application. Gives those that could not be made, with the reason; one that is there by now is fine.
async fn create_topics(ctx: &RequestContext, topics: Vec<InternalTopic>) -> Vec<String> {
    let config =
        |(name, value): (String, String)| CreatableTopicConfig { name, value: Some(value), ..Default::default() };
    let topic = |topic: InternalTopic| CreatableTopic {
        name: topic.name,
        num_partitions: topic.partitions,
        replication_factor: if topic.replication_factor == 0 { -1 } else { topic.replication_factor },
        configs: topic.configs.into_iter().map(config).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: topics.into_iter().map(topic).collect(), ..Default::default() };
    let now_ms = ctx.broker.now().wall_ms;
    let response = ctx.broker.change(move |broker| broker.controller.create_topics(&request, now_ms)).await;
    let failure = |topic: CreatableTopicResult| match ErrorCode::from_code(topic.error_code) {
        ErrorCode::None | ErrorCode::TopicAlreadyExists => None,
        error => {
            let reason = topic.error_message.unwrap_or_else(|| error.to_string());
            tracing::warn!(topic = topic.name, reason, "an internal topic of a streams group can't be created");
            Some(format!("{} ({reason})", topic.name))
        }
    };
    response.topics.into_iter().filter_map(failure).collect()
}

fn tell_failures(answer: &mut StreamsGroupHeartbeatResponse, failures: &[String]) {
    let mut statuses = answer.status.iter_mut().flatten();
    let status = statuses.find(|status| status.status_code == MISSING_INTERNAL_TOPICS);
    let (Some(status), false) = (status, failures.is_empty()) else { return };
    let shown = failures.iter().take(FAILURES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match failures.len().saturating_sub(FAILURES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    status.status_detail += &format!("; Creation failed: {shown}{more}.");
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: StreamsGroupDescribeRequest,
) -> StreamsGroupDescribeResponse {
    let refused = |group_id: &str, error: ErrorCode| DescribedGroup {
        group_id: group_id.to_owned(),
        error_code: error.code(),
        ..Default::default()
    };
    let enabled = is_enabled(ctx);
    let now = ctx.broker.now();
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for id in &request.group_ids {
        let found = match check_described(enabled, id) {
            Ok(()) => ctx.broker.groups.view(id, now, |shard| shard.describe_streams_group(id)).await,
            Err(error) => Err(error),
        };
        let mut group = found.unwrap_or_else(|error| refused(id, error));
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = ALL_GROUP_OPERATIONS;
        }
        groups.push(group);
    }
    StreamsGroupDescribeResponse { groups, ..Default::default() }
}
