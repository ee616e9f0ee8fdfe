//! Follows the metadata: makes the partitions that this broker is to hold, ends those that are gone, hands on settings.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::{error, info, warn};

use super::context::now;
use super::controller::{Assignment, directory_of, is_real};
use super::errors::chain;
use super::flusher::Flusher;
use super::idle_settings;
use super::log_config::log_config;
use super::moves::Moves;
use super::partition::Partition;
use super::topics::Topics;
use crate::config::{ConfigError, ServerConfig, Settings, TopicConfig};
use crate::log::directory::TakenDirectory;
use crate::log::{
    Log, LogConfig, LogError, LogManager, ManagerError, ManagerOptions, ManagerReport, OpenProgress, Owner,
};
use crate::metadata::{ConfigResource, ConfigResourceType, MetadataDelta, MetadataImage, PartitionImage, TopicImage};
use crate::types::{NodeId, PartitionId, TopicPartition, Uuid};

/// The partitions of this broker, as the metadata has them.
#[derive(Debug)]
pub(super) struct Replicas {
    node_id: NodeId,
    topics: Arc<Topics>,
    logs: LogManager,
    flusher: Arc<Flusher>,
    /// With what was set at run time.
    config: RwLock<Arc<ServerConfig>>,
    /// Logs that go to other directories.
    moves: Moves,
    /// One change of the metadata at a time.
    applying: Mutex<()>,
}

/// Threads that make new partitions, at most.
const MOST_MAKERS: usize = 16;

/// What the metadata says of a partition.
struct Change<'a> {
    topic: &'a TopicImage,
    index: PartitionId,
    partition: &'a PartitionImage,
    config: Arc<TopicConfig>,
}

impl Replicas {
    /// Opens the logs in the directories, puts those of unknown topics aside, and makes the partitions of the image.
    ///
    /// # Errors
    /// What the directories or the disk say.
    pub(super) fn open(
        config: ServerConfig,
        topics: Arc<Topics>,
        directories: Vec<TakenDirectory>,
        image: &MetadataImage,
        progress: &OpenProgress,
    ) -> Result<(Self, ManagerReport), ManagerError> {
        let now_ms = now().wall_ms;
        let (base, _) = effective(&config, config.node_id, image);
        idle_settings::tell_all(image, config.node_id);
        let configs: HashMap<&str, Arc<LogConfig>> = image
            .topics()
            .keys()
            .map(|name| (name.as_str(), Arc::new(log_config(&resolve(&base, image, name), &base))))
            .collect();
        let default = Arc::new(log_config(&base.topic_defaults, &base));
        let options = ManagerOptions {
            config: &|partition| Arc::clone(configs.get(partition.topic.as_str()).unwrap_or(&default)),
            owner: &|partition| {
                let topic = image.topic(&partition.topic)?;
                let found = topic.partitions.get(&partition.partition)?;
                let directory = directory_of(found, config.node_id).filter(|directory| is_real(*directory));
                Some(Owner { topic_id: topic.id, directory })
            },
            threads: base.num_recovery_threads_per_data_dir,
            now_ms,
            progress,
        };
        let (logs, report) = LogManager::open(directories, &options)?;
        let is_known = |partition: &TopicPartition| image.partition(&partition.topic, partition.partition).is_some();
        for path in &report.strays {
            warn!(path = %path.display(), "the log of a topic that is gone; it is kept aside");
        }
        for (partition, path) in logs.put_strays_aside(is_known)? {
            warn!(%partition, path = %path.display(), "no topic owns this log; it is kept aside");
        }
        let replicas = Self {
            node_id: config.node_id,
            topics,
            logs,
            flusher: Arc::new(Flusher::new()),
            config: RwLock::new(Arc::new(config)),
            moves: Moves::default(),
            applying: Mutex::new(()),
        };
        if replicas.logs.failures().is_empty() {
            replicas.tell_missing(image);
        }
        replicas.load(image);
        Ok((replicas, report))
    }

    /// The broker's settings with what was set at run time.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The logs that go to other directories.
    pub(super) fn moves(&self) -> &Moves {
        &self.moves
    }

    /// The logs of this broker.
    pub(super) fn logs(&self) -> &LogManager {
        &self.logs
    }

    /// Takes over a whole image.
    fn load(&self, image: &MetadataImage) {
        let _one = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.update_broker_config(image);
        let mut all = Vec::with_capacity(image.partition_count());
        for topic in image.topics().values() {
            let config = self.topic_config(image, &topic.name);
            all.extend(topic.partitions.iter().map(|(index, partition)| Change {
                topic,
                index: *index,
                partition,
                config: Arc::clone(&config),
            }));
        }
        self.follow_all(&all);
    }

