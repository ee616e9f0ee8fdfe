//! kill -9 and a full disk under the load of other people's clients: nothing that they were told is lost, doubled or half.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod interop_support;
#[path = "support/small_disk.rs"]
mod small_disk;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use interop_support::{
    Driver, Home, Library, Record, Restarting, check_data_directory, check_indexes, free_port, kcat, kcat_missing,
    kcat_records, kcat_records_of,
};
use serde_json::{Value, json};
use small_disk::SmallDisk;
use support::wait_for;

/// How often the broker is killed, unless `KAFKA_RS_ROUNDS` asks for more.
const ROUNDS: usize = 5;
const WITHIN: Duration = Duration::from_secs(120);
const PLAIN: &str = "plain";
const TRANSACTIONS: &str = "transactions";
const IDEMPOTENT: [Library; 3] = [Library::Confluent, Library::FranzGo, Library::Java];
const TRANSACTIONAL: [Library; 2] = [Library::Confluent, Library::Java];
/// Each n-th transaction is aborted.
const ABORT_EVERY: usize = 4;
/// Small segments, so that rolling is hit too.
const SETTINGS: &[&str] =
    &["offsets.topic.num.partitions=2", "transaction.state.log.num.partitions=2", "log.segment.bytes=1048576"];

/// A value with its partition and its offset.
type Placed = ((i64, i64), String);

/// What the clients were told so far.
#[derive(Default)]
struct Told {
    acknowledged: Vec<Placed>,
    committed: Vec<Vec<Placed>>,
    aborted: Vec<String>,
    /// Values of each transaction whose client does not know how it has ended.
    unsure: Vec<Vec<String>>,
    /// Calls of each client that went well.
    calls: BTreeMap<String, usize>,
}

impl Told {
    fn called(&mut self, client: &str) {
        *self.calls.entry(client.to_owned()).or_default() += 1;
    }
}

/// Where the records of an answer are; those that failed are left out.
fn places(answer: &Value, values: &[String]) -> Vec<Placed> {
    let place = |result: &Value| Some((result["p"].as_i64()?, result["o"].as_i64()?));
    let results = answer.as_array().unwrap();
    results.iter().zip(values).filter_map(|(result, value)| Some((place(result)?, value.clone()))).collect()
}

/// An idempotent producer, which writes to a partition of its own.
fn produce(library: Library, partition: usize, address: &str, told: &Mutex<Told>, done: &AtomicBool) {
    let mut driver = Driver::start(library, address);
    let filler = "x".repeat(200);
    for call in 0.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let values: Vec<String> =
            (0..300).map(|n| format!("{} {partition} {call} {n} {filler}", library.name())).collect();
        let records: Vec<Value> = values.iter().map(|v| json!({"t": PLAIN, "p": partition, "v": v})).collect();
        let answer = driver.call(json!({"op": "produce", "idempotent": true, "records": records}));
        let mut told = told.lock().unwrap();
        told.acknowledged.extend(places(&answer, &values));
        told.called(&format!("{} to {partition}", library.name()));
    }
}

/// A transactional producer; whenever it does not know how a transaction has ended, another one takes its id over.
fn transact(library: Library, address: &str, told: &Mutex<Told>, done: &AtomicBool) {
    let mut driver = Driver::start(library, address);
    let name = library.name();
    let begin = json!({"op": "transact", "id": name, "transactional_id": name});
    let mut ready = false;
    for call in 1.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        if !ready {
            ready = driver.try_call(&begin).is_ok();
            continue;
        }
        let values: Vec<String> = (0..10).map(|n| format!("{name} {call} {n}")).collect();
        let records: Vec<Value> =
            values.iter().enumerate().map(|(n, v)| json!({"t": TRANSACTIONS, "p": n % 2, "v": v})).collect();
        let is_aborted = call % ABORT_EVERY == 0;
        let end = if is_aborted { "abort" } else { "commit" };
        let answer = driver.try_call(&json!({"op": "transaction", "id": name, "records": records, "end": end}));
        let placed = answer.as_ref().map_or(Vec::new(), |answer| places(answer, &values));
        ready = answer.is_ok();
        let mut told = told.lock().unwrap();
        if answer.is_ok() && is_aborted {
            told.aborted.extend(values);
        } else if placed.len() == values.len() {
            told.committed.push(placed);
        } else {
            told.unsure.push(values);
        }
        if ready {
            told.called(&format!("{name} transact"));
        }
    }
}

/// All records by where they are; each value is there once.
fn by_place(records: Vec<Record>) -> BTreeMap<(i64, i64), String> {
    let mut seen = BTreeSet::new();
    let mut found = BTreeMap::new();
    for record in records {
        let value = record.value.unwrap();
        assert!(seen.insert(value.clone()), "twice: {value:.60}");
        found.insert((record.partition, record.offset), value);
    }
    found
}

