//! The API handlers, a file per API family. Each head lists behaviour, versions and what is missing.
//!
//! A handler takes a request and gives a response; Kafka's errors are values in it. Never writes to a socket.

pub(super) mod api_versions;
