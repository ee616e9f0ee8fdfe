//! The part of a group's state that all newer protocols have: epochs, target assignment, subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::assignment::Assignment;
use super::subscriptions::Subscriptions;

/// The epoch of a group that nothing happened in yet.
const FIRST_EPOCH: i32 = 1;

/// Epochs, target assignment and subscriptions of a group.
#[derive(Debug)]
pub(in crate::broker) struct ModernGroup {
    /// Grows whenever something changes that the assignment depends on.
    pub(in crate::broker) epoch: i32,
    /// The group epoch that the target assignment was computed for.
    pub(in crate::broker) assignment_epoch: i32,
    /// When it was computed, in milliseconds since 1970; 0 if never.
    pub(in crate::broker) assigned_ms: i64,
    /// What the topics were when the group epoch last grew, as one number.
    pub(in crate::broker) metadata_hash: i64,
    /// The topics may have changed since: the next heartbeat looks.
    pub(in crate::broker) needs_refresh: bool,
    /// What each member is to have in the end.
    pub(in crate::broker) targets: BTreeMap<String, Arc<Assignment>>,
    pub(in crate::broker) subscriptions: Subscriptions,
}

impl Default for ModernGroup {
    fn default() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            assignment_epoch: FIRST_EPOCH,
            assigned_ms: 0,
            metadata_hash: 0,
            needs_refresh: true,
            targets: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
        }
    }
}

impl ModernGroup {
    /// What a member is to have in the end.
    pub(in crate::broker) fn target(&self, member: &str) -> Arc<Assignment> {
        self.targets.get(member).cloned().unwrap_or_default()
    }

    /// Whether there is to be a new target assignment now. Too soon after the last one it waits for a later heartbeat, so that members that
    /// come one after another do not each cost one (KIP-1263).
    pub(in crate::broker) fn is_assignment_due(&self, interval: Duration, now_ms: i64) -> bool {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        self.assignment_epoch < self.epoch
            && (self.assigned_ms == 0 || interval == 0 || now_ms >= self.assigned_ms.saturating_add(interval))
    }
}
