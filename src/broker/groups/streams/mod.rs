//! Streams groups (KIP-1071): the members are threads of a Kafka Streams application. They bring its topology; the coordinator works out the
//! internal topics that it needs, cuts it into tasks (a subtopology at one partition number) and assigns those.
//!
//! As in consumer groups a command decides what is to change and says so as records; [`StreamsGroup::apply`] takes a record over, the same
//! way when it is decided as when it is replayed. So what a live group knows is what a replay gives, by construction.
//!
//! Start reading at `topology.rs` and `configure.rs` (what there is to do), `assignor.rs` (who is to do it) and `reconcile.rs` (one member's
//! next step); then `group.rs` (the state) and `heartbeat.rs` (what a heartbeat leads to).

mod assignor;
mod configure;
mod describe;
mod endpoints;
mod group;
mod heartbeat;
mod leave;
mod member;
mod reconcile;
mod records;
mod refresh;
mod request;
mod tasks;
mod topology;

pub(in crate::broker) use configure::InternalTopic;
pub(super) use group::StreamsGroup;
pub(in crate::broker) use heartbeat::Beat;
pub(super) use leave::is_leave;
pub(super) use records::{Change, read_change, streams_record, topology_record};
pub(in crate::broker) use request::check_request;

use super::modern::{ClusterView, Refusal};
use crate::broker::coordinator::{Now, Record};

/// A command at work on a group: what it decides is taken over at once, and goes to the log.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) group: &'a mut StreamsGroup,
    pub(super) view: &'a ClusterView,
    pub(super) now: Now,
    pub(super) records: Vec<Record>,
}

impl<'a> Step<'a> {
    pub(super) fn new(group: &'a mut StreamsGroup, view: &'a ClusterView, now: Now) -> Self {
        Self { group, view, now, records: Vec::new() }
    }

    /// Decides all of this; or nothing, where the log would not take a record of it: that must not cost other groups the coordinator.
    ///
    /// # Errors
    /// A record is too large.
    fn try_put(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<(), Refusal> {
        let changes: Vec<Change> = changes.into_iter().collect();
        let records: Vec<Record> = changes.iter().map(|change| streams_record(&self.group.id, change)).collect();
        if records.iter().any(|record| record.size() > self.view.max_record_bytes.0) {
            return Err(Refusal::too_large());
        }
        self.records.extend(records);
        changes.into_iter().for_each(|change| self.group.apply(change));
        Ok(())
    }

    /// Decides something small.
    fn put(&mut self, change: Change) {
        self.records.push(streams_record(&self.group.id, &change));
        self.group.apply(change);
    }
}

#[cfg(test)]
mod tests;
