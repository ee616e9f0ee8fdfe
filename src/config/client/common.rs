//! What producers, consumers and admin clients have in common.

use std::time::Duration;

use super::security::SecurityConfig;
use super::{ClientProperties, client_config};
use crate::config::error::ConfigError;
use crate::config::layers::Values;
use crate::config::listeners::HostPort;

client_config! {
    /// How any client reaches its cluster.
    CommonClientConfig {
        /// `bootstrap.servers`: brokers to ask for the others, in the user's order.
        bootstrap_servers: Vec<HostPort>,
        /// `reconnect.backoff.max.ms`; follows `reconnect.backoff.ms` where only that was set.
        reconnect_backoff_max_ms: Duration,
        /// `receive.buffer.bytes`; left to the system where nobody set it, which then fits it to the way.
        receive_buffer_bytes: Option<u32>,
        /// `send.buffer.bytes`; left to the system where nobody set it.
        send_buffer_bytes: Option<u32>,
        /// `security.protocol` and what goes with it.
        security: SecurityConfig,
    }
    client_id: String,
    connections_max_idle_ms: Option<Duration>,
    metadata_max_age_ms: Duration,
    reconnect_backoff_ms: Duration,
    request_timeout_ms: Duration,
    retry_backoff_max_ms: Duration,
    retry_backoff_ms: Duration,
    socket_connection_setup_timeout_max_ms: Duration,
    socket_connection_setup_timeout_ms: Duration,
}

impl CommonClientConfig {
    pub(super) fn resolve(properties: &ClientProperties, values: &Values) -> Result<Self, ConfigError> {
        let security = SecurityConfig::resolve(values)?;
        let servers = parse_servers("bootstrap.servers", &values.read::<Vec<String>>("bootstrap.servers")?)?;
        let backoff: Duration = values.read("reconnect.backoff.ms")?;
        let backoff_max: Duration = values.read("reconnect.backoff.max.ms")?;
        let follows = properties.is_set("reconnect.backoff.ms") && !properties.is_set("reconnect.backoff.max.ms");
        let buffer = |key: &str| match properties.is_set(key) {
            true => values.read::<Option<u32>>(key),
            false => Ok(None),
        };
        let (receive, send) = (buffer("receive.buffer.bytes")?, buffer("send.buffer.bytes")?);
        Self::read(servers, if follows { backoff } else { backoff_max }, receive, send, security, values)
    }
}

/// Reads `host:port` entries; empty ones are passed over.
pub(super) fn parse_servers(key: &str, list: &[String]) -> Result<Vec<HostPort>, ConfigError> {
    let mut servers = Vec::new();
    for text in list.iter().filter(|text| !text.is_empty()) {
        let server = HostPort::parse(text).filter(|server| !server.host.is_empty());
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        // A number that is too large for a port is told apart from what is no address at all.
        let is_port = is_number && HostPort::parse(&format!("{host}:0")).is_some();
        let what = if is_port { "port" } else { "url" };
        servers.push(server.ok_or_else(|| ConfigError::rule(key, format!("Invalid {what} in {key}: {text}")))?);
    }
    Ok(servers)
}
