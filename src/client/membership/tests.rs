use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::state::After;
use super::*;
use crate::client::ApiError;
use crate::client::retry::Backoff;
use crate::protocol::ErrorCode;
use crate::types::{TopicPartition, Uuid};

const T: Uuid = Uuid([1; 16]);
const U: Uuid = Uuid([2; 16]);
const INTERVAL: Duration = Duration::from_secs(3);

fn assigned(partitions: &[(Uuid, &[i32])]) -> Assigned {
    partitions.iter().map(|(id, indexes)| (*id, indexes.iter().copied().collect())).collect()
}

fn interests(topics: &[&str]) -> Interests {
    Interests { topics: topics.iter().map(|topic| (*topic).to_owned()).collect(), regex: None }
}

fn answer(epoch: i32, assignment: Option<Assigned>) -> Result<Answer, ApiError> {
    Ok(Answer { member_id: None, epoch, interval: INTERVAL, assignment })
}

fn refused(code: ErrorCode) -> Result<Answer, ApiError> {
    Err(code.into())
}

fn member(now: Instant) -> MemberState {
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let mut state = MemberState::new("m".to_owned(), backoff, now);
    assert_eq!(state.next_beat(now), None, "nothing to say without interests");
    assert!(state.set_interests(interests(&["t"]), now));
    state
}

/// A member in epoch 1 that reads partitions 0 and 1 of `t`.
fn settled(now: Instant) -> MemberState {
    let mut state = member(now);
    let beat = state.next_beat(now).unwrap();
    let target = assigned(&[(T, &[0, 1])]);
    assert_eq!(state.answered(&beat, answer(1, Some(target.clone())), now), After::NewTarget);
    state.learn_names([(T, "t".to_owned())]);
    state.reconciled(target, now);
    let beat = state.next_beat(now).unwrap();
    assert_eq!(state.answered(&beat, answer(1, None), now), After::Nothing);
    state
}

#[test]
fn the_first_heartbeat_says_everything_and_the_next_ones_what_changed() {
    let now = Instant::now();
    let mut state = member(now);
    let beat = state.next_beat(now).unwrap();
    assert!(beat.full && beat.epoch == 0);
    assert_eq!((beat.interests.clone(), beat.owned.clone()), (Some(interests(&["t"])), Some(Assigned::new())));
    assert_eq!(state.epoch(), None);
    assert_eq!(state.next_beat(now), None, "one at a time");
    let target = assigned(&[(T, &[0, 1])]);
    assert_eq!(state.answered(&beat, answer(1, Some(target.clone())), now), After::NewTarget);
    assert_eq!(state.epoch(), Some(1));
    assert_eq!((state.nameless(), state.wanted()), (vec![T], None), "its topic is not known yet");
    state.learn_names([(T, "t".to_owned())]);
    let (wanted, partitions) = state.wanted().unwrap();
    assert_eq!(partitions, [TopicPartition::new("t", 0), TopicPartition::new("t", 1)]);
    assert_eq!(state.next_beat(now), None, "not before its time");
    state.reconciled(wanted, now);
    let beat = state.next_beat(now).unwrap();
    assert_eq!((beat.full, beat.interests.clone(), beat.owned.clone()), (false, None, Some(target)), "told at once");
    state.answered(&beat, answer(2, None), now);
    assert_eq!(state.next_beat(now + INTERVAL - Duration::from_millis(1)), None);
    let beat = state.next_beat(now + INTERVAL).unwrap();
    assert_eq!((beat.epoch, beat.interests, beat.owned), (2, None, None));
}

