//! The one table of what is served: API key, versions, handler. ApiVersions answers from it, so that nothing is
//! advertised that is not served.

use bytes::Bytes;
use tracing::{debug, error};

use super::api;
use super::context::RequestContext;
use crate::protocol::frame::{RequestStart, read_request_body, response_frame};
use crate::protocol::{ApiKey, DecodeError, Message, Request, VersionRange};

/// What becomes of a connection after a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The pieces of the answer's frame are to be written.
    Answer(Vec<Bytes>),
    /// There is no answer: a produce request with `acks=0`.
    Silent,
    /// The connection is to be closed, as Kafka does for what it can't parse or does not serve.
    Close,
}

macro_rules! routes {
    ($($api:ident $min:literal..=$max:literal => $handler:path;)*) => {
        /// The served APIs with their versions, in the order of the keys.
        pub(super) const SERVED: &[(ApiKey, VersionRange)] = &[$((ApiKey::$api, VersionRange::new($min, $max)),)*];

        /// The versions in which an API is served.
        fn versions_of(api: ApiKey) -> Option<VersionRange> {
            match api {
                $(ApiKey::$api => Some(VersionRange::new($min, $max)),)*
                _ => None,
            }
        }

        async fn call(ctx: &RequestContext, start: &RequestStart, frame: &Bytes) -> Outcome {
            match start.api {
                // Boxed, so that a connection's task is not as large as the largest handler.
                $(ApiKey::$api => Box::pin(run(ctx, start, frame, $handler)).await,)*
                _ => Outcome::Close,
            }
        }
    };
}

routes! {
    Produce 3..=13 => api::produce::handle;
    Fetch 4..=18 => api::fetch::handle;
    ListOffsets 1..=11 => api::log_offsets::list;
    Metadata 0..=13 => api::metadata::metadata;
    OffsetCommit 2..=10 => api::offsets::commit;
    OffsetFetch 1..=10 => api::offsets::fetch;
    FindCoordinator 0..=6 => api::offsets::find_coordinator;
    JoinGroup 0..=9 => api::groups::join;
    Heartbeat 0..=4 => api::groups::heartbeat;
    LeaveGroup 0..=5 => api::groups::leave;
    SyncGroup 0..=5 => api::groups::sync;
    DescribeGroups 0..=6 => api::groups::describe;
    ListGroups 0..=5 => api::groups::list;
    ApiVersions 0..=4 => api::api_versions::handle;
    CreateTopics 2..=7 => api::topics::create;
    DeleteTopics 1..=6 => api::topics::delete;
    DeleteRecords 0..=2 => api::log_offsets::delete_records;
    InitProducerId 0..=5 => api::producer_ids::init;
    OffsetForLeaderEpoch 2..=4 => api::log_offsets::for_leader_epoch;
    AddPartitionsToTxn 0..=5 => api::transactions::add_partitions;
    AddOffsetsToTxn 0..=4 => api::transactions::add_offsets;
    EndTxn 0..=5 => api::transactions::end;
    WriteTxnMarkers 1..=2 => api::markers::write;
    TxnOffsetCommit 0..=5 => api::txn_offsets::commit;
    DescribeConfigs 1..=4 => api::configs::describe;
    AlterConfigs 0..=2 => api::configs::alter;
    AlterReplicaLogDirs 1..=2 => api::log_dirs::alter;
    DescribeLogDirs 1..=5 => api::log_dirs::describe;
    CreatePartitions 0..=3 => api::topics::create_partitions;
    DeleteGroups 0..=2 => api::groups::delete;
    ElectLeaders 0..=2 => api::cluster::elect_leaders;
    IncrementalAlterConfigs 0..=1 => api::configs::incremental_alter;
    AlterPartitionReassignments 0..=1 => api::cluster::alter_reassignments;
    ListPartitionReassignments 0..=0 => api::cluster::list_reassignments;
    OffsetDelete 0..=0 => api::offsets::delete;
    DescribeQuorum 0..=2 => api::cluster::describe_quorum;
    UpdateFeatures 0..=2 => api::features::update;
    DescribeCluster 0..=2 => api::metadata::describe_cluster;
    DescribeProducers 0..=0 => api::producers::describe;
    UnregisterBroker 0..=0 => api::features::unregister_broker;
    DescribeTransactions 0..=0 => api::transactions::describe;
    ListTransactions 0..=2 => api::transactions::list;
    ConsumerGroupHeartbeat 0..=1 => api::consumer_groups::heartbeat;
    ConsumerGroupDescribe 0..=1 => api::consumer_groups::describe;
    AssignReplicasToDirs 0..=0 => api::log_dirs::assign;
    ListConfigResources 0..=1 => api::configs::list_resources;
    DescribeTopicPartitions 0..=0 => api::metadata::describe_topic_partitions;
    ShareGroupHeartbeat 1..=1 => api::share_groups::heartbeat;
    ShareGroupDescribe 1..=1 => api::share_groups::describe;
    ShareFetch 1..=2 => api::share::fetch;
    ShareAcknowledge 1..=2 => api::share::acknowledge;
    InitializeShareGroupState 0..=0 => api::share_state::initialize;
    ReadShareGroupState 0..=0 => api::share_state::read;
    WriteShareGroupState 0..=1 => api::share_state::write;
    DeleteShareGroupState 0..=0 => api::share_state::delete;
    ReadShareGroupStateSummary 0..=1 => api::share_state::summary;
    StreamsGroupHeartbeat 0..=0 => api::streams_groups::heartbeat;
    StreamsGroupDescribe 0..=0 => api::streams_groups::describe;
    DescribeShareGroupOffsets 0..=1 => api::share_offsets::describe;
    AlterShareGroupOffsets 0..=0 => api::share_offsets::alter;
    DeleteShareGroupOffsets 0..=0 => api::share_offsets::delete;
}

