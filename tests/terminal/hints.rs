//! What is wrong with a connection: the culprit by name, and on the next line what to do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use kafka_rs::protocol::ApiKey;
use kafka_rs::protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_rs::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, MetadataResponse};

use super::pty::{CTRL_C, Terminal};
use crate::scripted::ScriptedBroker;
use crate::support::Broker;

/// A server that is no broker: reads what comes, says `greeting` and closes.
fn stranger(greeting: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(greeting);
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    address
}

/// An address that nobody listens at.
fn vacant_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Fails unless an error with `culprit` is followed by a hint with `advice`.
fn assert_explained(shown: &str, culprit: &str, advice: &str) {
    let lines: Vec<&str> = shown.lines().collect();
    let explained = lines.windows(2).any(|pair| {
        let [error, hint] = pair else { return false };
        error.contains(culprit) && hint.contains("hint:") && hint.contains(advice)
    });
    assert!(explained, "{culprit:?}, then {advice:?} is not in:\n{shown}");
}

#[test]
fn who_is_no_broker_is_named() {
    for (greeting, culprit, advice) in [
        (&b"SSH-2.0-OpenSSH_9.6\r\n"[..], "it begins with \"SSH-\"", "is this a broker's port?"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP", "is this a broker's port?"),
        (b"", "closed the connection", "if it is no broker"),
    ] {
        let address = stranger(greeting);
        let ended = Terminal::kafka_rs(200, &["topics", "--list", "--bootstrap-server", &address]).end();
        ended.assert_code(1).assert_clean();
        assert_explained(&ended.shown, culprit, advice);
        assert!(ended.shown.contains(&address), "{}", ended.shown);
    }
}

/// Goal: who takes a controller's port for a broker's, or the other way round, learns how each is named.
#[test]
fn brokers_and_controllers_are_told_apart() {
    let controller = ScriptedBroker::start_controller();
    let at_controller = ["--bootstrap-server", controller.address()];
    let advice = "this is a controller's port: name a broker with --bootstrap-server";
    for words in [
        &["topics", "--list"][..],
        &["console-consumer", "--topic", "t"],
        &["console-consumer", "--topic", "t", "--group", "g"],
        &["console-producer", "--topic", "t"],
        &["consumer-groups", "--list"],
        &["broker-api-versions"],
        &["get-offsets"],
        &["transactions", "list"],
        &["cluster", "cluster-id"],
    ] {
        let ended = Terminal::kafka_rs(200, &[words, &at_controller].concat()).end();
        ended.assert_code(1).assert_clean();
        assert_explained(&ended.shown, "does not speak Metadata", advice);
    }
    let words = ["cluster", "cluster-id", "--bootstrap-controller", controller.address()];
    Terminal::kafka_rs(200, &words).end().assert_code(0);

    let broker = Broker::start();
    let ended = Terminal::kafka_rs(200, &["cluster", "cluster-id", "--bootstrap-controller", broker.address()]).end();
    ended.assert_code(1).assert_clean();
    let advice = "brokers are named with --bootstrap-server, controllers with --bootstrap-controller";
    assert_explained(&ended.shown, "we wanted an endpoint of type CONTROLLER", advice);
}

#[test]
fn a_listener_without_sasl_is_named() {
    let broker = Broker::start();
    let settings = tempfile::NamedTempFile::new().unwrap();
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password=\"b\";";
    let text = format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={login}\n");
    std::fs::write(settings.path(), text).unwrap();
    let file = settings.path().to_str().unwrap();
    let words = ["topics", "--list", "--bootstrap-server", broker.address(), "--command-config", file];
    let ended = Terminal::kafka_rs(200, &words).end();
    ended.assert_code(1).assert_clean();
    assert_explained(&ended.shown, "the listener has no SASL", "security.protocol=PLAINTEXT");
}

/// Goal: who waits for a port that is silent learns which one it is, long before the time is over.
#[test]
fn a_silent_port_is_told_while_it_is_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut terminal = Terminal::kafka_rs(200, &["topics", "--list", "--bootstrap-server", &address]);
    terminal.wait_for(&format!("still waiting for {address}")).press(CTRL_C);
    terminal.end().assert_clean();
}

#[test]
fn the_end_of_the_wait_for_a_silent_port_is_explained() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let settings = tempfile::NamedTempFile::new().unwrap();
    let file = settings.path().to_str().unwrap();
    for (protocol, culprit, advice) in [
        ("PLAINTEXT", "did not answer ApiVersions", "is this a broker's port"),
        ("SSL", "the connection failed during the TLS handshake", "the port may have no TLS"),
    ] {
        let text = format!(
            "security.protocol={protocol}\nsocket.connection.setup.timeout.ms=200\nrequest.timeout.ms=500\n\
             socket.connection.setup.timeout.max.ms=200\ndefault.api.timeout.ms=1000\n"
        );
        std::fs::write(settings.path(), text).unwrap();
        let words = ["topics", "--list", "--bootstrap-server", &address, "--command-config", file];
        let ended = Terminal::kafka_rs(200, &words).end();
        ended.assert_code(1).assert_clean();
        assert_explained(&ended.shown, culprit, advice);
    }
}

/// Goal: a broker that sends its clients where nobody listens is named by the console tools too, which would try for long.
#[test]
fn an_advertised_address_that_nobody_reaches_is_named() {
    let port = vacant_port();
    let broker = ScriptedBroker::start(move |asked| {
        let broker = MetadataResponseBroker {
            node_id: 7,
            host: "127.0.0.1".to_owned(),
            port: port.into(),
            ..Default::default()
        };
        let partition = MetadataResponsePartition {
            leader_id: 7,
            replica_nodes: vec![7],
            isr_nodes: vec![7],
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("orders".to_owned()),
            partitions: vec![partition],
            ..Default::default()
        };
        let response =
            MetadataResponse { brokers: vec![broker], controller_id: 7, topics: vec![topic], ..Default::default() };
        match asked.start.api {
            ApiKey::Metadata => asked.answer::<MetadataRequest>(&response),
            ApiKey::InitProducerId => asked.answer::<InitProducerIdRequest>(&InitProducerIdResponse::default()),
            _ => None,
        }
    });
    let culprit = format!("could not connect to 127.0.0.1:{port}, which broker 7 advertises");
    let send = "echo x | $KAFKA_RS console-producer --topic orders --bootstrap-server";
    for line in [format!("{send} {}", broker.address()), format!("{send} {} 2>&1 | cat", broker.address())] {
        let ended = Terminal::shell(200, &line).end();
        ended.assert_clean();
        assert_explained(&ended.shown, &culprit, "advertised.listeners");
    }
    let words = ["console-consumer", "--topic", "orders", "--from-beginning", "--bootstrap-server", broker.address()];
    let mut terminal = Terminal::kafka_rs(200, &words);
    terminal.wait_for(&culprit).wait_for("advertised.listeners").press(CTRL_C);
    terminal.end().assert_clean();
}
