//! The runtime around a small machine, over a log whose high watermark, failures and leadership the tests decide.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::effects::{Effects, Now, Producer, Record, Token};
use super::records::MalformedRecord;
use super::runtime::{Committed, Coordinator, CoordinatorLog, Entry, Machine, Position, Replayed};
use crate::broker::partition::ProducerMarker;
use crate::log::Verification;
use crate::protocol::ErrorCode;
use crate::record::EndMarker;
use crate::types::{LeaderEpoch, Offset, ProducerId, TransactionVersion};

#[derive(Debug, Clone)]
enum Written {
    Record(Record, Option<Producer>),
    Marker(Producer, bool),
}

/// One partition in memory.
#[derive(Default)]
struct FakeLog {
    entries: Mutex<Vec<Written>>,
    high_watermark: AtomicI64,
    /// Replicas follow at once, unless this is set.
    lags: AtomicBool,
    fails: AtomicBool,
    epoch: AtomicI64,
    lost: AtomicBool,
    large: AtomicBool,
    /// What happens while the log is replayed, before what was read of it is told: the first at the first replay, and so on.
    meanwhile: Mutex<VecDeque<Box<dyn FnOnce() + Send>>>,
    moved: Notify,
}

impl FakeLog {
    fn at_next_replay(&self, happens: impl FnOnce() + Send + 'static) {
        self.meanwhile.lock().unwrap().push_back(Box::new(happens));
    }

    fn end(&self) -> i64 {
        self.entries.lock().unwrap().len() as i64
    }

    fn commit(&self) {
        self.high_watermark.store(self.end(), Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

impl CoordinatorLog for FakeLog {
    fn topic(&self) -> &str {
        "counters"
    }

    fn append(&self, _partition: i32, entry: Entry<'_>, _now_ms: i64) -> Result<Position, ErrorCode> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        match entry {
            Entry::Records { records, producer } => {
                let records = records.iter().map(|record| Written::Record(record.clone(), producer));
                self.entries.lock().unwrap().extend(records);
            }
            Entry::Marker(marker) => {
                let producer = Producer { id: marker.producer_id.get(), epoch: marker.producer_epoch };
                self.entries.lock().unwrap().push(Written::Marker(producer, marker.marker.commit));
            }
        }
        if !self.lags.load(Ordering::SeqCst) {
            self.commit();
        }
        let epoch = LeaderEpoch::new(self.epoch.load(Ordering::SeqCst) as i32);
        Ok(Position { end: Offset::new(self.end()), epoch })
    }

    fn check_producer(&self, _: i32, producer: Producer, verification: Verification) -> Result<(), ErrorCode> {
        let fenced = verification != Verification::NotNeeded || producer.epoch < 0;
        if fenced { Err(ErrorCode::InvalidProducerEpoch) } else { Ok(()) }
    }

    fn is_committed(&self, _partition: i32, position: Position) -> bool {
        self.high_watermark.load(Ordering::SeqCst) >= position.end.get()
            && i64::from(position.epoch.get()) == self.epoch.load(Ordering::SeqCst)
    }

    fn committed(&self, partition: i32, position: Position) -> Committed<'_> {
        Box::pin(async move {
            loop {
                let moved = self.moved.notified();
                if self.is_committed(partition, position) {
                    return Ok(());
                }
                if i64::from(position.epoch.get()) != self.epoch.load(Ordering::SeqCst) {
                    return Err(ErrorCode::NotCoordinator);
                }
                moved.await;
            }
        })
    }

    fn replay(&self, _partition: i32, each: &mut dyn FnMut(Replayed)) -> Result<Position, ErrorCode> {
        let entries = self.entries.lock().unwrap().clone();
        let happens = self.meanwhile.lock().unwrap().pop_front();
        if let Some(happens) = happens {
            happens();
        }
        for (offset, entry) in (0..).zip(entries) {
            let offset = Offset::new(offset);
            each(match entry {
                Written::Record(record, producer) => Replayed::Record { record, producer, offset },
                Written::Marker(producer, committed) => Replayed::Marker { producer, committed },
            });
        }
        let epoch = LeaderEpoch::new(self.epoch.load(Ordering::SeqCst) as i32);
        Ok(Position { end: Offset::new(self.end()), epoch })
    }

    fn bytes(&self, _partition: i32) -> u64 {
        if self.large.load(Ordering::SeqCst) { u64::MAX } else { 0 }
    }

    fn is_leader(&self, _partition: i32) -> bool {
        !self.lost.load(Ordering::SeqCst)
    }
}

/// Counts per key; who waits for a key to be added to is told the count.
#[derive(Default)]
struct Counters {
    counts: BTreeMap<String, u64>,
    pending: Vec<(Producer, String)>,
    waiting: Vec<(Token, String)>,
    /// Where its records stand.
    places: Vec<(String, i64)>,
    due: Option<Instant>,
}

impl Counters {
    fn add(&mut self, key: &str) -> (u64, Effects<u64>) {
        let count = self.counts.entry(key.to_owned()).or_default();
        *count += 1;
        let count = *count;
        let mut effects = Effects { records: vec![record(key)], ..Effects::default() };
        self.waiting.retain(|(token, wanted)| {
            if wanted == key {
                effects.replies.push((*token, count));
            }
            wanted != key
        });
        (count, effects)
    }

