//! How members come, go and get from one epoch to the next.

use super::*;

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut world = World::new();
    assert_eq!(world.join("m1", &["a", "b"]), (2, held("a0 a1 a2 b0 b1")));
    assert_eq!(world.state(), "Stable");
    let group = world.describe();
    assert_eq!((group.group_epoch, group.assignment_epoch, group.assignor_name.as_str()), (2, 2, "uniform"));
    // A heartbeat that changes nothing writes nothing and says nothing.
    let written = world.log.len();
    assert_eq!(world.beat("m1", 2, "a0 a1 a2 b0 b1"), (2, None));
    let quiet = world.send(&ConsumerGroupHeartbeatRequest { member_epoch: 2, ..from("m1") });
    assert_eq!((quiet.member_epoch, quiet.heartbeat_interval_ms, quiet.assignment), (2, 5000, None));
    assert_eq!(world.log.len(), written);
    world.check();
}

#[test]
fn partitions_change_hands_only_when_they_were_given_up() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    assert_eq!(world.join("m2", &["a"]), (3, held("")), "they are the other's still");
    assert_eq!(world.state(), "Reconciling");
    // The first is told what it may keep, and stays in its epoch until it has given up the rest.
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (2, Some(held("a0 a1"))));
    assert_eq!(world.beat("m2", 3, ""), (3, None));
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (2, None), "not done yet");
    assert_eq!(world.beat("m1", 2, "a0 a1"), (3, None));
    assert_eq!(world.beat("m2", 3, ""), (3, Some(held("a2"))));
    assert_eq!(world.state(), "Stable");
    world.check();
}

#[test]
fn who_has_nothing_to_give_up_goes_on_at_once() {
    let mut world = World::new();
    world.set_topic("a", 1);
    world.join("m1", &["a"]);
    assert_eq!(world.join("m2", &["a"]), (3, held("")));
    // The member kept all that it had: no answer about partitions, but a new epoch.
    assert_eq!(world.beat("m1", 2, "a0").0, 3);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_member_that_leaves_sets_its_partitions_free() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    assert_eq!(world.leave("m1"), ErrorCode::None);
    assert_eq!(world.leave("m1"), ErrorCode::UnknownMemberId);
    assert_eq!(world.beat("m2", 3, ""), (4, Some(held("a0 a1 a2"))));
    assert_eq!(world.leave("m2"), ErrorCode::None);
    assert_eq!(world.state(), "Empty");
    world.check();
}

#[test]
fn a_silent_member_is_shut_out_after_its_session() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    world.pass(Duration::from_secs(40));
    world.beat("m2", 3, "");
    world.pass(Duration::from_secs(6));
    assert!(world.member("m1").is_none());
    assert_eq!(world.beat("m2", 3, ""), (4, Some(held("a0 a1 a2"))));
    assert_eq!(world.code(&beating("m1", 2, "a0")), ErrorCode::UnknownMemberId);
    world.check();
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_shut_out() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    world.beat("m1", 2, "a0 a1 a2");
    for _ in 0..3 {
        world.pass(Duration::from_secs(9));
        world.beat("m1", 2, "a0 a1 a2");
        world.beat("m2", 3, "");
    }
    world.pass(Duration::from_secs(4));
    assert_eq!(world.code(&beating("m1", 2, "a0 a1 a2")), ErrorCode::UnknownMemberId);
    assert_eq!(world.beat("m2", 3, ""), (4, Some(held("a0 a1 a2"))));
}

#[test]
fn who_gives_up_in_time_is_left_alone() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    world.beat("m1", 2, "a0 a1 a2");
    world.pass(Duration::from_secs(29));
    assert_eq!(world.beat("m1", 2, "a0 a1"), (3, None));
    world.beat("m2", 3, "");
    world.pass(Duration::from_secs(29));
    assert_eq!(world.beat("m1", 3, "a0 a1"), (3, None));
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut world = World::new();
    world.set_topic("a", 4);
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    world.beat("m1", 2, "a0 a1 a2 a3");
    // Epoch 3 was not heard of: it comes with the epoch before, and with no more than it may have.
    assert_eq!(world.beat("m1", 2, "a0 a1"), (3, None));
    assert_eq!(world.beat("m1", 2, "a0 a1"), (3, None));
    assert_eq!(world.code(&beating("m1", 2, "a0 a1 a2")), ErrorCode::FencedMemberEpoch);
    assert_eq!(world.code(&beating("m1", 1, "a0 a1")), ErrorCode::FencedMemberEpoch);
    assert_eq!(world.code(&beating("m1", 4, "a0 a1")), ErrorCode::FencedMemberEpoch);
    // A member that says all of itself is told all.
    let full = ConsumerGroupHeartbeatRequest { member_epoch: 3, ..joining("m1", &["a"]) };
    assert_eq!(given(&world.send(&full)), (3, held("a0 a1")));
}

