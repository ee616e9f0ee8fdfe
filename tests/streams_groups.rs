//! Streams groups of KIP-1071 over the wire, with the answers that Kafka 4.3.1 gave to the same requests.
//! `KAFKA_RS_TEST_BOOTSTRAP=HOST:PORT` asks a cluster that runs already, with the same settings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support module serves several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_rs::protocol::messages::streams_group_describe_response::{DescribedGroup, Member};
use kafka_rs::protocol::messages::streams_group_heartbeat_request::{
    CopartitionGroup, Endpoint, KeyValue, Subtopology, TaskIds, TopicInfo, Topology,
};
use kafka_rs::protocol::messages::{
    DeleteGroupsRequest, DescribeConfigsRequest, DescribeGroupsRequest, FindCoordinatorRequest, ListGroupsRequest,
    OffsetCommitRequest, StreamsGroupDescribeRequest, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse,
    describe_configs_request,
};
use support::{Broker, wait_for};
use wire::Wire;

/// Nothing waits for others.
const SETTINGS: &[&str] = &["group.streams.initial.rebalance.delay.ms=0", "group.streams.assignment.interval.ms=0"];
const LOADED_WITHIN: Duration = Duration::from_secs(30);

/// A connection to a group's coordinator, and the source topic of its application.
struct Coordinator {
    wire: Wire,
    group: String,
    source: String,
    _broker: Option<Broker>,
}

impl Coordinator {
    fn start() -> Self {
        let outside = std::env::var("KAFKA_RS_TEST_BOOTSTRAP").ok();
        let broker = outside.is_none().then(|| Broker::start_with(SETTINGS));
        let address = outside.unwrap_or_else(|| broker.as_ref().unwrap().address().to_owned());
        let mut wire = Wire::connect(&address);
        let unique = format!("{:x}", fastrand::u64(..));
        let (group, source) = (format!("g-{unique}"), format!("t-{unique}"));
        wire.create_topic(&source, 3, &[]);
        let find = FindCoordinatorRequest { coordinator_keys: vec![group.clone()], ..Default::default() };
        wait_for("a coordinator", LOADED_WITHIN, || {
            let found = wire.call(&find, 4).unwrap();
            (found.coordinators[0].error_code == 0).then_some(())
        });
        let mut this = Self { wire, group, source, _broker: broker };
        this.see_source();
        this
    }

    /// Waits until the coordinator sees the source topic: Kafka's hears of it some time after it was made.
    fn see_source(&mut self) {
        let reading =
            Subtopology { subtopology_id: "0".into(), source_topics: vec![self.source.clone()], ..Default::default() };
        let topology = Topology { subtopologies: vec![reading], ..Default::default() };
        let joining = StreamsGroupHeartbeatRequest { topology: Some(topology), ..self.joining("first") };
        let mut answer = self.heartbeat(&joining);
        wait_for("the source topic to be seen", LOADED_WITHIN, || {
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            if statuses(&answer).0.is_empty() {
                return Some(());
            }
            answer = self.heartbeat(&self.beating("first", answer.member_epoch, &[]));
            None
        });
        self.heartbeat(&StreamsGroupHeartbeatRequest { member_epoch: -1, ..self.from("first") });
        assert_eq!(self.delete(), ErrorCode::None);
    }

    fn internal(&self, name: &str) -> String {
        format!("{}-{name}", self.group)
    }

    /// Subtopology 0 repartitions the source for subtopology 1, which has state.
    fn topology(&self) -> Topology {
        let info = |name: &str, configs: &[(&str, &str)]| TopicInfo {
            name: self.internal(name),
            topic_configs: configs.iter().map(|(key, value)| key_value(key, value)).collect(),
            ..Default::default()
        };
        let splitting = Subtopology {
            subtopology_id: "0".into(),
            source_topics: vec![self.source.clone()],
            repartition_sink_topics: vec![self.internal("repartition")],
            ..Default::default()
        };
        let counting = Subtopology {
            subtopology_id: "1".into(),
            repartition_source_topics: vec![info("repartition", &[("cleanup.policy", "delete")])],
            state_changelog_topics: vec![info("changelog", &[("cleanup.policy", "compact")])],
            ..Default::default()
        };
        Topology { epoch: 0, subtopologies: vec![splitting, counting], ..Default::default() }
    }