/// Answers one request.
pub(super) async fn dispatch(ctx: &RequestContext, start: &RequestStart, frame: &Bytes) -> Outcome {
    match versions_of(start.api) {
        Some(versions) if versions.contains(start.version) && ctx.is_served_here(start.api) => {
            call(ctx, start, frame).await
        }
        // The client learns from this answer which versions there are (KIP-511).
        _ if start.api == ApiKey::ApiVersions => encode(&api::api_versions::unsupported(), ctx, start, 0),
        _ => {
            debug!(api = %start.api, version = start.version, "not served");
            Outcome::Close
        }
    }
}

/// What a handler gives: a response, or for Produce perhaps none.
pub(super) trait Answer<M> {
    /// The response; or whether the connection goes on without one.
    fn into_response(self) -> Result<M, Outcome>;
}

impl<M: Message> Answer<M> for M {
    fn into_response(self) -> Result<M, Outcome> {
        Ok(self)
    }
}

async fn run<R: Request, A: Answer<R::Response>>(
    ctx: &RequestContext,
    start: &RequestStart,
    frame: &Bytes,
    handler: impl AsyncFnOnce(&RequestContext, R) -> A,
) -> Outcome {
    match decode::<R>(start, frame) {
        Ok(request) => match handler(ctx, request).await.into_response() {
            Ok(response) => encode(&response, ctx, start, start.version),
            Err(outcome) => outcome,
        },
        Err(error) => {
            debug!(api = %start.api, version = start.version, %error, "malformed request");
            Outcome::Close
        }
    }
}

fn decode<R: Request>(start: &RequestStart, frame: &Bytes) -> Result<R, DecodeError> {
    read_request_body(frame, start)
}

fn encode<M: Message>(response: &M, ctx: &RequestContext, start: &RequestStart, version: i16) -> Outcome {
    match response_frame(response, start.api, version, start.correlation_id) {
        Ok(pieces) => Outcome::Answer(pieces),
        Err(error) => {
            error!(api = %start.api, version, client_id = ctx.client_id, %error, "an answer can't be written");
            Outcome::Close
        }
    }
}
