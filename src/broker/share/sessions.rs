//! What members read: share sessions. Pure bookkeeping; their number is bounded, and a session ends with its connection.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::state::MemberId;
use crate::protocol::ErrorCode;
use crate::types::Uuid;

/// A topic's partition, as share requests name it.
pub(in crate::broker) type TopicIdPartition = (Uuid, i32);

/// Stands for a new session in a request.
pub(in crate::broker) const INITIAL_EPOCH: i32 = 0;

/// Ends a session.
pub(in crate::broker) const FINAL_EPOCH: i32 = -1;

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::broker) struct SessionKey {
    pub(in crate::broker) group: String,
    pub(in crate::broker) member: MemberId,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must have.
    next_epoch: i32,
    connection: u64,
    partitions: Vec<TopicIdPartition>,
    /// The same, to be found in.
    known: HashSet<TopicIdPartition>,
}

/// A session that has ended, for the records that its member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Ended {
    pub(in crate::broker) key: SessionKey,
    pub(in crate::broker) partitions: Vec<TopicIdPartition>,
    /// It was the last one of its group here.
    pub(in crate::broker) was_last: bool,
}

/// The share sessions of a broker.
#[derive(Debug)]
pub(in crate::broker) struct ShareSessions {
    slots: usize,
    sessions: HashMap<SessionKey, Session>,
    by_connection: BTreeMap<u64, HashSet<SessionKey>>,
    members: HashMap<String, usize>,
}

impl ShareSessions {
    /// Room for `slots` sessions.
    pub(in crate::broker) fn new(slots: usize) -> Self {
        let (sessions, by_connection, members) = Default::default();
        Self { slots, sessions, by_connection, members }
    }

    /// Begins a session, in place of an earlier one of the same member.
    ///
    /// # Errors
    /// `SHARE_SESSION_LIMIT_REACHED`
    pub(in crate::broker) fn open(
        &mut self,
        key: &SessionKey,
        connection: u64,
        partitions: &[TopicIdPartition],
    ) -> Result<(), ErrorCode> {
        self.remove(key);
        if self.sessions.len() >= self.slots {
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        let mut session = Session { next_epoch: 1, connection, partitions: Vec::new(), known: HashSet::new() };
        session.add(partitions);
        self.sessions.insert(key.clone(), session);
        self.by_connection.entry(connection).or_default().insert(key.clone());
        *self.members.entry(key.group.clone()).or_default() += 1;
        Ok(())
    }

    /// Goes on with a session: adds and removes partitions.
    ///
    /// # Errors
    /// `SHARE_SESSION_NOT_FOUND`, `INVALID_SHARE_SESSION_EPOCH`
    pub(in crate::broker) fn go_on(
        &mut self,
        key: &SessionKey,
        epoch: i32,
        added: &[TopicIdPartition],
        forgotten: &[TopicIdPartition],
    ) -> Result<(), ErrorCode> {
        let session = self.sessions.get_mut(key).ok_or(ErrorCode::ShareSessionNotFound)?;
        if session.next_epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        session.next_epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        session.add(added);
        for partition in forgotten {
            session.known.remove(partition);
        }
        session.partitions.retain(|partition| session.known.contains(partition));
        Ok(())
    }

    /// Whether there is a session of this member.
    pub(in crate::broker) fn has(&self, key: &SessionKey) -> bool {
        self.sessions.contains_key(key)
    }

    /// What a member reads: another partition first in each round, so that none starves.
    pub(in crate::broker) fn partitions(&self, key: &SessionKey) -> Vec<TopicIdPartition> {
        let Some(session) = self.sessions.get(key) else { return Vec::new() };
        let mut partitions = session.partitions.clone();
        if !partitions.is_empty() {
            let turn = usize::try_from(session.next_epoch).unwrap_or_default() % partitions.len();
            partitions.rotate_left(turn);
        }
        partitions
    }

    /// Ends a session.
    pub(in crate::broker) fn close(&mut self, key: &SessionKey) -> Option<Ended> {
        self.remove(key)
    }

    /// Ends the sessions of a connection that is gone.
    pub(in crate::broker) fn connection_closed(&mut self, connection: u64) -> Vec<Ended> {
        let keys = self.by_connection.get(&connection).cloned().unwrap_or_default();
        keys.iter().filter_map(|key| self.remove(key)).collect()
    }

    fn remove(&mut self, key: &SessionKey) -> Option<Ended> {
        let session = self.sessions.remove(key)?;
        if let Some(keys) = self.by_connection.get_mut(&session.connection) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_connection.remove(&session.connection);
            }
        }
        let left = self.members.get_mut(&key.group).map(|members| {
            *members = members.saturating_sub(1);
            *members
        });
        let was_last = left.is_none_or(|left| left == 0);
        if was_last {
            self.members.remove(&key.group);
        }
        Some(Ended { key: key.clone(), partitions: session.partitions, was_last })
    }
}

impl Session {
    fn add(&mut self, partitions: &[TopicIdPartition]) {
        for partition in partitions {
            if self.known.insert(*partition) {
                self.partitions.push(*partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, member: &str) -> SessionKey {
        SessionKey { group: group.to_owned(), member: member.into() }
    }

    fn part(partition: i32) -> TopicIdPartition {
        (Uuid([1; 16]), partition)
    }

    #[test]
    fn a_session_goes_on_epoch_by_epoch() {
        let mut sessions = ShareSessions::new(2);
        let a = key("g", "a");
        assert_eq!(sessions.go_on(&a, 1, &[], &[]), Err(ErrorCode::ShareSessionNotFound));
        sessions.open(&a, 7, &[part(0), part(1), part(0)]).unwrap();
        assert_eq!(sessions.go_on(&a, 2, &[], &[]), Err(ErrorCode::InvalidShareSessionEpoch));
        sessions.go_on(&a, 1, &[part(2)], &[part(0)]).unwrap();
        assert_eq!(sessions.partitions(&a), [part(1), part(2)]);
        sessions.go_on(&a, 2, &[], &[]).unwrap();
        assert_eq!(sessions.partitions(&a), [part(2), part(1)], "each has its turn");
        sessions.sessions.get_mut(&a).unwrap().next_epoch = i32::MAX;
        sessions.go_on(&a, i32::MAX, &[], &[]).unwrap();
        sessions.go_on(&a, 1, &[], &[]).unwrap();
    }

    #[test]
    fn sessions_are_bounded_and_end_with_their_connection() {
        let mut sessions = ShareSessions::new(3);
        for (member, connection) in [("a", 1), ("b", 1), ("c", 2)] {
            sessions.open(&key("g", member), connection, &[part(0)]).unwrap();
        }
        assert_eq!(sessions.open(&key("h", "d"), 3, &[]), Err(ErrorCode::ShareSessionLimitReached));
        sessions.open(&key("g", "a"), 2, &[part(1)]).expect("in place of its own");
        assert_eq!(sessions.close(&key("g", "x")), None);
        let ended = sessions.connection_closed(1);
        assert_eq!(ended, [Ended { key: key("g", "b"), partitions: vec![part(0)], was_last: false }]);
        assert!(sessions.has(&key("g", "a")));
        let ended = sessions.connection_closed(2);
        assert_eq!(ended.iter().filter(|ended| ended.was_last).count(), 1, "when the group has none left");
        assert!(sessions.sessions.is_empty() && sessions.by_connection.is_empty() && sessions.members.is_empty());
    }
}