    /// Takes over what one commit changed.
    pub(super) fn apply(&self, delta: &MetadataDelta, image: &MetadataImage) {
        let _one = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in &delta.deleted_topics {
            self.delete(topic);
        }
        if !delta.changed_configs.is_empty() {
            let config = self.config();
            let before = [&config.layers.cluster, &config.layers.broker];
            idle_settings::tell_changes(delta, image, self.node_id, before);
        }
        let broker = [ConfigResource::all_brokers(), ConfigResource::broker(self.node_id)];
        if broker.iter().any(|resource| delta.changed_configs.contains(resource)) {
            self.update_broker_config(image);
            // What is set for all topics may have changed.
            for topic in self.topics.all() {
                self.update_topic_config(image, &topic.name);
            }
        }
        for resource in &delta.changed_configs {
            if resource.kind == ConfigResourceType::TOPIC {
                self.update_topic_config(image, &resource.name);
            }
        }
        let mut configs: HashMap<&str, Arc<TopicConfig>> = HashMap::new();
        let mut changed = Vec::with_capacity(delta.changed_partitions.len());
        for (id, index) in &delta.changed_partitions {
            let Some(topic) = image.topic_by_id(*id) else { continue };
            let Some(partition) = topic.partitions.get(index) else { continue };
            let config = configs.entry(&topic.name).or_insert_with(|| self.topic_config(image, &topic.name));
            changed.push(Change { topic, index: *index, partition, config: Arc::clone(config) });
        }
        self.follow_all(&changed);
    }

