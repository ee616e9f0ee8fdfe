//! Share groups (KIP-932): who is in them, and which partitions each member reads. A partition may be several members' at once, so nobody
//! waits for somebody else to give one up: a member has its target as soon as it hears of it.
//!
//! As with consumer groups, a command decides what is to change and says so as records, and [`ShareGroup::apply`] takes a record over when it
//! is decided as when it is replayed. A partition is assigned only when its state has begun (`states.rs`): the share coordinator
//! is asked for that outside of here.
//!
//! Start reading at `group.rs` (the state), then `heartbeat.rs`.

mod assignor;
mod describe;
mod group;
mod heartbeat;
mod records;
mod states;

pub(super) use group::ShareGroup;
pub(super) use heartbeat::{check_request, is_leave};
pub(super) use records::{Change, read_change};
pub(in crate::broker) use states::{Starting, StateTopics};

use super::modern::{ClusterView, Refusal};
use crate::broker::coordinator::{Now, Record};

/// A command at work on a group: what it decides is taken over at once, and goes to the log.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) group: &'a mut ShareGroup,
    pub(super) view: &'a ClusterView,
    pub(super) now: Now,
    pub(super) records: Vec<Record>,
}

impl<'a> Step<'a> {
    pub(super) fn new(group: &'a mut ShareGroup, view: &'a ClusterView, now: Now) -> Self {
        Self { group, view, now, records: Vec::new() }
    }

    /// Decides all of this; or nothing, where the log would not take a record of it: that must not cost other groups the coordinator.
    ///
    /// # Errors
    /// A record is too large.
    fn try_put(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<(), Refusal> {
        let changes: Vec<Change> = changes.into_iter().collect();
        let records: Vec<Record> = changes.iter().map(|change| records::share_record(&self.group.id, change)).collect();
        if records.iter().any(|record| record.size() > self.view.max_record_bytes.0) {
            return Err(Refusal::too_large());
        }
        self.records.extend(records);
        changes.into_iter().for_each(|change| self.group.apply(change));
        Ok(())
    }

    /// Decides something small.
    fn put(&mut self, change: Change) {
        self.records.push(records::share_record(&self.group.id, &change));
        self.group.apply(change);
    }
}

#[cfg(test)]
mod tests;
