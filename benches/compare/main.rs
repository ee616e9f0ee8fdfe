//! This broker beside Apache Kafka: the same work, the same clients and equal settings on the same machine in the same run. Prints, and writes
//! `figures.md`, `figures.json` and graphs; asserts nothing about them.
//!
//! `cargo bench --bench compare` (builds with optimisations). With `KAFKA_HOME` set, an Apache Kafka takes turns with ours, and its Java clients
//! drive both. `-- --quick` for a first look, `-- --list` for the cases, `-- --cases produce-1k,fetch` for some of them.
//! `KAFKA_RS_BENCH_DIR`: where the data goes, since the system's temporary directory may be no disk. `KAFKA_RS_BENCH_BINARY`: another build of ours.
//!
//! Start reading at `cases.rs`, the table of what is measured; `work.rs` does it, `clients.rs` runs the tools that it takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints, and stops at the first surprise"
)]
#![allow(unreachable_pub, reason = "a module of a binary has no outside")]

mod cases;
mod clients;
mod connections;
mod graph;
mod limits;
mod machine;
mod open_loop;
mod overload;
mod partitions;
mod report;
mod stored;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod work;

use std::path::PathBuf;

use clap::Parser as _;

use cases::{CASES, Case};
use report::Figures;
use support::servers::{Who, load_average};
use work::Bench;

/// Compare this broker with Apache Kafka
#[derive(Debug, clap::Parser)]
struct Args {
    /// How often each case is done by each server, in alternating order [default: 5, with --quick 1]
    #[arg(long)]
    repetitions: Option<usize>,
    /// A fifth of the work
    #[arg(long)]
    quick: bool,
    /// Cases to do
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// List the cases
    #[arg(long)]
    list: bool,
    /// Only draw the figures.json of that directory anew
    #[arg(long)]
    draw: bool,
    /// Where figures.md, figures.json and the graphs go
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/compare"))]
    out: PathBuf,
}

fn main() {
    // Cargo says `--bench` to whatever it runs as a benchmark.
    let args = Args::parse_from(std::env::args().filter(|word| word != "--bench"));
    if args.list {
        CASES.iter().for_each(|case| println!("{:20} {}", case.name, case.what));
        return;
    }
    if args.draw {
        return Figures::read(&args.out).write(&args.out);
    }
    let chosen = chosen(&args.cases);
    let (repetitions, scale) = if args.quick { (1, 0.2) } else { (5, 1.0) };
    let repetitions = args.repetitions.unwrap_or(repetitions);
    let base = std::env::var("KAFKA_RS_BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").into());
    let data = tempfile::tempdir_in(&base).unwrap();
    let mut figures = Figures::new(repetitions, scale);
    println!("limits of the machine, load average {}", load_average());
    limits::measure(data.path(), scale, &mut figures);
    for repetition in 0..repetitions {
        let mut servers = Who::all();
        if repetition % 2 == 1 {
            servers.reverse();
        }
        for who in servers {
            // What the one before has left to be written is not this one's work.
            rustix::fs::sync();
            println!("{}, repetition {}, load average {}", who.name(), repetition + 1, load_average());
            let dir = data.path().join(format!("{}-{repetition}", who.name().replace(' ', "-")));
            Bench::run(&who, &dir, scale, &chosen, &mut figures);
            std::fs::remove_dir_all(&dir).unwrap();
            figures.write(&args.out);
        }
    }
    println!("{}", figures.markdown());
    println!("written to {}", args.out.display());
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
