//! Tests of the parts together: random histories, and files that Apache Kafka wrote.

mod files;
mod history;
