//! What is shown again and again, and what people see who wait for an answer that does not come.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use super::pty::{CTRL_C, Terminal};
use crate::support::{Broker, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// Goal: a screen that is no longer true says so, and Ctrl-C still ends it as it always does.
#[test]
fn a_screen_says_when_answers_stay_away() {
    let broker = Broker::start();
    let words = ["log-dirs", "--describe", "--bootstrap-server", broker.address(), "--watch", "0.2"];
    let mut terminal = Terminal::kafka_rs(80, &words);
    terminal.wait_for("every 0.2 s").wait_for("every 0.2 s");
    broker.kill();
    terminal.wait_for("no answer for 1 s").press(CTRL_C);
    terminal.end().assert_code(0).assert_clean();
}

/// Goal: Ctrl-C ends tools that listen for signals also before they have their first answer.
#[test]
fn ctrl_c_ends_the_wait_for_a_first_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    for words in [
        &["topics", "--describe", "--watch"][..],
        &["top"],
        &["console-consumer", "--topic", "orders", "--group", "billing"],
    ] {
        let words = [words, &["--bootstrap-server", &address]].concat();
        let line = format!("exec $KAFKA_RS {} >/dev/null", words.join(" "));
        let mut terminal = Terminal::shell(80, &line);
        let connection = silent.accept().unwrap();
        terminal.press(CTRL_C);
        terminal.end().assert_code(130).assert_clean();
        drop(connection);
    }
}

/// Goal: in files the descriptions follow each other, and what goes wrong between them is not among the data.
#[test]
fn what_goes_wrong_meanwhile_is_no_data() {
    let broker = Broker::start();
    super::run(&["topics", "--create", "--topic", "orders", "--bootstrap-server", broker.address()]);
    let files = tempfile::tempdir().unwrap();
    let [settings, data, remarks] = ["settings", "data", "remarks"].map(|name| files.path().join(name));
    fs::write(&settings, "default.api.timeout.ms=300\nrequest.timeout.ms=300\n").unwrap();
    let line = format!(
        "exec $KAFKA_RS topics --describe --bootstrap-server {} --command-config {} --watch 0.1 >{} 2>{}",
        broker.address(),
        settings.display(),
        data.display(),
        remarks.display()
    );
    let mut terminal = Terminal::shell(80, &line);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    wait_for("two descriptions", PATIENCE, || (read(&data).matches("Topic: orders").count() >= 2).then_some(()));
    broker.kill();
    wait_for("a word about it", PATIENCE, || read(&remarks).contains("error: ").then_some(()));
    terminal.press(CTRL_C);
    terminal.end().assert_code(0).assert_clean();
    assert!(!read(&data).contains("error"), "{}", read(&data));
}
