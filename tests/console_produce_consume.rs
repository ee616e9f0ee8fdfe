//! `console-producer` and `console-consumer` against a broker of our own: what goes in comes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::{contains, diff, is_empty};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};
use support::{Broker, wait_for};

fn tool(name: &str, broker: &Broker, words: &[&str]) -> Command {
    let mut command = Command::cargo_bin("kafka-rs").unwrap();
    command.arg(name).args(["--bootstrap-server", broker.address()]).args(words).timeout(Duration::from_secs(60));
    command
}

fn create(broker: &Broker, topic: &str, partitions: &str) {
    tool("topics", broker, &["--create", "--topic", topic, "--partitions", partitions]).assert().success();
}

fn produce(broker: &Broker, topic: &str, input: &str, words: &[&str]) -> Assert {
    let words = [&["--topic", topic], words].concat();
    tool("console-producer", broker, &words).write_stdin(input.to_owned()).assert()
}

fn consume(broker: &Broker, topic: &str, count: usize, words: &[&str]) -> Assert {
    let count = count.to_string();
    let words = [&["--topic", topic, "--from-beginning", "--max-messages", &count], words].concat();
    tool("console-consumer", broker, &words).assert()
}

#[test]
fn lines_come_out_as_they_went_in() {
    let broker = Broker::start();
    create(&broker, "t", "1");
    produce(&broker, "t", "one\ntwo\n\nüñí\r\nlast without newline", &[])
        .success()
        .stdout(is_empty())
        .stderr(is_empty());
    consume(&broker, "t", 5, &[])
        .success()
        .stdout(diff("one\ntwo\n\nüñí\nlast without newline\n"))
        .stderr(diff("Processed a total of 5 messages\n"));
}

#[test]
fn what_is_typed_is_sent_as_numbers_bytes_and_json_and_comes_back_so() {
    let broker = Broker::start();
    create(&broker, "t", "1");
    for (word, line) in [
        ("short", "-7"),
        ("integer", "258"),
        ("long", "9223372036854775807"),
        ("float", "0.1"),
        ("double", "-2.5"),
        ("boolean", "true"),
        ("hex", "00ff61"),
        ("base64", "/wA="),
        ("json", "{\"a\":[1,null]}"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
    ] {
        produce(&broker, "t", &format!("{line}\n"), &["--value-serializer", word]).success().stderr(is_empty());
        let offsets = tool("get-offsets", &broker, &["--topic", "t"]).assert().success().get_output().stdout.clone();
        let end: i64 = String::from_utf8(offsets).unwrap().trim().rsplit(':').next().unwrap().parse().unwrap();
        let last = (end - 1).to_string();
        let one =
            ["--topic", "t", "--partition", "0", "--offset", &last, "--max-messages", "1", "--value-deserializer"];
        tool("console-consumer", &broker, &[&one[..], &[word]].concat())
            .assert()
            .success()
            .stdout(diff(format!("{line}\n")));
    }
    // The bytes are those of Kafka's serializers.
    consume(&broker, "t", 2, &["--value-deserializer", "HexDeserializer"]).success().stdout(diff("fff9\n00000102\n"));
    produce(&broker, "t", "1\nx\n", &["--value-serializer", "LongSerializer"])
        .code(1)
        .stderr(contains("the value on line number 2 is not a number of 64 bits: 'x'"));
    produce(&broker, "t", "", &["--key-serializer", "no.Such"])
        .code(1)
        .stderr(contains("there is no serializer no.Such").and(contains("hint: serializers are StringSerializer")));
    consume(&broker, "t", 1, &["--formatter", "no.Such"])
        .code(1)
        .stderr(contains("no.Such").and(contains("hint: formatters are DefaultMessageFormatter")));
    consume(&broker, "t", 1, &["--formatter", "kafka.tools.ChecksumMessageFormatter"])
        .success()
        .stdout(predicates::str::starts_with("checksum:"));
}

#[test]
fn every_line_is_kept_and_in_order_within_its_partition() {
    const LINES: usize = 200_000;
    let broker = Broker::start();
    create(&broker, "many", "3");
    let input: String = (1..=LINES).map(|n| format!("{n}\n")).collect();
    produce(&broker, "many", &input, &[]).success();
    let output = consume(&broker, "many", LINES, &["--formatter-property", "print.partition=true"]).success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let mut partitions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for line in text.lines() {
        let (partition, number) = line.split_once('\t').unwrap();
        partitions.entry(partition).or_default().push(number.parse().unwrap());
    }
    for (partition, numbers) in &partitions {
        assert!(numbers.is_sorted(), "{partition} is out of order");
    }
    let mut all: Vec<usize> = partitions.into_values().flatten().collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=LINES), "a line is missing or came twice");
}

