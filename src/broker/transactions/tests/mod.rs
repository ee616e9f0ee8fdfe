//! The transactions without a log, a network or a clock: rule by rule here, at random against real partitions in `model.rs`.

mod model;

use std::time::{Duration, Instant};

use super::init::ProducerIdentity;
use super::records;
use super::shard::{Action, Effects, Ending, Refusal, Shard, TransactionConfig};
use super::transaction::State;
use crate::broker::coordinator::{Machine as _, Now, Record};
use crate::protocol::ErrorCode;
use crate::types::{ProducerId, TopicPartition, TransactionVersion};

const ID: &str = "id";
const TIMEOUT: i32 = 60_000;
const V0: TransactionVersion = TransactionVersion::V0;
const V2: TransactionVersion = TransactionVersion::V2;

fn config(level: TransactionVersion) -> TransactionConfig {
    TransactionConfig {
        max_timeout: Duration::from_secs(900),
        id_expiration: Duration::from_secs(7 * 24 * 3600),
        timeout_check_interval: Duration::from_secs(10),
        max_record_bytes: 1 << 20,
        level,
    }
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("t", index)
}

fn identity(id: i64, epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id: ProducerId::new(id), epoch }
}

/// A shard with a clock of its own and the log of what it wrote.
struct World {
    shard: Shard,
    start: Instant,
    elapsed: Duration,
    log: Vec<Record>,
    actions: Vec<Action>,
    next_producer_id: i64,
}

impl World {
    fn new(level: TransactionVersion) -> Self {
        Self {
            shard: Shard::new(config(level)),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            log: Vec::new(),
            actions: Vec::new(),
            next_producer_id: 100,
        }
    }

    fn now(&self) -> Now {
        Now { wall_ms: 1_700_000_000_000 + self.elapsed.as_millis() as i64, steady: self.start + self.elapsed }
    }

    fn take(&mut self, effects: Effects) {
        self.log.extend(effects.records);
        self.actions.extend(effects.actions);
    }

    /// Runs a command as the runtime does: with a new producer id if it asks for one.
    fn run<T>(
        &mut self,
        command: impl Fn(&mut Shard, Option<ProducerId>, Now) -> (Result<T, Refusal>, Effects),
    ) -> Result<T, ErrorCode> {
        let now = self.now();
        let (mut answer, mut effects) = command(&mut self.shard, None, now);
        if matches!(answer, Err(Refusal::NeedsProducerId)) {
            assert!(effects.records.is_empty() && effects.actions.is_empty(), "nothing is done by halves");
            let new_id = ProducerId::new(self.next_producer_id);
            self.next_producer_id += 1;
            (answer, effects) = command(&mut self.shard, Some(new_id), now);
        }
        self.take(effects);
        answer.map_err(|refusal| match refusal {
            Refusal::Code(code) => code,
            Refusal::NeedsProducerId => panic!("it has one"),
        })
    }

    fn init(&mut self, expected: Option<ProducerIdentity>) -> Result<ProducerIdentity, ErrorCode> {
        self.run(|shard, new_id, now| shard.init_producer_id(ID, TIMEOUT, expected, new_id, now))
    }

    fn add(&mut self, producer: ProducerIdentity, index: i32, version: TransactionVersion) -> Result<(), ErrorCode> {
        self.run(|shard, _, now| shard.add_partitions(ID, producer, &[partition(index)], version, now))
    }

    fn end(
        &mut self,
        producer: ProducerIdentity,
        commit: bool,
        version: TransactionVersion,
    ) -> Result<ProducerIdentity, ErrorCode> {
        self.run(|shard, new_id, now| shard.end(ID, producer, commit, version, new_id, now))
    }

    /// Completes all whose markers are to be written; gives them.
    fn complete(&mut self) -> Vec<Ending> {
        let endings: Vec<Ending> = std::mem::take(&mut self.actions)
            .into_iter()
            .filter_map(|action| match action {
                Action::WriteMarkers(ending) => Some(ending),
                Action::Abort(id) => {
                    self.run(|shard, new_id, now| shard.abort_timed_out(&id, new_id, now)).unwrap();
                    None
                }
            })
            .collect();
        for ending in &endings {
            let effects = self.shard.complete(ending, self.now());
            self.take(effects);
        }
        endings
    }

    fn state(&self) -> State {
        self.shard.describe(ID).unwrap().state
    }

    fn pass(&mut self, time: Duration) {
        self.elapsed += time;
        let effects = self.shard.advance(self.now());
        self.take(effects);
    }

