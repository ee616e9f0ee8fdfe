//! A broker that is killed loses nothing that it has acknowledged.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::Broker;
use wire::{Wire, batch_of};

/// Goal: after kill -9 in the middle of a produce run every acknowledged record is there, in order, once.
/// Method: two connections write numbered records to a partition each, and note what was acknowledged; the broker is killed at a random
/// moment and started again on the same directory. Ten times over the same data, with small segments, so that rolling is hit too.
#[test]
fn acknowledged_records_survive_a_killed_broker() {
    let data = tempfile::tempdir().unwrap();
    let seed = std::env::var("CRASH_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut acknowledged = [0usize; 2];
    let mut sent = [0usize; 2];
    for round in 0..10 {
        let context = format!("CRASH_SEED={seed}, round {round}");
        let broker = Broker::start_in(data.path(), &[]);
        let address = broker.address().to_owned();
        let mut control = Wire::connect(&address);
        if round == 0 {
            control.create_topic("crash", 2, &[("segment.bytes", "1048576")]);
        }
        for partition in 0..2 {
            let found = control.read_all("crash", partition as i32);
            for (number, value) in found.iter().enumerate() {
                let expected = format!("{number} ");
                assert!(value.starts_with(expected.as_bytes()), "{context}: record {number} is {value:?}");
            }
            assert!(
                (acknowledged[partition]..=sent[partition]).contains(&found.len()),
                "{context}: {} records, {} acknowledged, {} sent",
                found.len(),
                acknowledged[partition],
                sent[partition],
            );
            // What was written without being acknowledged stays: the next numbers follow it.
            (acknowledged[partition], sent[partition]) = (found.len(), found.len());
        }
        let killed = AtomicBool::new(false);
        let delay = Duration::from_millis(random.u64(20..150));
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|partition| {
                    let (killed, start) = (&killed, acknowledged[partition]);
                    let mut random = random.fork();
                    // Before the broker can be gone.
                    let mut wire = Wire::connect(&address);
                    scope.spawn(move || {
                        let (mut sent, mut acknowledged) = (start, start);
                        while !killed.load(Ordering::Relaxed) {
                            let count = random.usize(1..20);
                            let filler = "x".repeat(random.usize(0..2000));
                            let values: Vec<_> = (sent..sent + count).map(|n| format!("{n} {filler}")).collect();
                            sent += count;
                            match wire.produce("crash", partition as i32, Some(batch_of(&values))) {
                                Ok(answer) => {
                                    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
                                    acknowledged = sent;
                                }
                                Err(_) => break,
                            }
                        }
                        (sent, acknowledged)
                    })
                })
                .collect();
            std::thread::sleep(delay);
            broker.kill();
            killed.store(true, Ordering::Relaxed);
            for (partition, writer) in writers.into_iter().enumerate() {
                (sent[partition], acknowledged[partition]) = writer.join().unwrap();
            }
        });
    }
    assert!(acknowledged.iter().sum::<usize>() > 100, "the test wrote next to nothing");
}
