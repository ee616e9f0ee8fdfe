//! Record batches in Kafka's format v2: the bytes that disk, wire and client share.
//!
//! A checked view over bytes, a builder, a reader, the compression codecs and key hashing. Never does I/O and never
//! knows topics or requests.
