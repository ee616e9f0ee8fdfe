//! The requests of the streams protocol (KIP-1071).

use std::sync::Arc;

use super::effects::Effects;
use super::group::{Group, Kind};
use super::member::Client;
use super::modern::{JOIN_EPOCH, Refusal};
use super::offsets::Offsets;
use super::records;
use super::shard::Shard;
use super::streams::{Beat, Change, Step, StreamsGroup, is_leave, topology_record};
use crate::broker::coordinator::Now;
use crate::protocol::ErrorCode;
use crate::protocol::messages::streams_group_describe_response::DescribedGroup;
use crate::protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

impl Shard {
    fn streams_group_mut(&mut self, id: &str) -> Option<&mut StreamsGroup> {
        match &mut self.groups.get_mut(id)?.kind {
            Kind::Streams(group) => Some(group),
            Kind::Classic(_) | Kind::Consumer(_) | Kind::Share(_) => None,
        }
    }

    /// StreamsGroupHeartbeat. The request was checked.
    pub(in crate::broker) fn streams_heartbeat(
        &mut self,
        request: &StreamsGroupHeartbeatRequest,
        client: &Client,
        now: Now,
    ) -> (Beat, Effects) {
        let mut effects = Effects::default();
        let answer = self.try_streams_heartbeat(request, client, now, &mut effects);
        self.set_timer(&request.group_id);
        let beat = answer.unwrap_or_else(|Refusal { code, message }| {
            let answer = StreamsGroupHeartbeatResponse {
                error_code: code.code(),
                error_message: Some(message),
                ..Default::default()
            };
            Beat { answer, missing_topics: Vec::new() }
        });
        (beat, effects)
    }

    fn try_streams_heartbeat(
        &mut self,
        request: &StreamsGroupHeartbeatRequest,
        client: &Client,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Beat, Refusal> {
        let id = request.group_id.as_str();
        let view = Arc::clone(&self.view);
        // Kafka words it in two ways.
        let not_found = if self.groups.contains_key(id) || is_leave(request) {
            self.not_a_streams_group(id)
        } else {
            Refusal::new(ErrorCode::GroupIdNotFound, format!("Streams group {id} not found."))
        };
        if let Some(topology) = &request.topology
            && topology_record(id, topology).size() > self.config.max_record_bytes
        {
            // It could never be written.
            return Err(Refusal::new(ErrorCode::InvalidRequest, "The topology is too large."));
        }
        if let Some(group) = self.streams_group_mut(id) {
            let mut step = Step::new(group, &view, now);
            let beat = if is_leave(request) {
                step.leave(request).map(|answer| Beat { answer, missing_topics: Vec::new() })
            } else {
                step.heartbeat(request, client, false)
            };
            effects.records.append(&mut step.records);
            return beat;
        }
        if request.member_epoch != JOIN_EPOCH {
            return Err(not_found);
        }
        // A new group, perhaps in the place of an empty classic one. Where the member is refused nothing has happened.
        match self.groups.get(id).map(|group| &group.kind) {
            None => {}
            Some(Kind::Classic(classic)) if classic.is_empty() => {}
            Some(_) => return Err(not_found),
        }
        let mut group = StreamsGroup::new(id);
        let mut step = Step::new(&mut group, &view, now);
        let beat = step.heartbeat(request, client, true)?;
        let decided = std::mem::take(&mut step.records);
        match self.groups.get_mut(id) {
            Some(old) => {
                effects.records.push(records::group_metadata(id, None));
                if let Kind::Classic(classic) = &mut old.kind {
                    classic.abandon(ErrorCode::RebalanceInProgress, effects);
                }
                old.kind = Kind::streams(group);
            }
            None => {
                let group = Group { kind: Kind::streams(group), offsets: Offsets::default(), deadline: None };
                self.groups.insert(id.to_owned(), group);
            }
        }
        effects.records.extend(decided);
        Ok(beat)
    }

    fn not_a_streams_group(&self, id: &str) -> Refusal {
        let what = if self.groups.contains_key(id) { "is not a streams group" } else { "not found" };
        Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {id} {what}."))
    }

    /// One group, for StreamsGroupDescribe.
    pub(in crate::broker) fn describe_streams_group(&self, id: &str) -> DescribedGroup {
        if let Some(Kind::Streams(group)) = self.groups.get(id).map(|group| &group.kind) {
            return group.describe();
        }
        let Refusal { code, message } = self.not_a_streams_group(id);
        DescribedGroup {
            group_id: id.to_owned(),
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        }
    }

    /// Takes over what the log says of a streams group.
    pub(super) fn replay_streams(&mut self, id: &str, change: Change, now: Now) {
        if !change.is_tombstone() {
            let found = self.group_or_new(id, now);
            if !matches!(found.kind, Kind::Streams(_)) {
                found.kind = Kind::streams(StreamsGroup::new(id));
            }
        }
        let is_end = change == Change::Group(None);
        let Some(group) = self.streams_group_mut(id) else { return };
        group.apply(change);
        if is_end {
            self.forget_kind(id, now);
        }
    }
}
