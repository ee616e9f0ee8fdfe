//! Kafka's configuration: strings in, checked typed values out.
//!
//! Every key, type, default and validator comes from one table of Kafka's own definitions.
