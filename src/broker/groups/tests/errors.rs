//! What classic groups refuse, and with which of several errors.

use super::*;

fn code(answer: i16) -> ErrorCode {
    ErrorCode::from_code(answer)
}

impl World {
    fn sync_code(&mut self, request: SyncGroupRequest) -> ErrorCode {
        let token = self.token();
        let effects = self.shard.sync(&request, token, self.now());
        self.take(effects);
        self.synced(token).map_or(ErrorCode::None, |answer| code(answer.error_code))
    }

    fn join_code(&mut self, request: JoinGroupRequest) -> ErrorCode {
        let token = self.join_with(request, 9);
        self.joined(token).map_or(ErrorCode::None, |answer| code(answer.error_code))
    }

    fn commit_as(&mut self, member: &str, instance: Option<&str>, generation: i32) -> ErrorCode {
        let committer = Committer { member_id: member, instance_id: instance, generation, version: 8 };
        self.shard.commit(GROUP, committer, Vec::new(), self.now()).err().unwrap_or(ErrorCode::None)
    }

    fn transactional_commit_as(&mut self, member: &str, instance: Option<&str>, generation: i32) -> ErrorCode {
        let committer = Committer { member_id: member, instance_id: instance, generation, version: 5 };
        let answer = self.shard.commit_in_transaction(GROUP, committer, 7, Vec::new(), self.now());
        answer.err().unwrap_or(ErrorCode::None)
    }

    /// A stable group of one static member.
    fn stable_static(&mut self, instance: &str) -> String {
        let token = self.join_with(static_joining(instance, ""), 9);
        self.pass(Duration::from_secs(7));
        let member = self.joined(token).unwrap().member_id;
        let sync = self.sync(&member, 1, &[]);
        assert_eq!(self.synced(sync).unwrap().error_code, 0);
        member
    }
}

fn syncing(member: &str, generation: i32) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        generation_id: generation,
        ..Default::default()
    }
}

