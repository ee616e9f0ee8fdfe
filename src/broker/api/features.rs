//! UpdateFeatures (key 57, versions 0-2), UnregisterBroker (64, 0).
//!
//! Behaviour: which levels may be set, and Kafka's words where they may not, are in `controller/feature_updates.rs`; what is set is in
//! effect when the answer goes out. A broker that is unregistered leads nothing any more and is in sync with nothing; this node's own,
//! which runs, registers again at once (Kafka's stays without one until it is started again, and serves nothing meanwhile).
//! Versions: UpdateFeatures v1 has ways down and validation only (KIP-778), v2 no results for single features.

use crate::broker::context::{RequestContext, now};
use crate::protocol::messages::{
    UnregisterBrokerRequest, UnregisterBrokerResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

pub(in crate::broker) async fn update(ctx: &RequestContext, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let version = ctx.version;
    ctx.broker
        .change_and_cordon(move |broker| broker.controller.update_features(&request, version, now().wall_ms))
        .await
}

pub(in crate::broker) async fn unregister_broker(
    ctx: &RequestContext,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    ctx.broker.change(move |broker| broker.controller.unregister_broker(&request, now().wall_ms)).await
}
