//! Share groups step by step: what members get, what is refused, and that a replay gives what is live.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::broker::coordinator::records::read_kind;
use crate::broker::groups::member::Client;
use crate::broker::groups::modern::{Assignment, RecordLimit, TopicView};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use crate::types::Uuid;

fn id(name: &str) -> Uuid {
    Uuid([name.as_bytes()[0]; 16])
}

fn view(topics: &[(&str, usize)]) -> ClusterView {
    let topic =
        |(name, partitions): &(&str, usize)| Arc::new(TopicView::new(name, id(name), vec![Vec::new(); *partitions]));
    ClusterView::new(1, topics.iter().map(topic))
}

fn partitions(topics: &[(&str, &[i32])]) -> Assignment {
    topics.iter().map(|(name, partitions)| (id(name), partitions.iter().copied().collect())).collect()
}

/// A group with its log.
struct Fixture {
    group: ShareGroup,
    view: ClusterView,
    now: Now,
    log: Vec<Record>,
}

impl Fixture {
    fn new(topics: &[(&str, usize)]) -> Self {
        let now = Now { wall_ms: 1_000_000, steady: Instant::now() };
        Self { group: ShareGroup::new("g"), view: view(topics), now, log: Vec::new() }
    }

    fn step<R>(&mut self, run: impl FnOnce(&mut Step<'_>) -> R) -> R {
        let mut step = Step::new(&mut self.group, &self.view, self.now);
        let result = run(&mut step);
        let mut records = std::mem::take(&mut step.records);
        self.log.append(&mut records);
        self.check_replay();
        result
    }

    /// What is live is what the log gives.
    fn check_replay(&self) {
        let mut replayed = ShareGroup::new("g");
        for record in &self.log {
            let read = read_kind(record, read_change).unwrap();
            let (group, change) = read.expect("a record of a share group");
            assert_eq!(group, "g");
            replayed.apply(change);
        }
        let known = |group: &ShareGroup| {
            let modern = &group.modern;
            let epochs = (modern.epoch, modern.assignment_epoch, modern.assigned_ms, modern.metadata_hash);
            (epochs, modern.targets.clone(), group.members.clone(), group.states.clone())
        };
        assert_eq!(known(&replayed), known(&self.group));
        let own = own_records(&self.group);
        assert_eq!(own_records(&replayed), own);
        // And the log says nothing else, once it is compacted.
        let mut left: BTreeMap<_, _> = BTreeMap::new();
        for record in &self.log {
            left.insert(record.key.clone(), record.value.clone());
        }
        left.retain(|_, value| value.is_some());
        for (key, value) in left {
            assert_eq!(own.get(&key), Some(&value));
        }
    }

    fn beat(
        &mut self,
        member: &str,
        epoch: i32,
        topics: Option<&[&str]>,
    ) -> Result<(ShareGroupHeartbeatResponse, Option<Starting>), ErrorCode> {
        let request = ShareGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: member.into(),
            member_epoch: epoch,
            subscribed_topic_names: topics.map(|topics| topics.iter().map(|name| (*name).to_owned()).collect()),
            ..Default::default()
        };
        check_request(&request).map_err(|refusal| refusal.code)?;
        let client = Client { id: "c".into(), host: "/h".into() };
        self.step(|step| step.heartbeat(&request, &client)).map_err(|refusal| refusal.code)
    }

    /// Joins, and has the states begin that it takes.
    fn join(&mut self, member: &str, topics: &[&str]) -> (i32, Assignment) {
        if let (_, Some(starting)) = self.beat(member, 0, Some(topics)).unwrap() {
            self.started(&starting.topics);
        }
        let (answer, starting) = self.beat(member, 0, Some(topics)).unwrap();
        assert_eq!(starting, None);
        (answer.member_epoch, given(&answer).unwrap())
    }

    fn started(&mut self, topics: &Assignment) {
        self.step(|step| step.states_started(topics, &Assignment::new()));
    }

    fn after(&mut self, seconds: u64) {
        self.now.wall_ms += seconds as i64 * 1000;
        self.now.steady += Duration::from_secs(seconds);
    }
}