#[test]
fn what_a_sync_is_refused_for() {
    let mut world = World::new();
    assert_eq!(world.sync_code(SyncGroupRequest::default()), ErrorCode::InvalidGroupId);
    assert_eq!(world.sync_code(syncing("a", 1)), ErrorCode::UnknownMemberId, "there is no such group");
    let (a, b) = world.stable_pair();
    let other = Some("other".to_owned());
    // Who it is comes before when it is, and that before how it is.
    let bad = SyncGroupRequest { protocol_type: other.clone(), ..syncing("stranger", 7) };
    assert_eq!(world.sync_code(bad), ErrorCode::UnknownMemberId);
    let bad = SyncGroupRequest { protocol_type: other.clone(), ..syncing(&a, 7) };
    assert_eq!(world.sync_code(bad), ErrorCode::IllegalGeneration);
    let bad = SyncGroupRequest { protocol_type: other.clone(), ..syncing(&a, 1) };
    assert_eq!(world.sync_code(bad), ErrorCode::InconsistentGroupProtocol);
    let bad = SyncGroupRequest { protocol_name: other, ..syncing(&a, 1) };
    assert_eq!(world.sync_code(bad), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(world.sync_code(syncing(&b, 1)), ErrorCode::None);
    world.join_new();
    assert_eq!(world.sync_code(syncing(&b, 1)), ErrorCode::RebalanceInProgress);
}

/// Goal: a group that no record can hold fails by itself: nothing that the log would refuse is written, which would cost all groups of the
/// partition their coordinator. Method: three members, each of a size that would do.
#[test]
fn a_group_that_no_record_can_hold_stays_without_a_generation() {
    let mut world = World::new();
    let large = |member: &str| JoinGroupRequest {
        protocols: vec![protocol("range", &"x".repeat(400 << 10))],
        ..joining(member)
    };
    let tokens: Vec<Token> = (0..3).map(|_| world.join_with(large(""), 3)).collect();
    world.pass(Duration::from_secs(7));
    let members: Vec<_> = tokens.into_iter().map(|token| world.joined(token).unwrap()).collect();
    let (leaders, followers): (Vec<_>, Vec<_>) = members.iter().partition(|member| !member.members.is_empty());
    let waiting = world.sync(&followers[0].member_id, 1, &[]);
    assert_eq!(world.sync_code(syncing(&leaders[0].member_id, 1)), ErrorCode::UnknownServerError);
    assert_eq!(code(world.synced(waiting).unwrap().error_code), ErrorCode::UnknownServerError);
    assert_eq!(world.state(), "PreparingRebalance");
    assert!(world.log.iter().all(|record| record.size() <= config().max_record_bytes));
    // Who goes makes room.
    assert_eq!(world.leave(&followers[1].member_id), ErrorCode::None);
    let tokens = [&leaders[0], &followers[0]].map(|member| world.join_with(large(&member.member_id), 3));
    let again: Vec<_> = tokens.into_iter().map(|token| world.joined(token).unwrap()).collect();
    let leader = again.iter().find(|member| !member.members.is_empty()).unwrap();
    assert_eq!(world.sync_code(syncing(&leader.member_id, 2)), ErrorCode::None);
    assert_eq!(world.state(), "Stable");
    world.check_replay("at the end");
}

#[test]
fn a_static_member_that_no_longer_fits_does_not_take_its_place_in_silence() {
    let mut world = World::new();
    world.stable_static("i");
    let large =
        JoinGroupRequest { protocols: vec![protocol("range", &"x".repeat((1 << 20) - 60))], ..static_joining("i", "") };
    let token = world.join_with(large, 9);
    assert!(world.joined(token).is_some_and(|answer| answer.generation_id == 2), "it joins a generation of its own");
    assert!(world.log.iter().all(|record| record.size() <= config().max_record_bytes));
}

#[test]
fn who_waits_for_an_assignment_is_told_of_the_next_rebalance() {
    let mut world = World::new();
    let (a, ta) = world.join_new();
    let (b, tb) = world.join_new();
    world.pass(Duration::from_secs(7));
    assert!(world.joined(ta).is_some() && world.joined(tb).is_some());
    let waiting = world.sync(&b, 1, &[]);
    assert_eq!(world.commit_as(&a, None, 1), ErrorCode::RebalanceInProgress, "nobody has an assignment yet");
    assert_eq!(world.leave(&a), ErrorCode::None);
    assert_eq!(code(world.synced(waiting).unwrap().error_code), ErrorCode::RebalanceInProgress);
}

#[test]
fn static_members_are_fenced_by_every_request() {
    let mut world = World::new();
    let member = world.stable_static("i");
    let now = world.now();
    let fenced = ErrorCode::FencedInstanceId;
    assert_eq!(world.join_code(static_joining("i", "another")), fenced);
    assert_eq!(world.sync_code(SyncGroupRequest { group_instance_id: Some("i".into()), ..syncing("x", 9) }), fenced);
    assert_eq!(world.shard.heartbeat(GROUP, "another", Some("i"), 9, now), fenced);
    assert_eq!(world.commit_as("another", Some("i"), 9), fenced);
    assert_eq!(world.transactional_commit_as("another", Some("i"), 9), fenced);
    let leaving = |member: &str, instance: &str| MemberIdentity {
        member_id: member.into(),
        group_instance_id: Some(instance.into()),
        ..Default::default()
    };
    let members = [leaving("another", "i"), leaving("", "j"), leaving("", "i"), leaving(&member, "i")];
    let (answers, _) = world.shard.leave(GROUP, &members, now);
    assert_eq!(answers, [fenced, ErrorCode::UnknownMemberId, ErrorCode::None, ErrorCode::UnknownMemberId]);
}

#[test]
fn what_a_commit_within_a_transaction_is_refused_for() {
    let mut world = World::new();
    assert_eq!(world.transactional_commit_as("a", None, 1), ErrorCode::IllegalGeneration, "there is no such group");
    let (a, _) = world.stable_pair();
    assert_eq!(world.transactional_commit_as("stranger", None, 7), ErrorCode::UnknownMemberId);
    assert_eq!(world.transactional_commit_as(&a, None, 7), ErrorCode::IllegalGeneration);
    assert_eq!(world.transactional_commit_as(&a, None, 1), ErrorCode::None);
    assert_eq!(world.transactional_commit_as("", None, -1), ErrorCode::None, "a producer that does not say who it is");
}

#[test]
fn a_group_in_use_keeps_its_offsets() {
    let mut world = World::new();
    let partitions = [("t".to_owned(), 0)];
    assert_eq!(world.shard.delete_offsets(GROUP, &partitions).unwrap_err(), ErrorCode::GroupIdNotFound);
    // It may read anything: what its members say of it is no subscription.
    let (a, b) = world.stable_pair();
    let (answers, _) = world.shard.delete_offsets(GROUP, &partitions).unwrap();
    assert_eq!(answers, [ErrorCode::GroupSubscribedToTopic]);
    let now = world.now();
    assert_eq!(world.shard.delete(GROUP, now).0, ErrorCode::NonEmptyGroup);
    assert_eq!((world.leave(&a), world.leave(&b)), (ErrorCode::None, ErrorCode::None));
    // Another kind of group than one of consumers.
    let token = world.join_with(JoinGroupRequest { protocol_type: "connect".into(), ..joining("") }, 3);
    assert_eq!(world.shard.delete_offsets(GROUP, &partitions).unwrap_err(), ErrorCode::NonEmptyGroup);
    world.pass(Duration::from_secs(7));
    assert_eq!(world.joined(token).unwrap().error_code, 0);
}

/// Goal: an id that was given out and not used yet is no member: the group may be deleted, and the id is nobody's then.
#[test]
fn who_is_only_about_to_join_does_not_keep_a_group() {
    let mut world = World::new();
    let token = world.join("");
    let id = world.joined(token).unwrap().member_id;
    let now = world.now();
    let (answer, effects) = world.shard.delete(GROUP, now);
    world.take(effects);
    assert_eq!((answer, world.state()), (ErrorCode::None, "none"));
    assert_eq!(world.join_code(joining(&id)), ErrorCode::UnknownMemberId);
}
