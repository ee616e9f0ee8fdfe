//! Membership in a group by the classic protocol: join, learn what to read, stay alive, leave.
//!
//! Joining and heartbeats run as tasks of their own; what they find lies in [`Membership`], where the next poll of the
//! consumer picks it up. Start reading at [`join`].

pub(super) mod assignors;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::error::ConsumeError;
use super::options::GroupOptions;
use super::{Shared, lock};
use crate::client::admin::groups::read_assignment;
use crate::client::admin::{call, find_coordinator, millis};
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::connection::{CallOptions, Connection};
use crate::client::retry::Deadline;
use crate::client::{ApiError, ClientError};
use crate::config::Assignor;
use crate::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use crate::protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use crate::protocol::{EncodeError, ErrorCode};
use crate::types::TopicPartition;
use assignors::Member;

/// The protocol type of groups of consumers.
const PROTOCOL_TYPE: &str = "consumer";

/// How much longer than the rebalance may take the answer to JoinGroup is waited for, as Kafka's clients do.
const JOIN_GRACE: Duration = Duration::from_secs(5);

/// What a rebalance brought.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) assignment: Vec<TopicPartition>,
    /// For the leader: the topics that it shared out, with their partition counts.
    pub(super) shared_out: Option<BTreeMap<String, i32>>,
}

#[derive(Debug)]
pub(super) struct MemberState {
    pub(super) member_id: String,
    /// -1: not a member.
    pub(super) generation: i32,
    /// The group meets again, or something changed for us.
    pub(super) rejoin: bool,
    /// The group went on without us: what we read is others' now.
    pub(super) lost: bool,
    pub(super) fatal: Option<ConsumeError>,
    pub(super) joining: bool,
    pub(super) joined: Option<Result<Joined, ConsumeError>>,
    pub(super) last_poll: Instant,
    /// Counts joins, so that the heartbeats of an earlier one end.
    pub(super) round: u64,
}

/// What the consumer and the tasks of its membership share.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) options: GroupOptions,
    pub(super) state: Mutex<MemberState>,
}

impl Membership {
    pub(super) fn new(options: GroupOptions) -> Self {
        let state = MemberState {
            member_id: String::new(),
            generation: -1,
            rejoin: true,
            lost: false,
            fatal: None,
            joining: false,
            joined: None,
            last_poll: Instant::now(),
            round: 0,
        };
        Self { options, state: Mutex::new(state) }
    }

    /// Whether members give up only what moves (KIP-429): if all strategies can do that.
    pub(super) fn is_cooperative(&self) -> bool {
        self.options.assignors.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }

    /// Takes note of an error that ends the membership or starts a rebalance; `false` if it is none of these.
    pub(super) fn take_note(&self, code: ErrorCode) -> bool {
        let mut state = lock(&self.state);
        match code {
            ErrorCode::RebalanceInProgress => state.rejoin = true,
            ErrorCode::UnknownMemberId => {
                state.member_id.clear();
                state.lose();
            }
            ErrorCode::IllegalGeneration => state.lose(),
            ErrorCode::FencedInstanceId => {
                state.lose();
                state.fatal = Some(ConsumeError::Fenced);
            }
            _ => return false,
        }
        true
    }
}

impl MemberState {
    pub(super) fn lose(&mut self) {
        self.generation = -1;
        self.rejoin = true;
        self.lost = true;
        self.round += 1;
    }
}

/// Joins the group, and shares partitions out if the group makes us its leader. Tries until it works, or never will.
pub(super) async fn join(
    shared: Arc<Shared>,
    membership: Arc<Membership>,
    topics: BTreeSet<String>,
    owned: Vec<TopicPartition>,
) {
    let round = lock(&membership.state).round;
    let mut backoff = shared.cluster.retry_backoff();
    let outcome = loop {
        match join_once(&shared, &membership, &topics, &owned).await {
            Ok(joined) => break Ok(joined),
            Err(Failure::Again) => {}
            Err(Failure::Later(error)) => {
                tracing::debug!(%error, group = membership.options.group_id, "could not join the group yet");
                tokio::time::sleep(backoff.next_wait()).await;
            }
            Err(Failure::Never(error)) => break Err(error),
        }
        if lock(&membership.state).round != round {
            return; // Left or closed meanwhile.
        }
    };
    {
        let mut state = lock(&membership.state);
        if state.round != round {
            return;
        }
        state.joining = false;
        state.joined = Some(outcome);
    }
    shared.news.notify_one();
}

enum Failure {
    /// At once: the answer said how.
    Again,
    Later(ClientError),
    Never(ConsumeError),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        if error.is_retriable() || matches!(error, ClientError::DeadlineExceeded { .. }) {
            Self::Later(error)
        } else {
            Self::Never(error.into())
        }
    }
}

