//! Changes of settings at run time: CreateTopics, AlterConfigs and IncrementalAlterConfigs.
//!
//! These functions check and compute; who calls them stores the result and makes it count.

use super::definitions::{ConfigDef, DefaultValue, Effect, Scope, UpdateMode, dynamic_only, table};
use super::error::ConfigError;
use super::idle::NEEDS_THE_FILE;
use super::layers::{Layers, Settings, base_key};
use super::server::ServerConfig;
use super::topic::TopicConfig;
use super::value::Kind;

/// What one change does; the discriminants are those of IncrementalAlterConfigs requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum AlterOp {
    /// Sets the key.
    Set = 0,
    /// Takes the setting away.
    Delete = 1,
    /// Adds elements to a list, unless they are in it.
    Append = 2,
    /// Takes elements out of a list.
    Subtract = 3,
}

impl AlterOp {
    /// Reads the code on the wire.
    #[must_use]
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alteration {
    /// The key.
    pub name: String,
    /// What to do with it.
    pub op: AlterOp,
    /// The operand; not looked at by `Delete`.
    pub value: Option<String>,
}

/// Why a change was refused; the text is for the answer's error message.
#[derive(Debug, thiserror::Error)]
pub enum AlterError {
    /// The settings would not be valid: error code `INVALID_CONFIG` (40).
    #[error(transparent)]
    InvalidConfig(ConfigError),
    /// The change cannot be asked for: error code `INVALID_REQUEST` (42).
    #[error(transparent)]
    InvalidRequest(ConfigError),
}

/// Which brokers a change is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerTarget {
    /// All of them: the resource has no name.
    All,
    /// This one.
    This,
}

/// Checks the settings of a new topic.
///
/// # Errors
/// [`AlterError::InvalidConfig`].
pub fn new_topic_settings(layers: &Layers, wanted: &[(String, Option<String>)]) -> Result<Settings, AlterError> {
    let unset: Vec<&str> = wanted.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
    if let Some(first) = unset.first() {
        let message = format!("Null value not supported for topic configs: {}", unset.join(","));
        return Err(AlterError::InvalidConfig(ConfigError::rule(first, message)));
    }
    let settings: Settings = wanted.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    check_topic(layers, &settings)?;
    Ok(settings)
}

/// Works out a topic's settings after `changes` to the `current` ones.
///
/// # Errors
/// What is wrong with the request or with the settings that it would lead to; nothing is changed then.
pub fn alter_topic(layers: &Layers, current: &Settings, changes: &[Alteration]) -> Result<Settings, AlterError> {
    check_request(changes)?;
    let settings = apply(Scope::Topic, current, changes)?;
    check_topic(layers, &settings)?;
    Ok(settings)
}

/// Works out a group's settings after `changes` to the `current` ones.
///
/// # Errors
/// As [`alter_topic`].
pub fn alter_group(layers: &Layers, current: &Settings, changes: &[Alteration]) -> Result<Settings, AlterError> {
    check_request(changes)?;
    let settings = apply(Scope::Group, current, changes)?;
    check_group(layers, &settings).map_err(AlterError::InvalidConfig)?;
    Ok(settings)
}

/// Works out what is set at run time for the brokers of `target` after `changes`.
///
/// # Errors
/// As [`alter_topic`].
pub fn alter_broker(layers: &Layers, target: BrokerTarget, changes: &[Alteration]) -> Result<Settings, AlterError> {
    check_request(changes)?;
    let current = match target {
        BrokerTarget::All => &layers.cluster,
        BrokerTarget::This => &layers.broker,
    };
    let settings = apply(Scope::Broker, current, changes)?;
    let mut candidate = layers.clone();
    match target {
        BrokerTarget::All => candidate.cluster = settings.clone(),
        BrokerTarget::This => candidate.broker = settings.clone(),
    }
    let changed = settings.iter().filter(|(name, value)| current.get(*name) != Some(value));
    check_broker(layers, candidate, target, changed).map_err(AlterError::InvalidRequest)?;
    Ok(settings)
}

