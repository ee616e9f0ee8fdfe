//! `transactions find-hanging`: transactions that are open in a partition, and that their coordinator has forgotten.

use std::collections::BTreeMap;

use serde_json::json;

use super::describe::{now_ms, producers_call, producers_of};
use super::{FindHanging, TransactionsError, broker, is_unknown, optional, print_rows};
use crate::cli::support::{Output, java, number};
use crate::client::admin::{ProducerState, TransactionDescription, TransactionFilter};
use crate::client::{Admin, ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::types::{NodeId, PartitionId, TopicPartition};

/// How many partitions are asked about at a time.
const BATCH: usize = 500;

/// Where to look.
pub(super) struct Search {
    topic: Option<String>,
    partition: Option<i32>,
    broker: Option<NodeId>,
    timeout_ms: i64,
}

/// An open transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    partition: TopicPartition,
    state: ProducerState,
}

impl FindHanging {
    pub(super) fn checked(self) -> anyhow::Result<Search> {
        let broker = broker(self.broker_id.as_deref())?;
        let partition = optional(self.place.partition.as_deref(), "--partition", "Integer")?;
        let minutes: i32 = number(&self.max_transaction_timeout, "--max-transaction-timeout", "Integer")?;
        if self.place.topic.is_none() && broker.is_none() {
            return Err(TransactionsError::new(
                "The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search",
            )
            .into());
        }
        if self.place.topic.is_none() && partition.is_some() {
            return Err(TransactionsError::new("The --partition argument requires --topic to be provided").into());
        }
        Ok(Search { topic: self.place.topic, partition, broker, timeout_ms: i64::from(minutes) * 60_000 })
    }
}

impl Search {
    pub(super) async fn run(self, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        let partitions = self.partitions(admin).await?;
        let now = now_ms();
        let mut open = Vec::new();
        for batch in partitions.chunks(BATCH) {
            open.extend(self.open_transactions(batch, now, admin).await?);
        }
        let hanging = if open.is_empty() { Vec::new() } else { hanging(open, admin).await? };
        print(&hanging, now, out)
    }

    async fn partitions(&self, admin: &Admin) -> anyhow::Result<Vec<TopicPartition>> {
        let topics = match (&self.topic, self.partition) {
            (Some(topic), Some(partition)) => {
                return Ok(vec![TopicPartition { topic: topic.clone(), partition: PartitionId(partition) }]);
            }
            (Some(topic), None) => vec![topic.clone()],
            (None, _) => {
                let topics = admin
                    .list_topics()
                    .await
                    .map_err(|error| TransactionsError::call("Failed to list topics", "listTopics", &error))?;
                topics.into_iter().map(|topic| topic.name).collect()
            }
        };
        let what = format!("Failed to describe {} topics", topics.len());
        let described = admin
            .describe_topics(&topics, 2000)
            .await
            .map_err(|error| TransactionsError::call(&what, "listNodes", &error))?;
        let mut found = Vec::new();
        for (name, description) in described {
            let description =
                description.map_err(|error| TransactionsError::call(&what, "listNodes", &ClientError::from(error)))?;
            let on_broker = description
                .partitions
                .iter()
                .filter(|partition| self.broker.is_none_or(|broker| partition.replicas.contains(&broker)));
            found.extend(on_broker.map(|partition| TopicPartition { topic: name.clone(), partition: partition.id }));
        }
        Ok(found)
    }

    async fn open_transactions(
        &self,
        partitions: &[TopicPartition],
        now: i64,
        admin: &Admin,
    ) -> anyhow::Result<Vec<Open>> {
        let shown = self.broker.map_or_else(|| "Optional.empty".to_owned(), |broker| format!("Optional[{broker}]"));
        let what = format!("Failed to describe producers for {} partitions on broker {shown}", partitions.len());
        let failed = |error: &ClientError| TransactionsError::call(&what, producers_call(self.broker), error);
        let described = match partitions {
            [partition] => {
                let states = producers_of(partition, self.broker, admin).await;
                BTreeMap::from([(partition.clone(), states)])
            }
            _ => admin.describe_producers(partitions, self.broker).await.map_err(|error| failed(&error))?,
        };
        let mut described: Vec<_> = described.into_iter().collect();
        java::in_sized_partition_hash_map_order(&mut described, |(partition, _)| partition);
        let mut open = Vec::new();
        for (partition, states) in described {
            let states = match states {
                // Deleted since it was listed.
                Err(error) if is_unknown(&error) && partitions.len() > 1 => continue,
                states => states.map_err(|error| failed(&error))?,
            };
            let old = |state: &ProducerState| {
                state.transaction_start_offset.is_some() && now.saturating_sub(state.last_timestamp) > self.timeout_ms
            };
            open.extend(states.into_iter().filter(old).map(|state| Open { partition: partition.clone(), state }));
        }
        Ok(open)
    }
}

