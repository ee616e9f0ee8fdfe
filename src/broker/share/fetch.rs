//! A member fetches: waits until there is something to be had, reads it, and gets locks on it.

use std::sync::Arc;
use std::time::Duration;

use super::acquire::{Acquire, AcquireMode};
use super::config::ShareGroupSettings;
use super::manager::ShareGroups;
use super::partition::{SharePartition, Taken};
use super::sessions::{SessionKey, TopicIdPartition};
use crate::broker::context::{RequestContext, now};
use crate::broker::wait::Waiter;
use crate::protocol::ErrorCode;

/// What a member asks for.
#[derive(Debug, Clone)]
pub(in crate::broker) struct ShareFetch {
    pub(in crate::broker) key: SessionKey,
    /// In the order in which they are looked at.
    pub(in crate::broker) partitions: Vec<TopicIdPartition>,
    pub(in crate::broker) max_wait: Duration,
    pub(in crate::broker) min_bytes: usize,
    pub(in crate::broker) max_bytes: usize,
    pub(in crate::broker) max_records: i64,
    pub(in crate::broker) batch_size: i64,
    pub(in crate::broker) mode: AcquireMode,
}

/// What came of it, for the partitions that there is something to be said of.
pub(in crate::broker) type Fetched = Vec<(TopicIdPartition, Result<Taken, ErrorCode>)>;

/// The share-partitions of a fetch, as they are now.
struct Targets {
    ready: Vec<(TopicIdPartition, Arc<SharePartition>)>,
    failed: Fetched,
}

impl ShareGroups {
    /// Waits until there are `min_bytes` to be had or time is up, and takes what there is. Nothing was taken if this is dropped while it waits.
    pub(in crate::broker) async fn fetch(&self, ctx: &RequestContext, wanted: &ShareFetch) -> Fetched {
        let deadline = tokio::time::Instant::now() + wanted.max_wait;
        loop {
            let settings = self.settings(&wanted.key.group);
            let targets = self.targets(wanted).await;
            let appends = Waiter::register(targets.ready.iter().map(|(_, ready)| Arc::clone(ready.partition())));
            let releases = Waiter::register(targets.ready.iter().map(|(_, ready)| Arc::clone(ready)));
            // Order: looked at after registering, so that nothing in between is missed.
            while targets.ready.iter().all(|(_, ready)| ready.is_valid()) {
                let is_late = tokio::time::Instant::now() >= deadline;
                let (bytes, can_read) = readable(&targets, &settings);
                let has_enough = bytes > 0 && bytes >= wanted.min_bytes;
                let must_answer = is_late || wanted.min_bytes == 0 || !targets.failed.is_empty() || !can_read;
                let mut look_again = false;
                if must_answer || has_enough {
                    let max_bytes =
                        ctx.reserve_response_memory(bytes.min(wanted.max_bytes)).await.min(wanted.max_bytes);
                    let taken = self.take(wanted, &targets, &settings, max_bytes);
                    let is_news =
                        |result: &Result<Taken, ErrorCode>| !matches!(result, Ok(taken) if taken.acquired.is_empty());
                    look_again = taken.iter().any(|(_, result)| matches!(result, Ok(taken) if taken.look_again));
                    if taken.iter().any(|(_, result)| is_news(result)) || must_answer && !look_again {
                        let mut answer = targets.failed;
                        answer.extend(taken.into_iter().filter(|(_, result)| is_news(result)));
                        return answer;
                    }
                }
                if !look_again {
                    tokio::select! {
                        () = appends.woken() => {}
                        () = releases.woken() => {}
                        () = tokio::time::sleep_until(deadline) => {}
                    }
                }
            }
        }
    }

    async fn targets(&self, wanted: &ShareFetch) -> Targets {
        let mut targets = Targets { ready: Vec::new(), failed: Vec::new() };
        for partition in &wanted.partitions {
            match self.partition(&wanted.key.group, *partition).await {
                Ok(ready) => targets.ready.push((*partition, ready)),
                Err(error) => targets.failed.push((*partition, Err(error))),
            }
        }
        targets
    }

    /// Takes from one partition after another as long as records and bytes are left.
    fn take(&self, wanted: &ShareFetch, targets: &Targets, settings: &ShareGroupSettings, max_bytes: usize) -> Fetched {
        let has_any = |ready: &SharePartition| ready.readable_bytes(settings).map_or(true, |bytes| bytes > 0);
        let with_any: Vec<_> = targets.ready.iter().filter(|(_, ready)| has_any(ready)).collect();
        // As Kafka: the same share for each.
        let share = max_bytes / with_any.len().max(1);
        let mut left = wanted.max_records;
        let mut bytes_left = max_bytes;
        let mut taken = Vec::new();
        for (partition, ready) in with_any {
            if left <= 0 || bytes_left == 0 {
                break;
            }
            let acquire = Acquire {
                member: Arc::clone(&wanted.key.member),
                mode: wanted.mode,
                max_records: left,
                batch_size: wanted.batch_size,
                now: now().steady,
            };
            let result = ready.take(&acquire, settings, share.min(bytes_left));
            if let Ok(taken) = &result {
                left -= taken.acquired.iter().map(|range| range.last - range.first + 1).sum::<i64>();
                bytes_left = bytes_left.saturating_sub(taken.records.len());
            }
            taken.push((*partition, result));
        }
        if left < wanted.max_records {
            self.locked_until(now().steady + settings.rules.record_lock_duration);
        }
        taken
    }
}

/// How many bytes there are to be had, and whether all of the logs can be read.
fn readable(targets: &Targets, settings: &ShareGroupSettings) -> (usize, bool) {
    let mut bytes = 0usize;
    let mut can_read = true;
    for (_, ready) in &targets.ready {
        match ready.readable_bytes(settings) {
            Ok(more) => bytes = bytes.saturating_add(more),
            Err(_) => can_read = false,
        }
    }
    (bytes, can_read)
}
