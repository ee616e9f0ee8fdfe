//! The options that `consumer-perf-test` and `share-consumer-perf-test` have in common, read when Kafka's tools read them:
//! after the header was printed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::date_format::DateFormat;
use super::{Exit, Hinted, OldServerOptions, Output, OutputArgs, Style, Uncaught, UsageError, chain_text, warn};
use crate::config::{Client, ClientProperties};

/// What is read, and how it is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ConsumerPerfArgs {
    /// How many records to read
    #[arg(long, value_name = "COUNT")]
    num_records: Option<String>,
    /// Old spelling of --num-records
    #[arg(long, value_name = "COUNT", hide = true)]
    messages: Option<String>,
    /// Give up when no record has come for this long [default: 10000]
    #[arg(long, value_name = "MS", num_args = 0..=1, default_missing_value = "10000")]
    timeout: Option<String>,
    /// Print a line for each interval
    #[arg(long)]
    pub(crate) show_detailed_stats: bool,
    /// Length of these intervals [default: 5000]
    #[arg(long, value_name = "MS")]
    reporting_interval: Option<String>,
    /// Form of times, a pattern of Java's SimpleDateFormat [default: yyyy-MM-dd HH:mm:ss:SSS]
    #[arg(long, value_name = "PATTERN")]
    date_format: Option<String>,
    /// Print no header
    #[arg(long)]
    pub(crate) hide_header: bool,
    /// Print figures of the consumer at the end
    #[arg(long)]
    pub(crate) print_metrics: bool,
    #[command(flatten)]
    output: OutputArgs,

    /// Bytes to ask for at once [default: 1048576]
    #[arg(long, value_name = "BYTES", help_heading = "Fetching")]
    fetch_size: Option<String>,
    /// Size of the socket's receive buffer [default: 2097152]
    #[arg(long, value_name = "BYTES", help_heading = "Fetching")]
    socket_buffer_size: Option<String>,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// Setting of the consumer
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Connection")]
    command_property: Vec<String>,
    /// File with settings of the consumer
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    /// Old spelling of --command-config
    #[arg(long = "consumer.config", value_name = "FILE", alias = "consumer-config", hide = true)]
    consumer_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
}

/// The numbers among the options.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerPerfLimits {
    pub(crate) records: u64,
    pub(crate) timeout: Duration,
    pub(crate) timeout_ms: i64,
    pub(crate) interval_ms: i64,
    pub(crate) dates: DateFormat,
}

impl ConsumerPerfArgs {
    /// Checks what goes together.
    pub(crate) fn check(&mut self, out: &mut Output) -> anyhow::Result<()> {
        self.output.apply(out);
        if self.messages.is_some() == self.num_records.is_some() {
            return Err(UsageError::because(
                "Exactly one of the following arguments is required: [messages], [num-records]",
            ));
        }
        if self.consumer_config.is_some() && self.command_config.is_some() {
            return Err(UsageError::conflict("consumer.config", "command-config"));
        }
        if self.messages.is_some() {
            out.note("Warning: --messages is deprecated. Use --num-records instead.")?;
        }
        if let Some(file) = self.consumer_config.take() {
            out.note("Warning: --consumer.config is deprecated. Use --command-config instead.")?;
            self.command_config = Some(file);
        }
        Ok(())
    }

    /// The settings of the consumer; `fetch_key` is what `--fetch-size` sets.
    pub(crate) fn properties(
        &self,
        group: &str,
        client_id: &str,
        fetch_key: &str,
        out: &mut Output,
    ) -> anyhow::Result<ClientProperties> {
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        let mut found = target.properties(Client::Consumer)?;
        if let Some(file) = &self.command_config {
            found.read(file)?;
        }
        self.command_property.iter().for_each(|pair| found.add_option(pair));
        found.set("bootstrap.servers", &target.servers);
        found.set("group.id", group);
        let buffer: i32 = number("socket-buffer-size", self.socket_buffer_size.as_deref(), 2 << 20)?;
        found.set("receive.buffer.bytes", &buffer.to_string());
        let fetch: i32 = number("fetch-size", self.fetch_size.as_deref(), 1 << 20)?;
        found.set(fetch_key, &fetch.to_string());
        found.set("check.crcs", "false");
        found.set_default("client.id", client_id);
        warn(&found.warnings(), out)?;
        Ok(found)
    }

    /// Reads the numbers.
    pub(crate) fn limits(&self) -> anyhow::Result<ConsumerPerfLimits> {
        let records: i64 = match &self.messages {
            Some(messages) => number("messages", Some(messages), 0)?,
            None => number("num-records", self.num_records.as_deref(), 0)?,
        };
        let timeout_ms: i64 = number("timeout", self.timeout.as_deref(), 10_000)?;
        let interval = self.reporting_interval.as_deref();
        let digits = interval.is_none_or(|text| !text.is_empty() && text.chars().all(|one| one.is_ascii_digit()));
        let interval_ms: i64 = if digits { number("reporting-interval", interval, 5000)? } else { 0 };
        if !digits {
            return Err(cannot_parse("reporting-interval", interval.unwrap_or_default()));
        }
        if interval_ms <= 0 {
            return Err(Uncaught::illegal_argument("Reporting interval must be greater than 0."));
        }
        Ok(ConsumerPerfLimits {
            records: u64::try_from(records).unwrap_or(0),
            timeout: Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)),
            timeout_ms,
            interval_ms,
            dates: DateFormat::new(self.date_format.as_deref().unwrap_or("yyyy-MM-dd HH:mm:ss:SSS"))?,
        })
    }

    /// Tells that it came to less than was asked for.
    pub(crate) fn tell_timeout(limits: &ConsumerPerfLimits, out: &mut Output) -> io::Result<()> {
        let text = format!(
            "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use the \
             --timeout option to increase the timeout.",
            limits.timeout_ms
        );
        if out.style() == Style::Kafka { out.line(text) } else { out.note(text) }
    }

    /// Kafka's tools print the message of an exception, and then the exception.
    pub(crate) fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            return super::report_failure(error, out);
        }
        out.note(chain_text(error))?;
        if let Some(hinted) = error.chain().find_map(|cause| cause.downcast_ref::<Hinted>()) {
            out.hint(hinted.hint())?;
        }
        Ok(Exit::Failure)
    }
}

/// The number of an option.
fn number<T: std::str::FromStr>(option: &str, text: Option<&str>, default: T) -> anyhow::Result<T> {
    match text {
        Some(text) => text.parse().map_err(|_| cannot_parse(option, text)),
        None => Ok(default),
    }
}

fn cannot_parse(option: &str, text: &str) -> anyhow::Error {
    Uncaught::illegal_argument(format!("Cannot parse argument '{text}' of option {option}"))
}
