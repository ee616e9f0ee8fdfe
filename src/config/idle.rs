//! What is set and does nothing, as lines for a log or a terminal.

use super::alter::broker_definition;
use super::definitions::{Effect, Scope, table};
use super::error::{Place, Warning, WarningKind};
use super::layers::Settings;

/// What of the settings in a cluster's metadata does nothing on this broker, unknown and invalid ones included; invalid
/// ones of brokers are what [`super::ServerConfig::with_dynamic`] returns.
///
/// `changed` is whether they were set while the broker runs, or were there when it started.
#[must_use]
pub fn stored_warnings(scope: Scope, settings: &Settings, changed: bool) -> Vec<Warning> {
    let kind_of = |name: &str, text: &str| {
        let def = if scope == Scope::Broker { broker_definition(name) } else { table(scope).get(name) };
        let Some(def) = def else {
            return Some(WarningKind::Unknown { meant: table(scope).nearest(name) });
        };
        let value = match def.parse(text) {
            Ok(value) => value,
            Err(_) if scope == Scope::Broker => return None,
            Err(error) => return Some(WarningKind::Note(format!("it is ignored: {error}"))),
        };
        match def.effect {
            _ if scope == Scope::Broker && NEEDS_THE_FILE.contains(&def.name) => Some(WarningKind::NotYetInEffect),
            Effect::AtStart if changed => Some(WarningKind::Note("it counts from the next start on".to_owned())),
            Effect::Refused if value != def.default_value() => Some(WarningKind::NotYetInEffect),
            _ => def.idle(&value),
        }
    };
    let warning = |(name, text): (&String, &String)| {
        let kind = kind_of(name, text)?;
        Some(Warning { place: Place::RunTime, name: name.clone(), kind })
    };
    settings.iter().filter_map(warning).collect()
}

/// Broker keys that Kafka takes over at run time and that count here as `server.properties` has them.
pub(super) const NEEDS_THE_FILE: [&str; 2] = ["listeners", "listener.security.protocol.map"];

/// The warnings as lines: what says the same of several keys of one source is one line.
#[must_use]
pub fn warning_lines(warnings: &[Warning]) -> Vec<String> {
    let mut told = vec![false; warnings.len()];
    let mut lines = Vec::new();
    for (at, warning) in warnings.iter().enumerate() {
        if told.get(at) == Some(&true) {
            continue;
        }
        let same: Vec<(usize, &Warning)> = warnings
            .iter()
            .enumerate()
            .filter(|(_, other)| other.kind == warning.kind && source(&other.place) == source(&warning.place))
            .collect();
        let what = match warning.kind {
            WarningKind::NotYetInEffect => "not yet in effect",
            WarningKind::NoCounterpart => "without effect, there is nothing here to tune",
            _ => "",
        };
        if same.len() < 2 || what.is_empty() {
            lines.push(warning.to_string());
            continue;
        }
        let names: Vec<String> = same.iter().map(|(_, one)| name_and_line(one)).collect();
        let source = match warning.place {
            Place::RunTime => String::new(),
            _ => format!("{}: ", source(&warning.place)),
        };
        lines.push(format!("{source}{what}: {}", names.join(", ")));
        for (index, _) in same {
            if let Some(told) = told.get_mut(index) {
                *told = true;
            }
        }
    }
    lines
}

/// The file, or whatever else the setting comes from.
fn source(place: &Place) -> String {
    match place {
        Place::Line { file, .. } => file.display().to_string(),
        place => place.to_string(),
    }
}

fn name_and_line(warning: &Warning) -> String {
    match warning.place {
        Place::Line { line, .. } => format!("{} (line {line})", warning.name),
        _ => warning.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scope: Scope, settings: &[(&str, &str)], changed: bool) -> Vec<String> {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        warning_lines(&stored_warnings(scope, &settings, changed))
    }

    #[test]
    fn idle_settings_of_topics_are_told() {
        let settings = [
            ("cleanup.policy", "compact,delete"),
            ("local.retention.bytes", "-2"),
            ("local.retention.ms", "5"),
            ("retention.bytes", "x"),
            ("retention.ms", "5"),
            ("retention.mss", "5"),
            ("unclean.leader.election.enable", "true"),
        ];
        assert_eq!(
            texts(Scope::Topic, &settings, true),
            [
                "not yet in effect: local.retention.ms, unclean.leader.election.enable",
                "retention.bytes: it is ignored: Invalid value x for configuration retention.bytes: \
                 Not a number of type LONG",
                "retention.mss is not a known setting; it is ignored (did you mean retention.ms?)",
            ]
        );
        assert_eq!(texts(Scope::Topic, &[("cleanup.policy", "delete")], true), [""; 0]);
    }

    #[test]
    fn brokers_tell_what_needs_a_restart() {
        let settings = [("listeners", "PLAINTEXT://:1"), ("max.connections", "7"), ("num.io.threads", "9")];
        let threads = "num.io.threads has no effect: there is nothing here that it could tune";
        let listeners = "listeners is not yet in effect";
        assert_eq!(
            texts(Scope::Broker, &settings, true),
            [listeners, "max.connections: it counts from the next start on", threads]
        );
        assert_eq!(texts(Scope::Broker, &settings, false), [listeners, threads]);
    }

    #[test]
    fn settings_of_groups_and_subscriptions_are_told() {
        assert_eq!(
            texts(Scope::Group, &[("streams.session.timeout", "50000")], true),
            [
                "streams.session.timeout is not a known setting; it is ignored (did you mean streams.session.timeout.ms?)"
            ]
        );
        assert_eq!(texts(Scope::ClientMetrics, &[("interval.ms", "500")], true), ["interval.ms is not yet in effect"]);
    }
}
