//! CreateTopics (key 19, versions 2-7), DeleteTopics (20, 1-6), CreatePartitions (37, 0-3).
//!
//! Behaviour: the checks, in Kafka's order, are in `controller/topics.rs`; the answer comes when the change is durable and the
//! partitions are there.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::broker::context::{Broker, RequestContext, now};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse,
};

pub(in crate::broker) async fn create(ctx: &RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse {
    ctx.broker.change(move |broker| broker.controller.create_topics(&request, now().wall_ms)).await
}

pub(in crate::broker) async fn delete(ctx: &RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let version = ctx.version;
    ctx.broker.change(move |broker| broker.controller.delete_topics(&request, version, now().wall_ms)).await
}

pub(in crate::broker) async fn create_partitions(
    ctx: &RequestContext,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    ctx.broker.change(move |broker| broker.controller.create_partitions(&request, now().wall_ms)).await
}

impl Broker {
    /// Runs a change of the metadata on a thread that may wait for the disk.
    pub(in crate::broker) async fn change<R: Default + Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Self) -> R + Send + 'static,
    ) -> R {
        let broker = Arc::clone(self);
        // A panic was logged by its thread; an empty answer is better than none.
        tokio::task::spawn_blocking(move || change(&broker)).await.unwrap_or_default()
    }

    /// Creates topics that somebody asked for and that are not there; says which could not be and why.
    pub(in crate::broker) async fn create_missing_topics(
        self: &Arc<Self>,
        names: BTreeSet<String>,
    ) -> Vec<(String, ErrorCode)> {
        self.change(move |broker| broker.controller.create_missing_topics(names, now().wall_ms)).await
    }
}