    fn add_in_transaction(&mut self, key: &str, producer: Producer) -> ((), Effects<u64>) {
        self.pending.push((producer, key.to_owned()));
        ((), Effects { records: vec![record(key)], producer: Some(producer), ..Effects::default() })
    }

    fn wait(&mut self, key: &str, token: Token) -> Effects<u64> {
        self.waiting.push((token, key.to_owned()));
        Effects::default()
    }
}

fn record(key: &str) -> Record {
    Record { key: Bytes::copy_from_slice(key.as_bytes()), value: None }
}

impl Machine for Counters {
    type Reply = u64;
    type Action = std::convert::Infallible;

    fn replay(&mut self, record: &Record, producer: Option<Producer>, _now: Now) -> Result<(), MalformedRecord> {
        let key = String::from_utf8_lossy(&record.key).into_owned();
        match producer {
            Some(producer) => self.pending.push((producer, key)),
            None => *self.counts.entry(key).or_default() += 1,
        }
        Ok(())
    }

    fn placed(&mut self, record: &Record, offset: Offset) {
        self.places.push((String::from_utf8_lossy(&record.key).into_owned(), offset.get()));
    }

    fn end_transaction(&mut self, ended: Producer, committed: bool, _now: Now) {
        for (_, key) in self.pending.extract_if(.., |(producer, _)| *producer == ended) {
            *self.counts.entry(key).or_default() += u64::from(committed);
        }
    }

