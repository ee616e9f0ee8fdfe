//! What goes to brokers, one request each at a time, and what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::acknowledgements::{Acknowledgements, Key};
use super::records::{self, Delivered};
use super::session::Session;
use super::{Acknowledged, ShareConsumer, ShareError};
use crate::client::admin::millis;
use crate::client::cluster::{Cluster, Lane};
use crate::client::connection::CallOptions;
use crate::client::retry::Deadline;
use crate::client::{ApiError, ClientError, Node, lock};
use crate::protocol::messages::share_fetch_response::{self, PartitionData};
use crate::protocol::messages::{
    ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse,
};
use crate::protocol::{ErrorCode, Request};
use crate::types::{LeaderEpoch, NodeId, TopicPartition};

/// How long closing waits for brokers: what they are not told they find out when the locks are over.
const CLOSING: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug)]
pub(super) struct Event {
    node: NodeId,
    session: Session,
    told: Acknowledgements,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Fetched(Result<ShareFetchResponse, ClientError>),
    Acknowledged(Result<ShareAcknowledgeResponse, ClientError>),
}

/// A broker.
#[derive(Debug)]
pub(super) struct NodeState {
    /// `None` while a request is under way, which has it.
    session: Option<Session>,
    /// The request under way tells of records.
    telling: bool,
    retry_at: Option<Instant>,
    /// What is to be told.
    pub(super) pending: Acknowledgements,
}

impl Default for NodeState {
    fn default() -> Self {
        Self { session: Some(Session::default()), telling: false, retry_at: None, pending: Acknowledgements::default() }
    }
}

impl NodeState {
    pub(super) fn has_told_all(&self) -> bool {
        self.pending.is_empty() && !self.telling
    }

    pub(super) fn is_idle(&self) -> bool {
        self.session.is_some() && self.pending.is_empty()
    }
}

impl ShareConsumer {
    /// Sends what can be sent: acknowledgements, and fetches if there is nothing to hand out. Says when to look again.
    pub(super) fn send(&mut self, fetch: bool) -> Instant {
        let now = Instant::now();
        let mut look_again = now + self.options.client.metadata_max_age;
        let mut wanted: BTreeMap<NodeId, BTreeSet<Key>> = BTreeMap::new();
        let metadata = self.cluster.metadata();
        for key in &self.assigned {
            let leader = self.names.get(key).and_then(|name| metadata.leader(&name.topic, name.partition));
            match leader {
                Some((leader, _)) => drop(wanted.entry(leader).or_default().insert(*key)),
                None => look_again = look_again.min(self.refresh_not_before.max(now + Duration::from_millis(1))),
            }
        }
        let nodes: BTreeSet<NodeId> = wanted.keys().chain(self.nodes.keys()).copied().collect();
        let mut over = Acknowledgements::default();
        for node in nodes {
            let wanted = wanted.remove(&node).unwrap_or_default();
            let state = self.nodes.entry(node).or_default();
            if let Some(at) = state.retry_at.filter(|at| *at > now) {
                look_again = look_again.min(at);
                continue;
            }
            let Some(mut session) = state.session.take() else { continue };
            let mut told = std::mem::take(&mut state.pending);
            if !session.is_open() && !told.is_empty() {
                // The locks went with the session.
                over.merge(std::mem::take(&mut told));
            }
            let apart = told.has_renewals() || told.partitions().any(|(key, _)| !wanted.contains(key));
            if !told.is_empty() && (apart || !fetch) {
                state.telling = true;
                self.start_acknowledge(node, session, told, false);
            } else if fetch && (!wanted.is_empty() || !told.is_empty()) {
                state.telling = !told.is_empty();
                let mut request = self.fetch_request();
                session.build(&wanted, &told, &mut request);
                let timeout = self.options.client.request_timeout.max(self.options.fetch_max_wait * 2);
                self.start(node, session, told, request, timeout, Answer::Fetched);
            } else {
                state.session = Some(session);
            }
        }
        if !over.is_empty() {
            self.report(&over, |_| Err(ShareError::SessionOver));
        }
        look_again
    }

    fn member(&self) -> Option<String> {
        let member = self.member.as_ref()?;
        Some(lock(&member.membership.state).member_id().to_owned())
    }

    fn fetch_request(&self) -> ShareFetchRequest {
        ShareFetchRequest {
            group_id: Some(self.options.group_id.clone()),
            member_id: self.member(),
            max_wait_ms: millis(self.options.fetch_max_wait),
            min_bytes: self.options.fetch_min_bytes,
            max_bytes: self.options.fetch_max_bytes,
            max_records: self.options.max_poll_records,
            batch_size: self.options.max_poll_records,
            share_acquire_mode: self.options.acquire.code(),
            ..Default::default()
        }
    }