    /// A new coordinator takes over from the log.
    fn crash(&mut self) {
        self.check_replay();
        self.shard = replayed(&self.log, self.shard.config.clone(), self.now());
        self.actions.clear();
        let effects = self.shard.loaded(self.now());
        self.take(effects);
    }
}

impl World {
    /// What is known is what a replay gives, byte for byte.
    fn check_replay(&self) {
        let replayed = replayed(&self.log, self.shard.config.clone(), self.now());
        assert_eq!(sorted(&replayed), sorted(&self.shard), "what is replayed is what was known");
    }
}

fn replayed(log: &[Record], config: TransactionConfig, now: Now) -> Shard {
    let mut shard = Shard::new(config);
    for record in log {
        shard.replay(record, None, now).unwrap();
    }
    shard
}

/// All that a shard knows, as its records have it.
fn sorted(shard: &Shard) -> Vec<Record> {
    let mut all: Vec<_> = shard.transactions.iter().collect();
    all.sort_by(|a, b| a.0.cmp(b.0));
    all.into_iter().map(|(id, transaction)| records::transaction(id, transaction, shard.config.level)).collect()
}

#[test]
fn a_new_producer_fences_the_one_before() {
    let mut world = World::new(V2);
    let first = world.init(None).unwrap();
    assert_eq!(first, identity(100, 0));
    let second = world.init(None).unwrap();
    assert_eq!(second, identity(100, 1));
    assert_eq!(world.add(first, 0, V0), Err(ErrorCode::ProducerFenced));
    assert_eq!(world.end(first, true, V0), Err(ErrorCode::ProducerFenced));
    assert_eq!(world.add(identity(7, 1), 0, V0), Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(world.init(Some(first)), Err(ErrorCode::ProducerFenced), "it may not come back");
}

#[test]
fn who_takes_over_waits_until_the_open_transaction_is_aborted() {
    for level in [V0, V2] {
        let mut world = World::new(level);
        let first = world.init(None).unwrap();
        world.add(first, 0, level).unwrap();
        assert_eq!(world.init(None), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(world.state(), State::PrepareAbort);
        assert_eq!(world.init(None), Err(ErrorCode::ConcurrentTransactions), "markers are being written");
        let endings = world.complete();
        assert_eq!((endings[0].producer_epoch, endings[0].commit), (1, false), "the marker fences");
        assert_eq!(endings[0].partitions, [partition(0)]);
        assert_eq!(world.init(None), Ok(identity(100, 2)));
        assert_eq!(world.state(), State::Empty);
    }
}

#[test]
fn a_request_that_is_sent_again_is_answered_again() {
    let mut world = World::new(V2);
    let first = world.init(None).unwrap();
    let second = world.init(Some(first)).unwrap();
    assert_eq!(second, identity(100, 1));
    assert_eq!(world.init(Some(first)), Ok(second), "the answer was lost");
    assert_eq!(world.init(Some(second)), Ok(identity(100, 2)));
    // A new producer takes the memory of it away.
    world.init(None).unwrap();
    assert_eq!(world.init(Some(second)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn used_up_epochs_lead_to_a_new_id() {
    let mut world = World::new(V0);
    let mut producer = world.init(None).unwrap();
    while producer.epoch < i16::MAX - 1 {
        producer = world.init(None).unwrap();
    }
    let next = world.init(Some(producer)).unwrap();
    assert_eq!(next, identity(101, 0));
    assert_eq!(world.init(Some(producer)), Ok(next), "sent again with the old id");
    assert_eq!(world.init(Some(identity(100, 5))), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_transaction_with_epochs_ends_with_the_next_epoch() {
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    world.add(producer, 0, V2).unwrap();
    world.add(producer, 1, V2).unwrap();
    let next = world.end(producer, true, V2).unwrap();
    assert_eq!(next, identity(100, 1));
    assert_eq!(world.end(producer, true, V2), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(world.add(next, 0, V2), Err(ErrorCode::ConcurrentTransactions));
    let endings = world.complete();
    assert_eq!((endings[0].producer_epoch, endings[0].version, endings[0].partitions.len()), (1, V2, 2));
    // Sent again: the same, but nothing else.
    assert_eq!(world.end(producer, true, V2), Ok(next));
    assert_eq!(world.end(producer, false, V2), Err(ErrorCode::InvalidTxnState));
    // Nothing was written in the next one: it can be aborted, not committed.
    assert_eq!(world.end(next, true, V2), Err(ErrorCode::InvalidTxnState));
    assert_eq!(world.end(next, false, V2), Ok(identity(100, 2)));
    let endings = world.complete();
    assert!(endings[0].partitions.is_empty() && !endings[0].commit);
    assert_eq!(world.end(next, false, V2), Ok(identity(100, 2)), "sent again");
    assert_eq!(world.end(producer, true, V2), Err(ErrorCode::ProducerFenced));
}

#[test]
fn the_last_epoch_ends_with_a_new_id() {
    let mut world = World::new(V2);
    let mut producer = world.init(None).unwrap();
    while producer.epoch < i16::MAX - 1 {
        producer = world.init(None).unwrap();
    }
    world.add(producer, 0, V2).unwrap();
    let next = world.end(producer, true, V2).unwrap();
    assert_eq!(next, identity(101, 0), "told before the markers are written");
    assert_eq!(world.add(next, 0, V2), Err(ErrorCode::ConcurrentTransactions), "and not a stranger until then");
    world.crash();
    let endings = world.complete();
    assert_eq!((endings[0].producer_id, endings[0].producer_epoch), (ProducerId::new(100), i16::MAX));
    assert_eq!(world.end(producer, true, V2), Ok(next), "sent again with the old id");
    world.add(next, 0, V2).unwrap();
    assert_eq!(world.end(producer, true, V2), Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn a_transaction_without_epochs_keeps_its_own() {
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    assert_eq!(world.end(producer, true, V0), Err(ErrorCode::InvalidTxnState), "nothing was begun");
    world.add(producer, 0, V0).unwrap();
    assert_eq!(world.end(producer, true, V0), Ok(producer));
    assert_eq!(world.end(producer, true, V0), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(world.complete()[0].producer_epoch, 0);
    assert_eq!(world.end(producer, true, V0), Ok(producer));
    assert_eq!(world.end(producer, false, V0), Err(ErrorCode::InvalidTxnState));
    world.add(producer, 0, V0).unwrap();
    assert_eq!(world.end(producer, false, V0), Ok(producer));
}

#[test]
fn only_what_has_joined_is_in_a_transaction() {
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    let verify = |world: &World, producer| world.shard.verify_partitions(ID, producer, &[partition(0), partition(1)]);
    assert_eq!(verify(&world, producer).unwrap(), [ErrorCode::TransactionAbortable; 2]);
    world.add(producer, 1, V0).unwrap();
    assert_eq!(verify(&world, producer).unwrap(), [ErrorCode::TransactionAbortable, ErrorCode::None]);
    assert_eq!(verify(&world, identity(100, 1)), Err(ErrorCode::ProducerFenced));
    assert_eq!(verify(&world, identity(1, 0)), Err(ErrorCode::InvalidProducerIdMapping));
    world.end(producer, true, V0).unwrap();
    assert_eq!(verify(&world, producer), Err(ErrorCode::ConcurrentTransactions));
    world.complete();
    assert_eq!(verify(&world, producer).unwrap(), [ErrorCode::TransactionAbortable; 2]);
    let unknown = world.shard.verify_partitions("other", producer, &[]);
    assert_eq!(unknown, Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn what_takes_too_long_is_aborted_and_its_producer_fenced() {
    for (level, epoch) in [(V0, 1), (V2, 1)] {
        let mut world = World::new(level);
        assert_eq!(world.shard.next_deadline(), None, "nothing to look at");
        let producer = world.init(None).unwrap();
        world.add(producer, 0, V0).unwrap();
        world.pass(Duration::from_secs(59));
        assert_eq!(world.state(), State::Ongoing);
        world.pass(Duration::from_secs(11));
        assert_eq!(world.state(), State::PrepareAbort);
        assert_eq!(world.shard.next_deadline(), None);
        assert_eq!(world.complete()[0].producer_epoch, epoch);
        assert_eq!(world.end(producer, true, V0), Err(ErrorCode::ProducerFenced));
        assert_eq!(world.add(producer, 0, V0), Err(ErrorCode::ProducerFenced));
    }
}

#[test]
fn a_timeout_at_the_last_epoch_asks_for_a_new_id() {
    let mut world = World::new(V2);
    let mut producer = world.init(None).unwrap();
    while producer.epoch < i16::MAX - 1 {
        producer = world.init(None).unwrap();
    }
    world.add(producer, 0, V2).unwrap();
    world.pass(Duration::from_secs(71));
    assert_eq!(world.actions, [Action::Abort(ID.into())]);
    world.complete();
    assert_eq!(world.state(), State::PrepareAbort);
    world.complete();
    assert_eq!(world.shard.describe(ID).unwrap().producer_id, ProducerId::new(101));
}

#[test]
fn timeouts_are_checked() {
    let mut world = World::new(V2);
    for timeout in [0, -1, 900_001] {
        let answer = world.run(|shard, new_id, now| shard.init_producer_id(ID, timeout, None, new_id, now));
        assert_eq!(answer, Err(ErrorCode::InvalidTransactionTimeout));
    }
    let answer = world.run(|shard, new_id, now| shard.init_producer_id("", TIMEOUT, None, new_id, now));
    assert_eq!(answer, Err(ErrorCode::InvalidRequest));
    assert!(world.log.is_empty());
}

#[test]
fn what_was_decided_is_carried_out_after_a_crash() {
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    world.add(producer, 0, V2).unwrap();
    world.end(producer, true, V2).unwrap();
    world.crash();
    let [Action::WriteMarkers(ending)] = world.actions.as_slice() else { panic!("{:?}", world.actions) };
    assert!(ending.commit && ending.partitions == [partition(0)]);
    world.complete();
    assert_eq!(world.state(), State::CompleteCommit);
    world.crash();
    assert!(world.actions.is_empty());
    assert_eq!(world.end(producer, true, V2), Ok(identity(100, 1)), "sent again to the new coordinator");
}

#[test]
fn a_completion_counts_for_its_own_transaction_only() {
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    world.add(producer, 0, V0).unwrap();
    world.end(producer, true, V0).unwrap();
    let late = world.complete();
    world.add(producer, 1, V0).unwrap();
    world.end(producer, true, V0).unwrap();
    let effects = world.shard.complete(&late[0], world.now());
    assert!(effects.records.is_empty() && world.state() == State::PrepareCommit);
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    world.add(producer, 0, V2).unwrap();
    world.elapsed += Duration::from_secs(8 * 24 * 3600);
    assert!(world.shard.expire(world.now()).records.is_empty(), "it is in use");
    world.end(producer, false, V2).unwrap();
    world.complete();
    world.elapsed += Duration::from_secs(7 * 24 * 3600) - Duration::from_millis(1);
    assert!(world.shard.expire(world.now()).records.is_empty());
    world.elapsed += Duration::from_millis(1);
    let effects = world.shard.expire(world.now());
    assert_eq!((effects.records.len(), effects.records[0].value.is_none()), (1, true));
    world.take(effects);
    world.crash();
    assert!(world.shard.describe(ID).is_none());
    assert_eq!(world.add(producer, 0, V2), Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn a_transaction_of_too_many_partitions_costs_nobody_else_anything() {
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    world.shard.config.max_record_bytes = 1000;
    let many: Vec<TopicPartition> = (0..1000).map(partition).collect();
    let answer = world.run(|shard, _, now| shard.add_partitions(ID, producer, &many, V2, now));
    assert_eq!(answer, Err(ErrorCode::UnknownServerError));
    assert_eq!((world.state(), world.log.len()), (State::Empty, 1));
}

#[test]
fn transactions_are_listed_by_what_is_asked() {
    use super::listing::Filter;
    let mut world = World::new(V2);
    let producer = world.init(None).unwrap();
    world.add(producer, 0, V2).unwrap();
    world.run(|shard, new_id, now| shard.init_producer_id("other", TIMEOUT, None, new_id, now)).unwrap();
    world.elapsed += Duration::from_secs(5);
    let listed = |filter: Filter| {
        let mut found: Vec<&str> = world.shard.list(&filter, world.now()).map(|(id, _)| id).collect();
        found.sort_unstable();
        found.join(" ")
    };
    let all = || Filter { longer_than_ms: -1, ..Filter::default() };
    assert_eq!(listed(all()), "id other");
    assert_eq!(listed(Filter { states: ["Ongoing".into()].into(), ..all() }), "id");
    assert_eq!(listed(Filter { states: ["nonsense".into()].into(), ..all() }), "");
    assert_eq!(listed(Filter { producer_ids: [101].into(), ..all() }), "other");
    assert_eq!(listed(Filter { longer_than_ms: 5000, ..all() }), "other", "the one without a beginning counts as old");
    assert_eq!(listed(Filter { longer_than_ms: 4999, ..all() }), "id other");
    let pattern = Some(regex::Regex::new("^(?:o.*)$").unwrap());
    assert_eq!(listed(Filter { pattern, ..all() }), "other");
}
