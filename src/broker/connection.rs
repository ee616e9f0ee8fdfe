//! One connection: reads a request, has it handled, writes the answer, and so on, one at a time.
//!
//! One at a time is Kafka's own rule (a channel is muted while its request is handled), and what keeps a pipelining
//! producer's batches in order. The next request waits in the socket, so there is no gap between two of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::context::{Broker, Peer, RequestContext};
use super::router::{self, Outcome};
use crate::net::{FrameError, FrameReader, write_pieces};
use crate::protocol::ApiKey;
use crate::protocol::frame::{RequestStart, read_request_start};

/// Serves the connection until it ends, the broker stops, or something arrives that can't be answered.
pub(super) async fn serve(stream: TcpStream, peer: Peer, broker: Arc<Broker>, stopping: watch::Receiver<bool>) {
    let id = peer.id;
    answer_all(stream, peer, &broker, stopping).await;
    broker.share.connection_closed(id).await;
}

async fn answer_all(stream: TcpStream, peer: Peer, broker: &Arc<Broker>, mut stopping: watch::Receiver<bool>) {
    // Answers are whole frames, written at once: waiting for more would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    let config = &broker.config;
    let idle = config.connections_max_idle_ms.unwrap_or(Duration::MAX);
    let (receiver, mut sender) = stream.into_split();
    let mut frames = FrameReader::new(receiver, config.socket_request_max_bytes, Some(broker.request_memory.clone()));
    let peer = Arc::new(peer);
    loop {
        let next = tokio::select! {
            next = timeout(idle, frames.next()) => next,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let frame = match next {
            Ok(Ok(Some(frame))) => frame,
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(error @ FrameError::Size { .. })) => {
                warn!(peer = %peer.address, listener = peer.listener, %error, "connection closed");
                return;
            }
            Ok(Err(error)) => {
                debug!(peer = %peer.address, %error, "connection closed");
                return;
            }
        };
        let start = match read_request_start(&frame.bytes) {
            Ok(start) => start,
            Err(error) => {
                warn!(peer = %peer.address, listener = peer.listener, %error, "connection closed");
                return;
            }
        };
        let ctx = RequestContext::new(broker, &peer, &start);
        let handling = router::dispatch(&ctx, &start, &frame.bytes);
        let outcome = if waits(&start) {
            tokio::select! {
                // Order: what can be answered at once does not ask whether the client is still there.
                biased;
                outcome = handling => outcome,
                // Nobody is left to answer. Dropping the handler loses only its answer: see `waits`.
                () = frames.ended() => return,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        } else {
            handling.await
        };
        match outcome {
            Outcome::Answer(pieces) => {
                if !matches!(timeout(idle, write_pieces(&mut sender, &pieces)).await, Ok(Ok(()))) {
                    return;
                }
            }
            Outcome::Silent => {}
            Outcome::Close => return,
        }
    }
}

/// Requests that may wait long for something other than themselves. Their handlers change nothing after their first wait, so they
/// may be dropped; what ShareFetch acknowledges is a task of its own, and what it takes it takes at its very end.
fn waits(start: &RequestStart) -> bool {
    matches!(start.api, ApiKey::Fetch | ApiKey::ShareFetch | ApiKey::JoinGroup | ApiKey::SyncGroup)
}
