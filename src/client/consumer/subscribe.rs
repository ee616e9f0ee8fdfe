//! The consumer as a member of a group: subscriptions, rebalances, commits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::ConsumeError;
use super::group::{self, Membership};
use super::{Consumer, Interest, Shared, Start};
use crate::client::admin::groups::{
    LAST_OFFSETS_VERSION_WITH_NAMES, Membership as CommitAs, commit_request, commit_results,
};
use crate::client::admin::{GroupOffset, call_up_to, find_coordinator};
use crate::client::cluster::Lane;
use crate::client::retry::Deadline;
use crate::client::{ClientError, lock};
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// Is told when the group gives partitions and takes them away. Called from within `poll` and `close`.
pub trait RebalanceListener: Send + fmt::Debug {
    /// These partitions are read from now on, in addition to those before.
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }

    /// These partitions are about to be given up. What this returns is committed before; with
    /// auto commit the positions are committed anyway.
    fn revoked(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, GroupOffset)> {
        let _ = partitions;
        Vec::new()
    }

    /// These partitions belong to others already; nothing can be committed for them.
    fn lost(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }
}

/// What a consumer says of itself so that the offsets of what it read can be committed in a transaction (KIP-447).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupMetadata {
    /// `group.id`
    pub group_id: String,
    /// Generation, or member epoch where the coordinator assigns; -1: not a member.
    pub generation_id: i32,
    /// The member's id; empty: not a member.
    pub member_id: String,
    /// `group.instance.id`
    pub group_instance_id: Option<String>,
}

#[derive(Debug)]
enum Wanted {
    Topics(BTreeSet<String>),
    Pattern(regex_lite::Regex),
}

/// The consumer's part in its group.
#[derive(Debug)]
pub(super) struct Subscription {
    wanted: Wanted,
    membership: Arc<Membership>,
    listener: Option<Box<dyn RebalanceListener>>,
    /// The topics that we last joined for.
    joined_for: BTreeSet<String>,
    /// As leader: what was shared out.
    shared_out: Option<BTreeMap<String, i32>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Consumer {
    /// Reads these topics from now on, sharing them with the other members of the group.
    ///
    /// # Errors
    /// The consumer has no group.
    pub fn subscribe<T: Into<String>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        let topics: BTreeSet<String> = topics.into_iter().map(Into::into).collect();
        *lock(&self.shared.interest) = Interest::Topics(topics.clone());
        self.start_subscription(Wanted::Topics(topics), listener)
    }

    /// Reads all topics whose whole name matches, also those that come later, sharing them with the other members.
    ///
    /// # Errors
    /// The consumer has no group, or the pattern is no regular expression.
    pub fn subscribe_pattern(
        &mut self,
        pattern: &str,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        let whole = regex_lite::Regex::new(&format!("^(?:{pattern})$"));
        let regex = whole
            .map_err(|error| ConsumeError::InvalidPattern { pattern: pattern.to_owned(), reason: error.to_string() })?;
        *lock(&self.shared.interest) = Interest::All;
        self.start_subscription(Wanted::Pattern(regex), listener)
    }

    fn start_subscription(
        &mut self,
        wanted: Wanted,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        let options = self.shared.options.group.clone().ok_or(ConsumeError::NoGroup)?;
        match &mut self.subscription {
            // A member stays one; the group meets again over what it reads.
            Some(subscription) => {
                subscription.wanted = wanted;
                subscription.listener = listener;
                lock(&subscription.membership.state).rejoin = true;
            }
            None => {
                lock(&self.shared.partitions).assign(Vec::new());
                self.current = None;
                self.subscription = Some(Subscription {
                    wanted,
                    membership: Arc::new(Membership::new(options)),
                    listener,
                    joined_for: BTreeSet::new(),
                    shared_out: None,
                    tasks: Vec::new(),
                });
            }
        }
        self.shared.work.notify_one();
        Ok(())
    }