/// Checks what eligible leader replicas ask of changes (KIP-966): with the feature `eligible.leader.replicas.version`
/// on, `min.insync.replicas` is the cluster's alone, and always set.
///
/// # Errors
/// [`AlterError::InvalidConfig`].
pub fn check_eligible_leader_replicas(target: BrokerTarget, changes: &[Alteration]) -> Result<(), AlterError> {
    const KEY: &str = "min.insync.replicas";
    let Some(change) = changes.iter().find(|change| change.name == KEY) else { return Ok(()) };
    let message = match target {
        BrokerTarget::This => "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        BrokerTarget::All if change.op == AlterOp::Delete => {
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
        }
        BrokerTarget::All => return Ok(()),
    };
    Err(AlterError::InvalidConfig(ConfigError::rule(KEY, message)))
}

/// The changes that lead from `current` to exactly `wanted`, which is what AlterConfigs asks for.
#[must_use]
pub fn replacing(current: &Settings, wanted: &[(String, Option<String>)]) -> Vec<Alteration> {
    let is_wanted = |name: &String| wanted.iter().any(|(other, _)| other == name);
    let gone = current.keys().filter(|name| !is_wanted(name));
    let deletions = gone.map(|name| Alteration { name: name.clone(), op: AlterOp::Delete, value: None });
    let sets =
        wanted.iter().map(|(name, value)| Alteration { name: name.clone(), op: AlterOp::Set, value: value.clone() });
    deletions.chain(sets).collect()
}

fn check_request(changes: &[Alteration]) -> Result<(), AlterError> {
    let refused = |name: &str, message: String| Err(AlterError::InvalidRequest(ConfigError::rule(name, message)));
    for (at, change) in changes.iter().enumerate() {
        if changes.iter().take(at).any(|other| other.name == change.name) {
            return refused(&change.name, "Error due to duplicate config keys".to_owned());
        }
    }
    let unset: Vec<&str> = changes
        .iter()
        .filter(|change| change.op != AlterOp::Delete && change.value.is_none())
        .map(|change| change.name.as_str())
        .collect();
    match unset.first() {
        Some(first) => refused(first, format!("Null value not supported for : {}", unset.join(","))),
        None => Ok(()),
    }
}

fn apply(scope: Scope, current: &Settings, changes: &[Alteration]) -> Result<Settings, AlterError> {
    let mut settings = current.clone();
    for Alteration { name, op, value } in changes {
        let value = value.as_deref().unwrap_or_default();
        if *op == AlterOp::Set {
            settings.insert(name.clone(), value.to_owned());
        } else if *op == AlterOp::Delete {
            settings.remove(name);
        } else {
            let def = table(scope).get(name).filter(|def| def.kind == Kind::List);
            let def = def.ok_or_else(|| AlterError::InvalidConfig(not_a_list(scope, name, *op)))?;
            let elements = changed_list(def, settings.get(name).map(String::as_str), *op, value);
            settings.insert(name.clone(), elements.join(","));
        }
    }
    Ok(settings)
}

fn not_a_list(scope: Scope, name: &str, op: AlterOp) -> ConfigError {
    if scope == Scope::Broker && table(scope).get(name).is_none() {
        return ConfigError::rule(name, format!("Unknown config name: {name}"));
    }
    let (upper, lower) = if op == AlterOp::Append { ("APPEND", "append") } else { ("SUBTRACT", "subtract") };
    ConfigError::rule(
        name,
        match scope {
            Scope::Broker => format!("Config value {lower} is not allowed for config key: {name}"),
            _ => format!("Can't {upper} to key {name} because its type is not LIST."),
        },
    )
}

/// A list that is not set begins as Kafka's default, whatever the broker's own default is.
fn changed_list(def: &ConfigDef, current: Option<&str>, op: AlterOp, value: &str) -> Vec<String> {
    let default = match def.default {
        DefaultValue::Text(text) => text,
        DefaultValue::Null | DefaultValue::Required => "",
    };
    let current = current.unwrap_or(default);
    let trimmed = |text: &str| text.trim().to_owned();
    let mut elements: Vec<String> = current.split(',').map(trimmed).filter(|_| !current.trim().is_empty()).collect();
    for element in value.split(',').map(trimmed) {
        if op == AlterOp::Subtract {
            elements.retain(|one| *one != element);
        } else if !elements.contains(&element) {
            elements.push(element);
        }
    }
    elements
}

