//! What a member knows, and what its next heartbeat says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::ApiError;
use crate::client::retry::Backoff;
use crate::protocol::ErrorCode;
use crate::types::{TopicPartition, Uuid};

/// Member epoch of a heartbeat that leaves the group.
pub(in crate::client) const LEAVES: i32 = -1;

/// Member epoch of a static member's heartbeat that leaves and will be back for its partitions.
pub(in crate::client) const LEAVES_FOR_A_WHILE: i32 = -2;

/// Until the coordinator has said otherwise.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);

/// Partitions by topic id, as coordinators speak of them.
pub(in crate::client) type Assigned = BTreeMap<Uuid, BTreeSet<i32>>;

/// What a member wants to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::client) struct Interests {
    pub(in crate::client) topics: BTreeSet<String>,
    /// A regular expression that the coordinator evaluates.
    pub(in crate::client) regex: Option<String>,
}

/// A heartbeat. What has not changed since the one before is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::client) struct Beat {
    pub(in crate::client) member_id: String,
    pub(in crate::client) epoch: i32,
    /// The coordinator may know nothing of us: everything is said.
    pub(in crate::client) full: bool,
    pub(in crate::client) interests: Option<Interests>,
    pub(in crate::client) owned: Option<Assigned>,
    round: u64,
}

/// What a coordinator answers to a heartbeat.
#[derive(Debug, Clone)]
pub(in crate::client) struct Answer {
    pub(in crate::client) member_id: Option<String>,
    pub(in crate::client) epoch: i32,
    pub(in crate::client) interval: Duration,
    /// `None`: as before.
    pub(in crate::client) assignment: Option<Assigned>,
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// There may be topics whose names have to be looked up.
    NewTarget,
    /// The coordinator has given our partitions to others.
    Lost,
    /// Somebody else coordinates the group.
    OtherCoordinator,
    /// The application has to know; heartbeats go on.
    Tell(ApiError),
    /// The application has to know; the membership is over.
    Failed(ApiError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not subscribed, or left.
    Idle,
    /// In the group, or on the way into it.
    Member,
    /// Put out by the coordinator: the application has to let go of its partitions before we come back.
    Fenced,
    /// Left because the application does not poll.
    Stale,
    /// Refused for good.
    Failed,
}

/// What a member knows.
#[derive(Debug)]
pub(in crate::client) struct MemberState {
    phase: Phase,
    member_id: String,
    /// 0: not in the group (yet).
    epoch: i32,
    interests: Interests,
    owned: Assigned,
    /// What is to be owned, while it is not.
    target: Option<Assigned>,
    names: HashMap<Uuid, String>,
    /// What the coordinator was told; `None`: not known.
    said: Option<(Interests, Assigned)>,
    in_flight: bool,
    /// Something came up while a heartbeat was under way.
    again: bool,
    next: Instant,
    interval: Duration,
    backoff: Backoff,
    last_poll: Instant,
    /// Changes when the member starts over: answers to what was said before do not count.
    round: u64,
}

impl MemberState {
    /// A member that has no interests yet. Its id is its own choice (KIP-1082).
    pub(in crate::client) fn new(member_id: String, backoff: Backoff, now: Instant) -> Self {
        Self {
            phase: Phase::Idle,
            member_id,
            epoch: 0,
            interests: Interests::default(),
            owned: Assigned::new(),
            target: None,
            names: HashMap::new(),
            said: None,
            in_flight: false,
            again: false,
            next: now,
            interval: FIRST_INTERVAL,
            backoff,
            last_poll: now,
            round: 0,
        }
    }

    pub(in crate::client) fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The epoch that the member has reached; `None` if it is not in the group.
    pub(in crate::client) fn epoch(&self) -> Option<i32> {
        (self.phase == Phase::Member && self.epoch > 0).then_some(self.epoch)
    }

    /// Whether the application has to let go of its partitions: they are others' now.
    pub(in crate::client) fn has_lost(&self) -> bool {
        matches!(self.phase, Phase::Fenced | Phase::Stale)
    }

    /// Says what is to be read; joins the group if need be. Says whether that is news.
    pub(in crate::client) fn set_interests(&mut self, interests: Interests, now: Instant) -> bool {
        let news = self.interests != interests || self.phase == Phase::Idle;
        if news {
            self.interests = interests;
            if self.phase == Phase::Idle {
                self.rejoin(now);
            } else {
                self.hurry(now);
            }
        }
        news
    }

    /// The application has let go of what it lost: back into the group.
    pub(in crate::client) fn let_go(&mut self, now: Instant) {
        if self.has_lost() {
            self.rejoin(now);
        }
    }

    fn rejoin(&mut self, now: Instant) {
        self.start_over(Phase::Member);
        self.last_poll = now;
        self.next = now;
    }

    fn start_over(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch = 0;
        self.owned.clear();
        self.target = None;
        self.said = None;
        self.in_flight = false;
        self.again = false;
        self.round += 1;
    }

    fn hurry(&mut self, now: Instant) {
        if self.in_flight {
            self.again = true;
        } else if self.backoff.failures() == 0 {
            self.next = now;
        }
    }

