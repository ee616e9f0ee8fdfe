//! A broker's settings, typed: `server.properties`, `--override`, and what was set at run time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::alter::{BrokerTarget, broker_definition};
use super::endpoints::{self, Endpoints};
use super::error::{ConfigError, Place, Warning, WarningKind};
use super::layers::{Layers, Settings, Values};
use super::listeners::{HostPort, Listener, Voter};
use super::load::{fill_in, mirror_ids, read_file, review};
use super::rules;
use super::topic::TopicConfig;
use crate::types::NodeId;

/// The internal topics, whose partitions and replicas the settings fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InternalTopic {
    /// `__consumer_offsets`
    Offsets,
    /// `__transaction_state`
    TransactionState,
    /// `__share_group_state`
    ShareGroupState,
}

macro_rules! server_config {
    ($($field:ident: $type:ty,)*) => {
        /// What counts for this broker.
        ///
        /// A field is Kafka's key with dots turned to underscores; times are `Duration`s although the names say their
        /// unit, and `None` means "no limit" or "not set". Topic keys are in `topic_defaults`.
        #[derive(Debug, Clone, PartialEq)]
        pub struct ServerConfig {
            /// `node.id`, or `broker.id` in old files.
            pub node_id: NodeId,
            /// All listeners, the controller's included.
            pub listeners: Vec<Listener>,
            /// The addresses that clients are told. A port of 0 stands until the listener is bound; no host: the
            /// machine's own name.
            pub advertised_listeners: Vec<Listener>,
            /// The addresses that nodes are told to reach the controller at.
            pub advertised_controller_listeners: Vec<Listener>,
            /// Name of the listener that other brokers use.
            pub inter_broker_listener_name: String,
            /// Names of the listeners that controllers use; empty when no file asks for one.
            pub controller_listener_names: Vec<String>,
            /// `controller.quorum.voters`
            pub controller_quorum_voters: Vec<Voter>,
            /// `controller.quorum.bootstrap.servers`
            pub controller_quorum_bootstrap_servers: Vec<HostPort>,
            /// `log.dirs`, else `log.dir`
            pub log_dirs: Vec<PathBuf>,
            /// `metadata.log.dir`, else the first of `log.dirs`
            pub metadata_log_dir: PathBuf,
            /// Connections allowed from single hosts, in place of `max.connections.per.ip`.
            pub max_connections_per_ip_overrides: Vec<(String, usize)>,
            /// `socket.receive.buffer.bytes`; left to the system where nobody set it, which then fits it to the way.
            pub socket_receive_buffer_bytes: Option<u32>,
            /// `socket.send.buffer.bytes`; left to the system where nobody set it.
            pub socket_send_buffer_bytes: Option<u32>,
            /// What counts for a topic on which nothing is set.
            pub topic_defaults: TopicConfig,
            /// What each source says.
            pub layers: Layers,
            $(
                #[doc = concat!("`", stringify!($field), "` (dots for underscores)")]
                pub $field: $type,
            )*
        }

        impl ServerConfig {
            /// Reads the fields that need no more than their key.
            fn read(head: Head, layers: Layers, values: &Values) -> Result<Self, ConfigError> {
                Ok(Self {
                    node_id: head.node_id,
                    listeners: head.endpoints.listeners,
                    advertised_listeners: head.endpoints.advertised_listeners,
                    advertised_controller_listeners: head.endpoints.advertised_controller_listeners,
                    inter_broker_listener_name: head.endpoints.inter_broker_listener_name,
                    controller_listener_names: head.endpoints.controller_listener_names,
                    controller_quorum_voters: head.endpoints.controller_quorum_voters,
                    controller_quorum_bootstrap_servers: head.endpoints.controller_quorum_bootstrap_servers,
                    log_dirs: head.log_dirs,
                    metadata_log_dir: head.metadata_log_dir,
                    max_connections_per_ip_overrides: head.max_connections_per_ip_overrides,
                    socket_receive_buffer_bytes: head.socket_receive_buffer_bytes,
                    socket_send_buffer_bytes: head.socket_send_buffer_bytes,
                    topic_defaults: TopicConfig::resolve(&layers, &Settings::new())?,
                    layers,
                    $($field: values.read(&stringify!($field).replace('_', "."))?,)*
                })
            }
        }

        /// The keys that have a field of their own.
        #[cfg(test)]
        pub(super) const FIELDS: &[&str] = &[$(stringify!($field)),*];
    };
}

