//! InitProducerId (key 22), versions 0-5.
//!
//! Behaviour: without a transactional id the producer gets a new id at epoch 0, from a block that the controller has handed to this
//! broker; also if it brings its old id and epoch (v3, KIP-360): the old one's sequences end there. With a transactional id the
//! rules are in `transactions/init.rs`.
//! Versions: v3 brings the producer's id and epoch, v4 knows `PRODUCER_FENCED`. v6, which is for two-phase commit (KIP-939), is not stable in
//! Kafka 4.3 and not served.

use crate::broker::context::RequestContext;
use crate::broker::transactions::ProducerIdentity;
use crate::protocol::ErrorCode;
use crate::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use crate::record::NO_PRODUCER_EPOCH;
use crate::types::ProducerId;

/// First version whose clients know `PRODUCER_FENCED`.
const FIRST_VERSION_WITH_FENCED: i16 = 4;

pub(in crate::broker) async fn init(ctx: &RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse {
    match identity(ctx, &request).await {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id.get(),
            producer_epoch: producer.epoch,
            ..Default::default()
        },
        Err(error) => {
            let error = match error {
                ErrorCode::ProducerFenced if ctx.version < FIRST_VERSION_WITH_FENCED => ErrorCode::InvalidProducerEpoch,
                error => error,
            };
            InitProducerIdResponse { error_code: error.code(), producer_epoch: -1, ..Default::default() }
        }
    }
}

async fn identity(ctx: &RequestContext, request: &InitProducerIdRequest) -> Result<ProducerIdentity, ErrorCode> {
    let broker = &ctx.broker;
    let found = ProducerIdentity { id: ProducerId::new(request.producer_id), epoch: request.producer_epoch };
    let expected = match (found.id, found.epoch) {
        (ProducerId::NONE, NO_PRODUCER_EPOCH) => None,
        (ProducerId::NONE, _) | (_, NO_PRODUCER_EPOCH) => return Err(ErrorCode::InvalidRequest),
        _ => Some(found),
    };
    match request.transactional_id.as_deref() {
        None => Ok(ProducerIdentity { id: broker.producer_ids.allocate().await?, epoch: 0 }),
        Some(id) => broker.transactions.init_producer_id(id, request.transaction_timeout_ms, expected).await,
    }
}
