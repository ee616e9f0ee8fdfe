//! An entry for a fuzzer over everything that reads record batches; replayed by `cargo test` on a kept corpus.

use bytes::Bytes;

use super::{
    Codec, Compression, LogEntry, RecordBatch, ValidateOptions, batches, decompress, entries, produced_batch,
    recompress, validate,
};

/// What decompression may take here: small enough that a bomb among the inputs costs nothing.
const LIMIT: usize = 1 << 20;

/// Takes `data` for a piece of log, for the batch of a produce request (with its checksum set right, so that the
/// records are reached) and for compressed bytes.
///
/// Panics if what was read as valid can't be read again, or if anything grows past its limit.
pub fn fuzz_record_batches(data: &[u8]) {
    let log = Bytes::copy_from_slice(data);
    for entry in entries(&log).flatten() {
        let _ = entry.verify_crc();
        if let Ok(records) = entry.owned_records(&log, LIMIT) {
            records.for_each(drop);
        }
    }
    batches(data).for_each(drop);
    if let Ok((LogEntry::Batch(batch), _)) = LogEntry::new(data) {
        produce(&batch);
    }
    for codec in Codec::ALL {
        if let Ok(out) = decompress(codec, data, LIMIT) {
            assert!(out.len() <= LIMIT, "{codec} went past its limit");
        }
    }
}

/// Sends the batch through what a broker does with it.
fn produce(batch: &RecordBatch<'_>) {
    let bytes = [&batch.header().sealed(batch.body()).encode()[..], batch.body()].concat();
    let options = ValidateOptions { max_decompressed_bytes: LIMIT, ..ValidateOptions::default() };
    let Ok(batch) = produced_batch(&bytes, true) else { return };
    let Ok(valid) = validate(batch, &options) else { return };
    let mut scratch = Vec::new();
    let read = valid.batch.records(&mut scratch, LIMIT).map(|records| records.filter(Result::is_ok).count());
    assert_eq!(read.ok(), usize::try_from(batch.header().record_count).ok(), "a valid batch can be read");
    for codec in Codec::ALL {
        let again = recompress(&batch, Compression::new(codec), LIMIT).unwrap_or_default();
        let valid_again = produced_batch(&again, true).and_then(|batch| validate(batch, &options));
        assert!(
            valid_again.is_ok_and(|again| again.max_timestamp == valid.max_timestamp),
            "a valid batch is valid with {codec}"
        );
    }
}
