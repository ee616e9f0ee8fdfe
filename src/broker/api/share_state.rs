//! States of share groups, between brokers: InitializeShareGroupState (key 83, version 0), ReadShareGroupState (84, 0),
//! WriteShareGroupState (85, 0-1), DeleteShareGroupState (86, 0), ReadShareGroupStateSummary (87, 0-1).
//!
//! Behaviour: the rules are in `share_state/`; here each partition of a request becomes a command, and its result an answer in
//! its own slot. A request without a group or without topics is answered with nothing, as Kafka does.
//! Versions: v1 of WriteShareGroupState and ReadShareGroupStateSummary count the records that are done with (KIP-1226).

use crate::broker::context::RequestContext;
use crate::broker::share_state::{DeliveryState, Initialize, Refused, SharePartitionKey, StateBatch, Write};
use crate::protocol::messages::{
    DeleteShareGroupStateRequest, DeleteShareGroupStateResponse, InitializeShareGroupStateRequest,
    InitializeShareGroupStateResponse, ReadShareGroupStateRequest, ReadShareGroupStateResponse,
    ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse, WriteShareGroupStateRequest,
    WriteShareGroupStateResponse, delete_share_group_state_response, initialize_share_group_state_response,
    read_share_group_state_response, read_share_group_state_summary_response, write_share_group_state_response,
};
use crate::types::Uuid;

fn key(group: &str, topic_id: Uuid, partition: i32) -> SharePartitionKey {
    SharePartitionKey { group: group.to_owned(), topic_id, partition }
}

/// The code and the words of a refusal.
fn told(refused: &Refused) -> (i16, Option<String>) {
    (refused.error.code(), Some(refused.message.unwrap_or(refused.error.name()).to_owned()))
}

/// The code and the words of a result that has nothing else to say.
fn outcome(result: &Result<(), Refused>) -> (i16, Option<String>) {
    result.as_ref().err().map_or((0, None), told)
}

pub(in crate::broker) async fn initialize(
    ctx: &RequestContext,
    request: InitializeShareGroupStateRequest,
) -> InitializeShareGroupStateResponse {
    use initialize_share_group_state_response::{InitializeStateResult, PartitionResult};
    let mut results = Vec::new();
    for topic in topics(&request.group_id, request.topics) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let key = key(&request.group_id, topic.topic_id, wanted.partition);
            let initialize = Initialize { state_epoch: wanted.state_epoch, start_offset: wanted.start_offset };
            let result = ctx.broker.share_states.initialize(&key, initialize, ctx.broker.now()).await;
            let (error_code, error_message) = outcome(&result);
            let partition = wanted.partition;
            partitions.push(PartitionResult { partition, error_code, error_message, ..Default::default() });
        }
        results.push(InitializeStateResult { topic_id: topic.topic_id, partitions, ..Default::default() });
    }
    InitializeShareGroupStateResponse { results, ..Default::default() }
}

pub(in crate::broker) async fn read(
    ctx: &RequestContext,
    request: ReadShareGroupStateRequest,
) -> ReadShareGroupStateResponse {
    use read_share_group_state_response::{PartitionResult, ReadStateResult};
    let mut results = Vec::new();
    for topic in topics(&request.group_id, request.topics) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let key = key(&request.group_id, topic.topic_id, wanted.partition);
            let answer = PartitionResult { partition: wanted.partition, ..Default::default() };
            partitions.push(match ctx.broker.share_states.read(&key, wanted.leader_epoch, ctx.broker.now()).await {
                Ok(read) => PartitionResult {
                    state_epoch: read.state_epoch,
                    start_offset: read.start_offset,
                    state_batches: read
                        .batches
                        .iter()
                        .map(|batch| read_share_group_state_response::StateBatch {
                            first_offset: batch.first,
                            last_offset: batch.last,
                            delivery_state: batch.state.0,
                            delivery_count: batch.count,
                            ..Default::default()
                        })
                        .collect(),
                    ..answer
                },
                Err(refused) => {
                    let (error_code, error_message) = told(&refused);
                    PartitionResult { error_code, error_message, ..answer }
                }
            });
        }
        results.push(ReadStateResult { topic_id: topic.topic_id, partitions, ..Default::default() });
    }
    ReadShareGroupStateResponse { results, ..Default::default() }
}

