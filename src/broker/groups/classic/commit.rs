//! What requests say of who sends them; commits of offsets above all.

use super::{ClassicGroup, State};
use crate::broker::coordinator::Now;
use crate::broker::groups::commits::Committer;
use crate::protocol::ErrorCode;

impl ClassicGroup {
    /// Checks what an OffsetCommit says of its sender.
    pub(in crate::broker::groups) fn check_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> Result<(), ErrorCode> {
        // A consumer that assigns itself has no membership to check; it must not disturb a group that has members.
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        if let Some(error) = self.identity_error(member_id, instance_id) {
            return Err(error);
        }
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.touch(member_id, now);
        Ok(())
    }

    /// Whether offsets may be committed in a transaction by this sender (KIP-447). Older clients don't say who they are; the
    /// group's state does not matter, since the transaction may be ended in the middle of a rebalance.
    pub(in crate::broker::groups) fn check_commit_in_transaction(
        &mut self,
        who: Committer<'_>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let Committer { member_id, instance_id, generation, .. } = who;
        let is_anonymous = generation < 0 && member_id.is_empty() && instance_id.is_none();
        if generation < 0 && self.state == State::Empty || is_anonymous {
            return Ok(());
        }
        if let Some(error) = self.identity_error(member_id, instance_id) {
            return Err(error);
        }
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.touch(member_id, now);
        Ok(())
    }

    /// What is wrong with who a request says it comes from.
    pub(super) fn identity_error(&self, member_id: &str, instance_id: Option<&str>) -> Option<ErrorCode> {
        if let Some(instance) = instance_id {
            return match self.static_members.get(instance) {
                None => Some(ErrorCode::UnknownMemberId),
                Some(id) if id != member_id => Some(ErrorCode::FencedInstanceId),
                Some(_) => None,
            };
        }
        (!self.members.contains_key(member_id)).then_some(ErrorCode::UnknownMemberId)
    }

    pub(super) fn touch(&mut self, member_id: &str, now: Now) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.expires = now.after(member.session_timeout);
        }
    }
}
