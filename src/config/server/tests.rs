use super::*;
use crate::config::definitions::{Scope, table};
use crate::config::idle::warning_lines;
use crate::config::load::data_directory;

#[test]
fn every_field_is_a_key() {
    for field in FIELDS {
        assert!(table(Scope::Broker).get(&field.replace('_', ".")).is_some(), "{field}");
    }
}

#[test]
fn without_settings_a_broker_is_its_own_controller_on_localhost() {
    let config = ServerConfig::from_pairs(&[("log.dirs", "/d")]).unwrap();
    assert_eq!(config.node_id, NodeId(1));
    assert_eq!(config.listeners.iter().map(ToString::to_string).collect::<Vec<_>>(), ["PLAINTEXT://localhost:9092"]);
    assert_eq!(config.advertised_listeners, config.listeners);
    assert_eq!(config.num_partitions, 1);
    assert_eq!(config.offsets_topic_replication_factor, 1);
    assert_eq!(config.log_dirs, [PathBuf::from("/d")]);
    assert_eq!(config.metadata_log_dir, PathBuf::from("/d"));
}

/// The settings of the file that Apache Kafka 4.x comes with.
const STOCK: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

fn load(text: &str, overrides: &[(&str, &str)]) -> Result<(ServerConfig, Vec<String>), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.properties");
    std::fs::write(&path, text).unwrap();
    let overrides: Vec<_> = overrides.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    // Without the directory, which differs in each run.
    let bare = |text: String| text.replace(&format!("{}/", directory.path().display()), "");
    match ServerConfig::load(Some(&path), &overrides) {
        Ok((config, warnings)) => Ok((config, warnings.iter().map(|one| bare(one.to_string())).collect())),
        Err(error) => Err(bare(error.to_string())),
    }
}

#[test]
fn the_stock_file_of_kafka_4_starts_as_it_is() {
    let (config, warnings) = load(STOCK, &[]).unwrap();
    let texts = |listeners: &[Listener]| listeners.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&config.listeners), ["PLAINTEXT://:9092", "CONTROLLER://:9093"]);
    assert_eq!(texts(&config.advertised_listeners), ["PLAINTEXT://localhost:9092"]);
    assert_eq!(texts(&config.advertised_controller_listeners), ["CONTROLLER://localhost:9093"]);
    assert_eq!(config.broker_listeners().count(), 1);
    assert_eq!(config.inter_broker_listener_name, "PLAINTEXT");
    assert_eq!(config.controller_listener_names, ["CONTROLLER"]);
    assert_eq!(config.controller_quorum_bootstrap_servers[0].to_string(), "localhost:9093");
    assert_eq!(config.offsets_topic_replication_factor, 1);
    assert_eq!(config.topic_defaults, TopicConfig::default());
    assert_eq!(warnings, [""; 0], "a broker that was told nothing unusual has nothing to say");
}

#[test]
fn the_static_quorum_of_kafka_3_starts_as_it_is() {
    let text = STOCK
        .replace("controller.quorum.bootstrap.servers=localhost:9093", "controller.quorum.voters=1@localhost:9093");
    let (config, _) = load(&text, &[]).unwrap();
    assert_eq!(config.controller_quorum_voters[0].id, 1);
    assert_eq!(config.controller_quorum_voters[0].address.port, 9093);
}

#[test]
fn overrides_count_over_the_file_and_errors_say_where_they_stand() {
    let (config, _) = load(STOCK, &[("num.partitions", "4"), ("num.partitions", "5")]).unwrap();
    assert_eq!(config.num_partitions, 5);
    assert_eq!(
        load(&STOCK.replace("log.retention.hours=168", "log.retention.hours = abc"), &[]).unwrap_err(),
        "server.properties:22: Invalid value abc for configuration log.retention.hours: Not a number of type INT"
    );
    assert_eq!(
        load(STOCK, &[("num.partitions", "-5")]).unwrap_err(),
        "--override: Invalid value -5 for configuration num.partitions: Value must be at least 1"
    );
    assert_eq!(
        load(&STOCK.replace("CONTROLLER://:9093", "CONTROLLER://:9092"), &[]).unwrap_err(),
        "server.properties:4: Error creating broker listeners from '[PLAINTEXT://:9092, CONTROLLER://:9092]': Each \
         listener must have a different port, listeners: [PLAINTEXT://:9092, CONTROLLER://:9092]"
    );
    assert_eq!(load("a=\\u12\n", &[]).unwrap_err(), "server.properties:1: malformed \\uXXXX escape");
    let missing = ServerConfig::load(Some(Path::new("/no/such/file")), &[]).unwrap_err().to_string();
    assert!(missing.starts_with("could not read /no/such/file: "), "{missing}");
}

