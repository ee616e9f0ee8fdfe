//! Incremental fetch sessions (KIP-227): the broker remembers which partitions a consumer reads, so that each request and each answer says only
//! what changed.
//!
//! Pure bookkeeping; reads no log. The number of sessions is bounded, and an unused one makes room for a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::protocol::ErrorCode;
use crate::types::Uuid;

/// A session that was not used for this long may be replaced (Kafka's fixed value).
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// What a request names a topic by: the name up to version 12, the id from 13 on (KIP-516).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum TopicRef {
    Name(Arc<str>),
    Id(Uuid),
}

/// A partition as requests name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PartitionRef {
    pub(super) topic: TopicRef,
    pub(super) partition: i32,
}

/// What a consumer wants of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) fetch_offset: i64,
    pub(super) max_bytes: i32,
    pub(super) current_leader_epoch: i32,
    pub(super) last_fetched_epoch: i32,
    pub(super) log_start_offset: i64,
}

/// What the last answer said of a partition: only a change of it is worth another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) high_watermark: i64,
    pub(super) log_start_offset: i64,
    /// There are records, an error, a diverging epoch or a preferred replica in the answer.
    pub(super) has_news: bool,
    /// There is an error in it: it is told again and again until it goes away.
    pub(super) has_error: bool,
}

#[derive(Debug)]
struct Cached {
    partition: PartitionRef,
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must have.
    next_epoch: i32,
    uses_ids: bool,
    /// By turn: partitions that gave records go to the end, so that none starves.
    turns: BTreeMap<u64, Cached>,
    turn_of: HashMap<PartitionRef, u64>,
    next_turn: u64,
    last_used: Instant,
}

impl Session {
    fn new(uses_ids: bool, now: Instant) -> Self {
        Self { next_epoch: 1, uses_ids, turns: BTreeMap::new(), turn_of: HashMap::new(), next_turn: 0, last_used: now }
    }

    fn put(&mut self, partition: PartitionRef, wanted: Wanted) {
        if let Some(cached) = self.turn_of.get(&partition).and_then(|turn| self.turns.get_mut(turn)) {
            cached.wanted = wanted;
            return;
        }
        self.turn_of.insert(partition.clone(), self.next_turn);
        // -1: nothing was told yet, so whatever is said first is news.
        self.turns.insert(self.next_turn, Cached { partition, wanted, high_watermark: -1, log_start_offset: -1 });
        self.next_turn += 1;
    }

    fn remove(&mut self, partition: &PartitionRef) {
        if let Some(turn) = self.turn_of.remove(partition) {
            self.turns.remove(&turn);
        }
    }

    fn move_to_end(&mut self, partition: &PartitionRef) {
        let Some(turn) = self.turn_of.get_mut(partition) else { return };
        if let Some(cached) = self.turns.remove(turn) {
            *turn = self.next_turn;
            self.turns.insert(self.next_turn, cached);
            self.next_turn += 1;
        }
    }

    /// Remembers what an answer says; returns whether it must be said.
    fn tell(&mut self, partition: &PartitionRef, told: Told) -> bool {
        let Some(cached) = self.turn_of.get(partition).and_then(|turn| self.turns.get_mut(turn)) else { return true };
        let changed = told.high_watermark != cached.high_watermark || told.log_start_offset != cached.log_start_offset;
        cached.high_watermark = if told.has_error { -1 } else { told.high_watermark };
        cached.log_start_offset = told.log_start_offset;
        changed || told.has_news || told.has_error
    }
}

/// The sessions of a broker.
#[derive(Debug)]
pub(super) struct FetchSessions {
    slots: usize,
    sessions: Mutex<HashMap<i32, Session>>,
}

/// A fetch request in the light of its session.
#[derive(Debug)]
pub(super) struct FetchPlan {
    /// What to read, in this order.
    pub(super) wanted: Vec<(PartitionRef, Wanted)>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everything is asked and answered in full.
    Sessionless,
    /// As that, and the answer opens a session if there is room.
    Opening { uses_ids: bool },
    /// Only changes are answered.
    Incremental { id: i32 },
}

/// The session part of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionRequest {
    pub(super) id: i32,
    pub(super) epoch: i32,
    pub(super) uses_ids: bool,
}