/// All that a group would write of itself, by its keys: the bytes that make it anew.
fn own_records(group: &ShareGroup) -> BTreeMap<Bytes, Option<Bytes>> {
    let modern = &group.modern;
    let mut changes = vec![
        Change::epoch(modern.epoch, modern.metadata_hash),
        Change::target_epoch(modern.assignment_epoch, modern.assigned_ms),
        Change::states(&group.states),
    ];
    for member in group.members.values() {
        changes.extend([Change::member(member), Change::current(member)]);
    }
    changes.extend(modern.targets.iter().map(|(member, target)| Change::target(member, target)));
    let records = changes.iter().map(|change| records::share_record(&group.id, change));
    records.map(|record| (record.key, record.value)).collect()
}

fn given(answer: &ShareGroupHeartbeatResponse) -> Option<Assignment> {
    let topics = &answer.assignment.as_ref()?.topic_partitions;
    Some(topics.iter().map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect())
}

#[test]
fn partitions_are_assigned_when_their_states_have_begun() {
    let mut f = Fixture::new(&[("t", 2), ("u", 1)]);
    let (answer, starting) = f.beat("a", 0, Some(&["t", "missing"])).unwrap();
    assert_eq!((answer.error_code, answer.heartbeat_interval_ms), (0, 5000));
    assert_eq!(given(&answer), Some(Assignment::new()));
    let starting = starting.unwrap();
    assert_eq!((starting.topics.clone(), starting.state_epoch), (partitions(&[("t", &[0, 1])]), f.group.modern.epoch));
    let epoch = answer.member_epoch;
    assert_eq!(f.beat("a", epoch, None).unwrap().1, None, "it was asked for already");
    f.after(31);
    assert_eq!(f.beat("a", epoch, None).unwrap().1.unwrap().topics, starting.topics, "asked again after a while");

    f.step(|step| step.states_started(&partitions(&[("t", &[0])]), &partitions(&[("t", &[1])])));
    let (answer, again) = f.beat("a", epoch, None).unwrap();
    assert_eq!(given(&answer), Some(partitions(&[("t", &[0])])));
    assert_eq!(again.unwrap().topics, partitions(&[("t", &[1])]), "what failed is asked for again");
    f.started(&partitions(&[("t", &[1])]));
    f.after(1);
    let (answer, _) = f.beat("a", answer.member_epoch, None).unwrap();
    assert_eq!(given(&answer), Some(partitions(&[("t", &[0, 1])])));
    let (same, _) = f.beat("a", answer.member_epoch, None).unwrap();
    assert_eq!((given(&same), same.member_epoch), (None, answer.member_epoch), "nothing has changed");
    assert_eq!(f.group.state(), "Stable");

    // The topic grows.
    f.view = view(&[("t", 3), ("u", 1)]);
    f.group.request_refresh();
    let (_, starting) = f.beat("a", same.member_epoch, None).unwrap();
    assert_eq!(starting.unwrap().topics, partitions(&[("t", &[2])]));
}

