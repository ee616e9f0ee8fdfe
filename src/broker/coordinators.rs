//! The coordinators of this broker: groups, transactions, share groups with their states. Built and started together, since each needs
//! others.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::context::{Broker, now};
use super::controller::Controller;
use super::coordinator::{Coordinator, TopicLog, largest_record};
use super::group_views::GroupViews;
use super::groups::{GroupConfig, GroupCoordinator, OFFSETS_TOPIC, RegexLookup, Shard};
use super::metadata_cache::MetadataCache;
use super::producer_ids::ProducerIds;
use super::regex_lookups;
use super::replicas::Replicas;
use super::share::ShareGroups;
use super::share_state::{Persister, SHARE_STATE_TOPIC, ShareCoordinator, ShareStateConfig, ShareStateShard};
use super::topics::Topics;
use super::transactions::{
    self, CoordinatorOptions, MarkerWriter, TRANSACTION_STATE_TOPIC, TransactionConfig, TransactionCoordinator,
};
use crate::config::ServerConfig;
use crate::metadata::{MetadataDelta, MetadataImage};
use crate::types::Uuid;

/// What a broker has of them, as [`Broker`] has it.
pub(super) struct Coordinators {
    pub(super) groups: Arc<GroupCoordinator>,
    pub(super) group_views: Arc<GroupViews>,
    /// What groups ask for to be looked up.
    pub(super) lookups: mpsc::Receiver<Arc<RegexLookup>>,
    pub(super) transactions: Arc<TransactionCoordinator>,
    pub(super) markers: MarkerWriter,
    pub(super) producer_ids: Arc<ProducerIds>,
    pub(super) share: Arc<ShareGroups>,
    pub(super) share_coordinator: Arc<ShareCoordinator>,
    pub(super) share_states: Persister,
}

impl Coordinators {
    /// Builds them; nothing is loaded yet.
    pub(super) fn new(
        config: &ServerConfig,
        controller: &Arc<Controller>,
        replicas: &Arc<Replicas>,
        topics: &Arc<Topics>,
    ) -> Self {
        let metadata = controller.cache();
        let group_views = Arc::new(GroupViews::new(Arc::clone(metadata), Arc::clone(replicas)));
        let (to_look_up, lookups) = regex_lookups::queue();
        let groups = Arc::new(group_coordinator(config, topics, &metadata.read(), (&group_views, to_look_up)));
        let share_coordinator = Arc::new(share_coordinator(config, topics, &metadata.read()));
        let share_states = Persister::new(Arc::clone(&share_coordinator), Arc::clone(metadata));
        let share = (share_states.clone(), Arc::clone(metadata), Arc::clone(replicas), Arc::clone(topics));
        let share = Arc::new(ShareGroups::new(share.0, share.1, share.2, share.3));
        let markers = MarkerWriter::new(Arc::clone(topics), Arc::clone(&groups), config.request_timeout_ms);
        let producer_ids = Arc::new(ProducerIds::new(Arc::clone(controller)));
        let transactions = Arc::new(TransactionCoordinator::new(
            transaction_options(config, metadata),
            topics,
            markers.clone(),
            Arc::clone(&producer_ids),
            Arc::clone(metadata),
        ));
        Self {
            groups,
            group_views,
            lookups,
            transactions,
            markers,
            producer_ids,
            share,
            share_coordinator,
            share_states,
        }
    }

    /// What of them follows the cluster.
    pub(super) fn follower(&self) -> CoordinatorsFollower {
        CoordinatorsFollower {
            groups: Arc::clone(&self.groups),
            group_views: Arc::clone(&self.group_views),
            transactions: Arc::downgrade(&self.transactions),
            share: Arc::clone(&self.share),
            share_coordinator: Arc::clone(&self.share_coordinator),
        }
    }
}

/// Tells the coordinators what has changed in the cluster.
pub(super) struct CoordinatorsFollower {
    groups: Arc<GroupCoordinator>,
    group_views: Arc<GroupViews>,
    /// Not an `Arc`: they hold the controller, for producer ids, and that holds whoever follows it.
    transactions: Weak<TransactionCoordinator>,
    share: Arc<ShareGroups>,
    share_coordinator: Arc<ShareCoordinator>,
}

impl CoordinatorsFollower {
    /// Follows a change, after the partitions have.
    pub(super) fn apply(&self, delta: &MetadataDelta) {
        self.group_views.follow(delta);
        if delta.deleted_topics.is_empty() {
            return;
        }
        for topic in &delta.deleted_topics {
            for partition in topic.partitions.keys() {
                self.resign(&topic.name, partition.get());
            }
        }
        let names: Vec<String> = delta.deleted_topics.iter().map(|topic| topic.name.clone()).collect();
        self.groups.run_on_all(now(), |shard| shard.forget_topics(&names));
        let ids: HashSet<Uuid> = delta.deleted_topics.iter().map(|topic| topic.id).collect();
        let list: Vec<Uuid> = ids.iter().copied().collect();
        self.groups.run_on_all(now(), |shard| shard.forget_share_topics(&list, now()));
        self.share.forget_topics(&ids);
        self.share_coordinator.run_on_all(now(), |shard| shard.forget_topics(&ids));
    }

