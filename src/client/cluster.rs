//! All brokers of a cluster: one connection to each at most per [`Lane`], and the metadata that says which to use.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::Instant;

use super::metadata::{Metadata, Node, TopicMetadata};
use super::retry::{Backoff, Deadline};
use super::{Address, ApiError, ClientError, ClientOptions, Connection, lock};
use crate::protocol::messages::metadata_request::MetadataRequestTopic;
use crate::protocol::messages::{DescribeClusterRequest, MetadataRequest};
use crate::protocol::{ErrorCode, Request};
use crate::types::{LeaderEpoch, NodeId, PartitionId, Uuid};

/// Kafka's code for controllers in DescribeCluster.
const CONTROLLERS: i8 = 2;

/// What a connection is used for. Brokers answer one request after the other, so what may wait long at the broker has
/// a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Short requests.
    General,
    /// Produce and Fetch.
    Data,
    /// The requests of group members, which wait for other members.
    Group,
}

/// Which topics to ask about.
#[derive(Debug, Clone)]
pub enum TopicScope {
    /// None: brokers only.
    Brokers,
    /// These, by name.
    Names(Vec<String>),
    /// These, by id.
    Ids(Vec<Uuid>),
    /// Every topic that there is.
    All,
}

/// A cluster as one client sees it. Clones share connections and metadata.
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ClientOptions,
    metadata: watch::Sender<Arc<Metadata>>,
    /// Bounded by the brokers that metadata names and the bootstrap servers: others are dropped.
    slots: Mutex<HashMap<(Address, Lane), Arc<Slot>>>,
    /// Held while a refresh is under way, so that many who need one share it.
    refreshing: tokio::sync::Mutex<()>,
}

/// The place of one connection.
#[derive(Debug)]
struct Slot {
    current: Mutex<Option<Connection>>,
    has_been_open: AtomicBool,
    /// Held while connecting, so that many who need the connection share the attempt.
    attempts: tokio::sync::Mutex<Attempts>,
    /// When the next attempt may start; a copy of what `attempts` says, to be read without waiting for it.
    resting_until: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Attempts {
    /// Rests between attempts.
    backoff: Backoff,
    /// Times for one attempt: a way that is slow today gets longer after each failure (KIP-601).
    setup: Backoff,
}

impl Slot {
    fn new(options: &ClientOptions) -> Self {
        let backoff = Backoff::new(options.reconnect_backoff, options.reconnect_backoff_max);
        let setup = Backoff::new(options.connection_setup_timeout, options.connection_setup_timeout_max);
        Self {
            current: Mutex::default(),
            has_been_open: AtomicBool::new(false),
            attempts: tokio::sync::Mutex::new(Attempts { backoff, setup }),
            resting_until: Mutex::default(),
        }
    }

    fn open_connection(&self) -> Option<Connection> {
        lock(&self.current).clone().filter(|connection| !connection.is_closed())
    }

    /// Whether there ever was a connection.
    fn was_open(&self) -> bool {
        self.has_been_open.load(Ordering::Relaxed)
    }

    fn resting_until(&self) -> Option<Instant> {
        lock(&self.resting_until).filter(|until| *until > Instant::now())
    }
}

impl Cluster {
    /// A cluster that is reached through `options.bootstrap_servers`. Nothing is connected yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let metadata = watch::Sender::new(Arc::new(Metadata::empty()));
        let inner = Inner { options, metadata, slots: Mutex::default(), refreshing: tokio::sync::Mutex::new(()) };
        Self { inner: Arc::new(inner) }
    }

