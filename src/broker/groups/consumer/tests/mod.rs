//! Consumer groups without a log, a network or a clock: time is moved by the tests, the cluster is what they say.

mod cost;
mod epochs;
mod errors;
mod interleavings;
mod migration;
mod offsets;
mod records;
mod topics;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::records::{Change, consumer_record};
use crate::broker::coordinator::{Machine as _, Now, Record, Token};
use crate::broker::groups::RegexLookup;
use crate::broker::groups::commits::{Commit, Committer};
use crate::broker::groups::effects::{Effects, Reply};
use crate::broker::groups::group::Kind;
use crate::broker::groups::modern::{ClusterView, RecordLimit, TopicView};
use crate::broker::groups::shard::{GroupConfig, Shard};
use crate::broker::groups::{Client, Committed};
use crate::protocol::ErrorCode;
use crate::protocol::messages::consumer_group_describe_response::{DescribedGroup, Member};
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::types::Uuid;

const GROUP: &str = "g";
/// A member's time to give up partitions.
const REBALANCE: i32 = 30_000;

/// What a member has, as text: `a0 a1 b0`.
type Held = BTreeSet<String>;

fn config() -> GroupConfig {
    GroupConfig {
        min_session_timeout: Duration::from_secs(6),
        max_session_timeout: Duration::from_secs(1800),
        initial_rebalance_delay: Duration::from_secs(3),
        max_size: 4,
        offset_metadata_max_bytes: 4096,
        offsets_retention: Duration::from_secs(7 * 24 * 3600),
        max_record_bytes: 1 << 20,
    }
}

fn topic_id(name: &str) -> Uuid {
    let mut id = [7; 16];
    id.iter_mut().zip(name.bytes()).for_each(|(slot, byte)| *slot = byte);
    Uuid(id)
}

/// A shard with a clock, a cluster and the log of what it wrote.
struct World {
    shard: Shard,
    start: Instant,
    elapsed: Duration,
    log: Vec<Record>,
    replies: HashMap<Token, Reply>,
    /// Look-ups that are under way.
    lookups: Vec<Arc<RegexLookup>>,
    topics: BTreeMap<String, usize>,
    version: i64,
    /// Changes each view before it is shown.
    settings: fn(ClusterView) -> ClusterView,
}

impl World {
    /// A cluster with topic `a` of three partitions and `b` of two. There is no time between assignments.
    fn new() -> Self {
        Self::with(|mut view| {
            view.consumer.timing.assignment_interval.default = Duration::ZERO;
            view
        })
    }

    fn with(settings: fn(ClusterView) -> ClusterView) -> Self {
        let mut world = Self {
            shard: Shard::new(config()),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            log: Vec::new(),
            replies: HashMap::new(),
            lookups: Vec::new(),
            topics: [("a".to_owned(), 3), ("b".to_owned(), 2)].into(),
            version: 0,
            settings,
        };
        world.look();
        world
    }

    fn now(&self) -> Now {
        Now { wall_ms: 1_700_000_000_000 + self.elapsed.as_millis() as i64, steady: self.start + self.elapsed }
    }

    fn view(&self) -> Arc<ClusterView> {
        let topic = |(name, partitions): (&String, &usize)| {
            Arc::new(TopicView::new(name, topic_id(name), vec![Vec::new(); *partitions]))
        };
        Arc::new((self.settings)(ClusterView::new(self.version, self.topics.iter().map(topic))))
    }

    /// The shard sees the cluster as it is now.
    fn look(&mut self) {
        self.version += 1;
        self.shard.observe(&self.view());
    }

    fn set_topic(&mut self, name: &str, partitions: usize) {
        if partitions == 0 {
            self.topics.remove(name);
        } else {
            self.topics.insert(name.to_owned(), partitions);
        }
        self.look();
    }

    fn take(&mut self, effects: Effects) {
        self.log.extend(effects.records);
        self.lookups.extend(effects.actions);
        assert!(self.lookups.len() < 2, "a group has one look-up at once");
        for (token, reply) in effects.replies {
            assert!(self.replies.insert(token, reply).is_none(), "{token:?} was answered twice");
        }
    }

    /// The look-up that is under way ends.
    fn look_up(&mut self) {
        for lookup in std::mem::take(&mut self.lookups) {
            self.end_lookup(&lookup);
        }
    }

    fn end_lookup(&mut self, lookup: &Arc<RegexLookup>) {
        let ((), effects) = self.shard.take_resolved(lookup, lookup.run(), self.now());
        self.take(effects);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while let Some(at) = self.shard.next_deadline().map(|at| at.saturating_duration_since(self.start)) {
            if at > end {
                break;
            }
            self.elapsed = self.elapsed.max(at);
            let effects = self.shard.advance(self.now());
            self.take(effects);
        }
        self.elapsed = end;
    }

    fn send(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.send_version(request, 1)
    }

    fn send_version(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
    ) -> ConsumerGroupHeartbeatResponse {
        let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
        let (answer, effects) = self.shard.consumer_heartbeat(request, version, &client, self.now());
        self.take(effects);
        answer
    }

