//! Committed offsets, of groups of any kind.

use super::effects::Effects;
use super::group::Kind;
use super::offsets::Committed;
use super::records;
use super::shard::Shard;
use crate::broker::coordinator::Now;
use crate::protocol::ErrorCode;
use crate::types::Uuid;

/// What an OffsetCommit wants to remember of one partition.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Commit {
    pub(in crate::broker) topic: String,
    pub(in crate::broker) partition: i32,
    pub(in crate::broker) committed: Committed,
}

/// Who commits, and in which generation or member epoch.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Committer<'a> {
    pub(in crate::broker) member_id: &'a str,
    pub(in crate::broker) instance_id: Option<&'a str>,
    pub(in crate::broker) generation: i32,
    /// Of the request.
    pub(in crate::broker) version: i16,
}

impl Shard {
    /// OffsetCommit: an answer for each of the commits, in order.
    ///
    /// # Errors
    /// The code for the whole request: the sender is not who it should be.
    pub(in crate::broker) fn commit(
        &mut self,
        id: &str,
        committer: Committer<'_>,
        commits: Vec<Commit>,
        now: Now,
    ) -> Result<(Vec<ErrorCode>, Effects), ErrorCode> {
        let mut effects = Effects::default();
        let Committer { member_id, instance_id, generation, version } = committer;
        match self.groups.get_mut(id).map(|group| &mut group.kind) {
            // A consumer that assigns itself its partitions: the group is only a place for offsets.
            None if generation < 0 => {}
            // A share group has no offsets here.
            None | Some(Kind::Share(_)) => return Err(ErrorCode::GroupIdNotFound),
            Some(Kind::Classic(group)) => group.check_commit(member_id, instance_id, generation, now)?,
            Some(Kind::Consumer(group)) => {
                let rule = group.check_commit(member_id, generation, version)?;
                let check = |commit: &Commit| rule.check(commit.committed.topic_id, commit.partition);
                check_all(check, &commits, self.config.offset_metadata_max_bytes)?;
            }
            Some(Kind::Streams(group)) => {
                let rule = group.check_commit(member_id, generation, version)?;
                let check = |commit: &Commit| rule.check(&commit.topic, commit.partition);
                check_all(check, &commits, self.config.offset_metadata_max_bytes)?;
            }
        }
        let limit = self.config.offset_metadata_max_bytes;
        self.group_or_new(id, now);
        let Some(group) = self.groups.get_mut(id) else { return Err(ErrorCode::GroupIdNotFound) };
        let mut answers = Vec::with_capacity(commits.len());
        for Commit { topic, partition, committed } in commits {
            if committed.metadata.len() > limit {
                answers.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            effects.records.push(records::offset(id, &topic, partition, Some(&committed)));
            self.pending.supersede(id, &topic, partition, None);
            group.offsets.put(&topic, partition, committed);
            answers.push(ErrorCode::None);
        }
        let is_needed = !group.offsets.is_empty() || self.pending.concerns(id);
        if !is_needed && group.kind.is_only_a_place() {
            self.forget(id);
        }
        self.set_timer(id);
        Ok((answers, effects))
    }

    /// Checks who wants to commit within a transaction.
    pub(super) fn check_commit_in_transaction(
        &mut self,
        id: &str,
        committer: Committer<'_>,
        commits: &mut [Commit],
        now: Now,
    ) -> Result<(), ErrorCode> {
        let Committer { member_id, instance_id, generation, .. } = committer;
        let is_nobody = generation == -1 && member_id.is_empty() && instance_id.is_none();
        // The transaction's own words: a producer knows nothing of member epochs.
        let translated = |error| match error {
            ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
            error => error,
        };
        match self.groups.get_mut(id).map(|group| &mut group.kind) {
            // A consumer that assigns itself its partitions: the group is only a place for offsets.
            None if committer.generation < 0 => Ok(()),
            None => Err(ErrorCode::IllegalGeneration),
            Some(Kind::Share(_)) => Err(ErrorCode::GroupIdNotFound),
            Some(Kind::Classic(group)) => group.check_commit_in_transaction(committer, now),
            Some(Kind::Consumer(_) | Kind::Streams(_)) if is_nobody => Ok(()),
            Some(Kind::Streams(group)) => {
                let rule = group.check_commit(member_id, generation, i16::MAX).map_err(translated)?;
                let check = |commit: &Commit| rule.check(&commit.topic, commit.partition);
                check_all(check, commits, self.config.offset_metadata_max_bytes).map_err(translated)
            }
            Some(Kind::Consumer(group)) => {
                let rule = group.check_commit(member_id, generation, i16::MAX).map_err(translated)?;
                for commit in commits.iter_mut().filter(|commit| commit.committed.topic_id == Uuid::ZERO) {
                    commit.committed.topic_id =
                        self.view.topic(&commit.topic).map(|topic| topic.id).unwrap_or_default();
                }
                let check = |commit: &Commit| rule.check(commit.committed.topic_id, commit.partition);
                check_all(check, commits, self.config.offset_metadata_max_bytes).map_err(translated)
            }
        }
    }

    /// Checks who wants to know offsets.
    ///
    /// # Errors
    /// The code for the group: the sender is not who it should be.
    pub(in crate::broker) fn check_fetch(
        &self,
        id: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        match self.groups.get(id).map(|group| &group.kind) {
            Some(Kind::Consumer(group)) => group.check_fetch(member_id, epoch),
            Some(Kind::Share(_)) => Err(ErrorCode::GroupIdNotFound),
            Some(Kind::Streams(group)) => group.check_fetch(member_id, epoch),
            Some(Kind::Classic(_)) | None => Ok(()),
        }
    }

    /// The offset that a group has committed for a partition.
    pub(in crate::broker) fn offset(&self, id: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(id)?.offsets.get(topic, partition)
    }

    /// All offsets that a group has committed.
    pub(in crate::broker) fn offsets(&self, id: &str) -> Vec<(String, i32, Committed)> {
        let Some(group) = self.groups.get(id) else { return Vec::new() };
        let mut all: Vec<_> = group.offsets.all().map(|(t, p, c)| (t.to_owned(), p, c.clone())).collect();
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        all
    }

    /// OffsetDelete: an answer for each partition.
    ///
    /// # Errors
    /// The code for the whole request.
    pub(in crate::broker) fn delete_offsets(
        &mut self,
        id: &str,
        partitions: &[(String, i32)],
    ) -> Result<(Vec<ErrorCode>, Effects), ErrorCode> {
        let mut effects = Effects::default();
        let group = self.groups.get_mut(id).ok_or(ErrorCode::GroupIdNotFound)?;
        let reads = group.kind.reads();
        if matches!(&group.kind, Kind::Share(_)) {
            return Err(ErrorCode::GroupIdNotFound);
        }
        if matches!(&group.kind, Kind::Classic(classic) if !classic.is_empty() && classic.protocol_type != "consumer") {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let answers = partitions
            .iter()
            .map(|(topic, partition)| {
                if reads.contains(topic) {
                    return ErrorCode::GroupSubscribedToTopic;
                }
                // Order: both, whatever the first finds.
                let pending = self.pending.remove(id, topic, *partition);
                if group.offsets.remove(topic, *partition) || pending {
                    effects.records.push(records::offset(id, topic, *partition, None));
                }
                ErrorCode::None
            })
            .collect();
        Ok((answers, effects))
    }

    /// Forgets the offsets of topics that were deleted.
    pub(in crate::broker) fn forget_topics(&mut self, topics: &[String]) -> Effects {
        let mut effects = Effects::default();
        for (id, group) in &mut self.groups {
            for topic in topics {
                let mut partitions = group.offsets.partitions_of(topic);
                let pending = self.pending.partitions_of(id).into_iter().filter(|(pending, _)| pending == topic);
                partitions.extend(pending.map(|(_, partition)| partition));
                partitions.sort_unstable();
                partitions.dedup();
                for partition in partitions {
                    group.offsets.remove(topic, partition);
                    self.pending.remove(id, topic, partition);
                    effects.records.push(records::offset(id, topic, partition, None));
                }
            }
        }
        effects
    }

    /// Forgets offsets that have expired, and groups that nothing is left of.
    pub(in crate::broker) fn expire(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        let retention = i64::try_from(self.config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let mut unused = Vec::new();
        for (id, group) in &mut self.groups {
            let reads = group.kind.reads();
            let expired: Vec<(String, i32)> = group
                .offsets
                .all()
                .filter(|(_, _, committed)| group.kind.has_expired(committed, now.wall_ms, retention))
                .filter(|(topic, partition, _)| {
                    !reads.contains(topic) && !self.pending.is_pending(id, topic, *partition)
                })
                .map(|(topic, partition, _)| (topic.to_owned(), partition))
                .collect();
            for (topic, partition) in expired {
                group.offsets.remove(&topic, partition);
                effects.records.push(records::offset(id, &topic, partition, None));
            }
            if group.offsets.is_empty() && group.kind.ends_by_itself() && !self.pending.concerns(id) {
                unused.push(id.clone());
            }
        }
        for id in unused {
            self.end_group(&id, now, &mut effects);
            self.forget(&id);
        }
        effects
    }

    /// DeleteGroups.
    pub(in crate::broker) fn delete(&mut self, id: &str, now: Now) -> (ErrorCode, Effects) {
        let mut effects = Effects::default();
        let Some(group) = self.groups.get(id) else { return (ErrorCode::GroupIdNotFound, effects) };
        if !group.kind.is_empty() {
            return (ErrorCode::NonEmptyGroup, effects);
        }
        for (topic, partition, _) in group.offsets.all() {
            effects.records.push(records::offset(id, topic, partition, None));
        }
        for (topic, partition) in self.pending.partitions_of(id) {
            if group.offsets.get(&topic, partition).is_none() {
                effects.records.push(records::offset(id, &topic, partition, None));
            }
            self.pending.remove(id, &topic, partition);
        }
        self.end_group(id, now, &mut effects);
        self.forget(id);
        (ErrorCode::None, effects)
    }
}

/// Whether all of the partitions may be committed: one that may not refuses the request.
fn check_all(
    check: impl FnMut(&Commit) -> Result<(), ErrorCode>,
    commits: &[Commit],
    metadata_max_bytes: usize,
) -> Result<(), ErrorCode> {
    let mut checked = commits.iter().filter(|commit| commit.committed.metadata.len() <= metadata_max_bytes);
    checked.try_for_each(check)
}