fn check_topic(layers: &Layers, settings: &Settings) -> Result<(), AlterError> {
    check_topic_settings(layers, settings).map_err(AlterError::InvalidConfig)
}

fn check_topic_settings(layers: &Layers, settings: &Settings) -> Result<(), ConfigError> {
    check_known(Scope::Topic, settings)?;
    let config = TopicConfig::resolve(layers, settings)?;
    if config.remote_storage_enable {
        let message = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote \
                       log storage.";
        return Err(ConfigError::rule("remote.storage.enable", message));
    }
    let (min, max) = (config.min_compaction_lag_ms, config.max_compaction_lag_ms);
    if min > max {
        let message =
            format!("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})");
        return Err(ConfigError::rule("min.compaction.lag.ms", message));
    }
    Ok(())
}

fn check_known(scope: Scope, settings: &Settings) -> Result<(), ConfigError> {
    match settings.keys().find(|name| table(scope).get(name).is_none()) {
        Some(name) => Err(ConfigError::Unknown { scope: scope.name(), name: name.clone() }),
        None => Ok(()),
    }
}

/// The bounds that brokers set to groups: key of the group, and the broker's least and most.
const GROUP_BOUNDS: &[&str] = &[
    "consumer.session.timeout.ms",
    "consumer.heartbeat.interval.ms",
    "consumer.assignment.interval.ms",
    "share.session.timeout.ms",
    "share.heartbeat.interval.ms",
    "share.assignment.interval.ms",
    "share.record.lock.duration.ms",
    "share.delivery.count.limit",
    "share.partition.max.record.locks",
    "streams.session.timeout.ms",
    "streams.heartbeat.interval.ms",
    "streams.assignment.interval.ms",
];

fn check_group(layers: &Layers, settings: &Settings) -> Result<(), ConfigError> {
    check_known(Scope::Group, settings)?;
    let values = layers.values()?;
    let mut numbers = Vec::new();
    for (name, text) in settings {
        let Some(def) = table(Scope::Group).get(name) else { continue };
        let value = def.parse(text)?;
        if let Some(number) = value.number() {
            numbers.push((name.as_str(), number));
        }
    }
    for &(name, number) in numbers.iter().filter(|(name, _)| GROUP_BOUNDS.contains(name)) {
        let Some((kind, rest)) = name.split_once('.') else { continue };
        let (least, most) = (format!("group.{kind}.min.{rest}"), format!("group.{kind}.max.{rest}"));
        if values.get(&least).number().is_some_and(|bound| number < bound) {
            return Err(ConfigError::rule(name, format!("{name} must be greater than or equal to {least}")));
        }
        if values.get(&most).number().is_some_and(|bound| number > bound) {
            return Err(ConfigError::rule(name, format!("{name} must be less than or equal to {most}")));
        }
    }
    let standby = "streams.num.standby.replicas";
    let most = "group.streams.max.standby.replicas";
    if numbers.iter().any(|&(name, number)| name == standby && values.get(most).number() < Some(number)) {
        return Err(ConfigError::rule(standby, format!("{standby} must be less than or equal to {most}")));
    }
    for kind in ["consumer", "share", "streams"] {
        let own = |rest: &str| {
            let set = numbers.iter().find(|(name, _)| *name == format!("{kind}.{rest}")).map(|&(_, number)| number);
            set.or_else(|| values.get(&format!("group.{kind}.{rest}")).number())
        };
        let (heartbeat, session) = ("heartbeat.interval.ms", "session.timeout.ms");
        if own(heartbeat) >= own(session) {
            let name = format!("{kind}.{heartbeat}");
            return Err(ConfigError::rule(&name, format!("{name} must be less than {kind}.{session}")));
        }
    }
    Ok(())
}

