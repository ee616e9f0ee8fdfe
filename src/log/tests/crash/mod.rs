//! A log on a disk that breaks, dies and loses its power, against a list of batches.
//!
//! A run is made from a number: settings, steps, and at which operation of the disk something happens. `KAFKA_RS_LOG_RUNS` says how
//! many there are, `KAFKA_RS_LOG_SEED` where they begin; a run that fails tells its number.

mod compaction;
pub(in crate::log) mod disk;
mod found;
mod model;
pub(in crate::log) mod run;

use std::panic::{self, AssertUnwindSafe};

use disk::{Break, EIO, ENOSPC};
use run::{Plan, run};

use model::Left;

pub(in crate::log) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `test` and says of which run a panic was.
fn told<T>(seed: u64, plan: &Plan, test: impl FnOnce() -> T) -> T {
    match panic::catch_unwind(AssertUnwindSafe(test)) {
        Ok(result) => result,
        Err(panic) => {
            eprintln!("run it again with KAFKA_RS_LOG_SEED={seed} KAFKA_RS_LOG_RUNS=1; {plan:?}");
            panic::resume_unwind(panic)
        }
    }
}

/// Any steps, any breaks.
#[test]
fn any_run_keeps_what_was_promised() {
    let first = number("KAFKA_RS_LOG_SEED").unwrap_or(1);
    let runs = number("KAFKA_RS_LOG_RUNS").unwrap_or(600);
    eprintln!("seeds from {first} on");
    for seed in (0..runs).map(|at| first.wrapping_add(at)) {
        told(seed, &Plan::Any, || run(seed, Plan::Any));
    }
}

/// Each operation of the disk breaks in turn.
#[test]
fn every_operation_may_break() {
    let first = number("KAFKA_RS_LOG_SEED").unwrap_or(1);
    let ways = [
        (Break::Fail(EIO), Left::Killed),
        (Break::Fail(EIO), Left::PowerCut),
        (Break::Fail(ENOSPC), Left::Killed),
        (Break::Short, Left::Killed),
        (Break::Stop, Left::Killed),
        (Break::Stop, Left::PowerCut),
    ];
    let operations = told(first, &Plan::None, || run(first, Plan::None));
    for at in 0..operations {
        for (what, left) in ways {
            let plan = Plan::Once { at, what, left };
            told(first, &plan, || run(first, plan));
        }
    }
}
