//! Record batches against bytes that Apache Kafka's own classes wrote (`tests/data/vectors/record-batches.tsv`).
//!
//! Every line is read, and every header field, record, header and control record compared with what Kafka read; what is
//! not compressed is built again to the same bytes, what is compressed is built, read back and compared.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use kafka_rs::record::fuzz::fuzz_record_batches;
use kafka_rs::record::{
    BatchBuilder, BatchHeader, BatchOptions, Codec, Compression, Header, LogEntry, NewRecord, OldEntry, OwnedRecord,
    RecordBatch, TimestampType, ValidateOptions, entries, produced_batch, validate,
};
use serde_json::{Map, Value, json};

const VECTORS: &str = include_str!("data/vectors/record-batches.tsv");
const LIMIT: usize = 1 << 20;

struct Vector {
    name: &'static str,
    log: Bytes,
    json: Value,
}

fn vectors() -> Vec<Vector> {
    VECTORS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [name, hex, json] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            Vector { name, log: Bytes::from(unhex(hex)), json: serde_json::from_str(json).unwrap() }
        })
        .collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// Turns `{"repeat":HEX,"times":N}` into the hex that it stands for, everywhere.
fn expand(value: &mut Value) {
    match value {
        Value::Object(object) => match (object.get("repeat"), object.get("times")) {
            (Some(Value::String(part)), Some(times)) => {
                *value = part.repeat(times.as_u64().unwrap().try_into().unwrap()).into();
            }
            _ => object.values_mut().for_each(expand),
        },
        Value::Array(values) => values.iter_mut().for_each(expand),
        _ => {}
    }
}

#[test]
fn every_line_reads_as_kafka_reads_it() {
    let (mut batches, mut records) = (0, 0);
    for Vector { name, log, mut json } in vectors() {
        expand(&mut json);
        let mut walk = entries(&log);
        let mut read = Vec::new();
        for entry in &mut walk {
            let entry = entry.unwrap_or_else(|error| panic!("{name}: {error}"));
            entry.verify_crc().unwrap_or_else(|error| panic!("{name}: {error}"));
            let entry_json = describe(&entry, &log);
            records += entry_json["records"].as_array().unwrap().len();
            read.push(entry_json);
        }
        batches += read.len();
        let expected = json["batches"].as_array_mut().unwrap();
        for (read, expected) in read.iter().zip(expected.iter_mut()) {
            check_control(name, read, expected);
            assert_eq!(read, expected, "{name}");
        }
        assert_eq!(read.len(), expected.len(), "{name}");
        let trailing = json.get("trailingBytes").map_or(0, |n| n.as_u64().unwrap());
        assert_eq!(walk.rest().len() as u64, trailing, "{name}");
    }
    assert_eq!((batches, records), (106, 232), "no line may be skipped");
}

/// The entry in the vectors' words.
fn describe(entry: &LogEntry<'_>, log: &Bytes) -> Value {
    let records: Vec<OwnedRecord> = entry.owned_records(log, LIMIT).unwrap().map(|record| record.unwrap()).collect();
    let mut json = match entry {
        LogEntry::Batch(batch) => {
            check_views(batch, &records);
            describe_header(batch.header())
        }
        LogEntry::Old(entry) => describe_old(entry, &records),
    };
    json.insert("sizeInBytes".into(), entry.bytes().len().into());
    json.insert("lastOffset".into(), entry.last_offset().get().into());
    json.insert("maxTimestamp".into(), entry.max_timestamp().into());
    json.insert("magic".into(), entry.magic().into());
    let records = records.iter().map(|record| describe_record(record, entry.magic())).collect();
    json.insert("records".into(), Value::Array(records));
    Value::Object(json)
}

