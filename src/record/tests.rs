//! Properties of the whole module: what is built is read, and no bytes make it panic.

use bytes::Bytes;
use proptest::prelude::*;

use super::fuzz::fuzz_record_batches;
use super::*;
use crate::types::{LeaderEpoch, Offset, ProducerId};

type OwnedNew = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, u8);

fn new_record() -> impl Strategy<Value = OwnedNew> {
    let timestamp = prop_oneof![Just(-1), 1_700_000_000_000..1_700_000_100_000i64, any::<i64>()];
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    (timestamp, bytes(), bytes(), prop::collection::vec((".{0,8}", bytes()), 0..4), 0..3u8)
}

prop_compose! {
    fn options()(
        codec in prop::sample::select(&Codec::ALL[..]),
        base_offset in 0..i64::MAX / 2,
        leader_epoch: i32,
        log_append_time in prop::option::of(0..i64::MAX),
        (producer_id, producer_epoch, base_sequence) in prop_oneof![
            Just((-1, -1, -1)),
            (0..i64::MAX, 0..i16::MAX, 0..=i32::MAX)
        ],
        transactional: bool,
        control: bool,
        delete_horizon_ms in prop::option::of(any::<i64>()),
    ) -> BatchOptions {
        BatchOptions {
            compression: codec.into(),
            base_offset: Offset(base_offset),
            partition_leader_epoch: LeaderEpoch(leader_epoch),
            log_append_time,
            producer_id: ProducerId(producer_id),
            producer_epoch,
            base_sequence,
            transactional,
            control,
            delete_horizon_ms,
            last_offset_delta: None,
        }
    }
}

/// Builds the records with gaps between their offsets; gives the batch and the offset deltas.
fn build(options: BatchOptions, records: &[OwnedNew]) -> (Bytes, Vec<i32>) {
    let mut builder = BatchBuilder::new(options);
    let mut deltas = Vec::new();
    let mut next = 0;
    for (timestamp, key, value, headers, gap) in records {
        let headers: Vec<_> =
            headers.iter().map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() }).collect();
        let record =
            NewRecord { timestamp: *timestamp, key: key.as_deref(), value: value.as_deref(), headers: &headers };
        let (before, announced) = (builder.uncompressed_size(), builder.size_of_next(&record));
        let delta = next + i32::from(*gap);
        builder.append_at(delta, &record).unwrap();
        if *gap == 0 {
            assert_eq!(builder.uncompressed_size() - before, announced);
        }
        assert!(builder.uncompressed_size() - before + HEADER_LEN <= record.upper_bound_in_batch());
        deltas.push(delta);
        next = delta + 1;
    }
    (builder.build().unwrap(), deltas)
}

/// Kafka's producer says of this record that it takes 186 bytes.
#[test]
fn the_upper_bound_of_a_record_is_kafkas() {
    let record = NewRecord { value: Some(&[b'x'; 100]), ..NewRecord::default() };
    assert_eq!(record.upper_bound_in_batch(), 186);
}

