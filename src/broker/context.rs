//! What handlers work with: the broker's parts, and the request's surroundings.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::ServerConfig;
use crate::net::MemoryBudget;
use crate::protocol::frame::RequestStart;

/// The parts of a running broker.
#[derive(Debug)]
pub(super) struct Broker {
    /// The settings it was started with.
    pub(super) config: ServerConfig,
    /// What requests in flight may take of memory, all connections together.
    pub(super) request_memory: MemoryBudget,
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it connects from.
    pub(super) address: SocketAddr,
    /// Name of the listener that it came through.
    pub(super) listener: String,
}

/// A request's surroundings.
#[derive(Debug)]
#[allow(dead_code, reason = "the handlers that use them come next")]
pub(super) struct RequestContext {
    /// The broker's parts.
    pub(super) broker: Arc<Broker>,
    /// Who asks.
    pub(super) peer: Arc<Peer>,
    /// What the client calls itself; empty if it does not say.
    pub(super) client_id: String,
    /// The version of request and response.
    pub(super) version: i16,
}

impl RequestContext {
    pub(super) fn new(broker: &Arc<Broker>, peer: &Arc<Peer>, start: &RequestStart) -> Self {
        Self {
            broker: Arc::clone(broker),
            peer: Arc::clone(peer),
            client_id: start.client_id.clone().unwrap_or_default(),
            version: start.version,
        }
    }
}
