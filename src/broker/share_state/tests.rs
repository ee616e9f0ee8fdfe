//! The states as their log tells them: every rule and error, and that a replay gives what is live.

use std::collections::HashSet;
use std::time::Instant;

use super::shard::{Effects, Read, Summary};
use super::*;
use crate::broker::coordinator::{Machine, Now, Record};
use crate::protocol::ErrorCode;
use crate::types::Offset;

const CONFIG: ShareStateConfig =
    ShareStateConfig { updates_per_snapshot: 2, cold_interval_ms: 1000, max_record_bytes: 1000 };

fn at(wall_ms: i64) -> Now {
    Now { wall_ms, steady: Instant::now() }
}

fn key(group: &str) -> SharePartitionKey {
    SharePartitionKey { group: group.to_owned(), topic_id: Uuid([7; 16]), partition: 3 }
}

/// A shard with its log.
struct Fixture {
    shard: ShareStateShard,
    log: Vec<Record>,
}

impl Fixture {
    fn new() -> Self {
        Self { shard: ShareStateShard::new(0, CONFIG), log: Vec::new() }
    }

    /// Appends; says what kinds of records they were.
    fn append(&mut self, effects: Effects) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        for record in effects.records {
            self.shard.placed(&record, Offset::new(self.log.len() as i64));
            kinds.push(match (record.key[1], &record.value) {
                (0, Some(_)) => "snapshot",
                (0, None) => "tombstone",
                _ => "update",
            });
            self.log.push(record);
        }
        kinds
    }

    /// What replaying the log from an offset on gives.
    fn replayed(&self, from: usize) -> ShareStateShard {
        let mut shard = ShareStateShard::new(0, CONFIG);
        for (offset, record) in self.log.iter().enumerate().skip(from) {
            shard.replay(record, None, at(0)).unwrap();
            shard.placed(record, Offset::new(offset as i64));
        }
        shard
    }

    fn check_replay(&self) {
        let from = self.shard.redundant_before().map_or(0, |offset| offset.get() as usize);
        for from in [0, from] {
            let replayed = self.replayed(from);
            assert_eq!(replayed.known(), self.shard.known(), "replayed from {from}");
            assert_eq!(snapshots(&replayed), snapshots(&self.shard), "replayed from {from}");
        }
    }

    fn initialize(&mut self, key: &SharePartitionKey, state_epoch: i32, start_offset: i64) -> Vec<&'static str> {
        let effects = self.shard.initialize(key, Initialize { state_epoch, start_offset }, at(1)).unwrap();
        self.append(effects)
    }

    fn write(&mut self, key: &SharePartitionKey, write: Write) -> Result<Vec<&'static str>, ErrorCode> {
        let effects = self.shard.write(key, write, at(2)).map_err(|refused| refused.error)?;
        Ok(self.append(effects))
    }

    fn read(&mut self, key: &SharePartitionKey, leader_epoch: i32) -> Result<Read, ErrorCode> {
        let (read, effects) = self.shard.read(key, leader_epoch, at(3)).map_err(|refused| refused.error)?;
        self.append(effects);
        Ok(read)
    }
}

/// The records that would make the same states anew.
fn snapshots(shard: &ShareStateShard) -> Vec<Record> {
    shard.known().0.iter().map(|(key, held)| super::records::snapshot(key, Some(held))).collect()
}

fn batch(first: i64, last: i64, state: DeliveryState, count: i16) -> StateBatch {
    StateBatch { first, last, state, count }
}

fn write(start_offset: i64, batches: &[StateBatch]) -> Write {
    Write { state_epoch: 1, leader_epoch: 5, start_offset, delivery_complete_count: 9, batches: batches.to_vec() }
}

