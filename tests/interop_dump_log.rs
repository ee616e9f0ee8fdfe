//! `dump-log` beside `kafka-dump-log.sh` of Kafka 4.3.1, line by line, on what Kafka 3.9.1, 4.3.1 and our broker wrote: every codec,
//! transactions of both ends, groups, metadata, indexes. And `storage check` finds no fault in any of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod client_support;
mod interop_support;
#[path = "client_scenarios/transactions.rs"]
#[allow(dead_code, reason = "only those that leave something in files are run here")]
mod scenarios;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use interop_support::{Cluster, Home, Node, Quorum, Ran, Tools, for_each_home, run, skip};
use kafka_rs::client::ClientOptions;

const CODECS: &[&str] = &["none", "gzip", "snappy", "lz4", "zstd"];

/// Writes something of every kind that the decoders know.
fn fill(address: &str) {
    for codec in CODECS {
        let topic = format!("codec-{codec}");
        let configs = ["--config", "segment.bytes=1048576", "--config", "index.interval.bytes=500"];
        Tools::Own.run("topics", address, &[&["--create", "--topic", &topic][..], &configs].concat()).succeed();
        let lines: String = (0..3000).map(|n| format!("key-{n}\t{n} {}\n", "some text ".repeat(50))).collect();
        let options = ["--topic", &topic, "--compression-codec", codec, "--reader-property", "parse.key=true"];
        Tools::Own.run_with_input("console-producer", address, &options, &lines).succeed();
    }
    let read = ["--topic", "codec-none", "--group", "g", "--from-beginning", "--max-messages", "10"];
    Tools::Own.run("console-consumer", address, &read).succeed();
    let client = ClientOptions::for_servers(vec![address.parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        scenarios::commit_and_abort(&client).await;
        scenarios::offsets_in_transactions(&client).await;
    });
}

fn dump(tools: Tools, files: &[PathBuf], options: &[&str]) -> Ran {
    let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut command = tools.command("dump-log");
    command.args(["--files", &list.join(",")]).args(options);
    run(command, "")
}

/// Kafka keeps what it found in a hash map: files come in any order.
fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

fn compare(files: &[PathBuf], options: &[&str]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let kafka = dump(Tools::Scripts(Home::Kafka), files, options);
    let ours = dump(Tools::Own, files, options);
    for (line, (theirs, mine)) in kafka.stdout.lines().zip(ours.stdout.lines()).enumerate() {
        assert_eq!(mine, theirs, "{options:?}: line {line}");
    }
    assert_eq!(ours.stdout.lines().count(), kafka.stdout.lines().count(), "{options:?}\n{}", ours.stderr);
    assert_eq!(lines(&ours.stderr), lines(&kafka.stderr), "{options:?}");
    assert_eq!(ours.code, kafka.code, "{options:?}");
    ours.stdout
}

