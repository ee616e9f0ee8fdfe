//! Offsets of partitions: look them up by time, delete what lies before them.

use super::{Admin, millis};
use crate::client::cluster::{Cluster, Lane};
use crate::client::leaders::{Outcome, Part, ask_leaders, ask_leaders_once, by_topic};
use crate::client::retry::Deadline;
use crate::client::{ApiError, ClientError};
use crate::config::IsolationLevel;
use crate::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use crate::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::protocol::messages::{DeleteRecordsRequest, ListOffsetsRequest, ListOffsetsResponse};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// Which offset of a partition is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffsetSpec {
    /// The first one that is there.
    Earliest,
    /// The end: the next one that will be readable.
    Latest,
    /// The one of the record with the largest timestamp (3.0 and newer).
    MaxTimestamp,
    /// The first one on the broker's own disk (3.4 and newer).
    EarliestLocal,
    /// The last one in remote storage (3.6 and newer).
    LatestTiered,
    /// The first one that is not in remote storage yet (4.2 and newer).
    EarliestPendingUpload,
    /// The first one at or after this time, in milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetSpec {
    /// The timestamp that stands for it in ListOffsets.
    #[must_use]
    pub const fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::EarliestPendingUpload => -6,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// An offset that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; `None` if no record is as asked.
    pub offset: Option<Offset>,
    /// The record's timestamp, -1 where none was asked for.
    pub timestamp: i64,
    /// The epoch of the leader that wrote it, -1 if not told.
    pub leader_epoch: LeaderEpoch,
}

fn list_request(
    parts: &[Part<OffsetSpec>],
    isolation: IsolationLevel,
    timeout_ms: i32,
    version: i16,
) -> ListOffsetsRequest {
    let partition = |part: &Part<OffsetSpec>| ListOffsetsPartition {
        partition_index: part.partition.partition.get(),
        current_leader_epoch: part.leader_epoch.get(),
        timestamp: part.wanted.timestamp(),
        ..Default::default()
    };
    let topic = |(name, parts): (&str, Vec<&Part<OffsetSpec>>)| ListOffsetsTopic {
        name: name.to_owned(),
        partitions: parts.into_iter().map(partition).collect(),
        ..Default::default()
    };
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: if version >= 2 { isolation.code() } else { 0 },
        topics: by_topic(parts).into_iter().map(topic).collect(),
        timeout_ms,
        ..Default::default()
    }
}

fn list_results(response: ListOffsetsResponse) -> Vec<(TopicPartition, Result<ListedOffset, ApiError>)> {
    let mut told = Vec::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let listed = ListedOffset {
                offset: (partition.offset >= 0).then_some(Offset(partition.offset)),
                timestamp: partition.timestamp,
                leader_epoch: LeaderEpoch(partition.leader_epoch),
            };
            let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            told.push((key, ApiError::check(partition.error_code, None).map(|()| listed)));
        }
    }
    told
}

/// Looks offsets up at the partitions' leaders, until the deadline.
pub(in crate::client) async fn list_offsets(
    cluster: &Cluster,
    wanted: Vec<(TopicPartition, OffsetSpec)>,
    isolation: IsolationLevel,
    deadline: Deadline,
) -> Outcome<ListedOffset> {
    let timeout_ms = millis(cluster.options().request_timeout);
    let build = |parts: &[Part<OffsetSpec>], version: i16| list_request(parts, isolation, timeout_ms, version);
    ask_leaders(cluster, Lane::General, wanted, build, list_results, deadline).await
}

/// Looks offsets up once, at the leaders that are known.
pub(in crate::client) async fn list_offsets_once(
    cluster: &Cluster,
    wanted: &[(TopicPartition, OffsetSpec)],
    isolation: IsolationLevel,
    deadline: Deadline,
) -> Vec<(TopicPartition, Result<ListedOffset, ClientError>)> {
    let timeout_ms = millis(cluster.options().request_timeout);
    let build = |parts: &[Part<OffsetSpec>], version: i16| list_request(parts, isolation, timeout_ms, version);
    ask_leaders_once(cluster, Lane::General, wanted, &build, &list_results, deadline).await
}

impl Admin {
    /// Looks offsets up. Partitions that do not exist (yet) are asked for until `default.api.timeout.ms` is over.
    pub async fn list_offsets(
        &self,
        wanted: Vec<(TopicPartition, OffsetSpec)>,
        isolation: IsolationLevel,
    ) -> Outcome<ListedOffset> {
        list_offsets(&self.cluster, wanted, isolation, self.cluster.api_deadline()).await
    }

    /// Deletes the records before an offset (`None`: all that are there); gives the first offset that is left.
    pub async fn delete_records(&self, before: Vec<(TopicPartition, Option<Offset>)>) -> Outcome<Offset> {
        let timeout_ms = self.request_timeout_ms();
        let build = |parts: &[Part<Option<Offset>>], _: i16| DeleteRecordsRequest {
            topics: by_topic(parts)
                .into_iter()
                .map(|(name, parts)| DeleteRecordsTopic {
                    name: name.to_owned(),
                    partitions: parts
                        .into_iter()
                        .map(|part| DeleteRecordsPartition {
                            partition_index: part.partition.partition.get(),
                            offset: part.wanted.map_or(-1, Offset::get),
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                })
                .collect(),
            timeout_ms,
            ..Default::default()
        };
        let read = |response: crate::protocol::messages::DeleteRecordsResponse| {
            let mut told = Vec::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let left = Offset(partition.low_watermark);
                    told.push((key, ApiError::check(partition.error_code, None).map(|()| left)));
                }
            }
            told
        };
        let deadline = self.cluster.api_deadline();
        ask_leaders(&self.cluster, Lane::General, before, build, read, deadline).await
    }

    /// Offsets of all partitions of a topic.
    ///
    /// # Errors
    /// The topic does not exist, or one of its partitions can't be asked.
    pub async fn topic_offsets(&self, topic: &str, spec: OffsetSpec) -> Result<Vec<ListedOffset>, ClientError> {
        use crate::client::cluster::{AutoCreate, TopicScope};
        let deadline = self.cluster.api_deadline();
        let scope = TopicScope::Names(vec![topic.to_owned()]);
        let metadata = self.cluster.refresh(&scope, AutoCreate::Never, deadline).await?;
        let Some(known) = metadata.topics.get(topic) else {
            return Err(ApiError::from(crate::protocol::ErrorCode::UnknownTopicOrPartition).into());
        };
        ApiError::check(known.error.code(), None)?;
        let wanted =
            known.partitions.iter().map(|partition| (TopicPartition::new(topic, partition.id), spec)).collect();
        self.list_offsets(wanted, IsolationLevel::ReadUncommitted).await.into_values().collect()
    }
}
