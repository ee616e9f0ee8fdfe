//! `console-consumer`: a topic to stdout.

mod deserializer;
mod formatter;
mod internal_topics;
