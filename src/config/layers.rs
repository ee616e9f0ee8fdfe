//! What the sources of a broker's settings say, kept apart: DescribeConfigs shows them all, the strongest decides.

use std::collections::BTreeMap;

use super::alter::broker_definition;
use super::definitions::{ConfigDef, Scope, Table, table};
use super::error::{ConfigError, Place};
use super::value::Value;

/// Where a value comes from; the discriminants are those of DescribeConfigs responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic = 1,
    /// Set on the broker at run time.
    DynamicBroker = 2,
    /// Set at run time for all brokers.
    DynamicDefaultBroker = 3,
    /// `server.properties` or the command line.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// The level of a logger.
    DynamicBrokerLogger = 6,
    /// Set on a client metrics subscription.
    ClientMetrics = 7,
    /// Set on a group.
    Group = 8,
}

impl ConfigSource {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// Settings by key, as they were written.
pub type Settings = BTreeMap<String, String>;

/// The sources of one broker's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// From the file and the command line, unknown keys included.
    pub file: Settings,
    /// Set at run time for all brokers.
    pub cluster: Settings,
    /// Set at run time for this broker.
    pub broker: Settings,
    /// Where the settings of `file` stand.
    pub(super) places: BTreeMap<String, Place>,
}

impl Layers {
    /// The text that counts for `key`, if anybody set it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<(&str, ConfigSource)> {
        let from = |settings: &'_ Settings, source| settings.get(key).map(|_| source);
        let source = from(&self.broker, ConfigSource::DynamicBroker)
            .or_else(|| from(&self.cluster, ConfigSource::DynamicDefaultBroker))
            .or_else(|| from(&self.file, ConfigSource::StaticBroker))?;
        let text = self.layer(source)?.get(key)?;
        Some((text, source))
    }

    /// Takes over what was set at run time, but for what could not be read: it must not stand in the way of the rest.
    pub fn set_dynamic(&mut self, cluster: Settings, broker: Settings) {
        let usable = |settings: Settings| -> Settings {
            let is_usable =
                |(name, text): &(String, String)| broker_definition(name).is_none_or(|def| def.parse(text).is_ok());
            settings.into_iter().filter(is_usable).collect()
        };
        (self.cluster, self.broker) = (usable(cluster), usable(broker));
    }

    /// The texts that count. A key set at run time drives out what the file says of it and of its synonyms.
    pub(super) fn effective(&self) -> BTreeMap<&str, &str> {
        let mut effective: BTreeMap<&str, &str> =
            self.file.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        for (key, value) in self.cluster.iter().chain(&self.broker) {
            for synonym in broker_synonyms(key) {
                // The settings of one listener leave those of all listeners alone.
                if synonym != base_key(key) || synonym == key {
                    effective.remove(synonym);
                }
            }
            effective.insert(key, value);
        }
        effective
    }

    pub(super) fn layer(&self, source: ConfigSource) -> Option<&Settings> {
        match source {
            ConfigSource::DynamicBroker => Some(&self.broker),
            ConfigSource::DynamicDefaultBroker => Some(&self.cluster),
            ConfigSource::StaticBroker => Some(&self.file),
            _ => None,
        }
    }

    /// Whether the setting comes from this program and not from the user.
    pub(super) fn is_filled_in(&self, key: &str) -> bool {
        self.places.get(key) == Some(&Place::Program)
    }

    /// Where the file sets `key`, unless it was set at run time.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        let at_run_time = self.cluster.contains_key(key) || self.broker.contains_key(key);
        if at_run_time { None } else { self.places.get(key) }
    }

    /// The checked values that count.
    pub(super) fn values(&self) -> Result<Values, ConfigError> {
        let effective = self.effective();
        Values::read_table(Scope::Broker, |key| effective.get(key).copied(), |key| self.place(key))
    }
}

/// Keys that say the same in other units, the strongest first.
const SYNONYMS: [&[&str]; 4] = [
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.roll.ms", "log.roll.hours"],
];

/// `key` and the keys that stand in for it; for a key of one listener the key of all listeners.
pub(super) fn broker_synonyms(key: &str) -> Vec<&str> {
    if key == "log.flush.scheduler.interval.ms" {
        return vec![key];
    }
    if let Some(group) = SYNONYMS.iter().find(|group| group.contains(&key)) {
        return group.to_vec();
    }
    let base = base_key(key);
    if base == key { vec![key] } else { vec![key, base] }
}

/// `listener.name.internal.ssl.keystore.type` is about `ssl.keystore.type`; other keys are about themselves.
pub(super) fn base_key(key: &str) -> &str {
    let after = key.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.'));
    after.map_or(key, |(_, base)| base)
}

/// The values of all keys of a scope.
pub(super) struct Values {
    table: &'static Table,
    values: Vec<Value>,
}

impl Values {
    /// Checks what is set (`text`) for each key of `scope`; errors say where it stands (`place`).
    pub(super) fn read_table<'a>(
        scope: Scope,
        text: impl Fn(&str) -> Option<&'a str>,
        place: impl Fn(&str) -> Option<&'a Place>,
    ) -> Result<Self, ConfigError> {
        let table = table(scope);
        let value = |def: &ConfigDef| match text(def.name) {
            Some(text) => def.parse(text).map_err(|error| error.at(place(def.name))),
            None => Ok(def.default_value()),
        };
        Ok(Self { table, values: table.iter().map(value).collect::<Result<_, _>>()? })
    }

    pub(super) fn get(&self, key: &str) -> &Value {
        self.table.position(key).and_then(|at| self.values.get(at)).unwrap_or(&Value::Null)
    }

    /// Reads the value of `key` as the type that its user wants.
    pub(super) fn read<T: super::fields::FromValue>(&self, key: &str) -> Result<T, ConfigError> {
        super::fields::read(key, self.get(key))
    }
}
