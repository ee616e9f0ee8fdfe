//! Builds the parts of a broker in order, and stops them in reverse.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::cleaner::LogCleaner;
use super::context::{Broker, LARGE_APPENDS, now};
use super::controller::{Controller, ControllerError, ControllerOptions, OwnDirectories};
use super::coordinators::{self, Coordinators};
use super::directories::{self, Directories};
use super::disks::DiskAlarm;
use super::errors::chain;
use super::fetch_session::FetchSessions;
use super::listener::{BoundListener, ConnectionLimits};
use super::moves::Moves;
use super::regex_lookups;
use super::replicas::Replicas;
use super::topics::Topics;
use super::{flush_schedule, maintenance};
use crate::config::{Listener, ServerConfig};
use crate::log::directory::{DirectoryError, LockedDirectory};
use crate::log::{Disk, DiskFailure, ManagerError, ManagerReport, OpenProgress};
use crate::net::MemoryBudget;

/// Memory for requests in flight when `queued.max.request.bytes` does not say.
const DEFAULT_REQUEST_MEMORY_BYTES: usize = 512 << 20;

/// Memory for answers with records.
const RESPONSE_MEMORY_BYTES: usize = 512 << 20;

/// Why a broker can't start.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// An address can't be listened on.
    #[error("could not listen on {listener}")]
    Listen {
        /// The listener as it is configured.
        listener: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A log directory can't be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The logs can't be opened.
    #[error(transparent)]
    Logs(#[from] ManagerError),
    /// The disk of the metadata can't be used.
    #[error("the broker can't run without its metadata: {failure}")]
    MetadataDisk {
        /// What has happened to it.
        failure: DiskFailure,
    },
    /// No directory for logs is left.
    #[error("all log directories have failed: {reasons}")]
    AllDisks {
        /// What has happened to them.
        reasons: String,
    },
    /// The metadata can't be read or written.
    #[error("could not start the controller")]
    Controller {
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<ControllerError> for BrokerError {
    fn from(error: ControllerError) -> Self {
        Self::Controller { source: Box::new(error) }
    }
}

impl BrokerError {
    /// No directory for logs is left, after these failures.
    pub(super) fn all_disks(failures: &[DiskFailure]) -> Self {
        let reasons: Vec<String> = failures.iter().map(ToString::to_string).collect();
        Self::AllDisks { reasons: reasons.join("; ") }
    }

    /// What the controller says, or what is behind that: the disk of the metadata.
    fn of_disk(disk: &Disk, error: ControllerError) -> Self {
        if let Some((action, path, source)) = error.io() {
            disk.consider(action, path, None, source);
        }
        match disk.failure() {
            Some(failure) => Self::MetadataDisk { failure: failure.clone() },
            None => error.into(),
        }
    }
}

/// An address that a running broker listens on.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name of the listener.
    pub listener: String,
    /// The address, with the port that was chosen if 0 was asked for.
    pub address: SocketAddr,
}

/// A running broker.
#[derive(Debug)]
pub struct Server {
    endpoints: Vec<Endpoint>,
    broker: Arc<Broker>,
    stopping: watch::Sender<bool>,
    /// Why the broker can't go on.
    ended: watch::Receiver<Option<String>>,
    /// Listeners, timers and maintenance.
    tasks: JoinSet<()>,
    cleaner: Arc<LogCleaner>,
    /// Locked as long as the broker runs, if it is not one of the log directories.
    _metadata_directory: Option<LockedDirectory>,
}

impl Server {
    /// Starts a broker; returns when it answers. New directories are formatted.
    ///
    /// # Errors
    /// An address is taken, or a directory can't be used.
    pub async fn start(config: ServerConfig) -> Result<Self, BrokerError> {
        Self::start_watched(config, &OpenProgress::default()).await
    }

    /// As [`Self::start`], telling `progress` how far the logs are.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_watched(config: ServerConfig, progress: &OpenProgress) -> Result<Self, BrokerError> {
        // The addresses come first: a broker that can't be reached should not touch its directories.
        let mut bound = Vec::new();
        let mut endpoints = Vec::new();
        for listener in &config.listeners {
            let opened = bind(listener, &config).await?;
            if let Some(first) = opened.first() {
                let address = first.local_address().map_err(|source| listen_error(listener, source))?;
                endpoints.push(Endpoint { listener: listener.name.clone(), address });
            }
            bound.extend(opened);
        }

        let Directories { logs: taken, metadata: metadata_directory, metadata_fs: fs, metadata_disk, identity } =
            directories::take(&config)?;
        let cluster_id = identity.cluster_id.clone();
        let options = ControllerOptions { config: &config, identity, fs, now_ms: now().wall_ms };
        let controller = Controller::open(options).map_err(|error| BrokerError::of_disk(&metadata_disk, error))?;
        let controller = Arc::new(controller);
        let metadata = Arc::clone(controller.cache());
        let topics = Arc::new(Topics::default());
        let (replicas, report) = {
            let image = metadata.read();
            Replicas::open(config.clone(), Arc::clone(&topics), taken, &image, progress)?
        };
        let replicas = Arc::new(replicas);
        tell(&report);
        let cleaner = Arc::new(LogCleaner::start(Arc::clone(&replicas)));
        let failures = replicas.logs().failures();
        directories::tell_failures(&failures);
        let coordinators = Coordinators::new(&config, &controller, &replicas, &topics);
        let followers = (Arc::clone(&replicas), coordinators.follower());
        let cleaning = Arc::clone(&cleaner);
        controller.set_follower(Box::new(move |delta, image| {
            let (replicas, coordinators) = &followers;
            replicas.apply(delta, image);
            coordinators.apply(delta);
            if !delta.changed_configs.is_empty() {
                cleaning.wake();
            }
        }));
        let own = OwnDirectories {
            ids: replicas.logs().directory_ids(),
            cordoned: replicas.logs().cordoned_ids(),
            assignments: replicas.misplaced(&metadata.read()),
        };
        let listeners = advertised(&config, &endpoints);
        let registered = controller.register_broker(&config, &listeners, &own, now().wall_ms);
        registered.map_err(|error| BrokerError::of_disk(&metadata_disk, error))?;

        let dynamic = replicas.config();
        let limits = Arc::new(ConnectionLimits::new(
            dynamic.max_connections,
            dynamic.max_connections_per_ip,
            exceptions(&dynamic.max_connections_per_ip_overrides).await,
        ));
        let lookups = coordinators.lookups;
        let broker = Arc::new(Broker {
            cluster_id,
            request_memory: MemoryBudget::new(config.queued_max_request_bytes.unwrap_or(DEFAULT_REQUEST_MEMORY_BYTES)),
            response_memory: MemoryBudget::new(RESPONSE_MEMORY_BYTES),
            large_appends: Semaphore::new(LARGE_APPENDS),
            fetch_sessions: FetchSessions::new(config.max_incremental_fetch_session_cache_slots),
            markers: coordinators.markers,
            producer_ids: coordinators.producer_ids,
            transactions: coordinators.transactions,
            share: coordinators.share,
            share_states: coordinators.share_states,
            share_coordinator: coordinators.share_coordinator,
            groups: coordinators.groups,
            group_views: coordinators.group_views,
            config,
            metadata,
            controller,
            topics,
            replicas,
        });

        let (stopping, stop) = watch::channel(false);
        let mut tasks = JoinSet::new();
        coordinators::run(&broker, &mut tasks, &stop);
        tasks.spawn(regex_lookups::run(Arc::clone(&broker), lookups, stop.clone()));
        tasks.spawn(maintenance::run(Arc::clone(&broker), stop.clone()));
        for directory in 0..broker.replicas.logs().directory_count() {
            tasks.spawn(flush_schedule::run(Arc::clone(&broker), directory, stop.clone()));
        }
        let known = failures.into_iter().map(|(_, failure)| failure.dir).collect();
        let (alarm, ended) = DiskAlarm::new(&broker, metadata_disk, known);
        tasks.spawn(alarm.run(Arc::clone(&broker), stop.clone()));
        tasks.spawn(Moves::run(Arc::clone(&broker), stop.clone()));
        for listener in bound {
            tasks.spawn(listener.run(Arc::clone(&broker), Arc::clone(&limits), stop.clone()));
        }
        Ok(Self { endpoints, broker, stopping, ended, tasks, cleaner, _metadata_directory: metadata_directory })
    }

    /// Where the broker listens, in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    #[cfg(test)]
    pub(super) fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Returns when the broker can't go on, and says why: its disks have failed. It is to be stopped then.
    pub async fn failed(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // Nobody watches the disks any more: the broker is being stopped.
            _ => std::future::pending().await,
        }
    }

    /// Stops cleanly: no new requests, those in progress are answered, everything is flushed and marked as clean.
    pub async fn stop(mut self) {
        // Without a receiver there is nobody left to stop.
        let _ = self.stopping.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a task failed");
            }
        }
        let (broker, cleaner) = (Arc::clone(&self.broker), Arc::clone(&self.cleaner));
        let all = move || {
            cleaner.stop();
            close(&broker);
        };
        // A panic in there was logged by its thread; there is nothing left to save.
        let _ = tokio::task::spawn_blocking(all).await;
    }
}

