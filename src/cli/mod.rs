//! The command-line tools, a file per tool, named as the tool.
//!
//! Tools talk to a broker over the wire alone; only `server_start` uses `broker`.