    fn loaded(&mut self, _now: Now) -> Effects<u64> {
        Effects::default()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    fn advance(&mut self, _now: Now) -> Effects<u64> {
        self.due = None;
        self.add("tick").1
    }

    fn resign(&mut self, _error: ErrorCode) -> Vec<(Token, u64)> {
        self.waiting.drain(..).map(|(token, _)| (token, 0)).collect()
    }
}

fn marker(producer: Producer, commit: bool) -> ProducerMarker {
    ProducerMarker {
        producer_id: ProducerId::new(producer.id),
        producer_epoch: producer.epoch,
        marker: EndMarker { commit, coordinator_epoch: 0 },
        version: TransactionVersion::V0,
    }
}

fn now() -> Now {
    Now { wall_ms: 0, steady: Instant::now() }
}

fn start() -> (Arc<FakeLog>, Arc<Coordinator<Counters>>) {
    let log = Arc::new(FakeLog::default());
    let shared = Arc::clone(&log);
    (log, Arc::new(Coordinator::new(shared, 1, |_| Counters::default(), |_, _, _| {})))
}

async fn count(coordinator: &Arc<Coordinator<Counters>>, key: &str) -> Result<Option<u64>, ErrorCode> {
    coordinator.view(key, now(), |machine| machine.counts.get(key).copied()).await
}

/// Whether a future is still waiting after everything that could run has run.
async fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::time::timeout(Duration::from_millis(10), future).await.is_err()
}

#[tokio::test]
async fn answers_leave_when_what_they_rest_on_is_committed() {
    let (log, coordinator) = start();
    assert_eq!(coordinator.run("a", now(), |machine| machine.add("a")).await, Ok(1));

    log.lags.store(true, Ordering::SeqCst);
    let mut told = Box::pin(coordinator.run_waiting("a", now(), |machine, token| machine.wait("a", token)));
    assert!(waits(&mut told).await, "nothing happened yet");
    let mut added = Box::pin(coordinator.run("a", now(), |machine| machine.add("a")));
    assert!(waits(&mut added).await, "the record is not committed");
    assert!(waits(&mut told).await, "nor is what the other answer tells of");
    let mut asked = Box::pin(count(&coordinator, "a"));
    assert!(waits(&mut asked).await, "a question too may not tell of it");

    log.commit();
    assert_eq!((added.await, told.await, asked.await), (Ok(2), Ok(2), Ok(Some(2))));
}

#[tokio::test]
async fn an_answer_of_a_leadership_that_ended_is_none() {
    let (log, coordinator) = start();
    log.lags.store(true, Ordering::SeqCst);
    let mut added = Box::pin(coordinator.run("a", now(), |machine| machine.add("a")));
    assert!(waits(&mut added).await);
    // Another broker led meanwhile: what is committed at this offset may be something else.
    log.epoch.store(7, Ordering::SeqCst);
    log.commit();
    assert_eq!(added.await, Err(ErrorCode::NotCoordinator));
}

#[tokio::test]
async fn what_could_not_be_written_was_not_decided() {
    let (log, coordinator) = start();
    coordinator.run("a", now(), |machine| machine.add("a")).await.unwrap();
    let mut waiting = Box::pin(coordinator.run_waiting("b", now(), |machine, token| machine.wait("b", token)));
    assert!(waits(&mut waiting).await);
    log.fails.store(true, Ordering::SeqCst);
    let failed = coordinator.run("a", now(), |machine| machine.add("a")).await;
    assert_eq!(failed, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(waiting.await, Ok(0), "whoever waited is sent away");
    log.fails.store(false, Ordering::SeqCst);
    assert_eq!(count(&coordinator, "a").await, Ok(Some(1)), "loaded again from the log");
}

#[tokio::test]
async fn a_partition_that_is_given_up_is_loaded_anew() {
    let (log, coordinator) = start();
    coordinator.run("a", now(), |machine| machine.add("a")).await.unwrap();
    let mut waiting = Box::pin(coordinator.run_waiting("b", now(), |machine, token| machine.wait("b", token)));
    assert!(waits(&mut waiting).await);
    log.lost.store(true, Ordering::SeqCst);
    coordinator.resign(0);
    assert_eq!(waiting.await, Ok(0));
    assert_eq!(count(&coordinator, "a").await, Err(ErrorCode::NotCoordinator));
    log.lost.store(false, Ordering::SeqCst);
    log.entries.lock().unwrap().clear();
    assert_eq!(count(&coordinator, "a").await, Ok(None), "as the log has it now");
}

#[tokio::test]
async fn records_of_transactions_count_with_their_marker() {
    let (log, coordinator) = start();
    let (one, two) = (Producer { id: 1, epoch: 0 }, Producer { id: 2, epoch: 0 });
    for producer in [one, two] {
        coordinator.run("a", now(), |machine| machine.add_in_transaction("a", producer)).await.unwrap();
    }
    assert_eq!(count(&coordinator, "a").await, Ok(None));
    log.fails.store(true, Ordering::SeqCst);
    assert!(coordinator.end_transaction(0, &marker(one, true), now()).await.is_err());
    assert_eq!(count(&coordinator, "a").await, Ok(None), "a marker that was not written ends nothing");
    log.fails.store(false, Ordering::SeqCst);
    coordinator.end_transaction(0, &marker(one, true), now()).await.unwrap();
    coordinator.end_transaction(0, &marker(two, false), now()).await.unwrap();
    assert_eq!(count(&coordinator, "a").await, Ok(Some(1)));
    coordinator.resign(0);
    assert_eq!(count(&coordinator, "a").await, Ok(Some(1)), "the same after a replay");
}

#[tokio::test]
async fn machines_hear_where_their_records_stand() {
    let (_log, coordinator) = start();
    coordinator.run("a", now(), |machine| machine.add("a")).await.unwrap();
    let three = |machine: &mut Counters| {
        let records = ["b", "c", "b"].into_iter().flat_map(|key| machine.add(key).1.records).collect();
        ((), Effects { records, ..Effects::default() })
    };
    coordinator.run("a", now(), three).await.unwrap();
    let wanted: Vec<_> = [("a", 0), ("b", 1), ("c", 2), ("b", 3)].map(|(key, offset)| (key.to_owned(), offset)).into();
    let places = coordinator.view("a", now(), |machine| machine.places.clone()).await.unwrap();
    assert_eq!(places, wanted);
    coordinator.resign(0);
    let places = coordinator.view("a", now(), |machine| machine.places.clone()).await.unwrap();
    assert_eq!(places, wanted, "the same after a replay");
}

#[tokio::test]
async fn a_large_log_is_loaded_beside_the_requests() {
    let (log, coordinator) = start();
    log.large.store(true, Ordering::SeqCst);
    assert_eq!(count(&coordinator, "a").await, Err(ErrorCode::CoordinatorLoadInProgress));
    let loaded = async {
        while count(&coordinator, "a").await == Err(ErrorCode::CoordinatorLoadInProgress) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), loaded).await.unwrap();
    assert_eq!(count(&coordinator, "a").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_a_small_log_is_loaded_waits() {
    let (log, coordinator) = start();
    let (tell, answers) = mpsc::channel();
    let answers = Arc::new(Mutex::new(answers));
    let (other, early) = (Arc::clone(&coordinator), Arc::clone(&answers));
    let runtime = tokio::runtime::Handle::current();
    log.at_next_replay(move || {
        runtime.spawn(async move { tell.send(count(&other, "a").await) });
        // One that is sent away is so at once.
        assert!(early.lock().unwrap().recv_timeout(Duration::from_millis(50)).is_err(), "not loaded yet");
    });
    assert_eq!(count(&coordinator, "a").await, Ok(None));
    assert_eq!(answers.lock().unwrap().recv(), Ok(Ok(None)));
}

/// Goal: a reading that this broker began before it lost a partition and led it again does not count: another leader wrote meanwhile.
#[tokio::test]
async fn a_loading_of_an_earlier_leadership_is_dropped() {
    let (log, coordinator) = start();
    log.large.store(true, Ordering::SeqCst);
    let (second_began, begun) = mpsc::channel();
    let (first_ended, ended) = mpsc::channel::<()>();
    let (again, meanwhile) = (Arc::clone(&coordinator), Arc::clone(&log));
    let second = Arc::new(Mutex::new(None));
    let running = Arc::clone(&second);
    log.at_next_replay(move || {
        again.resign(0);
        meanwhile.entries.lock().unwrap().push(Written::Record(record("a"), None));
        meanwhile.commit();
        meanwhile.at_next_replay(move || {
            second_began.send(()).unwrap();
            ended.recv().unwrap();
        });
        *running.lock().unwrap() = Some(std::thread::spawn(move || again.load_all(now)));
        begun.recv().unwrap();
    });
    coordinator.load_all(now);
    assert_eq!(count(&coordinator, "a").await, Err(ErrorCode::CoordinatorLoadInProgress));
    first_ended.send(()).unwrap();
    let second = second.lock().unwrap().take().unwrap();
    second.join().unwrap();
    assert_eq!(count(&coordinator, "a").await, Ok(Some(1)), "what the other leader wrote");
}

#[tokio::test]
async fn machines_are_woken_when_something_is_due() {
    let (log, coordinator) = start();
    let timers = Arc::clone(&coordinator);
    let timers = tokio::spawn(async move { timers.run_timers(now).await });
    tokio::task::yield_now().await;
    let due = Instant::now() + Duration::from_millis(1);
    let set = |machine: &mut Counters| {
        machine.due = Some(due);
        ((), Effects::default())
    };
    coordinator.run("a", now(), set).await.unwrap();
    let ticked = async {
        while log.end() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ticked).await.unwrap();
    timers.abort();
}

#[tokio::test]
async fn a_producer_that_was_replaced_does_not_cost_others_the_machine() {
    let (_log, coordinator) = start();
    let mut waiting = Box::pin(coordinator.run_waiting("a", now(), |machine, token| machine.wait("a", token)));
    assert!(waits(&mut waiting).await);
    for (producer, verification) in [
        (Producer { id: 1, epoch: -1 }, Verification::NotNeeded),
        (Producer { id: 1, epoch: 0 }, Verification::Needed(None)),
    ] {
        let refused = coordinator
            .run_in_transaction("a", (producer, verification), now(), |machine| {
                machine.add_in_transaction("a", producer)
            })
            .await;
        assert_eq!(refused, Err(ErrorCode::InvalidProducerEpoch));
    }
    let one = Producer { id: 1, epoch: 0 };
    coordinator
        .run_in_transaction("a", (one, Verification::NotNeeded), now(), |machine| machine.add_in_transaction("a", one))
        .await
        .unwrap();
    coordinator.end_transaction(0, &marker(one, true), now()).await.unwrap();
    assert_eq!(count(&coordinator, "a").await, Ok(Some(1)), "only what was taken");
    assert!(waits(&mut waiting).await, "who waited still does");
}
