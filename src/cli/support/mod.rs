//! What every tool shares: printing, exit codes, Kafka's way of reading options, questions, progress.
//!
//! Nothing here knows a single tool; nothing here prints except through [`Output`].

mod exit;
mod options;
mod output;
mod usage;

pub(crate) use exit::{Exit, Hinted, chain_text, report_failure};
pub(crate) use options::{IgnoredWords, needs_value, takes_value, with_kafkas_option_rules, with_two_dashes};
pub(crate) use output::{Output, StdoutClosed};
pub(crate) use usage::{Mistake, UsageError};

/// The broker that is meant when none is named.
pub(crate) const DEFAULT_SERVER: &str = "localhost:9092";
