//! Looks up what the regular expressions of consumer groups stand for, on threads of its own: a slow one holds up no coordinator.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, error};

use super::context::Broker;
use super::groups::RegexLookup;

/// Groups that may wait for a look-up. One that finds no place asks again at its next heartbeat.
const MOST_WAITING: usize = 1024;

/// The queue of look-ups. A group has no more than one in it.
pub(super) fn queue() -> (mpsc::Sender<Arc<RegexLookup>>, mpsc::Receiver<Arc<RegexLookup>>) {
    mpsc::channel(MOST_WAITING)
}

/// Carries look-ups out, `group.coordinator.background.threads` at once, until the broker stops.
pub(super) async fn run(
    broker: Arc<Broker>,
    mut queue: mpsc::Receiver<Arc<RegexLookup>>,
    mut stop: watch::Receiver<bool>,
) {
    let most = broker.config.group_coordinator_background_threads;
    let mut running = JoinSet::new();
    loop {
        // What is cancelled at the end is lost: the group asks its next coordinator.
        tokio::select! {
            _ = stop.wait_for(|stopping| *stopping) => return,
            Some(lookup) = queue.recv(), if running.len() < most => {
                running.spawn(look_up(Arc::clone(&broker), lookup));
            }
            Some(_) = running.join_next() => {}
        }
    }
}

async fn look_up(broker: Arc<Broker>, lookup: Arc<RegexLookup>) {
    let group = lookup.group.as_str();
    let asked = Arc::clone(&lookup);
    let resolved = match tokio::task::spawn_blocking(move || asked.run()).await {
        Ok(resolved) => resolved,
        Err(error) => {
            error!(group, %error, "regular expressions could not be looked up");
            return;
        }
    };
    let (view, now) = (broker.group_views.get(), broker.now());
    let taken = broker.groups.run(group, now, |shard| {
        shard.observe(&view);
        shard.take_resolved(&lookup, resolved, now)
    });
    if let Err(error) = taken.await {
        debug!(group, %error, "nobody takes over what regular expressions stand for");
    }
}