    fn from(&self, member: &str) -> StreamsGroupHeartbeatRequest {
        StreamsGroupHeartbeatRequest { group_id: self.group.clone(), member_id: member.into(), ..Default::default() }
    }

    fn joining(&self, member: &str) -> StreamsGroupHeartbeatRequest {
        StreamsGroupHeartbeatRequest {
            rebalance_timeout_ms: 30_000,
            topology: Some(self.topology()),
            active_tasks: Some(Vec::new()),
            standby_tasks: Some(Vec::new()),
            warmup_tasks: Some(Vec::new()),
            process_id: Some(format!("process of {member}")),
            client_tags: Some(vec![key_value("zone", "a")]),
            rack_id: Some("rack".into()),
            ..self.from(member)
        }
    }

    fn joining_with_endpoint(&self, member: &str) -> StreamsGroupHeartbeatRequest {
        let endpoint = Endpoint { host: "h".into(), port: 40_000, ..Default::default() };
        StreamsGroupHeartbeatRequest { user_endpoint: Some(endpoint), ..self.joining(member) }
    }

    /// A heartbeat that says what the member processes.
    fn beating(&self, member: &str, member_epoch: i32, active: &[(&str, &[i32])]) -> StreamsGroupHeartbeatRequest {
        let ids = |(id, partitions): &(&str, &[i32])| TaskIds {
            subtopology_id: (*id).to_owned(),
            partitions: partitions.to_vec(),
            ..Default::default()
        };
        StreamsGroupHeartbeatRequest {
            member_epoch,
            active_tasks: Some(active.iter().map(ids).collect()),
            standby_tasks: Some(Vec::new()),
            warmup_tasks: Some(Vec::new()),
            ..self.from(member)
        }
    }

    fn heartbeat(&mut self, request: &StreamsGroupHeartbeatRequest) -> StreamsGroupHeartbeatResponse {
        wait_for("the groups to be loaded", LOADED_WITHIN, || {
            let answer = self.wire.call(request, 0).unwrap();
            let loading = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator].map(ErrorCode::code);
            (!loading.contains(&answer.error_code)).then_some(answer)
        })
    }

    fn refused(&mut self, request: &StreamsGroupHeartbeatRequest, code: ErrorCode, words: &str) {
        let answer = self.heartbeat(request);
        let found = (ErrorCode::from_code(answer.error_code), answer.error_message.as_deref());
        assert_eq!(found, (code, Some(words)));
    }

    /// A group of one member that has all tasks; the member's epoch.
    fn settle(&mut self, member: &str) -> i32 {
        let joined = self.heartbeat(&self.joining_with_endpoint(member));
        let beat = self.beating(member, joined.member_epoch, &[]);
        wait_for("the internal topics", LOADED_WITHIN, || {
            let answer = self.heartbeat(&beat);
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            (tasks(&answer).len() == 6).then_some(answer.member_epoch)
        })
    }

    fn describe(&mut self) -> DescribedGroup {
        let request = StreamsGroupDescribeRequest { group_ids: vec![self.group.clone()], ..Default::default() };
        self.wire.call(&request, 0).unwrap().groups.remove(0)
    }

    fn commit(&mut self, member: &str, epoch: i32, version: i16) -> ErrorCode {
        let partition = OffsetCommitRequestPartition { committed_offset: 7, ..Default::default() };
        let topic =
            OffsetCommitRequestTopic { name: self.source.clone(), partitions: vec![partition], ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: epoch,
            member_id: member.into(),
            topics: vec![topic],
            ..Default::default()
        };
        ErrorCode::from_code(self.wire.call(&request, version).unwrap().topics[0].partitions[0].error_code)
    }

    fn delete(&mut self) -> ErrorCode {
        let request = DeleteGroupsRequest { groups_names: vec![self.group.clone()], ..Default::default() };
        ErrorCode::from_code(self.wire.call(&request, 2).unwrap().results[0].error_code)
    }
}

fn key_value(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.to_owned(), ..Default::default() }
}

/// The active tasks of an answer.
fn tasks(answer: &StreamsGroupHeartbeatResponse) -> Vec<String> {
    let of = |ids: &kafka_rs::protocol::messages::streams_group_heartbeat_response::TaskIds| {
        let id = ids.subtopology_id.clone();
        ids.partitions.iter().map(move |task| format!("{id}_{task}")).collect::<Vec<_>>()
    };
    let mut tasks: Vec<String> = answer.active_tasks.iter().flatten().flat_map(of).collect();
    tasks.sort();
    tasks
}

