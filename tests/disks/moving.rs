//! Partitions that move between directories while they are written to.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::directories::{
    Two, WITHIN, end_offset, holders, log_dirs, move_to, partitions_of, set_on_broker, stop, wait_until_in, write,
};
use crate::support::wait_for;
use crate::wire::{Wire, batch_of};

/// Goal: moving a partition costs no writer or reader anything, and the errors are Kafka's.
/// Method: a writer and a reader go on while the partition goes there and back.
#[test]
fn a_partition_moves_while_it_is_written_to() {
    let two = Two::new();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[("segment.bytes", "1048576")]);
    let (a, b) = (two.path("a"), two.path("b"));
    let first = holders(&mut wire, "t", 0).remove(0).0;
    let other = if first == a { &b } else { &a };
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut wire = Wire::connect(broker.address());
            let filler = "x".repeat(2000);
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                let values: Vec<_> = (written..written + 10).map(|n| format!("{n} {filler}")).collect();
                let answer = wire.produce("t", 0, Some(batch_of(&values))).unwrap();
                assert_eq!((answer.error_code, answer.base_offset), (0, written), "{:?}", answer.error_message);
                written += 10;
                // A reader of the test's own takes longer for all of it than the broker.
                std::thread::sleep(Duration::from_millis(1));
            }
            written
        });
        wait_for("something to move", WITHIN, || (end_offset(&mut wire, "t", 0).1 > 1000).then_some(()));
        for to in [other, &first, other] {
            assert_eq!(move_to(&mut wire, "t", 0, to), 0);
            wait_until_in(&mut wire, "t", 0, to);
        }
        // A move that is under way is given up for one back to where the log is.
        assert_eq!(move_to(&mut wire, "t", 0, &first), 0);
        assert_eq!(move_to(&mut wire, "t", 0, other), 0);
        wait_for("one log", WITHIN, || (holders(&mut wire, "t", 0).len() == 1).then_some(()));
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let found = wire.read_all("t", 0);
    assert_eq!(found.len() as i64, written);
    for (number, value) in found.iter().enumerate() {
        assert!(value.starts_with(format!("{number} ").as_bytes()), "record {number}");
    }
    const LOG_DIR_NOT_FOUND: i16 = 57;
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    assert_eq!(move_to(&mut wire, "t", 0, Path::new("/nowhere")), LOG_DIR_NOT_FOUND);
    assert_eq!(move_to(&mut wire, "t", 1, &a), UNKNOWN_TOPIC_OR_PARTITION);
    // What is not there yet is made where it was asked for.
    for (topic, dir) in [("u", &b), ("v", &a), ("w", &b)] {
        assert_eq!(move_to(&mut wire, topic, 0, dir), UNKNOWN_TOPIC_OR_PARTITION);
        wire.create_topic(topic, 1, &[]);
        assert_eq!(holders(&mut wire, topic, 0), [(dir.clone(), false)]);
    }
    let place = holders(&mut wire, "t", 0);
    stop(broker);
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(holders(&mut wire, "t", 0), place);
    assert_eq!(end_offset(&mut wire, "t", 0), (0, written));
    assert!((0..1).all(|n| partitions_of(&mut wire, "t")[n].leader_id == 1));
    stop(broker);
}

