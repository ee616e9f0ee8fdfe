//! Many connections at rest.

use std::thread;
use std::time::Duration;

use super::cases::Case;
use super::support::servers::connect;
use super::support::wire::Wire;
use super::work::Bench;

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
