//! Random producers, a coordinator that is lost and loaded again between any two steps, and real partitions.
//!
//! What must hold: of a transaction's records all are visible to readers of committed data or none, as its client was told; the last stable
//! offset passes no open transaction and never stays behind when all are over; a producer that was replaced writes nothing; and a
//! coordinator that replays the log knows what the one before it knew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::*;
use crate::broker::transactions::transaction::Transaction;
use crate::log::{
    AppendContext, AppendError, AppendOrigin, LeaderBatch, Log, LogConfig, LogOptions, ReadLimits, Verification,
    VerificationWanted,
};
use crate::record::{BatchBuilder, BatchOptions, EndMarker, NewRecord, RecordBatch, batches};
use crate::types::{LeaderEpoch, Offset};

const PARTITIONS: i32 = 3;
const IDS: usize = 2;

/// A client, as far as it knows.
#[derive(Debug, Clone)]
struct Client {
    transactional_id: String,
    version: TransactionVersion,
    producer: ProducerIdentity,
    /// Number of the transaction that it is in.
    transaction: Option<u64>,
    /// The next sequence for each partition.
    sequences: BTreeMap<i32, i32>,
    /// An EndTxn whose answer it has not seen.
    ending: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing: all or none.
    Nothing,
    Committed,
    Aborted,
}

struct Partition {
    log: Log,
    /// Transactions that have records here and no marker yet, by producer.
    open: HashMap<i64, u64>,
}

