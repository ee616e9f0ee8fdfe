//! Commits: how far the group has got, as this consumer says.

use std::sync::Arc;

use tokio::time::Instant;

use super::error::ConsumeError;
use super::group::Membership as Classic;
use super::{Consumer, Shared};
use crate::client::admin::groups::{
    LAST_OFFSETS_VERSION_WITH_NAMES, Membership as CommitAs, commit_request, commit_results,
};
use crate::client::admin::{GroupOffset, call_up_to, find_coordinator};
use crate::client::cluster::Lane;
use crate::client::membership::Membership as Coordinated;
use crate::client::retry::Deadline;
use crate::client::{ClientError, lock};
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// On whose behalf offsets are committed.
#[derive(Debug, Clone)]
pub(super) enum Committer {
    /// A consumer that names its partitions.
    Nobody,
    /// A member of a group whose members assign.
    Classic(Arc<Classic>),
    /// A member of a group whose coordinator assigns.
    Coordinated(Arc<Coordinated>),
}

impl Committer {
    /// Generation or member epoch, and member id; `None`: not a member of the group now.
    pub(super) fn identity(&self) -> Option<(i32, String)> {
        match self {
            Self::Nobody => Some((-1, String::new())),
            Self::Classic(membership) => {
                let state = lock(&membership.state);
                (state.generation >= 0).then(|| (state.generation, state.member_id.clone()))
            }
            Self::Coordinated(membership) => {
                let state = lock(&membership.state);
                Some((state.epoch()?, state.member_id().to_owned()))
            }
        }
    }
}

impl Consumer {
    pub(super) fn commits_automatically(&self) -> bool {
        self.shared.options.group.as_ref().is_some_and(|group| group.auto_commit_interval.is_some())
    }

    /// Where every partition is that has a position.
    pub(super) fn positions(&self) -> Vec<(TopicPartition, GroupOffset)> {
        let partitions = lock(&self.shared.partitions);
        let position = |state: &super::state::PartitionState| {
            let position = state.position?;
            let offset = GroupOffset { leader_epoch: position.leader_epoch, ..GroupOffset::new(position.offset) };
            Some((TopicPartition::clone(&state.key), offset))
        };
        partitions.iter().filter_map(position).collect()
    }

    /// Commits in passing when it is time. Says when it is next.
    pub(super) fn auto_commit(&mut self) -> Option<Instant> {
        let interval = self.shared.options.group.as_ref()?.auto_commit_interval?;
        let now = Instant::now();
        let due = *self.next_auto_commit.get_or_insert(now + interval);
        if due <= now {
            self.next_auto_commit = Some(now + interval);
            let offsets = self.positions();
            self.commit_in_background(offsets);
        }
        self.next_auto_commit
    }

    /// Commits where every partition is: the records that were handed out count as done.
    ///
    /// # Errors
    /// The group gave the partitions to others, is rebalancing, or its coordinator can't be reached.
    pub async fn commit(&mut self) -> Result<(), ConsumeError> {
        let offsets = self.positions();
        self.commit_offsets(offsets).await
    }

    /// Commits these offsets: of each partition the next record to read.
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub async fn commit_offsets(&mut self, offsets: Vec<(TopicPartition, GroupOffset)>) -> Result<(), ConsumeError> {
        if offsets.is_empty() {
            return Ok(());
        }
        commit(&self.shared, self.committer(), offsets).await
    }

    /// Commits without waiting; a failure is logged, and a later commit makes up for it.
    pub fn commit_in_background(&mut self, offsets: Vec<(TopicPartition, GroupOffset)>) {
        if offsets.is_empty() {
            return;
        }
        let (shared, committer) = (Arc::clone(&self.shared), self.committer());
        tokio::spawn(async move {
            if let Err(error) = commit(&shared, committer, offsets).await {
                tracing::warn!(%error, "could not commit offsets");
            }
        });
    }
}

async fn commit(
    shared: &Shared,
    committer: Committer,
    offsets: Vec<(TopicPartition, GroupOffset)>,
) -> Result<(), ConsumeError> {
    let group = shared.options.group.as_ref().ok_or(ConsumeError::NoGroup)?;
    let instance_id = match committer {
        Committer::Nobody => None,
        Committer::Classic(_) | Committer::Coordinated(_) => group.group_instance_id.as_deref(),
    };
    let deadline = shared.cluster.api_deadline();
    let mut backoff = shared.cluster.retry_backoff();
    let (mut generation, mut member_id) = committer.identity().ok_or(ConsumeError::CommitFailed)?;
    loop {
        let own = CommitAs { group: &group.group_id, generation, member_id: &member_id, instance_id };
        let request = commit_request(&own, &offsets);
        let code = match commit_once(shared, &group.group_id, &request, deadline).await {
            Ok(ErrorCode::None) => return Ok(()),
            Ok(code) => code,
            Err(error) => {
                shared.cluster.pause(error, &mut backoff, deadline).await?;
                continue;
            }
        };
        match (&committer, code) {
            // The member has reached another epoch meanwhile, or is about to learn of it.
            (Committer::Coordinated(_), ErrorCode::StaleMemberEpoch) => {
                let wait = backoff.next_wait();
                if wait >= deadline.left() {
                    return Err(ConsumeError::CommitFailed);
                }
                tokio::time::sleep(wait).await;
                (generation, member_id) = committer.identity().ok_or(ConsumeError::CommitFailed)?;
            }
            (_, ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::FencedInstanceId) => {
                // A commit of an earlier generation says nothing about the present one.
                if let Committer::Classic(membership) = &committer
                    && lock(&membership.state).generation == generation
                {
                    membership.take_note(code);
                }
                let fenced = code == ErrorCode::FencedInstanceId;
                return Err(if fenced { ConsumeError::Fenced } else { ConsumeError::CommitFailed });
            }
            (_, ErrorCode::RebalanceInProgress) => {
                if let Committer::Classic(membership) = &committer {
                    membership.take_note(ErrorCode::RebalanceInProgress);
                }
                return Err(ConsumeError::Rebalancing);
            }
            (_, code) => {
                let error = ClientError::from(crate::client::ApiError::from(code));
                shared.cluster.pause(error, &mut backoff, deadline).await?;
            }
        }
    }
}

/// One attempt; gives the first error among the partitions.
async fn commit_once(
    shared: &Shared,
    group: &str,
    request: &crate::protocol::messages::OffsetCommitRequest,
    deadline: Deadline,
) -> Result<ErrorCode, ClientError> {
    // Not in the line of JoinGroup, which may wait long for its answer.
    let coordinator = find_coordinator(&shared.cluster, group, Lane::General, deadline).await?;
    let response = call_up_to(LAST_OFFSETS_VERSION_WITH_NAMES, &coordinator, |_| request.clone()).await?;
    let failed = commit_results(response).into_values().find_map(Result::err);
    Ok(failed.map_or(ErrorCode::None, |error| error.code))
}
