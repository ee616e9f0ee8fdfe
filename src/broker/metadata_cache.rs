//! What this broker knows of the cluster: the image that the controller's records add up to.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::metadata::{ApplyError, LogPosition, MetadataDelta, MetadataImage, MetadataRecord};

/// The image, for everybody to read; the controller alone changes it.
///
/// A guard is held for a look-up and never across an await: what is needed longer is cloned out (topics are `Arc`s).
#[derive(Debug)]
pub(super) struct MetadataCache {
    image: RwLock<MetadataImage>,
}

impl MetadataCache {
    /// A cache that knows this image.
    pub(super) fn new(image: MetadataImage) -> Self {
        Self { image: RwLock::new(image) }
    }

    /// The image as it is now.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, MetadataImage> {
        self.image.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the records of one commit, all at once for those who read; says what they changed.
    pub(super) fn apply(&self, records: &[MetadataRecord], position: LogPosition) -> Result<MetadataDelta, ApplyError> {
        let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
        let mut delta = MetadataDelta::default();
        for record in records {
            image.apply_noting(record, &mut delta)?;
        }
        image.set_position(position);
        Ok(delta)
    }
}
