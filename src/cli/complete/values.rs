//! What the values of an option are, known by its name: Kafka's tools call the same thing by the same name.

use clap::{Arg, ValueHint};

use super::line::{Line, tools};
use super::live::Live;
use super::{Candidates, Then};
use crate::cli::support::takes_value;
use crate::config::{ConfigDef, DefaultValue, Kind, Scope, UpdateMode, Valid, table};

/// What an option is given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Names(Live),
    Fixed(&'static [&'static str]),
    /// Keys of settings, of which there may be several with commas between them.
    Keys(Vec<Key>),
    /// Settings: `key=value`.
    Settings(Vec<Key>),
    /// Settings with commas between them.
    SettingList(Vec<Key>),
    Tools,
    Files,
    Directories,
    Nothing,
}

/// A key of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    name: &'static str,
    meaning: String,
    values: Vec<&'static str>,
}

const ENTITY_TYPES: &[&str] =
    &["topics", "brokers", "clients", "users", "ips", "groups", "client-metrics", "broker-loggers"];
/// The settings of users and clients, and those of users alone.
const QUOTAS: &[&str] = &["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
const CREDENTIALS: &[&str] = &["SCRAM-SHA-256", "SCRAM-SHA-512"];
const LEVELS: &[&str] = &["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// The values that begin with `current`, each with `prefix` before it.
pub(super) fn values_of(arg: &Arg, prefix: &str, current: &str, line: &Line<'_>) -> Candidates {
    let fixed = arg.get_possible_values();
    if !fixed.is_empty() && takes_value(arg) {
        let values = fixed.iter().filter(|value| !value.is_hide_set()).map(|value| {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            (value.get_name().to_owned(), help)
        });
        return beginning_with(prefix, current, values);
    }
    let plain = |name: &&str| ((*name).to_owned(), String::new());
    match kind_of(arg, line) {
        Values::Names(kind) => {
            let mut names = (line.ask)(kind, line.words);
            names.sort_unstable();
            beginning_with(prefix, current, names.into_iter().map(|name| (name, String::new())))
        }
        Values::Fixed(names) => beginning_with(prefix, current, names.iter().map(plain)),
        Values::Keys(keys) => {
            let (before, typed) = split_list(current);
            let keys = keys.into_iter().filter(|key| !before.split(',').any(|used| used == key.name));
            beginning_with(&format!("{prefix}{before}"), typed, keys.map(|key| (key.name.to_owned(), key.meaning)))
        }
        Values::Settings(keys) => settings(prefix, current, "", keys),
        Values::SettingList(keys) => {
            let (before, typed) = split_list(current);
            settings(&format!("{prefix}{before}"), typed, before, keys)
        }
        Values::Tools => tools(current),
        Values::Files => Candidates { values: Vec::new(), then: Then::Files },
        Values::Directories => Candidates { values: Vec::new(), then: Then::Directories },
        Values::Nothing => Candidates::default(),
    }
}

fn beginning_with(prefix: &str, current: &str, values: impl Iterator<Item = (String, String)>) -> Candidates {
    let values = values
        .filter(|(value, _)| value.starts_with(current))
        .map(|(value, meaning)| (format!("{prefix}{value}"), meaning))
        .collect();
    Candidates { values, then: Then::Done }
}

/// The keys, or the values of the key that is typed already.
fn settings(prefix: &str, current: &str, before: &str, keys: Vec<Key>) -> Candidates {
    if let Some((name, value)) = current.split_once('=') {
        let values = keys.into_iter().find(|key| key.name == name).map(|key| key.values).unwrap_or_default();
        let values = values.into_iter().map(|value| (value.to_owned(), String::new()));
        return beginning_with(&format!("{prefix}{name}="), value, values);
    }
    let is_used = |name: &str| before.split(',').any(|used| used.split('=').next() == Some(name));
    let keys = keys.into_iter().filter(|key| !is_used(key.name));
    beginning_with(prefix, current, keys.map(|key| (format!("{}=", key.name), key.meaning)))
}

/// What stands up to the last comma outside of brackets, and what after it.
fn split_list(text: &str) -> (&str, &str) {
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    text.split_at_checked(start).unwrap_or(("", text))
}

fn kind_of(arg: &Arg, line: &Line<'_>) -> Values {
    match arg.get_value_hint() {
        ValueHint::FilePath | ValueHint::AnyPath => return Values::Files,
        ValueHint::DirPath => return Values::Directories,
        _ => {}
    }
    let shown = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
    match shown {
        Some("FILE") => return Values::Files,
        Some("DIR") => return Values::Directories,
        _ => {}
    }
    match arg.get_long().unwrap_or(arg.get_id().as_str()) {
        // A topic or group to create has no name yet.
        "topic" if line.has("create") => Values::Nothing,
        "topic" | "topics" | "include" | "whitelist" | "input-topics" | "intermediate-topics" | "topics-include" => {
            Values::Names(Live::Topic)
        }
        "group" | "group-id" => Values::Names(groups(line)),
        "broker" | "broker-id" | "brokers" => Values::Names(Live::Broker),
        "broker-list" if !arg.is_hide_set() || line.tool == "log-dirs" => Values::Names(Live::Broker),
        "entity-type" => Values::Fixed(ENTITY_TYPES),
        "entity-name" => entity_names(line),
        "add-config" => Values::SettingList(entity_keys(line)),
        "delete-config" => Values::Keys(entity_keys(line)),
        "config" => Values::Settings(keys(Scope::Topic, |_| true)),
        "producer-property" | "producer-prop" | "producer-props" => Values::Settings(keys(Scope::Producer, |_| true)),
        "consumer-property" => Values::Settings(keys(Scope::Consumer, |_| true)),
        "command-property" => Values::Settings(keys(client_of(line.tool), |_| true)),
        "override" => Values::Settings(keys(Scope::Broker, |def| !def.internal)),
        "tool" => Values::Tools,
        _ => Values::Nothing,
    }
}

fn groups(line: &Line<'_>) -> Live {
    Live::Group(match line.tool {
        "consumer-groups" => &["consumer", "classic"],
        "share-groups" | "console-share-consumer" => &["share"],
        "streams-groups" => &["streams"],
        _ => &[],
    })
}

/// Whose settings a tool's `--command-property` are.
fn client_of(tool: &str) -> Scope {
    if tool.contains("producer") {
        Scope::Producer
    } else if tool.contains("consumer") && !tool.contains("groups") {
        Scope::Consumer
    } else {
        Scope::Admin
    }
}

/// What is configured: the value of `--entity-type`, or one of the short forms.
fn entity_type<'a>(line: &'a Line<'_>) -> Option<&'a str> {
    const SHORT_FORMS: &[(&str, &str)] = &[
        ("topic", "topics"),
        ("broker", "brokers"),
        ("broker-defaults", "brokers"),
        ("broker-logger", "broker-loggers"),
        ("group", "groups"),
        ("client-metrics", "client-metrics"),
        ("user", "users"),
        ("user-defaults", "users"),
        ("client", "clients"),
        ("client-defaults", "clients"),
        ("ip", "ips"),
        ("ip-defaults", "ips"),
    ];
    line.value_of(&["entity-type"])
        .or_else(|| SHORT_FORMS.iter().find(|(short, _)| line.has(short)).map(|(_, entity)| *entity))
        .or((line.tool == "topics").then_some("topics"))
}

fn entity_names(line: &Line<'_>) -> Values {
    match entity_type(line) {
        Some("topics") => Values::Names(Live::Topic),
        Some("brokers" | "broker-loggers") => Values::Names(Live::Broker),
        Some("groups") => Values::Names(Live::Group(&[])),
        _ => Values::Nothing,
    }
}

fn entity_keys(line: &Line<'_>) -> Vec<Key> {
    let named = |names: &[&'static str], values: &[&'static str]| {
        let key = |name: &&'static str| Key { name, meaning: String::new(), values: values.to_vec() };
        names.iter().map(key).collect()
    };
    match entity_type(line) {
        Some("topics") => keys(Scope::Topic, |_| true),
        // What can't change at run time is refused.
        Some("brokers") => keys(Scope::Broker, |def| def.update_mode != UpdateMode::ReadOnly),
        Some("groups") => keys(Scope::Group, |_| true),
        Some("client-metrics") => keys(Scope::ClientMetrics, |_| true),
        Some("clients") => named(QUOTAS, &[]),
        Some("users") => named(&[QUOTAS, CREDENTIALS].concat(), &[]),
        Some("ips") => named(&["connection_creation_rate"], &[]),
        Some("broker-loggers") => named(&["root"], LEVELS),
        _ => Vec::new(),
    }
}

fn keys(scope: Scope, wanted: impl Fn(&ConfigDef) -> bool) -> Vec<Key> {
    table(scope).iter().filter(|def| wanted(def)).map(key).collect()
}

fn key(def: &ConfigDef) -> Key {
    let values = match &def.valid {
        Valid::OneOf { values, .. } | Valid::List { values, .. } => values.clone(),
        _ if def.kind == Kind::Boolean => vec!["true", "false"],
        _ => Vec::new(),
    };
    let meaning = match def.default {
        DefaultValue::Text("") | DefaultValue::Null | DefaultValue::Required => String::new(),
        DefaultValue::Text(text) => format!("default {text}"),
    };
    Key { name: def.name, meaning, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes after `words` as the value of `option` in a tool that need not exist yet.
    fn complete(tool: &str, words: &str, option: &'static str, current: &str) -> Vec<String> {
        let ask = |kind: Live, _: &[String]| match kind {
            Live::Topic => vec!["orders".to_owned()],
            Live::Group(types) => vec![format!("groups of {}", types.join(" and "))],
            Live::Broker => vec!["1".to_owned(), "2".to_owned()],
        };
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let line = Line { tool, words: &words, ask: &ask };
        let arg = Arg::new(option).long(option).num_args(1);
        values_of(&arg, "", current, &line).values.into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn entities_are_of_the_type_on_the_line() {
        let names = |words| complete("configs", words, "entity-name", "");
        assert_eq!(names("--entity-type topics"), ["orders"]);
        assert_eq!(names("-entity-type=brokers"), ["1", "2"]);
        assert_eq!(names("--entity-type groups"), ["groups of "]);
        assert!(names("--entity-type users").is_empty());
        assert_eq!(complete("configs", "", "entity-type", "client"), ["clients", "client-metrics"]);
        assert_eq!(complete("configs", "--alter", "broker", ""), ["1", "2"]);
        assert_eq!(complete("share-groups", "", "group", ""), ["groups of share"]);
    }

    #[test]
    fn keys_are_of_the_type_on_the_line() {
        let keys = |words, current| complete("configs", words, "add-config", current);
        assert_eq!(keys("--entity-type topics", "retention"), ["retention.bytes=", "retention.ms="]);
        assert_eq!(keys("--topic t", "retention.m"), ["retention.ms="]);
        assert_eq!(keys("--entity-type users", "SCRAM"), ["SCRAM-SHA-256=", "SCRAM-SHA-512="]);
        assert_eq!(keys("--entity-type client-metrics", "int"), ["interval.ms="]);
        assert_eq!(keys("--broker-defaults", "log.retention.h"), [""; 0], "it can't change at run time");
        assert_eq!(keys("--broker-defaults", "log.retention.m"), ["log.retention.ms="]);
        assert!(keys("--alter", "retention").is_empty(), "nobody knows yet what is configured");
    }

    #[test]
    fn lists_go_on_after_a_comma() {
        let keys = |current| complete("configs", "--topic t", "add-config", current);
        assert_eq!(keys("retention.ms=1,retention"), ["retention.ms=1,retention.bytes="]);
        assert_eq!(
            keys("cleanup.policy=[compact,delete],retention.m"),
            ["cleanup.policy=[compact,delete],retention.ms="]
        );
        assert_eq!(keys("retention.ms=1,unclean.leader.election.enable=t").len(), 1);
        let deleted = complete("configs", "--topic t", "delete-config", "retention.ms,retention");
        assert_eq!(deleted, ["retention.ms,retention.bytes"]);
    }

    #[test]
    fn files_are_known_by_what_help_calls_the_value() {
        let line = Line { tool: "x", words: &[], ask: &|_, _| Vec::new() };
        let arg = Arg::new("plan").long("plan").num_args(1).value_name("FILE");
        assert_eq!(values_of(&arg, "", "", &line).then, Then::Files);
    }
}