/// Closes what is on disk. Order: the logs with their marker, which bears the broker's epoch, then the metadata, which says that the
/// broker is gone.
fn close(broker: &Broker) {
    let epoch = broker.controller.broker_epoch().unwrap_or(-1);
    if let Err(error) = broker.controller.shut_down_broker(now().wall_ms) {
        error!(error = chain(&error), "the broker's end can't be written to the metadata");
    }
    match broker.replicas.logs().close(epoch) {
        Ok(failed) => {
            for (partition, error) in failed {
                error!(%partition, error = chain(&error), "the log can't be closed; the next start checks it");
            }
        }
        Err(error) => error!(error = chain(&error), "the logs can't be closed cleanly; the next start checks them"),
    }
    broker.controller.keep_log_short(now().wall_ms);
    if let Err(error) = broker.controller.close() {
        error!(error = chain(&error), "the metadata log can't be closed");
    }
    info!("stopped");
}

/// Says what was found when the logs were opened.
fn tell(report: &ManagerReport) {
    for path in &report.unclean {
        warn!(path = %path.display(), "not stopped cleanly; the ends of its logs were checked");
    }
    for error in &report.bad_checkpoints {
        warn!(error = chain(error), "a checkpoint is damaged and made anew");
    }
    for finding in &report.findings {
        warn!("{finding}");
    }
}

