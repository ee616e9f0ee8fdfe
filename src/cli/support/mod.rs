//! What every tool shares: printing, exit codes, Kafka's way of reading options, questions, progress.
//!
//! Nothing here knows a single tool; nothing here prints except through [`Output`].

mod client_settings;
mod connect;
mod exit;
pub(crate) mod java;
mod options;
mod output;
mod prompt;
mod runtime;
mod usage;

pub(crate) use client_settings::{ClientSettings, read_properties, split_pair};
pub(crate) use connect::{ConnectArgs, OldServerOptions, explained, hint_for, parse_servers};

pub(crate) use exit::{Exit, Hinted, chain_text, report_failure};
pub(crate) use options::{IgnoredWords, needs_value, takes_value, with_kafkas_option_rules, with_two_dashes};
pub(crate) use output::{Output, OutputArgs, StdoutClosed, Style};
pub(crate) use prompt::{NothingChosen, confirm, pick};
pub(crate) use runtime::block_on;
pub(crate) use usage::{Mistake, UsageError};

/// The broker that is meant when none is named.
pub(crate) const DEFAULT_SERVER: &str = "localhost:9092";
