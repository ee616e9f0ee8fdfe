//! Generates the structs of Kafka's messages from the tables in `src/protocol/messages` (their notation is described in
//! `src/protocol/messages/README.md`).
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a build script speaks to cargo on stdout and stops at the first surprise"
)]

mod emit;
mod json;
mod schema;

use std::path::Path;
use std::{env, fs};

/// The tables, in the order in which the generated modules appear.
const TABLES: &[&str] = &[
    "header",
    "rpc",
    "client-data",
    "metadata-log",
    "group-log",
    "transaction-log",
    "share-log",
    "storage",
    "raft-files",
];

fn main() {
    let folder = Path::new("src/protocol/messages");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut messages = Vec::new();
    for table in TABLES {
        let path = folder.join(table).with_extension("txt");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        messages.extend(schema::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    }
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("messages.rs"), emit::rust(&messages)).expect("OUT_DIR is writable");
}
