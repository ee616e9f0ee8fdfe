//! Members that leave, or are shut out; and the group's end.

use super::group::Due;
use super::records::Change;
use super::{Refusal, Step};
use crate::broker::groups::modern::LEAVE_EPOCH;
use crate::protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

/// Whether a heartbeat takes leave.
pub(in crate::broker::groups) fn is_leave(request: &StreamsGroupHeartbeatRequest) -> bool {
    request.member_epoch == LEAVE_EPOCH
}

impl Step<'_> {
    /// A heartbeat that takes leave.
    ///
    /// # Errors
    /// There is no such member; nothing has changed then.
    pub(in crate::broker::groups) fn leave(
        &mut self,
        request: &StreamsGroupHeartbeatRequest,
    ) -> Result<StreamsGroupHeartbeatResponse, Refusal> {
        let member = self.group.member(&request.member_id)?;
        let answer = StreamsGroupHeartbeatResponse {
            member_id: member.id.clone(),
            member_epoch: request.member_epoch,
            status: Some(Vec::new()),
            ..Default::default()
        };
        if request.shutdown_application && self.group.shutdown_by.is_none() {
            self.group.shutdown_by = Some(request.member_id.clone());
        }
        self.fence(&request.member_id);
        Ok(answer)
    }

    /// Takes a member out of the group.
    fn fence(&mut self, id: &str) {
        for change in Change::member_gone(id) {
            self.put(change);
        }
        for due in [Due::Session(id.to_owned()), Due::Rebalance(id.to_owned())] {
            self.group.timers.cancel(&due);
        }
        let group = &*self.group;
        let epoch = group.epoch.saturating_add(1);
        self.put(Change::group(
            epoch,
            group.metadata_hash,
            group.validated_topology_epoch,
            &group.last_configs.clone(),
        ));
    }

    /// Does what has fallen due: shuts out who has let its time pass, assigns when the first members have come together.
    pub(in crate::broker::groups) fn advance(&mut self) {
        while let Some(due) = self.group.timers.take_due(self.now.steady) {
            match due {
                Due::Session(member) | Due::Rebalance(member) => {
                    if self.group.members.contains_key(&member) {
                        self.fence(&member);
                    }
                }
                Due::FirstAssignment => {
                    if !self.group.members.is_empty() && self.group.assignment_epoch < self.group.epoch {
                        // One that can't be written is tried again with the next heartbeat, which is told so.
                        let _ = self.assign();
                    }
                }
            }
        }
    }

    /// Ends the group: all that it wrote is taken back.
    pub(in crate::broker::groups) fn end(&mut self) {
        let members: Vec<String> = self.group.members.keys().cloned().collect();
        for id in &members {
            self.put(Change::Current { id: id.clone(), value: None });
        }
        for id in &members {
            self.put(Change::Target { id: id.clone(), value: None });
        }
        self.put(Change::TargetEpoch(None));
        for id in members {
            self.put(Change::Member { id, value: None });
        }
        self.put(Change::Group(None));
        self.put(Change::Topology(None));
    }
}
