//! The task that sends a member's heartbeats.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::state::{After, Answer, Beat};
use super::{LEAVES, LEAVES_FOR_A_WHILE, Membership};
use crate::client::admin::find_coordinator;
use crate::client::cluster::{AutoCreate, Cluster, Lane, TopicScope};
use crate::client::connection::{CallOptions, Connection};
use crate::client::retry::Deadline;
use crate::client::{ApiError, ClientError, lock};
use crate::protocol::Request;

/// How heartbeats are said in one of the protocols.
pub(in crate::client) trait Protocol: Send + Sync + 'static {
    /// The request.
    type Request: Request;

    fn group_id(&self) -> &str;

    /// Whether the member has a name of its own, so that it is not forgotten at once when it leaves.
    fn is_static(&self) -> bool;

    fn max_poll_interval(&self) -> Duration;

    /// The request, in a version that can say it.
    ///
    /// # Errors
    /// The broker does not speak such a version.
    fn request(&self, beat: &Beat, connection: &Connection) -> Result<Self::Request, ClientError>;

    /// The request that leaves.
    fn farewell(&self, member_id: String, epoch: i32) -> Self::Request;

    fn answer(&self, response: <Self::Request as Request>::Response) -> Result<Answer, ApiError>;
}

/// What the task works with.
#[derive(Debug, Clone)]
pub(in crate::client) struct Surroundings {
    pub(in crate::client) cluster: Cluster,
    /// Told when there is something for the application.
    pub(in crate::client) news: Arc<Notify>,
}

/// Sends heartbeats until it is aborted.
pub(in crate::client) async fn run<P: Protocol>(around: Surroundings, membership: Arc<Membership>, protocol: Arc<P>) {
    let mut coordinator: Option<Connection> = None;
    let mut name_backoff = around.cluster.retry_backoff();
    let mut look_up_at: Option<Instant> = None;
    loop {
        let now = Instant::now();
        if lock(&membership.state).poll_expired(protocol.max_poll_interval(), now) {
            tracing::warn!(
                group = protocol.group_id(),
                "poll was not called for max.poll.interval.ms: leaving the group so that others can go on"
            );
            let member_id = lock(&membership.state).member_id().to_owned();
            say_farewell(&around.cluster, &*protocol, member_id).await;
            around.news.notify_one();
        }
        let beat = lock(&membership.state).next_beat(now);
        if let Some(beat) = beat {
            let answer = send(&around.cluster, &*protocol, &beat, &mut coordinator).await;
            if take(&membership, &*protocol, &beat, answer, &mut coordinator) {
                look_up_at = Some(Instant::now());
                name_backoff.reset();
            }
            around.news.notify_one();
        }
        if look_up_at.is_some_and(|at| at <= Instant::now()) {
            look_up_at = match look_up_names(&around.cluster, &membership).await {
                true => None,
                // The metadata of a topic that was just created comes a little later.
                false => Some(Instant::now() + name_backoff.next_wait()),
            };
            around.news.notify_one();
        }
        let due = lock(&membership.state).due(protocol.max_poll_interval());
        let due = [due, look_up_at].into_iter().flatten().min();
        match due {
            // Cancelling either loses nothing: a wake-up is kept.
            Some(at) => tokio::select! {
                () = membership.wake.notified() => {}
                () = tokio::time::sleep_until(at) => {}
            },
            None => membership.wake.notified().await,
        }
    }
}

async fn send<P: Protocol>(
    cluster: &Cluster,
    protocol: &P,
    beat: &Beat,
    coordinator: &mut Option<Connection>,
) -> Result<<P::Request as Request>::Response, ClientError> {
    let deadline = Deadline::after(cluster.options().request_timeout);
    let connection = match coordinator.take().filter(|connection| !connection.is_closed()) {
        Some(connection) => connection,
        None => find_coordinator(cluster, protocol.group_id(), Lane::Group, deadline).await?,
    };
    let request = protocol.request(beat, &connection)?;
    let response = connection.call_with(&request, CallOptions::default()).await?;
    *coordinator = Some(connection);
    Ok(response)
}

/// Takes what came of a heartbeat; says whether there are names to look up.
fn take<P: Protocol>(
    membership: &Membership,
    protocol: &P,
    beat: &Beat,
    answer: Result<<P::Request as Request>::Response, ClientError>,
    coordinator: &mut Option<Connection>,
) -> bool {
    let now = Instant::now();
    let mut state = lock(&membership.state);
    let after = match answer {
        Ok(response) => state.answered(beat, protocol.answer(response), now),
        // What a search for the coordinator says counts as its own answer.
        Err(ClientError::Api(error)) => state.answered(beat, Err(error), now),
        Err(error) if error.is_retriable() || matches!(error, ClientError::DeadlineExceeded { .. }) => {
            tracing::debug!(%error, group = protocol.group_id(), "a heartbeat failed");
            state.unanswered(beat, now);
            After::Nothing
        }
        Err(error) => {
            state.answered(beat, Err(crate::protocol::ErrorCode::UnsupportedVersion.into()), now);
            drop(state);
            membership.tell(error);
            return false;
        }
    };
    drop(state);
    match after {
        After::Nothing => false,
        After::NewTarget => true,
        After::Lost => {
            tracing::info!(group = protocol.group_id(), "the coordinator put this member out; joining again");
            false
        }
        After::OtherCoordinator => {
            *coordinator = None;
            false
        }
        After::Tell(error) | After::Failed(error) => {
            membership.tell(error.into());
            false
        }
    }
}

/// Whether all names of the target are known now.
async fn look_up_names(cluster: &Cluster, membership: &Membership) -> bool {
    let mut missing = lock(&membership.state).nameless();
    if missing.is_empty() {
        return true;
    }
    learn(cluster, membership, &mut missing);
    if !missing.is_empty() {
        let deadline = Deadline::after(cluster.options().request_timeout);
        let asked = cluster.refresh(&TopicScope::Ids(missing.clone()), AutoCreate::Never, deadline).await;
        if let Err(error) = asked {
            tracing::debug!(%error, "no metadata of assigned topics");
        }
        learn(cluster, membership, &mut missing);
    }
    missing.is_empty()
}

fn learn(cluster: &Cluster, membership: &Membership, missing: &mut Vec<crate::types::Uuid>) {
    let metadata = cluster.metadata();
    let named = metadata.topics.values().filter(|topic| missing.contains(&topic.id) && !topic.name.is_empty());
    let found: Vec<_> = named.map(|topic| (topic.id, topic.name.clone())).collect();
    missing.retain(|id| found.iter().all(|(known, _)| known != id));
    lock(&membership.state).learn_names(found);
}

/// Leaves the group, if the member is in it.
pub(in crate::client) async fn leave<P: Protocol>(cluster: &Cluster, membership: &Membership, protocol: &P) {
    let left = lock(&membership.state).leave();
    if let Some(member_id) = left {
        say_farewell(cluster, protocol, member_id).await;
    }
}

async fn say_farewell<P: Protocol>(cluster: &Cluster, protocol: &P, member_id: String) {
    let epoch = if protocol.is_static() { LEAVES_FOR_A_WHILE } else { LEAVES };
    let request = protocol.farewell(member_id, epoch);
    let deadline = Deadline::after(cluster.options().request_timeout);
    let ask = async {
        let connection = find_coordinator(cluster, protocol.group_id(), Lane::Group, deadline).await?;
        connection.call(&request).await
    };
    // The session's end has the same effect, only later.
    if let Err(error) = ask.await {
        tracing::debug!(%error, group = protocol.group_id(), "could not leave the group");
    }
}
