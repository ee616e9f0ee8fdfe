//! The view of the cluster that groups get with their commands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::groups::ClusterView;
use super::metadata_cache::MetadataCache;
use super::replicas::Replicas;
use crate::metadata::{ConfigResourceType, MetadataDelta};

/// Gives the view, made anew only where it is asked for after something changed that groups look at.
#[derive(Debug)]
pub(super) struct GroupViews {
    metadata: Arc<MetadataCache>,
    replicas: Arc<Replicas>,
    /// Something changed since the view was made.
    is_stale: AtomicBool,
    current: Mutex<Arc<ClusterView>>,
}

impl GroupViews {
    pub(super) fn new(metadata: Arc<MetadataCache>, replicas: Arc<Replicas>) -> Self {
        Self { metadata, replicas, is_stale: AtomicBool::new(true), current: Mutex::default() }
    }

    /// The cluster as it is now.
    pub(super) fn get(&self) -> Arc<ClusterView> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Order: what changes while the view is made makes it stale again.
        if self.is_stale.swap(false, Ordering::AcqRel) {
            let config = self.replicas.config();
            *current = Arc::new(ClusterView::of(&self.metadata.read(), &config, Some(&current)));
        }
        Arc::clone(&current)
    }

    /// Follows the metadata. Takes no lock: the image may be locked around it.
    pub(super) fn follow(&self, delta: &MetadataDelta) {
        let is_looked_at = |kind| matches!(kind, ConfigResourceType::GROUP | ConfigResourceType::BROKER);
        if !delta.created_topics.is_empty()
            || !delta.deleted_topics.is_empty()
            || !delta.changed_partitions.is_empty()
            || !delta.changed_brokers.is_empty()
            || delta.changed_configs.iter().any(|resource| is_looked_at(resource.kind))
        {
            self.is_stale.store(true, Ordering::Release);
        }
    }
}