impl From<EncodeError> for Failure {
    fn from(source: EncodeError) -> Self {
        let api = crate::protocol::ApiKey::JoinGroup;
        Self::Never(ClientError::Unsayable { api, version: 0, source }.into())
    }
}

async fn join_once(
    shared: &Shared,
    membership: &Membership,
    topics: &BTreeSet<String>,
    owned: &[TopicPartition],
) -> Result<Joined, Failure> {
    let options = &membership.options;
    let (member_id, generation) = {
        let state = lock(&membership.state);
        (state.member_id.clone(), state.generation)
    };
    let deadline = Deadline::after(shared.options.client.request_timeout);
    let connection = find_coordinator(&shared.cluster, &options.group_id, Lane::Group, deadline).await?;
    let me = Member {
        id: member_id.clone(),
        instance_id: options.group_instance_id.clone(),
        topics: topics.clone(),
        owned: owned.to_vec(),
        generation,
    };
    let mut protocols = Vec::new();
    for assignor in &options.assignors {
        let metadata = wire::write_subscription(*assignor, &me, &shared.options.client.client_rack)?;
        let name = assignor.name().to_owned();
        protocols.push(JoinGroupRequestProtocol { name, metadata, ..Default::default() });
    }
    let request = JoinGroupRequest {
        group_id: options.group_id.clone(),
        session_timeout_ms: millis(options.session_timeout),
        rebalance_timeout_ms: millis(options.max_poll_interval),
        member_id,
        group_instance_id: options.group_instance_id.clone(),
        protocol_type: PROTOCOL_TYPE.to_owned(),
        protocols,
        ..Default::default()
    };
    let patience = shared.options.client.request_timeout.max(options.max_poll_interval + JOIN_GRACE);
    let waiting = CallOptions { timeout: Some(patience), ..Default::default() };
    let response = connection.call_with(&request, waiting).await?;
    let code = ErrorCode::from_code(response.error_code);
    {
        let mut state = lock(&membership.state);
        match code {
            ErrorCode::None => {
                state.member_id.clone_from(&response.member_id);
                state.generation = response.generation_id;
                // Changes from here on are news.
                state.rejoin = false;
            }
            // The coordinator wants to know that we learned our id before it counts us in (KIP-394).
            ErrorCode::MemberIdRequired => {
                state.member_id.clone_from(&response.member_id);
                return Err(Failure::Again);
            }
            ErrorCode::UnknownMemberId => state.member_id.clear(),
            ErrorCode::IllegalGeneration => state.generation = -1,
            _ => {}
        }
    }
    refuse(code)?;
    let shared_out = share_out(shared, membership, &response).await?;
    let (shared_out, assignments) = shared_out.map_or((None, Vec::new()), |(topics, given)| (Some(topics), given));
    let request = SyncGroupRequest {
        group_id: options.group_id.clone(),
        generation_id: response.generation_id,
        member_id: response.member_id,
        group_instance_id: options.group_instance_id.clone(),
        protocol_type: Some(PROTOCOL_TYPE.to_owned()),
        protocol_name: response.protocol_name,
        assignments,
        ..Default::default()
    };
    let response = connection.call_with(&request, waiting).await?;
    let code = ErrorCode::from_code(response.error_code);
    if code == ErrorCode::UnknownMemberId {
        lock(&membership.state).member_id.clear();
    }
    refuse(code)?;
    Ok(Joined { assignment: read_assignment(&response.assignment), shared_out })
}

/// What an error in the answer to JoinGroup or SyncGroup means for us.
fn refuse(code: ErrorCode) -> Result<(), Failure> {
    match code {
        ErrorCode::None => Ok(()),
        ErrorCode::FencedInstanceId => Err(Failure::Never(ConsumeError::Fenced)),
        ErrorCode::RebalanceInProgress | ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
            Err(Failure::Later(ApiError::from(code).into()))
        }
        code if code.is_retriable() => Err(Failure::Later(ApiError::from(code).into())),
        code => Err(Failure::Never(ApiError::from(code).into())),
    }
}

type SharedOut = (BTreeMap<String, i32>, Vec<SyncGroupRequestAssignment>);