server_config! {
    // The node
    broker_rack: Option<String>,
    background_threads: usize,
    broker_heartbeat_interval_ms: Duration,
    broker_session_timeout_ms: Duration,
    initial_broker_registration_timeout_ms: Duration,
    controlled_shutdown_enable: bool,
    // Connections
    connections_max_idle_ms: Option<Duration>,
    max_connections: usize,
    max_connections_per_ip: usize,
    max_connection_creation_rate: usize,
    num_io_threads: usize,
    num_network_threads: usize,
    queued_max_request_bytes: Option<usize>,
    queued_max_requests: usize,
    request_timeout_ms: Duration,
    socket_listen_backlog_size: u32,
    socket_request_max_bytes: usize,
    // Topics
    auto_create_topics_enable: bool,
    default_replication_factor: i32,
    delete_topic_enable: bool,
    num_partitions: i32,
    // Reading and replication
    fetch_max_bytes: usize,
    max_incremental_fetch_session_cache_slots: usize,
    max_request_partition_size_limit: usize,
    num_replica_fetchers: usize,
    replica_fetch_backoff_ms: Duration,
    replica_fetch_max_bytes: usize,
    replica_fetch_min_bytes: i32,
    replica_fetch_response_max_bytes: usize,
    replica_fetch_wait_max_ms: Duration,
    replica_high_watermark_checkpoint_interval_ms: Duration,
    replica_lag_time_max_ms: Duration,
    replica_socket_timeout_ms: Duration,
    auto_leader_rebalance_enable: bool,
    leader_imbalance_check_interval_seconds: Duration,
    // The logs
    log_cleaner_backoff_ms: Duration,
    log_cleaner_dedupe_buffer_size: usize,
    log_cleaner_enable: bool,
    log_cleaner_io_buffer_load_factor: f64,
    log_cleaner_io_buffer_size: usize,
    log_cleaner_io_max_bytes_per_second: f64,
    log_cleaner_threads: usize,
    log_dir_failure_timeout_ms: Duration,
    cordoned_log_dirs: Option<Vec<String>>,
    num_replica_alter_log_dirs_threads: Option<usize>,
    log_flush_offset_checkpoint_interval_ms: Duration,
    log_flush_scheduler_interval_ms: Duration,
    log_flush_start_offset_checkpoint_interval_ms: Duration,
    log_initial_task_delay_ms: Duration,
    log_retention_check_interval_ms: Duration,
    num_recovery_threads_per_data_dir: usize,
    // Metadata and its quorum
    controller_quorum_append_linger_ms: Duration,
    controller_quorum_election_backoff_max_ms: Duration,
    controller_quorum_election_timeout_ms: Duration,
    controller_quorum_fetch_timeout_ms: Duration,
    controller_quorum_request_timeout_ms: Duration,
    controller_quorum_retry_backoff_ms: Duration,
    metadata_log_max_record_bytes_between_snapshots: i64,
    metadata_log_max_snapshot_interval_ms: Duration,
    metadata_log_segment_bytes: i32,
    metadata_log_segment_ms: i64,
    metadata_max_idle_interval_ms: Duration,
    metadata_max_retention_bytes: Option<i64>,
    metadata_max_retention_ms: Option<i64>,
    // Groups and their offsets
    group_consumer_assignment_interval_ms: Duration,
    group_consumer_assignors: Vec<String>,
    group_consumer_heartbeat_interval_ms: Duration,
    group_consumer_max_assignment_interval_ms: Duration,
    group_consumer_max_heartbeat_interval_ms: Duration,
    group_consumer_max_session_timeout_ms: Duration,
    group_consumer_max_size: usize,
    group_consumer_migration_policy: String,
    group_consumer_min_assignment_interval_ms: Duration,
    group_consumer_min_heartbeat_interval_ms: Duration,
    group_consumer_min_session_timeout_ms: Duration,
    group_consumer_regex_refresh_interval_ms: Duration,
    group_coordinator_background_threads: usize,
    group_consumer_session_timeout_ms: Duration,
    group_coordinator_append_linger_ms: Option<Duration>,
    group_coordinator_rebalance_protocols: Vec<String>,
    group_coordinator_threads: usize,
    group_initial_rebalance_delay_ms: Duration,
    group_max_session_timeout_ms: Duration,
    group_max_size: usize,
    group_min_session_timeout_ms: Duration,
    offset_metadata_max_bytes: usize,
    offsets_commit_timeout_ms: Duration,
    offsets_load_buffer_size: usize,
    offsets_retention_check_interval_ms: Duration,
    offsets_retention_minutes: Duration,
    offsets_topic_compression_codec: i32,
    offsets_topic_num_partitions: i32,
    offsets_topic_replication_factor: i16,
    offsets_topic_segment_bytes: i32,
    // Producers and transactions
    add_partitions_to_txn_retry_backoff_max_ms: Duration,
    add_partitions_to_txn_retry_backoff_ms: Duration,
    producer_id_expiration_check_interval_ms: Duration,
    producer_id_expiration_ms: Duration,
    transaction_abort_timed_out_transaction_cleanup_interval_ms: Duration,
    transaction_max_timeout_ms: Duration,
    transaction_partition_verification_enable: bool,
    transaction_remove_expired_transaction_cleanup_interval_ms: Duration,
    transaction_state_log_load_buffer_size: usize,
    transaction_state_log_min_isr: i32,
    transaction_state_log_num_partitions: i32,
    transaction_state_log_replication_factor: i16,
    transaction_state_log_segment_bytes: i32,
    transactional_id_expiration_ms: Duration,
    // Share groups and their states
    group_share_assignment_interval_ms: Duration,
    group_share_delivery_count_limit: i16,
    group_share_heartbeat_interval_ms: Duration,
    group_share_initialize_retry_interval_ms: Duration,
    group_share_max_assignment_interval_ms: Duration,
    group_share_max_delivery_count_limit: i16,
    group_share_max_heartbeat_interval_ms: Duration,
    group_share_max_partition_max_record_locks: usize,
    group_share_max_record_lock_duration_ms: Duration,
    group_share_max_session_timeout_ms: Duration,
    group_share_max_share_sessions: usize,
    group_share_max_size: usize,
    group_share_min_assignment_interval_ms: Duration,
    group_share_min_delivery_count_limit: i16,
    group_share_min_heartbeat_interval_ms: Duration,
    group_share_min_partition_max_record_locks: usize,
    group_share_min_record_lock_duration_ms: Duration,
    group_share_min_session_timeout_ms: Duration,
    group_share_partition_max_record_locks: usize,
    group_share_record_lock_duration_ms: Duration,
    group_share_session_timeout_ms: Duration,
    // Streams groups
    group_streams_assignment_interval_ms: Duration,
    group_streams_heartbeat_interval_ms: Duration,
    group_streams_initial_rebalance_delay_ms: Duration,
    group_streams_max_assignment_interval_ms: Duration,
    group_streams_max_heartbeat_interval_ms: Duration,
    group_streams_max_session_timeout_ms: Duration,
    group_streams_max_size: usize,
    group_streams_max_standby_replicas: usize,
    group_streams_min_assignment_interval_ms: Duration,
    group_streams_min_heartbeat_interval_ms: Duration,
    group_streams_min_session_timeout_ms: Duration,
    group_streams_num_standby_replicas: usize,
    group_streams_session_timeout_ms: Duration,
    share_coordinator_cold_partition_snapshot_interval_ms: Duration,
    share_coordinator_snapshot_update_records_per_snapshot: u32,
    share_coordinator_state_topic_min_isr: i32,
    share_coordinator_state_topic_num_partitions: i32,
    share_coordinator_state_topic_prune_interval_ms: Duration,
    share_coordinator_state_topic_replication_factor: i16,
    share_coordinator_state_topic_segment_bytes: i32,
    share_coordinator_write_timeout_ms: Duration,
    // Quotas and client metrics
    quota_window_num: usize,
    quota_window_size_seconds: Duration,
    telemetry_max_bytes: usize,
}

