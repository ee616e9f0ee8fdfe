//! The consumer as a member of a group: subscriptions, rebalances, commits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::commit::Committer;
use super::coordinated::CoordinatedMember;
use super::error::ConsumeError;
use super::group::{self, Membership};
use super::{Consumer, Interest, Start};
use crate::client::admin::GroupOffset;
use crate::client::lock;
use crate::config::GroupProtocol;
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
pub(super) enum Wanted {
    Topics(BTreeSet<String>),
    Pattern(regex_lite::Regex),
    /// For the coordinator to evaluate.
    CoordinatorPattern(String),
}

/// The consumer's part in its group.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) wanted: Wanted,
    listener: Option<Box<dyn RebalanceListener>>,
    pub(super) member: Member,
}

#[derive(Debug)]
pub(super) enum Member {
    Classic(ClassicMember),
    Coordinated(CoordinatedMember),
}

/// A member of a group whose members assign.
#[derive(Debug)]
pub(super) struct ClassicMember {
    membership: Arc<Membership>,
    /// The topics that we last joined for.
    joined_for: BTreeSet<String>,
    /// As leader: what was shared out.
    shared_out: Option<BTreeMap<String, i32>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for ClassicMember {
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

    /// Reads all topics whose whole name matches, also those that come later, sharing them with the other members. The
    /// coordinator looks for them: the pattern is in its language, RE2/J's.
    ///
    /// # Errors
    /// The consumer has no group, or is not to have its coordinator assign (`group.protocol=consumer`).
    pub fn subscribe_coordinator_pattern(
        &mut self,
        pattern: &str,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        let options = self.shared.options.group.as_ref().ok_or(ConsumeError::NoGroup)?;
        if options.protocol != GroupProtocol::Consumer {
            return Err(ConsumeError::NeedsCoordinator);
        }
        *lock(&self.shared.interest) = Interest::Topics(BTreeSet::new());
        self.start_subscription(Wanted::CoordinatorPattern(pattern.to_owned()), listener)
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
                if let Member::Classic(member) = &subscription.member {
                    lock(&member.membership.state).rejoin = true;
                }
            }
            None => {
                lock(&self.shared.partitions).assign(Vec::new());
                self.current = None;
                let member = match options.protocol {
                    GroupProtocol::Classic => Member::Classic(ClassicMember {
                        membership: Arc::new(Membership::new(options)),
                        joined_for: BTreeSet::new(),
                        shared_out: None,
                        tasks: Vec::new(),
                    }),
                    GroupProtocol::Consumer => Member::Coordinated(CoordinatedMember::start(&self.shared, options)),
                };
                self.subscription = Some(Subscription { wanted, listener, member });
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

    /// Lets the group meet again, as if something had changed. Where the coordinator assigns nothing happens: it knows.
    pub fn enforce_rebalance(&mut self) {
        if let Some(member) = self.classic() {
            lock(&member.membership.state).rejoin = true;
        }
    }

    fn classic(&mut self) -> Option<&mut ClassicMember> {
        match &mut self.subscription.as_mut()?.member {
            Member::Classic(member) => Some(member),
            Member::Coordinated(_) => None,
        }
    }

    /// The member id that the coordinator has given, if there is one.
    #[must_use]
    pub fn member_id(&self) -> Option<String> {
        match &self.subscription.as_ref()?.member {
            Member::Classic(member) => {
                let state = lock(&member.membership.state);
                (!state.member_id.is_empty()).then(|| state.member_id.clone())
            }
            Member::Coordinated(member) => Some(lock(&member.membership.state).member_id().to_owned()),
        }
    }

    /// What to give to [`Producer::send_offsets_to_transaction`](crate::client::Producer::send_offsets_to_transaction).
    ///
    /// # Errors
    /// The consumer has no group.
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata, ConsumeError> {
        let group = self.shared.options.group.as_ref().ok_or(ConsumeError::NoGroup)?;
        let nobody = || (-1, String::new());
        let (generation_id, member_id) = self.committer().identity().unwrap_or_else(nobody);
        let group_instance_id = group.group_instance_id.clone();
        Ok(ConsumerGroupMetadata { group_id: group.group_id.clone(), generation_id, member_id, group_instance_id })
    }

    /// Does what the group asks for. Says when to look again at the latest.
    pub(super) async fn take_part(&mut self) -> Result<Option<Instant>, ConsumeError> {
        let look_again = self.auto_commit();
        let membership = match &self.subscription {
            None => return Ok(look_again),
            Some(Subscription { member: Member::Coordinated(_), .. }) => {
                self.follow_coordinator().await?;
                return Ok(look_again);
            }
            Some(Subscription { member: Member::Classic(member), .. }) => Arc::clone(&member.membership),
        };
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

    pub(super) fn listener(&mut self) -> Option<&mut Box<dyn RebalanceListener>> {
        self.subscription.as_mut()?.listener.as_mut()
    }

    /// The topics to join for; `None` while they are not known yet, or are for the coordinator to find.
    pub(super) fn matching_topics(&self) -> Option<BTreeSet<String>> {
        let subscription = self.subscription.as_ref()?;
        let pattern = match &subscription.wanted {
            Wanted::Topics(topics) => return Some(topics.clone()),
            Wanted::CoordinatorPattern(_) => return None,
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
        let metadata = self.shared.cluster.metadata();
        let Some(member) = self.classic() else { return };
        let is_member = lock(&membership.state).generation >= 0;
        let grown = |(name, count): (&String, &i32)| {
            metadata.topic(name).is_some_and(|topic| i32::try_from(topic.partitions.len()) != Ok(*count))
        };
        let appeared = |shared_out: &BTreeMap<String, i32>| {
            topics.iter().any(|name| !shared_out.contains_key(name) && metadata.topic(name).is_some())
        };
        // The leader shares out anew when there is more to share.
        let outdated = member.shared_out.as_ref().is_some_and(|out| out.iter().any(grown) || appeared(out));
        {
            let mut state = lock(&membership.state);
            state.rejoin |= is_member && (outdated || topics != member.joined_for);
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
        let shared = Arc::clone(&self.shared);
        let Some(member) = self.classic() else { return };
        member.joined_for.clone_from(&topics);
        member.shared_out = None;
        lock(&membership.state).joining = true;
        let join = group::join(shared, Arc::clone(membership), topics, owned);
        member.tasks.retain(|task| !task.is_finished());
        member.tasks.push(tokio::spawn(join));
    }

    /// Tells that partitions are about to go; gives what is to be committed for them.
    pub(super) fn offsets_to_give_up(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, GroupOffset)> {
        let mut offsets = self.listener().map(|listener| listener.revoked(partitions)).unwrap_or_default();
        if self.commits_automatically() {
            let said: BTreeSet<_> = offsets.iter().map(|(partition, _)| partition.clone()).collect();
            let own = self.positions().into_iter();
            offsets.extend(own.filter(|(partition, _)| partitions.contains(partition) && !said.contains(partition)));
        }
        offsets
    }

    pub(super) async fn commit_given_up(&mut self, offsets: Vec<(TopicPartition, GroupOffset)>) {
        // A member that fails to say how far it got is followed by one that reads a little twice.
        if let Err(error) = self.commit_offsets(offsets).await {
            tracing::warn!(%error, "could not commit before a rebalance");
        }
    }

    async fn take_assignment(&mut self, joined: group::Joined) -> Result<(), ConsumeError> {
        let shared = Arc::clone(&self.shared);
        let Some(member) = self.classic() else { return Ok(()) };
        member.shared_out = joined.shared_out;
        let membership = Arc::clone(&member.membership);
        let round = {
            let mut state = lock(&membership.state);
            state.round += 1;
            state.round
        };
        member.tasks.retain(|task| !task.is_finished());
        let heartbeats = group::heartbeats(shared, Arc::clone(&membership), round);
        member.tasks.push(tokio::spawn(heartbeats));

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

    /// Commits if that is automatic, tells the listener, and leaves the group.
    pub(super) async fn give_up_all(&mut self, reason: &str) -> Result<(), ConsumeError> {
        let owned = lock(&self.shared.partitions).keys();
        let offsets = if owned.is_empty() { Vec::new() } else { self.offsets_to_give_up(&owned) };
        let committed = self.commit_offsets(offsets).await;
        match self.subscription.take().map(|subscription| subscription.member) {
            Some(Member::Classic(member)) => {
                lock(&member.membership.state).round += 1;
                group::leave(&self.shared, &member.membership, reason).await;
            }
            Some(Member::Coordinated(member)) => member.leave(&self.shared).await,
            None => {}
        }
        committed
    }

    /// On whose behalf this consumer commits.
    pub(super) fn committer(&self) -> Committer {
        match self.subscription.as_ref().map(|subscription| &subscription.member) {
            None => Committer::Nobody,
            Some(Member::Classic(member)) => Committer::Classic(Arc::clone(&member.membership)),
            Some(Member::Coordinated(member)) => Committer::Coordinated(Arc::clone(&member.membership)),
        }
    }
}

/// How long a poll waits at most before it looks at the group again.
pub(super) const LOOK_AT_GROUP: Duration = Duration::from_millis(1000);