fn assert_there(found: &BTreeMap<(i64, i64), String>, told: &[Placed], when: &str) {
    let lost: Vec<_> = told.iter().filter(|(place, value)| found.get(place) != Some(value)).take(3).collect();
    assert!(lost.is_empty(), "{when}: acknowledged and not there: {lost:.80?}");
}

/// Holds what was acknowledged lately against what kcat reads there, while the writers go on.
fn check_since(address: &str, told: &[Placed], when: &str) {
    for partition in 0..IDEMPOTENT.len() {
        let offsets = || told.iter().filter(|((of, _), _)| *of == partition as i64).map(|((_, offset), _)| *offset);
        let (Some(first), Some(last)) = (offsets().min(), offsets().max()) else { continue };
        let [partition, from, count] = [partition as i64, first, last - first + 1].map(|n| n.to_string());
        let found = by_place(kcat_records_of(address, PLAIN, &["-p", &partition, "-o", &from, "-c", &count]));
        let of_partition: Vec<Placed> =
            told.iter().filter(|((of, _), _)| of.to_string() == partition).cloned().collect();
        assert_there(&found, &of_partition, when);
    }
}

/// What the group's members have received; records may come again after a kill, from the same place.
fn take(group: &mut Driver, received: &mut BTreeMap<(i64, i64), String>) {
    for member in ["a", "b"] {
        for record in Record::list(&group.call(json!({"op": "take", "id": member}))) {
            let (place, value) = ((record.partition, record.offset), record.value.unwrap());
            let before = received.insert(place, value.clone());
            assert!(before.is_none_or(|before| before == value), "another record at {place:?}");
        }
    }
}