fn check_broker<'a>(
    before: &Layers,
    candidate: Layers,
    target: BrokerTarget,
    changed: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), ConfigError> {
    let changed: Vec<(&str, &str)> = changed.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let refuse_those = |message: &str, wrong: &dyn Fn(&str, &ConfigDef) -> bool| {
        let names: Vec<&str> = changed
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| broker_definition(name).is_some_and(|def| wrong(name, def)))
            .collect();
        match names.first() {
            Some(first) => Err(ConfigError::rule(first, format!("{message}: [{}]", names.join(", ")))),
            None => Ok(()),
        }
    };
    refuse_those("Cannot update these configs dynamically", &|_, def| def.update_mode == UpdateMode::ReadOnly)?;
    refuse_those(
        "These security configs can be dynamically updated only per-listener using the listener prefix",
        &|name, def| name == def.name && is_per_listener(name),
    )?;
    for (name, value) in &changed {
        if let Some(def) = broker_definition(name) {
            def.parse(value)?;
        }
    }
    if target == BrokerTarget::All {
        refuse_those(
            "Cannot update these configs at default cluster level, broker id must be specified",
            &|_, def| def.update_mode == UpdateMode::PerBroker,
        )?;
    }
    for (name, value) in &changed {
        let Some(def) = broker_definition(name) else { continue };
        if NEEDS_THE_FILE.contains(&def.name) {
            let advice = "listeners do not change at run time yet; set it in server.properties and restart";
            return Err(ConfigError::unsupported(name, value, advice));
        }
        if def.effect == Effect::Refused && def.parse(value)? != def.default_value() {
            return Err(ConfigError::unsupported(name, value, "it is not there yet"));
        }
    }
    let config = ServerConfig::build(candidate)?;
    match changed.iter().find(|(name, _)| *name == CLEANER_THREADS) {
        Some(_) => check_cleaner_threads(before, config.log_cleaner_threads),
        None => Ok(()),
    }
}

const CLEANER_THREADS: &str = "log.cleaner.threads";

/// As for all of Kafka's thread pools: at most twice as many at once, at least half as many.
fn check_cleaner_threads(before: &Layers, threads: usize) -> Result<(), ConfigError> {
    let current = ServerConfig::build(before.clone())?.log_cleaner_threads;
    let wrong = if threads < 1 {
        "Log cleaner threads should be at least 1".to_owned()
    } else if threads < current / 2 {
        format!("Log cleaner threads cannot be reduced to less than half the current value {current}")
    } else if threads > current * 2 {
        format!("Log cleaner threads cannot be increased to more than double the current value {current}")
    } else {
        return Ok(());
    };
    Err(ConfigError::rule(CLEANER_THREADS, wrong))
}

/// The definition of a key that can be set for brokers at run time, also for one listener.
pub(super) fn broker_definition(name: &str) -> Option<&'static ConfigDef> {
    table(Scope::Broker).get(base_key(name)).or_else(|| dynamic_only(name))
}