proptest! {
    #[test]
    fn what_is_built_is_read(options in options(), records in prop::collection::vec(new_record(), 0..20)) {
        let (bytes, deltas) = build(options, &records);
        let (batch, rest) = RecordBatch::new(&bytes).unwrap();
        prop_assert!(rest.is_empty());
        batch.verify_crc().unwrap();
        let header = batch.header();
        prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_LEN]);
        prop_assert_eq!(header.size_in_bytes(), bytes.len());
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(header.last_offset_delta, deltas.last().copied().unwrap_or(-1));
        prop_assert_eq!(header.delete_horizon_ms(), options.delete_horizon_ms);

        let read: Vec<_> = batch.owned_records(&bytes, 1 << 20).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), records.len());
        for ((read, (timestamp, key, value, headers, _)), delta) in read.iter().zip(&records).zip(deltas) {
            prop_assert_eq!(read.offset, options.base_offset.plus(delta.into()));
            prop_assert_eq!(read.timestamp, options.log_append_time.unwrap_or(*timestamp));
            let sequence = (i64::from(options.base_sequence) + i64::from(delta)) % (1 << 31);
            prop_assert_eq!(i64::from(read.sequence), if options.base_sequence < 0 { -1 } else { sequence });
            prop_assert_eq!(read.key.as_deref(), key.as_deref());
            prop_assert_eq!(read.value.as_deref(), value.as_deref());
            let read_headers: Vec<_> = read
                .headers
                .iter()
                .map(|header| (header.as_header().key_text().into_owned(), header.value.as_ref().map(|v| v.to_vec())))
                .collect();
            prop_assert_eq!(&read_headers, headers);
        }
    }

    #[test]
    fn damage_is_refused_or_read_but_never_panics(
        options in options(),
        records in prop::collection::vec(new_record(), 1..5),
        place: prop::sample::Index,
        flip in 1u8..,
        cut: prop::sample::Index,
    ) {
        let (bytes, _) = build(options, &records);
        let mut damaged = bytes.to_vec();
        let place = place.index(damaged.len());
        damaged[place] ^= flip;
        fuzz_record_batches(&damaged);
        // The checksum sees every flip from the attributes on, and its own.
        if place >= 17 {
            let (batch, _) = RecordBatch::new(&damaged).unwrap();
            prop_assert!(batch.verify_crc().is_err());
        }
        fuzz_record_batches(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(data: Vec<u8>) {
        fuzz_record_batches(&data);
    }

    #[test]
    fn any_records_in_a_true_batch_are_read_or_refused(
        codec in prop::sample::select(&Codec::ALL[..]),
        count in 0..4i32,
        body in prop::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..40),
    ) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(&NewRecord::default()).unwrap();
        let batch = builder.build().unwrap();
        let body = compress(codec.into(), &body).unwrap();
        let header = BatchHeader {
            batch_length: (HEADER_LEN - LOG_OVERHEAD + body.len()) as i32,
            attributes: Attributes::default().with_codec(codec),
            last_offset_delta: count - 1,
            record_count: count,
            ..BatchHeader::parse(&batch).unwrap()
        };
        fuzz_record_batches(&[&header.sealed(&body).encode()[..], &body].concat());
    }
}

/// Sharing must point into the buffer, not copy.
#[test]
fn owned_records_share_the_answers_memory() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord { timestamp: 1, key: Some(b"key"), value: Some(b""), headers: &[] }).unwrap();
    let answer = Bytes::from([b"before", &builder.build().unwrap()[..], b"after"].concat());
    let (batch, rest) = RecordBatch::new(&answer[6..]).unwrap();
    assert_eq!(rest, b"after");
    let record = batch.owned_records(&answer, 0).unwrap().next().unwrap().unwrap();
    let key = record.key.unwrap();
    assert!(answer.as_ptr_range().contains(&key.as_ptr()));
    // A buffer that does not hold the batch gives copies.
    let record = batch.owned_records(&Bytes::from_static(b"elsewhere"), 0).unwrap().next().unwrap().unwrap();
    assert_eq!(record.key.unwrap(), key);
    assert_eq!(record.value.unwrap(), b""[..]);
}

#[test]
fn sequences_wrap_after_31_bits() {
    let mut builder = BatchBuilder::new(BatchOptions { base_sequence: i32::MAX - 1, ..BatchOptions::default() });
    for _ in 0..4 {
        builder.append(&NewRecord::default()).unwrap();
    }
    let header = BatchHeader::parse(&builder.build().unwrap()).unwrap();
    let sequences: Vec<_> = (0..4).map(|delta| header.sequence_at(delta)).collect();
    assert_eq!(sequences, [i32::MAX - 1, i32::MAX, 0, 1]);
    assert_eq!(header.last_sequence(), 1);
}

#[test]
fn entries_of_no_format_end_the_walk_with_an_error() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord::default()).unwrap();
    let good = builder.build().unwrap();
    let mut bad = good.to_vec();
    bad[16] = 3;
    let log = [&good[..], &bad, &good].concat();
    let mut walk = batches(&log);
    assert!(walk.next().unwrap().is_ok());
    assert!(matches!(walk.next(), Some(Err(RecordError::UnsupportedMagic { magic: 3 }))));
    assert!(walk.next().is_none());
    // Old messages are entries, but no batches.
    bad[16] = 1;
    assert!(matches!(batches(&bad).next(), Some(Err(RecordError::UnsupportedMagic { magic: 1 }))));
    let zeros = [0; 100];
    assert!(matches!(entries(&zeros).next(), Some(Err(RecordError::InvalidSize { size: 0 }))));
}