/// The addresses that clients are told, with the ports that the system chose.
fn advertised(config: &ServerConfig, endpoints: &[Endpoint]) -> Vec<Listener> {
    let port = |name: &str| endpoints.iter().find(|e| e.listener == name).map(|e| e.address.port());
    config
        .advertised_listeners
        .iter()
        .filter(|listener| !config.controller_listener_names.contains(&listener.name))
        .cloned()
        .map(|mut listener| {
            if listener.port == 0 {
                listener.port = port(&listener.name).unwrap_or_default();
            }
            listener
        })
        .collect()
}

fn listen_error(listener: &Listener, source: io::Error) -> BrokerError {
    BrokerError::Listen { listener: listener.to_string(), source }
}

/// Binds a listener to its address; to all of them where the name stands for several of this machine's own, since a client may
/// resolve `localhost` either way.
async fn bind(listener: &Listener, config: &ServerConfig) -> Result<Vec<BoundListener>, BrokerError> {
    let mut addresses: Vec<SocketAddr> = match &listener.host {
        // IPv6 with IPv4 in it, where there is IPv6.
        None => vec![([0u16; 8], listener.port).into(), ([0u8; 4], listener.port).into()],
        Some(host) => tokio::net::lookup_host((host.as_str(), listener.port))
            .await
            .map_err(|source| listen_error(listener, source))?
            .collect(),
    };
    if listener.host.is_some() {
        addresses.sort_by_key(SocketAddr::is_ipv6);
    }
    let mut bound: Vec<BoundListener> = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for mut address in addresses {
        if let Some(first) = bound.first() {
            if !address.ip().is_loopback() {
                break;
            }
            // A port that the system chose for the first address holds for the others too.
            address.set_port(first.local_address().map_or(listener.port, |a| a.port()));
        }
        match open(address, config) {
            Ok(socket) => bound.push(BoundListener::new(listener.name.clone(), socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && bound.is_empty() => {
                return Err(listen_error(listener, error));
            }
            Err(error) => last = error,
        }
    }
    if bound.is_empty() { Err(listen_error(listener, last)) } else { Ok(bound) }
}

fn open(address: SocketAddr, config: &ServerConfig) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { tokio::net::TcpSocket::new_v6() } else { tokio::net::TcpSocket::new_v4() }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit them; the window that TCP agrees on follows from them, so they come before anybody connects.
    if let Some(size) = config.socket_receive_buffer_bytes {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = config.socket_send_buffer_bytes {
        socket.set_send_buffer_size(size)?;
    }
    socket.bind(address)?;
    socket.listen(config.socket_listen_backlog_size)
}

/// The addresses behind `max.connections.per.ip.overrides`.
async fn exceptions(overrides: &[(String, usize)]) -> HashMap<std::net::IpAddr, usize> {
    let mut found = HashMap::new();
    for (host, limit) in overrides {
        match tokio::net::lookup_host((host.as_str(), 0)).await {
            Ok(addresses) => found.extend(addresses.map(|address| (address.ip(), *limit))),
            Err(error) => warn!(host, %error, "max.connections.per.ip.overrides names a host that can't be found"),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::CompressionType;
    use crate::metadata::ConfigResource;
    use crate::protocol::messages::{ConfigRecord, PartitionRecord, TopicRecord};
    use crate::types::{NodeId, Uuid};

    fn config(data: &tempfile::TempDir, listeners: &str) -> ServerConfig {
        let data = data.path().to_str().unwrap();
        ServerConfig::from_pairs(&[("listeners", listeners), ("log.dirs", data)]).unwrap()
    }

    #[tokio::test]
    async fn answers_and_stops() {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(config(&data, "PLAINTEXT://localhost:0")).await.unwrap();
        let address = server.endpoints()[0].address;
        let mut client = TcpStream::connect(address).await.unwrap();
        // ApiVersions version 99, which does not exist, is answered in version 0 (KIP-511).
        client.write_all(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0]).await.unwrap();
        let mut answer = [0; 20];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
        // A frame that nobody may send closes the connection and harms nobody else.
        client.write_all(&[0xff; 4]).await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_ok());
        server.stop().await;
    }

    #[tokio::test]
    async fn connections_have_the_buffers_that_were_asked_for() {
        let sizes = async |settings: &[(&str, &str)]| {
            let config = ServerConfig::from_pairs(&[&[("log.dirs", "/d")], settings].concat()).unwrap();
            let listener = open(([127, 0, 0, 1], 0).into(), &config).unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            let socket = tokio::net::TcpSocket::from_std_stream(accepted.into_std().unwrap());
            (socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap())
        };
        let small = ("socket.receive.buffer.bytes", "20000");
        let (receive, send) = sizes(&[small, ("socket.send.buffer.bytes", "20000")]).await;
        // Systems round, and Linux doubles for its own bookkeeping.
        assert!((20_000..=60_000).contains(&receive) && (20_000..=60_000).contains(&send), "{receive} {send}");
        let (receive, send) = sizes(&[small, ("socket.send.buffer.bytes", "-1")]).await;
        assert!(receive <= 60_000 && send > 60_000, "-1 leaves it to the system: {receive} {send}");
    }

    /// Goal: what another version has stored neither stops a broker, nor takes the rest with it, nor goes unsaid.
    #[tokio::test]
    async fn stored_settings_that_can_not_be_used_are_named_and_left_out() {
        let data = tempfile::tempdir().unwrap();
        let start = || Server::start(config(&data, "PLAINTEXT://localhost:0"));
        let server = start().await.unwrap();
        let topic_id = Uuid::random();
        let topic = TopicRecord { name: "t".to_owned(), topic_id, ..Default::default() };
        let partition = PartitionRecord {
            partition_id: 0,
            topic_id,
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            directories: vec![Uuid::ZERO],
            ..Default::default()
        };
        let setting = |resource: ConfigResource, name: &str, value: &str| {
            let (name, value) = (name.to_owned(), Some(value.to_owned()));
            let resource_type = resource.kind.0;
            ConfigRecord { resource_type, resource_name: resource.name, name, value, ..Default::default() }.into()
        };
        server.broker.controller.commit_unchecked(vec![
            topic.into(),
            partition.into(),
            setting(ConfigResource::all_brokers(), "message.max.bytes", "x"),
            setting(ConfigResource::all_brokers(), "log.cleaner.threads", "999"),
            setting(ConfigResource::all_brokers(), "compression.type", "lz4"),
            setting(ConfigResource::broker(NodeId(1)), "log.from.the.future", "1"),
            setting(ConfigResource::topic("t"), "segment.bytes", "x"),
            setting(ConfigResource::topic("t"), "retention.ms", "7"),
        ]);
        server.stop().await;

        let log = Lines::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let server = {
            let _logged = tracing::subscriber::set_default(lines);
            start().await.unwrap()
        };
        let defaults = server.broker.replicas.config().topic_defaults.clone();
        assert_eq!((defaults.compression_type, defaults.max_message_bytes), (CompressionType::Lz4, 1_048_588));
        let topic = server.broker.topics.by_name("t").unwrap();
        let own = topic.partition(0).unwrap().config();
        assert_eq!((own.retention_ms, own.segment_bytes), (Some(7), 1 << 30));
        server.stop().await;
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        for key in ["message.max.bytes", "log.cleaner.threads=999", "log.from.the.future", "topic t: segment.bytes"] {
            assert_eq!(
                log.lines().filter(|line| line.contains("WARN") && line.contains(key)).count(),
                1,
                "{key}:\n{log}"
            );
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_occupied_port_is_named() {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(config(&data, "PLAINTEXT://localhost:0")).await.unwrap();
        let port = server.endpoints()[0].address.port();
        let listeners = format!("PLAINTEXT://localhost:{port}");
        let error = Server::start(config(&data, &listeners)).await.unwrap_err();
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        // On another port, the directory is what is taken.
        let error = Server::start(config(&data, "PLAINTEXT://localhost:0")).await.unwrap_err();
        assert!(error.to_string().contains("in use by another broker"), "{error}");
        server.stop().await;
        Server::start(config(&data, "PLAINTEXT://localhost:0")).await.unwrap().stop().await;
    }
}