/// The statuses of an answer: numbers, and the words of the first.
fn statuses(answer: &StreamsGroupHeartbeatResponse) -> (Vec<i8>, &str) {
    let all = answer.status.as_deref().unwrap();
    (all.iter().map(|it| it.status_code).collect(), all.first().map_or("", |it| it.status_detail.as_str()))
}

#[test]
fn a_member_goes_its_way() {
    let mut at = Coordinator::start();
    let answer = at.heartbeat(&at.joining_with_endpoint("m1"));
    let missing = (at.internal("changelog"), at.internal("repartition"));
    let (codes, detail) = statuses(&answer);
    assert_eq!(codes, [3]);
    assert!(detail.starts_with("Internal topics are missing: "), "{detail}");
    assert!(detail.contains(&missing.0) && detail.contains(&missing.1), "{detail}");
    assert_eq!((answer.member_id.as_str(), answer.member_epoch, answer.heartbeat_interval_ms), ("m1", 2, 5000));
    assert_eq!(
        (answer.active_tasks, answer.standby_tasks, answer.warmup_tasks),
        (Some(vec![]), Some(vec![]), Some(vec![]))
    );
    assert_eq!((answer.acceptable_recovery_lag, answer.task_offset_interval_ms), (0, 0));
    assert_eq!(answer.endpoint_information_epoch, 0);
    let epoch = at.settle("m1");
    assert_eq!(at.describe().group_state, "Stable");

    let answer = at.heartbeat(&at.beating("m1", epoch, &[("0", &[0, 1, 2]), ("1", &[0, 1, 2])]));
    assert_eq!((answer.member_epoch, statuses(&answer).0), (epoch, vec![]));
    assert_eq!((answer.active_tasks, answer.standby_tasks, answer.warmup_tasks), (None, None, None), "nothing new");
    let told = answer.partitions_by_user_endpoint.unwrap();
    assert_eq!((told[0].user_endpoint.host.as_str(), told[0].user_endpoint.port), ("h", 40_000));
    let mut topics: Vec<_> =
        told[0].active_partitions.iter().map(|it| (it.topic.clone(), it.partitions.clone())).collect();
    topics.sort();
    assert_eq!(topics, [(missing.1.clone(), vec![0, 1, 2]), (at.source.clone(), vec![0, 1, 2])]);

    let answer = at.heartbeat(&at.joining("m2"));
    assert_eq!((answer.member_epoch, tasks(&answer)), (epoch + 1, vec![]));
    assert_eq!(at.describe().group_state, "Reconciling");
    let answer = at.heartbeat(&at.beating("m1", epoch, &[("0", &[0, 1, 2]), ("1", &[0, 1, 2])]));
    let left = tasks(&answer);
    assert_eq!((answer.member_epoch, left.len()), (epoch, 3));
    let partitions = |id: &str| -> Vec<i32> {
        left.iter().filter_map(|task| task.strip_prefix(&format!("{id}_"))?.parse().ok()).collect()
    };
    let answer = at.heartbeat(&at.beating("m1", epoch, &[("0", &partitions("0")), ("1", &partitions("1"))]));
    assert_eq!((answer.member_epoch, answer.active_tasks), (epoch + 1, None));
    let answer = at.heartbeat(&at.beating("m2", epoch + 1, &[]));
    assert_eq!((answer.member_epoch, tasks(&answer).len()), (epoch + 1, 3));

    let leaving = |member: &str| StreamsGroupHeartbeatRequest { member_epoch: -1, ..at.from(member) };
    let (first, second) = (leaving("m1"), leaving("m2"));
    let answer = at.heartbeat(&first);
    assert_eq!((answer.member_id.as_str(), answer.member_epoch, answer.status), ("m1", -1, Some(vec![])));
    assert_eq!(at.delete(), ErrorCode::NonEmptyGroup);
    at.heartbeat(&second);
    assert_eq!(at.describe().group_state, "Empty");
    assert_eq!(at.delete(), ErrorCode::None);
    assert_eq!(at.delete(), ErrorCode::GroupIdNotFound);
}

