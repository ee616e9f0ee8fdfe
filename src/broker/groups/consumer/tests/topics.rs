//! Topics that come, go and grow under a group; regular expressions.

use super::*;

#[test]
fn new_partitions_are_assigned_at_the_next_heartbeat() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let hash = |world: &World| world.describe().group_epoch;
    world.set_topic("other", 4);
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (2, None), "a topic of others");
    world.set_topic("a", 4);
    assert_eq!(hash(&world), 2);
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (3, Some(held("a0 a1 a2 a3"))));
    world.check();
}

#[test]
fn a_topic_that_comes_later_is_assigned_then() {
    let mut world = World::new();
    assert_eq!(world.join("m1", &["c"]), (2, held("")));
    world.set_topic("c", 1);
    assert_eq!(world.beat("m1", 2, ""), (3, Some(held("c0"))));
}

#[test]
fn a_topic_that_goes_takes_its_partitions_along() {
    let mut world = World::new();
    world.join("m1", &["a", "b"]);
    world.set_topic("b", 0);
    assert_eq!(world.beat("m1", 2, "a0 a1 a2 b0 b1"), (2, Some(held("a0 a1 a2"))));
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (3, None));
    world.check();
}

#[test]
fn a_new_coordinator_notices_what_changed_before_it() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.topics.insert("a".into(), 5);
    world.version += 1;
    world.shard = world.replayed();
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (3, Some(held("a0 a1 a2 a3 a4"))));
}

#[test]
fn a_regular_expression_is_looked_up_beside_the_heartbeats() {
    let mut world = World::new();
    assert_eq!(given(&world.send(&joining_by_regex("m1", "a|c.*"))), (1, held("")));
    assert_eq!(world.beat("m1", 1, ""), (1, None), "it may take its time");
    let member = world.member("m1").unwrap();
    assert_eq!(member.subscribed_topic_regex.as_deref(), Some("a|c.*"));
    assert!(member.subscribed_topic_names.is_empty());
    world.check();
    world.look_up();
    assert_eq!(world.describe().group_epoch, 2);
    world.check();
    assert_eq!(world.beat("m1", 1, ""), (2, Some(held("a0 a1 a2"))));
    world.check();
}

/// As librdkafka's own test 0045 has it: what is named comes first.
#[test]
fn named_topics_do_not_wait_for_a_regular_expression() {
    let mut world = World::new();
    let both = ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("a".into()), ..joining("m1", &["b"]) };
    assert_eq!(given(&world.send(&both)), (2, held("b0 b1")));
    world.look_up();
    assert_eq!(world.beat("m1", 2, "b0 b1"), (3, Some(held("a0 a1 a2 b0 b1"))));
}

#[test]
fn a_regular_expression_stands_for_the_topics_of_the_moment() {
    let mut world = World::new();
    world.send(&joining_by_regex("m1", "a|c.*"));
    world.look_up();
    world.beat("m1", 1, "");
    world.set_topic("c", 1);
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (2, None));
    assert!(world.lookups.is_empty(), "not more often than every ten seconds");
    world.pass(Duration::from_secs(11));
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (2, None));
    world.look_up();
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (3, Some(held("a0 a1 a2 c0"))));
    world.set_topic("c", 0);
    world.check();
    world.pass(Duration::from_secs(11));
    assert_eq!(world.beat("m1", 3, "a0 a1 a2 c0"), (3, Some(held("a0 a1 a2"))));
    world.check();
}

#[test]
fn a_regular_expression_that_matches_nothing_yet() {
    let mut world = World::new();
    world.send(&joining_by_regex("m1", "c"));
    world.look_up();
    assert_eq!(world.beat("m1", 1, ""), (1, None));
    world.check();
    world.pass(Duration::from_secs(11));
    world.set_topic("c", 2);
    world.beat("m1", 1, "");
    world.look_up();
    assert_eq!(world.beat("m1", 1, ""), (2, Some(held("c0 c1"))));
    world.check();
}