fn compare_all(data: &Path) {
    let mut all: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all.sort();
    let of = |prefixes: &[&str], extensions: &[&str]| -> Vec<PathBuf> {
        let belongs = |path: &PathBuf| {
            let directory = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            prefixes.iter().any(|p| directory.starts_with(p)) && extensions.contains(&extension.as_str())
        };
        all.iter().filter(|path| belongs(path)).cloned().collect()
    };
    let every = &["log", "index", "timeindex", "txnindex", "snapshot"];
    // The metadata log's index may point behind its end, where both tools stop.
    let outside_of_metadata = |extensions: &[&str]| -> Vec<PathBuf> {
        let mut files = of(&[""], extensions);
        files.retain(|path| !path.display().to_string().contains("__cluster_metadata"));
        files
    };
    let ordinary = outside_of_metadata(every);
    let printed = compare(&ordinary, &["--deep-iteration"]);
    for codec in CODECS {
        assert!(printed.contains(&format!("compresscodec: {codec} ")), "no batch with {codec}");
    }
    for marker in ["endTxnMarker: COMMIT", "endTxnMarker: ABORT"] {
        assert!(printed.contains(marker), "no {marker}");
    }
    assert!(printed.contains("version: 0 producerId: "), "no aborted transaction in an index");
    compare(&ordinary, &[]);
    compare(&of(&["codec-"], every), &["--print-data-log"]);
    compare(&of(&["codec-"], every), &["--print-data-log", "--skip-record-metadata", "--max-bytes", "20000"]);
    compare(&outside_of_metadata(&["index", "timeindex"]), &["--verify-index-only"]);
    compare(&outside_of_metadata(&["index", "timeindex"]), &["--index-sanity-check"]);
    let decoded = [
        compare(&of(&["__consumer_offsets-"], &["log"]), &["--offsets-decoder"]),
        compare(&of(&["__transaction_state-"], &["log"]), &["--transaction-log-decoder"]),
        compare(&of(&["__cluster_metadata-"], &["log", "checkpoint"]), &["--cluster-metadata-decoder"]),
    ];
    for (text, record) in decoded.iter().zip(["\"protocolType\":", "\"transactionalId\":", "\"type\":\"TOPIC_RECORD\""])
    {
        assert!(text.contains(record), "no {record}");
    }
}

/// What a stopped broker left has no fault: neither by our look, nor while it is compared.
fn check(data: &Path) {
    let mut command = Tools::Own.command("storage");
    command.arg("check").arg(data);
    let ran = run(command, "").succeed();
    let faults: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("info ")).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn what_kafka_wrote_is_shown_as_kafka_shows_it() {
    for_each_home(|home| {
        let node = Node::format(home, Quorum::Static, &[]);
        let kafka = node.kafka(&[]);
        fill(&node.address());
        kafka.stop();
        compare_all(&node.data());
        check(&node.data());
    });
}

#[test]
fn what_we_wrote_is_shown_as_kafka_shows_it() {
    if let Some(why) = Tools::Scripts(Home::Kafka).missing() {
        return skip(&why);
    }
    let cluster = Cluster::start();
    fill(cluster.address());
    let Some(stopped) = cluster.stop() else { return };
    compare_all(&stopped.data());
    check(&stopped.data());
}

/// Files that are damaged: the same lines, and the same end.
#[test]
fn damage_is_shown_as_kafka_shows_it() {
    if let Some(why) = Tools::Scripts(Home::Kafka).missing() {
        return skip(&why);
    }
    let golden = Path::new("tests/data/log/kafka-4.3.1-golden-0");
    let temp = tempfile::tempdir().unwrap();
    for kind in ["log", "index"] {
        fs::copy(
            golden.join(format!("00000000000000000160.{kind}")),
            temp.path().join(format!("00000000000000000160.{kind}")),
        )
        .unwrap();
    }
    let log = temp.path().join("00000000000000000160.log");
    let whole = fs::read(&log).unwrap();
    // In the header, the records and the last batch; cut within the last; a size that is none.
    let mut damaged: Vec<Vec<u8>> = [30, 100, whole.len() - 3].map(|at| flipped(&whole, at)).to_vec();
    damaged.push(whole[..whole.len() - 5].to_vec());
    damaged.push([&whole[..], &[0; 40]].concat());
    for (number, bytes) in damaged.into_iter().enumerate() {
        fs::write(&log, bytes).unwrap();
        for options in [&[][..], &["--print-data-log"]] {
            let (kafka, ours) = (
                dump(Tools::Scripts(Home::Kafka), std::slice::from_ref(&log), options),
                dump(Tools::Own, std::slice::from_ref(&log), options),
            );
            assert_eq!(ours.stdout, kafka.stdout, "damage {number} with {options:?}");
            assert_eq!(ours.code, kafka.code, "damage {number} with {options:?}: {}", ours.stderr);
            assert!(ours.stderr.contains("00000000000000000160.log: "), "damage {number}: {}", ours.stderr);
        }
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}