struct Cluster {
    world: World,
    random: fastrand::Rng,
    partitions: Vec<Partition>,
    /// Markers that are still to be written, at most one job for an id.
    jobs: HashMap<String, (Ending, Vec<TopicPartition>)>,
    /// The newest client of each id; the rest are zombies.
    clients: HashMap<String, Client>,
    zombies: Vec<Client>,
    told: HashMap<u64, Told>,
    next_transaction: u64,
    _dir: tempfile::TempDir,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let level = if random.u8(..4) == 0 { V0 } else { V2 };
        let mut world = World::new(level);
        if random.bool() {
            // Epochs that will be used up soon.
            for id in 0..IDS {
                let known = Transaction {
                    producer_epoch: i16::MAX - 4,
                    ..Transaction::new(ProducerId::new(id as i64), TIMEOUT, world.now().wall_ms)
                };
                world.log.push(records::transaction(&name(id), &known, level));
            }
            world.shard = replayed(&world.log, config(level), world.now());
        }
        let partitions = (0..PARTITIONS).map(|index| {
            let options = LogOptions {
                dir: dir.path().join(format!("t-{index}")),
                config: Arc::new(LogConfig { segment_bytes: 2000, ..LogConfig::default() }),
                now_ms: world.now().wall_ms,
                ..LogOptions::default()
            };
            Partition { log: Log::open(options).unwrap().0, open: HashMap::new() }
        });
        let partitions = partitions.collect();
        Self {
            world,
            random,
            partitions,
            jobs: HashMap::new(),
            clients: HashMap::new(),
            zombies: Vec::new(),
            told: HashMap::new(),
            next_transaction: 0,
            _dir: dir,
        }
    }

    fn step(&mut self) {
        let id = name(self.random.usize(..IDS));
        match self.random.u8(..100) {
            0..10 => self.init(&id),
            10..45 => self.produce(&id),
            45..60 => self.end(&id),
            60..65 => self.zombie(),
            65..90 => self.work(),
            90..95 => self.crash(),
            _ => {
                let time = Duration::from_secs(self.random.u64(..30));
                self.world.pass(time);
            }
        }
        self.collect();
        self.check_stable_offsets();
        self.world.check_replay();
    }

    /// Takes over what the coordinator wants done.
    fn collect(&mut self) {
        for action in std::mem::take(&mut self.world.actions) {
            match action {
                Action::WriteMarkers(ending) => {
                    let partitions = ending.partitions.clone();
                    self.jobs.insert(ending.transactional_id.clone(), (ending, partitions));
                }
                Action::Abort(id) => {
                    self.world.run(|shard, new_id, now| shard.abort_timed_out(&id, new_id, now)).unwrap();
                    self.collect();
                }
            }
        }
    }

    fn crash(&mut self) {
        // Markers that are being written are forgotten, in the middle of it.
        self.jobs.clear();
        self.world.crash();
    }

    fn init(&mut self, id: &str) {
        let known = self.clients.get(id).cloned();
        let expected = known.as_ref().filter(|_| self.random.bool()).map(|client| client.producer);
        let answer = self.world.run(|shard, new_id, now| shard.init_producer_id(id, TIMEOUT, expected, new_id, now));
        let Ok(producer) = answer else { return };
        if let Some(before) = known {
            self.zombies.push(before);
        }
        let version = if self.world.shard.config.level == V2 && self.random.bool() { V2 } else { V0 };
        let client = Client {
            transactional_id: id.to_owned(),
            version,
            producer,
            transaction: None,
            sequences: BTreeMap::new(),
            ending: None,
        };
        self.clients.insert(id.to_owned(), client);
    }

    fn produce(&mut self, id: &str) {
        let Some(mut client) = self.clients.remove(id) else { return };
        if client.ending.is_none() {
            let index = self.random.i32(0..PARTITIONS);
            let transaction = *client.transaction.get_or_insert_with(|| {
                self.next_transaction += 1;
                self.next_transaction
            });
            self.told.entry(transaction).or_insert(Told::Nothing);
            self.write(&mut client, index, transaction);
        }
        self.clients.insert(id.to_owned(), client);
    }

    /// Writes a record as a broker lets a client: verified, perhaps with a lost coordinator in the middle.
    fn write(&mut self, client: &mut Client, index: i32, transaction: u64) -> bool {
        let (id, producer) = (client.transactional_id.clone(), client.producer);
        let to = [partition(index)];
        if client.version == V0
            && self.world.run(|shard, _, now| shard.add_partitions(&id, producer, &to, V0, now)).is_err()
        {
            return false;
        }
        let sequence = *client.sequences.entry(index).or_default();
        let wanted = VerificationWanted {
            producer_id: producer.id,
            epoch: producer.epoch,
            sequence,
            version: client.version,
            now_ms: self.world.now().wall_ms,
        };
        let Ok(guard) = self.partitions[index as usize].log.begin_verification(&wanted) else { return false };
        if guard.is_some() {
            let admitted = if client.version == V2 {
                self.world.run(|shard, _, now| shard.add_partitions(&id, producer, &to, V2, now)).is_ok()
            } else {
                let answers = self.world.shard.verify_partitions(&id, producer, &to);
                answers.is_ok_and(|answers| answers == [ErrorCode::None])
            };
            if !admitted {
                return false;
            }
            // Time for a marker to come in between.
            self.collect();
            for _ in 0..self.random.u8(..4) {
                match self.random.u8(..6) {
                    0 => self.world.pass(Duration::from_secs(70)),
                    1 => self.crash(),
                    // The record was under way for too long: its client has given up and ends the transaction.
                    2 => self.end_meanwhile(client, transaction),
                    _ => self.work(),
                }
                self.collect();
            }
        }
        let options = BatchOptions {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        let bytes = batch(options, transaction);
        let verification = Verification::Needed(guard);
        let place = &mut self.partitions[index as usize];
        match append(&place.log, &bytes, AppendOrigin::Client, verification, V0) {
            Ok(()) => {
                if client.producer == producer {
                    client.sequences.insert(index, sequence + 1);
                }
                place.open.insert(producer.id.get(), transaction);
                true
            }
            Err(_) => false,
        }
    }

    fn end(&mut self, id: &str) {
        let Some(mut client) = self.clients.remove(id) else { return };
        if let Some(transaction) = client.transaction {
            let commit = client.ending.unwrap_or_else(|| self.random.bool());
            let (producer, version) = (client.producer, client.version);
            let answer = self.world.run(|shard, new_id, now| shard.end(id, producer, commit, version, new_id, now));
            let is_heard = self.random.u8(..4) > 0;
            match answer {
                Ok(next) if is_heard => {
                    let told = if commit { Told::Committed } else { Told::Aborted };
                    let before = self.told.insert(transaction, told);
                    assert!(before == Some(Told::Nothing) || before == Some(told), "told both");
                    if version == V2 {
                        client.sequences.clear();
                        client.producer = next;
                    }
                    client.transaction = None;
                    client.ending = None;
                }
                Ok(_) | Err(ErrorCode::ConcurrentTransactions) => client.ending = Some(commit),
                // Fenced, aborted for taking too long, or nothing was written in it.
                Err(_) => {
                    self.zombies.push(client);
                    return;
                }
            }
        }
        self.clients.insert(id.to_owned(), client);
    }

    fn end_meanwhile(&mut self, client: &mut Client, transaction: u64) {
        if client.transaction != Some(transaction) {
            return;
        }
        let (id, producer, version) = (client.transactional_id.as_str(), client.producer, client.version);
        let answer = self.world.run(|shard, new_id, now| shard.end(id, producer, false, version, new_id, now));
        if let Ok(next) = answer {
            self.told.insert(transaction, Told::Aborted);
            client.transaction = None;
            client.producer = next;
            if version == V2 {
                client.sequences.clear();
            }
        }
    }

    /// A producer that was replaced tries to go on.
    fn zombie(&mut self) {
        let Some(mut zombie) = self.random.choice(&self.zombies).cloned() else { return };
        let newest = self.clients.get(&zombie.transactional_id).map(|client| client.producer);
        if newest.is_none() || newest == Some(zombie.producer) {
            // It gave up by itself; nobody has replaced it.
            return;
        }
        let index = self.random.i32(0..PARTITIONS);
        let transaction = self.next_transaction + 1_000_000;
        assert!(!self.write(&mut zombie, index, transaction), "{zombie:?} has written, and is no longer {newest:?}");
        let (producer, version) = (zombie.producer, zombie.version);
        let id = zombie.transactional_id.as_str();
        let before = self.world.log.len();
        let _ = self.world.run(|shard, new_id, now| shard.end(id, producer, true, version, new_id, now));
        assert_eq!(self.world.log.len(), before, "a zombie ends nothing");
    }

    /// Writes one marker, or says that all are written.
    fn work(&mut self) {
        let ids: Vec<String> = self.jobs.keys().cloned().collect();
        let Some(id) = self.random.choice(&ids).cloned() else { return };
        let Some((ending, mut left)) = self.jobs.remove(&id) else { return };
        if let Some(to) = left.pop() {
            let marker = EndMarker { commit: ending.commit, coordinator_epoch: 0 };
            let bytes = marker.to_batch(ending.producer_id, ending.producer_epoch, self.world.now().wall_ms).unwrap();
            let place = &mut self.partitions[to.partition.get() as usize];
            append(&place.log, &bytes, AppendOrigin::Coordinator, Verification::NotNeeded, ending.version).unwrap();
            place.open.remove(&ending.producer_id.get());
            // Sometimes twice, as after an answer that was lost.
            if self.random.u8(..4) == 0 {
                append(&place.log, &bytes, AppendOrigin::Coordinator, Verification::NotNeeded, ending.version).unwrap();
            }
            self.jobs.insert(id, (ending, left));
        } else {
            let effects = self.world.shard.complete(&ending, self.world.now());
            self.world.take(effects);
        }
    }

    /// No reader of committed data gets past a transaction that is open.
    fn check_stable_offsets(&self) {
        for place in &self.partitions {
            let stable = place.log.last_stable_offset();
            for (_, offset, transaction) in read(&place.log, place.log.log_end_offset()) {
                if place.open.values().any(|open| *open == transaction) {
                    assert!(stable <= offset, "{stable} is behind record {offset} of an open transaction");
                }
            }
        }
    }

    /// Ends all that is under way.
    fn finish(&mut self) {
        for _ in 0..3 {
            self.world.pass(Duration::from_secs(3600));
            self.collect();
            while !self.jobs.is_empty() {
                self.work();
                self.collect();
            }
        }
        for place in &self.partitions {
            assert_eq!(place.log.last_stable_offset(), place.log.log_end_offset(), "readers stand still");
        }
        let mut written: HashMap<u64, usize> = HashMap::new();
        let mut visible: HashMap<u64, usize> = HashMap::new();
        for place in &self.partitions {
            let end = place.log.last_stable_offset();
            read(&place.log, end).iter().for_each(|(_, _, transaction)| *written.entry(*transaction).or_default() += 1);
            committed(&place.log, end)
                .into_iter()
                .for_each(|transaction| *visible.entry(transaction).or_default() += 1);
        }
        for (transaction, written) in written {
            let visible = visible.get(&transaction).copied().unwrap_or_default();
            let right = match self.told[&transaction] {
                Told::Nothing => visible == 0 || visible == written,
                Told::Committed => visible == written,
                Told::Aborted => visible == 0,
            };
            let told = self.told[&transaction];
            assert!(right, "transaction {transaction}: {visible} of {written} visible, told {told:?}");
        }
        self.world.crash();
        assert!(self.world.actions.is_empty());
    }
}