/// Goal: a broker that is killed in the middle of a move loses nothing that it has acknowledged, has it once, and goes on with the move.
/// Method: a writer goes on while the partition is moved to and fro; the broker is killed at a random moment and started again.
#[test]
fn a_killed_broker_goes_on_with_a_move() {
    let two = Two::new();
    let seed = std::env::var("CRASH_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut acknowledged, mut sent) = (0usize, 0usize);
    let dirs = [two.path("a"), two.path("b")];
    let mut target = None;
    for round in 0..16 {
        let context = format!("CRASH_SEED={seed}, round {round}");
        let broker = two.start();
        let mut wire = Wire::connect(broker.address());
        if round == 0 {
            wire.create_topic("t", 1, &[("segment.bytes", "1048576")]);
        }
        let found = wire.read_all("t", 0);
        for (number, value) in found.iter().enumerate() {
            assert!(value.starts_with(format!("{number} ").as_bytes()), "{context}: record {number} is {value:?}");
        }
        assert!(
            (acknowledged..=sent).contains(&found.len()),
            "{context}: {} records, {acknowledged} acknowledged, {sent} sent",
            found.len()
        );
        acknowledged = found.len();
        if let Some(target) = target.take() {
            // What had begun comes to its end; a move that was not durable yet is none.
            wait_for("the move to end", WITHIN, || (holders(&mut wire, "t", 0).len() == 1).then_some(()));
            assert!(dirs.contains(target), "{context}");
        }
        let here = holders(&mut wire, "t", 0).remove(0).0;
        let there = if here == dirs[0] { &dirs[1] } else { &dirs[0] };
        let killed = AtomicBool::new(false);
        let delay = Duration::from_millis(random.u64(0..120));
        (sent, acknowledged) = std::thread::scope(|scope| {
            let killed = &killed;
            // Before the broker can be gone.
            let mut writing = Wire::connect(broker.address());
            let writer = scope.spawn(move || {
                let (mut sent, mut acknowledged) = (acknowledged, acknowledged);
                let filler = "x".repeat(2000);
                while !killed.load(Ordering::Relaxed) {
                    let values: Vec<_> = (sent..sent + 10).map(|n| format!("{n} {filler}")).collect();
                    sent += 10;
                    match writing.produce("t", 0, Some(batch_of(&values))) {
                        Ok(answer) => {
                            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
                            acknowledged = sent;
                        }
                        Err(_) => break,
                    }
                }
                (sent, acknowledged)
            });
            std::thread::sleep(Duration::from_millis(random.u64(0..100)));
            assert_eq!(move_to(&mut wire, "t", 0, there), 0, "{context}");
            std::thread::sleep(delay);
            broker.kill();
            killed.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        target = Some(there);
    }
    assert!(acknowledged > 500, "the test wrote next to nothing");
}

/// Goal: `replica.alter.log.dirs.io.max.bytes.per.second` holds moves up and nothing else, a change of it counts at once, and neither a
/// broker that stops nor a move that is given up waits for it.
#[test]
fn moves_are_throttled() {
    const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
    let two = Two::new();
    let (a, b) = (two.path("a"), two.path("b"));
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(move_to(&mut wire, "t", 0, &a), 3, "to be made there");
    wire.create_topic("t", 1, &[]);
    let large = "x".repeat(900_000);
    for _ in 0..5 {
        assert_eq!(write(&mut wire, "t", 0, &large), 0);
    }
    // Hours for the first of the pieces.
    assert_eq!(set_on_broker(&mut wire, RATE, Some("50")), 0);
    let under_way = [(a.clone(), false), (b.clone(), true)];
    let copied = |wire: &mut Wire| {
        let dirs = log_dirs(wire).results;
        let copy =
            dirs.iter().flat_map(|dir| &dir.topics).flat_map(|topic| &topic.partitions).find(|p| p.is_future_key);
        copy.map_or(0, |copy| copy.partition_size)
    };
    assert_eq!(move_to(&mut wire, "t", 0, &b), 0);
    let first = wait_for("the first piece", WITHIN, || Some(copied(&mut wire)).filter(|bytes| *bytes > 0));
    for n in 0..200 {
        assert_eq!(write(&mut wire, "t", 0, &n.to_string()), 0);
    }
    assert_eq!(holders(&mut wire, "t", 0), under_way);
    assert_eq!(copied(&mut wire), first);
    // One back to where it is ends it; another one begins anew, with what was copied before still to be paid.
    assert_eq!(move_to(&mut wire, "t", 0, &a), 0);
    assert_eq!(holders(&mut wire, "t", 0), under_way[..1]);
    assert_eq!(move_to(&mut wire, "t", 0, &b), 0);
    wait_for("another first piece", WITHIN, || (copied(&mut wire) > 0).then_some(()));
    assert_eq!(holders(&mut wire, "t", 0), under_way);
    stop(broker);

    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(holders(&mut wire, "t", 0), under_way);
    wait_for("the move to go on", WITHIN, || (copied(&mut wire) > first).then_some(()));
    assert_eq!(holders(&mut wire, "t", 0), under_way);
    assert_eq!(set_on_broker(&mut wire, RATE, Some("1000000000")), 0);
    wait_until_in(&mut wire, "t", 0, &b);
    assert_eq!(wire.read_all("t", 0).len(), 205);
    stop(broker);
}