/// Keys of TLS that Kafka lets change only for one listener.
fn is_per_listener(name: &str) -> bool {
    name.starts_with("ssl.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(pairs: &[(&str, &str)]) -> Layers {
        let pairs: Vec<_> = pairs.iter().copied().chain([("log.dirs", "/d")]).collect();
        ServerConfig::from_pairs(&pairs).unwrap().layers
    }

    #[test]
    fn cleaner_threads_grow_and_shrink_by_two_at_most() {
        let layers = layers(&[("log.cleaner.threads", "4")]);
        let alter = |threads: &str| {
            let change =
                Alteration { name: CLEANER_THREADS.to_owned(), op: AlterOp::Set, value: Some(threads.to_owned()) };
            alter_broker(&layers, BrokerTarget::All, &[change]).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!((alter("2"), alter("8")), (Ok(()), Ok(())));
        let refused = |threads: &str, words: &str| assert!(alter(threads).is_err_and(|text| text.contains(words)));
        refused("1", "cannot be reduced to less than half the current value 4");
        refused("9", "cannot be increased to more than double the current value 4");
        refused("0", "at least 1");
    }

    /// Reads `create|name|key=value|...` and `inc|kind|name|OP key=value|...` with Kafka's answers.
    #[test]
    fn changes_are_taken_and_refused_as_kafka_does() {
        let mut layers = layers(&[]);
        let mut topics: std::collections::BTreeMap<String, Settings> = std::collections::BTreeMap::new();
        let mut group = Settings::new();
        let mut wrong = Vec::new();
        for line in include_str!("../../tests/data/config/alter.tsv").lines().filter(|line| !line.starts_with("# ")) {
            let (request, expected) = line.split_once('\t').unwrap();
            let words: Vec<&str> = request.split('|').collect();
            let seen = match words[..] {
                ["create", name, ref configs @ ..] => {
                    let wanted: Vec<_> = configs.iter().map(|pair| name_and_value(pair)).collect();
                    let made = new_topic_settings(&layers, &wanted);
                    made.map(|settings| drop(topics.insert(name.to_owned(), settings)))
                }
                ["inc", kind, name, ref changes @ ..] => {
                    let changes: Vec<_> = changes.iter().map(|text| alteration(text)).collect();
                    let broker = if name == "-" { BrokerTarget::All } else { BrokerTarget::This };
                    match kind {
                        "topic" => alter_topic(&layers, &topics[name], &changes)
                            .map(|settings| drop(topics.insert(name.to_owned(), settings))),
                        "group" => alter_group(&layers, &group, &changes).map(|settings| group = settings),
                        _ => alter_broker(&layers, broker, &changes).map(|settings| match broker {
                            BrokerTarget::All => layers.cluster = settings,
                            BrokerTarget::This => layers.broker = settings,
                        }),
                    }
                }
                ["get", "topic", name, key] => {
                    let described = super::super::describe_topic(&layers, &topics[name]).unwrap();
                    let entry = described.into_iter().find(|entry| entry.name == key).unwrap();
                    let value = entry.value.unwrap();
                    assert_eq!(value, expected, "{request}");
                    continue;
                }
                _ => panic!("{line}"),
            };
            let seen = match seen {
                Ok(()) => "ok".to_owned(),
                Err(AlterError::InvalidConfig(error)) => format!("40 {error}"),
                Err(AlterError::InvalidRequest(error)) => format!("42 {error}"),
            };
            if seen != expected && !seen.contains("is not supported yet") {
                wrong.push(format!("{request}\n  Kafka: {expected}\n  ours:  {seen}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn name_and_value(pair: &str) -> (String, Option<String>) {
        match pair.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (pair.to_owned(), None),
        }
    }

    fn alteration(text: &str) -> Alteration {
        let (op, pair) = text.split_once(' ').unwrap();
        let op = match op {
            "SET" => AlterOp::Set,
            "DELETE" => AlterOp::Delete,
            "APPEND" => AlterOp::Append,
            "SUBTRACT" => AlterOp::Subtract,
            other => panic!("{other}"),
        };
        let (name, value) = name_and_value(pair);
        Alteration { name, op, value }
    }

    #[test]
    fn replacing_takes_away_what_is_not_named() {
        let current = Settings::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let changes = replacing(&current, &[("b".to_owned(), Some("3".to_owned()))]);
        let seen: Vec<_> = changes.iter().map(|one| (one.name.as_str(), one.op)).collect();
        assert_eq!(seen, [("a", AlterOp::Delete), ("b", AlterOp::Set)]);
    }

    #[test]
    fn the_least_number_of_replicas_belongs_to_the_cluster() {
        let check = |target, change| check_eligible_leader_replicas(target, &[alteration(change)]).is_ok();
        assert!(check(BrokerTarget::All, "SET min.insync.replicas=2"));
        assert!(!check(BrokerTarget::All, "DELETE min.insync.replicas"));
        assert!(!check(BrokerTarget::This, "SET min.insync.replicas=2"));
        assert!(check(BrokerTarget::This, "SET log.retention.ms=2"));
    }

    #[test]
    fn listeners_change_by_a_restart() {
        let layers = layers(&[]);
        let refused = alter_broker(&layers, BrokerTarget::This, &[alteration("SET listeners=PLAINTEXT://:1")]);
        assert!(refused.unwrap_err().to_string().contains("restart"));
    }
}