impl FetchSessions {
    /// Room for `slots` sessions; 0 turns them off.
    pub(super) fn new(slots: usize) -> Self {
        Self { slots, sessions: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works out what a request asks for.
    ///
    /// # Errors
    /// The code for the whole answer: the session is unknown, or the request does not follow its last one.
    pub(super) fn plan(
        &self,
        request: SessionRequest,
        wanted: Vec<(PartitionRef, Wanted)>,
        forgotten: &[PartitionRef],
        now: Instant,
    ) -> Result<FetchPlan, ErrorCode> {
        let mut sessions = self.lock();
        match (request.id, request.epoch) {
            // A full request: ends the session that it names.
            (id, epoch @ (-1 | 0)) => {
                sessions.remove(&id);
                let kind = if epoch == 0 { Kind::Opening { uses_ids: request.uses_ids } } else { Kind::Sessionless };
                Ok(FetchPlan { wanted, kind })
            }
            (id, epoch) => {
                let session = sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
                if session.next_epoch != epoch {
                    return Err(ErrorCode::InvalidFetchSessionEpoch);
                }
                if session.uses_ids != request.uses_ids {
                    return Err(ErrorCode::FetchSessionTopicIdError);
                }
                session.last_used = now;
                for (partition, wanted) in wanted {
                    session.put(partition, wanted);
                }
                for partition in forgotten {
                    session.remove(partition);
                }
                if session.turns.is_empty() {
                    sessions.remove(&id);
                    return Ok(FetchPlan { wanted: Vec::new(), kind: Kind::Sessionless });
                }
                session.next_epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
                let wanted = session.turns.values().map(|c| (c.partition.clone(), c.wanted.clone())).collect();
                Ok(FetchPlan { wanted, kind: Kind::Incremental { id } })
            }
        }
    }

    /// Ends a request: gives the session id for the answer and, for each of the plan's partitions in order, whether the
    /// answer must say it.
    pub(super) fn finish(&self, plan: &FetchPlan, told: &[Told], now: Instant) -> (i32, Vec<bool>) {
        let all = vec![true; told.len()];
        let mut sessions = self.lock();
        match plan.kind {
            Kind::Sessionless => (0, all),
            Kind::Opening { uses_ids } => {
                if plan.wanted.is_empty() || !make_room(&mut sessions, self.slots, plan.wanted.len(), now) {
                    return (0, all);
                }
                let mut session = Session::new(uses_ids, now);
                for ((partition, wanted), told) in plan.wanted.iter().zip(told) {
                    session.put(partition.clone(), wanted.clone());
                    session.tell(partition, *told);
                }
                let id = free_id(&sessions);
                sessions.insert(id, session);
                (id, all)
            }
            Kind::Incremental { id } => {
                // Gone meanwhile: its place was needed. The client hears of it with its next request.
                let Some(session) = sessions.get_mut(&id) else { return (id, all) };
                let mut say = Vec::with_capacity(told.len());
                for ((partition, _), told) in plan.wanted.iter().zip(told) {
                    say.push(session.tell(partition, *told));
                    if told.has_news && !told.has_error {
                        session.move_to_end(partition);
                    }
                }
                (id, say)
            }
        }
    }
}

fn free_id(sessions: &HashMap<i32, Session>) -> i32 {
    loop {
        let id = fastrand::i32(1..);
        if !sessions.contains_key(&id) {
            return id;
        }
    }
}

/// Whether there is a slot, after evicting the session that was unused for longest, or else a smaller one that is old enough too.
fn make_room(sessions: &mut HashMap<i32, Session>, slots: usize, size: usize, now: Instant) -> bool {
    if sessions.len() < slots {
        return true;
    }
    let age = |session: &Session| now.saturating_duration_since(session.last_used);
    let oldest = sessions
        .iter()
        .filter(|(_, session)| {
            age(session) > EVICTABLE_AFTER || age(session) == EVICTABLE_AFTER && session.turns.len() < size
        })
        .max_by_key(|(_, session)| age(session))
        .map(|(id, _)| *id);
    oldest.is_some_and(|id| sessions.remove(&id).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(n: i32) -> PartitionRef {
        PartitionRef { topic: TopicRef::Name("t".into()), partition: n }
    }

    fn wanted(offset: i64) -> Wanted {
        Wanted {
            fetch_offset: offset,
            max_bytes: 1,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start_offset: -1,
        }
    }

    fn told(high_watermark: i64, has_news: bool) -> Told {
        Told { high_watermark, log_start_offset: 0, has_news, has_error: false }
    }

    fn ask(id: i32, epoch: i32) -> SessionRequest {
        SessionRequest { id, epoch, uses_ids: false }
    }

    fn open(sessions: &FetchSessions, partitions: i32, now: Instant) -> i32 {
        let wanted = (0..partitions).map(|n| (part(n), wanted(0))).collect();
        let plan = sessions.plan(ask(0, 0), wanted, &[], now).unwrap();
        sessions.finish(&plan, &vec![told(5, false); partitions as usize], now).0
    }

    #[test]
    fn an_incremental_answer_says_what_changed() {
        let now = Instant::now();
        let sessions = FetchSessions::new(2);
        let id = open(&sessions, 3, now);
        assert!(id > 0);
        let plan = sessions.plan(ask(id, 1), vec![], &[], now).unwrap();
        assert_eq!(plan.wanted.len(), 3);
        // 0 is unchanged, 1 has records, 2 has another high watermark.
        let (same, say) = sessions.finish(&plan, &[told(5, false), told(5, true), told(6, false)], now);
        assert_eq!((same, say), (id, vec![false, true, true]));
        // The one that gave records is last now; offset and forgotten partitions are taken over.
        let plan = sessions.plan(ask(id, 2), vec![(part(1), wanted(9))], &[part(0)], now).unwrap();
        let order: Vec<_> = plan.wanted.iter().map(|(p, w)| (p.partition, w.fetch_offset)).collect();
        assert_eq!(order, [(2, 0), (1, 9)]);
    }

    #[test]
    fn errors_are_told_until_they_go_away() {
        let now = Instant::now();
        let sessions = FetchSessions::new(1);
        let id = open(&sessions, 1, now);
        let failed = Told { has_error: true, ..told(-1, false) };
        for epoch in 1..3 {
            let plan = sessions.plan(ask(id, epoch), vec![], &[], now).unwrap();
            assert_eq!(sessions.finish(&plan, &[failed], now).1, [true]);
        }
        for (epoch, say) in [(3, true), (4, false)] {
            let plan = sessions.plan(ask(id, epoch), vec![], &[], now).unwrap();
            assert_eq!(sessions.finish(&plan, &[told(5, false)], now).1, [say]);
        }
    }

    #[test]
    fn wrong_epochs_ids_and_kinds_are_refused() {
        let now = Instant::now();
        let sessions = FetchSessions::new(1);
        let id = open(&sessions, 1, now);
        let refused = |request| sessions.plan(request, vec![], &[], now).unwrap_err();
        assert_eq!(refused(ask(id, 2)), ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(refused(ask(id ^ 1, 1)), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(refused(SessionRequest { id, epoch: 1, uses_ids: true }), ErrorCode::FetchSessionTopicIdError);
        // A full request ends the session; so does one that leaves no partition.
        sessions.plan(ask(id, -1), vec![], &[], now).unwrap();
        assert_eq!(refused(ask(id, 1)), ErrorCode::FetchSessionIdNotFound);
        let id = open(&sessions, 1, now);
        let plan = sessions.plan(ask(id, 1), vec![], &[part(0)], now).unwrap();
        assert_eq!(sessions.finish(&plan, &[], now), (0, vec![]));
        assert_eq!(refused(ask(id, 2)), ErrorCode::FetchSessionIdNotFound);
    }

    #[test]
    fn sessions_are_bounded_and_old_ones_make_room() {
        let now = Instant::now();
        let sessions = FetchSessions::new(2);
        let first = open(&sessions, 1, now);
        open(&sessions, 1, now + Duration::from_secs(60));
        assert_eq!(open(&sessions, 1, now + Duration::from_secs(61)), 0, "no room");
        assert!(open(&sessions, 1, now + Duration::from_secs(130)) > 0);
        let refused = sessions.plan(ask(first, 1), vec![], &[], now).unwrap_err();
        assert_eq!(refused, ErrorCode::FetchSessionIdNotFound, "the oldest one went");
        assert_eq!(open(&FetchSessions::new(0), 1, now), 0, "turned off");
    }

    #[test]
    fn epochs_wrap_to_one() {
        let now = Instant::now();
        let sessions = FetchSessions::new(1);
        let id = open(&sessions, 1, now);
        sessions.lock().get_mut(&id).unwrap().next_epoch = i32::MAX;
        sessions.plan(ask(id, i32::MAX), vec![], &[], now).unwrap();
        assert!(sessions.plan(ask(id, 1), vec![], &[], now).is_ok());
    }
}
