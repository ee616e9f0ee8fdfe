//! Offsets of consumer groups: who may commit and fetch them, when they and the group go.

use super::*;

#[test]
fn commits_are_checked_against_the_members_epoch() {
    let mut world = World::new();
    assert_eq!(world.commit("m1", 1, "a", 0, 1), ErrorCode::GroupIdNotFound);
    world.join("m1", &["a"]);
    assert_eq!(world.commit("m1", 2, "a", 0, 1), ErrorCode::None);
    assert_eq!(world.commit("m1", 3, "a", 0, 2), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.commit("m1", 1, "a", 0, 2), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.commit("m2", 2, "a", 0, 2), ErrorCode::UnknownMemberId);
    assert_eq!(world.commit("", -1, "a", 0, 2), ErrorCode::UnknownMemberId, "members are there");
    assert_eq!(world.commit_version("m1", 2, ("a", 0), 2, 8), ErrorCode::UnsupportedVersion);
    world.check();
}

/// The member's heartbeat and its commit met: what it had all along it may still commit (KIP-1251).
#[test]
fn a_commit_of_an_epoch_before_counts_for_what_was_kept() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    world.beat("m1", 2, "a0 a1 a2");
    assert_eq!(world.commit("m1", 2, "a", 2, 7), ErrorCode::None, "what it is to give up it may commit until then");
    world.beat("m1", 2, "a0 a1");
    world.beat("m2", 3, "");
    assert_eq!(world.commit("m1", 2, "a", 0, 8), ErrorCode::None, "given in epoch 2 and kept");
    assert_eq!(world.commit("m1", 2, "a", 2, 9), ErrorCode::StaleMemberEpoch, "given up");
    assert_eq!(world.commit("m2", 2, "a", 2, 9), ErrorCode::StaleMemberEpoch, "given in epoch 3");
    assert_eq!(world.shard.offset(GROUP, "a", 2).unwrap().offset, 7);
}

#[test]
fn fetches_are_checked_if_the_member_says_who_it_is() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    for (member, epoch, answer) in [
        (None, -1, Ok(())),
        (Some("m1"), 2, Ok(())),
        (Some("m1"), 1, Err(ErrorCode::StaleMemberEpoch)),
        (Some("m1"), 3, Err(ErrorCode::StaleMemberEpoch)),
        (Some("m2"), 2, Err(ErrorCode::UnknownMemberId)),
        (None, 2, Err(ErrorCode::UnknownMemberId)),
        (Some(""), -1, Err(ErrorCode::UnknownMemberId)),
    ] {
        assert_eq!(world.shard.check_fetch(GROUP, member, epoch), answer, "{member:?} {epoch}");
    }
    assert_eq!(world.shard.check_fetch("other", Some("m1"), 1), Ok(()), "a group that is not there has no offsets");
}

#[test]
fn offsets_of_subscribed_topics_are_not_deleted() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.commit("m1", 2, "a", 0, 1);
    world.commit("m1", 2, "b", 0, 1);
    let partitions = [("a".to_owned(), 0), ("b".to_owned(), 0)];
    let (answers, effects) = world.shard.delete_offsets(GROUP, &partitions).unwrap();
    world.take(effects);
    assert_eq!(answers, [ErrorCode::GroupSubscribedToTopic, ErrorCode::None]);
    world.check();
    assert_eq!(world.shard.offsets(GROUP).len(), 1);
}

#[test]
fn groups_in_use_are_not_deleted() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.commit("m1", 2, "a", 0, 1);
    let now = world.now();
    assert_eq!(world.shard.delete(GROUP, now).0, ErrorCode::NonEmptyGroup);
    world.leave("m1");
    let (answer, effects) = world.shard.delete(GROUP, now);
    world.take(effects);
    assert_eq!((answer, world.shard.list().count()), (ErrorCode::None, 0));
    assert_eq!((world.replayed().list().count(), world.replayed().offsets(GROUP).len()), (0, 0));
}

#[test]
fn offsets_expire_where_nobody_reads_the_topic_and_the_group_goes_with_the_last() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.commit("m1", 2, "a", 0, 1);
    world.commit("m1", 2, "b", 0, 1);
    let week = Duration::from_secs(7 * 24 * 3600);
    world.elapsed += week;
    let now = world.now();
    let effects = world.shard.expire(now);
    world.take(effects);
    assert_eq!(world.shard.offsets(GROUP).len(), 1, "of a topic that is read");
    world.leave("m1");
    let effects = world.shard.expire(now);
    world.take(effects);
    assert_eq!((world.shard.list().count(), world.replayed().list().count()), (0, 0));
}

#[test]
fn lists_tell_the_kind() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let listed: Vec<_> = world.shard.list().collect();
    let group = &listed[0];
    assert_eq!((group.kind, group.protocol_type.as_str(), group.state), ("consumer", "consumer", "Stable"));
}