pub(in crate::broker) async fn write(
    ctx: &RequestContext,
    request: WriteShareGroupStateRequest,
) -> WriteShareGroupStateResponse {
    use write_share_group_state_response::{PartitionResult, WriteStateResult};
    let mut results = Vec::new();
    for topic in topics(&request.group_id, request.topics) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let key = key(&request.group_id, topic.topic_id, wanted.partition);
            let batches = wanted.state_batches.iter().map(|batch| StateBatch {
                first: batch.first_offset,
                last: batch.last_offset,
                state: DeliveryState(batch.delivery_state),
                count: batch.delivery_count,
            });
            let write = Write {
                state_epoch: wanted.state_epoch,
                leader_epoch: wanted.leader_epoch,
                start_offset: wanted.start_offset,
                delivery_complete_count: wanted.delivery_complete_count,
                batches: batches.collect(),
            };
            let result = ctx.broker.share_states.write(&key, write, ctx.broker.now()).await;
            let (error_code, error_message) = outcome(&result);
            let partition = wanted.partition;
            partitions.push(PartitionResult { partition, error_code, error_message, ..Default::default() });
        }
        results.push(WriteStateResult { topic_id: topic.topic_id, partitions, ..Default::default() });
    }
    WriteShareGroupStateResponse { results, ..Default::default() }
}

pub(in crate::broker) async fn delete(
    ctx: &RequestContext,
    request: DeleteShareGroupStateRequest,
) -> DeleteShareGroupStateResponse {
    use delete_share_group_state_response::{DeleteStateResult, PartitionResult};
    let mut results = Vec::new();
    for topic in topics(&request.group_id, request.topics) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let key = key(&request.group_id, topic.topic_id, wanted.partition);
            let (error_code, error_message) = outcome(&ctx.broker.share_states.delete(&key, ctx.broker.now()).await);
            let partition = wanted.partition;
            partitions.push(PartitionResult { partition, error_code, error_message, ..Default::default() });
        }
        results.push(DeleteStateResult { topic_id: topic.topic_id, partitions, ..Default::default() });
    }
    DeleteShareGroupStateResponse { results, ..Default::default() }
}

pub(in crate::broker) async fn summary(
    ctx: &RequestContext,
    request: ReadShareGroupStateSummaryRequest,
) -> ReadShareGroupStateSummaryResponse {
    use read_share_group_state_summary_response::{PartitionResult, ReadStateSummaryResult};
    let mut results = Vec::new();
    for topic in topics(&request.group_id, request.topics) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let key = key(&request.group_id, topic.topic_id, wanted.partition);
            let answer = PartitionResult { partition: wanted.partition, ..Default::default() };
            partitions.push(match ctx.broker.share_states.summary(&key, ctx.broker.now()).await {
                Ok(summary) => PartitionResult {
                    state_epoch: summary.state_epoch,
                    leader_epoch: summary.leader_epoch,
                    start_offset: summary.start_offset,
                    delivery_complete_count: summary.delivery_complete_count,
                    ..answer
                },
                Err(refused) => {
                    let (error_code, error_message) = told(&refused);
                    PartitionResult { error_code, error_message, ..answer }
                }
            });
        }
        results.push(ReadStateSummaryResult { topic_id: topic.topic_id, partitions, ..Default::default() });
    }
    ReadShareGroupStateSummaryResponse { results, ..Default::default() }
}

/// The topics of a request; none if it names no group.
fn topics<T>(group: &str, topics: Vec<T>) -> Vec<T> {
    if group.is_empty() { Vec::new() } else { topics }
}