/// The leader's work.
async fn share_out(
    shared: &Shared,
    membership: &Membership,
    response: &JoinGroupResponse,
) -> Result<Option<SharedOut>, Failure> {
    if response.leader != response.member_id || response.members.is_empty() {
        return Ok(None);
    }
    let name = response.protocol_name.as_deref().unwrap_or_default();
    let assignor = membership.options.assignors.iter().copied().find(|assignor| assignor.name() == name);
    let Some(assignor) = assignor else {
        return Err(Failure::Never(ApiError::from(ErrorCode::InconsistentGroupProtocol).into()));
    };
    let members: Vec<_> = response
        .members
        .iter()
        .map(|m| {
            let (id, instance) = (m.member_id.clone(), m.group_instance_id.clone());
            wire::read_subscription(assignor, id, instance, &m.metadata)
        })
        .collect();
    let names: BTreeSet<_> = members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
    let deadline = Deadline::after(shared.options.client.request_timeout);
    let scope = TopicScope::Names(names.iter().cloned().collect());
    let metadata = shared.cluster.refresh(&scope, AutoCreate::Never, deadline).await?;
    let count = |name: &String| {
        let topic = metadata.topic(name)?;
        Some((name.clone(), i32::try_from(topic.partitions.len()).ok()?))
    };
    let topics: BTreeMap<_, _> = names.iter().filter_map(count).collect();
    let mut assignments = Vec::new();
    if !response.skip_assignment {
        for (member_id, partitions) in assignors::assign(assignor, &members, &topics) {
            let assignment = wire::write_assignment(&partitions)?;
            assignments.push(SyncGroupRequestAssignment { member_id, assignment, ..Default::default() });
        }
    }
    Ok(Some((topics, assignments)))
}

/// Keeps the membership of one round alive until it ends.
pub(super) async fn heartbeats(shared: Arc<Shared>, membership: Arc<Membership>, round: u64) {
    let options = &membership.options;
    let mut connection: Option<Connection> = None;
    loop {
        tokio::time::sleep(options.heartbeat_interval).await;
        let (member_id, generation_id, idle) = {
            let state = lock(&membership.state);
            if state.round != round || state.generation < 0 {
                return;
            }
            if state.joining {
                continue; // The coordinator knows that we are there: we wait for its answer.
            }
            (state.member_id.clone(), state.generation, state.last_poll.elapsed())
        };
        if idle > options.max_poll_interval {
            tracing::warn!(
                group = options.group_id,
                "poll was not called for max.poll.interval.ms: leaving the group so that others can go on"
            );
            leave(&shared, &membership, "consumer poll timeout has expired.").await;
            lock(&membership.state).lose();
            shared.news.notify_one();
            return;
        }
        let deadline = Deadline::after(shared.options.client.request_timeout);
        let beat = async {
            let coordinator = match connection.take().filter(|connection| !connection.is_closed()) {
                Some(coordinator) => coordinator,
                None => find_coordinator(&shared.cluster, &options.group_id, Lane::Group, deadline).await?,
            };
            let request = HeartbeatRequest {
                group_id: options.group_id.clone(),
                generation_id,
                member_id,
                group_instance_id: options.group_instance_id.clone(),
                ..Default::default()
            };
            let response = coordinator.call(&request).await?;
            Ok::<_, ClientError>((coordinator, ErrorCode::from_code(response.error_code)))
        };
        match beat.await {
            Ok((coordinator, ErrorCode::None)) => connection = Some(coordinator),
            Ok((coordinator, code)) => {
                let same_round = lock(&membership.state).round == round;
                if same_round && membership.take_note(code) {
                    connection = Some(coordinator);
                    shared.news.notify_one();
                }
            }
            Err(error) => tracing::debug!(%error, group = options.group_id, "a heartbeat failed"),
        }
    }
}

/// Leaves the group, if we are in it and do not name ourselves: those who do come back to their partitions.
pub(super) async fn leave(shared: &Shared, membership: &Membership, reason: &str) {
    let options = &membership.options;
    let member_id = lock(&membership.state).member_id.clone();
    if options.group_instance_id.is_some() || member_id.is_empty() {
        return;
    }
    let deadline = Deadline::after(shared.options.client.request_timeout);
    let build = |version: i16| {
        let mut request = LeaveGroupRequest { group_id: options.group_id.clone(), ..Default::default() };
        if version >= 3 {
            let (member_id, reason) = (member_id.clone(), Some(reason.to_owned()));
            request.members = vec![MemberIdentity { member_id, reason, ..Default::default() }];
        } else {
            request.member_id.clone_from(&member_id);
        }
        request
    };
    let ask = async {
        // Not in the line of JoinGroup, which may wait long for its answer.
        let coordinator = find_coordinator(&shared.cluster, &options.group_id, Lane::General, deadline).await?;
        call(&coordinator, build).await
    };
    // The session's end has the same effect, only later.
    if let Err(error) = ask.await {
        tracing::debug!(%error, group = options.group_id, "could not leave the group");
    }
}
