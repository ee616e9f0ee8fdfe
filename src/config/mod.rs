//! Kafka's configuration: strings in, checked typed values out.
//!
//! Every key, type, default and validator comes from one set of tables of Kafka's own definitions (`tables/`). Nothing
//! that a user sets is swallowed in silence: it is honoured, refused, or warned about.
//!
//! This module reads files and strings; it never acts on what they say.
//!
//! Start reading at [`ServerConfig::load`], [`TopicConfig::resolve`] and [`ClientProperties`].

mod alter;
mod client;
mod definitions;
mod describe;
mod endpoints;
mod error;
mod fields;
mod idle;
mod jaas;
mod layers;
mod listeners;
mod load;
pub mod properties;
mod rules;
mod server;
mod topic;
mod value;
#[cfg(test)]
mod vectors;

pub use alter::{
    AlterError, AlterOp, Alteration, BrokerTarget, alter_broker, alter_group, alter_topic,
    check_eligible_leader_replicas, new_topic_settings, replacing,
};
pub use client::{
    AcknowledgementMode, Acks, AcquireMode, AdminConfig, Assignor, Claim, Client, ClientProperties, CommonClientConfig,
    ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset, Partitioner, ProducerConfig, SaslCredentials,
    SaslMechanism, SecurityConfig, ShareConsumerConfig, TokenSource, UnsecuredToken,
};
pub use definitions::{ConfigDef, DefaultValue, Effect, Scope, Table, UpdateMode, dynamic_only, gone, table};
pub use describe::{
    ConfigEntry, ConfigSynonym, describe_broker, describe_broker_defaults, describe_client_metrics, describe_group,
    describe_new_topic, describe_topic,
};
pub use error::{ConfigError, Place, Warning, WarningKind};
pub use idle::{stored_warnings, warning_lines};
pub use layers::{ConfigSource, Layers, Settings};
pub use listeners::{HostPort, Listener, SecurityProtocol, Voter};
pub use server::{InternalTopic, ServerConfig};
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use value::{Kind, Password, Valid, Value, iso_duration};
