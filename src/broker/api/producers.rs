//! DescribeProducers (key 61, version 0).
//!
//! Behaviour: the idempotent and transactional producers that a partition remembers, with the offset where an open
//! transaction begins (KIP-664).

use crate::broker::context::RequestContext;
use crate::broker::errors::log_error;
use crate::log::ProducerEntry;
use crate::metadata::topic_name;
use crate::protocol::ErrorCode;
use crate::protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use crate::protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let invalid = topic_name::check(&topic.name).err();
        let partitions = topic.partition_indexes.iter().map(|index| {
            let answer = PartitionResponse { partition_index: *index, ..Default::default() };
            if let Some(error) = &invalid {
                let error_code = ErrorCode::InvalidTopicException.code();
                return PartitionResponse { error_code, error_message: Some(error.to_string()), ..answer };
            }
            match producers_of(ctx, &topic.name, *index) {
                Ok(active_producers) => PartitionResponse { active_producers, ..answer },
                Err(error) => PartitionResponse { error_code: error.code(), ..answer },
            }
        });
        TopicResponse { partitions: partitions.collect(), name: topic.name.clone(), ..Default::default() }
    });
    DescribeProducersResponse { topics: topics.collect(), ..Default::default() }
}

fn producers_of(ctx: &RequestContext, topic: &str, index: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let partition = ctx.broker.topics.partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.check_online()?;
    let producers = partition.log().active_producers().map_err(|error| log_error(&error))?;
    Ok(producers.iter().map(producer_state).collect())
}

fn producer_state(producer: &ProducerEntry) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id.get(),
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence(),
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.txn_first_offset.map_or(-1, |offset| offset.get()),
        ..Default::default()
    }
}