#[test]
fn a_group_is_shown() {
    let mut at = Coordinator::start();
    let epoch = at.settle("m1");
    at.heartbeat(&at.beating("m1", epoch, &[("0", &[0, 1, 2]), ("1", &[0, 1, 2])]));
    let group = at.describe();
    assert_eq!((group.error_code, group.group_state.as_str()), (0, "Stable"));
    assert_eq!((group.group_epoch, group.assignment_epoch), (epoch, epoch));
    let topology = group.topology.unwrap();
    let subtopologies = topology.subtopologies.unwrap();
    let counting = &subtopologies[1];
    assert_eq!((topology.epoch, subtopologies.len(), counting.subtopology_id.as_str()), (0, 2, "1"));
    let changelog = &counting.state_changelog_topics[0];
    assert_eq!(
        (changelog.name.clone(), changelog.partitions, changelog.replication_factor),
        (at.internal("changelog"), 3, 0)
    );
    assert_eq!(changelog.topic_configs[0].value, "compact");
    assert_eq!(counting.repartition_source_topics[0].partitions, 3);
    let Member { assignment, target_assignment, .. } = &group.members[0];
    assert_eq!((assignment.active_tasks.len(), assignment), (2, target_assignment));
    let member = &group.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.topology_epoch), ("m1", epoch, 0));
    assert_eq!((member.process_id.as_str(), member.rack_id.as_deref()), ("process of m1", Some("rack")));
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("wire-test", "/127.0.0.1"));
    assert_eq!(member.user_endpoint.as_ref().map(|endpoint| endpoint.port), Some(40_000));
    assert_eq!((member.client_tags[0].key.as_str(), member.is_classic), ("zone", false));

    let list = ListGroupsRequest { types_filter: vec!["streams".into()], ..Default::default() };
    let listed = at.wire.call(&list, 5).unwrap().groups;
    let listed = listed.iter().find(|listed| listed.group_id == at.group).unwrap();
    let shown = (listed.protocol_type.as_str(), listed.group_state.as_str(), listed.group_type.as_str());
    assert_eq!(shown, ("streams", "Stable", "streams"));
    let describe = DescribeGroupsRequest { groups: vec![at.group.clone()], ..Default::default() };
    let classic = at.wire.call(&describe, 6).unwrap().groups.remove(0);
    assert_eq!(ErrorCode::from_code(classic.error_code), ErrorCode::GroupIdNotFound);
    assert_eq!(classic.error_message, Some(format!("Group {} is not a classic group.", at.group)));
    at.group = "nobody".into();
    let group = at.describe();
    assert_eq!(ErrorCode::from_code(group.error_code), ErrorCode::GroupIdNotFound);
    assert_eq!(group.error_message.as_deref(), Some("Group nobody not found."));
}

