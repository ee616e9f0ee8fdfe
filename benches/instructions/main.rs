//! How many instructions fixed work takes: of the broker for a Produce and a Fetch request, of our clients for a record. Held against
//! `figures.json`; fails, and says which functions it is, where something takes more. Instructions are the same on a busy machine, times are not.
//!
//! `cargo bench --bench instructions` (builds with optimisations). Counted by valgrind's callgrind or, where that is missing, by `perf stat`; only user
//! space counts. `-- --accept` takes what was counted as the new figures, `-- --list` prints the cases, `-- --cases fetch-1k,consumer-1k`
//! chooses some. `KAFKA_RS_BENCH_BINARY`: another build of ours.
//!
//! Start reading at `cases.rs`, the table of what is done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints, and stops at the first surprise"
)]
#![allow(unreachable_pub, reason = "a module of a binary has no outside")]

mod cases;
mod counter;
mod figures;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use clap::Parser as _;

use cases::{CASES, Case};
use counter::Counter;
use figures::{Figures, Verdict};

/// Count the instructions of fixed work
#[derive(Debug, clap::Parser)]
struct Args {
    /// Take what was counted as the new figures
    #[arg(long)]
    accept: bool,
    /// Cases to do
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// List the cases
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    // Cargo says `--bench` to whatever it runs as a benchmark.
    let args = Args::parse_from(std::env::args().filter(|word| word != "--bench"));
    if args.list {
        CASES.iter().for_each(|case| println!("{:14} {}", case.name, case.what));
        return ExitCode::SUCCESS;
    }
    let Some(counter) = Counter::find() else {
        println!(
            "Nothing was counted: there is neither valgrind (`apt install valgrind`) nor a `perf stat` that can count \
             instructions here, which most virtual machines do not let it."
        );
        return ExitCode::FAILURE;
    };
    let mut figures = Figures::read(counter);
    println!("counted by {}; {}", counter.name(), figures.about());
    let mut has_grown = false;
    for case in chosen(&args.cases) {
        let counted = cases::count(counter, case);
        let verdict = figures.compare(case, &counted);
        println!("{:14} {:>12.0} for a {:7} {verdict}", case.name, counted.total, case.unit);
        has_grown |= matches!(verdict, Verdict::Grown { .. });
        if args.accept {
            figures.accept(case, &counted);
        }
    }
    if args.accept {
        figures.write();
        return ExitCode::SUCCESS;
    }
    if has_grown {
        println!("What has grown for a good reason is accepted with `cargo bench --bench instructions -- --accept`.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The cases of these names; all without any.
fn chosen(names: &[String]) -> Vec<&'static Case> {
    if names.is_empty() {
        return CASES.iter().collect();
    }
    let find = |name: &String| {
        CASES.iter().find(|case| case.name == *name).unwrap_or_else(|| panic!("there is no case {name}; try --list"))
    };
    names.iter().map(find).collect()
}