#[test]
fn what_may_be_lost_is_said_again() {
    let now = Instant::now();
    let mut state = settled(now);
    let beat = state.next_beat(now + INTERVAL).unwrap();
    state.unanswered(&beat, now + INTERVAL);
    assert_eq!(state.next_beat(now + INTERVAL), None, "after a wait");
    let again = state.next_beat(now + INTERVAL * 2).unwrap();
    assert!(again.full);
    assert_eq!((again.epoch, again.owned), (1, Some(assigned(&[(T, &[0, 1])]))));
    let mut state = settled(now);
    let beat = state.next_beat(now + INTERVAL).unwrap();
    let after = state.answered(&beat, refused(ErrorCode::NotCoordinator), now + INTERVAL);
    assert_eq!(after, After::OtherCoordinator);
    assert!(state.next_beat(now + INTERVAL * 2).unwrap().full, "another coordinator knows nothing of us");
}

#[test]
fn who_is_fenced_lets_go_first_and_then_comes_back() {
    let now = Instant::now();
    for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut state = settled(now);
        let late = state.next_beat(now + INTERVAL).unwrap();
        assert_eq!(state.answered(&late, refused(code), now), After::Lost);
        assert!(state.has_lost() && state.epoch().is_none());
        assert_eq!(state.next_beat(now + INTERVAL * 9), None);
        // An answer to what was said before means nothing now.
        state.answered(&late, answer(7, Some(assigned(&[(U, &[0])]))), now);
        assert_eq!(state.wanted(), None);
        state.let_go(now);
        let beat = state.next_beat(now).unwrap();
        assert_eq!((beat.epoch, beat.full, beat.member_id.as_str()), (0, true, "m"));
        assert_eq!(beat.owned, Some(Assigned::new()));
    }
}

#[test]
fn who_does_not_poll_is_out() {
    let now = Instant::now();
    let most = Duration::from_secs(10);
    let mut state = settled(now);
    state.polled(now);
    assert!(!state.poll_expired(most, now + most));
    assert!(state.poll_expired(most, now + most + Duration::from_millis(1)));
    assert!(state.has_lost());
    assert_eq!(state.due(most), None);
    let later = now + most * 3;
    state.let_go(later);
    assert!(!state.poll_expired(most, later));
    assert_eq!(state.next_beat(later).unwrap().epoch, 0);
}

#[test]
fn what_comes_up_meanwhile_is_said_at_once() {
    let now = Instant::now();
    let mut state = settled(now);
    let beat = state.next_beat(now + INTERVAL).unwrap();
    assert!(state.set_interests(interests(&["t", "u"]), now));
    assert!(!state.set_interests(interests(&["t", "u"]), now));
    state.answered(&beat, answer(1, None), now);
    assert_eq!(state.next_beat(now).unwrap().interests, Some(interests(&["t", "u"])));
}

#[test]
fn a_topic_without_a_name_does_not_hold_up_the_others() {
    let now = Instant::now();
    let mut state = settled(now);
    let beat = state.next_beat(now + INTERVAL).unwrap();
    state.answered(&beat, answer(2, Some(assigned(&[(T, &[1]), (U, &[0])]))), now);
    assert_eq!(state.nameless(), [U]);
    let (wanted, partitions) = state.wanted().unwrap();
    assert_eq!(partitions, [TopicPartition::new("t", 1)]);
    state.reconciled(wanted, now);
    assert_eq!(state.wanted(), None);
    state.learn_names([(U, "u".to_owned())]);
    let (wanted, partitions) = state.wanted().unwrap();
    assert_eq!(partitions, [TopicPartition::new("t", 1), TopicPartition::new("u", 0)]);
    state.reconciled(wanted, now);
    assert!(state.nameless().is_empty() && state.wanted().is_none());
}

#[test]
fn errors_that_stay_end_the_membership() {
    let now = Instant::now();
    for (code, ends) in [
        (ErrorCode::UnreleasedInstanceId, true),
        (ErrorCode::FencedInstanceId, true),
        (ErrorCode::UnsupportedAssignor, true),
        (ErrorCode::GroupAuthorizationFailed, true),
        (ErrorCode::InvalidRegularExpression, true),
        (ErrorCode::TopicAuthorizationFailed, false),
        (ErrorCode::CoordinatorLoadInProgress, false),
    ] {
        let mut state = member(now);
        let beat = state.next_beat(now).unwrap();
        let after = state.answered(&beat, refused(code), now);
        assert_eq!(matches!(after, After::Failed(_)), ends, "{code}");
        assert_eq!(state.next_beat(now + INTERVAL * 9).is_none(), ends, "{code}");
    }
}

