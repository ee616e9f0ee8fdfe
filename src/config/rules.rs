//! What settings must be to each other, and what cannot be done yet.
//!
//! The texts are Kafka's (without the `requirement failed: ` that Scala puts before some): people search for them.

use super::error::ConfigError;
use super::fields::FromValue;
use super::layers::Values;

use super::value::Value;

/// Checks Kafka's rules between keys that are not about listeners.
pub(super) fn check(values: &Values) -> Result<(), ConfigError> {
    let number = |key: &str| read::<i64>(values, key);
    let bounded = |ok: bool, key: &'static str, message: &str| {
        if ok { Ok(()) } else { Err(ConfigError::rule(key, message)) }
    };

    // The finest unit that is set decides; zero of it would delete everything at once.
    let retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    let zero = retention.into_iter().find(|key| *values.get(key) != Value::Null).filter(|key| number(key) == 0);
    if let Some(key) = zero {
        let message = "log.retention.ms must be unlimited (-1) or, greater than or equal to 1";
        return Err(ConfigError::rule(key, message));
    }
    let roll = read_or(values, "log.roll.ms", 1);
    bounded(roll >= 1, "log.roll.ms", "log.roll.ms must be greater than or equal to 1")?;
    let jitter = read_or(values, "log.roll.jitter.ms", 0);
    bounded(jitter >= 0, "log.roll.jitter.ms", "log.roll.jitter.ms must be greater than or equal to 0")?;
    bounded(
        number("log.cleaner.dedupe.buffer.size") / number("log.cleaner.threads").max(1) > 1024 * 1024,
        "log.cleaner.dedupe.buffer.size",
        "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
    )?;
    bounded(
        number("replica.fetch.wait.max.ms") <= number("replica.socket.timeout.ms"),
        "replica.socket.timeout.ms",
        "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts",
    )?;
    bounded(
        number("replica.fetch.wait.max.ms") <= number("replica.lag.time.max.ms"),
        "replica.fetch.wait.max.ms",
        "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR",
    )?;
    for key in ["offsets.topic.compression.codec", "share.coordinator.state.topic.compression.codec"] {
        let codec = number(key);
        if !(0..=4).contains(&codec) {
            return Err(ConfigError::rule(key, format!("Unknown compression type id: {codec}")));
        }
    }
    let queued = number("queued.max.request.bytes");
    bounded(
        queued <= 0 || queued >= number("socket.request.max.bytes"),
        "queued.max.request.bytes",
        "queued.max.request.bytes must be larger or equal to socket.request.max.bytes",
    )?;
    let no_overrides = read::<String>(values, "max.connections.per.ip.overrides").is_empty();
    bounded(
        number("max.connections.per.ip") > 0 || !no_overrides,
        "max.connections.per.ip",
        "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
    )?;
    let (idle, delay) = (number("connections.max.idle.ms"), number("connection.failed.authentication.delay.ms"));
    if idle >= 0 && delay >= idle {
        return Err(ConfigError::rule(
            "connections.max.idle.ms",
            format!(
                "connection.failed.authentication.delay.ms={delay} should always be less than \
                 connections.max.idle.ms={idle} to prevent failed authentication responses from timing out"
            ),
        ));
    }
    check_groups(values)
}

fn check_groups(values: &Values) -> Result<(), ConfigError> {
    let protocols: Vec<String> = read(values, "group.coordinator.rebalance.protocols");
    if !protocols.iter().any(|one| one == "classic") {
        let message = "Disabling the 'classic' protocol is not supported.";
        return Err(ConfigError::rule("group.coordinator.rebalance.protocols", message));
    }
    for kind in ["consumer", "share", "streams"] {
        let key = |name: &str| format!("group.{kind}.{name}");
        for name in ["heartbeat.interval.ms", "session.timeout.ms", "assignment.interval.ms"] {
            let (least, most, used) = (key(&format!("min.{name}")), key(&format!("max.{name}")), key(name));
            at_least(values, &most, &least)?;
            at_least(values, &used, &least)?;
            at_most(values, &used, &most)?;
        }
        let (heartbeat, session) = (key("heartbeat.interval.ms"), key("session.timeout.ms"));
        if read::<i64>(values, &heartbeat) >= read(values, &session) {
            return Err(ConfigError::rule(&heartbeat, format!("{heartbeat} must be less than {session}")));
        }
    }
    at_least(values, "group.share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms")?;
    at_least(values, "group.share.max.record.lock.duration.ms", "group.share.record.lock.duration.ms")?;
    at_least(values, "group.share.max.partition.max.record.locks", "group.share.partition.max.record.locks")?;
    at_least(values, "group.share.partition.max.record.locks", "group.share.min.partition.max.record.locks")?;
    at_least(values, "group.share.max.delivery.count.limit", "group.share.delivery.count.limit")?;
    at_least(values, "group.share.delivery.count.limit", "group.share.min.delivery.count.limit")?;
    at_least(values, "group.share.max.share.sessions", "group.share.max.size")?;
    at_most(values, "group.streams.num.standby.replicas", "group.streams.max.standby.replicas")?;
    for (key, known) in
        [("group.consumer.assignors", &["uniform", "range"][..]), ("group.share.assignors", &["simple"])]
    {
        for name in read::<Vec<String>>(values, key) {
            let is_known = known.iter().any(|one| *one == name);
            if !is_known && name.contains('.') {
                return Err(ConfigError::unsupported(
                    key,
                    &name,
                    format!("use {}; Java classes cannot be loaded", known.join(" or ")),
                ));
            }
            if !is_known {
                return Err(ConfigError::rule(key, format!("Class {name} cannot be found")));
            }
        }
    }
    Ok(())
}

fn at_least(values: &Values, larger: &str, smaller: &str) -> Result<(), ConfigError> {
    if read::<i64>(values, larger) >= read(values, smaller) {
        return Ok(());
    }
    Err(ConfigError::rule(larger, format!("{larger} must be greater than or equal to {smaller}")))
}

fn at_most(values: &Values, smaller: &str, larger: &str) -> Result<(), ConfigError> {
    if read::<i64>(values, smaller) <= read(values, larger) {
        return Ok(());
    }
    Err(ConfigError::rule(smaller, format!("{smaller} must be less than or equal to {larger}")))
}

fn read<T: FromValue + Default>(values: &Values, key: &str) -> T {
    T::from_value(key, values.get(key)).unwrap_or_default()
}

fn read_or(values: &Values, key: &str, otherwise: i64) -> i64 {
    i64::from_value(key, values.get(key)).unwrap_or(otherwise)
}
