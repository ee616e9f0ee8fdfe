//! What becomes of a broker when a log directory fails: what Kafka's `ReplicaManager.handleLogDirFailure` does.
//!
//! The partitions in it answer `KAFKA_STORAGE_ERROR`, their coordinators resign, and the metadata says that nobody leads them. The
//! others go on. Without the directory of the metadata, or without any for logs, the broker stops.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use super::context::Broker;
use super::errors::chain;
use super::groups::OFFSETS_TOPIC;
use super::share_state::SHARE_STATE_TOPIC;
use super::transactions::TRANSACTION_STATE_TOPIC;
use crate::log::{Disk, DiskFailure};
use crate::types::Uuid;

/// Rung when a disk fails, from the midst of the operation that failed.
#[derive(Debug)]
pub(super) struct DiskAlarm {
    rung: Arc<Notify>,
    metadata: Arc<Disk>,
    /// The directories that the broker started without: they were told, and nothing serves them.
    known: HashSet<PathBuf>,
    /// Why the broker can't go on.
    end: watch::Sender<Option<String>>,
}

impl DiskAlarm {
    /// An alarm for the disks of `broker`'s logs and for that of its metadata.
    pub(super) fn new(
        broker: &Broker,
        metadata: Arc<Disk>,
        known: HashSet<PathBuf>,
    ) -> (Self, watch::Receiver<Option<String>>) {
        let rung = Arc::new(Notify::new());
        let ring = {
            let rung = Arc::clone(&rung);
            move || rung.notify_one()
        };
        broker.replicas.logs().watch_disks(ring.clone());
        metadata.watch(ring);
        let (end, ended) = watch::channel(None);
        (Self { rung, metadata, known, end }, ended)
    }

    /// Does what has to be done when a disk fails, until the broker stops.
    pub(super) async fn run(self, broker: Arc<Broker>, mut stopping: watch::Receiver<bool>) {
        let mut known = self.known.clone();
        loop {
            let failures = broker.replicas.logs().failures();
            let new: Vec<_> = failures.into_iter().filter(|(_, failure)| known.insert(failure.dir.clone())).collect();
            if !new.is_empty() {
                let broker = Arc::clone(&broker);
                let handled = tokio::task::spawn_blocking(move || {
                    new.iter().for_each(|(id, failure)| handle(&broker, *id, failure));
                });
                if let Err(error) = handled.await {
                    error!(%error, "a failed log directory could not be taken out of service");
                }
            }
            if let Some(reason) = self.reason_to_stop(&broker) {
                self.end.send_replace(Some(reason));
                return;
            }
            tokio::select! {
                () = self.rung.notified() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }

    fn reason_to_stop(&self, broker: &Broker) -> Option<String> {
        let logs = broker.replicas.logs();
        if let Some(failure) = self.metadata.failure() {
            let dir = failure.dir.display();
            let is_told = logs.failures().iter().any(|(_, told)| told.dir == failure.dir);
            let why = if is_told { String::new() } else { format!(": {failure}") };
            return Some(format!("Shutdown broker because the metadata log dir {dir} has failed{why}"));
        }
        if !logs.directory_ids().is_empty() {
            return None;
        }
        let dirs: Vec<String> = logs.failures().iter().map(|(_, failure)| failure.dir.display().to_string()).collect();
        Some(format!("Shutdown broker because all log dirs in {} have failed", dirs.join(", ")))
    }
}

/// Takes a directory that has failed out of service.
fn handle(broker: &Broker, id: Option<Uuid>, failure: &DiskFailure) {
    let offline = broker.replicas.take_offline();
    error!("{failure}. {} partitions in it answer KAFKA_STORAGE_ERROR until then", offline.len());
    for partition in &offline {
        let index = partition.partition.get();
        match partition.topic.as_str() {
            OFFSETS_TOPIC => broker.groups.resign(index),
            TRANSACTION_STATE_TOPIC => broker.transactions.resign(index),
            SHARE_STATE_TOPIC => broker.share_coordinator.resign(index),
            _ => {}
        }
    }
    let Some(id) = id else { return };
    // Without its metadata the broker is about to stop.
    if let Err(error) = broker.controller.directories_failed(&[id], broker.now().wall_ms) {
        warn!(error = chain(&error), "the metadata can't say that a log directory has failed");
    }
}