    fn code(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ErrorCode {
        ErrorCode::from_code(self.send(request).error_code)
    }

    /// A member joins and subscribes to topics; its epoch and what it is given.
    fn join(&mut self, member: &str, topics: &[&str]) -> (i32, Held) {
        given(&self.send(&joining(member, topics)))
    }

    /// A heartbeat that says what the member has.
    fn beat(&mut self, member: &str, epoch: i32, owned: &str) -> (i32, Option<Held>) {
        let answer = self.send(&beating(member, epoch, owned));
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        (answer.member_epoch, answer.assignment.as_ref().map(|_| given(&answer).1))
    }

    fn leave(&mut self, member: &str) -> ErrorCode {
        self.code(&ConsumerGroupHeartbeatRequest { member_epoch: -1, ..from(member) })
    }

    fn describe(&self) -> DescribedGroup {
        self.shard.describe_consumer_group(GROUP)
    }

    fn state(&self) -> String {
        self.describe().group_state
    }

    fn member(&self, id: &str) -> Option<Member> {
        self.describe().members.into_iter().find(|member| member.member_id == id)
    }

    /// What a new coordinator would know.
    fn replayed(&self) -> Shard {
        let mut shard = Shard::new(config());
        shard.observe(&self.view());
        for record in &self.log {
            shard.replay(record, None, self.now()).unwrap();
        }
        shard
    }

    /// What is known is what a replay gives.
    #[track_caller]
    fn check(&self) {
        let replayed = self.replayed();
        assert_eq!(replayed.describe_consumer_group(GROUP), self.describe());
        assert_eq!(replayed.offsets(GROUP), self.shard.offsets(GROUP));
        assert_eq!(replayed.list().collect::<Vec<_>>(), self.shard.list().collect::<Vec<_>>());
        let own = own_records(&self.shard);
        assert_eq!(own_records(&replayed), own);
        // And the log says nothing else, once it is compacted.
        let of_these_groups = |record: &&Record| matches!(record.key[..], [0, 3..=8 | 16, ..]);
        let mut left: HashMap<_, _> = HashMap::new();
        for record in self.log.iter().filter(of_these_groups) {
            left.insert(record.key.clone(), record.value.clone());
        }
        left.retain(|_, value| value.is_some());
        for (key, value) in left {
            assert_eq!(own.get(&key), Some(&value));
        }
    }

    fn commit(&mut self, member: &str, epoch: i32, topic: &str, partition: i32, offset: i64) -> ErrorCode {
        self.commit_version(member, epoch, (topic, partition), offset, 9)
    }

    fn commit_version(
        &mut self,
        member: &str,
        epoch: i32,
        (topic, partition): (&str, i32),
        offset: i64,
        version: i16,
    ) -> ErrorCode {
        let committed = Committed {
            offset,
            leader_epoch: 0,
            metadata: String::new(),
            committed_ms: self.now().wall_ms,
            expires_ms: None,
            topic_id: topic_id(topic),
        };
        let commits = vec![Commit { topic: topic.into(), partition, committed }];
        let committer = Committer { member_id: member, instance_id: None, generation: epoch, version };
        match self.shard.commit(GROUP, committer, commits, self.now()) {
            Ok((answers, effects)) => {
                self.take(effects);
                answers[0]
            }
            Err(error) => error,
        }
    }
}

/// All that a group would write of itself, by its keys: the bytes that make it anew.
fn own_records(shard: &Shard) -> BTreeMap<Bytes, Option<Bytes>> {
    let Some(Kind::Consumer(group)) = shard.groups.get(GROUP).map(|group| &group.kind) else { return BTreeMap::new() };
    let modern = &group.modern;
    let mut changes = vec![
        Change::epoch(modern.epoch, modern.metadata_hash),
        Change::target_epoch(modern.assignment_epoch, modern.assigned_ms),
    ];
    for member in group.members.values() {
        changes.extend([Change::member(member), Change::current(member)]);
    }
    changes.extend(modern.targets.iter().map(|(member, target)| Change::target(member, target)));
    let regexes = modern.subscriptions.all_resolved().iter();
    changes.extend(regexes.map(|(regex, resolved)| Change::regex(regex, resolved)));
    let records = changes.iter().map(|change| consumer_record(&group.id, change));
    records.map(|record| (record.key, record.value)).collect()
}

fn held(text: &str) -> Held {
    text.split_whitespace().map(str::to_owned).collect()
}

fn from(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { group_id: GROUP.into(), member_id: member.into(), ..Default::default() }
}

fn joining(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: REBALANCE,
        subscribed_topic_names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        topic_partitions: Some(Vec::new()),
        ..from(member)
    }
}

fn joining_by_regex(member: &str, regex: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(regex.to_owned()),
        ..joining(member, &[])
    }
}

fn static_joining(member: &str, instance: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { instance_id: Some(instance.into()), ..joining(member, topics) }
}

fn beating(member: &str, epoch: i32, owned: &str) -> ConsumerGroupHeartbeatRequest {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in owned.split_whitespace() {
        let (topic, number) = partition.split_at(1);
        topics.entry(topic).or_default().push(number.parse().unwrap());
    }
    let topics = topics.into_iter().map(|(topic, partitions)| TopicPartitions {
        topic_id: topic_id(topic),
        partitions,
        ..Default::default()
    });
    ConsumerGroupHeartbeatRequest { member_epoch: epoch, topic_partitions: Some(topics.collect()), ..from(member) }
}

/// The epoch of an answer, and what is given.
#[track_caller]
fn given(answer: &ConsumerGroupHeartbeatResponse) -> (i32, Held) {
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let mut held = Held::new();
    for topic in answer.assignment.iter().flat_map(|assignment| &assignment.topic_partitions) {
        let name = topic.topic_id.0.first().copied().map(char::from).unwrap_or_default();
        held.extend(topic.partitions.iter().map(|partition| format!("{name}{partition}")));
    }
    (answer.member_epoch, held)
}