fn describe_header(header: &BatchHeader) -> Map<String, Value> {
    let attributes = header.attributes;
    assert_eq!(header.record_count == 0, header.size_in_bytes() == 61);
    let Value::Object(json) = json!({
        "baseOffset": header.base_offset.get(),
        "compression": attributes.codec().unwrap().name(),
        "timestampType": attributes.timestamp_type().to_string(),
        "crc": header.crc,
        "attributes": attributes.0,
        "batchLength": header.batch_length,
        "partitionLeaderEpoch": header.partition_leader_epoch.get(),
        "lastOffsetDelta": header.last_offset_delta,
        "baseTimestamp": header.base_timestamp,
        "producerId": header.producer_id.get(),
        "producerEpoch": header.producer_epoch,
        "baseSequence": header.base_sequence,
        "lastSequence": header.last_sequence(),
        "recordsCount": header.record_count,
        "isTransactional": attributes.is_transactional(),
        "isControlBatch": attributes.is_control(),
        "deleteHorizonMs": header.delete_horizon_ms(),
    }) else {
        panic!("an object")
    };
    json
}

fn describe_old(entry: &OldEntry<'_>, records: &[OwnedRecord]) -> Map<String, Value> {
    let Value::Object(json) = json!({
        "baseOffset": records[0].offset.get(),
        "compression": entry.codec().unwrap().name(),
        "timestampType": entry.timestamp_type().map_or("NoTimestampType".into(), |kind| kind.to_string()),
        "crc": entry.crc(),
        "attributes": entry.attributes(),
        "messageSize": entry.bytes().len() - 12,
    }) else {
        panic!("an object")
    };
    json
}

fn describe_record(record: &OwnedRecord, magic: i8) -> Value {
    let mut json = json!({
        "offset": record.offset.get(),
        "timestamp": record.timestamp,
        "key": hex(record.key.as_deref()),
        "value": hex(record.value.as_deref()),
    });
    if magic == 2 {
        json["sequence"] = record.sequence.into();
        json["headers"] = record
            .headers
            .iter()
            .map(|header| json!({"key": header.as_header().key_text(), "value": hex(header.value.as_deref())}))
            .collect();
    }
    json
}

/// The borrowed records are the owned ones.
fn check_views(batch: &RecordBatch<'_>, owned: &[OwnedRecord]) {
    let mut scratch = Vec::new();
    let views: Vec<_> = batch.records(&mut scratch, LIMIT).unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(views.len(), owned.len());
    for (view, owned) in views.iter().zip(owned) {
        assert_eq!(OwnedRecord::share(view, &Bytes::new()), *owned);
        assert_eq!(view.headers.len(), owned.headers.len());
    }
}

/// Version and type of control records stand in their keys; the data is compared by the codec's own vectors.
fn check_control(name: &str, read: &Value, expected: &mut Value) {
    for (read, expected) in
        read["records"].as_array().unwrap().iter().zip(expected["records"].as_array_mut().unwrap().iter_mut())
    {
        if let Some(control) = expected.as_object_mut().unwrap().remove("control") {
            let key =
                format!("{:04x}{:04x}", control["version"].as_i64().unwrap(), control["typeId"].as_i64().unwrap());
            assert_eq!(read["key"], Value::from(key), "{name}");
        }
    }
}

#[test]
fn batches_build_to_kafkas_bytes() {
    let (mut same_bytes, mut same_records) = (0, 0);
    for Vector { name, log, .. } in vectors() {
        for entry in entries(&log) {
            let LogEntry::Batch(batch) = entry.unwrap() else { continue };
            let built = rebuild(&batch, &log, batch.header().attributes.codec().unwrap());
            if batch.header().attributes.codec().unwrap() == Codec::None {
                assert_eq!(built, batch.bytes(), "{name}");
                same_bytes += 1;
            } else {
                assert_same_but_compressed(name, &batch, &log, &built);
                same_records += 1;
            }
        }
    }
    assert_eq!((same_bytes, same_records), (27, 34));
}

