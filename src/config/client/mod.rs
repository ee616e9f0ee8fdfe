//! Settings of clients: files of `--command-config` and `key=value` options in, checked typed values out.
//!
//! A tool collects what the user gave in [`ClientProperties`], puts its own settings over it as Kafka's tools do, tells
//! of the warnings, and takes the typed form that its client needs.

mod admin;
mod common;
mod consumer;
mod producer;

use std::collections::BTreeMap;
use std::path::Path;

pub use admin::AdminConfig;
pub use common::CommonClientConfig;
pub use consumer::{Assignor, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset};
pub use producer::{Acks, Partitioner, ProducerConfig};

use super::definitions::{Scope, gone, table};
use super::error::{ConfigError, Place, Warning, WarningKind};
use super::layers::{Settings, Values};
use super::load::read_file;

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
            Some(def) if def.parse(text).is_ok_and(|value| value == def.default_value()) => return None,
            Some(_) if self.is_in_effect(key) => return None,
            Some(_) if INERT.iter().any(|prefix| key.starts_with(prefix)) => WarningKind::NoCounterpart,
            Some(_) => WarningKind::NotYetInEffect,
        };
        Some(Warning { place, name: key.to_owned(), kind })
    }

    fn is_in_effect(&self, key: &str) -> bool {
        let own = match self.scope {
            Scope::Producer => producer::KEYS,
            Scope::Consumer => consumer::KEYS,
            _ => admin::KEYS,
        };
        own.iter().chain(common::KEYS).any(|field| field.replace('_', ".") == key)
            || matches!(key, "bootstrap.servers" | "security.protocol")
    }

    /// Whether somebody set `key`.
    fn is_set(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    fn values(&self) -> Result<Values, ConfigError> {
        Values::read_table(self.scope, |key| self.get(key), |key| self.places.get(key))
    }

    fn placed(&self, error: ConfigError) -> ConfigError {
        let place = error.key().and_then(|key| self.places.get(key)).cloned();
        error.at(place.as_ref())
    }
}

/// Beginnings of keys that tune what does not exist here: Java's classes and metrics.
const INERT: &[&str] = &["client.dns.lookup", "interceptor.classes", "key.", "metric", "security.providers", "value."];

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
