//! What the groups answer later than they are asked.

use std::sync::Arc;

use super::consumer::RegexLookup;
use crate::broker::coordinator;
use crate::protocol::messages::{JoinGroupResponse, SyncGroupResponse};

/// An answer to a request that waited.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker) enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

/// What a step of the groups leads to.
pub(in crate::broker) type Effects = coordinator::Effects<Reply, Arc<RegexLookup>>;