    fn start_acknowledge(&self, node: NodeId, session: Session, told: Acknowledgements, is_final: bool) {
        let request = ShareAcknowledgeRequest {
            group_id: Some(self.options.group_id.clone()),
            member_id: self.member(),
            share_session_epoch: if is_final { Session::FINAL_EPOCH } else { session.epoch() },
            is_renew_ack: told.has_renewals(),
            topics: told.for_acknowledge(),
            ..Default::default()
        };
        let timeout = self.options.client.request_timeout;
        self.start(node, session, told, request, timeout, Answer::Acknowledged);
    }

    fn start<R: Request + Send + Sync + 'static>(
        &self,
        node: NodeId,
        session: Session,
        told: Acknowledgements,
        request: R,
        timeout: Duration,
        answer: fn(Result<R::Response, ClientError>) -> Answer,
    ) where
        R::Response: Send,
    {
        let (cluster, events) = (self.cluster.clone(), self.events.clone());
        tokio::spawn(async move {
            let result = call(&cluster, node, &request, timeout).await;
            // The consumer is gone if nobody takes it.
            let _ = events.send(Event { node, session, told, answer: answer(result) }).await;
        });
    }

    /// Takes an answer.
    pub(super) fn handle(&mut self, event: Event) {
        let Event { node, mut session, told, answer } = event;
        let (code, message) = match &answer {
            Answer::Fetched(Ok(response)) => (response.error_code, response.error_message.clone()),
            Answer::Acknowledged(Ok(response)) => (response.error_code, response.error_message.clone()),
            Answer::Fetched(Err(error)) | Answer::Acknowledged(Err(error)) => {
                // A session lives no longer than its connection.
                session.reset();
                self.failed(node, session, &told, &error.clone());
                return;
            }
        };
        let accepted = session.accept(ErrorCode::from_code(code));
        self.settle(node, session, !accepted);
        if let Err(error) = ApiError::check(code, message) {
            tracing::debug!(%error, node = node.get(), "a share request was refused");
            self.report(&told, |_| Err(error.clone().into()));
            if !error.code.is_retriable() {
                self.tell(error.into());
            }
            return;
        }
        match answer {
            Answer::Fetched(Ok(response)) => self.fetched(node, &told, response),
            Answer::Acknowledged(Ok(response)) => self.acknowledged(&told, response),
            Answer::Fetched(Err(_)) | Answer::Acknowledged(Err(_)) => {}
        }
    }

    fn settle(&mut self, node: NodeId, session: Session, failed: bool) {
        let state = self.nodes.entry(node).or_default();
        state.session = Some(session);
        state.telling = false;
        state.retry_at = failed.then(|| Instant::now() + self.options.client.retry_backoff);
    }

    fn failed(&mut self, node: NodeId, session: Session, told: &Acknowledgements, error: &ClientError) {
        tracing::debug!(%error, node = node.get(), "a share request failed");
        self.settle(node, session, true);
        self.refresh_wanted |= error.needs_metadata_refresh();
        self.report(told, |_| Err(error.clone().into()));
        if !error.is_retriable() && !matches!(error, ClientError::DeadlineExceeded { .. }) {
            self.tell(error.clone().into());
        }
    }

    fn note_lock_timeout(&mut self, timeout_ms: i32) {
        if let Some(timeout) = u64::try_from(timeout_ms).ok().filter(|timeout| *timeout > 0) {
            self.lock_timeout = Some(Duration::from_millis(timeout));
        }
    }

    fn fetched(&mut self, node: NodeId, told: &Acknowledgements, response: ShareFetchResponse) {
        self.note_lock_timeout(response.acquisition_lock_timeout_ms);
        let endpoints: Vec<_> = response
            .node_endpoints
            .into_iter()
            .map(|node| Node::new(node.node_id, &node.host, node.port, node.rack))
            .collect();
        let mut refused: BTreeMap<Key, ApiError> = BTreeMap::new();
        for topic in response.responses {
            for data in topic.partitions {
                let key = (topic.topic_id, data.partition_index);
                if let Err(error) = ApiError::check(data.acknowledge_error_code, data.acknowledge_error_message.clone())
                {
                    refused.insert(key, error);
                }
                self.take_partition(node, key, data, &endpoints);
            }
        }
        self.report(told, |key| refused.get(key).map_or(Ok(()), |error| Err(error.clone().into())));
    }

    fn take_partition(&mut self, node: NodeId, key: Key, data: PartitionData, endpoints: &[Node]) {
        let Some(name) = self.names.get(&key).map(Arc::clone) else { return };
        let share_fetch_response::LeaderIdAndEpoch { leader_id, leader_epoch, .. } = data.current_leader;
        let moved = leader_id > 0 || leader_epoch > 0;
        if let Err(error) = ApiError::check(data.error_code, data.error_message) {
            let hinted = moved
                && self.cluster.hint_leader(
                    &name.topic,
                    name.partition,
                    NodeId(leader_id),
                    LeaderEpoch(leader_epoch),
                    endpoints,
                );
            tracing::debug!(%error, partition = %name, "can't be fetched now");
            if error.code.is_retriable() || error.code == ErrorCode::UnknownServerError {
                self.refresh_wanted |= error.code.needs_metadata_refresh() && !hinted;
                let state = self.nodes.entry(node).or_default();
                state.retry_at = Some(Instant::now() + self.options.client.retry_backoff);
            } else {
                self.tell(error.into());
            }
            return;
        }
        let bytes = data.records.unwrap_or_default();
        let check_crcs = self.options.check_crcs;
        let gaps = &mut self.nodes.entry(node).or_default().pending;
        let (found, error) = records::read(key, &name, bytes, &data.acquired_records, check_crcs, gaps);
        let delivered = |record| Delivered { key, node, record, verdict: None, told: false };
        self.acquired.extend(found.into_iter().map(delivered));
        if let Some(error) = error {
            self.tell(ShareError::Records(error));
        }
    }

    fn acknowledged(&mut self, told: &Acknowledgements, response: ShareAcknowledgeResponse) {
        self.note_lock_timeout(response.acquisition_lock_timeout_ms);
        let mut refused: BTreeMap<Key, ApiError> = BTreeMap::new();
        for topic in response.responses {
            for data in topic.partitions {
                if let Err(error) = ApiError::check(data.error_code, data.error_message) {
                    self.refresh_wanted |= error.code.needs_metadata_refresh();
                    refused.insert((topic.topic_id, data.partition_index), error);
                }
            }
        }
        self.report(told, |key| refused.get(key).map_or(Ok(()), |error| Err(error.clone().into())));
    }

    /// Tells everybody who wants to know what became of acknowledgements.
    fn report(&mut self, told: &Acknowledgements, result: impl Fn(&Key) -> Result<(), ShareError>) {
        let mut all = Vec::new();
        for (key, ranges) in told.partitions() {
            let Some(name) = self.names.get(key).map(|name| TopicPartition::clone(name)) else { continue };
            let result = result(key);
            let mut offsets = Vec::new();
            for range in ranges.filter(|range| !range.is_gap()) {
                offsets.push(range.offsets());
                if range.is_renewal() {
                    for offset in range.first..=range.last {
                        self.renewed(&name, crate::types::Offset(offset), result.is_ok());
                    }
                }
            }
            if offsets.is_empty() {
                continue;
            }
            let known = self.results.entry(name.clone()).or_insert(Ok(()));
            if known.is_ok() {
                known.clone_from(&result);
            }
            all.push(Acknowledged { partition: name, offsets, result });
        }
        if let Some(listener) = self.listener.as_mut().filter(|_| !all.is_empty()) {
            listener.acknowledged(&all);
        }
    }

    /// Closes the sessions: what is acquired and not acknowledged is others' at once.
    pub(super) async fn close_sessions(&mut self) {
        let deadline = Deadline::after(CLOSING);
        let mut closing = BTreeSet::new();
        loop {
            while let Ok(event) = self.incoming.try_recv() {
                self.handle(event);
            }
            let home: Vec<NodeId> = self
                .nodes
                .iter()
                .filter(|(node, state)| state.session.is_some() && !closing.contains(*node))
                .map(|(node, _)| *node)
                .collect();
            for node in home {
                closing.insert(node);
                let Some(state) = self.nodes.get_mut(&node) else { continue };
                let Some(session) = state.session.take_if(|session| session.is_open()) else { continue };
                let told = std::mem::take(&mut state.pending);
                self.start_acknowledge(node, session, told, true);
            }
            if self.nodes.values().all(|state| state.session.is_some()) {
                break;
            }
            match deadline.limit(self.incoming.recv()).await {
                Some(Some(event)) => self.handle(event),
                Some(None) | None => break,
            }
        }
        self.nodes.clear();
    }
}

async fn call<R: Request>(
    cluster: &Cluster,
    node: NodeId,
    request: &R,
    timeout: Duration,
) -> Result<R::Response, ClientError> {
    let connection = cluster.node(node, Lane::Data, Deadline::after(timeout)).await?;
    connection.call_with(request, CallOptions { timeout: Some(timeout), ..Default::default() }).await
}
