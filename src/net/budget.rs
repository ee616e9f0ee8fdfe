//! A shared allowance of memory for what peers send.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::large::LargeBuffers;

/// Unit in which memory is granted, in bytes. A semaphore's count is 32 bits wide in one request; this keeps it small.
const UNIT_BYTES: usize = 1024;

/// How long a frame that has begun waits for memory before it asks to go first.
const JAMMED: Duration = Duration::from_millis(100);

/// How much memory frames that are being received or handled may take together. Cloning shares the allowance.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    total_units: usize,
    /// Whose frame goes first, beyond the allowance: see `extend_begun`.
    pub(super) first: Arc<Semaphore>,
    /// What large frames are received in.
    pub(super) large: LargeBuffers,
}

/// Memory that a frame holds; given back when dropped.
#[derive(Debug, Default)]
pub struct MemoryGrant {
    permits: Option<OwnedSemaphorePermit>,
    /// Of the one frame that waits for nobody.
    goes_first: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    /// An allowance of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let total_units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let (units, first) = (Arc::new(Semaphore::new(total_units)), Arc::new(Semaphore::new(1)));
        Self { units, total_units, first, large: LargeBuffers::default() }
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

    /// The same for a frame of which a part is there already.
    ///
    /// Many such frames may hold the whole allowance between them, each waiting for more. So one at a time goes first: it gets
    /// what it needs beyond the allowance, which is exceeded by one frame at most, and gives back all it has when it is done.
    pub async fn extend_begun(&self, grant: &mut MemoryGrant, bytes: usize) {
        if grant.goes_first.is_some() {
            return;
        }
        let jammed = async {
            tokio::time::sleep(JAMMED).await;
            Arc::clone(&self.first).acquire_owned().await
        };
        let turn = tokio::select! {
            biased;
            () = self.extend(grant, bytes) => return,
            turn = jammed => turn,
        };
        grant.goes_first = turn.ok();
    }

    /// Whether less than an eighth is left: slow senders should not hold what they have for long.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.units.available_permits() < self.total_units / 8
    }
}