#[test]
fn a_state_is_told_as_it_was_written() {
    let mut f = Fixture::new();
    let key = key("g");
    assert_eq!(f.read(&key, 0), Err(ErrorCode::InvalidRequest), "nothing is there yet");
    assert_eq!(f.write(&key, write(0, &[])), Err(ErrorCode::InvalidRequest));
    assert_eq!(f.shard.summary(&key).unwrap().start_offset, -1);

    assert_eq!(f.initialize(&key, 1, 10), ["snapshot"]);
    assert_eq!(f.read(&key, 5).unwrap(), Read { state_epoch: 1, start_offset: 10, batches: vec![] });
    assert_eq!(f.log.len(), 2, "that this leader has read it is remembered");
    f.read(&key, 5).unwrap();
    f.read(&key, -1).unwrap();
    assert_eq!(f.log.len(), 2, "once");

    let first = [batch(10, 14, DeliveryState::ACKNOWLEDGED, 1), batch(15, 19, DeliveryState::AVAILABLE, 1)];
    assert_eq!(f.write(&key, write(10, &first)).unwrap(), ["update"]);
    assert_eq!(f.write(&key, write(15, &[batch(15, 16, DeliveryState::ARCHIVED, 2)])).unwrap(), ["snapshot"]);
    let batches = vec![batch(15, 16, DeliveryState::ARCHIVED, 2), batch(17, 19, DeliveryState::AVAILABLE, 1)];
    assert_eq!(f.read(&key, 5).unwrap(), Read { state_epoch: 1, start_offset: 15, batches });
    let summary = Summary { state_epoch: 1, leader_epoch: 5, start_offset: 15, delivery_complete_count: 9 };
    assert_eq!(f.shard.summary(&key).unwrap(), summary);
    assert_eq!(f.write(&key, write(-1, &[])).unwrap(), ["update"], "counted anew since the snapshot");
    assert_eq!(f.read(&key, 5).unwrap().start_offset, 15, "-1 leaves the start as it was");
    f.check_replay();
}

/// Goal: no state becomes larger than the log's largest record: that would cost all others of the partition their coordinator.
#[test]
fn a_state_that_no_record_can_hold_is_refused() {
    let mut f = Fixture::new();
    let key = key("g");
    f.initialize(&key, 1, 0);
    let one = |n: i64| batch(n * 10, n * 10, DeliveryState::ACKNOWLEDGED, 1);
    let mut written = 0;
    while f.write(&key, write(0, &[one(written)])).is_ok() {
        written += 1;
        assert!(written < 1000);
    }
    assert!(written > 20, "{written}");
    assert_eq!(f.write(&key, write(0, &[one(written)])), Err(ErrorCode::UnknownServerError));
    let many: Vec<_> = (0..100).map(one).collect();
    assert_eq!(f.write(&key, write(0, &many)), Err(ErrorCode::UnknownServerError));
    assert!(f.log.iter().all(|record| record.size() <= CONFIG.max_record_bytes));
    f.check_replay();
    // What is done with makes room.
    f.write(&key, write(written * 10, &[one(written)])).unwrap();
    let long = self::key(&"g".repeat(1000));
    let begun = f.shard.initialize(&long, Initialize { state_epoch: 0, start_offset: 0 }, at(1));
    assert_eq!(begun.map(drop).map_err(|refused| refused.error), Err(ErrorCode::UnknownServerError));
    f.check_replay();
}

