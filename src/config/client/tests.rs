use std::time::Duration;

use super::*;
use crate::config::listeners::HostPort;
use crate::config::topic::CompressionType;

fn properties(client: Client, settings: &[&str]) -> ClientProperties {
    let mut properties = ClientProperties::new(client);
    properties.add_option("bootstrap.servers=127.0.0.1:1");
    for setting in settings {
        match setting.strip_prefix('-') {
            Some(key) => drop(properties.settings.remove(key)),
            None => properties.add_option(setting),
        }
    }
    properties
}

/// Goal: what Kafka's clients start with ours do (or say what is not supported), what they refuse ours refuse.
#[test]
fn rules_between_settings_are_kafkas() {
    let mut wrong = Vec::new();
    for line in include_str!("../../../tests/data/config/clients.tsv").lines().filter(|line| !line.starts_with("# ")) {
        let (request, expected) = line.split_once('\t').unwrap();
        let words: Vec<&str> = request.split('|').collect();
        let seen = match words[0] {
            "producer" => ProducerConfig::new(&properties(Client::Producer, &words[1..])).map(|config| {
                let (acks, flight) = (config.acks.code(), config.max_in_flight_requests_per_connection);
                format!("ok idempotence={} acks={acks} in-flight={flight}", config.enable_idempotence)
            }),
            "consumer" => ConsumerConfig::new(&properties(Client::Consumer, &words[1..])).map(|_| "ok".to_owned()),
            _ => AdminConfig::new(&properties(Client::Admin, &words[1..])).map(|_| "ok".to_owned()),
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(ConfigError::At { error, .. }) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // Names of Java classes and hosts that do not exist are not ours to tell.
        let ours =
            ["is not supported yet", "use range, roundrobin, sticky", "ok"].iter().any(|one| seen.starts_with(one))
                && expected.contains("lass");
        if seen != expected && !ours && !seen.contains("is not supported yet") {
            wrong.push(format!("{request}\n  Kafka: {expected}\n  ours:  {seen}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn defaults_are_kafkas() {
    let producer = ProducerConfig::new(&properties(Client::Producer, &[])).unwrap();
    assert_eq!(producer.common.bootstrap_servers, [HostPort { host: "127.0.0.1".to_owned(), port: 1 }]);
    assert_eq!((producer.batch_size, producer.buffer_memory), (16_384, 32 << 20));
    assert_eq!(
        (producer.linger_ms, producer.delivery_timeout_ms),
        (Duration::from_millis(5), Duration::from_secs(120))
    );
    assert_eq!(producer.compression_type, CompressionType::Uncompressed);
    assert_eq!(producer.partitioner_class, Partitioner::Default);
    assert!(producer.enable_idempotence);

    let consumer = ConsumerConfig::new(&properties(Client::Consumer, &["group.id=g"])).unwrap();
    assert_eq!(consumer.auto_offset_reset, OffsetReset::Latest);
    assert_eq!(consumer.partition_assignment_strategy, [Assignor::Range, Assignor::CooperativeSticky]);
    assert_eq!(
        (consumer.group_protocol, consumer.isolation_level),
        (GroupProtocol::Classic, IsolationLevel::ReadUncommitted)
    );
    assert_eq!((consumer.max_poll_records, consumer.fetch_max_bytes), (500, 52_428_800));
    assert!(consumer.enable_auto_commit);

    let admin = AdminConfig::new(&properties(Client::Admin, &[])).unwrap();
    assert_eq!(
        (admin.default_api_timeout_ms, admin.common.request_timeout_ms),
        (Duration::from_secs(60), Duration::from_secs(30))
    );
}

#[test]
fn derived_values_follow_what_was_set() {
    let producer =
        ProducerConfig::new(&properties(Client::Producer, &["linger.ms=150000", "reconnect.backoff.ms=5000"])).unwrap();
    assert_eq!(producer.delivery_timeout_ms, Duration::from_secs(180));
    assert_eq!(producer.common.reconnect_backoff_max_ms, Duration::from_secs(5));
    let consumer = ConsumerConfig::new(&properties(Client::Consumer, &["auto.offset.reset=by_duration:PT1H"])).unwrap();
    assert_eq!(consumer.auto_offset_reset, OffsetReset::ByDuration(Duration::from_secs(3600)));
    assert!(!consumer.enable_auto_commit);
    let class = "partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner";
    let producer = ProducerConfig::new(&properties(Client::Producer, &[class])).unwrap();
    assert_eq!(producer.partitioner_class, Partitioner::RoundRobin);
}

#[test]
fn a_file_is_under_the_options_and_errors_name_its_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.properties");
    std::fs::write(&path, "bootstrap.servers=a:1\nacks = 1\nlinger.ms=x\n").unwrap();
    let mut properties = ClientProperties::new(Client::Producer);
    properties.read(&path).unwrap();
    let error = ProducerConfig::new(&properties).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{}:3: Invalid value x for configuration linger.ms: Not a number of type LONG", path.display())
    );
    properties.add_option("linger.ms=7");
    properties.set("bootstrap.servers", "b:2");
    properties.set_default("acks", "all");
    let config = ProducerConfig::new(&properties).unwrap();
    assert_eq!((config.linger_ms, config.acks), (Duration::from_millis(7), Acks::Leader));
    assert_eq!(config.common.bootstrap_servers[0].to_string(), "b:2");
}

#[test]
fn what_does_nothing_is_warned_about() {
    let texts = |client, settings: &[&str]| -> Vec<String> {
        properties(client, settings).warnings().iter().map(ToString::to_string).collect()
    };
    assert_eq!(texts(Client::Producer, &["linger.ms=1", "acks=1", "group.id=g", "retries=2147483647"]), [""; 0]);
    assert_eq!(texts(Client::Producer, &["linger=1"]), ["option: linger is not a known setting; it is ignored"]);
    assert_eq!(
        texts(Client::Consumer, &["max.poll.record=1"]),
        ["option: max.poll.record is not a known setting; it is ignored (did you mean max.poll.records?)"]
    );
    assert_eq!(
        texts(
            Client::Consumer,
            &["client.dns.lookup=resolve_canonical_bootstrap_servers_only", "interceptor.classes=a"]
        ),
        [
            "option: client.dns.lookup is not yet in effect",
            "option: interceptor.classes has no effect: there is nothing here that it could tune",
        ]
    );
}

#[test]
fn every_field_is_a_key() {
    for (scope, keys) in [
        (Scope::Producer, producer::KEYS),
        (Scope::Consumer, consumer::KEYS),
        (Scope::Consumer, share::KEYS),
        (Scope::Admin, admin::KEYS),
    ] {
        let joined = ["common", "security", "sasl"];
        let all = keys.iter().chain(common::KEYS).chain(security::KEYS);
        for field in all.filter(|field| !joined.contains(field)) {
            assert!(table(scope).get(&field.replace('_', ".")).is_some(), "{field}");
        }
    }
}