#[test]
fn what_cannot_be_followed_is_refused_with_advice() {
    let with = |setting: &str| load(&format!("{STOCK}{setting}\n"), &[]).unwrap_err();
    let line = STOCK.lines().count() + 1;
    for (setting, advice) in [
        ("zookeeper.connect=localhost:2181", "remove the line"),
        ("process.roles=broker", "set process.roles=broker,controller"),
        ("process.roles=controller", "set process.roles=broker,controller"),
        ("controller.quorum.voters=1@localhost:9093,2@other:9093", "name this node alone"),
        ("controller.quorum.bootstrap.servers=other:7777", "joining another quorum is not there yet"),
        ("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "no authorization yet"),
        ("remote.log.storage.system.enable=true", "set it to false"),
        ("config.providers=env", "write them into the file"),
        ("create.topic.policy.class.name=a.B", "remove it"),
    ] {
        let error = with(setting);
        assert!(error.starts_with(&format!("server.properties:{line}: ")), "{error}");
        assert!(error.contains(advice), "{error}");
        assert!(error.contains("is not supported yet") || setting.starts_with("zookeeper"), "{error}");
    }
    let secured = load(&STOCK.replace("PLAINTEXT:PLAINTEXT,", "PLAINTEXT:SASL_SSL,"), &[]).unwrap_err();
    assert!(secured.contains("TLS and SASL are not there yet"), "{secured}");
}

#[test]
fn nothing_is_swallowed_in_silence() {
    let text = "\
num.partition=3
zookeeper.session.timeout.ms=1
inter.broker.protocol.version=3.9
replica.lag.time.max.ms=40000
metric.reporters=
num.io.threads=8
listener.name.internal.ssl.keystore.type=PEM
log.dirs=/a,/a
num.partitions=1
num.partitions=2
";
    let (_, mut warnings) = load(text, &[]).unwrap();
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "server.properties:10: num.partitions: it counts over the other value at server.properties:9",
            "server.properties:1: num.partition is not a known setting; it is ignored (did you mean num.partitions?)",
            "server.properties:2: zookeeper.session.timeout.ms is ignored: gone since 4.0: no ZooKeeper is needed",
            "server.properties:3: inter.broker.protocol.version is ignored: gone since 4.0: the feature metadata.version took its place",
            "server.properties:4: replica.lag.time.max.ms is not yet in effect",
            "server.properties:5: metric.reporters has no effect: there is nothing here that it could tune",
            "server.properties:7: listener.name.internal.ssl.keystore.type is not yet in effect",
            "server.properties:8: log.dirs: values that are repeated count once",
        ]
    );
}

#[test]
fn what_is_not_in_effect_is_told_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.properties");
    let text = "log.cleanup.policy=compact\nreplica.lag.time.max.ms=40000\nnum.io.threads=9\nquota.window.num=5\n\
                compression.lz4.level=3\n";
    std::fs::write(&path, text).unwrap();
    let overrides = [("log.cleaner.enable".to_owned(), "true".to_owned())];
    let (_, warnings) = ServerConfig::load(Some(&path), &overrides).unwrap();
    let file = path.display();
    assert_eq!(
        warning_lines(&warnings),
        [
            format!(
                "{file}: not yet in effect: compression.lz4.level (line 5), quota.window.num (line 4), \
                 replica.lag.time.max.ms (line 2)"
            ),
            format!("{file}:3: num.io.threads has no effect: there is nothing here that it could tune"),
        ]
    );
    let overrides = [("quota.window.size.seconds".to_owned(), "2".to_owned())];
    let (_, warnings) = ServerConfig::load(None, &overrides).unwrap();
    assert_eq!(warning_lines(&warnings), ["--override: quota.window.size.seconds is not yet in effect"]);
}

