//! The controller at work: opens the metadata log, leads its quorum of one, commits changes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::{error, info, warn};

use super::super::metadata_cache::MetadataCache;
use super::directories::{self, Assignment, OwnDirectories};
use super::error::{ControllerError, chain};
use super::metadata_log::{DIRECTORY, Loaded, MetadataLog, QuorumRecords};
use super::quorum_state::{QuorumState, QuorumStateError};
use super::registration::{self, Node};
use super::snapshots::{self, SnapshotError};
use crate::config::{HostPort, Listener, ServerConfig};
use crate::log::Fs;
use crate::log::checkpoint::replace_file;
use crate::metadata::batch::{self, BatchPlace};
use crate::metadata::bootstrap::{self, InitialVoter};
use crate::metadata::checkpoint::{self, BOOTSTRAP_FILE};
use crate::metadata::{ControlRecord, LogPosition, MetadataDelta, MetadataImage, MetadataRecord, MetadataVersion};
use crate::protocol::messages::leader_change_message::Voter;
use crate::protocol::messages::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord, LeaderChangeMessage,
    ProducerIdsRecord,
};
use crate::types::{LeaderEpoch, NodeId, Offset, ProducerId, Uuid};

/// Producer ids that are taken from the metadata at once.
const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// Records of one batch, where an operation may take several: enough to be few, far below a batch's size.
pub(super) const RECORDS_PER_BATCH: usize = 5000;

/// The level of `kraft.version` from which on the voters stand in the log (KIP-853).
const VOTERS_IN_LOG: i16 = 1;

/// Name and address of the controller's listener where none is configured.
const DEFAULT_LISTENER: (&str, &str, u16) = ("CONTROLLER", "localhost", 9093);

/// Who this node is.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Identity {
    /// `node.id`.
    pub(in crate::broker) node_id: NodeId,
    /// The cluster.
    pub(in crate::broker) cluster_id: String,
    /// The id of the metadata directory.
    pub(in crate::broker) metadata_directory_id: Uuid,
}

/// What the controller is opened with.
#[derive(Debug)]
pub(in crate::broker) struct ControllerOptions<'a> {
    pub(in crate::broker) config: &'a ServerConfig,
    pub(in crate::broker) identity: Identity,
    pub(in crate::broker) fs: Fs,
    pub(in crate::broker) now_ms: i64,
}

/// Where the quorum stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Quorum {
    /// Who leads: this node.
    pub(in crate::broker) leader: NodeId,
    /// The directory that it votes with; zero where voters are known by their ids alone.
    pub(in crate::broker) directory_id: Uuid,
    /// The epoch of this leadership.
    pub(in crate::broker) epoch: LeaderEpoch,
    /// The offset behind the last record, which is durable.
    pub(in crate::broker) end_offset: Offset,
}

/// Takes over what a commit changed, before its answer goes out.
pub(in crate::broker) type Follower = Box<dyn Fn(&MetadataDelta, &MetadataImage) + Send + Sync>;

/// A change of the metadata that was worked out and is not written yet.
#[derive(Debug)]
pub(super) struct Plan<R> {
    /// The records, which count together or not at all.
    pub(super) records: Vec<MetadataRecord>,
    /// The answer once they count.
    pub(super) response: R,
}

/// The one writer of cluster metadata.
pub(in crate::broker) struct Controller {
    identity: Identity,
    /// The settings that the node was started with.
    config: ServerConfig,
    cache: Arc<MetadataCache>,
    /// The level of `kraft.version`, as [`Writer::quorum`] has it.
    kraft_version: AtomicI16,
    follower: OnceLock<Follower>,
    writer: Mutex<Writer>,
}

