//! Expected codes and messages are what Kafka 4.3.1 answered to the same batches, but where the module's head says
//! otherwise.

use super::super::{BatchBuilder, BatchOptions, NewRecord, compress, decompress, patched_header};
use super::*;
use crate::types::{ProducerId, TopicPartition};

const NOW: i64 = 1_700_000_000_000;

fn options() -> ValidateOptions {
    ValidateOptions { now_ms: NOW, ..ValidateOptions::default() }
}

fn record(timestamp: i64) -> NewRecord<'static> {
    NewRecord { timestamp, key: Some(b"k"), value: Some(b"v"), headers: &[] }
}

fn batch_of(codec: Codec, records: &[NewRecord<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression: codec.into(), ..BatchOptions::default() });
    for record in records {
        builder.append(record).unwrap();
    }
    builder.build().unwrap().to_vec()
}

fn plain() -> Vec<u8> {
    batch_of(Codec::None, &[record(NOW), record(NOW + 5), record(NOW + 1)])
}

/// The batch with another header, whose checksum fits again.
fn with(bytes: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let (batch, _) = RecordBatch::new(bytes).unwrap();
    let mut header = *batch.header();
    change(&mut header);
    [&header.sealed(batch.body()).encode()[..], batch.body()].concat()
}

/// A batch of these raw records.
fn raw(codec: Codec, count: i32, records: &[u8]) -> Vec<u8> {
    let body = compress(codec.into(), records).unwrap();
    let header = BatchHeader {
        batch_length: (body.len() + HEADER_LEN - 12) as i32,
        record_count: count,
        last_offset_delta: count - 1,
        base_timestamp: NOW,
        max_timestamp: NOW,
        attributes: super::super::Attributes::default().with_codec(codec),
        ..*RecordBatch::new(&plain()).unwrap().0.header()
    };
    [&header.sealed(&body).encode()[..], &body].concat()
}

fn check<'a>(payload: &'a [u8], options: &ValidateOptions) -> Result<ValidatedBatch<'a>, ValidateError> {
    validate(produced_batch(payload, true)?, options)
}

/// The refusal in one line: what kind and why.
fn refusal(payload: &[u8]) -> String {
    use std::error::Error as _;
    let error = check(payload, &options()).expect_err("it must be refused");
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(&format!(": {error}"));
        source = error.source();
    }
    line
}

#[test]
fn good_batches_pass_with_every_codec() {
    for codec in Codec::ALL {
        let bytes = batch_of(codec, &[record(NOW), record(NOW + 5), record(NOW + 5), record(-1)]);
        let valid = check(&bytes, &options()).unwrap();
        assert_eq!((valid.max_timestamp, valid.offset_delta_of_max_timestamp), (NOW + 5, 1), "{codec}");
        assert_eq!(valid.batch.bytes(), bytes);
    }
}

#[test]
fn the_payload_is_exactly_one_batch_of_magic_2() {
    let good = plain();
    assert!(refusal(b"").contains("no whole record batch"));
    assert!(refusal(&good[..16]).contains("no whole record batch"));
    assert!(refusal(&good[..good.len() - 1]).contains("no whole record batch"));
    assert!(refusal(&[&good[..], &good].concat()).contains("something follows"));
    assert!(refusal(&[&good[..], &[0; 5]].concat()).contains("something follows"));
    let mut old = good.clone();
    old[16] = 1;
    assert!(refusal(&old).contains("magic 1"));
    for magic in [3, 0xff] {
        let mut unknown = good.clone();
        unknown[16] = magic;
        assert!(matches!(check(&unknown, &options()), Err(ValidateError::Corrupt(_))));
    }
    let mut small = good.clone();
    small[8..12].copy_from_slice(&20i32.to_be_bytes());
    assert!(matches!(check(&small, &options()), Err(ValidateError::Corrupt(RecordError::InvalidSize { size: 20 }))));
}