#[test]
fn older_leaders_and_older_incarnations_are_fenced() {
    let mut f = Fixture::new();
    let key = key("g");
    f.initialize(&key, 1, 0);
    f.read(&key, 6).unwrap();
    assert_eq!(f.read(&key, 5), Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(f.write(&key, write(0, &[])), Err(ErrorCode::FencedLeaderEpoch));
    f.read(&key, -1).unwrap();
    let newer = Write { leader_epoch: 7, ..write(0, &[]) };
    f.write(&key, newer.clone()).unwrap();
    f.read(&key, 6).expect("writing does not make a leader known");

    f.initialize(&key, 2, 100);
    assert_eq!(f.write(&key, newer), Err(ErrorCode::FencedStateEpoch));
    let refused = f.shard.initialize(&key, Initialize { state_epoch: 1, start_offset: 0 }, at(1)).unwrap_err();
    assert_eq!(refused.error, ErrorCode::FencedStateEpoch);
    assert_eq!(f.read(&key, -1).unwrap(), Read { state_epoch: 2, start_offset: 100, batches: vec![] });
    f.check_replay();
}

#[test]
fn deleted_states_are_gone() {
    let mut f = Fixture::new();
    for group in ["a", "b"] {
        f.initialize(&key(group), 0, 0);
    }
    let effects = f.shard.delete(&key("a")).unwrap();
    assert_eq!(f.append(effects), ["tombstone"]);
    assert!(f.shard.delete(&key("a")).unwrap().records.is_empty(), "that there is none is fine");
    assert_eq!(f.read(&key("a"), 0), Err(ErrorCode::InvalidRequest));
    let effects = f.shard.forget_topics(&HashSet::from([Uuid([8; 16])]));
    assert!(effects.records.is_empty(), "another topic");
    let effects = f.shard.forget_topics(&HashSet::from([key("b").topic_id]));
    assert_eq!(f.append(effects), ["tombstone"]);
    assert_eq!(f.shard.redundant_before(), Some(Offset::new(4)), "nothing is left that the log must tell");
    f.check_replay();
}

#[test]
fn partitions_below_zero_are_refused() {
    let mut f = Fixture::new();
    let bad = SharePartitionKey { partition: -1, ..key("g") };
    let error = |refused: Refused| refused.error;
    let wanted = Initialize { state_epoch: 0, start_offset: 0 };
    let all = [
        f.shard.initialize(&bad, wanted, at(0)).map_err(error).map(|_| ()),
        f.shard.read(&bad, 0, at(0)).map_err(error).map(|_| ()),
        f.shard.write(&bad, write(0, &[]), at(0)).map_err(error).map(|_| ()),
        f.shard.delete(&bad).map_err(error).map(|_| ()),
        f.shard.summary(&bad).map_err(error).map(|_| ()),
    ];
    assert_eq!(all, [Err(ErrorCode::InvalidRequest); 5]);
}

#[test]
fn what_newer_snapshots_tell_again_may_be_deleted() {
    let mut f = Fixture::new();
    f.initialize(&key("a"), 0, 0); // 0
    f.initialize(&key("b"), 0, 0); // 1
    assert_eq!(f.shard.redundant_before(), None);
    for _ in 0..3 {
        f.write(&key("a"), Write { state_epoch: 0, leader_epoch: 0, ..write(0, &[]) }).unwrap(); // 2 3 4
    }
    assert_eq!(f.shard.redundant_before(), Some(Offset::new(1)), "b is still told by its first record");
    let nothing = f.shard.snapshot_cold(at(1000));
    assert!(nothing.records.is_empty(), "b is not that old yet");
    let effects = f.shard.snapshot_cold(at(1001));
    assert_eq!(f.append(effects), ["snapshot"]);
    assert_eq!(f.shard.redundant_before(), Some(Offset::new(4)));
    f.check_replay();
    let effects = f.shard.snapshot_cold(at(5000));
    assert_eq!(f.append(effects), ["snapshot", "snapshot"]);
    assert!(f.shard.snapshot_cold(at(9000)).records.is_empty(), "nothing changed since, so nothing is gained");
    f.write(&key("a"), Write { state_epoch: 0, leader_epoch: 0, ..write(0, &[]) }).unwrap();
    let effects = f.shard.snapshot_cold(at(9000));
    assert_eq!(f.append(effects), ["snapshot", "snapshot"]);
    f.check_replay();
}

#[test]
fn keys_are_named_as_find_coordinator_names_them() {
    let key = key("g:with:colons");
    assert!(SharePartitionKey::is_valid(&key.to_string()));
    for bad in
        ["", "g", "g:t:0", "g:BwcHBwcHBwcHBwcHBwcHBw:x", "g:BwcHBwcHBwcHBwcHBwcHBw:-1", ":BwcHBwcHBwcHBwcHBwcHBw:0"]
    {
        assert!(!SharePartitionKey::is_valid(bad), "{bad}");
    }
}

/// Goal: whatever is asked of it, a shard is what replaying its log gives, from its beginning or from what is not redundant.
#[test]
fn replay_gives_what_is_live() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut f = Fixture::new();
    for step in 0..600 {
        let key = key(["a", "b", "c"][random.usize(..3)]);
        let now = at(step * 100);
        let effects = match random.u32(..20) {
            0 => f.shard.delete(&key).ok(),
            1 | 2 => {
                let wanted = Initialize { state_epoch: random.i32(0..3), start_offset: random.i64(-1..20) };
                f.shard.initialize(&key, wanted, now).ok()
            }
            3 => Some(f.shard.snapshot_cold(now)),
            4..8 => f.shard.read(&key, random.i32(-1..3), now).ok().map(|(_, effects)| effects),
            _ => {
                let first = random.i64(0..50);
                let state = [DeliveryState::AVAILABLE, DeliveryState::ACKNOWLEDGED, DeliveryState::ARCHIVED];
                let batch = batch(first, first + random.i64(0..9), state[random.usize(..3)], random.i16(1..6));
                let epochs = (random.i32(-1..3), random.i32(-1..3));
                let start_offset = random.i64(-1..40);
                let write =
                    Write { state_epoch: epochs.0, leader_epoch: epochs.1, ..write(start_offset, &[batch, batch]) };
                f.shard.write(&key, write, now).ok()
            }
        };
        f.append(effects.unwrap_or_default());
        f.check_replay();
    }
}
