//! Streams groups without a log, a network or a clock: time is moved by the tests, the cluster is what they say.

mod assignor;
mod configure;
mod epochs;
mod errors;
mod interleavings;
mod offsets;
mod records;
mod topics;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::records::streams_record;
use super::{Beat, Change, StreamsGroup, check_request};
use crate::broker::coordinator::{Machine as _, Now, Record};
use crate::broker::groups::commits::{Commit, Committer};
use crate::broker::groups::effects::{Effects, Reply};
use crate::broker::groups::group::Kind;
use crate::broker::groups::modern::{ClusterView, RecordLimit, TopicView};
use crate::broker::groups::shard::{GroupConfig, Shard};
use crate::broker::groups::{Client, Committed};
use crate::config::Settings;
use crate::protocol::ErrorCode;
use crate::protocol::messages::streams_group_describe_response::{DescribedGroup, Member};
use crate::protocol::messages::streams_group_heartbeat_request::{
    CopartitionGroup, Endpoint, Subtopology, TaskIds, TopicInfo, Topology,
};
use crate::protocol::messages::{
    StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse, StreamsGroupTopologyValue,
};
use crate::types::Uuid;

const GROUP: &str = "g";
/// A member's time to give up tasks.
const REBALANCE: i32 = 30_000;

/// What a member has, as text: `0_0 1_2`, a standby task as `s1_2`.
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

fn view_of<'a>(version: i64, topics: impl Iterator<Item = (&'a str, usize)>) -> ClusterView {
    let topic = |(name, partitions): (&str, usize)| {
        Arc::new(TopicView::new(name, topic_id(name), vec![Vec::new(); partitions]))
    };
    ClusterView::new(version, topics.map(topic))
}

/// A shard with a clock, a cluster and the log of what it wrote.
struct World {
    shard: Shard,
    start: Instant,
    elapsed: Duration,
    log: Vec<Record>,
    replies: Vec<Reply>,
    topics: BTreeMap<String, usize>,
    version: i64,
    /// The broker makes the topics that an application needs.
    makes_topics: bool,
    settings: Settings,
    max_record_bytes: usize,
}

impl World {
    /// A cluster with topic `in` of three partitions. There is no time between assignments, nor before the first.
    fn new() -> Self {
        Self::with(&[("streams.assignment.interval.ms", "0"), ("streams.initial.rebalance.delay.ms", "0")])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let mut world = Self {
            shard: Shard::new(config()),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            log: Vec::new(),
            replies: Vec::new(),
            topics: [("in".to_owned(), 3)].into(),
            version: 0,
            makes_topics: true,
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            max_record_bytes: 1 << 20,
        };
        world.look();
        world
    }

    fn now(&self) -> Now {
        Now { wall_ms: 1_700_000_000_000 + self.elapsed.as_millis() as i64, steady: self.start + self.elapsed }
    }

    fn view(&self) -> Arc<ClusterView> {
        let topics = self.topics.iter().map(|(name, partitions)| (name.as_str(), *partitions));
        let mut view = view_of(self.version, topics).with_group(GROUP, self.settings.clone());
        view.max_record_bytes = RecordLimit(self.max_record_bytes);
        Arc::new(view)
    }

    /// The shard sees the cluster as it is now.
    fn look(&mut self) {
        self.version += 1;
        self.shard.observe(&self.view());
    }

    fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
        self.look();
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
        self.replies.extend(effects.replies.into_iter().map(|(_, reply)| reply));
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

    /// A heartbeat as the broker handles it.
    fn send(&mut self, request: &StreamsGroupHeartbeatRequest) -> StreamsGroupHeartbeatResponse {
        if let Err(refusal) = check_request(request) {
            let error_message = Some(refusal.message);
            return StreamsGroupHeartbeatResponse {
                error_code: refusal.code.code(),
                error_message,
                ..Default::default()
            };
        }
        let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
        let (Beat { answer, missing_topics }, effects) = self.shard.streams_heartbeat(request, &client, self.now());
        // Whose assignment is too large to be written is in the group without.
        if answer.error_code != 0 && answer.error_code != ErrorCode::UnknownServerError.code() {
            assert!(effects.records.is_empty(), "refused, and yet something was written");
        }
        self.take(effects);
        if self.makes_topics && !missing_topics.is_empty() {
            for topic in missing_topics {
                self.topics.insert(topic.name, topic.partitions as usize);
            }
            self.look();
        }
        answer
    }

