//! Apache Kafka's `kafka-dump-log.sh` reads a segment of batches that we built: one segment for each codec.
//!
//! Needs `KAFKA_HOME`, a Kafka distribution. Without it the test says that it was skipped; with
//! `KAFKA_RS_INTEROP=required` it fails instead.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use kafka_rs::record::{BatchBuilder, BatchOptions, Codec, Compression, Header, NewRecord};
use kafka_rs::types::{LeaderEpoch, Offset, ProducerId};

const TIME: i64 = 1_700_000_000_000;

fn dump_log() -> Option<PathBuf> {
    if let Some(home) = env::var_os("KAFKA_HOME") {
        return Some(Path::new(&home).join("bin/kafka-dump-log.sh"));
    }
    assert!(env::var("KAFKA_RS_INTEROP").as_deref() != Ok("required"), "KAFKA_HOME is not set");
    eprintln!("skipped: KAFKA_HOME is not set");
    None
}

/// Goal: another implementation finds every record of every codec and level, and no fault.
/// Method: four batches in a segment: plain, idempotent and large, of append time, a commit marker.
#[test]
fn kafka_reads_our_batches() {
    let Some(tool) = dump_log() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (codec, level) in [
        (Codec::None, None),
        (Codec::Gzip, None),
        (Codec::Gzip, Some(9)),
        (Codec::Snappy, None),
        (Codec::Lz4, None),
        (Codec::Zstd, None),
        (Codec::Zstd, Some(22)),
    ] {
        let name = format!("{codec}-{}", level.unwrap_or_default());
        fs::create_dir(folder.path().join(&name)).unwrap();
        let file = folder.path().join(name).join("00000000000000000000.log");
        fs::write(&file, segment(Compression { codec, level })).unwrap();
        files.push((codec, file));
    }
    // One run for all: the tool takes a second to start.
    let list: Vec<_> = files.iter().map(|(_, file)| file.to_str().unwrap()).collect();
    let output = Command::new(tool).args(["--print-data-log", "--files", &list.join(",")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for (codec, file) in &files {
        let start = text.find(&format!("Dumping {}", file.display())).unwrap();
        let part = text[start..].split("\nDumping ").next().unwrap();
        let batches: Vec<_> = part.lines().filter(|line| line.starts_with("baseOffset:")).collect();
        assert_eq!(batches.len(), 4, "{part}");
        assert!(batches.iter().all(|line| line.ends_with("isvalid: true")), "{part}");
        let with_codec = batches.iter().filter(|line| line.contains(&format!("compresscodec: {codec} "))).count();
        assert_eq!(with_codec, if *codec == Codec::None { 4 } else { 3 }, "{part}");
        assert_eq!(part.matches("| offset: ").count(), 5 + 40 + 2 + 1, "{part}");
        for wanted in [
            "keySize: 2 valueSize: 7 sequence: -1 headerKeys: [h1,h1] key: k1 payload: value-1",
            "producerId: 4001 producerEpoch: 3",
            "payload: xyzxyzxyz",
            "LogAppendTime: 1700000005555",
            "endTxnMarker: COMMIT coordinatorEpoch: 17",
            "lastOffset: 47 ",
        ] {
            assert!(part.contains(wanted), "no `{wanted}` in {part}");
        }
    }
    assert!(!text.contains("isvalid: false") && !text.to_lowercase().contains("exception"), "{text}");
}

fn segment(compression: Compression) -> Vec<u8> {
    let options = BatchOptions { compression, partition_leader_epoch: LeaderEpoch(7), ..BatchOptions::default() };
    let mut log = Vec::new();

    let headers = [Header { key: b"h1", value: Some(b"one") }, Header { key: b"h1", value: None }];
    let mut plain = BatchBuilder::new(options);
    for n in 0..5 {
        let (key, value) = (format!("k{n}"), format!("value-{n}"));
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        plain.append(&NewRecord { timestamp: TIME + n, key, value, headers: &headers }).unwrap();
    }
    log.extend(plain.build().unwrap());

    let mut large = BatchBuilder::new(BatchOptions {
        base_offset: Offset(5),
        producer_id: ProducerId(4001),
        producer_epoch: 3,
        base_sequence: i32::MAX - 2,
        ..options
    });
    // 400 kB: several blocks in snappy and lz4, some of which do not compress.
    let mut random = fastrand::Rng::with_seed(1);
    for n in 0..40 {
        let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(10_000).collect();
        let value = if n % 2 == 0 { "xyz".repeat(3333) } else { noise };
        let record = NewRecord { timestamp: TIME - n, value: Some(value.as_bytes()), ..NewRecord::default() };
        large.append(&record).unwrap();
    }
    log.extend(large.build().unwrap());

    let log_append_time = Some(TIME + 5555);
    let mut append_time = BatchBuilder::new(BatchOptions { base_offset: Offset(45), log_append_time, ..options });
    append_time.append(&NewRecord { timestamp: TIME, ..NewRecord::default() }).unwrap();
    append_time.append(&NewRecord { timestamp: -1, key: Some(b""), ..NewRecord::default() }).unwrap();
    log.extend(append_time.build().unwrap());

    let mut marker = BatchBuilder::new(BatchOptions {
        compression: Compression::NONE,
        base_offset: Offset(47),
        producer_id: ProducerId(4001),
        producer_epoch: 3,
        transactional: true,
        control: true,
        ..options
    });
    let (key, value) = ([0, 0, 0, 1], [0, 0, 0, 0, 0, 17]);
    marker.append(&NewRecord { timestamp: TIME, key: Some(&key), value: Some(&value), headers: &[] }).unwrap();
    log.extend(marker.build().unwrap());
    log
}
