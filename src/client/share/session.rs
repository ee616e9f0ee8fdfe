//! Share sessions (KIP-932): the broker remembers what a member fetches there, requests say what has changed.

use std::collections::{BTreeMap, BTreeSet};

use super::acknowledgements::{Acknowledgements, Key};
use crate::protocol::ErrorCode;
use crate::protocol::messages::ShareFetchRequest;
use crate::protocol::messages::share_fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use crate::types::Uuid;

/// Epoch of a request that opens a session.
const FIRST: i32 = 0;

/// The session with one broker.
#[derive(Debug, Default)]
pub(super) struct Session {
    epoch: i32,
    /// What the broker remembers.
    known: BTreeSet<Key>,
}

impl Session {
    /// Epoch of a request that closes a session.
    pub(super) const FINAL_EPOCH: i32 = -1;

    /// Whether the broker has it: only then can acknowledgements be told there.
    pub(super) fn is_open(&self) -> bool {
        self.epoch != FIRST
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Fills in what a request says of partitions, with acknowledgements for some of them.
    pub(super) fn build(
        &mut self,
        wanted: &BTreeSet<Key>,
        acknowledgements: &Acknowledgements,
        request: &mut ShareFetchRequest,
    ) {
        request.share_session_epoch = self.epoch;
        if self.epoch == FIRST {
            self.known.clear();
        }
        let mut topics: BTreeMap<Uuid, Vec<FetchPartition>> = BTreeMap::new();
        let acknowledged: BTreeSet<Key> = acknowledgements.partitions().map(|(key, _)| *key).collect();
        for key in wanted.difference(&self.known).chain(acknowledged.intersection(&self.known)) {
            topics.entry(key.0).or_default().push(FetchPartition {
                partition_index: key.1,
                acknowledgement_batches: acknowledgements.for_fetch(key),
                ..Default::default()
            });
        }
        let topic = |(topic_id, partitions)| FetchTopic { topic_id, partitions, ..Default::default() };
        request.topics = topics.into_iter().map(topic).collect();
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for key in self.known.difference(wanted) {
            forgotten.entry(key.0).or_default().push(key.1);
        }
        let topic = |(topic_id, partitions)| ForgottenTopic { topic_id, partitions, ..Default::default() };
        request.forgotten_topics_data = forgotten.into_iter().map(topic).collect();
        self.known.clone_from(wanted);
    }

    /// Takes note of a response as a whole; `false`: it holds nothing.
    pub(super) fn accept(&mut self, error: ErrorCode) -> bool {
        match error {
            ErrorCode::None => {
                self.epoch = self.epoch.checked_add(1).unwrap_or(1);
                true
            }
            // The broker has none of ours, has no room for one, or is at another epoch of it: begin anew.
            ErrorCode::ShareSessionNotFound
            | ErrorCode::InvalidShareSessionEpoch
            | ErrorCode::ShareSessionLimitReached => {
                self.reset();
                false
            }
            _ if self.is_open() => {
                self.epoch = self.epoch.checked_add(1).unwrap_or(1);
                false
            }
            _ => false,
        }
    }

    /// Forgets the session: whether the broker has it is not known.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::share::AcknowledgeType;

    const T: Uuid = Uuid([1; 16]);

    /// Epoch, partitions named with how many ranges are acknowledged, partitions forgotten.
    fn build(session: &mut Session, wanted: &[i32], acknowledged: &[i32]) -> (i32, Vec<(i32, usize)>, Vec<i32>) {
        let mut acknowledgements = Acknowledgements::default();
        acknowledged.iter().for_each(|partition| acknowledgements.add((T, *partition), 5, AcknowledgeType::Accept));
        let mut request = ShareFetchRequest::default();
        session.build(&wanted.iter().map(|partition| (T, *partition)).collect(), &acknowledgements, &mut request);
        let named = request.topics.iter().flat_map(|topic| &topic.partitions);
        let named = named.map(|partition| (partition.partition_index, partition.acknowledgement_batches.len()));
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.clone());
        (request.share_session_epoch, named.collect(), forgotten.collect())
    }

    #[test]
    fn only_what_changed_is_said() {
        let mut session = Session::default();
        assert!(!session.is_open());
        assert_eq!(build(&mut session, &[0, 1], &[]), (0, vec![(0, 0), (1, 0)], vec![]));
        assert!(session.accept(ErrorCode::None));
        assert_eq!(build(&mut session, &[0, 1], &[]), (1, vec![], vec![]));
        assert!(session.accept(ErrorCode::None));
        assert_eq!(build(&mut session, &[0, 1, 2], &[1]), (2, vec![(2, 0), (1, 1)], vec![]));
        assert!(session.accept(ErrorCode::None));
        assert_eq!(build(&mut session, &[2], &[]), (3, vec![], vec![0, 1]));
    }

    #[test]
    fn a_lost_session_is_opened_anew_and_other_errors_leave_it() {
        let mut session = Session::default();
        build(&mut session, &[0], &[]);
        assert!(!session.accept(ErrorCode::ShareSessionLimitReached));
        assert_eq!(build(&mut session, &[0], &[]).0, 0);
        assert!(session.accept(ErrorCode::None));
        assert!(!session.accept(ErrorCode::UnknownServerError));
        assert_eq!(build(&mut session, &[0], &[]), (2, vec![], vec![]));
        assert!(!session.accept(ErrorCode::InvalidShareSessionEpoch));
        assert_eq!(build(&mut session, &[0], &[]), (0, vec![(0, 0)], vec![]));
    }
}
