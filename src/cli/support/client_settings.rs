//! The settings of a tool's client: a file, then properties on the command line, then the tool's own options.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::{Hinted, Output};
use crate::client::{Address, ClientOptions};
use crate::config::{ConfigError, Scope, Value, gone, properties, table};

/// Settings by Kafka's keys, later ones over earlier ones.
#[derive(Debug, Clone)]
pub(crate) struct ClientSettings {
    scope: Scope,
    values: BTreeMap<String, String>,
}

impl ClientSettings {
    /// No settings yet: all defaults.
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, values: BTreeMap::new() }
    }

    /// Takes the settings of a properties file.
    pub(crate) fn read_file(&mut self, path: &Path) -> anyhow::Result<()> {
        self.values.extend(read_properties(path)?);
        Ok(())
    }

    /// Takes a setting written as `key=value`; without `=` the value is empty.
    pub(crate) fn set_pair(&mut self, pair: &str) {
        let (key, value) = split_pair(pair);
        self.set(key, value);
    }

    /// Sets `key`, over whatever it was.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
    }

    /// Sets `key` if nobody has.
    pub(crate) fn set_default(&mut self, key: &str, value: impl Into<String>) {
        self.values.entry(key.to_owned()).or_insert_with(|| value.into());
    }

    /// What `key` was set to, if it was.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The checked value of `key`: what was set, else Kafka's default.
    pub(crate) fn value(&self, key: &str) -> Result<Value, ConfigError> {
        match (table(self.scope).get(key), self.get(key)) {
            (Some(def), Some(text)) => def.parse(text),
            (Some(def), None) => Ok(def.default_value()),
            // A key of this program's own that no table has would be a mistake here; nothing is the safe answer.
            (None, _) => Ok(Value::Null),
        }
    }

    /// A number.
    pub(crate) fn number(&self, key: &str) -> Result<i64, ConfigError> {
        Ok(match self.value(key)? {
            Value::Number(number) => number,
            _ => 0,
        })
    }

    /// A number of bytes, records or the like; negative ones count as 0.
    pub(crate) fn size(&self, key: &str) -> Result<usize, ConfigError> {
        Ok(usize::try_from(self.number(key)?.max(0)).unwrap_or(usize::MAX))
    }

    /// A number of milliseconds; negative ones count as 0.
    pub(crate) fn millis(&self, key: &str) -> Result<Duration, ConfigError> {
        Ok(Duration::from_millis(u64::try_from(self.number(key)?).unwrap_or(0)))
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        Ok(self.value(key)? == Value::Boolean(true))
    }

    /// A text; empty if there is none.
    pub(crate) fn text(&self, key: &str) -> Result<String, ConfigError> {
        Ok(match self.value(key)? {
            Value::Text(text) => text,
            Value::List(list) => list.join(","),
            Value::Null => String::new(),
            other => other.to_string(),
        })
    }

    /// Says on stderr which settings do nothing.
    pub(crate) fn warn(&self, out: &mut Output) -> anyhow::Result<()> {
        for key in self.values.keys().filter(|key| table(self.scope).get(key).is_none()) {
            match gone(self.scope, key) {
                Some(advice) => out.note(format_args!("{key} is ignored: {advice}"))?,
                None => match table(self.scope).nearest(key) {
                    Some(near) => out.note(format_args!("{key} is not a known setting; did you mean {near}?"))?,
                    None => out.note(format_args!("{key} is not a known setting; it is ignored"))?,
                },
            }
        }
        Ok(())
    }

    /// What all clients have in common.
    pub(crate) fn client_options(&self, servers: Vec<Address>) -> anyhow::Result<ClientOptions> {
        let protocol = self.text("security.protocol")?;
        if protocol != "PLAINTEXT" {
            return Err(Hinted::error(
                format!("security.protocol={protocol} is not supported yet"),
                "use a PLAINTEXT listener of the broker",
            ));
        }
        let defaults = ClientOptions::for_servers(servers);
        Ok(ClientOptions {
            client_id: self.text("client.id")?,
            client_rack: if self.scope == Scope::Consumer { self.text("client.rack")? } else { String::new() },
            request_timeout: self.millis("request.timeout.ms")?,
            api_timeout: match self.scope {
                Scope::Producer => self.millis("max.block.ms")?,
                _ => self.millis("default.api.timeout.ms")?,
            },
            retry_backoff: self.millis("retry.backoff.ms")?,
            retry_backoff_max: self.millis("retry.backoff.max.ms")?,
            reconnect_backoff: self.millis("reconnect.backoff.ms")?,
            reconnect_backoff_max: self.millis("reconnect.backoff.max.ms")?,
            connection_setup_timeout: self.millis("socket.connection.setup.timeout.ms")?,
            connections_max_idle: self.millis("connections.max.idle.ms")?,
            metadata_max_age: self.millis("metadata.max.age.ms")?,
            ..defaults
        })
    }
}

/// Reads a properties file; of a key that stands in it twice, the last value counts.
pub(crate) fn read_properties(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let bytes = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let entries = properties::parse(&bytes).with_context(|| format!("could not read {}", path.display()))?;
    Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

/// Splits `key=value` at the first `=`.
pub(crate) fn split_pair(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<Address> {
        vec!["localhost:9092".parse().unwrap()]
    }

    #[test]
    fn later_settings_win() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client.properties");
        std::fs::write(&file, "client.id=file\nrequest.timeout.ms=5000\n").unwrap();
        let mut settings = ClientSettings::new(Scope::Admin);
        settings.read_file(&file).unwrap();
        settings.set_pair("client.id=property");
        settings.set_default("client.id", "default");
        let options = settings.client_options(servers()).unwrap();
        assert_eq!(options.client_id, "property");
        assert_eq!(options.request_timeout, Duration::from_secs(5));
        assert_eq!(options.api_timeout, Duration::from_secs(60));
    }

    #[test]
    fn values_are_checked_as_kafka_checks_them() {
        let mut settings = ClientSettings::new(Scope::Producer);
        settings.set("acks", "7");
        assert_eq!(
            settings.text("acks").unwrap_err().to_string(),
            "Invalid value 7 for configuration acks: String must be one of: all, -1, 0, 1"
        );
        settings.set("batch.size", "abc");
        assert!(settings.size("batch.size").is_err());
    }

    #[test]
    fn what_is_not_served_is_refused() {
        let mut settings = ClientSettings::new(Scope::Admin);
        settings.set("security.protocol", "SSL");
        assert!(settings.client_options(servers()).unwrap_err().to_string().contains("not supported yet"));
    }

    #[test]
    fn every_scope_has_what_clients_need() {
        for scope in [Scope::Admin, Scope::Producer, Scope::Consumer] {
            let options = ClientSettings::new(scope).client_options(servers()).unwrap();
            assert_eq!(options.request_timeout, Duration::from_secs(30), "{scope:?}");
            assert_eq!(options.api_timeout, Duration::from_secs(60), "{scope:?}");
        }
    }
}