    /// Ends the subscription: leaves the group and reads nothing.
    ///
    /// # Errors
    /// The offsets of what was read could not be committed (auto commit only).
    pub async fn unsubscribe(&mut self) -> Result<(), ConsumeError> {
        let committed =
            if self.subscription.is_some() { self.give_up_all("the consumer unsubscribed").await } else { Ok(()) };
        lock(&self.shared.partitions).assign(Vec::new());
        self.current = None;
        committed
    }

    /// Lets the group meet again, as if something had changed.
    pub fn enforce_rebalance(&mut self) {
        if let Some(subscription) = &self.subscription {
            lock(&subscription.membership.state).rejoin = true;
        }
    }

    /// The member id that the coordinator has given, if there is one.
    #[must_use]
    pub fn member_id(&self) -> Option<String> {
        let state = lock(&self.subscription.as_ref()?.membership.state);
        (!state.member_id.is_empty()).then(|| state.member_id.clone())
    }

    /// What to give to [`Producer::send_offsets_to_transaction`](crate::client::Producer::send_offsets_to_transaction).
    ///
    /// # Errors
    /// The consumer has no group.
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata, ConsumeError> {
        let group = self.shared.options.group.as_ref().ok_or(ConsumeError::NoGroup)?;
        let (generation_id, member_id) = self.membership().map_or((-1, String::new()), |membership| {
            let state = lock(&membership.state);
            (state.generation, state.member_id.clone())
        });
        let group_instance_id = group.group_instance_id.clone();
        Ok(ConsumerGroupMetadata { group_id: group.group_id.clone(), generation_id, member_id, group_instance_id })
    }

    /// Does what the group asks for. Says when to look again at the latest.
    pub(super) async fn take_part(&mut self) -> Result<Option<Instant>, ConsumeError> {
        let look_again = self.auto_commit();
        let Some(subscription) = &mut self.subscription else { return Ok(look_again) };
        let membership = Arc::clone(&subscription.membership);
        let (lost, joined) = {
            let mut state = lock(&membership.state);
            state.last_poll = Instant::now();
            if let Some(error) = state.fatal.take() {
                return Err(error);
            }
            (std::mem::take(&mut state.lost), state.joined.take())
        };
        if lost {
            let owned = lock(&self.shared.partitions).keys();
            lock(&self.shared.partitions).assign(Vec::new());
            self.current = None;
            if let Some(listener) = self.listener().filter(|_| !owned.is_empty()) {
                listener.lost(&owned);
            }
        }
        if let Some(joined) = joined {
            self.take_assignment(joined?).await?;
        }
        self.rejoin_if_needed(&membership).await;
        Ok(look_again)
    }

    fn listener(&mut self) -> Option<&mut Box<dyn RebalanceListener>> {
        self.subscription.as_mut()?.listener.as_mut()
    }

    /// The topics to join for; `None` while they are not known yet.
    fn matching_topics(&self) -> Option<BTreeSet<String>> {
        let subscription = self.subscription.as_ref()?;
        let pattern = match &subscription.wanted {
            Wanted::Topics(topics) => return Some(topics.clone()),
            Wanted::Pattern(pattern) => pattern,
        };
        let metadata = self.shared.cluster.metadata();
        metadata.fetched_at?;
        let internal = !self.shared.options.exclude_internal_topics;
        let fits = metadata.topics.values().filter(|topic| {
            topic.error == ErrorCode::None && (internal || !topic.is_internal) && pattern.is_match(&topic.name)
        });
        Some(fits.map(|topic| topic.name.clone()).collect())
    }

