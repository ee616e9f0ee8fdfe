//! Cluster metadata: KRaft records, the image that they add up to, and its changes.
//!
//! Pure data: reads and writes no file and no socket.