#[test]
fn headers_no_client_sends_are_refused() {
    let good = plain();
    let defect = |change: fn(&mut BatchHeader)| refusal(&with(&good, change));
    assert!(defect(|h| h.base_offset = Offset(5)).contains("base offset is 5"));
    assert!(defect(|h| h.record_count = 0).contains("record count is 0"));
    assert!(defect(|h| h.record_count = -1).contains("record count is -1"));
    assert!(defect(|h| h.record_count = 4).contains("last offset delta is 2 with 4"));
    assert!(defect(|h| h.last_offset_delta = -1).contains("last offset delta is -1 with 3"));
    assert!(defect(|h| h.attributes = h.attributes.with_control(true)).contains("control records"));
    assert!(defect(|h| h.attributes = h.attributes.with_delete_horizon(true)).contains("attributes 0x0040"));
    assert!(defect(|h| h.attributes.0 |= 0x80).contains("attributes 0x0080"));
    assert!(defect(|h| h.attributes.0 = i16::MIN).contains("attributes 0x8000"));
    assert!(defect(|h| h.attributes.0 |= 5).contains("unknown compression codec 5"));
    assert!(defect(|h| h.producer_id = ProducerId(-2)).contains("producer id -2"));
    assert!(defect(|h| h.producer_id = ProducerId(5)).contains("base sequence -1"));
    assert!(defect(|h| (h.producer_id, h.base_sequence) = (ProducerId(5), 0)).contains("epoch -1"));
    assert!(defect(|h| h.attributes = h.attributes.with_transactional(true)).contains("producer id -1"));
    let idempotent = with(&good, |h| (h.producer_id, h.producer_epoch, h.base_sequence) = (ProducerId(5), 0, 0));
    assert!(check(&idempotent, &options()).is_ok());
}

#[test]
fn sizes_checksums_and_codecs_have_their_own_errors() {
    let good = plain();
    let small = ValidateOptions { max_message_bytes: good.len() - 1, ..options() };
    assert!(matches!(check(&good, &small), Err(ValidateError::TooLarge { .. })));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(check(&flipped, &options()), Err(ValidateError::Corrupt(RecordError::CrcMismatch { .. }))));
    let zstd = batch_of(Codec::Zstd, &[record(NOW)]);
    assert!(matches!(produced_batch(&zstd, false), Err(ValidateError::ZstdNotAllowed)));
    assert!(produced_batch(&good, false).is_ok());
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let garbage = with(&good, |h| h.attributes = h.attributes.with_codec(codec));
        assert!(refusal(&garbage).contains("could not decompress"), "{codec}");
    }
}

#[test]
fn broken_records_are_refused_in_every_codec() {
    let attributes_deltas = [0, 0, 0];
    let record = |fields: &[u8]| {
        let body = [&attributes_deltas[..], fields].concat();
        [&[(body.len() * 2) as u8][..], &body].concat()
    };
    let good = record(&[2, b'k', 2, b'v', 0]);
    for codec in Codec::ALL {
        assert!(check(&raw(codec, 1, &good), &options()).is_ok(), "{codec}");
        for (what, count, records) in [
            ("the length of its key is below -1", 1, record(&[3, 2, b'v', 0])),
            ("the length of its value is below -1", 1, record(&[1, 3, 0])),
            ("fields do not fill its length", 1, record(&[200, 1, b'k', 2, b'v', 0])),
            ("fields do not fill its length", 1, record(&[2, b'k', 2, b'v', 0, 0])),
            ("number of its headers is impossible", 1, record(&[1, 1, 1])),
            ("number of its headers is impossible", 1, record(&[1, 1, 0x7e])),
            ("length of a header is impossible", 1, record(&[1, 1, 2, 1, 1])),
            ("its length is negative", 1, vec![1]),
            ("it is cut short", 1, vec![100, 0, 0]),
            ("a number in it is too long", 1, vec![0xff; 6]),
            ("batch of 2 records ends after 1", 2, good.clone()),
            ("10 bytes follow the last record", 1, [&good[..], &good].concat()[..].to_vec()),
            ("record 1 has offset delta 0", 2, [&good[..], &good].concat()),
        ] {
            let message = refusal(&raw(codec, count, &records));
            let expected = what.replace("10 bytes", &format!("{} bytes", good.len()));
            assert!(message.contains(&expected), "{codec}: {message}, not {expected}");
        }
    }
}