    async fn rejoin_if_needed(&mut self, membership: &Arc<Membership>) {
        let Some(topics) = self.matching_topics() else { return };
        let Some(subscription) = &self.subscription else { return };
        let is_member = lock(&membership.state).generation >= 0;
        let metadata = self.shared.cluster.metadata();
        let grown = |(name, count): (&String, &i32)| {
            metadata.topic(name).is_some_and(|topic| i32::try_from(topic.partitions.len()) != Ok(*count))
        };
        let appeared = |shared_out: &BTreeMap<String, i32>| {
            topics.iter().any(|name| !shared_out.contains_key(name) && metadata.topic(name).is_some())
        };
        // The leader shares out anew when there is more to share.
        let outdated = subscription.shared_out.as_ref().is_some_and(|out| out.iter().any(grown) || appeared(out));
        {
            let mut state = lock(&membership.state);
            state.rejoin |= is_member && (outdated || topics != subscription.joined_for);
            if !state.rejoin || state.joining || state.joined.is_some() {
                return;
            }
        }
        if !membership.is_cooperative() {
            // Everybody gives everything up before the group meets.
            let owned = lock(&self.shared.partitions).keys();
            if !owned.is_empty() {
                let offsets = self.offsets_to_give_up(&owned);
                self.commit_given_up(offsets).await;
            }
            lock(&self.shared.partitions).assign(Vec::new());
            self.current = None;
        }
        let owned = lock(&self.shared.partitions).keys();
        let Some(subscription) = &mut self.subscription else { return };
        subscription.joined_for.clone_from(&topics);
        subscription.shared_out = None;
        lock(&membership.state).joining = true;
        let join = group::join(Arc::clone(&self.shared), Arc::clone(membership), topics, owned);
        subscription.tasks.retain(|task| !task.is_finished());
        subscription.tasks.push(tokio::spawn(join));
    }

    /// Tells that partitions are about to go; gives what is to be committed for them.
    fn offsets_to_give_up(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, GroupOffset)> {
        let mut offsets = self.listener().map(|listener| listener.revoked(partitions)).unwrap_or_default();
        if self.commits_automatically() {
            let said: BTreeSet<_> = offsets.iter().map(|(partition, _)| partition.clone()).collect();
            let own = self.positions().into_iter();
            offsets.extend(own.filter(|(partition, _)| partitions.contains(partition) && !said.contains(partition)));
        }
        offsets
    }

    async fn commit_given_up(&mut self, offsets: Vec<(TopicPartition, GroupOffset)>) {
        // A member that fails to say how far it got is followed by one that reads a little twice.
        if let Err(error) = self.commit_offsets(offsets).await {
            tracing::warn!(%error, "could not commit before a rebalance");
        }
    }

    async fn take_assignment(&mut self, joined: group::Joined) -> Result<(), ConsumeError> {
        let Some(subscription) = &mut self.subscription else { return Ok(()) };
        subscription.shared_out = joined.shared_out;
        let membership = Arc::clone(&subscription.membership);
        let round = {
            let mut state = lock(&membership.state);
            state.round += 1;
            state.round
        };
        subscription.tasks.retain(|task| !task.is_finished());
        let heartbeats = group::heartbeats(Arc::clone(&self.shared), Arc::clone(&membership), round);
        subscription.tasks.push(tokio::spawn(heartbeats));

        let before: BTreeSet<_> = lock(&self.shared.partitions).keys().into_iter().collect();
        let now: BTreeSet<_> = joined.assignment.into_iter().collect();
        let gone: Vec<_> = before.difference(&now).cloned().collect();
        let new: Vec<_> = now.difference(&before).cloned().collect();
        let mut offsets = Vec::new();
        if !gone.is_empty() {
            // Only cooperative members still have something here that they must give up. Others get it when the group
            // meets again, which we see to after the commit.
            offsets = self.offsets_to_give_up(&gone);
            lock(&membership.state).rejoin = true;
        }
        let starts = now.into_iter().map(|partition| (partition, Start::Committed)).collect();
        lock(&self.shared.partitions).assign(starts);
        self.shared.work.notify_one();
        if let Some(listener) = self.listener() {
            listener.assigned(&new);
        }
        // Last, because a poll may be cancelled here.
        self.commit_given_up(offsets).await;
        Ok(())
    }

    fn commits_automatically(&self) -> bool {
        self.shared.options.group.as_ref().is_some_and(|group| group.auto_commit_interval.is_some())
    }