    pub(in crate::client) fn polled(&mut self, now: Instant) {
        self.last_poll = now;
    }

    /// Whether the application has not polled for so long that its partitions must go to others; if so it is out.
    pub(super) fn poll_expired(&mut self, most: Duration, now: Instant) -> bool {
        let expired = self.phase == Phase::Member && now.saturating_duration_since(self.last_poll) > most;
        if expired {
            self.start_over(Phase::Stale);
        }
        expired
    }

    /// When there may be something to do next; `None`: not before something changes.
    pub(super) fn due(&self, most: Duration) -> Option<Instant> {
        match self.phase {
            Phase::Member if self.in_flight => Some(self.last_poll + most),
            Phase::Member => Some(self.next.min(self.last_poll + most)),
            _ => None,
        }
    }

    /// The heartbeat to send now, if it is time for one.
    pub(super) fn next_beat(&mut self, now: Instant) -> Option<Beat> {
        if self.phase != Phase::Member || self.in_flight || self.next > now {
            return None;
        }
        let said = self.said.as_ref();
        let interests = said.is_none_or(|(interests, _)| *interests != self.interests);
        let owned = said.is_none_or(|(_, owned)| *owned != self.owned);
        let beat = Beat {
            member_id: self.member_id.clone(),
            epoch: self.epoch,
            full: said.is_none(),
            interests: interests.then(|| self.interests.clone()),
            owned: owned.then(|| self.owned.clone()),
            round: self.round,
        };
        self.said = Some((self.interests.clone(), self.owned.clone()));
        self.in_flight = true;
        self.again = false;
        Some(beat)
    }

    /// No answer came, or none that tells anything.
    pub(super) fn unanswered(&mut self, beat: &Beat, now: Instant) {
        if beat.round == self.round {
            self.in_flight = false;
            // The coordinator may have it or not: everything is said again.
            self.said = None;
            self.next = now + self.backoff.next_wait();
        }
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, beat: &Beat, answer: Result<Answer, ApiError>, now: Instant) -> After {
        if beat.round != self.round {
            return After::Nothing;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.refused(beat, error, now),
        };
        self.in_flight = false;
        self.backoff.reset();
        self.epoch = answer.epoch;
        self.interval = answer.interval;
        if let Some(member_id) = answer.member_id {
            self.member_id = member_id;
        }
        self.next = if self.again { now } else { now + self.interval };
        match answer.assignment {
            Some(assignment) if assignment == self.owned => {
                self.target = None;
                After::Nothing
            }
            Some(assignment) => {
                self.target = Some(assignment);
                After::NewTarget
            }
            None => After::Nothing,
        }
    }

    fn refused(&mut self, beat: &Beat, error: ApiError, now: Instant) -> After {
        match error.code {
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                self.start_over(Phase::Fenced);
                After::Lost
            }
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.unanswered(beat, now);
                After::OtherCoordinator
            }
            code if code.is_retriable() => {
                self.unanswered(beat, now);
                After::Nothing
            }
            ErrorCode::TopicAuthorizationFailed => {
                self.unanswered(beat, now);
                After::Tell(error)
            }
            _ => {
                self.start_over(Phase::Failed);
                After::Failed(error)
            }
        }
    }

    /// The topics of the target whose names are not known.
    pub(super) fn nameless(&self) -> Vec<Uuid> {
        let target = self.target.iter().flat_map(BTreeMap::keys);
        target.filter(|id| !self.names.contains_key(id)).copied().collect()
    }

    pub(super) fn learn_names(&mut self, names: impl IntoIterator<Item = (Uuid, String)>) {
        self.names.extend(names);
        // Topics come and go: what is not assigned need not be remembered.
        let Self { names, target, owned, .. } = self;
        names.retain(|id, _| owned.contains_key(id) || target.as_ref().is_some_and(|target| target.contains_key(id)));
    }

    /// What the application should read instead of what it reads, as far as names are known; `None` if nothing changes.
    pub(in crate::client) fn wanted(&self) -> Option<(Assigned, Vec<TopicPartition>)> {
        let mut known = self.target.clone()?;
        known.retain(|id, _| self.names.contains_key(id));
        if known == self.owned {
            return None;
        }
        let mut partitions = Vec::new();
        for (id, indexes) in &known {
            let Some(name) = self.names.get(id) else { continue };
            partitions.extend(indexes.iter().map(|index| TopicPartition::new(name.as_str(), *index)));
        }
        Some((known, partitions))
    }

    /// The application reads these now: the coordinator is told, and may give what was let go to others.
    pub(in crate::client) fn reconciled(&mut self, owned: Assigned, now: Instant) {
        if self.phase != Phase::Member {
            return;
        }
        if self.target.as_ref() == Some(&owned) {
            self.target = None;
        }
        self.owned = owned;
        self.hurry(now);
    }

    /// Leaves: nothing more is said. Gives the member's id if there is something to leave.
    pub(in crate::client) fn leave(&mut self) -> Option<String> {
        let was_member = self.phase == Phase::Member;
        self.start_over(Phase::Idle);
        was_member.then(|| self.member_id.clone())
    }
}