#[test]
fn keys_headers_and_nulls() {
    let broker = Broker::start();
    create(&broker, "k", "1");
    let reader = [
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "parse.headers=true",
        "--reader-property",
        "null.marker=NULL",
    ];
    let input = "h1:v1,h2:v2\tk1\tv1\nNULL\tk2\tv2\nh:NULL\tNULL\tNULL\n";
    produce(&broker, "k", input, &reader).success();
    let columns = ["print.partition", "print.offset", "print.headers", "print.key"].map(|name| format!("{name}=true"));
    let words: Vec<&str> = columns.iter().flat_map(|column| ["--formatter-property", column]).collect();
    consume(&broker, "k", 3, &words).success().stdout(diff(
        "Partition:0\tOffset:0\th1:v1,h2:v2\tk1\tv1\nPartition:0\tOffset:1\tNO_HEADERS\tk2\tv2\n\
         Partition:0\tOffset:2\th:null\tnull\tnull\n",
    ));
    produce(&broker, "k", "nokey\n", &["--reader-property", "parse.key=true"])
        .code(1)
        .stderr(contains("No key separator found on line number 1: 'nokey'"));
}

#[test]
fn every_codec() {
    let broker = Broker::start();
    create(&broker, "c", "1");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        produce(&broker, "c", &format!("{codec}\n"), &["--compression-codec", codec, "--sync"]).success();
    }
    consume(&broker, "c", 5, &[]).success().stdout(diff("none\ngzip\nsnappy\nlz4\nzstd\n"));
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let broker = Broker::start_with(&["group.initial.rebalance.delay.ms=0"]);
    create(&broker, "g", "1");
    produce(&broker, "g", "a\nb\nc\n", &[]).success();
    consume(&broker, "g", 2, &["--group", "readers"]).success().stdout(diff("a\nb\n"));
    // What was fetched but not printed was not committed.
    consume(&broker, "g", 1, &["--group", "readers"]).success().stdout(diff("c\n"));
    consume(&broker, "g", 1, &["--group", "others"]).success().stdout(diff("a\n"));
    let words = ["--include", "[g]", "--group", "matching", "--from-beginning", "--max-messages", "3"];
    tool("console-consumer", &broker, &words).assert().success().stdout(diff("a\nb\nc\n"));
}

#[test]
fn places_to_begin_and_to_end() {
    let broker = Broker::start();
    create(&broker, "p", "1");
    produce(&broker, "p", "a\nb\nc\n", &[]).success();
    let read = |words: &[&str]| {
        tool("console-consumer", &broker, &[&["--topic", "p", "--partition", "0"], words].concat()).assert().success()
    };
    read(&["--offset", "1", "--max-messages", "1"]).stdout(diff("b\n"));
    read(&["--offset", "earliest", "--max-messages", "1"]).stdout(diff("a\n"));
    read(&["--from-beginning", "--max-messages", "3"]).stdout(diff("a\nb\nc\n"));
    read(&["--offset", "latest", "--timeout-ms", "300"])
        .stdout(is_empty())
        .stderr(contains("TimeoutException").and(contains("Processed a total of 0 messages")));
    read(&["--max-messages", "0"]).stdout(is_empty());
}

#[test]
fn a_topic_is_made_when_it_is_written_to() {
    let broker = Broker::start();
    produce(&broker, "fresh", "first\n", &[]).success();
    consume(&broker, "fresh", 1, &[]).success().stdout(diff("first\n"));
}

