//! A shared allowance of memory for what peers send.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::large::LargeBuffers;

/// Unit in which memory is granted, in bytes. A semaphore's count is 32 bits wide in one request; this keeps it small.
const UNIT_BYTES: usize = 1024;

/// How much memory frames that are being received or handled may take together. Cloning shares the allowance.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    total_units: usize,
    /// What large frames are received in.
    pub(super) large: LargeBuffers,
}

/// Memory that a frame holds; given back when dropped.
#[derive(Debug, Default)]
pub struct MemoryGrant {
    permits: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    /// An allowance of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let total_units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(total_units)), total_units, large: LargeBuffers::default() }
    }

    /// Waits until the allowance has `bytes` more for `grant`. Never asks for more than there is in all, so that a
    /// frame larger than the whole allowance waits for everybody else and then passes alone.
    pub async fn extend(&self, grant: &mut MemoryGrant, bytes: usize) {
        let held = grant.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.div_ceil(UNIT_BYTES).min(self.total_units - held.min(self.total_units));
        let Ok(wanted) = u32::try_from(wanted) else { return };
        if wanted == 0 {
            return;
        }
        // The semaphore is never closed, so there is nothing else to do for an error than to go on.
        if let Ok(more) = Arc::clone(&self.units).acquire_many_owned(wanted).await {
            match &mut grant.permits {
                Some(permits) => permits.merge(more),
                None => grant.permits = Some(more),
            }
        }
    }

    /// Whether less than an eighth is left: slow senders should not hold what they have for long.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.units.available_permits() < self.total_units / 8
    }
}
