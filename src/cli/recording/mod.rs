//! `record` and `replay`: a topic to a file and back, with timing, keys, headers, partitions and timestamps.
//!
//! `format.rs` is the file, `record.rs` and `replay.rs` are the tools.

mod format;
mod record;
mod replay;

pub(super) use record::RecordTopic;
pub(super) use replay::Replay;