pub(super) struct Writer {
    pub(super) log: MetadataLog,
    quorum: QuorumRecords,
    /// The epoch of this leadership.
    epoch: LeaderEpoch,
    /// The broker's registration, once there is one.
    pub(super) broker_epoch: Option<i64>,
    /// The directories of this node's broker, once it has registered.
    pub(super) broker_directories: Vec<Uuid>,
    /// Nothing more is written: closed, or what is in the log is not what the image says.
    stopped: bool,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Controller {
    /// Opens the metadata log of a formatted directory, and begins a new epoch as its leader.
    pub(in crate::broker) fn open(options: ControllerOptions<'_>) -> Result<Self, ControllerError> {
        let ControllerOptions { config, identity, fs, now_ms } = options;
        let (log, loaded) = MetadataLog::open(&config.metadata_log_dir, config, fs, now_ms)?;
        let dir = config.metadata_log_dir.join(DIRECTORY);
        let state = read_quorum_state(&dir)?;
        check_voters(&dir, &identity, &loaded, state.as_ref())?;
        check_supported(&dir, &loaded.image)?;
        let last_epoch = state.map_or(LeaderEpoch(0), |state| state.leader_epoch).max(loaded.last_epoch);
        let epoch = LeaderEpoch(last_epoch.get() + 1);
        let voters = (loaded.quorum.kraft_version == 0).then(|| vec![identity.node_id]);
        let state = QuorumState {
            leader_id: identity.node_id,
            leader_epoch: epoch,
            voted_id: NodeId(-1),
            voted_directory_id: Uuid::ZERO,
            voters,
        };
        // Order: the epoch is on disk before anything is written in it, so that no two leaderships share one.
        state.write(&dir)?;
        let Loaded { image, quorum, open_transaction, .. } = loaded;
        let fresh = image.metadata_version().is_none();
        let kraft_version = AtomicI16::new(quorum.kraft_version);
        let cache = Arc::new(MetadataCache::new(image));
        let writer = Writer { log, quorum, epoch, broker_epoch: None, broker_directories: Vec::new(), stopped: false };
        let (config_of_node, follower) = (config.clone(), OnceLock::new());
        let writer = Mutex::new(writer);
        let controller = Self { identity, config: config_of_node, cache, kraft_version, follower, writer };
        let mut writer = controller.writer();
        controller.begin_epoch(&mut writer, config, now_ms)?;
        if open_transaction {
            let reason = Some("controller failover".to_owned());
            let abort = AbortTransactionRecord { reason, ..Default::default() };
            controller.append(&mut writer, &[abort.into()], now_ms)?;
        }
        if fresh {
            let records = first_records(config)?;
            controller.append(&mut writer, &records, now_ms)?;
        }
        drop(writer);
        info!(epoch = %epoch, dir = %dir.display(), "leader of the metadata quorum");
        Ok(controller)
    }

    /// What the cluster is, for everybody to read.
    pub(in crate::broker) fn cache(&self) -> &Arc<MetadataCache> {
        &self.cache
    }

    /// Names who follows the changes; once, before there are any.
    pub(in crate::broker) fn set_follower(&self, follower: Follower) {
        if self.follower.set(follower).is_err() {
            warn!("the controller is followed already");
        }
    }

    /// The level of `kraft.version`.
    pub(in crate::broker) fn kraft_version(&self) -> i16 {
        self.kraft_version.load(Ordering::Acquire)
    }

    pub(super) fn node_id(&self) -> NodeId {
        self.identity.node_id
    }

    pub(super) fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Where the quorum stands.
    pub(in crate::broker) fn quorum(&self) -> Quorum {
        let writer = self.writer();
        let dynamic = self.kraft_version() > 0;
        Quorum {
            leader: self.identity.node_id,
            directory_id: if dynamic { self.identity.metadata_directory_id } else { Uuid::ZERO },
            epoch: writer.epoch,
            end_offset: writer.log.end_offset(),
        }
    }

    /// Registers this node's broker and lets it lead what is in its directories. `listeners` are the addresses that clients are told,
    /// with the ports that they were bound to. Gives the broker's epoch.
    pub(in crate::broker) fn register_broker(
        &self,
        config: &ServerConfig,
        listeners: &[Listener],
        own: &OwnDirectories,
        now_ms: i64,
    ) -> Result<i64, ControllerError> {
        let mut writer = self.writer();
        let id = self.identity.node_id;
        let node = Node {
            id,
            incarnation_id: Uuid::random(),
            listeners,
            rack: config.broker_rack.as_deref(),
            log_dirs: &own.ids,
        };
        let level = self.level();
        let mut records = Vec::new();
        if level.has_controller_registration() {
            let listeners = &config.advertised_controller_listeners;
            records.push(registration::register_controller(id, Uuid::random(), listeners));
        }
        let broker_epoch = writer.log.end_offset().plus(i64::try_from(records.len()).unwrap_or_default()).get();
        records.push(registration::register_broker(&self.cache.read(), &node, broker_epoch));
        self.append(&mut writer, &records, now_ms)?;
        if level.has_directories() {
            let assigned = directories::assign_all(&self.cache.read(), id, &own.assignments);
            for some in assigned.chunks(RECORDS_PER_BATCH) {
                self.append(&mut writer, some, now_ms)?;
            }
        }
        let records = registration::unfence(&self.cache.read(), id, broker_epoch, &own.cordoned);
        for some in records.chunks(RECORDS_PER_BATCH) {
            self.append(&mut writer, some, now_ms)?;
        }
        writer.broker_epoch = Some(broker_epoch);
        writer.broker_directories.clone_from(&own.ids);
        self.flush(&mut writer)?;
        Ok(broker_epoch)
    }

    /// The epoch of the broker's registration, once there is one.
    pub(in crate::broker) fn broker_epoch(&self) -> Option<i64> {
        self.writer().broker_epoch
    }

    /// Takes the leadership of what is in failed directories from this node's broker.
    pub(in crate::broker) fn directories_failed(&self, failed: &[Uuid], now_ms: i64) -> Result<(), ControllerError> {
        let mut writer = self.writer();
        let Some(epoch) = writer.broker_epoch else { return Ok(()) };
        let records = directories::fail(&self.cache.read(), self.identity.node_id, epoch, failed);
        for some in records.chunks(RECORDS_PER_BATCH) {
            self.append(&mut writer, some, now_ms)?;
        }
        self.flush(&mut writer)
    }

    /// Notes which directories of this node's broker take no more replicas.
    pub(in crate::broker) fn cordon(&self, cordoned: &[Uuid], now_ms: i64) -> Result<(), ControllerError> {
        let mut writer = self.writer();
        let Some(epoch) = writer.broker_epoch else { return Ok(()) };
        let record = directories::cordon(&self.cache.read(), self.identity.node_id, epoch, cordoned);
        match record {
            Some(record) => self.commit(&mut writer, &[record], now_ms),
            None => Ok(()),
        }
    }

    /// Notes where replicas of this node's broker are.
    pub(in crate::broker) fn assign_directories(
        &self,
        assignments: &[Assignment],
        now_ms: i64,
    ) -> Result<(), ControllerError> {
        if !self.level().has_directories() {
            return Ok(());
        }
        self.change(now_ms, |image| Plan {
            records: directories::assign_all(image, self.identity.node_id, assignments),
            response: (),
        })
    }

    /// Takes the leadership of all partitions from this node's broker, and fences it: the last thing that it does.
    pub(in crate::broker) fn shut_down_broker(&self, now_ms: i64) -> Result<(), ControllerError> {
        let mut writer = self.writer();
        let Some(epoch) = writer.broker_epoch.take() else { return Ok(()) };
        let records = registration::shut_down(&self.cache.read(), self.identity.node_id, epoch);
        for some in records.chunks(RECORDS_PER_BATCH) {
            self.append(&mut writer, some, now_ms)?;
        }
        self.flush(&mut writer)
    }

    /// Writes nothing more, and closes the files. To be called after [`Self::keep_log_short`].
    pub(in crate::broker) fn close(&self) -> Result<(), ControllerError> {
        let mut writer = self.writer();
        writer.stopped = true;
        Ok(writer.log.close()?)
    }

    /// Takes a block of producer ids that nobody else gets: its first one and how many.
    pub(in crate::broker) fn allocate_producer_ids(&self, now_ms: i64) -> Result<(ProducerId, i64), ControllerError> {
        let mut writer = self.writer();
        let first = self.cache.read().next_producer_id();
        let record = ProducerIdsRecord {
            broker_id: self.identity.node_id.get(),
            broker_epoch: writer.broker_epoch.unwrap_or(-1),
            next_producer_id: first.get().saturating_add(PRODUCER_IDS_PER_BLOCK),
            ..Default::default()
        };
        self.commit(&mut writer, &[record.into()], now_ms)?;
        Ok((first, PRODUCER_IDS_PER_BLOCK))
    }

    /// Plans a change from the image as it is, writes it, and gives the plan's answer once it counts.
    pub(super) fn change<R>(
        &self,
        now_ms: i64,
        plan: impl FnOnce(&MetadataImage) -> Plan<R>,
    ) -> Result<R, ControllerError> {
        let mut writer = self.writer();
        let Plan { records, response } = plan(&self.cache.read());
        self.commit(&mut writer, &records, now_ms)?;
        Ok(response)
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn level(&self) -> MetadataVersion {
        self.cache.read().metadata_version().unwrap_or_default()
    }

    /// Writes that this node leads; the voters too, if they stand nowhere but in what formatting wrote.
    fn begin_epoch(&self, writer: &mut Writer, config: &ServerConfig, now_ms: i64) -> Result<(), ControllerError> {
        let id = self.identity.node_id.get();
        let voter = Voter { voter_id: id, ..Default::default() };
        let mut records = vec![ControlRecord::LeaderChange(LeaderChangeMessage {
            leader_id: id,
            voters: vec![voter.clone()],
            granting_voters: vec![voter],
            ..Default::default()
        })];
        if writer.quorum.kraft_version > 0 {
            let own = own_voter(&self.identity, config);
            let moved = !config.controller_listener_names.is_empty() && writer.quorum.voters.as_ref() != Some(&own);
            if moved {
                writer.quorum.voters = Some(own);
            }
            if moved || writer.quorum.only_from_format {
                records.push(checkpoint::kraft_version(writer.quorum.kraft_version));
                records.extend(writer.quorum.voters.clone().map(ControlRecord::Voters));
                writer.quorum.only_from_format = false;
            }
        }
        self.append_control(writer, &records, now_ms)
    }

    /// Writes the voters into the log: what level 1 of `kraft.version` means. Not durable yet.
    pub(super) fn raise_kraft_version(&self, writer: &mut Writer, now_ms: i64) -> Result<(), ControllerError> {
        let voters = own_voter(&self.identity, &self.config);
        let records = [checkpoint::kraft_version(VOTERS_IN_LOG), ControlRecord::Voters(voters.clone())];
        self.append_control(writer, &records, now_ms)?;
        writer.quorum = QuorumRecords { kraft_version: VOTERS_IN_LOG, voters: Some(voters), only_from_format: false };
        self.kraft_version.store(VOTERS_IN_LOG, Ordering::Release);
        Ok(())
    }

    fn append_control(
        &self,
        writer: &mut Writer,
        records: &[ControlRecord],
        now_ms: i64,
    ) -> Result<(), ControllerError> {
        if writer.stopped {
            return Err(ControllerError::Stopped);
        }
        let place = BatchPlace { base_offset: writer.log.end_offset(), epoch: writer.epoch, timestamp_ms: now_ms };
        let batch = batch::write_control(records, place)?;
        let end = writer.log.append(&batch, writer.epoch, now_ms)?;
        let position = LogPosition { offset: end.plus(-1), epoch: writer.epoch, timestamp_ms: now_ms };
        self.cache.apply(&[], position)?;
        Ok(())
    }

    /// Appends records as one batch, makes them durable, and publishes them.
    pub(super) fn commit(
        &self,
        writer: &mut Writer,
        records: &[MetadataRecord],
        now_ms: i64,
    ) -> Result<(), ControllerError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write(writer, records, now_ms)?;
        self.flush(writer)?;
        self.publish(writer, records, now_ms)?;
        if writer.log.is_snapshot_due(now_ms) {
            self.write_snapshot(writer, now_ms);
        }
        Ok(())
    }

    fn write_snapshot(&self, writer: &mut Writer, now_ms: i64) {
        let image = self.cache.read();
        let Writer { log, quorum, .. } = writer;
        if let Err(error) = log.write_snapshot(&image, quorum, now_ms) {
            error!(error = chain(&error), "a metadata snapshot can't be written; the log is kept");
        }
    }

    /// Writes a snapshot if the next start would have too much of the log to read.
    pub(in crate::broker) fn keep_log_short(&self, now_ms: i64) {
        let mut writer = self.writer();
        if !writer.stopped && writer.log.is_snapshot_worthwhile() {
            self.write_snapshot(&mut writer, now_ms);
        }
    }

    /// As [`Self::commit`], for records that are made durable together with later ones: nobody was promised anything.
    pub(super) fn append(
        &self,
        writer: &mut Writer,
        records: &[MetadataRecord],
        now_ms: i64,
    ) -> Result<(), ControllerError> {
        self.write(writer, records, now_ms)?;
        self.publish(writer, records, now_ms)
    }

    fn write(&self, writer: &mut Writer, records: &[MetadataRecord], now_ms: i64) -> Result<(), ControllerError> {
        if writer.stopped {
            return Err(ControllerError::Stopped);
        }
        let place = BatchPlace { base_offset: writer.log.end_offset(), epoch: writer.epoch, timestamp_ms: now_ms };
        let level = bootstrap_level(records).unwrap_or_else(|| self.level());
        let batch = batch::write_metadata(records, level, place)?;
        writer.log.append(&batch, writer.epoch, now_ms)?;
        Ok(())
    }

    pub(super) fn flush(&self, writer: &mut Writer) -> Result<(), ControllerError> {
        writer.log.flush().inspect_err(|error| {
            // What is in the log now may count after a restart or may not: nothing can be built on it.
            writer.stopped = true;
            error!(error = chain(error), "the metadata log can't be written; the controller stops");
        })?;
        Ok(())
    }

    /// Applies written records to the image and tells who follows it.
    fn publish(&self, writer: &mut Writer, records: &[MetadataRecord], now_ms: i64) -> Result<(), ControllerError> {
        let offset = writer.log.end_offset().plus(-1);
        let position = LogPosition { offset, epoch: writer.epoch, timestamp_ms: now_ms };
        let delta = self.cache.apply(records, position).inspect_err(|error| {
            // Our own fault: the log says what the image can't be. Whoever reads it again will say the same.
            writer.stopped = true;
            error!(error = chain(error), %offset, "metadata records contradict the image; the controller stops");
        })?;
        if let Some(follow) = self.follower.get().filter(|_| !delta.is_empty()) {
            follow(&delta, &self.cache.read());
        }
        Ok(())
    }
}

/// The level that these records set, if they are the first ones.
fn bootstrap_level(records: &[MetadataRecord]) -> Option<MetadataVersion> {
    records.iter().find_map(|record| match record {
        MetadataRecord::FeatureLevel(feature) if feature.name == crate::metadata::features::METADATA_VERSION => {
            MetadataVersion::from_level(feature.feature_level)
        }
        _ => None,
    })
}

/// The file, or nothing if it is no good: the epochs are in the log too, and one voter votes for nobody else.
fn read_quorum_state(dir: &std::path::Path) -> Result<Option<QuorumState>, ControllerError> {
    match QuorumState::read(dir) {
        Err(error @ QuorumStateError::Malformed { .. }) => {
            warn!(error = chain(&error), "the quorum's state is made anew from the metadata log");
            Ok(None)
        }
        other => Ok(other?),
    }
}

/// Refuses the directory of a quorum that this node is not alone in.
fn check_voters(
    dir: &std::path::Path,
    identity: &Identity,
    loaded: &Loaded,
    state: Option<&QuorumState>,
) -> Result<(), ControllerError> {
    let node = identity.node_id;
    let other = |voters: Vec<i32>| ControllerError::OtherVoters { dir: dir.to_owned(), voters, node };
    if loaded.quorum.kraft_version == 0 {
        let voters = state.and_then(|state| state.voters.as_ref());
        return match voters.filter(|voters| !voters.is_empty() && **voters != [node]) {
            Some(voters) => Err(other(voters.iter().map(|id| id.get()).collect())),
            None => Ok(()),
        };
    }
    let voters = loaded.quorum.voters.as_ref().map(|record| record.voters.as_slice()).unwrap_or_default();
    match voters {
        [voter] if voter.voter_id == node.get() => {
            let (expected, found) = (voter.voter_directory_id, identity.metadata_directory_id);
            if expected == found {
                return Ok(());
            }
            Err(ControllerError::OtherDirectory { dir: dir.to_owned(), expected, found })
        }
        voters => Err(other(voters.iter().map(|voter| voter.voter_id).collect())),
    }
}

/// Refuses what this release can't keep as it is.
fn check_supported(dir: &std::path::Path, image: &MetadataImage) -> Result<(), ControllerError> {
    let topics: Vec<String> = image.tiered_topics().map(str::to_owned).collect();
    if !topics.is_empty() {
        return Err(ControllerError::TieredTopics { dir: dir.to_owned(), topics });
    }
    if image.is_in_zookeeper_migration() {
        return Err(ControllerError::ZooKeeperMigration { dir: dir.to_owned() });
    }
    Ok(())
}

/// Writes what formatting puts beside `meta.properties` into the directories of a new broker: the records that its cluster
/// starts with, and the voter set, unless the configuration names the voters.
pub(in crate::broker) fn write_initial_files(
    config: &ServerConfig,
    identity: &Identity,
    now_ms: i64,
) -> Result<(), ControllerError> {
    let failed =
        |path: PathBuf| move |source| ControllerError::Bootstrap(SnapshotError::Io { action: "write", path, source });
    let records = bootstrap::bootstrap_checkpoint(&bootstrap::default_features(), Vec::new(), now_ms)?;
    let mut directories: Vec<_> = config.log_dirs.iter().collect();
    if !directories.contains(&&config.metadata_log_dir) {
        directories.push(&config.metadata_log_dir);
    }
    for directory in directories {
        let path = directory.join(BOOTSTRAP_FILE);
        replace_file(&path, &records).map_err(failed(path))?;
    }
    if config.controller_quorum_voters.is_empty() {
        let voter = initial_voter(identity.node_id, identity.metadata_directory_id, config);
        let (name, bytes) = bootstrap::voters_checkpoint(&[voter], now_ms)?;
        let directory = config.metadata_log_dir.join(DIRECTORY);
        std::fs::create_dir_all(&directory).map_err(failed(directory.clone()))?;
        let path = directory.join(name);
        replace_file(&path, &bytes).map_err(failed(path))?;
    }
    Ok(())
}

/// The voter set of this node alone.
fn own_voter(identity: &Identity, config: &ServerConfig) -> crate::protocol::messages::VotersRecord {
    bootstrap::voters_record(&[initial_voter(identity.node_id, identity.metadata_directory_id, config)])
}

/// This node as the one voter, with the address that its controller has or would have.
fn initial_voter(id: NodeId, directory_id: Uuid, config: &ServerConfig) -> InitialVoter {
    let (name, host, port) = DEFAULT_LISTENER;
    let listener = config.advertised_controller_listeners.first();
    let (listener_name, host, port) = match listener {
        Some(listener) => {
            (listener.name.clone(), listener.host.clone().unwrap_or_else(|| host.to_owned()), listener.port)
        }
        None => (name.to_owned(), host.to_owned(), port),
    };
    InitialVoter { id, directory_id, listener_name, address: HostPort { host, port } }
}

/// The records that the first epoch begins with: the features that formatting wrote down, and with eligible leader
/// replicas a cluster-wide `min.insync.replicas`, which they are reckoned by (KIP-966).
fn first_records(config: &ServerConfig) -> Result<Vec<MetadataRecord>, ControllerError> {
    let path: PathBuf = config.metadata_log_dir.join(BOOTSTRAP_FILE);
    let features = if path.exists() {
        snapshots::read(&path)?.records
    } else {
        warn!(path = %path.display(), "not there; the cluster starts with the default features");
        bootstrap::feature_records(&bootstrap::default_features())
    };
    let mut image = MetadataImage::default();
    for record in &features {
        image.apply(record)?;
    }
    let mut records = features;
    if image.has_eligible_leader_replicas() {
        let record = ConfigRecord {
            resource_type: crate::metadata::ConfigResourceType::BROKER.0,
            name: "min.insync.replicas".to_owned(),
            value: Some(config.topic_defaults.min_insync_replicas.to_string()),
            ..Default::default()
        };
        records.push(record.into());
    }
    if image.metadata_version().unwrap_or_default().has_transactions() {
        let name = Some("Bootstrap records".to_owned());
        records.insert(0, BeginTransactionRecord { name, ..Default::default() }.into());
        records.push(EndTransactionRecord::default().into());
    }
    Ok(records)
}