#[test]
fn a_regular_expression_is_looked_up_again_now_and_then() {
    let mut world = World::new();
    world.send(&joining_by_regex("m1", "a"));
    world.look_up();
    world.beat("m1", 1, "");
    let written = world.log.len();
    for _ in 0..20 {
        world.pass(Duration::from_secs(29));
        world.beat("m1", 2, "a0 a1 a2");
    }
    assert!(world.lookups.is_empty());
    world.pass(Duration::from_secs(29));
    world.beat("m1", 2, "a0 a1 a2");
    world.look_up();
    assert_eq!(world.log.len(), written + 1, "group.consumer.regex.refresh.interval.ms is over");
    assert_eq!(world.describe().group_epoch, 2);
}

#[test]
fn a_regular_expression_goes_with_its_last_user() {
    let mut world = World::new();
    world.send(&joining_by_regex("m1", "a"));
    world.look_up();
    world.beat("m1", 1, "");
    let second = given(&world.send(&joining_by_regex("m2", "a")));
    assert_eq!(second, (3, held("")), "known at once");
    let other = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["b".into()]),
        subscribed_topic_regex: Some(String::new()),
        ..beating("m1", 2, "a0 a1 a2")
    };
    assert_eq!(given(&world.send(&other)).1, held(""));
    assert!(world.shard.list().count() == 1);
    world.check();
    assert_eq!(world.leave("m2"), ErrorCode::None);
    assert_eq!(world.beat("m1", 2, "").1, Some(held("b0 b1")));
    world.check();
    let regexes = world.log.iter().filter(|record| record.key.starts_with(&[0, 16])).collect::<Vec<_>>();
    assert!(regexes.last().unwrap().value.is_none());
}

#[test]
fn what_nobody_uses_any_more_when_it_is_found_is_not_kept() {
    let mut world = World::new();
    world.join("m1", &["b"]);
    world.send(&joining_by_regex("m2", "a"));
    world.leave("m2");
    let written = world.log.len();
    world.look_up();
    assert_eq!(world.log.len(), written);
    // Nor does the group that comes after this one take it.
    world.send(&joining_by_regex("m2", "a"));
    let late = std::mem::take(&mut world.lookups);
    world.shard = world.replayed();
    let written = world.log.len();
    world.end_lookup(&late[0]);
    assert_eq!(world.log.len(), written, "the coordinator was lost in between");
    world.beat("m2", 3, "");
    world.end_lookup(&late[0]);
    assert_eq!((world.log.len(), world.lookups.len()), (written, 1), "it asks for its own");
    world.look_up();
    assert_eq!(world.beat("m2", 3, ""), (4, Some(held("a0 a1 a2"))));
}

#[test]
fn a_look_up_that_comes_to_nothing_is_asked_for_again() {
    let mut world = World::new();
    world.send(&joining_by_regex("m1", "a"));
    world.lookups.clear();
    world.beat("m1", 1, "");
    world.look_up();
    assert_eq!(world.beat("m1", 1, ""), (2, Some(held("a0 a1 a2"))));
}

#[test]
fn racks_are_part_of_what_a_topic_is() {
    let with_racks = |racks: &[&str]| {
        let racks = racks.iter().map(|rack| (*rack).to_owned()).collect();
        Arc::new(ClusterView::new(1, [Arc::new(TopicView::new("a", topic_id("a"), vec![racks]))].into_iter()))
    };
    let (one, other) = (with_racks(&["r1", "r2"]), with_racks(&["r1", "r3"]));
    assert!(one.changes_since(&with_racks(&["r2", "r1"])).0.is_empty(), "in whatever order");
    assert_eq!(other.changes_since(&one).0.len(), 1);
    assert_ne!(one.topic("a").unwrap().hash(), other.topic("a").unwrap().hash());
}