#[test]
fn members_share_what_there_is() {
    let mut f = Fixture::new(&[("t", 2)]);
    let (epoch, all) = f.join("a", &["t"]);
    assert_eq!(all, partitions(&[("t", &[0, 1])]));
    f.after(1);
    let (_, half) = f.join("b", &["t"]);
    assert_eq!(half.values().flatten().count(), 1);
    let (answer, _) = f.beat("a", epoch, None).unwrap();
    assert_eq!(given(&answer).unwrap().values().flatten().count(), 1, "a hears of it with its next heartbeat");
    f.after(1);
    let (_, third) = f.join("c", &["t"]);
    assert_eq!(third.values().flatten().count(), 1, "more members than partitions");
    // Its subscription changes.
    f.after(1);
    let (answer, _) = f.beat("c", f.group.member("c").unwrap().epoch, Some(&["u"])).unwrap();
    assert_eq!(given(&answer), Some(Assignment::new()));
    let described = f.group.describe(&f.view);
    assert_eq!((described.members.len(), described.assignor_name.as_str()), (3, "simple"));
    assert_eq!(described.members[0].assignment.topic_partitions[0].topic_name, "t");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut f = Fixture::new(&[("t", 1)]);
    assert_eq!(f.beat("", 0, Some(&["t"])).unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(f.beat("a", 0, None).unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(f.beat("a", 0, Some(&[])).unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(f.beat("a", -2, Some(&["t"])).unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(f.beat("a", 1, None).unwrap_err(), ErrorCode::UnknownMemberId);
    assert!(f.log.is_empty(), "nothing has happened");
    let (epoch, _) = f.join("a", &["t"]);
    assert_eq!(f.beat("a", epoch + 1, None).unwrap_err(), ErrorCode::FencedMemberEpoch);
    f.after(1);
    f.join("b", &["t"]);
    f.beat("a", epoch, None).unwrap();
    assert!(f.beat("a", epoch, None).is_ok(), "the answer that told it of its epoch was lost");
    let earlier = f.group.member("a").unwrap().previous_epoch - 1;
    assert_eq!(
        f.beat("a", earlier.max(1), None).map(drop),
        if earlier > 0 { Err(ErrorCode::FencedMemberEpoch) } else { Ok(()) }
    );
    f.view.share.max_size = 2;
    assert_eq!(f.beat("c", 0, Some(&["t"])).unwrap_err(), ErrorCode::GroupMaxSizeReached);
    assert!(f.beat("a", 0, Some(&["t"])).is_ok(), "who is in may come again");
}

/// Goal: who subscribes to more than a record can say is told so, and nothing is written that the log would refuse.
#[test]
fn subscriptions_and_states_that_could_not_be_written() {
    let names: Vec<String> = (0..20).map(|n| format!("{}-topic", char::from(b'a' + n))).collect();
    let topics: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut f = Fixture::new(&topics);
    f.view.max_record_bytes = RecordLimit(100);
    assert_eq!(f.beat("a", 0, Some(&all)).unwrap_err(), ErrorCode::UnknownServerError);
    assert!(f.log.is_empty() && f.group.is_empty(), "nothing has happened");
    // The subscription fits, the states with their topics' ids do not.
    f.view.max_record_bytes = RecordLimit(300);
    assert_eq!(f.beat("a", 0, Some(&all)).unwrap_err(), ErrorCode::UnknownServerError);
    assert_eq!(f.beat("a", 0, Some(&all[..3])).unwrap().1.map(|starting| starting.topics.len()), Some(3));
    let (answer, _) = f.beat("a", 0, Some(&all[..3])).unwrap();
    f.beat("a", answer.member_epoch, Some(&all)).unwrap_err();
    // It is shut out like anybody.
    f.after(3600);
    f.step(|step| step.advance());
    assert!(f.group.is_empty());
    assert!(f.log.iter().all(|record| record.size() <= 300));
}

#[test]
fn members_leave_or_are_shut_out() {
    let mut f = Fixture::new(&[("t", 2)]);
    f.join("a", &["t"]);
    f.after(1);
    let (epoch, _) = f.join("b", &["t"]);
    let request = ShareGroupHeartbeatRequest { member_id: "a".into(), member_epoch: -1, ..Default::default() };
    assert!(is_leave(&request));
    assert_eq!(f.step(|step| step.leave(&request)).unwrap().member_epoch, -1);
    assert_eq!(f.step(|step| step.leave(&request)).unwrap_err().code, ErrorCode::UnknownMemberId);
    f.after(40);
    let (answer, _) = f.beat("b", epoch, None).unwrap();
    assert_eq!(given(&answer), Some(partitions(&[("t", &[0, 1])])));
    assert_eq!(f.group.next_deadline(), Some(f.now.steady + Duration::from_secs(45)));
    f.after(44);
    f.step(|step| step.advance());
    assert!(!f.group.is_empty());
    f.after(1);
    f.step(|step| step.advance());
    assert_eq!((f.group.is_empty(), f.group.state(), f.group.next_deadline()), (true, "Empty", None));
    f.step(|step| step.end());
    let tombstones = f.log.iter().rev().take_while(|record| record.value.is_none()).count();
    assert_eq!(tombstones, 3, "assignment, states and the group itself");
}

#[test]
fn states_are_altered_and_deleted_while_nobody_is_there() {
    let mut f = Fixture::new(&[("t", 2), ("u", 1)]);
    f.join("a", &["t", "u"]);
    let wanted = partitions(&[("t", &[1])]);
    let refused = f.step(|step| step.restart_states(wanted.clone())).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NonEmptyGroup);
    assert_eq!(f.step(|step| step.end_states(None)).unwrap_err().code, ErrorCode::NonEmptyGroup);
    let request = ShareGroupHeartbeatRequest { member_id: "a".into(), member_epoch: -1, ..Default::default() };
    f.step(|step| step.leave(&request)).unwrap();
    let before = f.group.modern.epoch;
    let starting = f.step(|step| step.restart_states(wanted.clone())).unwrap();
    assert_eq!((starting.topics, starting.state_epoch), (wanted.clone(), before + 1), "a later incarnation");
    assert!(!f.group.states().has(id("t"), 1) && f.group.states().has(id("t"), 0));
    f.started(&wanted);
    assert!(f.group.states().has(id("t"), 1));

    let ending = f.step(|step| step.end_states(Some(&[id("t")]))).unwrap();
    assert_eq!(ending, partitions(&[("t", &[0, 1])]));
    assert!(f.group.states().deleting.contains_key(&id("t")));
    let again = f.step(|step| step.end_states(Some(&[id("t")]))).unwrap();
    assert_eq!(again, ending, "asked for again where it was lost");
    f.step(|step| step.states_ended(&[id("t")]));
    assert!(f.group.states().deleting.is_empty());
    assert_eq!(f.step(|step| step.end_states(Some(&[id("t")]))).unwrap(), Assignment::new(), "nothing is left");
    assert_eq!(f.step(|step| step.end_states(None)).unwrap(), partitions(&[("u", &[0])]));
}

/// Goal: whatever happens to a group, its log gives it again, and all that may be assigned is.
#[test]
fn random_members_leave_a_log_that_gives_the_group_again() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut f = Fixture::new(&[("t", 3), ("u", 2)]);
    let subscriptions: [&[&str]; 3] = [&["t"], &["u"], &["t", "u"]];
    let mut begun = Assignment::new();
    for _ in 0..400 {
        let member = ["a", "b", "c", "d"][random.usize(..4)];
        let epoch = f.group.members.get(member).map_or(0, |member| member.epoch);
        match random.u32(..10) {
            0 => {
                let request =
                    ShareGroupHeartbeatRequest { member_id: member.into(), member_epoch: -1, ..Default::default() };
                let _ = f.step(|step| step.leave(&request));
            }
            1 => {
                f.after(random.u64(..50));
                f.step(|step| step.advance());
            }
            2 => {
                let (started, failed): (Assignment, Assignment) = begun.into_iter().partition(|_| random.bool());
                f.step(|step| step.states_started(&started, &failed));
                begun = Assignment::new();
            }
            3 => {
                let _ = f.step(|step| step.end_states(None));
                f.step(|step| step.states_ended(&[id("t"), id("u")]));
            }
            _ => {
                let topics = (epoch == 0 || random.bool()).then(|| subscriptions[random.usize(..3)]);
                if let Ok((_, Some(starting))) = f.beat(member, epoch, topics) {
                    begun = starting.topics;
                }
            }
        }
    }
    // Everybody comes back and stays: what can be read is read.
    for _ in 0..6 {
        f.after(1);
        for member in ["a", "b"] {
            let epoch = f.group.members.get(member).map_or(0, |member| member.epoch);
            if let (_, Some(starting)) = f.beat(member, epoch, Some(&["t", "u"])).unwrap() {
                f.started(&starting.topics);
            }
        }
        f.after(31);
        f.step(|step| step.advance());
    }
    let mut read = Assignment::new();
    for (topic, partitions) in f.group.members.values().flat_map(|member| member.assigned.iter()) {
        read.entry(*topic).or_default().extend(partitions);
    }
    assert_eq!(read, partitions(&[("t", &[0, 1, 2]), ("u", &[0, 1])]));
}
