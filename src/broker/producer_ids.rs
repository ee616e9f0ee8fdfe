//! Gives out producer ids, one by one, from blocks that the controller hands out.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::error;

use super::context::now;
use super::controller::{Controller, ControllerError};
use super::errors::chain;
use crate::protocol::ErrorCode;
use crate::types::ProducerId;

/// The ids that this broker may give out.
#[derive(Debug)]
pub(super) struct ProducerIds {
    controller: Arc<Controller>,
    /// The next one and the end of its block; empty at first.
    block: Mutex<(i64, i64)>,
}

impl ProducerIds {
    pub(super) fn new(controller: Arc<Controller>) -> Self {
        Self { controller, block: Mutex::new((0, 0)) }
    }

    /// An id that nobody else gets, if the block still has one.
    fn next(&self) -> Option<ProducerId> {
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, end) = *block;
        (next < end).then(|| {
            block.0 += 1;
            ProducerId::new(next)
        })
    }

    /// An id that nobody else gets.
    ///
    /// # Errors
    /// There is no block of ids to be had now.
    pub(super) async fn allocate(self: &Arc<Self>) -> Result<ProducerId, ErrorCode> {
        loop {
            if let Some(id) = self.next() {
                return Ok(id);
            }
            let this = Arc::clone(self);
            match tokio::task::spawn_blocking(move || this.refill()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    error!(error = chain(&error), "no block of producer ids");
                    return Err(ErrorCode::CoordinatorNotAvailable);
                }
                Err(_) => return Err(ErrorCode::UnknownServerError),
            }
        }
    }

    /// Takes a new block, unless somebody else did meanwhile. Blocks: the block is durable before an id of it is given out.
    ///
    /// # Errors
    /// The controller can't write.
    fn refill(&self) -> Result<(), ControllerError> {
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        if block.0 < block.1 {
            return Ok(());
        }
        let (first, count) = self.controller.allocate_producer_ids(now().wall_ms)?;
        *block = (first.get(), first.get() + count);
        Ok(())
    }
}