/// Those that no coordinator will end.
async fn hanging(open: Vec<Open>, admin: &Admin) -> anyhow::Result<Vec<Open>> {
    let mut producer_ids: Vec<i64> = open.iter().map(|open| open.state.producer_id).collect();
    producer_ids.sort_unstable();
    producer_ids.dedup();
    let order = in_kafkas_order(&producer_ids);
    let what = format!("Failed to list transactions for {} producers", producer_ids.len());
    let filter = TransactionFilter { producer_ids, ..TransactionFilter::default() };
    let listed = admin
        .list_transactions(&filter)
        .await
        .map_err(|(_, error)| TransactionsError::call(&what, "listTransactions(api=METADATA)", &error))?;
    let ids: BTreeMap<i64, String> =
        listed.into_values().flatten().map(|listing| (listing.producer_id, listing.transactional_id)).collect();
    let what = format!("Failed to describe {} transactions", ids.len());
    let mut descriptions = BTreeMap::new();
    for (producer_id, id) in ids {
        match admin.describe_transaction(&id).await {
            Ok(description) => {
                descriptions.insert(producer_id, description);
            }
            Err(ClientError::Api(ApiError { code: ErrorCode::TransactionalIdNotFound, .. })) => {}
            Err(error) => {
                return Err(TransactionsError::call(&what, "describeTransactions(api=FIND_COORDINATOR)", &error).into());
            }
        }
    }
    let mut hanging: Vec<Open> =
        open.into_iter().filter(|open| hangs(open, descriptions.get(&open.state.producer_id))).collect();
    hanging.sort_by_key(|open| order.get(&open.state.producer_id));
    Ok(hanging)
}

/// At which place Kafka's tool has each producer: it keeps them in a hash map.
fn in_kafkas_order(producer_ids: &[i64]) -> BTreeMap<i64, usize> {
    let mut ids = producer_ids.to_vec();
    java::in_long_hash_map_order(&mut ids, |id| *id);
    ids.into_iter().enumerate().map(|(place, id)| (id, place)).collect()
}

/// A coordinator writes markers to the partitions that it tells of; to no other.
fn hangs(open: &Open, known: Option<&TransactionDescription>) -> bool {
    known.is_none_or(|known| !known.partitions.contains(&open.partition))
}

fn print(hanging: &[Open], now: i64, out: &mut Output) -> anyhow::Result<()> {
    let minutes = |open: &Open| now.saturating_sub(open.state.last_timestamp) / 60_000;
    let row = |open: &Open| {
        vec![
            open.partition.topic.clone(),
            open.partition.partition.to_string(),
            open.state.producer_id.to_string(),
            open.state.producer_epoch.to_string(),
            open.state.coordinator_epoch.to_string(),
            open.state.transaction_start_offset.unwrap_or(-1).to_string(),
            open.state.last_timestamp.to_string(),
            minutes(open).to_string(),
        ]
    };
    let json = || {
        let one = |open: &Open| {
            json!({
                "topic": open.partition.topic,
                "partition": open.partition.partition.get(),
                "producerId": open.state.producer_id,
                "producerEpoch": open.state.producer_epoch,
                "coordinatorEpoch": open.state.coordinator_epoch,
                "startOffset": open.state.transaction_start_offset,
                "lastTimestamp": open.state.last_timestamp,
                "durationMinutes": minutes(open),
            })
        };
        json!({ "version": 1, "hanging": hanging.iter().map(one).collect::<Vec<_>>() })
    };
    let kafkas = [
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ];
    let plain = ["Topic", "Partition", "Producer", "Epoch", "Coordinator epoch", "Begins at", "Last record", "Minutes"];
    Ok(print_rows(&kafkas, &plain, hanging.iter().map(row).collect(), "no hanging transactions", json, out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_hangs_that_its_coordinator_does_not_know() {
        let partition = TopicPartition::new("t", 0);
        let state = ProducerState {
            producer_id: 1,
            producer_epoch: 0,
            last_sequence: 0,
            last_timestamp: 0,
            coordinator_epoch: -1,
            transaction_start_offset: Some(5),
        };
        let open = Open { partition: partition.clone(), state };
        let known = |partitions| TransactionDescription {
            coordinator: NodeId(1),
            state: "Ongoing".to_owned(),
            producer_id: 1,
            producer_epoch: 0,
            timeout_ms: 1000,
            start_time_ms: None,
            partitions,
        };
        assert!(hangs(&open, None));
        assert!(hangs(&open, Some(&known(vec![TopicPartition::new("t", 1)]))));
        assert!(!hangs(&open, Some(&known(vec![partition]))));
    }

    #[test]
    fn producers_have_the_places_of_a_hash_map() {
        let places = |ids: &[i64]| in_kafkas_order(ids).into_iter().collect::<Vec<_>>();
        assert_eq!(places(&[3, 17, 4711]), [(3, 1), (17, 0), (4711, 2)]);
        assert_eq!(places(&[15, 1 << 32]), [(15, 1), (1 << 32, 0)]);
    }

    #[test]
    fn the_scope_must_be_limited() {
        let search = |topic: Option<&str>, partition: Option<&str>, broker_id: Option<&str>| {
            let place =
                super::super::Place { topic: topic.map(str::to_owned), partition: partition.map(str::to_owned) };
            let args = FindHanging {
                place,
                broker_id: broker_id.map(str::to_owned),
                max_transaction_timeout: "15".to_owned(),
            };
            args.checked().map(|search| search.timeout_ms).map_err(|error| error.to_string())
        };
        assert_eq!(search(Some("t"), None, None), Ok(900_000));
        assert_eq!(
            search(None, Some("0"), Some("1")).unwrap_err(),
            "The --partition argument requires --topic to be provided"
        );
        assert!(
            search(None, None, None).unwrap_err().starts_with("The `find-hanging` command requires either --topic")
        );
    }
}
