//! Files of settings, and what to make of each one before they count: fill in, warn, refuse.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::definitions::{Effect, Scope, gone, table};
use super::error::{ConfigError, Place, Warning, WarningKind};
use super::layers::Layers;
use super::properties;
use super::value::Value;

/// Larger files are not settings. Kafka's own `server.properties` has 6 kB.
const MAX_FILE_BYTES: u64 = 4 << 20;

pub(super) fn read_file(path: &Path) -> Result<Vec<properties::Entry>, ConfigError> {
    let failed = |cause| ConfigError::Read { path: path.to_owned(), cause };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned(), size });
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    properties::parse(&bytes).map_err(|error| ConfigError::syntax(path, error))
}

/// Puts in what a user who gives no `process.roles` gets.
pub(super) fn fill_in(layers: &mut Layers) -> Result<(), ConfigError> {
    if layers.file.contains_key("process.roles") {
        return Ok(());
    }
    let mut put = |key: &str, value: &str| {
        if !layers.file.contains_key(key) {
            layers.file.insert(key.to_owned(), value.to_owned());
            layers.places.insert(key.to_owned(), Place::Program);
        }
    };
    put("process.roles", "broker,controller");
    put("listeners", "PLAINTEXT://localhost:9092");
    put("offsets.topic.replication.factor", "1");
    put("transaction.state.log.replication.factor", "1");
    put("transaction.state.log.min.isr", "1");
    put("share.coordinator.state.topic.replication.factor", "1");
    put("share.coordinator.state.topic.min.isr", "1");
    if !layers.file.contains_key("broker.id") && !layers.file.contains_key("node.id") {
        layers.file.insert("node.id".to_owned(), "1".to_owned());
    }
    if !layers.file.contains_key("log.dirs") && !layers.file.contains_key("log.dir") {
        let directory = data_directory(|name| std::env::var_os(name)).ok_or(ConfigError::NoDataDirectory)?;
        layers.file.insert("log.dirs".to_owned(), directory.to_string_lossy().into_owned());
    }
    Ok(())
}

/// Either name of the node's id stands for the other, as in Kafka.
pub(super) fn mirror_ids(layers: &mut Layers) {
    for (from, to) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
        if let Some(id) = layers.file.get(from).cloned() {
            layers.file.entry(to.to_owned()).or_insert(id);
            if let Some(place) = layers.places.get(from).cloned() {
                layers.places.entry(to.to_owned()).or_insert(place);
            }
        }
    }
}

/// `$XDG_DATA_HOME/kafka-rs`, else `~/.local/share/kafka-rs`; relative paths do not count (XDG Base Directory).
pub(super) fn data_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let from = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")))?;
    Some(base.join("kafka-rs"))
}

/// Looks at what was set: refuses what would be acted against, and warns of what does nothing.
pub(super) fn review(layers: &Layers) -> Result<Vec<Warning>, ConfigError> {
    let mut warnings = Vec::new();
    for (key, text) in &layers.file {
        let place = layers.place(key).cloned().unwrap_or(Place::Program);
        if place == Place::Program {
            continue; // Filled in by this program: nobody wonders about it.
        }
        let mut warn = |kind| warnings.push(Warning { place: place.clone(), name: key.clone(), kind });
        let Some(def) = table(Scope::Broker).get(key) else {
            match gone(Scope::Broker, key) {
                // Settings of one listener, which are all about TLS, SASL and quotas.
                _ if key.starts_with("listener.name.") => warn(WarningKind::NotYetInEffect),
                Some(_) if key == "zookeeper.connect" => {
                    let message = format!(
                        "{key}={text}: there is no ZooKeeper to connect to since Kafka 4.0; remove the line, a broker \
                         is its own controller"
                    );
                    return Err(ConfigError::rule(key, message).at(Some(&place)));
                }
                Some(advice) => warn(WarningKind::Gone { advice }),
                None => warn(WarningKind::Unknown { meant: table(Scope::Broker).nearest(key) }),
            }
            continue;
        };
        let value = def.parse(text).map_err(|error| error.at(Some(&place)))?;
        if let (Value::List(list), Ok(Value::List(written))) = (&value, def.kind.parse(key, text))
            && list.len() < written.len()
        {
            warn(WarningKind::Note("values that are repeated count once".to_owned()));
        }
        if def.effect == Effect::Refused && value != def.default_value() {
            return Err(ConfigError::unsupported(key, value, refusal(key)).at(Some(&place)));
        }
        if let Some(kind) = def.idle(&value) {
            warn(kind);
        }
    }
    Ok(warnings)
}

/// What to do instead of a setting that is refused.
fn refusal(key: &str) -> &'static str {
    match key {
        "authorizer.class.name" => {
            "there is no authorization yet; remove it, and let only trusted machines reach the listeners"
        }
        "remote.log.storage.system.enable" => "there is no tiered storage yet; set it to false",
        "config.providers" => "values cannot be looked up elsewhere yet; write them into the file",
        "alter.config.policy.class.name" | "create.topic.policy.class.name" => {
            "Java classes cannot be loaded and nothing else enforces a policy yet; remove it"
        }
        "principal.builder.class" | "client.quota.callback.class" => "Java classes cannot be loaded; remove it",
        "delegation.token.secret.key" => "there are no delegation tokens yet; remove it",
        "transaction.two.phase.commit.enable" => "two-phase commit is not there yet; set it to false",
        _ => "remove it",
    }
}
