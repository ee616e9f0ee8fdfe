//! The server: listeners, the router, the API handlers, partitions and coordinators.
//!
//! Never uses `client`: errors and epochs must be seen as they are, not retried away. What holds for every handler:
//! answers leave a connection in the order of its requests; one bad partition does not cost a request its others; no
//! lock is held across an await; whatever waits has a deadline and ends when the client is gone.
//!
//! Start reading at `server.rs` (what is built in which order), then `connection.rs`, `router.rs` and `api/`.

mod api;
mod cleaner;
mod connection;
mod context;
mod controller;
mod coordinator;
mod coordinators;
mod directories;
mod disks;
mod errors;
mod fetch_session;
mod flush_schedule;
mod flusher;
mod group_views;
mod groups;
mod idle_settings;
mod listener;
mod log_config;
mod maintenance;
mod metadata_cache;
mod moves;
mod partition;
mod producer_ids;
mod regex_lookups;
mod replicas;
mod router;
mod server;
mod share;
mod share_state;
mod topics;
mod transactions;
mod wait;

pub use server::{BrokerError, Endpoint, Server};

pub use crate::log::{OpenProgress, OpenedSoFar};
