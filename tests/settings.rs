//! What the tables of settings claim is what the code does: a key that is `honoured` is read, one that is not is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kafka_rs::config::{ConfigDef, Effect, Scope, table};

/// Keys that are worked out together with others, and the field in which they end.
const JOINED: &[(&str, &str)] = &[
    ("broker.id", "node_id"),
    ("controller.listener.names", "controller_listener_names"),
    ("controller.quorum.bootstrap.servers", "controller_quorum_voters"),
    ("inter.broker.listener.name", "advertised_listeners"),
    ("internal.segment.bytes", "segment_bytes"),
    ("listener.security.protocol.map", "listeners"),
    ("log.dir", "log_dirs"),
    ("sasl.jaas.config", "sasl"),
    ("sasl.login.callback.handler.class", "sasl"),
    ("sasl.mechanism", "sasl"),
    ("sasl.oauthbearer.jwt.retriever.class", "sasl"),
    ("sasl.oauthbearer.token.endpoint.url", "sasl"),
    ("ssl.enabled.protocols", "spoken_versions"),
    ("offsets.topic.replication.factor", "internal_topic_replication_factor"),
    ("share.coordinator.state.topic.replication.factor", "internal_topic_replication_factor"),
    ("transaction.state.log.replication.factor", "internal_topic_replication_factor"),
    ("security.inter.broker.protocol", "advertised_listeners"),
];

/// Checked, and refused where they say anything else than what is done.
const ONLY_ONE_WAY: &[&str] = &["process.roles", "security.protocol"];

/// The same, of clients.
const ONLY_ONE_WAY_OF_CLIENTS: &[&str] = &["security.protocol", "ssl.protocol"];

/// Where the settings of TLS and SASL become connections.
const SECURITY: &str = "src/client/security.rs";

/// Read although they are not in effect.
const READ_AHEAD: &[&str] = &[
    // The codec has one level.
    "compression.lz4.level",
];

/// Goal: no key is honoured in name only, and none is warned about that works.
/// Method: a key's field (its name with underscores) is read somewhere outside of `config`, in code that is no test.
#[test]
fn keys_that_are_honoured_are_read_and_no_others() {
    let broker = fields_read_in(&["src/broker", "src/cli/server_start", "src/cli/storage"]);
    let log = fields_read_in(&["src/log", "src/broker"]);
    let client = fields_read_in(&["src/client", "src/cli"]);
    let mut wrong = Vec::new();
    let mut judge = |scope: Scope, def: &ConfigDef, is_read: bool| {
        let claims = matches!(def.effect, Effect::Honoured | Effect::AtStart);
        match (claims, is_read) {
            (true, false) => wrong.push(format!("{scope:?} {}: {:?}, but nothing reads it", def.name, def.effect)),
            (false, true) if !READ_AHEAD.contains(&def.name) => {
                wrong.push(format!("{scope:?} {}: {:?}, but something reads it", def.name, def.effect));
            }
            _ => {}
        }
    };
    let topic_is_read = |def: &ConfigDef| log.contains(&field(def.name));
    for def in table(Scope::Topic).iter() {
        judge(Scope::Topic, def, topic_is_read(def));
    }
    for def in table(Scope::Broker).iter() {
        let is_default_of = |topic: &ConfigDef| topic.synonyms.contains(&def.name);
        let gives_default = || table(Scope::Topic).iter().any(|topic| is_default_of(topic) && topic_is_read(topic));
        let is_one_way = ONLY_ONE_WAY.contains(&def.name);
        judge(Scope::Broker, def, broker.contains(&field(def.name)) || is_one_way || gives_default());
    }
    for scope in [Scope::Producer, Scope::Consumer, Scope::Admin] {
        for def in table(scope).iter() {
            // The three share their fields' names; what one of them reads says little about the others.
            let own = match scope {
                Scope::Producer => {
                    fields_read_in(&["src/client/producer/options.rs", "src/client/options.rs", SECURITY])
                }
                Scope::Consumer => fields_read_in(&[
                    "src/client/consumer/options.rs",
                    "src/client/share/options.rs",
                    "src/client/options.rs",
                    SECURITY,
                ]),
                _ => fields_read_in(&["src/client/options.rs", SECURITY]),
            };
            let is_read = own.contains(&field(def.name)) && client.contains(&field(def.name));
            judge(scope, def, is_read || ONLY_ONE_WAY_OF_CLIENTS.contains(&def.name));
        }
    }
    assert!(wrong.is_empty(), "{} keys:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_lists_of_exceptions_name_keys() {
    let keys = JOINED.iter().map(|(key, _)| key).chain(ONLY_ONE_WAY).chain(ONLY_ONE_WAY_OF_CLIENTS);
    let known =
        |key: &str| [Scope::Broker, Scope::Topic, Scope::Admin].iter().any(|scope| table(*scope).get(key).is_some());
    assert_eq!(keys.copied().filter(|key| !known(key)).collect::<Vec<_>>(), [""; 0]);
}

fn field(key: &str) -> String {
    match JOINED.iter().find(|(name, _)| *name == key) {
        Some((_, field)) => (*field).to_owned(),
        None => key.replace('.', "_"),
    }
}

/// Every `.name` in these folders and files, tests left out.
fn fields_read_in(places: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in places.iter().flat_map(|place| rust_files(Path::new(place))) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for rest in line.split('.').skip(1) {
                let end = rest.find(|one: char| !one.is_ascii_alphanumeric() && one != '_').unwrap_or(rest.len());
                found.insert(rest[..end].to_owned());
            }
        }
    }
    found
}

fn rust_files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        let is_test =
            path.file_stem().is_some_and(|name| name == "tests" || name == "testing" || name == "test_support");
        if !is_test && (path.is_dir() || path.extension().is_some_and(|extension| extension == "rs")) {
            files.extend(rust_files(&path));
        }
    }
    files
}
