//! Settings of clients: files of `--command-config` and `key=value` options in, checked typed values out.
//!
//! A tool collects what the user gave in [`ClientProperties`], puts its own settings over it as Kafka's tools do, tells
//! of the warnings, and takes the typed form that its client needs.

mod admin;
mod common;
mod consumer;
mod producer;
mod security;
mod share;

use std::collections::BTreeMap;
use std::path::Path;

pub use admin::AdminConfig;
pub use common::CommonClientConfig;
pub use consumer::{Assignor, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset};
pub use producer::{Acks, Partitioner, ProducerConfig};
pub use security::{Claim, SaslCredentials, SaslMechanism, SecurityConfig, TokenSource, UnsecuredToken};
pub use share::{AcknowledgementMode, AcquireMode, ShareConsumerConfig};

use super::definitions::{Effect, Scope, gone, table};
use super::error::{ConfigError, Place, Warning, WarningKind};
use super::layers::{Settings, Values};
use super::load::read_file;
use super::value::Value;

/// What a user gave to one client, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientProperties {
    scope: Scope,
    settings: Settings,
    places: BTreeMap<String, Place>,
}

/// Which client the properties are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A producer.
    Producer,
    /// A consumer.
    Consumer,
    /// An admin client.
    Admin,
}

impl ClientProperties {
    /// No settings yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let scope = match client {
            Client::Producer => Scope::Producer,
            Client::Consumer => Scope::Consumer,
            Client::Admin => Scope::Admin,
        };
        Self { scope, settings: Settings::new(), places: BTreeMap::new() }
    }

    /// Adds the settings of a properties file; they count over those that are there.
    ///
    /// # Errors
    /// The file cannot be read or is not in the format.
    pub fn read(&mut self, path: &Path) -> Result<(), ConfigError> {
        for entry in read_file(path)? {
            self.put(&entry.key, &entry.value, Place::Line { file: path.to_owned(), line: entry.line });
        }
        Ok(())
    }

    /// Adds `key=value` of the command line, cut at the first `=`; without one the value is empty, as in Kafka's tools.
    pub fn add_option(&mut self, option: &str) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        self.put(key, value, Place::Option);
    }

    /// Sets what the program itself decides, over everything else.
    pub fn set(&mut self, key: &str, value: &str) {
        self.put(key, value, Place::Program);
    }

    /// Sets what the program prefers where the user said nothing.
    pub fn set_default(&mut self, key: &str, value: &str) {
        if !self.settings.contains_key(key) {
            self.set(key, value);
        }
    }

    /// What is set for `key`, as it was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// All that is set, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn put(&mut self, key: &str, value: &str, place: Place) {
        self.places.insert(key.to_owned(), place);
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// What the user set that does nothing: unknown keys and those that are not in effect yet.
    ///
    /// One file often serves several tools: keys of other clients are left alone.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.settings.iter().filter_map(|(key, text)| self.warning(key, text)).collect()
    }

    fn warning(&self, key: &str, text: &str) -> Option<Warning> {
        let place = self.places.get(key).cloned().unwrap_or(Place::Program);
        if place == Place::Program {
            return None;
        }
        let others = [Scope::Producer, Scope::Consumer, Scope::Admin];
        let kind = match table(self.scope).get(key) {
            None if others.iter().any(|scope| table(*scope).get(key).is_some()) => return None,
            None => match gone(self.scope, key) {
                Some(advice) => WarningKind::Gone { advice },
                None => WarningKind::Unknown { meant: table(self.scope).nearest(key) },
            },
            Some(def) => def.idle(&def.parse(text).ok()?)?,
        };
        Some(Warning { place, name: key.to_owned(), kind })
    }

    /// Whether somebody set `key`.
    fn is_set(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    /// The checked values; those that this program would act against are refused.
    fn values(&self) -> Result<Values, ConfigError> {
        let values = Values::read_table(self.scope, |key| self.get(key), |key| self.places.get(key))?;
        for def in table(self.scope).iter().filter(|def| def.effect == Effect::Refused && self.is_set(def.name)) {
            let value = values.get(def.name);
            let is_default = match (value, def.default_value()) {
                // Some of Kafka's names may be written in any case.
                (Value::Text(text), Value::Text(default)) => text.eq_ignore_ascii_case(&default),
                (value, default) => *value == default,
            };
            if !is_default {
                let error = ConfigError::unsupported(def.name, value, refusal(def.name));
                return Err(self.placed(error));
            }
        }
        Ok(values)
    }

    fn placed(&self, error: ConfigError) -> ConfigError {
        let place = error.key().and_then(|key| self.places.get(key)).cloned();
        error.at(place.as_ref())
    }
}

/// What to do instead of a setting that is refused.
fn refusal(key: &str) -> &'static str {
    match key {
        "transaction.two.phase.commit.enable" => "transactions of two phases are not there yet; set it to false",
        "ssl.engine.factory.class" | "sasl.client.callback.handler.class" | "sasl.login.class" => {
            "classes of Java can't be loaded here; leave it out"
        }
        "config.providers" => "values cannot be looked up elsewhere yet; write them into the file",
        _ => "leave it out",
    }
}

/// Declares a client's configuration: its fields, read from the keys that they are named after.
macro_rules! client_config {
    ($(#[$doc:meta])* $name:ident { $($(#[$head_doc:meta])* $head:ident: $head_type:ty,)* } $($field:ident: $type:ty,)*) => {
        $(#[$doc])*
        ///
        /// A field is Kafka's key with dots turned to underscores; times are `Duration`s although the names say their
        /// unit, and `None` means "no limit" or "not set".
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$head_doc])* pub $head: $head_type,)*
            $(
                #[doc = concat!("`", stringify!($field), "` (dots for underscores)")]
                pub $field: $type,
            )*
        }

        /// The keys that have a field.
        #[cfg(test)]
        pub(super) const KEYS: &[&str] = &[$(stringify!($head),)* $(stringify!($field),)*];

        impl $name {
            fn read($($head: $head_type,)* values: &$crate::config::layers::Values) -> Result<Self, $crate::config::ConfigError> {
                Ok(Self {
                    $($head,)*
                    $($field: values.read(&stringify!($field).replace('_', "."))?,)*
                })
            }
        }
    };
}
use client_config;

#[cfg(test)]
mod tests;
