//! Apache Kafka as one binary: a broker that speaks Kafka's wire protocol and keeps Kafka's file formats, and the
//! tools around it.
//!
//! The modules, in reading order (an arrow says "is used by"):
//!
//! ```text
//! types <- record <- log ----------\
//! types <- protocol <- net ---------+-- broker <- cli::server_start
//! config, metadata ----------------/
//! record, protocol, net, config <- client <- cli (all other tools)
//! ```
//!
//! `tests/tidy.rs` refuses an arrow that points another way.

pub mod types;

pub mod record;

pub mod protocol;

pub mod net;

pub mod log;

pub mod config;

pub mod metadata;

pub mod broker;

pub mod client;

pub mod telemetry;

pub mod cli;