#[test]
fn internal_topics_are_as_the_application_wants_them() {
    let mut at = Coordinator::start();
    at.settle("m1");
    let resource = describe_configs_request::DescribeConfigsResource {
        resource_type: 2,
        resource_name: at.internal("changelog"),
        configuration_keys: Some(vec!["cleanup.policy".into()]),
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = at.wire.call(&request, 4).unwrap();
    assert_eq!(answer.results[0].configs[0].value.as_deref(), Some("compact"));
}

#[test]
fn commits_are_checked() {
    let mut at = Coordinator::start();
    let epoch = at.settle("m1");
    assert_eq!(at.commit("m1", epoch, 9), ErrorCode::None);
    assert_eq!(at.commit("m1", epoch, 8), ErrorCode::UnsupportedVersion);
    assert_eq!(at.commit("m1", epoch + 1, 9), ErrorCode::StaleMemberEpoch);
    assert_eq!(at.commit("m1", epoch - 1, 9), ErrorCode::StaleMemberEpoch);
    assert_eq!(at.commit("m2", epoch, 9), ErrorCode::UnknownMemberId);
    assert_eq!(at.commit("", -1, 9), ErrorCode::UnknownMemberId);
}

#[test]
fn what_is_refused() {
    type Request = StreamsGroupHeartbeatRequest;
    let mut at = Coordinator::start();
    let not_found = format!("Streams group {} not found.", at.group);
    at.refused(&at.beating("m1", 1, &[]), ErrorCode::GroupIdNotFound, &not_found);
    let leaving = Request { member_epoch: -1, ..at.from("m1") };
    let not_found = format!("Group {} not found.", at.group);
    at.refused(&leaving, ErrorCode::GroupIdNotFound, &not_found);
    let request = Request { instance_id: Some("i".into()), ..at.joining("m1") };
    at.refused(&request, ErrorCode::InvalidRequest, "Static membership is not yet supported.");
    let request = Request { topology: None, ..at.joining("m1") };
    at.refused(&request, ErrorCode::InvalidRequest, "Topology must be non-null when (re-)joining.");
    let request = Request { rebalance_timeout_ms: -1, ..at.joining("m1") };
    at.refused(&request, ErrorCode::InvalidRequest, "RebalanceTimeoutMs must be provided in first request.");
    let request = Request { standby_tasks: None, ..at.beating("m1", 1, &[]) };
    at.refused(&request, ErrorCode::InvalidRequest, "If one task-type is non-null, all must be non-null.");
    let with = |at: &Coordinator, change: fn(&mut Topology)| {
        let mut topology = at.topology();
        change(&mut topology);
        Request { topology: Some(topology), ..at.joining("m1") }
    };
    let request = with(&at, |it| it.subtopologies[0].source_topics = vec!["__consumer_offsets".into()]);
    let words = "Use of Kafka internal topics __consumer_offsets in a Kafka Streams topology is prohibited.";
    at.refused(&request, ErrorCode::StreamsInvalidTopology, words);
    let request = with(&at, |it| it.subtopologies[0].source_topics = vec!["a b".into()]);
    at.refused(&request, ErrorCode::StreamsInvalidTopology, "Topic names a b are not valid topic names.");
    let request = with(&at, |it| it.subtopologies[1].state_changelog_topics[0].partitions = 3);
    let words = format!(
        "Changelog topic {} must have an undefined partition count, but it is set to 3.",
        at.internal("changelog")
    );
    at.refused(&request, ErrorCode::StreamsInvalidTopology, &words);
    let request = with(&at, |it| it.subtopologies[0].repartition_sink_topics.clear());
    let words = "Failed to compute number of partitions for all repartition topics, because a repartition source topic \
                 is never used as a sink topic.";
    at.refused(&request, ErrorCode::StreamsInvalidTopology, words);

    let epoch = at.settle("m1");
    let words = format!("Member m9 is not a member of group {}.", at.group);
    at.refused(&at.beating("m9", epoch, &[]), ErrorCode::UnknownMemberId, &words);
    let words = format!(
        "The streams group member has a greater member epoch ({}) than the one known by the group coordinator ({epoch}). \
         The member must abandon all its partitions and rejoin.",
        epoch + 1
    );
    at.refused(&at.beating("m1", epoch + 1, &[]), ErrorCode::FencedMemberEpoch, &words);
    let words = "Task 3 for subtopology 1 is invalid. Number of tasks for this subtopology: 3";
    at.refused(&at.beating("m1", epoch, &[("1", &[3])]), ErrorCode::InvalidRequest, words);
    let words = "Subtopology 5 does not exist in the topology.";
    at.refused(&at.beating("m1", epoch, &[("5", &[0])]), ErrorCode::InvalidRequest, words);
    let request = with(&at, |it| it.epoch = 1);
    at.refused(&request, ErrorCode::InvalidRequest, "Topology updates are not supported yet.");
}

#[test]
fn topics_that_do_not_fit_are_told() {
    let mut at = Coordinator::start();
    let second = format!("{}-2", at.source);
    let mut topology = at.topology();
    topology.subtopologies[0].source_topics.push(second.clone());
    let together = CopartitionGroup { source_topics: vec![0, 1], ..Default::default() };
    topology.subtopologies[0].copartition_groups = vec![together];
    let joining = StreamsGroupHeartbeatRequest { topology: Some(topology), ..at.joining("m1") };
    let answer = at.heartbeat(&joining);
    let words = format!("Source topics {second} are missing.");
    assert_eq!(statuses(&answer), (vec![1], words.as_str()));
    assert_eq!(at.describe().group_state, "NotReady");
    at.wire.create_topic(&second, 2, &[]);
    let beat = at.beating("m1", answer.member_epoch, &[]);
    let answer = wait_for("the topic to be seen", LOADED_WITHIN, || {
        let answer = at.heartbeat(&beat);
        (statuses(&answer).0 == [2]).then_some(answer)
    });
    let words =
        format!("Following topics do not have the same number of partitions: [{{{}=3, {second}=2}}]", at.source);
    assert_eq!(statuses(&answer).1, words);
}
