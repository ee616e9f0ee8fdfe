//! Transactions that hold readers of committed records back, and those that will do so for ever.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity};
use crate::cli::support::{moment_text, with_thousands};
use crate::client::admin::OffsetSpec;
use crate::client::{Admin, ClientError, Lane};
use crate::config::IsolationLevel;
use crate::protocol::messages::DescribeProducersRequest;
use crate::protocol::messages::describe_producers_request::TopicRequest;
use crate::protocol::messages::describe_producers_response::ProducerState;
use crate::types::{Offset, TopicPartition};

/// The longest that a transaction may take unless `transaction.max.timeout.ms` is set: a producer that has not written
/// for so long, and whose coordinator has not ended its transaction, is forgotten.
const LONGEST_MS: i64 = 15 * 60 * 1000;
/// No more partitions than this are asked who holds them back.
const MOST_ASKED: usize = 100;

/// Looks at partitions of which the committed records end before the others.
pub(super) async fn look(admin: &Admin, partitions: &[TopicPartition], findings: &mut Vec<Finding>) {
    let all = || partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect::<Vec<_>>();
    // Order: where all end is asked first, so that what is committed in between does not look held back.
    let ends = admin.list_offsets(all(), IsolationLevel::ReadUncommitted).await;
    let stable = admin.list_offsets(all(), IsolationLevel::ReadCommitted).await;
    let found = |listed: &BTreeMap<_, Result<crate::client::admin::ListedOffset, ClientError>>, partition| {
        listed.get(partition)?.as_ref().ok()?.offset
    };
    let mut held: Vec<(&TopicPartition, i64)> = Vec::new();
    for partition in partitions {
        if let (Some(end), Some(stable)) = (found(&ends, partition), found(&stable, partition))
            && stable < end
        {
            held.push((partition, end.get() - stable.get()));
        }
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let (mut open, mut hanging) = (Vec::new(), Vec::new());
    for (number, (partition, records)) in held.into_iter().enumerate() {
        let producers = if number < MOST_ASKED { producers(admin, partition).await } else { Ok(Vec::new()) };
        // Brokers before 2.8 can't tell who it is.
        match oldest(producers.unwrap_or_default(), now) {
            Some(producer) => hanging.push(format!(
                "{partition} (producer {} from offset {}, last seen {})",
                producer.producer_id,
                Offset(producer.current_txn_start_offset),
                moment_text(producer.last_timestamp)
            )),
            None => open.push(format!("{partition} ({} records)", with_thousands(records.unsigned_abs()))),
        }
    }
    let finding = Finding::new(
        Severity::Problem,
        "hanging-transaction",
        "transactions that nobody will end hold back readers of committed records, and keep compaction from its work",
        "`kafka-rs transactions abort --topic TOPIC --partition NUMBER --start-offset OFFSET` ends one",
    );
    findings.extend(finding.about(hanging));
    let finding = Finding::new(
        Severity::Note,
        "open-transaction",
        "open transactions hold back readers of committed records",
        "usual while producers are at work; a transaction is ended when transaction.timeout.ms of its producer is over",
    );
    findings.extend(finding.about(open));
}

/// The producer whose transaction is open and forgotten, the oldest if there are several.
fn oldest(producers: Vec<ProducerState>, now: i64) -> Option<ProducerState> {
    let open = producers.into_iter().filter(|producer| producer.current_txn_start_offset >= 0);
    open.filter(|producer| now.saturating_sub(producer.last_timestamp) > LONGEST_MS)
        .min_by_key(|producer| producer.current_txn_start_offset)
}

async fn producers(admin: &Admin, partition: &TopicPartition) -> Result<Vec<ProducerState>, ClientError> {
    let cluster = admin.cluster();
    let Some((leader, _)) = cluster.metadata().leader(&partition.topic, partition.partition) else {
        return Ok(Vec::new());
    };
    let connection = cluster.node(leader, Lane::General, cluster.api_deadline()).await?;
    let topic = TopicRequest {
        name: partition.topic.clone(),
        partition_indexes: vec![partition.partition.get()],
        ..Default::default()
    };
    let response = connection.call(&DescribeProducersRequest { topics: vec![topic], ..Default::default() }).await?;
    let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
    Ok(partitions.flat_map(|partition| partition.active_producers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_open_and_old_hangs() {
        let producer = |producer_id, current_txn_start_offset, last_timestamp| ProducerState {
            producer_id,
            current_txn_start_offset,
            last_timestamp,
            ..Default::default()
        };
        let now = 100 * LONGEST_MS;
        let old = now - 2 * LONGEST_MS;
        assert_eq!(oldest(vec![producer(1, -1, old), producer(2, 7, now)], now), None);
        let found = oldest(vec![producer(1, 9, old), producer(2, 4, old)], now);
        assert_eq!(found.map(|producer| producer.producer_id), Some(2));
    }
}
