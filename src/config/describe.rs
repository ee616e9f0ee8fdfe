//! The entries of DescribeConfigs and CreateTopics answers: values with where they come from.

use super::definitions::{ConfigDef, DefaultValue, Scope, UpdateMode, dynamic_only, table};
use super::error::ConfigError;
use super::layers::{ConfigSource, Layers, Settings, base_key, broker_synonyms};
use super::topic::{resolve_value, topic_text};
use super::value::{Kind, Value};

/// One setting, as the protocol shows it. Documentation is never sent: it is Kafka's text, not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value that counts; `None` if there is none or it is sensitive.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed at run time.
    pub read_only: bool,
    /// Whether the value is hidden.
    pub sensitive: bool,
    /// The type's code (`Kind::code`); 0 for keys that Kafka does not know.
    pub config_type: i8,
    /// What all sources say, the strongest first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// What one source says under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key there.
    pub name: String,
    /// Its value as it was written; `None` if it is sensitive.
    pub value: Option<String>,
    /// The source.
    pub source: ConfigSource,
}

/// Describes a topic on which `overrides` are set, sorted by name.
///
/// # Errors
/// A stored value that is not valid, which tells of a store written by another version.
pub fn describe_topic(layers: &Layers, overrides: &Settings) -> Result<Vec<ConfigEntry>, ConfigError> {
    let described = |def: &ConfigDef| {
        let (value, _) = resolve_value(layers, overrides, def.name)?;
        let mut synonyms = Vec::new();
        if overrides.contains_key(def.name) {
            let value = Some(value.to_string());
            synonyms.push(ConfigSynonym { name: def.name.to_owned(), value, source: ConfigSource::DynamicTopic });
        }
        // Only the first broker key is looked up; a retention in hours or minutes alone shows no synonym (Kafka's way).
        if let Some(name) = def.synonyms.first() {
            synonyms.extend(synonyms_of(layers, name, Hide::No));
        }
        let source = synonyms.first().map_or(ConfigSource::Default, |first| first.source);
        Ok(entry(def, &value, source, synonyms))
    };
    shown(Scope::Topic, overrides).map(described).collect()
}

/// The settings of a new topic as CreateTopics answers them: as they were written, without synonyms, sorted by name.
#[must_use]
pub fn describe_new_topic(layers: &Layers, overrides: &Settings) -> Vec<ConfigEntry> {
    let described = |def: &ConfigDef| {
        let (text, source) = topic_text(layers, overrides, def);
        let mut entry = entry(def, &Value::Null, source, Vec::new());
        entry.value = text;
        entry
    };
    shown(Scope::Topic, overrides).map(described).collect()
}

/// Describes a group on which `overrides` are set, sorted by name.
///
/// # Errors
/// As [`describe_topic`].
pub fn describe_group(layers: &Layers, overrides: &Settings) -> Result<Vec<ConfigEntry>, ConfigError> {
    let effective = layers.effective();
    let described = |def: &ConfigDef| {
        let broker_key = format!("group.{}", def.name);
        let broker_def = table(Scope::Broker).get(&broker_key);
        let mut synonyms = Vec::new();
        let mut value = def.default_value();
        if let Some(broker_def) = broker_def {
            value = match effective.get(broker_def.name) {
                Some(text) => broker_def.parse(text)?,
                None => broker_def.default_value(),
            };
            synonyms.extend(synonyms_of(layers, broker_def.name, Hide::No));
        } else if let DefaultValue::Text(text) = def.default {
            synonyms.push(ConfigSynonym {
                name: def.name.to_owned(),
                value: Some(text.to_owned()),
                source: ConfigSource::Default,
            });
        }
        if let Some(text) = overrides.get(def.name) {
            value = def.parse(text)?;
            let value = Some(value.to_string());
            synonyms.insert(0, ConfigSynonym { name: def.name.to_owned(), value, source: ConfigSource::Group });
        }
        let source = synonyms.first().map_or(ConfigSource::Default, |first| first.source);
        Ok(entry(def, &value, source, synonyms))
    };
    table(Scope::Group).iter().map(described).collect()
}

/// Describes a client metrics subscription on which `overrides` are set, sorted by name.
///
/// # Errors
/// As [`describe_topic`].
pub fn describe_client_metrics(overrides: &Settings) -> Result<Vec<ConfigEntry>, ConfigError> {
    let described = |def: &ConfigDef| {
        let Some(text) = overrides.get(def.name) else {
            return Ok(entry(def, &def.default_value(), ConfigSource::Default, Vec::new()));
        };
        let value = def.parse(text)?;
        let source = ConfigSource::ClientMetrics;
        let synonym = ConfigSynonym { name: def.name.to_owned(), value: Some(value.to_string()), source };
        Ok(entry(def, &value, source, vec![synonym]))
    };
    table(Scope::ClientMetrics).iter().map(described).collect()
}

