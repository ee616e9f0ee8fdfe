//! Reads a stretch of topics once, in the order of time across their partitions, for the tools that take records
//! elsewhere.
//!
//! Within a partition the order is that of the offsets; across partitions a record comes when all before it in time have
//! come. A record that is older than one before it in its partition counts as if it were of that one's time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use anyhow::Context as _;

use super::explained;
use crate::client::admin::OffsetSpec;
use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Start};
use crate::client::{Admin, ClientOptions};
use crate::config::IsolationLevel;
use crate::types::{Offset, TopicPartition};

/// How many records of a partition may wait for those of others.
const MOST_WAITING: usize = 1000;
/// And how many bytes.
const MOST_WAITING_BYTES: usize = 4 << 20;
/// How many are handed out at a time.
const MOST_AT_ONCE: usize = 4096;
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(200);

/// Which records.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stretch {
    /// From the first record of this time or later on; `None`: from the beginning.
    pub(crate) from: Option<i64>,
    /// Up to the first record of this time or later; `None`: up to what is there now.
    pub(crate) to: Option<i64>,
    /// Go on with what comes.
    pub(crate) follow: bool,
}

impl Stretch {
    /// Whether a record of this time is meant: their order in a partition need not be that of time.
    fn holds(self, timestamp: i64) -> bool {
        timestamp < 0 || self.from.is_none_or(|from| timestamp >= from) && self.to.is_none_or(|to| timestamp < to)
    }
}

/// Where a partition's part of the stretch lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: Offset,
    /// Exclusive.
    pub(crate) end: Offset,
}

/// Looks up where the stretch begins and ends in each of the partitions.
pub(crate) async fn bounds(
    admin: &Admin,
    partitions: &[TopicPartition],
    stretch: Stretch,
    isolation: IsolationLevel,
) -> anyhow::Result<BTreeMap<TopicPartition, Bounds>> {
    let all = |spec: OffsetSpec| partitions.iter().map(|partition| (partition.clone(), spec)).collect::<Vec<_>>();
    let ends = admin.list_offsets(all(OffsetSpec::Latest), isolation).await;
    let from = stretch.from.map_or(OffsetSpec::Earliest, OffsetSpec::Timestamp);
    let mut starts = admin.list_offsets(all(from), isolation).await;
    let mut stops = match stretch.to {
        Some(to) => admin.list_offsets(all(OffsetSpec::Timestamp(to)), isolation).await,
        None => BTreeMap::new(),
    };
    let mut found = BTreeMap::new();
    for (partition, end) in ends {
        let look_up = |error| explained(error).context(format!("could not look up the offsets of {partition}"));
        let end = end.map_err(look_up)?.offset.unwrap_or(Offset::ZERO);
        let start = match starts.remove(&partition) {
            Some(start) => start.map_err(look_up)?.offset.unwrap_or(end),
            None => end,
        };
        let stop = match stops.remove(&partition) {
            Some(stop) => stop.map_err(look_up)?.offset.unwrap_or(end).min(end),
            None => end,
        };
        found.insert(partition, Bounds { start: start.min(end), end: stop });
    }
    Ok(found)
}

/// Reads the records of a stretch.
pub(crate) struct RangeReader {
    consumer: Consumer,
    stretch: Stretch,
    lanes: Vec<Lane>,
    /// Where each partition's lane stands.
    index: BTreeMap<TopicPartition, usize>,
    /// The lanes that have a record, by the time of their first.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
}

/// What waits of a partition.
struct Lane {
    partition: TopicPartition,
    end: Offset,
    done: bool,
    paused: bool,
    waiting: VecDeque<(i64, ConsumerRecord)>,
    waiting_bytes: usize,
    latest: i64,
}

