//! What the coordinators of groups, transactions and share groups have in common: state that is a log.
//!
//! Each keeps its state in an internal topic. A partition of that topic has one owner here, a [`Machine`]: a pure state machine, from
//! (state, command, now) to (records to append, answers to give, actions to take). Machines do no I/O, read no clock and spawn
//! nothing. The [`Coordinator`] around them loads them by replaying their log, appends what they decide, and lets
//! answers leave when what they rest on is committed.

mod effects;
pub(in crate::broker) mod records;
mod runtime;
mod topic_log;

pub(super) use effects::{Effects, Now, Producer, Record, Token};
pub(super) use records::MalformedRecord;
pub(super) use runtime::{Coordinator, Machine, Position};
pub(super) use topic_log::{TopicLog, largest_record};

#[cfg(test)]
mod tests;
