//! Offsets of streams groups.

use super::*;

const ALL: &str = "0_0 0_1 0_2 1_0 1_1 1_2";

fn committer(member_id: &str, generation: i32) -> Committer<'_> {
    Committer { member_id, instance_id: None, generation, version: i16::MAX }
}

#[test]
fn who_commits_is_checked() {
    let mut world = World::settled();
    assert_eq!(world.commit("m1", 3, "in", 0, 9), ErrorCode::None);
    assert_eq!(world.commit("m1", 3, "in", 0, 8), ErrorCode::UnsupportedVersion);
    assert_eq!(world.commit("m1", 4, "in", 0, 9), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.commit("m2", 3, "in", 0, 9), ErrorCode::UnknownMemberId);
    assert_eq!(world.commit("", -1, "in", 0, 9), ErrorCode::UnknownMemberId, "somebody is there");
    world.leave("m1");
    assert_eq!(world.commit("", -1, "in", 0, 9), ErrorCode::None);
    world.check();
}

/// A heartbeat that raises the epoch and a commit that was under way may meet (KIP-1251).
#[test]
fn a_commit_of_an_older_epoch_counts_for_tasks_that_are_still_there() {
    let mut world = World::settled();
    world.join("m2");
    let left = world.beat("m1", 3, ALL).1.unwrap();
    let left = left.iter().map(String::as_str).collect::<Vec<_>>();
    let gone = ALL.split(' ').find(|task| task.starts_with('0') && !left.contains(task)).unwrap();
    let gone: i32 = gone.strip_prefix("0_").unwrap().parse().unwrap();
    assert_eq!(world.commit("m1", 3, "in", gone, 9), ErrorCode::None, "it is giving it up");
    world.beat("m1", 3, &left.join(" "));
    assert_eq!(world.member("m1").unwrap().member_epoch, 4);
    let kept: i32 = left.iter().find_map(|task| task.strip_prefix("0_")).unwrap().parse().unwrap();
    assert_eq!(world.commit("m1", 3, "in", kept, 9), ErrorCode::None);
    assert_eq!(world.commit("m1", 2, "in", kept, 9), ErrorCode::StaleMemberEpoch, "it did not have it then");
    assert_eq!(world.commit("m1", 3, "in", gone, 9), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.commit("m1", 3, "g-repartition", 99, 9), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.commit("m1", 3, "other", 0, 9), ErrorCode::StaleMemberEpoch, "nobody reads it");
    let now = world.now();
    let mut in_transaction = |member, epoch, partition| {
        let commits = vec![commit_of("in", partition)];
        let answer = world.shard.commit_in_transaction(GROUP, committer(member, epoch), 7, commits, now);
        answer.map(|(answers, _)| answers[0]).unwrap_or_else(|error| error)
    };
    assert_eq!(in_transaction("m1", 3, kept), ErrorCode::None);
    assert_eq!(in_transaction("m1", 3, gone), ErrorCode::IllegalGeneration);
    assert_eq!(in_transaction("m1", 9, kept), ErrorCode::IllegalGeneration);
    assert_eq!(in_transaction("m9", 3, kept), ErrorCode::UnknownMemberId);
    assert_eq!(in_transaction("", -1, kept), ErrorCode::None);
}

#[test]
fn who_asks_for_offsets_is_checked() {
    let world = World::settled();
    let check = |member, epoch| world.shard.check_fetch(GROUP, member, epoch);
    assert_eq!(check(None, -1), Ok(()));
    assert_eq!(check(Some("m1"), 3), Ok(()));
    assert_eq!(check(Some("m1"), 2), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(check(Some("m2"), 3), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn offsets_of_topics_that_are_read_stay() {
    let mut world = World::settled();
    world.commit("m1", 3, "in", 0, 9);
    world.commit("m1", 3, "other", 0, 9);
    let in_and_other = [("in".to_owned(), 0), ("other".to_owned(), 0)];
    let (answers, effects) = world.shard.delete_offsets(GROUP, &in_and_other).unwrap();
    world.take(effects);
    assert_eq!(answers, [ErrorCode::GroupSubscribedToTopic, ErrorCode::None]);
    world.elapsed += Duration::from_secs(8 * 24 * 3600);
    world.beat("m1", 3, ALL);
    let effects = world.shard.expire(world.now());
    assert_eq!(effects.records, []);
    world.leave("m1");
    let effects = world.shard.expire(world.now());
    world.take(effects);
    assert!(world.shard.list().next().is_none(), "nothing is left of it");
    world.check();
}

#[test]
fn a_group_is_deleted_when_nobody_is_there() {
    let mut world = World::settled();
    world.commit("m1", 3, "in", 0, 9);
    let (answer, effects) = world.shard.delete(GROUP, world.now());
    assert_eq!((answer, effects.records.len()), (ErrorCode::NonEmptyGroup, 0));
    world.leave("m1");
    let (answer, effects) = world.shard.delete(GROUP, world.now());
    world.take(effects);
    assert_eq!(answer, ErrorCode::None);
    assert!(world.shard.list().next().is_none());
    world.check();
}
