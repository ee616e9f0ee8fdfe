//! What every tool shares: printing, exit codes, Kafka's way of reading options and of telling errors, questions,
//! progress.
//!
//! Nothing here knows a single tool; nothing here prints except through [`Output`].

pub(crate) mod argparse;
mod broker_or_controller;
mod charset;
mod columns;
mod connect;
mod console;
mod consumer_perf;
pub(crate) mod coordinator_records;
mod data_type;
mod date_format;
pub(crate) mod events;
mod exit;
pub(crate) mod figures;
pub(crate) mod groups;
mod hints;
mod internal_topics;
pub(crate) mod java;
mod java_error;
pub(crate) mod java_json;
mod metrics;
mod moment;
mod nearest;
mod offset_deletion;
mod options;
mod output;
mod pipe;
mod plan;
mod produce_exception;
mod profile;
mod progress;
mod prompt;
mod range_reader;
mod reach;
pub(crate) mod remote_log_records;
pub(crate) mod reset;
mod runtime;
mod salt;
mod signals;
mod subcommands;
mod throttle;
mod topic_filter;
mod transfer;
mod uncaught;
mod usage;
mod watch;

pub(crate) use argparse::Argparse;
pub(crate) use broker_or_controller::BrokerOrControllerArgs;
pub(crate) use charset::Charset;
pub(crate) use columns::{Column, in_columns, or_dash, with_header};
pub(crate) use connect::{ConnectArgs, OldServerOptions, Target, explained_config, quiet_admin_options, warn};
pub(crate) use console::{RenamedOptions, is_uuid, properties_of, unescaped};
pub(crate) use consumer_perf::{ConsumerPerfArgs, ConsumerPerfLimits};
pub(crate) use data_type::{DataType, Part, Role, UnknownEncoding};
pub(crate) use date_format::DateFormat;
pub(crate) use exit::{Exit, Hinted, chain_text, report_failure};
pub(crate) use hints::{authentication_exception, explained, hint_for, hint_for_code, hint_for_produce};
pub(crate) use internal_topics::is_internal_topic;
pub(crate) use java_error::JavaError;
pub(crate) use metrics::Metrics;
pub(crate) use moment::{MOMENTS, moment_text, parse_moment};
pub(crate) use nearest::{did_you_mean, nearest};
pub(crate) use offset_deletion::OffsetDeletion;
pub(crate) use options::{
    IgnoredWords, needs_value, takes_value, with_kafkas_option_rules, with_two_dashes, with_words_from_files,
};
pub(crate) use output::{
    AlwaysJsonArgs, Output, OutputArgs, OwnOutputArgs, RecordOutputArgs, StdoutClosed, Style, Tint,
};
pub(crate) use pipe::stdout_closed;
pub(crate) use plan::print_plan;
pub(crate) use produce_exception::produce_exception;
pub(crate) use profile::{Profiles, write_private};
pub(crate) use progress::{Progress, with_thousands};
pub(crate) use prompt::{Declined, Interrupted, confirm_unless, pick, pick_group, pick_topic, remark_if_unknown};
pub(crate) use range_reader::{Bounds, RangeReader, Stretch, bounds, size_of_record};
pub(crate) use reach::{SILENCE, remark_if_unreachable, telling_of_silence};
pub(crate) use runtime::{block_on, block_on_two_threads, block_on_within};
pub(crate) use salt::random_salt;
pub(crate) use signals::{Signal, Signals, at_first_signal};
pub(crate) use subcommands::{CommandWords, number, required, tab_table};
pub(crate) use throttle::Throttle;
pub(crate) use topic_filter::TopicFilter;
pub(crate) use transfer::{IsolationArg, Outgoing, PartitionsArg, Transfer, TransferOutcome, partitions_of};
pub(crate) use uncaught::Uncaught;
pub(crate) use usage::{Mistake, UsageError};
pub(crate) use watch::WatchArgs;

/// The broker that is meant when none is named.
pub(crate) const DEFAULT_SERVER: &str = "localhost:9092";
