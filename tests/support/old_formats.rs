//! A segment with the formats of before Kafka 0.11, by the book: magic 0 and 1, plain and compressed, and magic 2 behind them.
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use kafka_rs::record::{BatchBuilder, BatchOptions, NewRecord};
use kafka_rs::types::{LeaderEpoch, Offset};

const GZIP: u8 = 1;

/// What is in it: key, value and timestamp of each record, from offset 0 on.
pub const RECORDS: &[(Option<&str>, Option<&str>, i64)] = &[
    (Some("a"), Some("magic 0"), -1),
    (None, Some("magic 0 without a key"), -1),
    (Some("b"), Some("magic 0 in a set"), -1),
    (Some("c"), Some("magic 0 in a set, too"), -1),
    (Some("a"), Some("magic 1"), 1_400_000_001_000),
    (Some("b"), Some("magic 1 in a set"), 1_400_000_002_000),
    (Some("c"), Some("magic 1 in a set, too"), 1_400_000_003_000),
    (Some("d"), Some("magic 1, the last in its set"), 1_400_000_002_500),
    (Some("a"), None, 1_400_000_004_000),
    (Some("e"), Some("magic 2"), 1_400_000_005_000),
    (Some("f"), Some("magic 2, too"), 1_400_000_006_000),
];

fn message(
    magic: u8,
    attributes: u8,
    offset: i64,
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic == 1 {
        body.extend(timestamp.to_be_bytes());
    }
    for field in [key, value] {
        body.extend(field.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
        body.extend(field.unwrap_or_default());
    }
    let mut crc = Crc::new();
    crc.update(&body);
    let mut bytes = offset.to_be_bytes().to_vec();
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(crc.sum().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn plain(magic: u8, offset: i64, at: i64) -> Vec<u8> {
    let (key, value, timestamp) = RECORDS[at as usize];
    message(magic, 0, offset, timestamp, key.map(str::as_bytes), value.map(str::as_bytes))
}

/// Magic 0 numbers the messages within by their offsets, magic 1 from 0 on (KIP-31).
fn set(magic: u8, offsets: std::ops::RangeInclusive<i64>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for offset in offsets.clone() {
        let inner = if magic == 0 { offset } else { offset - offsets.start() };
        encoder.write_all(&plain(magic, inner, offset)).unwrap();
    }
    let newest = offsets.clone().map(|offset| RECORDS[offset as usize].2).max().unwrap();
    message(magic, GZIP, *offsets.end(), newest, None, Some(&encoder.finish().unwrap()))
}

/// The segment from offset 0 on.
pub fn segment() -> Vec<u8> {
    let mut bytes = plain(0, 0, 0);
    bytes.extend(plain(0, 1, 1));
    bytes.extend(set(0, 2..=3));
    bytes.extend(plain(1, 4, 4));
    bytes.extend(set(1, 5..=7));
    bytes.extend(plain(1, 8, 8));
    let options =
        BatchOptions { base_offset: Offset(9), partition_leader_epoch: LeaderEpoch(0), ..BatchOptions::default() };
    let mut batch = BatchBuilder::new(options);
    for (key, value, timestamp) in &RECORDS[9..] {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        batch.append(&NewRecord { timestamp: *timestamp, key, value, headers: &[] }).unwrap();
    }
    bytes.extend(batch.build().unwrap());
    bytes
}

/// Puts it in the place of what a stopped broker has in a partition's directory, as if it had always been there.
pub fn put_into(partition: &Path) {
    for entry in std::fs::read_dir(partition).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "partition.metadata") {
            std::fs::remove_file(path).unwrap();
        }
    }
    std::fs::write(partition.join("00000000000000000000.log"), segment()).unwrap();
}
