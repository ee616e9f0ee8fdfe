//! Consumer groups (KIP-848): the coordinator assigns, and every member goes from what it has to what it is to have at its own pace, epoch
//! by epoch, in one exchange with the coordinator: the heartbeat.
//!
//! A command decides what is to change and says so as records; [`ConsumerGroup::apply`] takes a record over, the same way when it is
//! decided as when it is replayed. So what a live group knows is what a replay gives, by construction.
//!
//! Start reading at `group.rs` (the state), then `heartbeat.rs` (what a heartbeat leads to) and `reconcile.rs` (one member's next step); `lookup.rs` is about regular expressions.
//! `classic.rs` and `migration.rs` are about members of the classic protocol in a consumer group.

mod classic;
mod describe;
mod group;
mod heartbeat;
mod leave;
mod lookup;
mod member;
mod migration;
mod reconcile;
mod records;
mod refresh;

pub(super) use classic::Rebalance;
pub(super) use group::ConsumerGroup;
pub(super) use heartbeat::{check_request, is_leave};
pub(super) use leave::Fenced;
pub(in crate::broker) use lookup::{RegexLookup, ResolvedRegexes};
pub(super) use migration::{check_upgrade, upgrade};
pub(super) use records::{Change, consumer_record, read_change};

use std::sync::Arc;

use super::effects::Effects;
use super::modern::{ClusterView, Refusal};
use crate::broker::coordinator::{Now, Record};

/// A command at work on a group: what it decides is taken over at once, and goes to the log.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) group: &'a mut ConsumerGroup,
    pub(super) view: &'a Arc<ClusterView>,
    pub(super) now: Now,
    pub(super) records: Vec<Record>,
    /// What is to be looked up elsewhere.
    lookup: Option<Arc<RegexLookup>>,
}

impl<'a> Step<'a> {
    pub(super) fn new(group: &'a mut ConsumerGroup, view: &'a Arc<ClusterView>, now: Now) -> Self {
        Self { group, view, now, records: Vec::new(), lookup: None }
    }

    /// What it leads to.
    pub(super) fn finish(self, effects: &mut Effects) {
        effects.records.extend(self.records);
        effects.actions.extend(self.lookup);
    }

    /// Decides all of this; or nothing, where the log would not take a record of it: that must not cost other groups the coordinator.
    ///
    /// # Errors
    /// A record is too large.
    fn try_put(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<(), Refusal> {
        let changes: Vec<Change> = changes.into_iter().collect();
        let records: Vec<Record> = changes.iter().map(|change| consumer_record(&self.group.id, change)).collect();
        if records.iter().any(|record| record.size() > self.view.max_record_bytes.0) {
            return Err(Refusal::too_large());
        }
        self.records.extend(records);
        changes.into_iter().for_each(|change| self.group.apply(change));
        Ok(())
    }

    /// Decides something small.
    fn put(&mut self, change: Change) {
        self.records.push(consumer_record(&self.group.id, &change));
        self.group.apply(change);
    }
}

#[cfg(test)]
mod tests;
