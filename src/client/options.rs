//! What all clients have in common: how to reach the cluster, and how patient to be.

use std::time::Duration;

use super::{Address, Security};
use crate::config::{AdminConfig, CommonClientConfig, HostPort};

/// How a client reaches its cluster. The defaults are Kafka's; each field says its key.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `bootstrap.servers`: brokers to ask for the others, tried in this order.
    pub bootstrap_servers: Vec<Address>,
    /// How connections are protected; `None`: not at all.
    pub security: Option<Security>,
    /// Whether the bootstrap servers are controllers (`bootstrap.controllers`): those are asked for each other then, not for
    /// brokers.
    pub are_controllers: bool,
    /// `client.id`
    pub client_id: String,
    /// `client.rack`: brokers in it are preferred where they may serve.
    pub client_rack: String,
    /// `request.timeout.ms`: for one request at one broker.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: for a call with all its attempts.
    pub api_timeout: Duration,
    /// `retry.backoff.ms`
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms`
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`
    pub reconnect_backoff_max: Duration,
    /// `socket.connection.setup.timeout.ms`: until a broker has taken the connection and said what it speaks.
    pub connection_setup_timeout: Duration,
    /// `socket.connection.setup.timeout.max.ms`: that time doubles with each failure in a row, up to this.
    pub connection_setup_timeout_max: Duration,
    /// `receive.buffer.bytes` of the sockets; `None`: the system's choice.
    pub receive_buffer_bytes: Option<u32>,
    /// `send.buffer.bytes` of the sockets; `None`: the system's choice.
    pub send_buffer_bytes: Option<u32>,
    /// `connections.max.idle.ms`: unused connections are closed after this; `None`: never.
    pub connections_max_idle: Option<Duration>,
    /// `metadata.max.age.ms`: leaders are looked up anew at least this often.
    pub metadata_max_age: Duration,
    /// How long to look for a first broker when none takes a connection. Not a key of Kafka's, whose tools wait for
    /// `default.api.timeout.ms`, a minute: a mistyped address should be told within seconds.
    pub bootstrap_patience: Duration,
    /// Told of a broker that has said nothing for [`SILENCE`] since a connection to it was begun. Not a key of Kafka's: people
    /// want to know what they are waiting for.
    pub on_silence: Option<fn(&Address)>,
    /// Largest response that is accepted. Not a key of Kafka's: it keeps a peer that is no broker from being believed.
    pub max_response_bytes: usize,
}

/// How long a broker may take to be ready for requests before somebody is told.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Far above any answer but a large fetch, and below what the first bytes of a TLS alert or of HTTP read as.
const MAX_RESPONSE_BYTES: usize = 256 << 20;

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            bootstrap_servers: Vec::new(),
            security: None,
            are_controllers: false,
            client_id: String::new(),
            client_rack: String::new(),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            connection_setup_timeout: Duration::from_secs(10),
            connection_setup_timeout_max: Duration::from_secs(30),
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            connections_max_idle: Some(Duration::from_secs(300)),
            metadata_max_age: Duration::from_secs(300),
            bootstrap_patience: Duration::from_secs(3),
            on_silence: None,
            max_response_bytes: MAX_RESPONSE_BYTES,
        }
    }
}

impl ClientOptions {
    /// Kafka's defaults for a cluster that has a broker at each of these addresses.
    #[must_use]
    pub fn for_servers(bootstrap_servers: Vec<Address>) -> Self {
        Self { bootstrap_servers, ..Self::default() }
    }
}

impl From<&HostPort> for Address {
    fn from(server: &HostPort) -> Self {
        Self::new(server.host.as_str(), server.port)
    }
}

impl From<&CommonClientConfig> for ClientOptions {
    fn from(config: &CommonClientConfig) -> Self {
        Self {
            bootstrap_servers: config.bootstrap_servers.iter().map(Address::from).collect(),
            security: Security::of(&config.security),
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout_ms,
            retry_backoff: config.retry_backoff_ms,
            retry_backoff_max: config.retry_backoff_max_ms,
            reconnect_backoff: config.reconnect_backoff_ms,
            reconnect_backoff_max: config.reconnect_backoff_max_ms,
            connection_setup_timeout: config.socket_connection_setup_timeout_ms,
            connection_setup_timeout_max: config.socket_connection_setup_timeout_max_ms,
            receive_buffer_bytes: config.receive_buffer_bytes,
            send_buffer_bytes: config.send_buffer_bytes,
            connections_max_idle: config.connections_max_idle_ms,
            metadata_max_age: config.metadata_max_age_ms,
            ..Self::default()
        }
    }
}

impl From<&AdminConfig> for ClientOptions {
    fn from(config: &AdminConfig) -> Self {
        let mut options = Self { api_timeout: config.default_api_timeout_ms, ..Self::from(&config.common) };
        options.bootstrap_servers.extend(config.bootstrap_controllers.iter().map(Address::from));
        options.are_controllers = !config.bootstrap_controllers.is_empty();
        options
    }
}
