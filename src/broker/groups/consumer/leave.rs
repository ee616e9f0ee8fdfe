//! Members that leave, or are shut out; and the group's end.

use std::sync::Arc;

use super::group::Due;
use super::migration::can_become_classic;
use super::records::Change;
use super::{Refusal, Step};
use crate::broker::groups::modern::STATIC_LEAVE_EPOCH;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

/// What became of the group when members were taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::groups) enum Fenced {
    Stays,
    /// All that are left speak the classic protocol: the group is to become a classic one.
    BecomesClassic,
}

impl Step<'_> {
    /// A heartbeat that takes leave, for good or for a while.
    ///
    /// # Errors
    /// The member is not who it says; nothing has changed then.
    pub(in crate::broker::groups) fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        classic_max_size: usize,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Fenced), Refusal> {
        let id = request.member_id.as_str();
        let member = match &request.instance_id {
            None => self.group.member(id)?,
            Some(instance) => self.group.check_static(self.group.static_member(instance), id, instance)?,
        };
        let answer = ConsumerGroupHeartbeatResponse {
            member_id: Some(member.id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        };
        if request.instance_id.is_some() && request.member_epoch == STATIC_LEAVE_EPOCH {
            // Its place stays until its session ends; when it comes back its partitions are given to it anew.
            let mut member = member.clone();
            member.epoch = STATIC_LEAVE_EPOCH;
            member.revoking = Arc::default();
            for partitions in Arc::make_mut(&mut member.assigned).values_mut() {
                partitions.values_mut().for_each(|epoch| *epoch = 0);
            }
            self.group.timers.cancel(&(member.id.clone(), Due::Rebalance));
            self.put(Change::current(&member));
            return Ok((answer, Fenced::Stays));
        }
        let fenced = self.fence(&[id.to_owned()], classic_max_size);
        Ok((answer, fenced))
    }

    /// Takes members out of the group.
    pub(in crate::broker::groups) fn fence(&mut self, ids: &[String], classic_max_size: usize) -> Fenced {
        if ids.is_empty() {
            return Fenced::Stays;
        }
        let becomes_classic = can_become_classic(self.group, ids, self.view, classic_max_size);
        for id in ids {
            let regex = self.group.members.get(id).and_then(|member| member.regex()).map(str::to_owned);
            for change in Change::member_gone(id) {
                self.put(change);
            }
            if let Some(regex) = regex
                && self.group.modern.subscriptions.users_of(&regex) == 0
            {
                self.put(Change::Regex { regex, value: None });
            }
            self.group.cancel_timers(id);
        }
        if becomes_classic {
            return Fenced::BecomesClassic;
        }
        self.raise_epoch();
        Fenced::Stays
    }

    /// Somebody is no longer in the group.
    pub(in crate::broker::groups) fn raise_epoch(&mut self) {
        let hash = self.group.modern.subscriptions.hash(self.view);
        self.put(Change::epoch(self.group.modern.epoch.saturating_add(1), hash));
    }

    /// Shuts out who has let its time pass; whether something else has become of the group.
    pub(in crate::broker::groups) fn advance(&mut self, classic_max_size: usize) -> Fenced {
        while let Some((member, _)) = self.group.timers.take_due(self.now.steady) {
            if self.group.members.contains_key(&member)
                && self.fence(&[member], classic_max_size) == Fenced::BecomesClassic
            {
                return Fenced::BecomesClassic;
            }
        }
        Fenced::Stays
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
        let regexes: Vec<String> = self.group.modern.subscriptions.all_resolved().keys().cloned().collect();
        for regex in regexes {
            self.put(Change::Regex { regex, value: None });
        }
        self.put(Change::PartitionMetadata { is_there: false });
        self.put(Change::Epoch(None));
    }
}
