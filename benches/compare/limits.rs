//! What the machine itself can do, in the same run: no broker can be better.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

use super::report::Figures;

const PIECE: usize = 64 << 10;
const GIB: f64 = (1 << 30) as f64;
/// Bytes that are moved to measure how fast that is.
const MOVED: usize = 1 << 30;
/// Of each, so that a median can be taken.
const ROUNDS: usize = 5;

/// What moving bytes took.
struct Took {
    wall: f64,
    cpu: f64,
}

/// Measures, and notes what it found.
pub fn measure(dir: &Path, figures: &mut Figures) {
    for _ in 0..ROUNDS {
        note(figures, "memory copy", &copy());
        note(figures, "CRC-32C", &crc());
        let file = dir.join("appended");
        note(figures, "append to the page cache", &append(&file));
        note(figures, "read from the page cache", &read(&file));
        let (sent, received) = loopback();
        note(figures, "loopback, sending", &sent);
        note(figures, "loopback, receiving", &received);
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

fn append(path: &Path) -> Took {
    let piece = vec![7_u8; PIECE];
    let mut file = File::create(path).unwrap();
    timed(|| (0..MOVED / PIECE).for_each(|_| file.write_all(&piece).unwrap()))
}

fn read(path: &Path) -> Took {
    let mut piece = vec![7_u8; PIECE];
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    timed(|| (0..MOVED / PIECE).for_each(|_| file.read_exact(&mut piece).unwrap()))
}

fn loopback() -> (Took, Took) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut piece = vec![0_u8; PIECE];
        timed(|| (0..MOVED / PIECE).for_each(|_| stream.read_exact(&mut piece).unwrap()))
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let piece = vec![7_u8; PIECE];
    let sent = timed(|| (0..MOVED / PIECE).for_each(|_| stream.write_all(&piece).unwrap()));
    (sent, receiver.join().unwrap())
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
