//! Pickers and confirmations: what is asked, what a no and Ctrl-C leave, and what exactly is said to go.
//!
//! One broker for all; nothing here is answered with a yes but where the next screen needs it.

use std::fs;

use super::pty::{CTRL_C, Ended, Terminal};
use super::{masked, run};
use crate::support::Broker;

/// A yes-or-no question stands when the cursor is hidden.
const ASKED: &str = "\x1b[?25l";

struct Asked {
    broker: Broker,
    files: tempfile::TempDir,
}

impl Asked {
    /// A cluster in which there is something of everything that can be picked.
    fn start() -> Self {
        let broker = Broker::start_with(&["group.initial.rebalance.delay.ms=0"]);
        let server = ["--bootstrap-server", broker.address()];
        let run = |words: &[&str]| run(&[&words[..1], &server, &words[1..]].concat());
        run(&["topics", "--create", "--topic", "orders", "--partitions", "2"]);
        run(&["topics", "--create", "--topic", "payments"]);
        run(&[
            "producer-perf-test",
            "--topic",
            "payments",
            "--num-records",
            "20",
            "--record-size",
            "9",
            "--throughput",
            "-1",
            "--transactional-id",
            "payments-1",
        ]);
        run(&["verifiable-consumer", "--topic", "payments", "--group-id", "billing", "--max-messages", "5"]);
        let earliest = ["--entity-type", "groups", "--entity-name", "workers", "--add-config"];
        run(&[&["configs", "--alter"], &earliest[..], &["share.auto.offset.reset=earliest"]].concat());
        run(&["verifiable-share-consumer", "--topic", "payments", "--group-id", "workers", "--max-messages", "2"]);
        run(&["client-metrics", "--alter", "--name", "rates", "--metrics", "org.apache.kafka."]);
        Self { broker, files: tempfile::tempdir().unwrap() }
    }

    /// A terminal with the tool; `FILE` stands for a file of this text.
    fn terminal(&self, line: &str, file: &str) -> Terminal {
        let path = self.files.path().join("file.json");
        fs::write(&path, file).unwrap();
        let words = line.split(' ').map(|word| if word == "FILE" { path.to_str().unwrap() } else { word });
        let words: Vec<&str> = words.chain(["--bootstrap-server", self.broker.address()]).collect();
        Terminal::kafka_rs(100, &words)
    }

    /// What is shown when the question is answered with a no.
    fn declined(&self, line: &str, file: &str) -> Ended {
        let mut terminal = self.terminal(line, file);
        terminal.wait_for(ASKED).press("n");
        terminal.end()
    }
}

/// Goal: who is asked sees what exactly will go, and a no changes nothing and says so.
#[test]
fn what_cannot_be_undone_is_asked_first() {
    let asked = Asked::start();
    let records = r#"{"version":1,"partitions":[{"topic":"payments","partition":0,"offset":0}]}"#;
    for (name, line, file) in [
        ("consumer-groups-delete", "consumer-groups --delete --group billing", ""),
        ("consumer-groups-delete-offsets", "consumer-groups --delete-offsets --group billing --topic payments", ""),
        (
            "consumer-groups-reset",
            "consumer-groups --reset-offsets --group billing --topic payments --to-offset 0 --execute",
            "",
        ),
        ("share-groups-delete", "share-groups --delete --group workers", ""),
        ("share-groups-delete-offsets", "share-groups --delete-offsets --group workers --topic payments", ""),
        ("streams-application-reset", "streams-application-reset --application-id app --input-topics payments", ""),
        ("delete-records", "delete-records --offset-json-file FILE", records),
        ("leader-election", "leader-election --election-type unclean --topic orders --partition 1", ""),
        ("client-metrics-delete", "client-metrics --delete --name rates", ""),
        ("transactions-terminate", "transactions forceTerminateTransaction --transactionalId payments-1", ""),
        ("features-disable", "features downgrade --unsafe --feature share.version=0", ""),
        ("cluster-unregister", "cluster unregister --id 7", ""),
        ("metadata-quorum-remove", "metadata-quorum remove-controller -i 1 -d AAAAAAAAAAAAAAAAAAAAAA", ""),
    ] {
        let ended = asked.declined(line, file);
        ended.assert_code(1).assert_clean().assert_shows(&format!("{name}.100"), masked);
        assert!(ended.shown.ends_with("nothing was changed\n"), "{line}:\n{}", ended.shown);
    }
    let left = Terminal::kafka_rs(100, &["groups", "--list", "--bootstrap-server", asked.broker.address()]).end();
    assert!(left.shown.contains("billing") && left.shown.contains("workers"), "{}", left.shown);
}