/// Goal: whatever librdkafka, franz-go and Java's client were told holds through kill -9 at any moment: acknowledged records are where they
/// were said to be, once; transactions are whole or not there; a group gets all that was committed and nothing else.
/// Method: clients that outlive the broker write all the time; it is killed in the midst and started again on the same directory. In the end
/// Kafka's tool and ours look at every file.
#[test]
fn killed_brokers_keep_what_other_clients_were_told() {
    need!(kcat_missing());
    need!(Home::Kafka.missing());
    for library in IDEMPOTENT {
        need!(library.missing());
    }
    let rounds = std::env::var("KAFKA_RS_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut broker = Restarting::start(SETTINGS);
    let address = broker.address().to_owned();
    let mut group = Driver::start(Library::Confluent, &address);
    group.create_topic(PLAIN, IDEMPOTENT.len(), json!({}));
    group.create_topic(TRANSACTIONS, 2, json!({}));
    for member in ["a", "b"] {
        // librdkafka reads committed records alone, unless it is told otherwise.
        group.call(json!({"op": "join", "id": member, "group": "g", "topics": [TRANSACTIONS]}));
    }
    let (told, done) = (Mutex::new(Told::default()), AtomicBool::new(false));
    let mut received = BTreeMap::new();
    std::thread::scope(|scope| {
        let (told, done, address) = (&told, &done, &address);
        for (partition, library) in IDEMPOTENT.into_iter().enumerate() {
            scope.spawn(move || produce(library, partition, address, told, done));
        }
        for library in TRANSACTIONAL {
            scope.spawn(move || transact(library, address, told, done));
        }
        // Whatever ends this ends the writers too.
        let _ending = Ending(done);
        let mut checked = 0;
        for round in 0..rounds {
            let before = told.lock().unwrap().calls.clone();
            wait_for("every client to get on", WITHIN, || {
                let calls = told.lock().unwrap().calls.clone();
                let goes_on = |(client, count): (&String, &usize)| *count > before.get(client).copied().unwrap_or(0);
                let all = IDEMPOTENT.len() + TRANSACTIONAL.len();
                (calls.len() == all && calls.iter().all(goes_on)).then_some(())
            });
            std::thread::sleep(Duration::from_millis(fastrand::u64(..500)));
            broker.kill();
            let acknowledged = told.lock().unwrap().acknowledged.clone();
            broker.start_again();
            check_since(address, &acknowledged[checked..], &format!("round {round}"));
            checked = acknowledged.len();
            take(&mut group, &mut received);
        }
    });
    let told = told.into_inner().unwrap();
    let found = by_place(kcat_records(&address, PLAIN));
    assert_there(&found, &told.acknowledged, "in the end");

    // librdkafka, with only what is committed.
    let committed: Vec<Placed> = told.committed.concat();
    let read = json!({
        "op": "consume", "topics": [TRANSACTIONS], "count": committed.len(), "timeout_ms": 30_000, "isolation": "read_committed",
    });
    let visible = by_place(Record::list(&group.call(read)));
    assert_there(&visible, &committed, "committed");
    let values: BTreeSet<&String> = visible.values().collect();
    assert!(!told.aborted.iter().any(|value| values.contains(value)), "of an aborted transaction");
    let mut known = committed.len();
    for values_of_one in &told.unsure {
        let there = values_of_one.iter().filter(|value| values.contains(value)).count();
        assert!([0, values_of_one.len()].contains(&there), "{there} of {values_of_one:?}");
        known += there;
    }
    assert_eq!(visible.len(), known, "from nowhere");
    wait_for("the group to have all", WITHIN, || {
        take(&mut group, &mut received);
        (received.len() >= visible.len()).then_some(())
    });
    assert_eq!(received, visible);
    for member in ["a", "b"] {
        group.call(json!({"op": "leave", "id": member}));
    }

    broker.kill();
    broker.start_again();
    let data = broker.stop();
    check_data_directory(data);
    check_indexes(data);
    let check = Command::new(env!("CARGO_BIN_EXE_kafka-rs")).args(["storage", "check"]).arg(data).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    assert!(told.acknowledged.len() > 300 * rounds && told.committed.len() > rounds, "next to nothing was written");
}

/// The leader of each partition as kcat sees it, -1 for none.
fn leaders(address: &str) -> Vec<i64> {
    let listed: Value = serde_json::from_str(&kcat(address, &["-L", "-J", "-t", PLAIN], "").succeed().stdout).unwrap();
    let mut partitions = listed["topics"][0]["partitions"].as_array().unwrap().clone();
    partitions.sort_by_key(|partition| partition["partition"].as_i64());
    partitions.iter().map(|partition| partition["leader"].as_i64().unwrap()).collect()
}

/// Goal: clients that write to a disk while it becomes full hear of it, those that write to another one do not; after room was made and a
/// restart they go on by themselves, and all that was acknowledged is there, once.
#[test]
fn a_full_disk_under_other_clients() {
    need!(kcat_missing());
    for library in IDEMPOTENT {
        need!(library.missing());
    }
    let temp = tempfile::tempdir().unwrap();
    let (good, small) = (temp.path().join("good"), temp.path().join("small"));
    let disk = SmallDisk::mount(&small, 256 << 20).unwrap();
    let listener = format!("listeners=PLAINTEXT://127.0.0.1:{}", free_port());
    let log_dirs = format!("log.dirs={},{}", good.display(), small.display());
    let settings = [SETTINGS, &[&listener, &log_dirs]].concat();
    let broker = disk.start(&settings);
    let address = broker.address().to_owned();
    Driver::start(Library::Confluent, &address).create_topic(PLAIN, 2 * IDEMPOTENT.len(), json!({}));
    let is_good = |partition: usize| good.join(format!("{PLAIN}-{partition}")).is_dir();
    let (on_good, on_small): (Vec<usize>, Vec<usize>) = (0..2 * IDEMPOTENT.len()).partition(|n| is_good(*n));
    assert_eq!(on_good.len(), on_small.len());
    let (told, done) = (Mutex::new(Told::default()), AtomicBool::new(false));
    let broker = std::thread::scope(|scope| {
        let (told, done, address) = (&told, &done, &address);
        let on_one_of_each = on_small.iter().zip(IDEMPOTENT).chain([(&on_good[0], Library::Confluent)]);
        for (partition, library) in on_one_of_each {
            scope.spawn(move || produce(library, *partition, address, told, done));
        }
        let _ending = Ending(done);
        let get_on = |at_least: usize| {
            let before = told.lock().unwrap().calls.clone();
            wait_for("the clients to get on", WITHIN, || {
                let calls = told.lock().unwrap().calls.clone();
                let goes_on =
                    |(client, count): &(&String, &usize)| **count > before.get(*client).copied().unwrap_or(0) + 1;
                (calls.iter().filter(goes_on).count() >= at_least).then_some(())
            });
        };
        get_on(4);
        disk.fill();
        wait_for("the disk to be given up", WITHIN, || {
            let leaders = leaders(address);
            on_small.iter().all(|n| leaders[*n] == -1).then_some(())
        });
        assert!(on_good.iter().all(|n| leaders(address)[*n] != -1));
        get_on(1);
        let to_full = on_small[0].to_string();
        let arguments = ["-P", "-t", PLAIN, "-p", &to_full, "-X", "message.timeout.ms=2000"];
        let refused = kcat(address, &arguments, "into a full disk\n");
        assert!(refused.code != Some(0) && refused.stderr.contains("Delivery failed"), "{refused:?}");
        broker.stop();
        disk.make_room();
        let broker = disk.start(&settings);
        get_on(4);
        broker
    });
    let found = by_place(kcat_records(&address, PLAIN));
    assert_there(&found, &told.into_inner().unwrap().acknowledged, "in the end");
    assert!(!found.values().any(|value| value == "into a full disk"));
    broker.stop();
    let check =
        format!("'{}' storage check '{}' '{}'", env!("CARGO_BIN_EXE_kafka-rs"), good.display(), small.display());
    assert!(disk.run(&check));
}

/// Ends the writers, also when the test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