/// The fields that depend on several keys.
struct Head {
    node_id: NodeId,
    endpoints: Endpoints,
    log_dirs: Vec<PathBuf>,
    metadata_log_dir: PathBuf,
    max_connections_per_ip_overrides: Vec<(String, usize)>,
    socket_receive_buffer_bytes: Option<u32>,
    socket_send_buffer_bytes: Option<u32>,
}

impl ServerConfig {
    /// Reads a broker's settings: those of `file`, over them `overrides` (`--override key=value`), the last one counts.
    ///
    /// Without `process.roles` the broker is its own controller, node 1, listens on localhost:9092 alone and keeps its
    /// data in the user's data directory, as far as nothing else is set.
    ///
    /// # Errors
    /// What cannot be read, is not valid, breaks one of Kafka's rules or is not supported yet; the text names the place.
    pub fn load(file: Option<&Path>, overrides: &[(String, String)]) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut layers = Layers::default();
        let mut warnings = Vec::new();
        for entry in file.map(read_file).transpose()?.unwrap_or_default() {
            let place = Place::Line { file: file.unwrap_or(Path::new("")).to_owned(), line: entry.line };
            let before = layers.places.insert(entry.key.clone(), place.clone());
            let old = layers.file.insert(entry.key.clone(), entry.value.clone());
            if let (Some(before), Some(_)) = (before, old.filter(|old| *old != entry.value)) {
                let kind = WarningKind::Note(format!("it counts over the other value at {before}"));
                warnings.push(Warning { place, name: entry.key, kind });
            }
        }
        for (key, value) in overrides {
            layers.places.insert(key.clone(), Place::Override);
            layers.file.insert(key.clone(), value.clone());
        }
        let (config, reviewed) = Self::from_layers(layers)?;
        warnings.extend(reviewed);
        Ok((config, warnings))
    }

    /// Takes settings from a program, for tests and `--ephemeral`.
    ///
    /// # Errors
    /// As [`ServerConfig::load`].
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Result<Self, ConfigError> {
        let overrides: Vec<_> = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self::load(None, &overrides).map(|(config, _)| config)
    }

    fn from_layers(mut layers: Layers) -> Result<(Self, Vec<Warning>), ConfigError> {
        fill_in(&mut layers)?;
        mirror_ids(&mut layers);
        let warnings = review(&layers)?;
        let config = Self::build(layers)?;
        Ok((config, warnings))
    }

    pub(super) fn build(layers: Layers) -> Result<Self, ConfigError> {
        let values = layers.values()?;
        let placed = |error: ConfigError| {
            let place = error.key().and_then(|key| layers.place(key)).cloned();
            error.at(place.as_ref())
        };
        rules::check(&values).map_err(placed)?;
        let head = head(&layers, &values).map_err(placed)?;
        Self::read(head, layers, &values)
    }

    /// The same broker with what was set at run time: for all brokers (`cluster`) and for this one (`broker`).
    ///
    /// What can't be used is left out and returned, each with what is wrong with it. Settings are checked before they
    /// are stored, so this tells of a store written by another version, or of a file that was changed since.
    #[must_use]
    pub fn with_dynamic(&self, cluster: &Settings, broker: &Settings) -> (Self, Vec<ConfigError>) {
        let mut errors = Vec::new();
        for (name, text) in cluster.iter().chain(broker) {
            if let Some(Err(error)) = broker_definition(name).map(|def| def.parse(text)) {
                errors.push(error.at(Some(&Place::RunTime)));
            }
        }
        let mut layers = self.layers.clone();
        layers.set_dynamic(cluster.clone(), broker.clone());
        if let Ok(config) = Self::build(layers.clone()) {
            return (config, errors);
        }
        // Some that are right alone break a rule together, or with the file: as many as possible count.
        let all = std::mem::take(&mut layers.cluster).into_iter().map(|setting| (BrokerTarget::All, setting));
        let own = std::mem::take(&mut layers.broker).into_iter().map(|setting| (BrokerTarget::This, setting));
        let mut pending: Vec<_> = all.chain(own).collect();
        let mut config = Self::build(layers).unwrap_or_else(|_| self.clone());
        loop {
            let (before, mut refused) = (pending.len(), Vec::new());
            for (target, (name, text)) in pending {
                let mut layers = config.layers.clone();
                match target {
                    BrokerTarget::All => layers.cluster.insert(name.clone(), text.clone()),
                    BrokerTarget::This => layers.broker.insert(name.clone(), text.clone()),
                };
                match Self::build(layers) {
                    Ok(better) => config = better,
                    Err(error) => refused.push(((target, (name, text)), error)),
                }
            }
            if refused.is_empty() || refused.len() == before {
                errors.extend(refused.into_iter().map(|((_, (name, text)), error)| ConfigError::Unusable {
                    name,
                    text,
                    cause: Box::new(error),
                }));
                return (config, errors);
            }
            pending = refused.into_iter().map(|(setting, _)| setting).collect();
        }
    }

    /// The listener that clients and brokers use, without the controller's.
    pub fn broker_listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| !self.controller_listener_names.contains(&listener.name))
    }

    /// How many replicas the partitions of an internal topic get when there are `brokers` brokers.
    ///
    /// A value that somebody set is kept, as in Kafka. The default of 3 is lowered to the number of brokers: otherwise a
    /// single node without these settings would have no groups and no transactions.
    #[must_use]
    pub fn internal_topic_replication_factor(&self, topic: InternalTopic, brokers: usize) -> i16 {
        let (key, factor) = match topic {
            InternalTopic::Offsets => ("offsets.topic.replication.factor", self.offsets_topic_replication_factor),
            InternalTopic::TransactionState => {
                ("transaction.state.log.replication.factor", self.transaction_state_log_replication_factor)
            }
            InternalTopic::ShareGroupState => (
                "share.coordinator.state.topic.replication.factor",
                self.share_coordinator_state_topic_replication_factor,
            ),
        };
        if self.layers.get(key).is_some() {
            factor
        } else {
            factor.min(i16::try_from(brokers).unwrap_or(factor)).max(1)
        }
    }
}