#[test]
fn a_few_settings_of_ones_own_are_enough() {
    let (config, _) = load("log.dirs=/a, /b\nlisteners=PLAINTEXT://:7000\nbroker.id=7\n", &[]).unwrap();
    assert_eq!(config.node_id, NodeId(7));
    assert_eq!(config.log_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(config.metadata_log_dir, PathBuf::from("/a"));
    assert_eq!(config.listeners[0].to_string(), "PLAINTEXT://:7000");
    assert!(config.controller_listener_names.is_empty());
}

#[test]
fn data_goes_to_the_users_data_directory() {
    let directory = |variables: &'static [(&str, &str)]| {
        data_directory(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    };
    assert_eq!(directory(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]), Some("/x/kafka-rs".into()));
    assert_eq!(directory(&[("HOME", "/h")]), Some("/h/.local/share/kafka-rs".into()));
    assert_eq!(directory(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]), Some("/h/.local/share/kafka-rs".into()));
    assert_eq!(directory(&[]), None);
}

#[test]
fn internal_topics_fit_a_single_node_unless_somebody_says_otherwise() {
    let bare = STOCK.replace("offsets.topic.replication.factor=1\n", "");
    let (config, _) = load(&bare, &[]).unwrap();
    assert_eq!(config.offsets_topic_replication_factor, 3);
    assert_eq!(config.internal_topic_replication_factor(InternalTopic::Offsets, 1), 1);
    assert_eq!(config.internal_topic_replication_factor(InternalTopic::Offsets, 5), 3);
    let (config, _) = load(&bare, &[("offsets.topic.replication.factor", "3")]).unwrap();
    assert_eq!(config.internal_topic_replication_factor(InternalTopic::Offsets, 1), 3);
}

#[test]
fn what_is_set_at_run_time_counts_over_the_file() {
    let (config, _) = load(STOCK, &[]).unwrap();
    let settings = |pairs: &[(&str, &str)]| -> Settings {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let dynamic = |cluster: &[(&str, &str)], broker: &[(&str, &str)]| {
        let (config, errors) = config.with_dynamic(&settings(cluster), &settings(broker));
        (config, errors.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (changed, errors) = dynamic(&[("log.retention.ms", "5")], &[("message.max.bytes", "7")]);
    assert_eq!(changed.topic_defaults.retention_ms, Some(5));
    assert_eq!(changed.topic_defaults.max_message_bytes, 7);
    assert_eq!(errors, [""; 0]);

    // What another version has stored neither stops a broker nor takes the rest with it.
    let (changed, errors) = dynamic(&[("log.retention.ms", "5")], &[("message.max.bytes", "x")]);
    assert_eq!(changed.topic_defaults.retention_ms, Some(5));
    assert_eq!(changed.topic_defaults.max_message_bytes, 1_048_588);
    assert_eq!(
        errors,
        ["set at run time: Invalid value x for configuration message.max.bytes: Not a number of type INT"]
    );
    let (changed, errors) = dynamic(&[("log.cleaner.threads", "999"), ("log.retention.ms", "5")], &[]);
    assert_eq!(changed.topic_defaults.retention_ms, Some(5));
    assert_eq!(
        errors,
        [
            "log.cleaner.threads=999 can't be used: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
        ]
    );
    // Two that are right only together, in whichever order they are tried.
    let cleaner =
        [("log.cleaner.dedupe.buffer.size", "2147483648"), ("log.cleaner.threads", "999"), ("max.connections", "x")];
    let (changed, errors) = dynamic(&cleaner, &[]);
    assert_eq!((changed.log_cleaner_threads, errors.len()), (999, 1));
}

#[test]
fn retention_is_taken_from_the_finest_unit_that_is_set() {
    let retention = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().copied().chain([("log.dirs", "/d")]).collect();
        ServerConfig::from_pairs(&pairs).unwrap().topic_defaults.retention_ms
    };
    assert_eq!(retention(&[]), Some(604_800_000));
    assert_eq!(retention(&[("log.retention.hours", "1")]), Some(3_600_000));
    assert_eq!(retention(&[("log.retention.hours", "1"), ("log.retention.minutes", "1")]), Some(60_000));
    assert_eq!(retention(&[("log.retention.minutes", "1"), ("log.retention.ms", "5")]), Some(5));
    assert_eq!(retention(&[("log.retention.hours", "-5")]), None);
    assert_eq!(retention(&[("log.retention.ms", "-1")]), None);
}