#[test]
fn joining_again_brings_back_what_one_has() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    assert_eq!(world.join("m1", &["a"]), (2, held("a0 a1 a2")));
    world.check();
}

#[test]
fn a_new_subscription_is_in_effect_without_a_detour() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let other = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["b".into()]),
        ..beating("m1", 2, "a0 a1 a2")
    };
    assert_eq!(given(&world.send(&other)), (2, held("")), "what is no longer subscribed goes first");
    assert_eq!(world.beat("m1", 2, ""), (3, Some(held("b0 b1"))));
    world.check();
}

#[test]
fn members_that_come_soon_after_one_another_are_assigned_together() {
    let mut world = World::with(|view| view);
    assert_eq!(world.join("m1", &["a"]), (2, held("a0 a1 a2")));
    assert_eq!(world.join("m2", &["a"]), (2, held("")), "group.consumer.assignment.interval.ms is not over");
    world.join("m3", &["a"]);
    assert_eq!((world.state().as_str(), world.describe().group_epoch), ("Assigning", 4));
    world.pass(Duration::from_millis(1001));
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (2, Some(held("a0"))));
    assert_eq!(world.describe().assignment_epoch, 4);
    world.check();
}

#[test]
fn a_static_member_finds_its_place_again() {
    let mut world = World::new();
    let first = given(&world.send(&static_joining("m1", "i1", &["a"])));
    world.join("m2", &["a"]);
    world.beat("m1", 2, "a0 a1");
    world.beat("m2", 3, "");
    assert_eq!(first.0, 2);
    let away = ConsumerGroupHeartbeatRequest { instance_id: Some("i1".into()), member_epoch: -2, ..from("m1") };
    let answer = world.send(&away);
    assert_eq!((answer.error_code, answer.member_epoch), (0, -2));
    let epoch = world.describe().group_epoch;
    // Nobody else is disturbed, and its place is there for a new process of the same instance.
    let back = given(&world.send(&static_joining("m1-new", "i1", &["a"])));
    assert_eq!(back, (3, held("a0 a1")));
    assert_eq!(world.describe().group_epoch, epoch);
    assert!(world.member("m1").is_none());
    world.check();
    // For good.
    let gone = ConsumerGroupHeartbeatRequest { instance_id: Some("i1".into()), member_epoch: -1, ..from("m1-new") };
    assert_eq!(world.code(&gone), ErrorCode::None);
    assert_eq!(world.describe().members.len(), 1);
}

#[test]
fn a_static_member_that_stays_away_loses_its_place() {
    let mut world = World::new();
    world.send(&static_joining("m1", "i1", &["a"]));
    world.send(&ConsumerGroupHeartbeatRequest { instance_id: Some("i1".into()), member_epoch: -2, ..from("m1") });
    world.pass(Duration::from_secs(44));
    assert!(world.member("m1").is_some());
    world.pass(Duration::from_secs(2));
    assert!(world.member("m1").is_none());
    world.check();
}

#[test]
fn a_new_coordinator_gives_everybody_a_session() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    world.beat("m1", 2, "a0 a1 a2");
    world.shard = world.replayed();
    let effects = world.shard.loaded(world.now());
    world.take(effects);
    world.pass(Duration::from_secs(29));
    assert_eq!(world.describe().members.len(), 2);
    world.pass(Duration::from_secs(2));
    assert!(world.member("m1").is_none(), "it had partitions to give up, and a new rebalance timeout for it");
    world.pass(Duration::from_secs(20));
    assert_eq!(world.state(), "Empty");
}

#[test]
fn a_groups_own_settings_count() {
    let mut world = World::with(|view| {
        let settings = [("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "7000")];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        view.with_group(GROUP, settings.into())
    });
    assert_eq!(world.send(&joining("m1", &["a"])).heartbeat_interval_ms, 7000);
    world.pass(Duration::from_secs(49));
    assert_eq!(world.state(), "Stable");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.state(), "Empty");
}

#[test]
fn the_assignor_that_most_ask_for_counts() {
    let mut world = World::new();
    let range = |member: &str| ConsumerGroupHeartbeatRequest {
        server_assignor: Some("range".into()),
        ..joining(member, &["a", "b"])
    };
    world.send(&range("m1"));
    assert_eq!(world.describe().assignor_name, "range");
    world.join("m2", &["a", "b"]);
    assert_eq!(world.describe().assignor_name, "range", "who asks for none does not count");
    let uniform =
        |member: &str| ConsumerGroupHeartbeatRequest { server_assignor: Some("uniform".into()), ..range(member) };
    world.send(&uniform("m3"));
    assert_eq!(world.describe().assignor_name, "uniform", "the first that is configured");
}

#[test]
fn members_without_an_id_are_given_one_in_version_0() {
    let mut world = World::new();
    let answer = world.send_version(&joining("", &["a"]), 0);
    let id = answer.member_id.unwrap();
    assert_eq!(id.len(), 22);
    assert!(world.member(&id).is_some());
}
