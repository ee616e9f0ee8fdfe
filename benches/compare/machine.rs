//! Whether the machine is there for us. A virtual one that gets no turn from its host stalls every program on it, and what was written
//! before is still being written: neither says anything about a server.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::open_loop::{Latencies, percentiles};

const SLEEP: Duration = Duration::from_millis(1);
/// How long it is looked at before it counts as calm.
const LOOK: Duration = Duration::from_secs(1);
const APPENDED: usize = 1024;
/// Of a calm machine: 99 of 100 sleeps end this little late, and as many writes are as quick.
const CALM_MS: f64 = 2.0;
/// Some are never calm.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that does next to nothing: it sleeps, and appends a little to a file. How late it is woken and how long it waits for the file
/// is what no server beside it can be better than.
pub struct Bystander {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Waits>,
}

/// Milliseconds, the shortest first. Who has to wait can't look at the clock meanwhile: what it would have met with then counts too, as
/// if it had come every `SLEEP`, else one wait of 100 ms would be one of 1,000 and not a tenth of the time.
#[derive(Default)]
pub struct Waits {
    /// To be woken, after the time that was asked for.
    pub woken: Latencies,
    /// For a write to return.
    pub written: Latencies,
}

/// Adds a wait, and those of who would have come while it lasted.
fn add(waits: &mut Latencies, wait: Duration) {
    let mut left = Some(wait);
    while let Some(wait) = left {
        waits.push(wait.as_secs_f64() * 1e3);
        left = wait.checked_sub(SLEEP);
    }
}

impl Bystander {
    /// Makes a file of its own in `dir`.
    pub fn start(dir: &Path) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let path = dir.join("bystander");
        let thread = thread::spawn(move || {
            let mut file = File::create(&path).unwrap();
            let mut waits = Waits::default();
            while !told.load(Ordering::Relaxed) {
                let begin = Instant::now();
                thread::sleep(SLEEP);
                let woken = Instant::now();
                file.write_all(&[b'b'; APPENDED]).unwrap();
                add(&mut waits.written, woken.elapsed());
                add(&mut waits.woken, woken.duration_since(begin).saturating_sub(SLEEP));
            }
            fs::remove_file(&path).unwrap();
            waits.woken.sort_by(f64::total_cmp);
            waits.written.sort_by(f64::total_cmp);
            waits
        });
        Self { enough, thread }
    }

    /// What it met with.
    pub fn stop(self) -> Waits {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Waits until all is on the disk and the machine is calm, but not for ever.
pub fn settle(dir: &Path) {
    rustix::fs::sync();
    let begin = Instant::now();
    while !is_calm(dir) && begin.elapsed() < PATIENCE {}
}

fn is_calm(dir: &Path) -> bool {
    let bystander = Bystander::start(dir);
    thread::sleep(LOOK);
    let Waits { woken, written } = bystander.stop();
    let p99 =
        |waits: &Latencies| percentiles(waits).into_iter().find(|(name, _)| *name == "p99").map_or(0.0, |(_, ms)| ms);
    p99(&woken) < CALM_MS && p99(&written) < CALM_MS
}