/// Goal: a bomb is refused, and at no cost but its limit's.
#[test]
fn records_that_grow_past_the_limit_are_refused() {
    let zeros = vec![0; 4 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = batch_of(codec, &[NewRecord { value: Some(&zeros), ..record(NOW) }]);
        let generous = ValidateOptions { max_decompressed_bytes: (4 << 20) + 100, ..options() };
        assert!(check(&bytes, &generous).is_ok(), "{codec}");
        let tight = ValidateOptions { max_decompressed_bytes: 4 << 20, ..options() };
        assert!(
            matches!(
                check(&bytes, &tight),
                Err(ValidateError::InvalidBatch(BatchDefect::Unreadable(RecordError::DecompressedTooLarge { .. })))
            ),
            "{codec}"
        );
    }
}

fn failures(bytes: &[u8], options: &ValidateOptions) -> (bool, Vec<(i32, String)>, String) {
    let Err(ValidateError::InvalidRecords(failures)) = check(bytes, options) else { panic!("no failures") };
    let partition = TopicPartition::new("c", 0);
    let listed = failures.listed().iter().map(|failure| (failure.batch_index, failure.message(&partition))).collect();
    (failures.is_invalid_timestamp(), listed, failures.message(&partition))
}

#[test]
fn compacted_topics_need_keys() {
    let compacted = ValidateOptions { compacted: true, ..options() };
    let keyless = NewRecord { key: None, ..record(NOW) };
    let no_key = "Compacted topic cannot accept message without key in topic partition c-0";
    for codec in Codec::ALL {
        let bytes = batch_of(codec, &[record(NOW), keyless, record(NOW)]);
        assert!(check(&bytes, &options()).is_ok());
        let (timestamp, listed, message) = failures(&bytes, &compacted);
        assert!(!timestamp);
        assert_eq!(listed, [(1, no_key.to_owned())]);
        assert_eq!(
            message,
            "One or more records have been rejected due to 1 record errors in total, and only showing the first three \
             errors at most: [RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in \
             topic partition c-0')]"
        );
    }
    let (_, listed, message) = failures(&batch_of(Codec::None, &[keyless; 1500]), &compacted);
    assert_eq!(listed.len(), 1000);
    assert!(message.contains("due to 1500 record errors"));
    assert_eq!(message.matches("RecordError(").count(), 3);
}

#[test]
fn timestamps_stay_near_the_clock() {
    let narrow = ValidateOptions { compacted: true, before_max_ms: 10_000, after_max_ms: 5_000, ..options() };
    let edges = [record(NOW - 10_000), record(NOW + 5_000), record(-1)];
    assert!(check(&batch_of(Codec::None, &edges), &narrow).is_ok());
    let keyless = NewRecord { key: None, ..record(NOW - 10_001) };
    let bytes = batch_of(Codec::Lz4, &[keyless, record(NOW - 10_001), record(NOW + 5_001)]);
    let (timestamp, listed, message) = failures(&bytes, &narrow);
    assert!(timestamp);
    assert_eq!(
        listed.into_iter().map(|(_, message)| message).collect::<Vec<_>>(),
        [
            "Compacted topic cannot accept message without key in topic partition c-0",
            "Timestamp 1699999989999 of message with offset 1 is out of range. The timestamp should be within \
             [1699999990000, 1700000005000]",
            "Timestamp 1700000005001 of message with offset 2 is out of range. The timestamp should be within \
             [1699999990000, 1700000005000]",
        ]
    );
    assert_eq!(message, "One or more records have been rejected due to invalid timestamp");
    // A topic of append time has no use for the producer's timestamps, however wrong.
    let append_time = ValidateOptions { timestamp_type: TimestampType::LogAppendTime, compacted: false, ..narrow };
    assert!(check(&bytes, &append_time).is_ok());
    for (extreme, fine) in [(i64::MIN, false), (i64::MAX, false), (-5, true)] {
        assert_eq!(check(&batch_of(Codec::None, &[record(extreme)]), &options()).is_ok(), fine, "{extreme}");
    }
}