#[test]
fn what_can_not_be_delivered_is_told() {
    let broker = Broker::start();
    produce(&broker, "bad name", "x\n", &[])
        .code(1)
        .stderr(contains("InvalidTopicException: Invalid topics: [bad name]"));
    tool("topics", &broker, &["--create", "--topic", "small", "--config", "max.message.bytes=100"]).assert().success();
    let input = format!("ok\n{}\nok2\n", "x".repeat(200));
    produce(&broker, "small", &input, &["--batch-size", "1"])
        .code(1)
        .stderr(contains("RecordTooLargeException").and(contains("1 of 3 records were not delivered")));
    consume(&broker, "small", 2, &[]).success().stdout(diff("ok\nok2\n"));
}

/// Kafka's tool opens no transaction either, and says so with the first record.
#[test]
fn a_transactional_id_is_of_no_use_here() {
    let broker = Broker::start();
    create(&broker, "txn", "1");
    for words in
        [&["--command-property", "transactional.id=x"][..], &["--sync", "--command-property", "transactional.id=x"]]
    {
        let failed = produce(&broker, "txn", "a\nb\n", words).code(1);
        let error = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
        let expected = "java.lang.IllegalStateException: Cannot add partition to transaction before completing a call \
                        to initTransactions\n";
        assert_eq!(error, expected);
    }
}

fn spawn(broker: &Broker, words: &[&str]) -> Child {
    std::process::Command::new(env!("CARGO_BIN_EXE_kafka-rs"))
        .args(words)
        .args(["--bootstrap-server", broker.address()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn ctrl_c_sends_what_was_read() {
    let broker = Broker::start();
    create(&broker, "i", "1");
    // A linger of a minute: without a flush the line would not be there in time.
    let words = ["console-producer", "--topic", "i", "--timeout", "60000"];
    for (line, end_of_input) in [("open\n", false), ("closed\n", true)] {
        let mut producer = spawn(&broker, &words);
        let mut stdin = producer.stdin.take().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        wait_for("the line to be read", Duration::from_secs(30), || {
            (listens_to(&producer, Signal::INT) && ioctl_fionread(&stdin).unwrap() == 0).then_some(())
        });
        // The end of the input comes beside the signal, and either may be seen first.
        let stdin = (!end_of_input).then_some(stdin);
        kill_process(Pid::from_child(&producer), Signal::INT).unwrap();
        let output = producer.wait_with_output().unwrap();
        drop(stdin);
        assert_eq!(output.status.code(), Some(130), "{line} {}", String::from_utf8_lossy(&output.stderr));
    }
    consume(&broker, "i", 2, &[]).success().stdout(diff("open\nclosed\n"));
}

/// Whether a process has a handler for a signal.
fn listens_to(process: &Child, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn a_consumer_that_is_stopped_says_how_much_it_read() {
    let broker = Broker::start();
    create(&broker, "s", "1");
    produce(&broker, "s", "a\nb\n", &[]).success();
    let mut consumer = spawn(&broker, &["console-consumer", "--topic", "s", "--from-beginning"]);
    let mut lines = BufReader::new(consumer.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "a");
    assert_eq!(lines.next().unwrap().unwrap(), "b");
    kill_process(Pid::from_child(&consumer), Signal::TERM).unwrap();
    let output = consumer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "Processed a total of 2 messages\n");
}

#[test]
fn a_consumer_whose_reader_goes_away_ends_at_once() {
    let broker = Broker::start();
    create(&broker, "h", "1");
    produce(&broker, "h", "a\n", &[]).success();
    let mut consumer = spawn(&broker, &["console-consumer", "--topic", "h", "--from-beginning"]);
    let mut lines = BufReader::new(consumer.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "a");
    drop(lines);
    let status = support::wait_for("the consumer to end", Duration::from_secs(10), || consumer.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn nobody_there_is_an_error_within_seconds() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for words in [["console-producer", "--topic", "t"], ["console-consumer", "--topic", "t"]] {
        let started = std::time::Instant::now();
        Command::cargo_bin("kafka-rs")
            .unwrap()
            .args(words)
            .args(["--bootstrap-server", &free])
            .write_stdin("x\n")
            .assert()
            .code(1)
            .stderr(contains(format!("could not connect to {free}")));
        assert!(started.elapsed().as_secs() < 10, "{words:?}");
    }
}
