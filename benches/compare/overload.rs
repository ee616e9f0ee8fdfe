//! More than a server can take: what it keeps of that in memory, and how others fare meanwhile.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::frame::request_frame;
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_rs::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_rs::protocol::messages::{FetchRequest, ProduceRequest};

use super::cases::{Case, TooMuch};
use super::support::servers::{address, connect, wait_for_leader};
use super::support::wire::{Wire, batch_of};
use super::work::Bench;

/// `socket.request.max.bytes`, by default.
const LARGEST_REQUEST: u32 = 100 << 20;
/// `fetch.max.bytes`, by default.
const LARGEST_ANSWER: i32 = 50 << 20;
/// How long it lasts.
const OVERLOAD: Duration = Duration::from_secs(20);
/// There are a thousand of them, which do next to nothing.
const STACK_BYTES: usize = 128 << 10;
/// What an earlier case left may take a server as long.
const RECOVERY: Duration = Duration::from_secs(120);
/// How often who waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// What the connections that are too much do.
struct Attack {
    /// The whole of a request, or the beginning of one that ends in zeros.
    request: Vec<u8>,
    kind: TooMuch,
    is_over: AtomicBool,
    /// Bytes of requests that were taken, or of answers.
    moved: AtomicU64,
}

/// So many connections that ask for too much, while two more go on: one produces small records, one asks for nothing that is stored.
pub fn overload(bench: &mut Bench<'_>, case: &Case, kind: TooMuch, count: usize) {
    if bench.server.try_taken().is_none() {
        return; // An earlier one was too much.
    }
    let answers = makes_topics(case, kind);
    bench.add(case, "", "answers beforehand", "of 1", f64::from(u8::from(answers)));
    if !answers {
        return;
    }
    bench.server.forget_peak();
    let before = bench.server.taken();
    let request = prepare(case, kind);
    let attack = Attack { request, kind, is_over: AtomicBool::new(false), moved: AtomicU64::new(0) };
    let answered = thread::scope(|scope| {
        for _ in 0..count {
            // A connection that ends early was cut off, which is a server's right.
            let run = || drop(attack.run());
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run).unwrap();
        }
        let (batch, topic) = (batch_of(&["x"]), small_topic(case));
        let asking = scope.spawn(|| go_on(|wire| wire.is_served()));
        let producing = go_on(|wire| wire.produce(&topic, 0, Some(batch.clone())).is_ok());
        let answered = [("small records", producing), ("requests without records", asking.join().unwrap())];
        attack.is_over.store(true, Ordering::Relaxed);
        answered
    });
    let after = bench.server.try_taken();
    bench.add(case, "", "server lives", "of 1", f64::from(u8::from(after.is_some())));
    let moved = attack.moved.load(Ordering::Relaxed) as f64 / f64::from(1 << 20);
    let what = if kind == TooMuch::SlowConsumers { "taken of answers" } else { "taken of requests" };
    bench.add(case, "", what, "MiB", moved);
    if let Some(after) = after {
        bench.add(case, "", "memory before", "MiB", before.resident_kb as f64 / 1024.0);
        bench.add(case, "", "memory at most", "MiB", after.peak_kb as f64 / 1024.0);
    }
    for (what, times) in answered {
        let a_second = times.len() as f64 / OVERLOAD.as_secs_f64();
        bench.add(case, "", &format!("{what} answered meanwhile"), "requests/s", a_second);
        if let Some(worst) = times.iter().max() {
            bench.add(case, "", &format!("longest of the {what}"), "ms", worst.as_secs_f64() * 1e3);
        }
    }
}

/// Makes the topics, once what came before is dealt with; or gives up.
fn makes_topics(case: &Case, kind: TooMuch) -> bool {
    let configs: &[_] = if kind == TooMuch::SlowDisk { &[("flush.messages", "1")] } else { &[] };
    let is_there = |topic: &str, configs| {
        let made = connect().try_create_topic(topic, 1, configs);
        // An attempt may have been worked off after nobody waited for it any longer.
        matches!(made, Ok((ErrorCode::None | ErrorCode::TopicAlreadyExists, _)))
    };
    let begin = Instant::now();
    while begin.elapsed() < RECOVERY {
        if TcpStream::connect(address()).is_ok() && is_there(&small_topic(case), &[]) && is_there(case.name, configs) {
            wait_for_leader(&small_topic(case));
            wait_for_leader(case.name);
            return true;
        }
        thread::sleep(LOOK);
    }
    false
}

