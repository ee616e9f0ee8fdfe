//! Replaying a log: producers and transactions from a snapshot and the batches after it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::config::LogConfig;
use super::error::LogError;
use super::place::{Place, extension, file_name};
use super::producer_snapshot;
use super::producer_state::{Circumstances, ProducerState, Staged};
use super::segment::Segment;
use super::transactions::Transactions;
use super::txn_index::AbortedTransaction;
use crate::record::{EndMarker, RecordBatch, TimestampType};
use crate::types::Offset;

/// The producers' state at the log end, found from a snapshot and the batches after it.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) producers: ProducerState,
    pub(super) transactions: Transactions,
    /// Where replaying began.
    pub(super) from: Offset,
    /// Behind the last batch seen.
    pub(super) to: i64,
    /// Aborted transactions met on the way, by base offset of the segment of their markers.
    pub(super) aborted: BTreeMap<i64, Vec<AbortedTransaction>>,
}

/// Loads the newest good snapshot at `newest` or below and replays the log from there to its end. Bad snapshots are
/// deleted and left out of `snapshots`.
pub(super) fn load_producers(
    place: &Place,
    config: &LogConfig,
    segments: &[Arc<Segment>],
    snapshots: &mut BTreeSet<i64>,
    newest: i64,
    end: Offset,
    now_ms: i64,
) -> Result<Replayed, LogError> {
    let mut replayed = replay_from_snapshot(place, config, segments, snapshots, newest, end, Checksums::All)?;
    replayed.producers.expire(now_ms, config.producer_id_expiration_ms);
    Ok(replayed)
}

/// The aborted transactions whose markers are in the last one of `segments`, and the offset up to which they were looked for.
pub(super) fn aborted_of_last(
    place: &Place,
    config: &LogConfig,
    segments: &[Arc<Segment>],
    mut snapshots: BTreeSet<i64>,
) -> Result<(Vec<AbortedTransaction>, i64), LogError> {
    let base = segments.last().map_or(0, |segment| segment.base_offset());
    let (all, markers) = (Offset(i64::MAX), Checksums::OfMarkers);
    let mut replayed = replay_from_snapshot(place, config, segments, &mut snapshots, base, all, markers)?;
    Ok((replayed.aborted.remove(&base).unwrap_or_default(), replayed.to))
}

/// Which batches are checked whole before they count, of those that no check has seen since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checksums {
    /// Every batch of a producer: what comes of it is kept.
    All,
    /// Those that say how a transaction ended. A damaged batch of records is served to nobody, whatever its header says.
    OfMarkers,
}

fn replay_from_snapshot(
    place: &Place,
    config: &LogConfig,
    segments: &[Arc<Segment>],
    snapshots: &mut BTreeSet<i64>,
    newest: i64,
    end: Offset,
    checksums: Checksums,
) -> Result<Replayed, LogError> {
    let first = segments.first().map_or(0, |segment| segment.base_offset());
    let mut replayed = Replayed {
        producers: ProducerState::default(),
        transactions: Transactions::default(),
        from: Offset(first),
        to: first,
        aborted: BTreeMap::new(),
    };
    while let Some(offset) = snapshots.range(..=newest).next_back().copied() {
        if let Some(entries) = producer_snapshot::read(place, offset)? {
            replayed.producers.load(&entries);
            replayed.from = Offset(offset.max(first));
            break;
        }
        place.remove(&file_name(offset, extension::SNAPSHOT))?;
        snapshots.remove(&offset);
    }
    for entry in replayed.producers.entries() {
        if let Some(first_offset) = entry.txn_first_offset {
            replayed.transactions.begin(first_offset, entry.producer_id);
        }
    }
    for (at, segment) in segments.iter().enumerate() {
        let ends_before = segments.get(at + 1).is_some_and(|next| next.base_offset() <= replayed.from.0);
        if !ends_before && segment.size() > 0 && replayed.from < end {
            replay(place, config, segment, checksums, &mut replayed)?;
            segment.close_files()?;
        }
    }
    Ok(replayed)
}

fn replay(
    place: &Place,
    config: &LogConfig,
    segment: &Segment,
    checksums: Checksums,
    replayed: &mut Replayed,
) -> Result<(), LogError> {
    // Records may be as old as their producer likes; when they were appended is not told by them. The file's time is
    // not before that, so nobody is forgotten too early.
    let modified_ms = place.fs.metadata(&segment.path())?.modified_ms;
    let (from, base_offset) = (replayed.from.0, segment.base_offset());
    let Replayed { producers, transactions, aborted, to, .. } = replayed;
    segment.walk(from, config, |batch, mut bytes| {
        *to = (*to).max(batch.next_offset());
        let Some(header) = batch.header.filter(|header| header.has_producer_id() && batch.base_offset >= from) else {
            return Ok(ControlFlow::Continue(()));
        };
        let is_control = header.attributes.is_control();
        if (is_control || checksums == Checksums::All)
            && segment.needs_check(&(batch.position..batch.end()))
            && !bytes.verify()?
        {
            return Ok(ControlFlow::Continue(()));
        }
        let marker = if is_control {
            RecordBatch::new(bytes.read()?).ok().and_then(|(batch, _)| EndMarker::of(&batch))
        } else {
            None
        };
        let append_ms = match header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp,
            TimestampType::CreateTime => modified_ms,
        };
        let mut staged = Staged::default();
        // What is in the log is not refused.
        if producers.stage(&mut staged, &header, marker, &Circumstances::replicated(append_ms)).is_ok() {
            for transaction in staged.transactions.completed.iter().filter(|transaction| transaction.aborted) {
                aborted.entry(base_offset).or_default().push(AbortedTransaction {
                    producer_id: transaction.producer_id,
                    first_offset: transaction.first_offset,
                    last_offset: transaction.last_offset,
                    last_stable_offset: transactions.stable_offset_after(transaction),
                });
            }
            transactions.apply(&staged.transactions);
            producers.commit(staged);
        }
        Ok(ControlFlow::Continue(()))
    })
}
