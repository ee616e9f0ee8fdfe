//! What is wrong with a heartbeat, whatever the state of its group.

use super::Refusal;
use super::tasks::{TaskSet, Tasks};
use crate::broker::groups::modern::{JOIN_EPOCH, STATIC_LEAVE_EPOCH};
use crate::broker::partition::is_internal;
use crate::metadata::topic_name;
use crate::protocol::ErrorCode;
use crate::protocol::messages::StreamsGroupHeartbeatRequest;
use crate::protocol::messages::streams_group_heartbeat_request::{TaskIds, Topology};

/// All topics that a topology names, one after another.
fn topics_of(topology: &Topology) -> impl Iterator<Item = &str> {
    topology.subtopologies.iter().flat_map(|subtopology| {
        let named = subtopology.source_topics.iter().chain(&subtopology.repartition_sink_topics).map(String::as_str);
        let internal = subtopology.repartition_source_topics.iter().chain(&subtopology.state_changelog_topics);
        named.chain(internal.map(|topic| topic.name.as_str()))
    })
}

/// Checks a heartbeat.
///
/// # Errors
/// The refusal, in Kafka's order and words.
pub(in crate::broker) fn check_request(request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
    if let Some(topology) = &request.topology {
        check_names(topology)?;
    }
    check_is_supported(request)?;
    check_fields(request)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn ensure(holds: bool, message: &str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(invalid(message)) }
}

/// Kafka's own topics are not for applications; others must have names that a topic can have.
fn check_names(topology: &Topology) -> Result<(), Refusal> {
    let of_kind = |is_wrong: fn(&str) -> bool| {
        let mut wrong: Vec<&str> = Vec::new();
        for topic in topics_of(topology).filter(|topic| is_wrong(topic)) {
            if !wrong.contains(&topic) {
                wrong.push(topic);
            }
        }
        (!wrong.is_empty()).then(|| wrong.join(","))
    };
    if let Some(topics) = of_kind(is_internal) {
        let message = format!("Use of Kafka internal topics {topics} in a Kafka Streams topology is prohibited.");
        return Err(Refusal::new(ErrorCode::StreamsInvalidTopology, message));
    }
    if let Some(topics) = of_kind(|topic| topic_name::check(topic).is_err()) {
        let message = format!("Topic names {topics} are not valid topic names.");
        return Err(Refusal::new(ErrorCode::StreamsInvalidTopology, message));
    }
    Ok(())
}

/// What Kafka 4.3 does not know how to do either.
fn check_is_supported(request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
    ensure(request.instance_id.is_none(), "Static membership is not yet supported.")?;
    ensure(request.task_offsets.is_none(), "TaskOffsets are not supported yet.")?;
    ensure(request.task_end_offsets.is_none(), "TaskEndOffsets are not supported yet.")?;
    ensure(request.warmup_tasks.as_ref().is_none_or(Vec::is_empty), "WarmupTasks are not supported yet.")?;
    let mut subtopologies = request.topology.iter().flat_map(|topology| &topology.subtopologies);
    let has_no_regex = subtopologies.all(|subtopology| subtopology.source_topic_regex.is_empty());
    ensure(has_no_regex, "Regular expressions for source topics are not supported yet.")
}

fn check_fields(request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
    let epoch = request.member_epoch;
    let is_blank = |text: &Option<String>| text.as_deref().is_some_and(|text| text.trim().is_empty());
    ensure(!request.member_id.trim().is_empty(), "MemberId can't be empty.")?;
    ensure(!request.group_id.trim().is_empty(), "GroupId can't be empty.")?;
    ensure(!is_blank(&request.rack_id), "RackId can't be empty.")?;
    let lists = [&request.active_tasks, &request.standby_tasks, &request.warmup_tasks];
    if epoch == JOIN_EPOCH {
        ensure(request.rebalance_timeout_ms != -1, "RebalanceTimeoutMs must be provided in first request.")?;
        for (tasks, name) in lists.into_iter().zip(["Active", "Standby", "Warmup"]) {
            let is_none_owned = tasks.as_ref().is_some_and(Vec::is_empty);
            ensure(is_none_owned, &format!("{name}Tasks must be empty when (re-)joining."))?;
        }
        let Some(topology) = &request.topology else {
            return Err(invalid("Topology must be non-null when (re-)joining."));
        };
        check_topology(topology)?;
    } else if epoch == STATIC_LEAVE_EPOCH {
        return Err(invalid("InstanceId can't be null."));
    } else if epoch < STATIC_LEAVE_EPOCH {
        return Err(invalid(format!("MemberEpoch is {epoch}, but must be greater than or equal to -2.")));
    }
    let is_whole = lists.iter().all(|tasks| tasks.is_some()) || lists.iter().all(|tasks| tasks.is_none());
    ensure(is_whole, "If one task-type is non-null, all must be non-null.")?;
    ensure(epoch == JOIN_EPOCH || request.topology.is_none(), "Topology can only be provided when (re-)joining.")
}

fn check_topology(topology: &Topology) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::StreamsInvalidTopology, message));
    for topic in topology.subtopologies.iter().flat_map(|subtopology| &subtopology.state_changelog_topics) {
        if topic.partitions != 0 {
            return refuse(format!(
                "Changelog topic {} must have an undefined partition count, but it is set to {}.",
                topic.name, topic.partitions
            ));
        }
    }
    // Kafka stumbles over these, and says that it does not know what went wrong.
    if topology.epoch < 0 {
        return refuse(format!("Topology epoch {} must not be negative.", topology.epoch));
    }
    let mut ids: Vec<&str> = topology.subtopologies.iter().map(|it| it.subtopology_id.as_str()).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
        Some(id) => refuse(format!("Subtopology {id} is there more than once.")),
        None => Ok(()),
    }
}

/// The tasks that a member says it has; `None` if it does not say.
pub(super) fn owned(request: &StreamsGroupHeartbeatRequest) -> Option<TaskSet> {
    let tasks = |ids: &[TaskIds]| -> Tasks {
        let mut tasks = Tasks::new();
        for ids in ids.iter().filter(|ids| !ids.partitions.is_empty()) {
            tasks.entry(ids.subtopology_id.clone()).or_default().extend(ids.partitions.iter().copied());
        }
        tasks
    };
    Some(TaskSet {
        active: tasks(request.active_tasks.as_deref()?),
        standby: tasks(request.standby_tasks.as_deref()?),
        warmup: tasks(request.warmup_tasks.as_deref()?),
    })
}
