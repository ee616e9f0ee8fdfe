//! The `kafka-rs` binary: runs the command line, turns the result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kafka_rs::cli::run(std::env::args_os())
}
