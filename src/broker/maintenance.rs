//! What has to be done now and then: retention, checkpoints, deletions, expiry. One task for all of it, on a thread that may
//! block; nothing runs per partition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::error;

use super::context::Broker;
use super::errors::chain;
use super::share_state::SHARE_STATE_TOPIC;
use crate::log::{LogError, ManagerError};
use crate::types::TopicPartition;

/// The shortest interval of Kafka's defaults, that of high watermark checkpoints.
const TICK: Duration = Duration::from_secs(5);

/// No duty comes more often, whatever is configured.
const LEAST: Duration = Duration::from_millis(100);

/// How often files that nobody has used meanwhile are closed.
const CLOSE_IDLE_FILES_EVERY: Duration = Duration::from_secs(60);

/// One duty: what to do, and how often.
struct Duty {
    every: Duration,
    next: Instant,
    run: fn(&Broker),
}

/// Runs the duties until the broker stops.
pub(super) async fn run(broker: Arc<Broker>, mut stopping: watch::Receiver<bool>) {
    let config = broker.replicas.config();
    let started = Instant::now();
    let duty = |every: Duration, run: fn(&Broker)| Duty { every, next: started + every.max(LEAST), run };
    let first = |duty: Duty, delay: Duration| Duty { next: started + delay.max(LEAST), ..duty };
    let mut duties = vec![
        first(duty(config.log_retention_check_interval_ms, retention), config.log_initial_task_delay_ms),
        duty(config.replica_high_watermark_checkpoint_interval_ms, checkpoint_high_watermarks),
        duty(config.log_flush_offset_checkpoint_interval_ms, checkpoint_recovery_points),
        duty(config.log_flush_start_offset_checkpoint_interval_ms, checkpoint_log_start_offsets),
        duty(TICK, delete_due_files),
        duty(TICK, keep_metadata_short),
        duty(CLOSE_IDLE_FILES_EVERY, close_idle_files),
        duty(config.offsets_retention_check_interval_ms, expire_offsets),
        duty(config.producer_id_expiration_check_interval_ms, expire_producers),
        duty(config.share_coordinator_cold_partition_snapshot_interval_ms, snapshot_cold_share_states),
        duty(config.share_coordinator_state_topic_prune_interval_ms, prune_share_states),
        duty(config.transaction_remove_expired_transaction_cleanup_interval_ms, expire_transactional_ids),
    ];
    loop {
        let earliest = duties.iter().map(|duty| duty.next).min().unwrap_or(started);
        tokio::select! {
            () = tokio::time::sleep_until(earliest.into()) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let broker = Arc::clone(&broker);
        let pass = tokio::task::spawn_blocking(move || {
            for duty in &mut duties {
                if duty.next <= Instant::now() {
                    (duty.run)(&broker);
                    duty.next = Instant::now() + duty.every.max(LEAST);
                }
            }
            duties
        });
        match pass.await {
            Ok(again) => duties = again,
            Err(error) => {
                error!(%error, "maintenance has failed and is given up: nothing is deleted or expired any more");
                return;
            }
        }
    }
}

fn retention(broker: &Broker) {
    report("retention", broker.replicas.logs().retention_pass(broker.now().wall_ms));
}

fn close_idle_files(broker: &Broker) {
    report("closing idle files", broker.replicas.logs().close_idle_files());
}

fn expire_producers(broker: &Broker) {
    report("expiry of producers", broker.replicas.logs().expire_producers(broker.now().wall_ms));
}

fn checkpoint_high_watermarks(broker: &Broker) {
    checked(broker.replicas.logs().checkpoint_high_watermarks());
}

fn checkpoint_recovery_points(broker: &Broker) {
    checked(broker.replicas.logs().checkpoint_recovery_points());
}

fn checkpoint_log_start_offsets(broker: &Broker) {
    checked(broker.replicas.logs().checkpoint_log_start_offsets());
}

fn keep_metadata_short(broker: &Broker) {
    broker.controller.keep_log_short(broker.now().wall_ms);
}

fn delete_due_files(broker: &Broker) {
    for error in broker.replicas.logs().delete_due(broker.now().wall_ms) {
        error!(error = chain(&error), "what was deleted can't be removed");
    }
}

fn expire_offsets(broker: &Broker) {
    let now = broker.now();
    broker.groups.run_on_all(now, |shard| shard.expire(now));
}

fn snapshot_cold_share_states(broker: &Broker) {
    let now = broker.now();
    broker.share_coordinator.run_on_all(now, |shard| shard.snapshot_cold(now));
}

/// Deletes what newer records of the share groups' states tell again, as far as those are committed.
fn prune_share_states(broker: &Broker) {
    let mut redundant = Vec::new();
    // What is still loading has its turn next time.
    let _ = broker.share_coordinator.view_all(|shard| {
        redundant.extend(shard.redundant_before().map(|offset| (shard.partition(), offset)));
    });
    for (partition, offset) in redundant {
        let Some(partition) = broker.topics.partition(SHARE_STATE_TOPIC, partition) else { continue };
        let log = partition.log();
        // What is told again must be there for good: nothing of a snapshot that may still be lost counts.
        if offset > log.log_start_offset()
            && log.high_watermark() == log.log_end_offset()
            && let Err(error) = log.raise_log_start_offset(offset)
        {
            error!(partition = %partition.name(), error = chain(&error), "old share group states can't be deleted");
        }
    }
}

fn expire_transactional_ids(broker: &Broker) {
    broker.transactions.expire_ids(broker.now());
}

pub(super) fn report(what: &str, errors: Vec<(TopicPartition, LogError)>) {
    for (partition, error) in errors {
        // A log that has failed before said so then.
        if !matches!(error, LogError::Failed { .. } | LogError::Closed { .. }) {
            error!(%partition, error = chain(&error), "{what} failed");
        }
    }
}

fn checked(result: Result<(), ManagerError>) {
    if let Err(error) = result {
        error!(error = chain(&error), "a checkpoint can't be written");
    }
}
