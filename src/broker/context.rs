//! What handlers work with: the broker's parts, and the request's surroundings.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;

use super::controller::Controller;
use super::coordinator::Now;
use super::fetch_session::FetchSessions;
use super::group_views::GroupViews;
use super::groups::GroupCoordinator;
use super::metadata_cache::MetadataCache;
use super::producer_ids::ProducerIds;
use super::replicas::Replicas;
use super::share::ShareGroups;
use super::share_state::{Persister, ShareCoordinator};
use super::topics::Topics;
use super::transactions::{MarkerWriter, TransactionCoordinator};
use crate::config::ServerConfig;
use crate::net::{MemoryBudget, MemoryGrant};
use crate::protocol::ApiKey;
use crate::protocol::frame::RequestStart;

/// As many requests append many bytes at the same time, each on a thread of its own.
pub(super) const LARGE_APPENDS: usize = 8;

/// An answer of this size takes its memory without asking.
const SMALL_RESPONSE_BYTES: usize = 64 << 10;

/// How long a larger answer waits for memory before it makes do with a small one.
const MEMORY_PATIENCE: Duration = Duration::from_millis(500);

/// The parts of a running broker.
#[derive(Debug)]
pub(super) struct Broker {
    /// The settings it was started with; those that change at run time are asked of `replicas`.
    pub(super) config: ServerConfig,
    /// Id of the cluster.
    pub(super) cluster_id: String,
    /// What requests in flight may take of memory, all connections together.
    pub(super) request_memory: MemoryBudget,
    /// What answers with records may take of memory, all connections together.
    pub(super) response_memory: MemoryBudget,
    /// Turns to append many bytes at once. A disk that is slow to take them would else keep every thread waiting, and small requests
    /// with them.
    pub(super) large_appends: Semaphore,
    /// What is known of the cluster.
    pub(super) metadata: Arc<MetadataCache>,
    /// The one writer of what is known of the cluster.
    pub(super) controller: Arc<Controller>,
    /// The partitions that are here, by name and id.
    pub(super) topics: Arc<Topics>,
    /// The same, as the metadata has them, with their logs and settings.
    pub(super) replicas: Arc<Replicas>,
    /// What consumers read, as far as they let the broker remember it.
    pub(super) fetch_sessions: FetchSessions,
    /// The consumer groups.
    pub(super) groups: Arc<GroupCoordinator>,
    /// The cluster as groups see it.
    pub(super) group_views: Arc<GroupViews>,
    /// The transactions.
    pub(super) transactions: Arc<TransactionCoordinator>,
    /// The way of transactions' ends to their partitions.
    pub(super) markers: MarkerWriter,
    /// What share groups read here.
    pub(super) share: Arc<ShareGroups>,
    /// The coordinator of the share groups' states.
    pub(super) share_coordinator: Arc<ShareCoordinator>,
    /// The way to those states.
    pub(super) share_states: Persister,
    /// Ids for producers.
    pub(super) producer_ids: Arc<ProducerIds>,
}

/// The time now. Here and nowhere deeper: what depends on time takes it as an argument.
pub(super) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { wall_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX), steady: Instant::now() }
}

impl Broker {
    /// The time now.
    pub(super) fn now(&self) -> Now {
        now()
    }

    /// Whether a listener is one that controllers use.
    pub(super) fn is_controller_listener(&self, name: &str) -> bool {
        self.config.controller_listener_names.iter().any(|listener| listener == name)
    }
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Of the connection, as long as the broker runs.
    pub(super) id: u64,
    /// Where it connects from.
    pub(super) address: SocketAddr,
    /// Name of the listener that it came through.
    pub(super) listener: String,
}

/// A request's surroundings.
#[derive(Debug)]
pub(super) struct RequestContext {
    /// The broker's parts.
    pub(super) broker: Arc<Broker>,
    /// Who asks.
    pub(super) peer: Arc<Peer>,
    /// What the client calls itself; empty if it does not say.
    pub(super) client_id: String,
    /// The version of request and response.
    pub(super) version: i16,
    /// Memory that the answer takes until it is written.
    response_memory: Mutex<MemoryGrant>,
}

impl RequestContext {
    pub(super) fn new(broker: &Arc<Broker>, peer: &Arc<Peer>, start: &RequestStart) -> Self {
        Self {
            broker: Arc::clone(broker),
            peer: Arc::clone(peer),
            client_id: start.client_id.clone().unwrap_or_default(),
            version: start.version,
            response_memory: Mutex::default(),
        }
    }

    /// Whether an API belongs on the listener that the request came through.
    pub(super) fn is_served_here(&self, api: ApiKey) -> bool {
        let info = api.info();
        if self.broker.is_controller_listener(&self.peer.listener) { info.on_controller } else { info.on_broker }
    }

    /// The client's address as Kafka writes it: `/127.0.0.1`.
    pub(super) fn client_host(&self) -> String {
        format!("/{}", self.peer.address.ip().to_canonical())
    }

    /// Takes memory for an answer of about `bytes` out of what all answers share; it is given back when the answer was written. Gives how
    /// large the answer may be: where others hold the memory for long (clients that do not read what they asked for), a
    /// small one, so that nobody stands still because of them.
    pub(super) async fn reserve_response_memory(&self, bytes: usize) -> usize {
        if bytes <= SMALL_RESPONSE_BYTES {
            return SMALL_RESPONSE_BYTES;
        }
        let mut grant = MemoryGrant::default();
        let taken = tokio::time::timeout(MEMORY_PATIENCE, self.broker.response_memory.extend(&mut grant, bytes)).await;
        if taken.is_err() {
            return SMALL_RESPONSE_BYTES;
        }
        *self.response_memory.lock().unwrap_or_else(PoisonError::into_inner) = grant;
        bytes
    }
}