fn head(layers: &Layers, values: &Values) -> Result<Head, ConfigError> {
    let list = |key: &str| values.read::<Option<Vec<String>>>(key).map(Option::unwrap_or_default);
    let node_id: i32 = match (values.read::<Option<i32>>("node.id")?, values.read::<Option<i32>>("broker.id")?) {
        (Some(node), Some(broker)) if node != broker => {
            return Err(ConfigError::rule("broker.id", "You must set `node.id` to the same value as `broker.id`."));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err(ConfigError::Missing { name: "node.id".to_owned() }),
    };
    let mut log_dirs: Vec<PathBuf> = Vec::new();
    for directory in match list("log.dirs")? {
        dirs if dirs.is_empty() => list("log.dir")?,
        dirs => dirs,
    } {
        log_dirs.push(PathBuf::from(directory));
    }
    let first = log_dirs.first().cloned().ok_or_else(|| ConfigError::Missing { name: "log.dirs".to_owned() })?;
    let metadata_log_dir = values
        .read::<Option<String>>("metadata.log.dir")?
        .filter(|directory| !directory.is_empty())
        .map_or(first, PathBuf::from);
    let cordoned = values.read::<Option<Vec<String>>>("cordoned.log.dirs")?.unwrap_or_default();
    let is_own = |entry: &String| *entry == "*" || log_dirs.iter().any(|own| own.as_os_str() == entry.as_str());
    let missing: Vec<&str> = cordoned.iter().filter(|entry| !is_own(entry)).map(String::as_str).collect();
    if !missing.is_empty() {
        let what = "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : ";
        return Err(ConfigError::rule("cordoned.log.dirs", format!("{what}{}", missing.join(", "))));
    }
    let buffer = |key: &str| match layers.get(key) {
        Some(_) => values.read::<Option<u32>>(key),
        None => Ok(None),
    };
    let overrides = values.read::<String>("max.connections.per.ip.overrides")?;
    Ok(Head {
        node_id: NodeId(node_id),
        endpoints: endpoints::resolve(layers, values, node_id)?,
        log_dirs,
        metadata_log_dir,
        max_connections_per_ip_overrides: connection_overrides(&overrides)?,
        socket_receive_buffer_bytes: buffer("socket.receive.buffer.bytes")?,
        socket_send_buffer_bytes: buffer("socket.send.buffer.bytes")?,
    })
}

/// Reads `host:count,...`.
fn connection_overrides(text: &str) -> Result<Vec<(String, usize)>, ConfigError> {
    const KEY: &str = "max.connections.per.ip.overrides";
    let mut overrides = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let wrong = || {
            let message = format!("Error parsing configuration property '{KEY}': {pair} is not a host:count pair");
            ConfigError::rule(KEY, message)
        };
        let (host, count) = pair.rsplit_once(':').ok_or_else(wrong)?;
        overrides.insert(host.trim().to_owned(), count.trim().parse().map_err(|_| wrong())?);
    }
    Ok(overrides.into_iter().collect())
}

#[cfg(test)]
mod tests;