    /// Makes the partitions what the metadata says that they are. Making one takes a few flushes of small files: several
    /// threads share the disk's waiting time.
    fn follow_all(&self, changes: &[Change<'_>]) {
        let is_new = |change: &Change<'_>| {
            self.topics.by_id(change.topic.id).and_then(|t| t.partition(change.index.get())).is_none()
        };
        let new = changes.iter().filter(|change| is_new(change)).count();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.follow(change.topic, change.index, change.partition, &change.config);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..(new / 2).clamp(1, MOST_MAKERS) {
                scope.spawn(work);
            }
            work();
        });
        if let Err(error) = self.logs.sync_directories() {
            error!(error = chain(&error), "the names of new partitions can't be made durable");
        }
    }

    /// Makes a partition what the metadata says that it is.
    fn follow(&self, topic: &TopicImage, index: PartitionId, found: &PartitionImage, config: &Arc<TopicConfig>) {
        if !found.replicas.contains(&self.node_id) {
            return;
        }
        let partition = match self.topics.by_id(topic.id).and_then(|t| t.partition(index.get())) {
            Some(partition) => partition,
            None => {
                let name = TopicPartition { topic: topic.name.clone(), partition: index };
                let log_config = self.log_config(config);
                // The controller has chosen the directory (KIP-858); the log of an older partition is where it is.
                let directory = directory_of(found, self.node_id).filter(|directory| is_real(*directory));
                let made = match self.logs.get(&name) {
                    // It may be in a directory that is away, whatever the metadata names: a move may not have come to its end. An
                    // empty one would hide its records (Kafka makes none either).
                    None if !self.is_new(found) && self.has_failures() => {
                        let directory = directory.unwrap_or(Uuid::ZERO);
                        Err(ManagerError::Offline { partition: name.clone(), directory })
                    }
                    _ => self.logs.get_or_create(&name, topic.id, directory, Arc::clone(&log_config), now().wall_ms),
                };
                let (log, is_online) = match made {
                    Ok(log) => {
                        // Somebody may have asked for another directory before there was anything to be moved.
                        if let Some(actual) =
                            self.logs.directory_of(&name).filter(|at| directory.is_some_and(|d| d != *at))
                        {
                            self.moves.tell(Assignment { topic_id: topic.id, partition: index, directory: actual });
                        }
                        (log, true)
                    }
                    Err(error) => {
                        // What a failed directory means is told once for all of its partitions.
                        if !matches!(error, ManagerError::Offline { .. }) {
                            error!(partition = %name, error = chain(&error), "the partition can't be opened");
                        }
                        let reason = LogError::Unreachable { dir: name.to_string().into() };
                        (Arc::new(Log::unreachable(name.to_string().into(), log_config, reason)), false)
                    }
                };
                let partition = Arc::new(Partition::new(name, log, Arc::clone(config), Arc::clone(&self.flusher)));
                if !is_online {
                    partition.set_offline();
                }
                self.topics.insert(&topic.name, topic.id, index.get(), Arc::clone(&partition));
                partition
            }
        };
        if found.leader == self.node_id && partition.check_online().is_ok() {
            partition.lead(found.leader_epoch, found.isr.len(), found.replicas.len());
        }
    }

    /// Whether a partition was made in the leadership that it is in: nothing can have been written to it before.
    fn is_new(&self, found: &PartitionImage) -> bool {
        found.leader == self.node_id && found.partition_epoch == 0
    }

    fn has_failures(&self) -> bool {
        !self.logs.failures().is_empty()
    }

    /// Takes the partitions out of service whose directories have failed; gives those that were in service.
    pub(super) fn take_offline(&self) -> Vec<TopicPartition> {
        let all = self.topics.all();
        let partitions = all.iter().flat_map(|topic| topic.all());
        let failed = partitions.filter(|partition| self.logs.is_offline(partition.name()) && partition.set_offline());
        failed.map(|partition| partition.name().clone()).collect()
    }

    /// Says which directories the metadata names that are none of this broker's.
    fn tell_missing(&self, image: &MetadataImage) {
        let own = self.logs.directory_ids();
        let mut missing: BTreeMap<Uuid, usize> = BTreeMap::new();
        for partition in image.topics().values().flat_map(|topic| topic.partitions.values()) {
            let directory = directory_of(partition, self.node_id).filter(|directory| is_real(*directory));
            if let Some(directory) = directory.filter(|directory| !own.contains(directory)) {
                *missing.entry(directory).or_default() += 1;
            }
        }
        for (directory_id, partitions) in missing {
            error!(
                %directory_id,
                partitions,
                "a log directory with partitions of this broker is none of log.dirs; they are offline \
                 until it is back"
            );
        }
    }

    /// The replicas that are in another directory than the metadata says, or in one that it does not know.
    pub(super) fn misplaced(&self, image: &MetadataImage) -> Vec<Assignment> {
        let mut found = Vec::new();
        for topic in image.topics().values() {
            for (index, partition) in &topic.partitions {
                let name = TopicPartition { topic: topic.name.clone(), partition: *index };
                if let (Some(said), Some(directory)) =
                    (directory_of(partition, self.node_id), self.logs.directory_of(&name))
                    && said != directory
                {
                    found.push(Assignment { topic_id: topic.id, partition: *index, directory });
                }
            }
        }
        found
    }

    fn delete(&self, topic: &TopicImage) {
        let Some(removed) = self.topics.remove(topic.id) else { return };
        for partition in removed.all() {
            partition.wake_waiting();
            if partition.check_online().is_err() {
                // Its files can't be reached: a start that finds them again puts them aside.
                self.logs.forget(partition.name());
                continue;
            }
            if let Err(error) = self.logs.delete_async(partition.name(), now().wall_ms) {
                error!(partition = %partition.name(), error = chain(&error), "the partition's files can't be deleted");
            }
        }
        info!(topic = topic.name, "topic deleted");
    }

    fn topic_config(&self, image: &MetadataImage, topic: &str) -> Arc<TopicConfig> {
        Arc::new(resolve(&self.config(), image, topic))
    }

    fn log_config(&self, topic: &TopicConfig) -> Arc<LogConfig> {
        Arc::new(log_config(topic, &self.config()))
    }

    fn update_topic_config(&self, image: &MetadataImage, name: &str) {
        let Some(topic) = self.topics.by_name(name) else { return };
        let config = self.topic_config(image, name);
        let log_config = self.log_config(&config);
        for partition in topic.all() {
            partition.set_config(Arc::clone(&config));
            partition.log().set_config(Arc::clone(&log_config));
        }
    }

    /// Has the directories that `cordoned.log.dirs` names take no more logs.
    fn cordon(&self, config: &ServerConfig) {
        let named = config.cordoned_log_dirs.as_deref().unwrap_or_default();
        let is_named = |path: &Path| named.iter().any(|name| name == "*" || Path::new(name) == path);
        self.logs.set_cordoned(is_named);
    }

    fn update_broker_config(&self, image: &MetadataImage) {
        let (config, errors) = effective(&self.config(), self.node_id, image);
        for error in errors {
            warn!("{error}");
        }
        self.cordon(&config);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// The settings of a topic: its own over the broker's. What of them can't be used was told when it came.
fn resolve(broker: &ServerConfig, image: &MetadataImage, topic: &str) -> TopicConfig {
    let overrides = settings(image, &ConfigResource::topic(topic));
    TopicConfig::resolve_usable(&broker.layers, &overrides, &broker.topic_defaults)
}

/// The broker's settings with what was set at run time, and what of that can't be used.
fn effective(config: &ServerConfig, node_id: NodeId, image: &MetadataImage) -> (ServerConfig, Vec<ConfigError>) {
    let all = settings(image, &ConfigResource::all_brokers());
    let own = settings(image, &ConfigResource::broker(node_id));
    config.with_dynamic(&all, &own)
}

/// What is set for a resource.
fn settings(image: &MetadataImage, resource: &ConfigResource) -> Settings {
    image.configs(resource).map(|configs| configs.clone().into_iter().collect()).unwrap_or_default()
}
