//! The server: listeners, the router, the API handlers, partitions and coordinators.
//!
//! Never uses `client`: errors and epochs must be seen as they are, not retried away.