#[test]
fn who_leaves_says_nothing_more() {
    let now = Instant::now();
    let mut state = settled(now);
    assert_eq!(state.leave(), Some("m".to_owned()));
    assert_eq!(state.leave(), None);
    assert_eq!(state.next_beat(now + INTERVAL * 9), None);
}

/// The coordinator of one member: it gives what the member may have, and fences who lags behind its view.
#[derive(Debug, Default)]
struct Coordinator {
    member: Option<(i32, Assigned)>,
    target: BTreeSet<i32>,
}

impl Coordinator {
    fn heartbeat(&mut self, beat: &Beat) -> Result<Answer, ApiError> {
        let target = if self.target.is_empty() { Assigned::new() } else { Assigned::from([(T, self.target.clone())]) };
        if beat.epoch == 0 {
            self.member = Some((1, beat.owned.clone().unwrap()));
        }
        let Some((epoch, owned)) = &mut self.member else { return refused(ErrorCode::UnknownMemberId) };
        if beat.epoch > *epoch || beat.epoch != 0 && beat.epoch + 1 < *epoch {
            return refused(ErrorCode::FencedMemberEpoch);
        }
        if let Some(told) = &beat.owned {
            owned.clone_from(told);
        }
        let news = *owned != target;
        answer(*epoch, news.then_some(target))
    }
}

proptest! {
    /// Goal: whatever is lost, delayed or forgotten, in the end the member owns what the coordinator wants.
    #[test]
    fn it_comes_to_what_the_coordinator_wants(events in prop::collection::vec(0..7u8, 0..80), last in 0..4i32) {
        let mut now = Instant::now();
        let mut coordinator = Coordinator::default();
        let mut state = member(now);
        state.learn_names([]);
        let mut on_the_way = None;
        let calm = std::iter::repeat_n([0u8, 1, 2, 3], 12).flatten();
        coordinator.target = (0..last).collect();
        let noise = events.len();
        for (at, event) in events.into_iter().chain(calm).enumerate() {
            now += INTERVAL;
            match event {
                0 => on_the_way = state.next_beat(now).or(on_the_way),
                1 => {
                    if let Some(beat) = on_the_way.take() {
                        let answer = coordinator.heartbeat(&beat);
                        state.answered(&beat, answer, now);
                    }
                }
                2 => {
                    state.let_go(now);
                    let missing = state.nameless();
                    state.learn_names(missing.into_iter().map(|id| (id, "t".to_owned())));
                }
                3 => {
                    if let Some((wanted, _)) = state.wanted() {
                        state.reconciled(wanted, now);
                    }
                }
                4 => {
                    // The heartbeat arrives, its answer does not.
                    if let Some(beat) = on_the_way.take() {
                        let _ = coordinator.heartbeat(&beat);
                        state.unanswered(&beat, now);
                    }
                }
                5 => coordinator.member = None,
                _ => {
                    coordinator.target = BTreeSet::from([i32::try_from(at).unwrap()]);
                    if let Some((epoch, _)) = &mut coordinator.member {
                        *epoch += 1;
                    }
                }
            }
            if at + 1 == noise {
                coordinator.target = (0..last).collect();
            }
        }
        let target: Assigned = if last == 0 { Assigned::new() } else { Assigned::from([(T, (0..last).collect())]) };
        prop_assert_eq!(coordinator.member.map(|(_, owned)| owned), Some(target));
        prop_assert!(state.wanted().is_none() && !state.has_lost());
    }
}
