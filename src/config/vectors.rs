//! Tests of this module against what Apache Kafka and Java were seen to make of the same input.

use std::collections::BTreeMap;

use super::*;

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with("# ")).map(|line| line.split('\t').collect())
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\\\", "\\")
}

#[test]
fn values_are_read_and_refused_as_kafka_does() {
    for row in rows(include_str!("../../tests/data/config/values.tsv")) {
        let scope = match row[0] {
            "broker" => Scope::Broker,
            "topic" => Scope::Topic,
            "group" => Scope::Group,
            "client-metrics" => Scope::ClientMetrics,
            "producer" => Scope::Producer,
            "consumer" => Scope::Consumer,
            "admin" => Scope::Admin,
            other => panic!("{other}"),
        };
        let def = table(scope).get(row[1]).unwrap();
        let seen = def.parse(&unescaped(row[2])).map(|value| value.to_string()).map_err(|error| error.to_string());
        let expected = unescaped(row[4]);
        assert_eq!(seen, if row[3] == "ok" { Ok(expected) } else { Err(expected) }, "{row:?}");
    }
}

#[test]
fn properties_are_read_as_java_does() {
    for row in rows(include_str!("../../tests/data/config/properties.tsv")) {
        let bytes: Vec<u8> =
            (0..row[0].len() / 2).map(|at| u8::from_str_radix(&row[0][2 * at..2 * at + 2], 16).unwrap()).collect();
        let Ok(entries) = properties::parse(&bytes) else {
            assert_eq!(row[1], "!", "{:?}", String::from_utf8_lossy(&bytes));
            continue;
        };
        let encode = |text: &str| -> String {
            text.encode_utf16()
                .map(|unit| match u8::try_from(unit) {
                    Ok(byte) if byte.is_ascii_graphic() && byte != b'%' => char::from(byte).to_string(),
                    _ => format!("%{unit:04x}"),
                })
                .collect()
        };
        let seen: Vec<_> = entries.iter().map(|one| format!("{}={}", encode(&one.key), encode(&one.value))).collect();
        assert_eq!(seen.join("\t"), row[1..].join("\t"), "{:?}", String::from_utf8_lossy(&bytes));
    }
}

/// Goal: what Kafka starts with we start with or call unsupported; what Kafka refuses we refuse, in its words.
#[test]
fn rules_between_settings_are_kafkas() {
    const BASE: [(&str, &str); 6] = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", "1@localhost:9093"),
        ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", "/d"),
    ];
    // Here Kafka lets something pass that fails later, or its text is that of a Java exception.
    const OURS: &[&str] = &[
        "is not between 0 and 65535",
        "is not a NAME:PROTOCOL pair",
        "is not a host:count pair",
        "Invalid value abc for configuration node.id",
    ];
    let mut wrong = Vec::new();
    for row in rows(include_str!("../../tests/data/config/rules.tsv")) {
        let mut pairs = BASE.to_vec();
        for setting in row[0].split(';').filter(|one| !one.is_empty()) {
            match setting.split_once('=') {
                Some((key, value)) => {
                    pairs.retain(|(old, _)| *old != key);
                    pairs.push((key, value));
                }
                None => pairs.retain(|(old, _)| *old != &setting[1..]),
            }
        }
        let seen = match ServerConfig::from_pairs(&pairs) {
            Ok(_) => "ok".to_owned(),
            Err(ConfigError::At { error, .. }) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // Without process.roles we fill in what a newcomer needs; without cleaner threads Kafka divides by zero; a
        // file for ZooKeeper is one that Kafka 4 starts as something else than its author wants.
        let more = ["-process.roles", "log.cleaner.threads=0", "zookeeper.connect=localhost:2181"].contains(&row[0]);
        let fine = seen == row[1]
            || more
            || OURS.iter().any(|text| seen.contains(text))
            || seen.contains("is not supported yet");
        if !fine {
            wrong.push(format!("{}\n  Kafka: {}\n  ours:  {seen}", row[0], row[1]));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Goal: names, values, sources, types and synonyms of all answers to DescribeConfigs are Kafka's.
#[test]
fn descriptions_are_kafkas() {
    let files = [
        ("plain", &include_bytes!("../../tests/data/config/plain.properties")[..]),
        ("rich", include_bytes!("../../tests/data/config/rich.properties")),
    ];
    let mut whole: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let text = include_str!("../../tests/data/config/describe.tsv");
    for block in text.split("\n> ").skip(1) {
        let (head, lines) = block.split_once('\n').unwrap();
        let head: Vec<&str> = head.split('|').collect();
        let [kind, file, cluster, broker, resource] = head[..] else { panic!("{head:?}") };
        let file = files.iter().find(|(name, _)| *name == file).unwrap().1;
        let pairs: Vec<(String, String)> =
            properties::parse(file).unwrap().into_iter().map(|one| (one.key, one.value)).collect();
        let (config, _) = ServerConfig::load(None, &pairs).unwrap();
        let (config, errors) = config.with_dynamic(&settings(cluster), &settings(broker));
        assert!(errors.is_empty(), "{errors:?}");
        let layers = &config.layers;
        let entries = match kind {
            "new" => describe_new_topic(layers, &settings(resource)),
            "topic" => describe_topic(layers, &settings(resource)).unwrap(),
            "broker" => describe_broker(layers).unwrap(),
            "defaults" => describe_broker_defaults(layers).unwrap(),
            "group" => describe_group(layers, &settings(resource)).unwrap(),
            "cm" => describe_client_metrics(&settings(resource)).unwrap(),
            other => panic!("{other}"),
        };
        let mut expected = whole.get(kind).cloned().unwrap_or_default();
        for line in lines.lines() {
            match line.strip_prefix('-') {
                Some(name) => drop(expected.remove(name)),
                None => drop(expected.insert(line.split('\t').next().unwrap().to_owned(), line.to_owned())),
            }
        }
        whole.entry(kind).or_insert_with(|| expected.clone());
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert!(names.is_sorted(), "{kind}");
        let seen: BTreeMap<String, String> =
            entries.iter().map(|entry| (entry.name.clone(), written(kind, entry))).collect();
        for name in expected.keys().chain(seen.keys()) {
            if expected.get(name) != seen.get(name) {
                wrong.push(format!(
                    "{kind} {head:?}\n  Kafka: {:?}\n  ours:  {:?}",
                    expected.get(name),
                    seen.get(name)
                ));
            }
        }
    }
    assert_eq!(whole.len(), 6);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn settings(text: &str) -> Settings {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn written(kind: &str, entry: &ConfigEntry) -> String {
    let source = |source: ConfigSource| match source {
        ConfigSource::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::DynamicBrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
        ConfigSource::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
        ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
    };
    let value = |value: &Option<String>| value.clone().unwrap_or("<null>".to_owned());
    let head = [entry.name.clone(), value(&entry.value), source(entry.source).to_owned()].join("\t");
    if kind == "new" {
        return head;
    }
    let types = ["UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"];
    let synonyms: Vec<String> =
        entry.synonyms.iter().map(|one| format!("{}:{}={}", source(one.source), one.name, value(&one.value))).collect();
    [
        head.as_str(),
        if entry.read_only { "ro" } else { "rw" },
        if entry.sensitive { "sensitive" } else { "" },
        types[usize::try_from(entry.config_type).unwrap()],
        &synonyms.join(", "),
    ]
    .join("\t")
}
