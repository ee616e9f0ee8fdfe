//! InitProducerId (key 22), versions 0-5.
//!
//! Behaviour: without a transactional id the producer gets a new id at epoch 0, from a block that the controller has handed to this
//! broker. A producer that brings its old id and epoch (v3, KIP-360) gets a new id as well: the old one's sequences end there.
//! Not here yet: transactional ids.

use tracing::error;

use crate::broker::context::RequestContext;
use crate::broker::errors::chain;
use crate::protocol::ErrorCode;
use crate::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use crate::types::ProducerId;

pub(in crate::broker) async fn init(ctx: &RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let refused = |error: ErrorCode| InitProducerIdResponse {
        error_code: error.code(),
        producer_epoch: -1,
        ..Default::default()
    };
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return refused(ErrorCode::InvalidRequest),
        // Fatal for the client, with a text that says what is missing.
        Some(_) => return refused(ErrorCode::UnsupportedVersion),
    }
    match next_id(ctx).await {
        Ok(id) => InitProducerIdResponse { producer_id: id.get(), producer_epoch: 0, ..Default::default() },
        Err(error) => refused(error),
    }
}

async fn next_id(ctx: &RequestContext) -> Result<ProducerId, ErrorCode> {
    loop {
        if let Some(id) = ctx.broker.producer_ids.next() {
            return Ok(id);
        }
        let broker = std::sync::Arc::clone(&ctx.broker);
        let refilled = tokio::task::spawn_blocking(move || broker.producer_ids.refill()).await;
        match refilled {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                error!(error = chain(&error), "no block of producer ids");
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
            Err(_) => return Err(ErrorCode::UnknownServerError),
        }
    }
}
