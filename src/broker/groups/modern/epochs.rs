//! The epochs that members say they are in.

use super::Refusal;
use crate::protocol::ErrorCode;

/// A member that joins.
pub(in crate::broker) const JOIN_EPOCH: i32 = 0;
/// A member that leaves.
pub(in crate::broker) const LEAVE_EPOCH: i32 = -1;
/// A static member that leaves for a while.
pub(in crate::broker) const STATIC_LEAVE_EPOCH: i32 = -2;

/// Whether a member may go on from the epoch that it says it is in; `known` are its epoch and the one before.
///
/// The answer that told it of its epoch may have been lost: then it is in the one before, and `may_be_before` says whether it can be.
///
/// # Errors
/// It is fenced, and has to join again.
pub(in crate::broker) fn check_epoch(
    kind: &str,
    said: i32,
    known: (i32, i32),
    may_be_before: impl FnOnce() -> bool,
) -> Result<(), Refusal> {
    let (epoch, previous) = known;
    let how = if said == JOIN_EPOCH {
        return Ok(());
    } else if said > epoch {
        "greater"
    } else if said < epoch && (said != previous || !may_be_before()) {
        "smaller"
    } else {
        return Ok(());
    };
    let message = format!(
        "The {kind} group member has a {how} member epoch ({said}) than the one known by the group coordinator ({epoch}). \
         The member must abandon all its partitions and rejoin."
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
}
