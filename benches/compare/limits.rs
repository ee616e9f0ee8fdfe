//! What the machine itself can do, in the same run: no broker can be better.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::fs::{Advice, fadvise, sendfile};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use super::report::Figures;

const PIECE: usize = 64 << 10;
/// A batch in the log, of `batch.size=65536`: it begins in the middle of a page, where the one before it ended.
const BATCH: usize = 65_261;
const GIB: f64 = (1 << 30) as f64;
/// Bytes that are moved to measure how fast that is.
const MOVED: usize = 1 << 30;
/// Of each, so that a median can be taken; fewer in a first look.
const ROUNDS: f64 = 5.0;

/// What moving bytes took.
struct Took {
    wall: f64,
    cpu: f64,
}

/// Measures, and notes what it found.
pub fn measure(dir: &Path, scale: f64, figures: &mut Figures) {
    for _ in 0..(ROUNDS * scale).ceil() as usize {
        note(figures, "memory copy", &copy());
        note(figures, "CRC-32C", &crc());
        note(figures, "CRC-32C, another core busy", &beside_another(crc));
        let file = dir.join("appended");
        note(figures, "append to the page cache, batch by batch", &append(&file, BATCH));
        let beside = beside_another(|| append(&file, BATCH));
        note(figures, "append to the page cache, batch by batch, another core busy", &beside);
        note(figures, "append to the page cache, by whole pages", &append(&file, PIECE));
        note(figures, "read from the page cache", &read(&file));
        let (sent, received) = loopback();
        note(figures, "loopback, sending", &sent);
        note(figures, "loopback, receiving", &received);
        for (way, serve) in SERVING {
            note(figures, &format!("from the page cache to loopback, {way}"), &serve_file(&file, *serve));
            forget(&file);
            note(figures, &format!("from the disk to loopback, {way}"), &serve_file(&file, *serve));
        }
        forget(&file);
        note(figures, "read from the disk", &read(&file));
        fs::remove_file(&file).unwrap();
    }
    for (percentile, ms) in flushes(&dir.join("flushed")) {
        figures.limit(&format!("fdatasync of 1 KB, {percentile}"), "ms", ms);
    }
}

fn note(figures: &mut Figures, what: &str, took: &Took) {
    figures.limit(what, "GiB/s", MOVED as f64 / GIB / took.wall);
    figures.limit(what, "CPU s/GiB", took.cpu * GIB / MOVED as f64);
}

/// Nanoseconds that this thread has run, in seconds.
fn thread_cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap() / 1e9
}

fn timed(work: impl FnOnce()) -> Took {
    let (begin, cpu) = (Instant::now(), thread_cpu());
    work();
    Took { wall: begin.elapsed().as_secs_f64(), cpu: thread_cpu() - cpu }
}

fn copy() -> Took {
    // Larger than the processor's caches.
    let from = vec![1_u8; 256 << 20];
    let mut to = vec![2_u8; from.len()];
    timed(|| {
        for _ in 0..MOVED / from.len() {
            to.copy_from_slice(&from);
            std::hint::black_box(&mut to);
        }
    })
}

fn crc() -> Took {
    let piece = vec![7_u8; PIECE];
    timed(|| {
        for _ in 0..MOVED / PIECE {
            std::hint::black_box(crc32c::crc32c(std::hint::black_box(&piece)));
        }
    })
}

/// What work takes while another core is as busy as a client keeps it: the two share caches, and on many machines a core.
fn beside_another(work: impl FnOnce() -> Took) -> Took {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (from, mut to) = (vec![1_u8; PIECE], vec![2_u8; PIECE]);
            while !is_over.load(Ordering::Relaxed) {
                to.copy_from_slice(&from);
                std::hint::black_box(crc32c::crc32c(std::hint::black_box(&to)));
            }
        });
        let took = work();
        is_over.store(true, Ordering::Relaxed);
        took
    })
}

fn append(path: &Path, size: usize) -> Took {
    let piece = vec![7_u8; size];
    let mut file = File::create(path).unwrap();
    timed(|| (0..MOVED / size).for_each(|_| file.write_all(&piece).unwrap()))
}

fn read(path: &Path) -> Took {
    let mut piece = vec![7_u8; PIECE];
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    timed(|| (0..MOVED / PIECE).for_each(|_| file.read_exact(&mut piece).unwrap()))
}

fn loopback() -> (Took, Took) {
    let (mut stream, receiver) = receiver();
    let piece = vec![7_u8; PIECE];
    let sent = timed(|| (0..MOVED / PIECE).for_each(|_| stream.write_all(&piece).unwrap()));
    (sent, receiver.join().unwrap())
}

/// A connection whose other end takes what is moved.
fn receiver() -> (TcpStream, JoinHandle<Took>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut piece = vec![0_u8; PIECE];
        timed(|| (0..MOVED / PIECE).for_each(|_| stream.read_exact(&mut piece).unwrap()))
    });
    (TcpStream::connect(address).unwrap(), receiver)
}

/// How a piece of a file, from a position on, comes into a socket.
type Serve = fn(&File, u64, &mut TcpStream);

/// The ways that there are, of which the broker goes the first.
const SERVING: &[(&str, Serve)] =
    &[("pread and send", pread_and_send), ("sendfile", by_sendfile), ("splice", by_splice)];
/// What a consumer asks of a partition by default.
const ANSWER: usize = 1 << 20;

fn serve_file(path: &Path, serve: Serve) -> Took {
    let (mut stream, receiver) = receiver();
    let file = File::open(path).unwrap();
    let took = timed(|| (0..MOVED / ANSWER).for_each(|number| serve(&file, (number * ANSWER) as u64, &mut stream)));
    receiver.join().unwrap();
    took
}

fn pread_and_send(file: &File, position: u64, stream: &mut TcpStream) {
    let mut answer = vec![0; ANSWER];
    file.read_exact_at(&mut answer, position).unwrap();
    stream.write_all(&answer).unwrap();
}

fn by_sendfile(file: &File, mut position: u64, stream: &mut TcpStream) {
    let end = position + ANSWER as u64;
    while position < end {
        let left = (end - position) as usize;
        assert!(sendfile(&*stream, file, Some(&mut position), left).unwrap() > 0);
    }
}

fn by_splice(file: &File, mut position: u64, stream: &mut TcpStream) {
    let (out, into) = pipe_with(PipeFlags::empty()).unwrap();
    let end = position + ANSWER as u64;
    while position < end {
        let left = (end - position) as usize;
        let mut piped = splice(file, Some(&mut position), &into, None, left, SpliceFlags::MOVE).unwrap();
        assert!(piped > 0);
        while piped > 0 {
            piped -= splice(&out, None, &*stream, None, piped, SpliceFlags::MOVE | SpliceFlags::MORE).unwrap();
        }
    }
}

/// Has the system forget the contents of a file, once they are on the disk.
pub fn forget(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
}

/// Milliseconds until a kilobyte that was appended is on the disk.
fn flushes(path: &Path) -> [(&'static str, f64); 2] {
    let mut file = File::create(path).unwrap();
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            let begin = Instant::now();
            file.write_all(&[7; 1024]).unwrap();
            file.sync_data().unwrap();
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    fs::remove_file(path).unwrap();
    [("p50", times[times.len() / 2]), ("p99", times[times.len() * 99 / 100])]
}
