//! The client on tokio: connections, metadata, producer, consumer and admin calls.
//!
//! Talks to any Kafka cluster; never reaches into `broker`.
