//! Elections of leaders (KIP-460).

use std::collections::BTreeMap;

use super::reassignments::grouped;
use super::{Admin, checked};
use crate::client::{ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::protocol::messages::ElectLeadersRequest;
use crate::protocol::messages::elect_leaders_request::TopicPartitions;
use crate::types::TopicPartition;

/// Who may become leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ElectionType {
    /// The first replica, if it is in sync.
    Preferred = 0,
    /// Any live replica if none is in sync, whatever is lost by it.
    Unclean = 1,
}

impl Admin {
    /// Has leaders elected for partitions, or for all that need one.
    ///
    /// A partition that is led as it should be has the error `ELECTION_NOT_NEEDED`; where all are meant, it is left out.
    ///
    /// # Errors
    /// No broker answers, or the request is refused as a whole.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ApiError>>, ClientError> {
        let topic_partitions = partitions.map(|partitions| {
            grouped(partitions.iter().map(|partition| (partition, ())))
                .into_iter()
                .map(|(topic, partitions)| TopicPartitions {
                    topic,
                    partitions: partitions.into_iter().map(|(index, ())| index).collect(),
                    ..Default::default()
                })
                .collect()
        });
        let request = ElectLeadersRequest {
            election_type: election as i8,
            topic_partitions,
            timeout_ms: self.request_timeout_ms(),
            ..Default::default()
        };
        let response = self
            .call_controller(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code)))
            .await?;
        ApiError::check(response.error_code, None)?;
        let mut results = BTreeMap::new();
        for topic in response.replica_election_results {
            for partition in topic.partition_result {
                let key = TopicPartition::new(topic.topic.as_str(), partition.partition_id);
                results.insert(key, checked(partition.error_code, partition.error_message, || ()));
            }
        }
        Ok(results)
    }
}
