//! Topics that come, go and grow, and settings that change.

use super::*;

const ALL: &str = "0_0 0_1 0_2 1_0 1_1 1_2";

#[test]
fn an_application_waits_for_its_source_topics() {
    let mut world = World::new();
    world.set_topic("in", 0);
    let answer = world.send(&joining("m1"));
    assert_eq!(statuses(&answer), [(1, "Source topics in are missing.")]);
    assert_eq!(world.state(), "NotReady");
    world.set_topic("in", 2);
    let answer = world.send(&beating("m1", 2, ""));
    assert_eq!(statuses(&answer), [(3, "Internal topics are missing: g-changelog, g-repartition")]);
    assert_eq!(world.topics["g-changelog"], 2);
    assert_eq!(world.beat("m1", answer.member_epoch, "").1.unwrap(), held("0_0 0_1 1_0 1_1"));
    world.check();
}

#[test]
fn internal_topics_are_asked_for_until_they_are_there() {
    let mut world = World::new();
    world.makes_topics = false;
    world.join("m1");
    let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
    let now = world.now();
    let (beat, effects) = world.shard.streams_heartbeat(&beating("m1", 2, ""), &client, now);
    let missing: Vec<_> = beat.missing_topics.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
    assert_eq!(missing, [("g-changelog", 3), ("g-repartition", 3)]);
    assert_eq!(effects.records, [], "nothing new");
    world.set_topic("g-changelog", 3);
    let (beat, effects) = world.shard.streams_heartbeat(&beating("m1", 2, ""), &client, now);
    world.take(effects);
    assert_eq!(beat.missing_topics.len(), 1);
    world.check();
}

#[test]
fn tasks_are_taken_back_when_the_application_can_no_longer_run() {
    let mut world = World::settled();
    world.set_topic("in", 4);
    let answer = world.send(&beating("m1", 3, ALL));
    let words = "Existing topic g-repartition has different number of partitions: expected 4, found 3";
    assert_eq!((given(&answer).1, statuses(&answer)), (Held::new(), vec![(2, words)]));
    assert_eq!(world.state(), "NotReady");
    assert_eq!(world.beat("m1", 3, "").0, 4);
    world.check();
    // Somebody widens them.
    world.set_topic("g-changelog", 4);
    world.set_topic("g-repartition", 4);
    assert_eq!(world.beat("m1", 4, "").1.unwrap().len(), 8);
    assert_eq!(world.state(), "Stable");
    world.check();
}

#[test]
fn topics_of_others_are_of_no_interest() {
    let mut world = World::settled();
    let before = world.log.len();
    world.set_topic("other", 9);
    world.beat("m1", 3, ALL);
    assert_eq!(world.log.len(), before);
}

#[test]
fn a_new_coordinator_notices_what_changed_meanwhile() {
    let mut world = World::settled();
    world.topics.insert("in".to_owned(), 5);
    world.topics.insert("g-changelog".to_owned(), 5);
    world.topics.insert("g-repartition".to_owned(), 5);
    world.shard = world.replayed();
    let effects = world.shard.loaded(world.now());
    world.take(effects);
    assert_eq!(world.state(), "Stable", "as it was");
    assert_eq!(world.beat("m1", 3, ALL).1.unwrap().len(), 10);
    // And who does not come back is shut out.
    world.pass(Duration::from_secs(45));
    assert_eq!(world.state(), "Empty");
    world.check();
}

#[test]
fn a_setting_that_the_assignment_depends_on_raises_the_epoch() {
    let mut world = World::settled();
    world.set("streams.num.standby.replicas", "0");
    assert_eq!(world.beat("m1", 3, ALL).0, 3, "it is what it was");
    world.set("streams.num.standby.replicas", "1");
    assert_eq!(world.beat("m1", 3, ALL).0, 4);
    world.set("streams.num.standby.replicas", "7");
    assert_eq!(world.beat("m1", 4, ALL).0, 5, "as many as the broker allows");
    let last = match world.shard.groups.get(GROUP).map(|group| &group.kind) {
        Some(Kind::Streams(group)) => group.last_configs.clone(),
        _ => panic!("no group"),
    };
    assert_eq!(last["num.standby.replicas"], "2");
    world.check();
}

#[test]
fn settings_of_the_group_count() {
    let mut world = World::settled();
    world.set("streams.heartbeat.interval.ms", "7000");
    world.set("streams.session.timeout.ms", "50000");
    let answer = world.send(&beating("m1", 3, ALL));
    assert_eq!(answer.heartbeat_interval_ms, 7000);
    world.pass(Duration::from_secs(49));
    assert_eq!(world.state(), "Stable");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.state(), "Empty");
}
