//! Why the coordinator refuses a request.

use crate::protocol::ErrorCode;

/// Why a request is refused, with words for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Refusal {
    pub(in crate::broker) code: ErrorCode,
    pub(in crate::broker) message: String,
}

impl Refusal {
    pub(in crate::broker) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Nobody of this id is in the group.
    pub(in crate::broker) fn unknown_member(group: &str, member: &str) -> Self {
        Self::new(ErrorCode::UnknownMemberId, format!("Member {member} is not a member of group {group}."))
    }

    /// A group of this kind takes nobody else.
    pub(in crate::broker) fn group_is_full(kind: &str, most: usize) -> Self {
        let message = format!("The {kind} group has reached its maximum capacity of {most} members.");
        Self::new(ErrorCode::GroupMaxSizeReached, message)
    }

    /// What the member says would not fit in a record.
    pub(in crate::broker) fn too_large() -> Self {
        let message = "The request included a message larger than the max message size the server will accept.";
        Self::new(ErrorCode::UnknownServerError, message)
    }
}
