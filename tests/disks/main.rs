//! Several log directories, and disks that fail.
#![allow(unreachable_pub, reason = "modules of a test binary have no outside")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod assigned;
mod away;
mod coordinators;
mod cordoned;
mod directories;
mod failing;
#[path = "../support/failing_disk.rs"]
mod failing_disk;
mod full;
mod leftovers;
mod moving;
#[path = "../support/small_disk.rs"]
mod small_disk;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/wire.rs"]
mod wire;