/// Each batch survives each codec.
#[test]
fn batches_round_trip_through_every_codec() {
    for Vector { name, log, .. } in vectors() {
        for entry in entries(&log) {
            let LogEntry::Batch(batch) = entry.unwrap() else { continue };
            for codec in Codec::ALL {
                let built = rebuild(&batch, &log, codec);
                assert_same_but_compressed(name, &batch, &log, &built);
            }
        }
    }
}

/// Builds the batch anew from its decoded form.
fn rebuild(batch: &RecordBatch<'_>, log: &Bytes, codec: Codec) -> Bytes {
    let header = batch.header();
    if header.record_count == 0 {
        return Bytes::copy_from_slice(&header.emptied().encode());
    }
    let attributes = header.attributes;
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: Compression::new(codec),
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        log_append_time: (attributes.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: attributes.is_transactional(),
        control: attributes.is_control(),
        delete_horizon_ms: header.delete_horizon_ms(),
        last_offset_delta: Some(header.last_offset_delta),
    });
    // The records' own timestamps, which readers do not see in a batch of append time.
    let create_time = BatchHeader { attributes: attributes.with_timestamp_type(TimestampType::CreateTime), ..*header };
    let bytes = [&create_time.encode()[..], batch.body()].concat();
    let (readable, _) = RecordBatch::new(&bytes).unwrap();
    for record in readable.owned_records(log, LIMIT).unwrap() {
        let record = record.unwrap();
        let headers: Vec<Header<'_>> = record.headers.iter().map(|header| header.as_header()).collect();
        let new = NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        let size = builder.uncompressed_size();
        let delta = i32::try_from(record.offset.get() - header.base_offset.get()).unwrap();
        builder.append_at(delta, &new).unwrap();
        assert!(builder.uncompressed_size() - size < new.upper_bound_in_batch());
    }
    builder.build().unwrap()
}

fn assert_same_but_compressed(name: &str, batch: &RecordBatch<'_>, log: &Bytes, built: &Bytes) {
    let (again, rest) = RecordBatch::new(built).unwrap();
    assert!(rest.is_empty(), "{name}");
    again.verify_crc().unwrap();
    let header = BatchHeader {
        batch_length: batch.header().batch_length,
        crc: batch.header().crc,
        attributes: batch.header().attributes,
        ..*again.header()
    };
    assert_eq!(header, *batch.header(), "{name}");
    let expected = batch.owned_records(log, LIMIT).unwrap();
    let read = again.owned_records(built, LIMIT).unwrap();
    assert!(read.map(Result::unwrap).eq(expected.map(Result::unwrap)), "{name}");
}

#[test]
fn any_cut_ends_the_walk_quietly_or_refuses() {
    for Vector { name, log, .. } in vectors() {
        if log.len() > 2000 {
            continue; // The long ones only repeat themselves.
        }
        let whole = entries(&log).count();
        for cut in 0..log.len() {
            let read = entries(&log[..cut]).map(|entry| entry.unwrap_or_else(|e| panic!("{name} cut at {cut}: {e}")));
            assert!(read.count() <= whole, "{name} cut at {cut}");
        }
    }
}

/// Mutations of real batches get further than random bytes do.
#[test]
fn mutated_vectors_are_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(0x6b61_666b_6122);
    for Vector { log, .. } in vectors() {
        fuzz_record_batches(&log);
        if log.len() > 2000 {
            continue;
        }
        for _ in 0..200 {
            let mut data = log.to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..data.len());
                let any = random.u8(..);
                data[at] = random.choice([0, 1, 2, 0x7f, 0x80, 0xff, any]).unwrap();
            }
            fuzz_record_batches(&data);
        }
    }
}

/// What a fuzzer once found, or should have.
#[test]
fn corpus_is_read_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fuzz/record");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        fuzz_record_batches(&data);
        // None of these is a batch that a broker takes.
        let taken = produced_batch(&data, true).and_then(|batch| validate(batch, &ValidateOptions::default()));
        assert!(taken.is_err());
        replayed += 1;
    }
    assert!(replayed > 0);
}