fn small_topic(case: &Case) -> String {
    format!("{}-small", case.name)
}

/// The request that is too much of it.
fn prepare(case: &Case, kind: TooMuch) -> Vec<u8> {
    let mut wire = connect();
    let megabyte = batch_of(&vec![vec![b'v'; 1000]; 1000]);
    match kind {
        // Length, Produce in version 9, correlation id, a client id of one letter, no tags; then zeros.
        TooMuch::LargestRequests => {
            [&LARGEST_REQUEST.to_be_bytes()[..], &[0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b'o', 0]].concat()
        }
        TooMuch::SlowDisk => {
            let data = PartitionProduceData { records: Some(megabyte), ..Default::default() };
            let topic = TopicProduceData { name: case.name.into(), partition_data: vec![data], ..Default::default() };
            let request =
                ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: vec![topic], ..Default::default() };
            request_frame(&request, 12, 1, None).unwrap().concat()
        }
        TooMuch::SlowConsumers => {
            for _ in 0..LARGEST_ANSWER as usize / megabyte.len() + 1 {
                assert_eq!(wire.produce(case.name, 0, Some(megabyte.clone())).unwrap().error_code, 0);
            }
            let wanted = FetchPartition { partition_max_bytes: LARGEST_ANSWER, ..Default::default() };
            let topic =
                FetchTopic { topic_id: wire.topic_id(case.name), partitions: vec![wanted], ..Default::default() };
            let request = FetchRequest { max_bytes: LARGEST_ANSWER, topics: vec![topic], ..Default::default() };
            request_frame(&request, 17, 1, None).unwrap().concat()
        }
    }
}

impl Attack {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// One connection, as long as it is let.
    fn run(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address())?;
        stream.set_write_timeout(Some(4 * LOOK))?;
        stream.set_read_timeout(Some(4 * LOOK))?;
        match self.kind {
            TooMuch::LargestRequests => {
                self.send(&mut stream, &self.request)?;
                let zeros = vec![0; 64 << 10];
                let mut left = LARGEST_REQUEST as usize - (self.request.len() - 4);
                while left > 0 && !self.is_over() {
                    let piece = &zeros[..zeros.len().min(left)];
                    self.send(&mut stream, piece)?;
                    left -= piece.len();
                }
                // What was sent whole stays until the others have had their time.
                while !self.is_over() {
                    thread::sleep(LOOK);
                }
            }
            TooMuch::SlowDisk => {
                while !self.is_over() {
                    self.send(&mut stream, &self.request)?;
                    self.receive(&mut stream, &mut [0; 1])?;
                    stream.set_nonblocking(true)?;
                    // The rest of an answer, which is a few bytes.
                    while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
                    stream.set_nonblocking(false)?;
                }
            }
            TooMuch::SlowConsumers => {
                self.send(&mut stream, &self.request)?;
                while !self.is_over() {
                    self.receive(&mut stream, &mut [0; 4096])?;
                    thread::sleep(2 * LOOK);
                }
            }
        }
        Ok(())
    }

    /// Sends all of it, unless it is over before.
    fn send(&self, stream: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() && !self.is_over() {
            match stream.write(bytes) {
                Ok(taken) => {
                    bytes = &bytes[taken..];
                    if self.kind != TooMuch::SlowConsumers {
                        self.moved.fetch_add(taken as u64, Ordering::Relaxed);
                    }
                }
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes something of an answer, unless it is over before.
    fn receive(&self, stream: &mut TcpStream, bytes: &mut [u8]) -> std::io::Result<()> {
        while !self.is_over() {
            match stream.read(bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    if self.kind == TooMuch::SlowConsumers {
                        self.moved.fetch_add(read as u64, Ordering::Relaxed);
                    }
                    return Ok(());
                }
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// One request after the other on a connection of its own, as long as they are answered; how long each took.
fn go_on(ask: impl Fn(&mut Wire) -> bool) -> Vec<Duration> {
    let (begin, mut times) = (Instant::now(), Vec::new());
    let Ok(stream) = TcpStream::connect(address()) else { return times };
    drop(stream);
    let mut wire = connect();
    while begin.elapsed() < OVERLOAD {
        let sent = Instant::now();
        if !ask(&mut wire) {
            break;
        }
        times.push(sent.elapsed());
    }
    // The others go on for as long, whatever became of this one.
    thread::sleep(OVERLOAD.saturating_sub(begin.elapsed()));
    times
}
