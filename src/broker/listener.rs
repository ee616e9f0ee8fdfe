//! Accepts connections on one address, within the limits on how many there may be.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use super::connection;
use super::context::{Broker, Peer};

/// How long connections that are being answered may take to finish when the broker stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Most connections when `max.connections` sets no limit: more than a process may have files open.
const MOST_CONNECTIONS: usize = 1 << 20;

/// Limits how many connections there are, in all and from one address.
#[derive(Debug)]
pub(super) struct ConnectionLimits {
    all: Arc<Semaphore>,
    per_address: usize,
    exceptions: HashMap<IpAddr, usize>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
struct Place {
    limits: Arc<ConnectionLimits>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimits {
    pub(super) fn new(all: usize, per_address: usize, exceptions: HashMap<IpAddr, usize>) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all.min(MOST_CONNECTIONS))),
            per_address,
            exceptions,
            counts: Mutex::default(),
        }
    }

    fn enter(self: &Arc<Self>, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let limit = self.exceptions.get(&address).copied().unwrap_or(self.per_address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place { limits: Arc::clone(self), address, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Connections are told apart by a number.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// A bound address that does not accept yet.
#[derive(Debug)]
pub(super) struct BoundListener {
    /// The listener's name, as in `PLAINTEXT`.
    pub(super) name: String,
    socket: TcpListener,
}

impl BoundListener {
    pub(super) fn new(name: String, socket: TcpListener) -> Self {
        Self { name, socket }
    }

    /// The address with the port that the system chose, if 0 was asked for.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until the broker stops, then waits a while for the connections to finish.
    pub(super) async fn run(
        self,
        broker: Arc<Broker>,
        limits: Arc<ConnectionLimits>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&limits) => accepted,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        error!(%error, "a connection's task failed");
                    }
                    continue;
                }
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            let Some((stream, address, permit)) = accepted else { continue };
            match limits.enter(address.ip(), permit) {
                Some(place) => {
                    let (broker, stopping) = (Arc::clone(&broker), stopping.clone());
                    let id = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
                    let peer = Peer { id, address, listener: self.name.clone() };
                    connections.spawn(async move {
                        connection::serve(stream, peer, broker, stopping).await;
                        drop(place);
                    });
                }
                None => warn!(peer = %address, "too many connections from this address, closed"),
            }
        }
        let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            warn!(left = connections.len(), "connections did not finish in time");
        }
    }

    /// Waits for a place before it accepts: a connection too many stays in the system's backlog.
    async fn accept(&self, limits: &ConnectionLimits) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&limits.all).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, address)) => Some((stream, address, permit)),
            Err(error) => {
                // Out of file descriptors, most likely: others must end first, and trying again at once would spin.
                debug!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}
