//! Fetch sessions (KIP-227): the broker remembers which partitions are read, requests say what has changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::protocol::ErrorCode;
use crate::protocol::messages::FetchRequest;
use crate::protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use crate::types::{LeaderEpoch, Offset, TopicPartition, Uuid};

/// Epoch of a request that opens a session.
const FIRST: i32 = 0;

/// What is to be fetched of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) partition: Arc<TopicPartition>,
    pub(super) topic_id: Uuid,
    pub(super) offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) max_bytes: i32,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    /// What the broker remembers.
    known: HashMap<Arc<TopicPartition>, Wanted>,
    /// The names of its topics: responses speak of ids. In the first partition of each.
    names: HashMap<Uuid, Arc<TopicPartition>>,
    /// Whether topics are spoken of by id (version 13 and newer): one session can't do both.
    by_id: bool,
}

impl Session {
    /// Fills in what a request says of partitions.
    pub(super) fn build(&mut self, wanted: &[Wanted], by_id: bool, request: &mut FetchRequest) {
        // A topic that was created anew under its name is another one to the broker.
        let recreated =
            wanted.iter().any(|w| self.known.get(&w.partition).is_some_and(|known| known.topic_id != w.topic_id));
        let full = self.epoch == FIRST || self.by_id != by_id || recreated && by_id;
        if full && self.epoch != FIRST {
            // Closes the old session in passing.
            self.epoch = FIRST;
        }
        self.by_id = by_id;
        request.session_id = self.id;
        request.session_epoch = self.epoch;
        let send: Vec<&Wanted> = if full {
            wanted.iter().collect()
        } else {
            let changed = |w: &&Wanted| self.known.get(&w.partition) != Some(*w);
            wanted.iter().filter(changed).collect()
        };
        let mut topics: BTreeMap<&str, FetchTopic> = BTreeMap::new();
        for w in send {
            let topic = topics.entry(&w.partition.topic).or_insert_with(|| FetchTopic {
                topic: w.partition.topic.clone(),
                topic_id: w.topic_id,
                ..Default::default()
            });
            topic.partitions.push(FetchPartition {
                partition: w.partition.partition.get(),
                current_leader_epoch: w.leader_epoch.get(),
                fetch_offset: w.offset.get(),
                partition_max_bytes: w.max_bytes,
                ..Default::default()
            });
        }
        request.topics = topics.into_values().collect();
        let now: HashMap<_, _> = wanted.iter().map(|w| (Arc::clone(&w.partition), w.clone())).collect();
        if !full {
            let mut forgotten: BTreeMap<&str, ForgottenTopic> = BTreeMap::new();
            for (partition, known) in self.known.iter().filter(|(partition, _)| !now.contains_key(*partition)) {
                let topic = forgotten.entry(&partition.topic).or_insert_with(|| ForgottenTopic {
                    topic: partition.topic.clone(),
                    topic_id: known.topic_id,
                    ..Default::default()
                });
                topic.partitions.push(partition.partition.get());
            }
            request.forgotten_topics_data = forgotten.into_values().collect();
        }
        self.names.clear();
        for w in wanted {
            self.names.entry(w.topic_id).or_insert_with(|| Arc::clone(&w.partition));
        }
        self.known = now;
    }

    /// Takes note of a response as a whole; `false`: it holds nothing, and the session starts anew.
    pub(super) fn accept(&mut self, error: ErrorCode, session_id: i32) -> bool {
        match error {
            ErrorCode::None if session_id == 0 => {
                // The broker keeps no session for us: the next request is a full one again.
                self.reset();
                true
            }
            ErrorCode::None => {
                self.id = session_id;
                self.epoch = self.epoch.checked_add(1).unwrap_or(1);
                true
            }
            ErrorCode::FetchSessionIdNotFound => {
                self.reset();
                false
            }
            _ => {
                // The broker may have the session still: the next request closes it and opens one.
                self.epoch = FIRST;
                false
            }
        }
    }

    /// Forgets the session: the connection that it lived on is gone, or the broker has none.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The partition that a response speaks of.
    pub(super) fn find(&self, topic: &str, topic_id: Uuid, partition: i32) -> Option<&Wanted> {
        let name = if self.by_id { &self.names.get(&topic_id)?.topic } else { topic };
        self.known.get(&TopicPartition::new(name, partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(partition: i32, offset: i64) -> Wanted {
        Wanted {
            partition: Arc::new(TopicPartition::new("t", partition)),
            topic_id: Uuid([7; 16]),
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(1),
            max_bytes: 10,
        }
    }

    /// Session id, epoch, partitions named with their offsets, partitions forgotten.
    type Said = (i32, i32, Vec<(i32, i64)>, Vec<i32>);

    fn build(session: &mut Session, wanted: &[Wanted], by_id: bool) -> Said {
        let mut request = FetchRequest::default();
        session.build(wanted, by_id, &mut request);
        let named = request.topics.iter().flat_map(|topic| &topic.partitions);
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| &topic.partitions);
        (
            request.session_id,
            request.session_epoch,
            named.map(|partition| (partition.partition, partition.fetch_offset)).collect(),
            forgotten.copied().collect(),
        )
    }

    #[test]
    fn only_what_changed_is_said() {
        let mut session = Session::default();
        let first = build(&mut session, &[wanted(0, 5), wanted(1, 5)], true);
        assert_eq!(first, (0, 0, vec![(0, 5), (1, 5)], vec![]));
        assert!(session.accept(ErrorCode::None, 77));
        assert_eq!(build(&mut session, &[wanted(0, 9), wanted(1, 5)], true), (77, 1, vec![(0, 9)], vec![]));
        assert!(session.accept(ErrorCode::None, 77));
        assert_eq!(build(&mut session, &[wanted(0, 9)], true), (77, 2, vec![], vec![1]));
        assert!(session.accept(ErrorCode::None, 77));
        assert_eq!(build(&mut session, &[wanted(0, 9), wanted(1, 5)], true), (77, 3, vec![(1, 5)], vec![]));
        assert_eq!(session.find("", Uuid([7; 16]), 1), Some(&wanted(1, 5)));
        assert_eq!(session.find("", Uuid([7; 16]), 2), None);
        assert_eq!(session.find("", Uuid([8; 16]), 1), None);
    }

    #[test]
    fn a_lost_session_starts_anew_and_an_uncertain_one_is_closed() {
        let mut session = Session::default();
        build(&mut session, &[wanted(0, 5)], true);
        session.accept(ErrorCode::None, 77);
        build(&mut session, &[wanted(0, 5)], true);
        assert!(!session.accept(ErrorCode::FetchSessionIdNotFound, 0));
        assert_eq!(build(&mut session, &[wanted(0, 5)], true), (0, 0, vec![(0, 5)], vec![]));
        session.accept(ErrorCode::None, 78);
        assert!(!session.accept(ErrorCode::InvalidFetchSessionEpoch, 0));
        assert_eq!(build(&mut session, &[wanted(0, 5)], true), (78, 0, vec![(0, 5)], vec![]));
        session.accept(ErrorCode::None, 79);
        assert_eq!(build(&mut session, &[wanted(0, 5)], false), (79, 0, vec![(0, 5)], vec![]), "names instead of ids");
    }

    #[test]
    fn without_a_session_every_request_says_everything() {
        let mut session = Session::default();
        for _ in 0..2 {
            assert_eq!(build(&mut session, &[wanted(0, 5)], false), (0, 0, vec![(0, 5)], vec![]));
            assert!(session.accept(ErrorCode::None, 0));
        }
    }
}