fn name(id: usize) -> String {
    format!("id-{id}")
}

fn batch(options: BatchOptions, transaction: u64) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(options);
    let value = transaction.to_be_bytes();
    builder.append(&NewRecord { timestamp: 1, value: Some(&value), ..NewRecord::default() }).unwrap();
    builder.build().unwrap()
}

fn append(
    log: &Log,
    bytes: &[u8],
    origin: AppendOrigin,
    verification: Verification,
    marker_version: TransactionVersion,
) -> Result<(), AppendError> {
    let context = AppendContext::new(LeaderEpoch::new(0), origin, 1);
    let (batch, _) = RecordBatch::new(bytes).unwrap();
    let context = AppendContext { verification, marker_version, ..context };
    log.append_as_leader(&[LeaderBatch::from(batch)], &context)?;
    log.advance_high_watermark(log.log_end_offset());
    Ok(())
}

/// Producer, offset and transaction of all records below an offset, but of markers.
fn read(log: &Log, end: Offset) -> Vec<(i64, Offset, u64)> {
    let (mut found, mut from) = (Vec::new(), log.log_start_offset());
    while from < end {
        let piece = log.read(from, ReadLimits { end, max_bytes: 1 << 20, at_least_one_batch: true }).unwrap();
        for batch in batches(&piece.bytes) {
            let batch = batch.unwrap();
            let header = *batch.header();
            if !header.attributes.is_control() {
                for record in batch.records(&mut Vec::new(), 0).unwrap() {
                    let record = record.unwrap();
                    let value = record.value.unwrap().first_chunk().unwrap();
                    found.push((header.producer_id.get(), record.offset, u64::from_be_bytes(*value)));
                }
            }
        }
        from = piece.next_offset;
    }
    found
}

/// The transactions of the records that a consumer of committed data gets, one for each record.
fn committed(log: &Log, end: Offset) -> Vec<u64> {
    let aborted = log.aborted_transactions(Offset::ZERO..end).unwrap();
    let is_aborted = |producer: i64, offset: Offset| {
        aborted.iter().any(|transaction| {
            transaction.producer_id.get() == producer
                && (transaction.first_offset..transaction.last_offset).contains(&offset)
        })
    };
    read(log, end)
        .into_iter()
        .filter(|(producer, offset, _)| !is_aborted(*producer, *offset))
        .map(|(_, _, transaction)| transaction)
        .collect()
}

#[test]
fn transactions_are_whole_whatever_happens() {
    let (first, count) = match std::env::var("KAFKA_RS_SEED") {
        Ok(seed) => (seed.parse().unwrap(), 1),
        Err(_) => (fastrand::u64(..u64::MAX / 2), 60),
    };
    for seed in first..first + count {
        let ran = std::panic::catch_unwind(|| {
            let mut cluster = Cluster::new(seed);
            for _ in 0..300 {
                cluster.step();
            }
            cluster.finish();
        });
        if let Err(panic) = ran {
            eprintln!("repeat it with KAFKA_RS_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