/// Whether the terminal echoes Ctrl-C depends on when it comes.
fn before_ctrl_c(shown: &str) -> String {
    masked(shown).replace("^C", "").replace("␛[?25h", "").trim_end().to_owned() + "\n"
}

/// Goal: what was not named can be picked, and Ctrl-C there leaves a clean terminal.
#[test]
fn what_was_not_named_is_picked() {
    let asked = Asked::start();
    // Of the line that would be taken each letter is coloured.
    for (name, line, last) in [
        ("topics-delete-picker", "topics --delete", "payments"),
        ("consumer-groups-picker", "consumer-groups --describe", "g\x1b[0m"),
        ("share-groups-picker", "share-groups --describe", "s\x1b[0m"),
        ("client-metrics-picker", "client-metrics --delete", "s\x1b[0m"),
        ("transactions-picker", "transactions describe", "1\x1b[0m"),
        ("configs-picker", "configs --alter --entity-type topics --add-config retention.ms=1", "payments"),
    ] {
        let mut terminal = asked.terminal(line, "");
        terminal.wait_for(last).press(CTRL_C);
        let ended = terminal.end();
        ended.assert_code(130).assert_clean().assert_shows(&format!("{name}.100"), before_ctrl_c);
        assert!(!ended.shown.contains("__consumer_offsets"), "{}", ended.shown);
    }
    let mut terminal = asked.terminal("share-groups --describe", "");
    terminal.wait_for("s\x1b[0m").press("\r").wait_for("Goes on at");
    terminal.end().assert_code(0).assert_clean();
    let mut terminal = asked.terminal("transactions describe", "");
    terminal.wait_for("1\x1b[0m").press("\r").wait_for("CompleteCommit");
    terminal.end().assert_code(0).assert_clean();
}

/// Goal: where there is nothing, a line says so; where a name is wrong, the one that was meant is told.
#[test]
fn nothing_there_and_names_that_are_near() {
    let broker = Broker::start();
    let server = broker.address();
    run(&["topics", "--bootstrap-server", server, "--create", "--topic", "greetings"]);
    for (name, line, code) in [
        ("empty-groups", "groups --list", 0),
        ("empty-consumer-groups", "consumer-groups --list", 0),
        ("empty-streams-groups", "streams-groups --list", 0),
        ("empty-transactions", "transactions list", 0),
        ("empty-hanging", "transactions find-hanging --broker-id 1", 0),
        ("empty-client-metrics", "client-metrics --list", 0),
        ("empty-reassignments", "reassign-partitions --list", 0),
        ("near-topic", "topics --describe --topic greetigns", 1),
        ("near-offsets", "get-offsets --topic greetigns", 1),
        ("near-config", "topics --create --topic t --config retention.mss=1", 1),
        ("near-config-alter", "configs --alter --topic greetings --add-config retention.m=1", 1),
    ] {
        let words: Vec<&str> = line.split(' ').chain(["--bootstrap-server", server]).collect();
        let ended = Terminal::kafka_rs(100, &words).end();
        ended.assert_code(code).assert_clean().assert_shows(&format!("{name}.100"), masked);
    }
    let words = ["console-consumer", "--topic", "greetigns", "--bootstrap-server", server];
    let mut terminal = Terminal::kafka_rs(100, &words);
    terminal.wait_for("there is no topic greetigns yet; did you mean greetings?").press(CTRL_C);
    terminal.end().assert_clean();
}

/// Goal: at the prompt of metadata-shell lines are edited, completed and brought back.
#[test]
fn the_metadata_shell_completes_and_remembers() {
    let snapshot = "tests/data/metadata/kafka-4.3.1-snapshot.checkpoint";
    let mut terminal = Terminal::kafka_rs(100, &["metadata-shell", "--snapshot", snapshot]);
    terminal.wait_for(">> ").press("ls im\tclus\t\r").wait_for("brokers  controllers");
    // Ctrl-C gives up the line, the arrow brings back the last one.
    terminal.wait_for(">> ").press("nonsense\x03").wait_for("^C").wait_for(">> ").press("\x1b[A\r");
    terminal.wait_for("brokers  controllers").wait_for(">> ").press("\x04");
    terminal.end().assert_code(0).assert_clean();
}