    /// Where every partition is that has a position.
    fn positions(&self) -> Vec<(TopicPartition, GroupOffset)> {
        let partitions = lock(&self.shared.partitions);
        let position = |state: &super::state::PartitionState| {
            let position = state.position?;
            let offset = GroupOffset { leader_epoch: position.leader_epoch, ..GroupOffset::new(position.offset) };
            Some((TopicPartition::clone(&state.key), offset))
        };
        partitions.iter().filter_map(position).collect()
    }

    /// Commits in passing when it is time. Says when it is next.
    fn auto_commit(&mut self) -> Option<Instant> {
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
        commit(&self.shared, self.membership(), offsets).await
    }

    /// Commits without waiting; a failure is logged, and a later commit makes up for it.
    pub fn commit_in_background(&mut self, offsets: Vec<(TopicPartition, GroupOffset)>) {
        if offsets.is_empty() {
            return;
        }
        let (shared, membership) = (Arc::clone(&self.shared), self.membership());
        tokio::spawn(async move {
            if let Err(error) = commit(&shared, membership, offsets).await {
                tracing::warn!(%error, "could not commit offsets");
            }
        });
    }

    fn membership(&self) -> Option<Arc<Membership>> {
        self.subscription.as_ref().map(|subscription| Arc::clone(&subscription.membership))
    }

    /// Commits if that is automatic, tells the listener, and leaves the group.
    pub(super) async fn give_up_all(&mut self, reason: &str) -> Result<(), ConsumeError> {
        let owned = lock(&self.shared.partitions).keys();
        let offsets = if owned.is_empty() { Vec::new() } else { self.offsets_to_give_up(&owned) };
        let committed = self.commit_offsets(offsets).await;
        if let Some(subscription) = self.subscription.take() {
            {
                let mut state = lock(&subscription.membership.state);
                state.round += 1;
            }
            group::leave(&self.shared, &subscription.membership, reason).await;
        }
        committed
    }
}

async fn commit(
    shared: &Shared,
    membership: Option<Arc<Membership>>,
    offsets: Vec<(TopicPartition, GroupOffset)>,
) -> Result<(), ConsumeError> {
    let group = shared.options.group.as_ref().ok_or(ConsumeError::NoGroup)?;
    let (generation, member_id) = match &membership {
        Some(membership) => {
            let state = lock(&membership.state);
            if state.generation < 0 {
                return Err(ConsumeError::CommitFailed);
            }
            (state.generation, state.member_id.clone())
        }
        None => (-1, String::new()),
    };
    let instance_id = membership.as_ref().and(group.group_instance_id.as_deref());
    let own = CommitAs { group: &group.group_id, generation, member_id: &member_id, instance_id };
    let request = commit_request(&own, &offsets);
    let deadline = shared.cluster.api_deadline();
    let mut backoff = shared.cluster.retry_backoff();
    loop {
        let error = match commit_once(shared, &group.group_id, &request, deadline).await {
            Ok(code @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::FencedInstanceId)) => {
                // A commit of an earlier generation says nothing about the present one.
                if let Some(membership) = &membership
                    && lock(&membership.state).generation == generation
                {
                    membership.take_note(code);
                }
                let fenced = code == ErrorCode::FencedInstanceId;
                return Err(if fenced { ConsumeError::Fenced } else { ConsumeError::CommitFailed });
            }
            Ok(ErrorCode::RebalanceInProgress) => {
                if let Some(membership) = &membership {
                    membership.take_note(ErrorCode::RebalanceInProgress);
                }
                return Err(ConsumeError::Rebalancing);
            }
            Ok(ErrorCode::None) => return Ok(()),
            Ok(code) => ClientError::from(crate::client::ApiError::from(code)),
            Err(error) => error,
        };
        shared.cluster.pause(error, &mut backoff, deadline).await?;
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

/// How long a poll waits at most before it looks at the group again.
pub(super) const LOOK_AT_GROUP: Duration = Duration::from_millis(1000);