impl RangeReader {
    /// Begins to read. Must be called within a runtime.
    pub(crate) fn new(
        client: ClientOptions,
        isolation: IsolationLevel,
        bounds: &BTreeMap<TopicPartition, Bounds>,
        stretch: Stretch,
    ) -> Self {
        let options =
            ConsumerOptions { client, isolation, allow_auto_create_topics: false, ..ConsumerOptions::default() };
        let mut consumer = Consumer::new(options);
        let mut lanes = Vec::new();
        for (partition, bounds) in bounds {
            let done = !stretch.follow && bounds.start >= bounds.end;
            lanes.push(Lane {
                partition: partition.clone(),
                end: bounds.end,
                done,
                paused: false,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                latest: i64::MIN,
            });
        }
        let unread = lanes.iter().filter(|lane| !lane.done).map(|lane| lane.partition.clone());
        let start = |partition: TopicPartition| {
            let start = bounds.get(&partition).map_or(Offset::ZERO, |bounds| bounds.start);
            (partition, Start::Offset(start))
        };
        consumer.assign_from(unread.map(start));
        let index = lanes.iter().enumerate().map(|(at, lane)| (lane.partition.clone(), at)).collect();
        Self { consumer, stretch, lanes, index, heads: BinaryHeap::new() }
    }

    /// The next records, at least one; `None` at the end of the stretch. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Vec<ConsumerRecord>>> {
        loop {
            let ready = self.ready();
            if !ready.is_empty() {
                return Ok(Some(ready));
            }
            if !self.stretch.follow && self.lanes.iter().all(|lane| lane.done && lane.waiting.is_empty()) {
                return Ok(None);
            }
            self.balance()?;
            let records = self.consumer.poll(POLL).await.context("could not read")?;
            for record in records {
                self.take(record);
            }
            self.look_for_ends()?;
        }
    }

    fn take(&mut self, record: ConsumerRecord) {
        let Some(&at) = self.index.get(&*record.partition) else { return };
        let Some(lane) = self.lanes.get_mut(at) else { return };
        if !self.stretch.follow && record.offset >= lane.end || !self.stretch.holds(record.timestamp) {
            return;
        }
        lane.latest = lane.latest.max(record.timestamp);
        if lane.waiting.is_empty() {
            self.heads.push(Reverse((lane.latest, at)));
        }
        lane.waiting_bytes += size_of_record(&record);
        lane.waiting.push_back((lane.latest, record));
    }

    /// What no record that is still to come can precede.
    fn ready(&mut self) -> Vec<ConsumerRecord> {
        let mut ready = Vec::new();
        let mut silent = self.lanes.iter().filter(|lane| !lane.done && lane.waiting.is_empty()).count();
        // Whoever follows wants a record when it comes, and so takes the order in which they come.
        while (silent == 0 || self.stretch.follow) && ready.len() < MOST_AT_ONCE {
            let Some(Reverse((_, at))) = self.heads.pop() else { break };
            let Some(lane) = self.lanes.get_mut(at) else { break };
            let Some((_, record)) = lane.waiting.pop_front() else { continue };
            lane.waiting_bytes = lane.waiting_bytes.saturating_sub(size_of_record(&record));
            ready.push(record);
            match lane.waiting.front() {
                Some((time, _)) => self.heads.push(Reverse((*time, at))),
                None if !lane.done => silent += 1,
                None => {}
            }
        }
        ready
    }

    /// Stops reading ahead where much waits, and goes on where little does.
    fn balance(&mut self) -> anyhow::Result<()> {
        for lane in self.lanes.iter_mut().filter(|lane| !lane.done) {
            let full = lane.waiting.len() >= MOST_WAITING || lane.waiting_bytes >= MOST_WAITING_BYTES;
            if full != lane.paused {
                let partition = std::slice::from_ref(&lane.partition);
                if full {
                    self.consumer.pause(partition)?
                } else {
                    self.consumer.resume(partition)?
                }
                lane.paused = full;
            }
        }
        Ok(())
    }

    fn look_for_ends(&mut self) -> anyhow::Result<()> {
        if self.stretch.follow {
            return Ok(());
        }
        for lane in self.lanes.iter_mut().filter(|lane| !lane.done) {
            // Not the last record: behind it there may be markers, and gaps that compaction left.
            let position = self.consumer.known_position(&lane.partition);
            if position.is_some_and(|position| position.offset >= lane.end) {
                lane.done = true;
                self.consumer.pause(std::slice::from_ref(&lane.partition))?;
            }
        }
        Ok(())
    }
}

/// About what it takes in memory and on the wire.
pub(crate) fn size_of_record(record: &ConsumerRecord) -> usize {
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len());
    let headers: usize = record.headers.iter().map(|header| header.key.len() + length(&header.value)).sum();
    length(&record.key) + length(&record.value) + headers
}
