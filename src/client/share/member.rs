//! The heartbeats of share groups.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::connection::Connection;
use crate::client::membership::{Answer, Beat, Protocol};
use crate::client::{ApiError, ClientError};
use crate::protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};

/// The member's side of the protocol.
#[derive(Debug)]
pub(super) struct ShareGroup {
    pub(super) group_id: String,
    pub(super) rack: String,
    pub(super) max_poll_interval: Duration,
}

impl Protocol for ShareGroup {
    type Request = ShareGroupHeartbeatRequest;

    fn group_id(&self) -> &str {
        &self.group_id
    }

    fn is_static(&self) -> bool {
        false
    }

    fn max_poll_interval(&self) -> Duration {
        self.max_poll_interval
    }

    fn request(&self, beat: &Beat, _connection: &Connection) -> Result<Self::Request, ClientError> {
        let interests = beat.interests.as_ref();
        Ok(ShareGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: beat.member_id.clone(),
            member_epoch: beat.epoch,
            rack_id: (beat.full && !self.rack.is_empty()).then(|| self.rack.clone()),
            // What the member owns is not said: partitions of a share group belong to many.
            subscribed_topic_names: interests.map(|interests| interests.topics.iter().cloned().collect()),
            ..Default::default()
        })
    }

    fn farewell(&self, member_id: String, epoch: i32) -> Self::Request {
        ShareGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id,
            member_epoch: epoch,
            ..Default::default()
        }
    }

    fn answer(&self, response: ShareGroupHeartbeatResponse) -> Result<Answer, ApiError> {
        ApiError::check(response.error_code, response.error_message)?;
        let assignment = response.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.into_iter();
            topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect::<BTreeSet<_>>())).collect()
        });
        Ok(Answer {
            member_id: response.member_id,
            epoch: response.member_epoch,
            interval: Duration::from_millis(response.heartbeat_interval_ms.max(1).unsigned_abs().into()),
            assignment,
        })
    }
}