#[test]
fn append_time_is_not_the_producers_to_claim() {
    let bytes = with(&plain(), |h| {
        h.attributes = h.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        h.max_timestamp = -1;
    });
    let (timestamp, listed, _) = failures(&bytes, &options());
    assert!(timestamp);
    assert_eq!(listed.len(), 3);
    assert_eq!(
        listed[0].1,
        "Invalid timestamp type in message DefaultRecord(offset=0, timestamp=-1, key=1 bytes, value=1 bytes). Producer \
         should not set timestamp type to LogAppendTime."
    );
}

#[test]
fn the_leader_stamps_offsets_epoch_and_timestamps() {
    let bytes = plain();
    let valid = check(&bytes, &options()).unwrap();
    let stamp = valid.stamp(Offset(70), LeaderEpoch(9), &options());
    let stamped = [&patched_header(&valid.batch, &stamp)[..], valid.batch.body()].concat();
    let (batch, _) = RecordBatch::new(&stamped).unwrap();
    batch.verify_crc().unwrap();
    let expected =
        BatchHeader { base_offset: Offset(70), partition_leader_epoch: LeaderEpoch(9), ..*valid.batch.header() };
    assert_eq!(*batch.header(), expected, "the checksum needs no change");

    // A max timestamp that lies is set right.
    let lying = with(&bytes, |h| h.max_timestamp = NOW + 1_000_000);
    let valid = check(&lying, &options()).unwrap();
    let stamped = patched_header(&valid.batch, &valid.stamp(Offset(70), LeaderEpoch(9), &options()));
    assert_eq!(BatchHeader::parse(&stamped).unwrap(), expected);

    let append_time = ValidateOptions { timestamp_type: TimestampType::LogAppendTime, ..options() };
    let stamp = valid.stamp(Offset(0), LeaderEpoch(0), &append_time);
    let stamped = [&patched_header(&valid.batch, &stamp)[..], valid.batch.body()].concat();
    let (batch, _) = RecordBatch::new(&stamped).unwrap();
    batch.verify_crc().unwrap();
    let mut scratch = Vec::new();
    assert!(batch.records(&mut scratch, 0).unwrap().all(|record| record.unwrap().timestamp == NOW));
}

#[test]
fn recompressing_changes_nothing_but_the_codec() {
    let bytes = with(&plain(), |h| (h.producer_id, h.producer_epoch, h.base_sequence) = (ProducerId(5), 1, 9));
    for from in Codec::ALL {
        let (plain, _) = RecordBatch::new(&bytes).unwrap();
        let source = recompress(&plain, from.into(), 1000).unwrap();
        for to in Codec::ALL {
            let (batch, _) = RecordBatch::new(&source).unwrap();
            let target = recompress(&batch, to.into(), 1000).unwrap();
            let valid = check(&target, &options()).unwrap();
            assert_eq!(valid.batch.header().attributes.codec().unwrap(), to);
            assert_eq!(decompress(to, valid.batch.body(), 1000).unwrap(), plain.body());
            assert_eq!(valid.batch.header().last_sequence(), 11);
        }
        let limit = plain.body().len() - 1;
        if from != Codec::None {
            let (batch, _) = RecordBatch::new(&source).unwrap();
            assert!(recompress(&batch, Codec::None.into(), limit).is_err());
        }
    }
}