/// Describes a broker: every key that Kafka knows, and what else was set.
///
/// # Errors
/// As [`describe_topic`].
pub fn describe_broker(layers: &Layers) -> Result<Vec<ConfigEntry>, ConfigError> {
    let effective = layers.effective();
    let set = [&layers.file, &layers.cluster, &layers.broker];
    let mut names: Vec<&str> = set.iter().flat_map(|settings| settings.keys()).map(String::as_str).collect();
    names.extend(table(Scope::Broker).iter().filter(|def| !def.internal).map(|def| def.name));
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| broker_entry(layers, name, effective.get(name).copied())).collect()
}

/// Describes what was set at run time for all brokers, and nothing else.
///
/// # Errors
/// As [`describe_topic`].
pub fn describe_broker_defaults(layers: &Layers) -> Result<Vec<ConfigEntry>, ConfigError> {
    let only = Layers { cluster: layers.cluster.clone(), ..Layers::default() };
    let mut entries: Vec<ConfigEntry> =
        layers.cluster.iter().map(|(name, text)| broker_entry(&only, name, Some(text))).collect::<Result<_, _>>()?;
    for entry in &mut entries {
        entry.synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
    }
    Ok(entries)
}

fn broker_entry(layers: &Layers, name: &str, text: Option<&str>) -> Result<ConfigEntry, ConfigError> {
    let Some(def) = table(Scope::Broker).get(base_key(name)).or_else(|| dynamic_only(name)) else {
        // It may be a plug-in's password: nothing of it is shown.
        let synonyms = synonyms_of(layers, name, Hide::Yes);
        return Ok(ConfigEntry {
            name: name.to_owned(),
            value: None,
            source: synonyms.first().map_or(ConfigSource::Default, |first| first.source),
            read_only: true,
            sensitive: true,
            config_type: 0,
            synonyms,
        });
    };
    let value = match text {
        Some(text) => def.parse(text)?,
        None => def.default_value(),
    };
    let synonyms = synonyms_of(layers, name, if def.is_sensitive() { Hide::Yes } else { Hide::No });
    let source = synonyms.first().map_or(ConfigSource::Default, |first| first.source);
    let mut entry = entry(def, &value, source, synonyms);
    name.clone_into(&mut entry.name);
    entry.read_only = def.update_mode == UpdateMode::ReadOnly || name != def.name;
    Ok(entry)
}

fn entry(def: &ConfigDef, value: &Value, source: ConfigSource, synonyms: Vec<ConfigSynonym>) -> ConfigEntry {
    let hidden = def.is_sensitive() || *value == Value::Null;
    ConfigEntry {
        name: def.name.to_owned(),
        value: (!hidden).then(|| value.to_string()),
        source,
        read_only: false,
        sensitive: def.kind == Kind::Password,
        config_type: def.kind.code(),
        synonyms,
    }
}

/// The keys that are shown: internal ones only where they are set.
fn shown(scope: Scope, overrides: &Settings) -> impl Iterator<Item = &'static ConfigDef> {
    table(scope).iter().filter(|def| !def.internal || overrides.contains_key(def.name))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hide {
    Yes,
    No,
}

/// What the sources of a broker say about `name` and the keys that stand in for it, from where `name` itself is first
/// said: weaker keys that were set in a stronger source are left out.
fn synonyms_of(layers: &Layers, name: &str, hide: Hide) -> Vec<ConfigSynonym> {
    let keys = broker_synonyms(name);
    let mut found = Vec::new();
    let mut add = |key: &str, text: &str, source| {
        let value = (hide == Hide::No).then(|| text.to_owned());
        found.push(ConfigSynonym { name: key.to_owned(), value, source });
    };
    for (settings, source) in [
        (&layers.broker, ConfigSource::DynamicBroker),
        (&layers.cluster, ConfigSource::DynamicDefaultBroker),
        (&layers.file, ConfigSource::StaticBroker),
    ] {
        for key in &keys {
            if let Some(text) = settings.get(*key) {
                add(key, text, source);
            }
        }
    }
    for key in &keys {
        if let Some(DefaultValue::Text(text)) = table(Scope::Broker).get(key).map(|def| def.default) {
            add(key, text, ConfigSource::Default);
        }
    }
    found.into_iter().skip_while(|synonym| synonym.name != name).collect()
}
