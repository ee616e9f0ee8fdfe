//! Many connections: at rest, and all of them asking for as much as they may.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::cases::Case;
use super::support::servers::{address, connect};
use super::support::wire::{Wire, batch_of};
use super::work::Bench;

/// `socket.request.max.bytes`, by default.
const LARGEST_REQUEST: u32 = 100 << 20;
/// How long the overload lasts.
const OVERLOAD: Duration = Duration::from_secs(20);
/// There are a thousand of them, which do next to nothing.
const STACK_BYTES: usize = 128 << 10;

/// Connections that have shown themselves and then ask for nothing.
pub fn idle(bench: &mut Bench<'_>, case: &Case, count: usize) {
    let before = bench.server.taken();
    let connections: Vec<Wire> = (0..count)
        .map(|_| {
            let mut wire = connect();
            assert!(wire.is_served());
            wire
        })
        .collect();
    let all = bench.server.taken();
    thread::sleep(Duration::from_secs(5));
    let after = bench.server.taken();
    bench.add(case, "", "broker CPU for each", "ms", (all.cpu - before.cpu) / count as f64 * 1e3);
    bench.add(
        case,
        "",
        "memory for each",
        "KiB",
        (after.resident_kb as f64 - before.resident_kb as f64) / count as f64,
    );
    bench.add(case, "", "CPU of all at rest", "cores", (after.cpu - all.cpu) / (after.wall - all.wall).as_secs_f64());
    drop(connections);
}

/// Connections that each send a request of the largest size, while one more goes on with its small ones.
pub fn overload(bench: &mut Bench<'_>, case: &Case, count: usize) {
    bench.create("overload", 1);
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = bench.server.taken();
    let answered = thread::scope(|scope| {
        for _ in 0..count {
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || flood(&is_over, &sent)).unwrap();
        }
        let answered = go_on(&is_over);
        is_over.store(true, Ordering::Relaxed);
        answered
    });
    let after = bench.server.try_taken();
    let lives = after.is_some();
    bench.add(case, "", "server lives", "of 1", f64::from(u8::from(lives)));
    bench.add(case, "", "taken of the large requests", "MiB", sent.load(Ordering::Relaxed) as f64 / f64::from(1 << 20));
    if let Some(after) = after {
        bench.add(case, "", "memory before", "MiB", before.resident_kb as f64 / 1024.0);
        bench.add(case, "", "memory at most", "MiB", after.peak_kb as f64 / 1024.0);
    }
    bench.add(
        case,
        "",
        "small requests answered meanwhile",
        "requests/s",
        answered.len() as f64 / OVERLOAD.as_secs_f64(),
    );
    if let Some(worst) = answered.iter().max() {
        bench.add(case, "", "longest of them", "ms", worst.as_secs_f64() * 1e3);
    }
}

/// Begins a produce request of the largest size, and sends of it what is taken.
fn flood(is_over: &AtomicBool, sent: &AtomicU64) {
    let Ok(mut stream) = TcpStream::connect(address()) else { return };
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // Length, Produce in version 9, correlation id, a client id of one letter, no tags.
    let head = [&LARGEST_REQUEST.to_be_bytes()[..], &[0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b'o', 0]].concat();
    if stream.write_all(&head).is_err() {
        return;
    }
    let piece = vec![0; 64 << 10];
    let mut left = LARGEST_REQUEST as usize - (head.len() - 4);
    while left > 0 && !is_over.load(Ordering::Relaxed) {
        match stream.write(&piece[..piece.len().min(left)]) {
            Ok(taken) => {
                left -= taken;
                sent.fetch_add(taken as u64, Ordering::Relaxed);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // Cut off, which is a server's right.
            Err(_) => return,
        }
    }
    // What was sent whole stays until the others have had their time.
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
    }
}

/// One small record after the other on one connection; how long each took.
fn go_on(is_over: &AtomicBool) -> Vec<Duration> {
    let begin = Instant::now();
    let (batch, mut times) = (batch_of(&["x"]), Vec::new());
    let Ok(stream) = TcpStream::connect(address()) else { return times };
    drop(stream);
    let mut wire = connect();
    while begin.elapsed() < OVERLOAD && !is_over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        match wire.produce("overload", 0, Some(batch.clone())) {
            Ok(_) => times.push(sent.elapsed()),
            Err(_) => break,
        }
    }
    // The others go on for as long, whatever became of this one.
    thread::sleep(OVERLOAD.saturating_sub(begin.elapsed()));
    times
}
