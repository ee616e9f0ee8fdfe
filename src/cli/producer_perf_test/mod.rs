//! `producer-perf-test`: sends records as fast as it can, or at a rate, and tells how long they took. Kafka's
//! `kafka-producer-perf-test.sh`.
//!
//! `settings.rs` puts the options together as Kafka does, `payload.rs` makes what is sent, `sending.rs` sends it,
//! `stats.rs` counts what is acknowledged, `report.rs` tells of it.

mod payload;
mod report;
mod sending;
mod settings;
mod stats;

use std::io;
use std::path::PathBuf;

use super::Run;
use super::help::Example;
use super::support::{
    Argparse, Exit, OldServerOptions, Output, OutputArgs, Uncaught, UsageError, block_on_two_threads,
};

/// Measure how fast records can be written to a topic, and how long each takes
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
A latency is the time from handing a record to the producer to its acknowledgement. MB are 2^20 bytes of payload.")]
pub(super) struct ProducerPerfTest {
    /// Topic to write to
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// How many records to send
    #[arg(long, value_name = "COUNT")]
    num_records: Option<i64>,
    /// Records per second at most; -1: as fast as it goes [default at a terminal: -1]
    #[arg(long, value_name = "RATE")]
    throughput: Option<f64>,
    /// Records before the steady state, which is told of in a line of its own
    #[arg(long, value_name = "COUNT")]
    warmup_records: Option<i64>,
    /// How often to tell how far it is [default: 5000]
    #[arg(long, value_name = "MS")]
    reporting_interval: Option<i64>,
    /// Print figures of the producer at the end
    #[arg(long)]
    print_metrics: bool,
    #[command(flatten)]
    output: OutputArgs,

    /// Bytes of each record, random letters
    #[arg(long, value_name = "BYTES", help_heading = "Payload (one of these)")]
    record_size: Option<i32>,
    /// File with records, of which random ones are sent
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Payload (one of these)")]
    payload_file: Option<PathBuf>,
    /// Send the numbers from 0 on
    #[arg(long, help_heading = "Payload (one of these)")]
    payload_monotonic: bool,
    /// What is between two records in the file: a regular expression [default: a line end]
    #[arg(long, value_name = "REGEX", help_heading = "Payload (one of these)")]
    payload_delimiter: Option<String>,

    /// Send in transactions under this id
    #[arg(long, value_name = "ID", help_heading = "Transactions")]
    transactional_id: Option<String>,
    /// Send in transactions, each committed after this time [default with an id: 3000]
    #[arg(long, value_name = "MS", help_heading = "Transactions")]
    transaction_duration_ms: Option<i64>,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// Settings of the producer, such as acks=1
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., help_heading = "Connection")]
    command_property: Vec<String>,
    /// File with settings of the producer
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    /// Old spelling of --command-property
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., hide = true)]
    producer_props: Vec<String>,
    /// Old spelling of --command-config
    #[arg(long = "producer.config", value_name = "FILE", hide = true)]
    producer_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
}

/// The words of Kafka's parser.
const WORDS: Argparse = Argparse {
    program: "kafka-producer-perf-test",
    numbers: &[
        ("num-records", "Long"),
        ("throughput", "Double"),
        ("warmup-records", "Long"),
        ("reporting-interval", "Long"),
        ("record-size", "Integer"),
        ("transaction-duration-ms", "Long"),
    ],
};

impl Run for ProducerPerfTest {
    const EXAMPLES: &'static [Example] = &[(
        "Send records as fast as it goes",
        "kafka-rs producer-perf-test --topic t --num-records 100000 --record-size 100",
    )];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let limits = self.check(out)?;
        let payload = self.payload(&limits, out)?;
        let plan = self.plan(limits, out)?;
        block_on_two_threads(sending::run(plan, payload, out))
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        Uncaught::report(error, out)
    }
}