    /// How the cluster is reached.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// What is known now.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.inner.metadata.borrow())
    }

    /// Tells when what is known changes.
    #[must_use]
    pub fn watch_metadata(&self) -> watch::Receiver<Arc<Metadata>> {
        self.inner.metadata.subscribe()
    }

    /// A deadline of `default.api.timeout.ms` from now.
    #[must_use]
    pub fn api_deadline(&self) -> Deadline {
        Deadline::after(self.inner.options.api_timeout)
    }

    /// A fresh backoff of `retry.backoff.ms`.
    #[must_use]
    pub fn retry_backoff(&self) -> Backoff {
        Backoff::new(self.inner.options.retry_backoff, self.inner.options.retry_backoff_max)
    }

    /// A connection to the broker at an address.
    ///
    /// # Errors
    /// It can't be reached. Attempts that follow a failure wait for `reconnect.backoff.ms`.
    pub async fn connection_to(
        &self,
        address: &Address,
        lane: Lane,
        deadline: Deadline,
    ) -> Result<Connection, ClientError> {
        let slot = self.slot(address, lane);
        if let Some(connection) = slot.open_connection() {
            return Ok(connection);
        }
        let out_of_time = || ClientError::DeadlineExceeded { after: deadline.elapsed(), source: None };
        let mut attempts = deadline.limit(slot.attempts.lock()).await.ok_or_else(out_of_time)?;
        // Somebody else may have connected while we waited for our turn.
        if let Some(connection) = slot.open_connection() {
            return Ok(connection);
        }
        if let Some(until) = slot.resting_until() {
            deadline.limit(tokio::time::sleep_until(until)).await.ok_or_else(out_of_time)?;
        }
        // Not limited by the deadline: the set-up timeout ends the attempt, and the next caller gains from it.
        let limit = attempts.setup.next_wait();
        let opened = Connection::open_within(limit, address, &self.inner.options).await;
        let rest = match &opened {
            Ok(_) => {
                slot.has_been_open.store(true, Ordering::Relaxed);
                attempts.backoff.reset();
                attempts.setup.reset();
                None
            }
            Err(error) => {
                tracing::debug!(%address, error = %error, "no connection");
                Some(Instant::now() + attempts.backoff.next_wait())
            }
        };
        *lock(&slot.resting_until) = rest;
        *lock(&slot.current) = opened.as_ref().ok().cloned();
        opened
    }

    /// A connection to a broker by its id.
    ///
    /// # Errors
    /// It is not known, or can't be reached.
    pub async fn node(&self, id: NodeId, lane: Lane, deadline: Deadline) -> Result<Connection, ClientError> {
        let address = match self.metadata().nodes.get(&id) {
            Some(node) => node.address.clone(),
            None => return Err(ClientError::UnknownNode(id.get())),
        };
        self.connection_to(&address, lane, deadline).await.map_err(|error| match error {
            ClientError::Connect { address, source } => ClientError::Astray { node: id.get(), address, source },
            error => error,
        })
    }

    /// Whether an error that may pass has had its time, `bootstrap_patience`, and will most likely not: a broker whose
    /// listener wants something else, or a cluster none of whose brokers was ever reached where it says that they are.
    #[must_use]
    pub fn is_hopeless(&self, error: &ClientError, deadline: Deadline) -> bool {
        if deadline.elapsed() < self.inner.options.bootstrap_patience {
            return false;
        }
        let metadata = self.metadata();
        match error {
            ClientError::CutOff { .. } => metadata.fetched_at.is_none(),
            ClientError::Astray { .. } => {
                let slots = lock(&self.inner.slots);
                let was_reached =
                    |node: &Node| slots.iter().any(|((address, _), slot)| *address == node.address && slot.was_open());
                !metadata.nodes.values().any(was_reached)
            }
            _ => false,
        }
    }

    /// A connection to whichever broker can be reached: an open one, else a known broker's, else a bootstrap server's.
    ///
    /// The bootstrap servers stay the last resort for ever, so a cluster whose brokers have all moved is found again.
    ///
    /// # Errors
    /// No broker was reached until the deadline, or until `bootstrap_patience` is over if none ever was; a controller was.
    pub async fn any(&self, deadline: Deadline) -> Result<Connection, ClientError> {
        let mut last = None;
        loop {
            let metadata = self.metadata();
            let candidates = self.candidates(&metadata);
            for address in &candidates {
                if let Some(connection) = self.existing(address).and_then(|slot| slot.open_connection()) {
                    return self.of_the_kind(connection);
                }
            }
            let patience = if metadata.fetched_at.is_some() {
                deadline
            } else {
                Deadline::after(self.inner.options.bootstrap_patience.saturating_sub(deadline.elapsed()))
            };
            for address in &candidates {
                // One that has just failed has its turn when its rest is over.
                if self.existing(address).is_some_and(|slot| slot.resting_until().is_some()) {
                    continue;
                }
                match self.connection_to(address, Lane::General, deadline).await {
                    Ok(connection) => return self.of_the_kind(connection),
                    Err(error) if error.is_retriable() => last = Some(error),
                    Err(error) => return Err(error),
                }
            }
            let next = candidates.iter().filter_map(|address| self.existing(address)?.resting_until()).min();
            let wait_until = next.unwrap_or_else(Instant::now);
            if wait_until >= patience.at().min(deadline.at()) {
                return Err(unreachable(&candidates, last, deadline));
            }
            tokio::time::sleep_until(wait_until).await;
        }
    }

    /// Refuses a controller where brokers were named. It would carry out much of what a broker is asked for, but Kafka's clients get
    /// nothing from it: they ask for metadata first, which no controller has.
    fn of_the_kind(&self, connection: Connection) -> Result<Connection, ClientError> {
        if !self.inner.options.are_controllers {
            connection.version_of::<MetadataRequest>(i16::MAX)?;
        }
        Ok(connection)
    }

    /// Asks for the topics of `scope` and lays the answer over what is known.
    ///
    /// Topics that do not exist are in the result with their error: waiting for them to appear is the caller's business.
    ///
    /// # Errors
    /// No broker answered until the deadline.
    pub async fn refresh(
        &self,
        scope: &TopicScope,
        create: AutoCreate,
        deadline: Deadline,
    ) -> Result<Arc<Metadata>, ClientError> {
        let asked_at = Instant::now();
        let out_of_time = || ClientError::DeadlineExceeded { after: deadline.elapsed(), source: None };
        let _turn = deadline.limit(self.inner.refreshing.lock()).await.ok_or_else(out_of_time)?;
        let known = self.metadata();
        if known.fetched_at.is_some_and(|at| at > asked_at) && answers(&known, scope) {
            return Ok(known);
        }
        let mut backoff = self.retry_backoff();
        let mut last = None;
        while !deadline.is_over() {
            match self.refresh_once(scope, create, deadline).await {
                Ok(metadata) => return Ok(metadata),
                // Given up while the only brokers rest: what they said before is why.
                Err(ClientError::DeadlineExceeded { after, source: None }) => {
                    return Err(ClientError::DeadlineExceeded { after, source: last });
                }
                // The time for finding a first broker is over already.
                Err(error) if !error.is_retriable() || self.metadata().fetched_at.is_none() && error.was_not_sent() => {
                    return Err(error);
                }
                Err(error) if self.is_hopeless(&error, deadline) => return Err(error),
                Err(error) => last = Some(Arc::new(error)),
            }
            let _ = deadline.limit(tokio::time::sleep(backoff.next_wait())).await;
        }
        Err(ClientError::DeadlineExceeded { after: deadline.elapsed(), source: last })
    }

    async fn refresh_once(
        &self,
        scope: &TopicScope,
        create: AutoCreate,
        deadline: Deadline,
    ) -> Result<Arc<Metadata>, ClientError> {
        if self.inner.options.are_controllers {
            return self.refresh_controllers(deadline).await;
        }
        let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let by_id = |id: &Uuid| MetadataRequestTopic { topic_id: *id, name: None, ..Default::default() };
        let topics = match scope {
            TopicScope::Brokers => Some(Vec::new()),
            TopicScope::Names(names) => Some(names.iter().map(named).collect()),
            TopicScope::Ids(ids) => Some(ids.iter().map(by_id).collect()),
            TopicScope::All => None,
        };
        let request =
            MetadataRequest { topics, allow_auto_topic_creation: create == AutoCreate::Allowed, ..Default::default() };
        let connection = self.any(deadline).await?;
        let response = connection.call(&request).await?;
        if ErrorCode::from_code(response.error_code) == ErrorCode::RebootstrapRequired {
            self.forget_nodes();
            return Err(ClientError::Disconnected { address: connection.address().clone(), source: None });
        }
        ApiError::check(response.error_code, None)?;
        if response.brokers.is_empty() {
            // A broker that has just started and knows nothing yet; what we know is better.
            return Err(ApiError::from(ErrorCode::LeaderNotAvailable).into());
        }
        let all = matches!(scope, TopicScope::All);
        let mut updated = Arc::new(Metadata::empty());
        self.inner.metadata.send_modify(|metadata| {
            *metadata = Arc::new(metadata.updated(response, all));
            updated = Arc::clone(metadata);
        });
        self.drop_strangers(&updated);
        Ok(updated)
    }

    /// Controllers know no topics as brokers do, and tell of themselves in another answer (KIP-919).
    async fn refresh_controllers(&self, deadline: Deadline) -> Result<Arc<Metadata>, ClientError> {
        let request = DescribeClusterRequest { endpoint_type: CONTROLLERS, ..Default::default() };
        let response = self.any(deadline).await?.call(&request).await?;
        ApiError::check(response.error_code, response.error_message.clone())?;
        let mut updated = Arc::new(Metadata::empty());
        self.inner.metadata.send_modify(|metadata| {
            *metadata = Arc::new(Metadata::of_controllers(response));
            updated = Arc::clone(metadata);
        });
        self.drop_strangers(&updated);
        Ok(updated)
    }

    /// A topic that exists and has partitions, looked up if it is not known yet; waits for it to appear.
    ///
    /// # Errors
    /// It did not appear until the deadline, or can't (its name is invalid, access is denied).
    pub async fn topic(
        &self,
        name: &str,
        create: AutoCreate,
        deadline: Deadline,
    ) -> Result<Arc<TopicMetadata>, ClientError> {
        if let Some(topic) = self.metadata().topic(name) {
            return Ok(Arc::clone(topic));
        }
        let scope = TopicScope::Names(vec![name.to_owned()]);
        let mut backoff = self.retry_backoff();
        loop {
            let metadata = self.refresh(&scope, create, deadline).await?;
            let code = match metadata.topics.get(name) {
                Some(topic) if topic.error == ErrorCode::None => return Ok(Arc::clone(topic)),
                Some(topic) => topic.error,
                None => ErrorCode::UnknownTopicOrPartition,
            };
            let error = ClientError::from(ApiError::from(code));
            if !code.is_retriable() {
                return Err(error);
            }
            let wait = backoff.next_wait();
            if wait >= deadline.left() {
                return Err(ClientError::DeadlineExceeded { after: deadline.elapsed(), source: Some(Arc::new(error)) });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes over a leader that a broker told of in an error response (KIP-951).
    ///
    /// Returns whether that was news: if so, a retry can go there at once.
    pub fn hint_leader(
        &self,
        topic: &str,
        partition: PartitionId,
        leader: NodeId,
        epoch: LeaderEpoch,
        endpoints: &[Node],
    ) -> bool {
        self.inner.metadata.send_if_modified(|metadata| {
            match metadata.with_leader(topic, partition, leader, epoch, endpoints) {
                Some(changed) => {
                    *metadata = Arc::new(changed);
                    true
                }
                None => false,
            }
        })
    }

    /// Forgets the topics that `keep` does not name, so that a client of many topics over time does not grow.
    pub fn retain_topics(&self, keep: impl Fn(&str) -> bool) {
        self.inner.metadata.send_if_modified(|metadata| {
            let excess = metadata.topics.keys().any(|name| !keep(name));
            if excess {
                *metadata = Arc::new(metadata.without_topics(&keep));
            }
            excess
        });
    }

    /// Sends a request to whichever broker can be reached, and again after errors that may pass.
    ///
    /// # Errors
    /// An error that does not pass, or no success until the deadline.
    pub async fn call_any<R: Request>(&self, request: &R, deadline: Deadline) -> Result<R::Response, ClientError> {
        let mut backoff = self.retry_backoff();
        loop {
            let error = match self.any(deadline).await {
                Ok(connection) => match connection.call(request).await {
                    Ok(response) => return Ok(response),
                    Err(error) => error,
                },
                Err(error) => return Err(error),
            };
            self.pause(error, &mut backoff, deadline).await?;
        }
    }

    /// Waits before a retry after `error`.
    ///
    /// # Errors
    /// `error` itself if it does not pass, or [`ClientError::DeadlineExceeded`] with it if no time is left.
    pub async fn pause(
        &self,
        error: ClientError,
        backoff: &mut Backoff,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        if !error.is_retriable() || self.is_hopeless(&error, deadline) {
            return Err(error);
        }
        let wait = backoff.next_wait();
        if wait >= deadline.left() {
            return Err(ClientError::DeadlineExceeded { after: deadline.elapsed(), source: Some(Arc::new(error)) });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Closes all connections.
    pub fn close(&self) {
        for slot in lock(&self.inner.slots).drain().map(|(_, slot)| slot) {
            if let Some(connection) = lock(&slot.current).take() {
                connection.close();
            }
        }
    }

    fn slot(&self, address: &Address, lane: Lane) -> Arc<Slot> {
        let mut slots = lock(&self.inner.slots);
        let slot = slots.entry((address.clone(), lane)).or_insert_with(|| Arc::new(Slot::new(&self.inner.options)));
        Arc::clone(slot)
    }

    fn existing(&self, address: &Address) -> Option<Arc<Slot>> {
        lock(&self.inner.slots).get(&(address.clone(), Lane::General)).cloned()
    }

    /// Known brokers in random order, to spread the load, then the bootstrap servers in theirs.
    fn candidates(&self, metadata: &Metadata) -> Vec<Address> {
        let mut known: Vec<_> = metadata.nodes.values().map(|node| node.address.clone()).collect();
        fastrand::shuffle(&mut known);
        let fresh = self.inner.options.bootstrap_servers.iter().filter(|server| !known.contains(server)).cloned();
        let fresh: Vec<_> = fresh.collect();
        known.extend(fresh);
        known
    }

    fn forget_nodes(&self) {
        self.inner.metadata.send_modify(|metadata| {
            let mut changed = Metadata::clone(metadata);
            changed.nodes.clear();
            *metadata = Arc::new(changed);
        });
    }

    fn drop_strangers(&self, metadata: &Metadata) {
        let known: BTreeSet<_> =
            metadata.nodes.values().map(|node| &node.address).chain(&self.inner.options.bootstrap_servers).collect();
        lock(&self.inner.slots).retain(|(address, _), _| known.contains(address));
    }
}

/// Whether a metadata request may make the broker create the topics that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreate {
    /// If `auto.create.topics.enable` is set there.
    Allowed,
    /// In no case.
    Never,
}

fn answers(known: &Metadata, scope: &TopicScope) -> bool {
    match scope {
        TopicScope::Brokers => true,
        TopicScope::Names(names) => names.iter().all(|name| known.topic(name).is_some()),
        TopicScope::Ids(_) | TopicScope::All => false,
    }
}

fn unreachable(candidates: &[Address], last: Option<ClientError>, deadline: Deadline) -> ClientError {
    match (last, candidates) {
        (Some(error), [_]) => error,
        (Some(error), _) => {
            let tried: Vec<_> = candidates.iter().map(Address::to_string).collect();
            ClientError::NoBroker { tried: tried.join(", "), source: Arc::new(error) }
        }
        (None, _) => ClientError::DeadlineExceeded { after: deadline.elapsed(), source: None },
    }
}

#[cfg(test)]
mod tests;
