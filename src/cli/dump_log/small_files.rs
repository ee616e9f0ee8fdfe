//! `.txnindex` and `.snapshot` files.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::report::Report;
use super::{base_offset, log_file::optional_long};
use crate::log::check::{FileReader, producers, read_aborted_transaction};

const ABORTED_ENTRY: u64 = 34;
/// Twenty million producers.
const MAX_SNAPSHOT_BYTES: u64 = 1 << 30;

/// Prints the aborted transactions of a segment.
///
/// # Errors
/// The file can't be read, or has entries of a version to come.
pub(super) fn dump_aborted(file: &Path, report: &mut Report<'_>) -> anyhow::Result<()> {
    base_offset(file)?;
    let mut reader = FileReader::open(file)?;
    let entries = reader.size() / ABORTED_ENTRY;
    for at in 0..entries {
        let position = at * ABORTED_ENTRY;
        let Some(bytes) = reader.array(position)? else { break };
        let aborted = match read_aborted_transaction(&bytes) {
            Ok(aborted) => aborted,
            Err(version) => {
                report.damage(position, format_args!("aborted transaction of version {version}, known is 0"))?;
                bail!("{} can't be read from byte {position} on", file.display());
            }
        };
        report.line(format_args!(
            "version: 0 producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            aborted.producer_id, aborted.first_offset, aborted.last_offset, aborted.last_stable_offset
        ))?;
        report.entry("abortedTransaction", |object| {
            object.field("producerId", &aborted.producer_id.get(), 0);
            object.field("firstOffset", &aborted.first_offset.get(), 0);
            object.field("lastOffset", &aborted.last_offset.get(), 0);
            object.field("lastStableOffset", &aborted.last_stable_offset.get(), 0);
        })?;
    }
    let left = reader.size() % ABORTED_ENTRY;
    if left > 0 {
        report.damage(entries * ABORTED_ENTRY, format_args!("{left} bytes at the end are no whole entry"))?;
    }
    Ok(())
}

/// Prints the producers in a snapshot.
///
/// # Errors
/// The file can't be read; one that is damaged is told of, and the next file follows.
pub(super) fn dump_producers(file: &Path, report: &mut Report<'_>) -> anyhow::Result<()> {
    let mut reader = FileReader::open(file)?;
    let size = reader.size();
    if size > MAX_SNAPSHOT_BYTES {
        bail!("{} is too large for a snapshot of producers", file.display());
    }
    let length = usize::try_from(size).context("the file is too large")?;
    let entries = match producers(reader.bytes(0, length)?) {
        Ok(entries) => entries,
        Err(defect) => {
            report.unreadable(defect)?;
            return Ok(());
        }
    };
    for entry in entries {
        let open = Some(entry.txn_first_offset).filter(|offset| *offset >= 0);
        let mut line = format!(
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} lastTimestamp: {}",
            entry.producer_id,
            entry.epoch,
            entry.coordinator_epoch,
            optional_long(open),
            entry.timestamp
        );
        let first_sequence = first_sequence(entry.last_sequence, entry.offset_delta);
        if entry.last_offset >= 0 {
            line.push_str(&format!(
                " firstSequence: {first_sequence} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                entry.last_sequence, entry.last_offset, entry.offset_delta, entry.timestamp
            ));
        }
        report.line(line)?;
        report.entry("producer", |object| {
            object.field("producerId", &entry.producer_id, 0);
            object.field("producerEpoch", &entry.epoch, 0);
            object.field("coordinatorEpoch", &entry.coordinator_epoch, 0);
            object.field("currentTxnFirstOffset", &open, 0);
            object.field("lastTimestamp", &entry.timestamp, 0);
            if entry.last_offset >= 0 {
                object.field("firstSequence", &first_sequence, 0);
                object.field("lastSequence", &entry.last_sequence, 0);
                object.field("lastOffset", &entry.last_offset, 0);
                object.field("offsetDelta", &entry.offset_delta, 0);
            }
        })?;
    }
    Ok(())
}

/// Sequences go on with 0 after the largest.
fn first_sequence(last: i32, delta: i32) -> i32 {
    if last < delta {
        i32::MAX.wrapping_sub(delta.wrapping_sub(last)).wrapping_add(1)
    } else {
        last.wrapping_sub(delta)
    }
}
