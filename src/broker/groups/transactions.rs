//! Offsets that are committed within transactions: TxnOffsetCommit, and what the end of a transaction makes of them.

use super::commits::{Commit, Committer};
use super::effects::Effects;
use super::records;
use super::shard::Shard;
use crate::broker::coordinator::Now;
use crate::protocol::ErrorCode;

impl Shard {
    /// TxnOffsetCommit: an answer for each of the commits, in order. The records are part of the producer's transaction.
    ///
    /// # Errors
    /// The code for the whole request: the sender is not who it should be.
    pub(in crate::broker) fn commit_in_transaction(
        &mut self,
        id: &str,
        committer: Committer<'_>,
        producer_id: i64,
        mut commits: Vec<Commit>,
        now: Now,
    ) -> Result<(Vec<ErrorCode>, Effects), ErrorCode> {
        let mut effects = Effects::default();
        self.check_commit_in_transaction(id, committer, &mut commits, now)?;
        let limit = self.config.offset_metadata_max_bytes;
        let mut answers = Vec::with_capacity(commits.len());
        for Commit { topic, partition, committed } in commits {
            if committed.metadata.len() > limit {
                answers.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            effects.records.push(records::offset(id, &topic, partition, Some(&committed)));
            self.group_or_new(id, now);
            self.pending.put(producer_id, id, &topic, partition, committed);
            answers.push(ErrorCode::None);
        }
        self.set_timer(id);
        Ok((answers, effects))
    }

    /// Whether an open transaction may change the offset of a partition, so that who wants a stable answer must wait (KIP-447).
    pub(in crate::broker) fn is_undecided(&self, id: &str, topic: &str, partition: i32) -> bool {
        self.pending.is_pending(id, topic, partition)
    }

    /// A producer's transaction is over.
    pub(super) fn end_offsets_of(&mut self, producer_id: i64, committed: bool, now: Now) {
        for (group, topic, partition, order, offset) in self.pending.end(producer_id) {
            if committed {
                self.pending.supersede(&group, &topic, partition, Some(order));
                self.group_or_new(&group, now).offsets.put(&topic, partition, offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::shard::GroupConfig;
    use super::*;
    use crate::broker::coordinator::{Machine as _, Producer, Record};
    use crate::broker::groups::Committed;
    use crate::types::Uuid;

    enum Written {
        Record(Record, Option<Producer>),
        Marker(Producer, bool),
    }

    /// A shard with the log of what it wrote.
    struct World {
        shard: Shard,
        log: Vec<Written>,
        start: Instant,
    }

    const ANYBODY: Committer<'static> = Committer { member_id: "", instance_id: None, generation: -1, version: 0 };

    impl World {
        fn new() -> Self {
            Self { shard: new_shard(), log: Vec::new(), start: Instant::now() }
        }

        fn now(&self) -> Now {
            Now { wall_ms: 1_700_000_000_000, steady: self.start }
        }

        fn in_transaction(&mut self, producer_id: i64, offset: i64) -> ErrorCode {
            let now = self.now();
            let commits = vec![commit(offset)];
            let (answers, effects) = self.shard.commit_in_transaction("g", ANYBODY, producer_id, commits, now).unwrap();
            let producer = Producer { id: producer_id, epoch: 0 };
            self.log.extend(effects.records.into_iter().map(|record| Written::Record(record, Some(producer))));
            self.check();
            answers[0]
        }

        fn plain(&mut self, offset: i64) {
            let now = self.now();
            let (_, effects) = self.shard.commit("g", ANYBODY, vec![commit(offset)], now).unwrap();
            self.append(effects);
        }

        fn append(&mut self, effects: Effects) {
            self.log.extend(effects.records.into_iter().map(|record| Written::Record(record, None)));
            self.check();
        }

        fn end(&mut self, producer_id: i64, committed: bool) {
            // The marker's epoch is that of the next transaction (KIP-890).
            let producer = Producer { id: producer_id, epoch: 1 };
            self.log.push(Written::Marker(producer, committed));
            self.shard.end_transaction(producer, committed, self.now());
            self.check();
        }

        fn offset(&self) -> Option<i64> {
            self.shard.offset("g", "t", 0).map(|committed| committed.offset)
        }

        /// A coordinator that replays the log knows the same, also of what is still open.
        fn check(&self) {
            let mut again = new_shard();
            for entry in &self.log {
                match entry {
                    Written::Record(record, producer) => again.replay(record, *producer, self.now()).unwrap(),
                    Written::Marker(producer, committed) => again.end_transaction(*producer, *committed, self.now()),
                }
            }
            let known =
                |shard: &Shard| (shard.offsets("g"), shard.is_undecided("g", "t", 0), shard.describe("g").is_some());
            assert_eq!(known(&again), known(&self.shard));
        }
    }

    fn new_shard() -> Shard {
        Shard::new(GroupConfig {
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1800),
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: 4,
            offset_metadata_max_bytes: 10,
            offsets_retention: Duration::ZERO,
            max_record_bytes: 1 << 20,
        })
    }

    fn commit(offset: i64) -> Commit {
        let committed = Committed {
            offset,
            leader_epoch: 0,
            metadata: String::new(),
            committed_ms: 1_700_000_000_000,
            expires_ms: None,
            topic_id: Uuid::ZERO,
        };
        Commit { topic: "t".into(), partition: 0, committed }
    }

    #[test]
    fn an_offset_counts_when_its_transaction_is_committed() {
        let mut world = World::new();
        world.plain(1);
        world.in_transaction(7, 2);
        assert_eq!((world.offset(), world.shard.is_undecided("g", "t", 0)), (Some(1), true));
        assert!(!world.shard.is_undecided("g", "t", 1) && !world.shard.is_undecided("h", "t", 0));
        world.end(8, true);
        assert_eq!(world.offset(), Some(1), "somebody else's transaction");
        world.end(7, true);
        assert_eq!((world.offset(), world.shard.is_undecided("g", "t", 0)), (Some(2), false));
        world.in_transaction(7, 3);
        world.end(7, false);
        assert_eq!((world.offset(), world.shard.is_undecided("g", "t", 0)), (Some(2), false));
    }

    #[test]
    fn of_several_commits_the_newest_counts_whichever_ends_first() {
        let mut world = World::new();
        world.in_transaction(7, 1);
        world.in_transaction(8, 2);
        world.end(8, true);
        assert!(world.shard.is_undecided("g", "t", 0), "the older one is still open");
        world.end(7, true);
        assert_eq!(world.offset(), Some(2));
        world.in_transaction(7, 3);
        world.plain(4);
        world.end(7, true);
        assert_eq!(world.offset(), Some(4));
        world.in_transaction(7, 5);
        world.in_transaction(8, 6);
        world.end(8, false);
        world.end(7, true);
        assert_eq!(world.offset(), Some(5), "what was rolled back decides nothing");
    }

    #[test]
    fn nothing_expires_while_a_transaction_is_open() {
        let mut world = World::new();
        world.plain(1);
        world.in_transaction(7, 2);
        let effects = world.shard.expire(world.now());
        assert!(effects.records.is_empty());
        world.end(7, false);
        let effects = world.shard.expire(world.now());
        assert_eq!(effects.records.len(), 2, "the offset, then the group");
        world.append(effects);
        assert!(world.shard.describe("g").is_none());
    }

    #[test]
    fn what_is_deleted_does_not_come_back_with_the_marker() {
        let mut world = World::new();
        world.in_transaction(7, 1);
        let now = world.now();
        let (answer, effects) = world.shard.delete("g", now);
        assert_eq!((answer, effects.records.len()), (ErrorCode::None, 2));
        world.append(effects);
        world.end(7, true);
        assert_eq!(world.offset(), None);
        world.in_transaction(7, 1);
        let effects = world.shard.forget_topics(&["t".into()]);
        assert_eq!(effects.records.len(), 1);
        world.append(effects);
        world.in_transaction(7, 2);
        let (_, effects) = world.shard.delete_offsets("g", &[("t".into(), 0)]).unwrap();
        assert_eq!(effects.records.len(), 1);
        world.append(effects);
        world.end(7, true);
        assert_eq!(world.offset(), None);
    }

    #[test]
    fn who_commits_is_checked() {
        let mut world = World::new();
        let now = world.now();
        let stranger = Committer { member_id: "m", instance_id: None, generation: 3, version: 0 };
        let answer = world.shard.commit_in_transaction("g", stranger, 7, vec![commit(1)], now);
        assert_eq!(answer.unwrap_err(), ErrorCode::IllegalGeneration, "there is no such group");
        world.in_transaction(7, 1);
        let answer = world.shard.commit_in_transaction("g", stranger, 7, vec![commit(1)], now);
        assert_eq!(answer.unwrap_err(), ErrorCode::UnknownMemberId);
        let mut long = commit(1);
        long.committed.metadata = "12345678901".into();
        let (answers, effects) = world.shard.commit_in_transaction("g", ANYBODY, 7, vec![long], now).unwrap();
        assert_eq!((answers, effects.records.len()), (vec![ErrorCode::OffsetMetadataTooLarge], 0));
    }
}
