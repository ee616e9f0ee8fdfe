//! One framed stream, for both ends of a connection.
//!
//! Never interprets a message beyond its size.
