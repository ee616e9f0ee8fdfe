//! What every tool shares: printing, exit codes, Kafka's way of reading options, questions, progress.
//!
//! Nothing here knows a single tool; nothing here prints except through [`Output`].

mod connect;
mod console;
pub(crate) mod coordinator_records;
mod exit;
pub(crate) mod java;
mod options;
mod output;
mod pipe;
mod progress;
mod prompt;
mod runtime;
mod signals;
mod usage;

pub(crate) use connect::{ConnectArgs, OldServerOptions, explained, explained_config, hint_for, warn};
pub(crate) use console::{RenamedOptions, properties_of};
pub(crate) use exit::{Exit, Hinted, chain_text, report_failure};
pub(crate) use options::{
    IgnoredWords, needs_value, takes_value, with_kafkas_option_rules, with_two_dashes, with_words_from_files,
};
pub(crate) use output::{Output, OutputArgs, StdoutClosed, Style};
pub(crate) use pipe::stdout_closed;
pub(crate) use progress::Progress;
pub(crate) use prompt::{NothingChosen, confirm, pick, pick_topic};
pub(crate) use runtime::{block_on, block_on_two_threads};
pub(crate) use signals::{Signal, Signals};
pub(crate) use usage::{Mistake, UsageError};

/// The broker that is meant when none is named.
pub(crate) const DEFAULT_SERVER: &str = "localhost:9092";