    fn code(&mut self, request: &StreamsGroupHeartbeatRequest) -> ErrorCode {
        ErrorCode::from_code(self.send(request).error_code)
    }

    /// A member of its own process joins; its epoch and what it is given.
    fn join(&mut self, member: &str) -> (i32, Held) {
        given(&self.send(&joining(member)))
    }

    /// A heartbeat that says what the member has.
    fn beat(&mut self, member: &str, epoch: i32, owned: &str) -> (i32, Option<Held>) {
        let answer = self.send(&beating(member, epoch, owned));
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        (answer.member_epoch, answer.active_tasks.as_ref().map(|_| given(&answer).1))
    }

    /// A group of one member that has all six tasks, of both subtopologies.
    fn settled() -> Self {
        let mut world = Self::new();
        world.join("m1");
        assert_eq!(world.beat("m1", 2, "").1.unwrap().len(), 6);
        assert_eq!(world.state(), "Stable");
        world
    }

    fn leave(&mut self, member: &str) -> ErrorCode {
        self.code(&StreamsGroupHeartbeatRequest { member_epoch: -1, ..from(member) })
    }

    fn describe(&self) -> DescribedGroup {
        self.shard.describe_streams_group(GROUP)
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

    /// What is known is what a replay gives; and what the log has in the end is what the group would write of itself, byte for byte.
    #[track_caller]
    fn check(&self) {
        let replayed = self.replayed();
        assert_eq!(replayed.offsets(GROUP), self.shard.offsets(GROUP));
        assert_eq!(replayed.list().collect::<Vec<_>>(), self.shard.list().collect::<Vec<_>>());
        let without_topology = |mut group: DescribedGroup| {
            // A coordinator that has just taken over works it out at the next heartbeat.
            group.topology = None;
            group
        };
        assert_eq!(without_topology(replayed.describe_streams_group(GROUP)), without_topology(self.describe()));
        let mut left: HashMap<_, _> = HashMap::new();
        for record in self.log.iter().filter(|record| record.key.first() == Some(&0) && record.key[1] > 16) {
            left.insert(record.key.clone(), record.value.clone());
        }
        left.retain(|_, value| value.is_some());
        let own: HashMap<_, _> = match self.shard.groups.get(GROUP).map(|group| &group.kind) {
            Some(Kind::Streams(group)) => all_records(group).into_iter().map(|it| (it.key, it.value)).collect(),
            _ => HashMap::new(),
        };
        assert_eq!(left, own);
    }

    fn commit(&mut self, member: &str, epoch: i32, topic: &str, partition: i32, version: i16) -> ErrorCode {
        let committer = Committer { member_id: member, instance_id: None, generation: epoch, version };
        match self.shard.commit(GROUP, committer, vec![commit_of(topic, partition)], self.now()) {
            Ok((answers, effects)) => {
                self.take(effects);
                answers[0]
            }
            Err(error) => error,
        }
    }
}

fn commit_of(topic: &str, partition: i32) -> Commit {
    let committed = Committed {
        offset: 5,
        leader_epoch: 0,
        metadata: String::new(),
        committed_ms: 1_700_000_000_000,
        expires_ms: None,
        topic_id: topic_id(topic),
    };
    Commit { topic: topic.into(), partition, committed }
}

/// All that a group would write of itself.
fn all_records(group: &StreamsGroup) -> Vec<Record> {
    let mut changes = Vec::new();
    if group.epoch > 1 {
        let hash = group.metadata_hash;
        changes.push(Change::group(group.epoch, hash, group.validated_topology_epoch, &group.last_configs));
    }
    if group.assigned_ms > 0 {
        changes.push(Change::target_epoch(group.assignment_epoch, group.assigned_ms));
    }
    if let Some(topology) = &group.topology {
        let subtopologies = topology.subtopologies.values().cloned().collect();
        let value = StreamsGroupTopologyValue { epoch: topology.epoch, subtopologies, ..Default::default() };
        changes.push(Change::Topology(Some(Box::new(value))));
    }
    for member in group.members.values() {
        changes.extend([Change::member(member), Change::current(member)]);
    }
    changes.extend(group.targets.iter().map(|(member, tasks)| Change::target(member, tasks)));
    changes.iter().map(|change| streams_record(&group.id, change)).collect()
}

fn held(text: &str) -> Held {
    text.split_whitespace().map(str::to_owned).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn topic_info(name: &str, partitions: i32) -> TopicInfo {
    TopicInfo { name: name.to_owned(), partitions, ..Default::default() }
}

fn subtopology(id: &str, sources: &[&str]) -> Subtopology {
    Subtopology { subtopology_id: id.to_owned(), source_topics: names(sources), ..Default::default() }
}

/// Counts words, say: subtopology 0 reads `in` and repartitions it for subtopology 1, which has state.
fn topology() -> Topology {
    let counting = Subtopology {
        repartition_source_topics: vec![topic_info("g-repartition", 0)],
        state_changelog_topics: vec![topic_info("g-changelog", 0)],
        ..subtopology("1", &[])
    };
    let splitting = Subtopology { repartition_sink_topics: names(&["g-repartition"]), ..subtopology("0", &["in"]) };
    Topology { epoch: 0, subtopologies: vec![splitting, counting], ..Default::default() }
}

fn from(member: &str) -> StreamsGroupHeartbeatRequest {
    StreamsGroupHeartbeatRequest { group_id: GROUP.into(), member_id: member.into(), ..Default::default() }
}

fn joining(member: &str) -> StreamsGroupHeartbeatRequest {
    StreamsGroupHeartbeatRequest {
        rebalance_timeout_ms: REBALANCE,
        topology: Some(topology()),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some(format!("process of {member}")),
        client_tags: Some(Vec::new()),
        ..from(member)
    }
}

fn beating(member: &str, epoch: i32, owned: &str) -> StreamsGroupHeartbeatRequest {
    let ids = |is_of: fn(&str) -> Option<&str>| {
        let mut ids: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for task in owned.split_whitespace().filter_map(is_of) {
            let (subtopology, partition) = task.split_once('_').unwrap();
            ids.entry(subtopology).or_default().push(partition.parse().unwrap());
        }
        let ids = ids.into_iter().map(|(id, partitions)| TaskIds {
            subtopology_id: id.to_owned(),
            partitions,
            ..Default::default()
        });
        Some(ids.collect())
    };
    StreamsGroupHeartbeatRequest {
        member_epoch: epoch,
        active_tasks: ids(|task| (!task.starts_with('s')).then_some(task)),
        standby_tasks: ids(|task| task.strip_prefix('s')),
        warmup_tasks: Some(Vec::new()),
        ..from(member)
    }
}

/// The epoch of an answer, and what is given.
#[track_caller]
fn given(answer: &StreamsGroupHeartbeatResponse) -> (i32, Held) {
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let mut held = Held::new();
    for (ids, prefix) in [(&answer.active_tasks, ""), (&answer.standby_tasks, "s"), (&answer.warmup_tasks, "w")] {
        for ids in ids.iter().flatten() {
            held.extend(ids.partitions.iter().map(|task| format!("{prefix}{}_{task}", ids.subtopology_id)));
        }
    }
    (answer.member_epoch, held)
}

/// The statuses of an answer: number and words.
fn statuses(answer: &StreamsGroupHeartbeatResponse) -> Vec<(i8, &str)> {
    answer.status.iter().flatten().map(|status| (status.status_code, status.status_detail.as_str())).collect()
}
