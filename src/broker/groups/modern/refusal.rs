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
}
