//! WriteTxnMarkers (key 27), versions 1-2.
//!
//! Behaviour: a transaction coordinator has the transactions of producers ended in partitions that this broker leads. A marker from an
//! older coordinator, or of an older epoch of the producer, is refused. Markers in `__consumer_offsets` go through the group
//! coordinator, which makes the transaction's offsets count, or forgets them.
//! Versions: v2 says how the producer's transactions work (KIP-890).

use crate::broker::context::RequestContext;
use crate::broker::partition::ProducerMarker;
use crate::protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use crate::protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use crate::record::EndMarker;
use crate::types::{ProducerId, TopicPartition, TransactionVersion};

pub(in crate::broker) async fn write(ctx: &RequestContext, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let mut markers = Vec::with_capacity(request.markers.len());
    for wanted in request.markers {
        let marker = ProducerMarker {
            producer_id: ProducerId::new(wanted.producer_id),
            producer_epoch: wanted.producer_epoch,
            marker: EndMarker { commit: wanted.transaction_result, coordinator_epoch: wanted.coordinator_epoch },
            version: TransactionVersion::new(i16::from(wanted.transaction_version)),
        };
        let partitions: Vec<TopicPartition> = wanted
            .topics
            .iter()
            .flat_map(|topic| topic.partition_indexes.iter().map(|index| TopicPartition::new(&topic.name, *index)))
            .collect();
        let mut answers = ctx.broker.markers.write(&marker, &partitions, ctx.broker.now()).await.into_iter();
        let topics = wanted.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.into_iter().zip(answers.by_ref());
            let partitions = partitions.map(|(partition_index, answer)| WritableTxnMarkerPartitionResult {
                partition_index,
                error_code: answer.map_or_else(|error| error.code(), |()| 0),
                ..Default::default()
            });
            WritableTxnMarkerTopicResult { partitions: partitions.collect(), name: topic.name, ..Default::default() }
        });
        markers.push(WritableTxnMarkerResult {
            topics: topics.collect(),
            producer_id: wanted.producer_id,
            ..Default::default()
        });
    }
    WriteTxnMarkersResponse { markers, ..Default::default() }
}