    /// Gives up what was kept in a partition.
    fn resign(&self, topic: &str, partition: i32) {
        match topic {
            OFFSETS_TOPIC => self.groups.resign(partition),
            TRANSACTION_STATE_TOPIC => {
                if let Some(transactions) = self.transactions.upgrade() {
                    transactions.resign(partition);
                }
            }
            SHARE_STATE_TOPIC => self.share_coordinator.resign(partition),
            _ => {}
        }
    }
}

/// Loads them and runs their timers, until the broker stops.
pub(super) fn run(broker: &Arc<Broker>, tasks: &mut JoinSet<()>, stop: &watch::Receiver<bool>) {
    let (groups, states) = (Arc::clone(&broker.groups), Arc::clone(&broker.share_coordinator));
    let transactions = Arc::clone(&broker.transactions);
    // Nobody waits for it: until it is done, each answers that it is being loaded.
    tokio::task::spawn_blocking(move || {
        groups.load_all(now);
        states.load_all(now);
        transactions.load_all();
    });
    let (groups, mut stopped) = (Arc::clone(&broker.groups), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = groups.run_timers(now) => {}
            _ = stopped.wait_for(|stopping| *stopping) => {}
        }
    });
    let (share, mut stopped) = (Arc::clone(&broker.share), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = share.run_timers() => {}
            _ = stopped.wait_for(|stopping| *stopping) => {}
        }
    });
    tasks.spawn(Arc::clone(&broker.transactions).run_background(stop.clone()));
}

/// The group coordinator, over the partitions that its topic has or will be made with.
fn group_coordinator(
    config: &ServerConfig,
    topics: &Arc<Topics>,
    metadata: &MetadataImage,
    (views, to_look_up): (&Arc<GroupViews>, mpsc::Sender<Arc<RegexLookup>>),
) -> GroupCoordinator {
    let log = TopicLog::new(OFFSETS_TOPIC, Arc::clone(topics), config.offsets_commit_timeout_ms);
    let partitions = partitions_of(metadata, OFFSETS_TOPIC).unwrap_or(config.offsets_topic_num_partitions);
    let settings = group_config(config);
    let views = Arc::clone(views);
    let shard = move |_| {
        let mut shard = Shard::new(settings.clone());
        shard.observe(&views.get());
        shard
    };
    // What the queue has no place for is dropped, and asked for again at the group's next heartbeat.
    let look_up = move |_, lookups: Vec<Arc<RegexLookup>>, _| {
        for lookup in lookups {
            let _ = to_look_up.try_send(lookup);
        }
    };
    Coordinator::new(Arc::new(log), partitions, shard, look_up)
}

/// The coordinator of share groups' states, over the partitions that its topic has or will be made with.
fn share_coordinator(config: &ServerConfig, topics: &Arc<Topics>, metadata: &MetadataImage) -> ShareCoordinator {
    let log = TopicLog::new(SHARE_STATE_TOPIC, Arc::clone(topics), config.share_coordinator_write_timeout_ms);
    let existing = partitions_of(metadata, SHARE_STATE_TOPIC);
    let partitions = existing.unwrap_or(config.share_coordinator_state_topic_num_partitions);
    let settings = ShareStateConfig {
        updates_per_snapshot: config.share_coordinator_snapshot_update_records_per_snapshot,
        cold_interval_ms: i64::try_from(config.share_coordinator_cold_partition_snapshot_interval_ms.as_millis())
            .unwrap_or(i64::MAX),
        max_record_bytes: largest_record(config),
    };
    let machine = move |partition| ShareStateShard::new(partition, settings);
    Coordinator::new(Arc::new(log), partitions, machine, |_, _, _| {})
}

fn transaction_options(config: &ServerConfig, metadata: &MetadataCache) -> CoordinatorOptions {
    let existing = partitions_of(&metadata.read(), TRANSACTION_STATE_TOPIC);
    CoordinatorOptions {
        config: TransactionConfig {
            max_timeout: config.transaction_max_timeout_ms,
            id_expiration: config.transactional_id_expiration_ms,
            timeout_check_interval: config.transaction_abort_timed_out_transaction_cleanup_interval_ms,
            max_record_bytes: largest_record(config),
            level: transactions::level(metadata),
        },
        partitions: existing.unwrap_or(config.transaction_state_log_num_partitions),
        commit_timeout: config.request_timeout_ms,
        retry_backoff: config.add_partitions_to_txn_retry_backoff_ms,
        patience: config.add_partitions_to_txn_retry_backoff_max_ms,
    }
}

fn group_config(config: &ServerConfig) -> GroupConfig {
    GroupConfig {
        min_session_timeout: config.group_min_session_timeout_ms,
        max_session_timeout: config.group_max_session_timeout_ms,
        initial_rebalance_delay: config.group_initial_rebalance_delay_ms,
        max_size: config.group_max_size,
        offset_metadata_max_bytes: config.offset_metadata_max_bytes,
        offsets_retention: config.offsets_retention_minutes,
        max_record_bytes: largest_record(config),
    }
}

/// How many partitions a topic has, if it is there.
fn partitions_of(metadata: &MetadataImage, topic: &str) -> Option<i32> {
    i32::try_from(metadata.topic(topic)?.partitions.len()).ok()
}
