//! Transactions of producers that are gone before the end.

use std::time::Duration;

use kafka_rs::protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_rs::protocol::messages::{AddPartitionsToTxnRequest, FindCoordinatorRequest, InitProducerIdRequest};

use crate::support::wait_for;
use crate::wire::{Wire, transactional_batch};

/// How long the coordinator may take until it has its topic.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any suite: nobody aborts the transaction in the meantime.
const TIMEOUT_MS: i32 = 600_000;

/// Whether a coordinator will end the transaction some day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The coordinator was told of the partition.
    Open,
    /// It was not; that is possible without `transaction.partition.verification.enable`.
    Hanging,
}

/// Writes a record of a transaction of `id` into a partition, and leaves it at that.
pub fn abandon(server: &str, known: Known, id: &str, topic: &str, partition: i32) {
    let mut wire = Wire::connect(server);
    let find = FindCoordinatorRequest { key_type: 1, coordinator_keys: vec![id.into()], ..Default::default() };
    wait_for("the transaction coordinator", PATIENCE, || {
        (wire.call(&find, 6).unwrap().coordinators[0].error_code == 0).then_some(())
    });
    let init = InitProducerIdRequest {
        transactional_id: Some(id.to_owned()),
        transaction_timeout_ms: TIMEOUT_MS,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let producer = wait_for("a producer id", PATIENCE, || {
        let answer = wire.call(&init, 4).unwrap();
        (answer.error_code == 0).then_some(answer)
    });
    if known == Known::Open {
        let partitions =
            AddPartitionsToTxnTopic { name: topic.to_owned(), partitions: vec![partition], ..Default::default() };
        let add = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id.to_owned(),
            v3_and_below_producer_id: producer.producer_id,
            v3_and_below_producer_epoch: producer.producer_epoch,
            v3_and_below_topics: vec![partitions],
            ..Default::default()
        };
        let added = wire.call(&add, 3).unwrap();
        assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0);
    }
    let batch = transactional_batch(producer.producer_id, producer.producer_epoch, 0);
    assert_eq!(wire.produce_in_transaction(Some(id), topic, partition, batch, 11), 0);
}
