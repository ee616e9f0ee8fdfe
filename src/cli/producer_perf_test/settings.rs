//! The options of `producer-perf-test`: what goes together, in the order of Kafka's checks, and the producer's settings.

use std::path::Path;
use std::time::Duration;

use super::ProducerPerfTest;
use super::payload::{self, Payload};
use crate::cli::support::{Output, Style, Uncaught, UsageError, argparse, explained_config, warn};
use crate::client::ProducerOptions;
use crate::config::{Client, ClientProperties, ProducerConfig};
use crate::types::Uuid;

/// How long a transaction takes when only its id is given.
const TRANSACTION: Duration = Duration::from_secs(3);
const REPORTING_INTERVAL_MS: i64 = 5000;

/// How many records, how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) records: u64,
    pub(super) warmup: u64,
    pub(super) throughput: f64,
    pub(super) interval_ms: i64,
    /// Bytes of a record, where they are given.
    record_size: Option<usize>,
}

/// Everything that has to be known before the first request.
#[derive(Debug)]
pub(super) struct Plan {
    /// `None`: to be picked.
    pub(super) topic: Option<String>,
    pub(super) limits: Limits,
    pub(super) options: ProducerOptions,
    /// How long each transaction takes, if there are any.
    pub(super) transactions: Option<Duration>,
    pub(super) print_metrics: bool,
}

impl ProducerPerfTest {
    /// Checks what goes together.
    pub(super) fn check(&self, out: &Output) -> anyhow::Result<Limits> {
        let payloads = [
            ("record-size", self.record_size.is_some()),
            ("payload-file", self.payload_file.is_some()),
            ("payload-monotonic", self.payload_monotonic),
        ];
        let mut given = payloads.iter().filter(|(_, given)| *given);
        if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
            return Err(argparse::not_allowed_with(second, first));
        }
        // Order: that of Kafka's parser, which goes over a set.
        let throughput = match self.throughput {
            Some(throughput) => throughput,
            // Who types at a terminal need not say that there is no limit.
            None if out.is_for_people() => -1.0,
            None => return Err(argparse::required("throughput")),
        };
        let records = self.num_records.ok_or_else(|| argparse::required("num-records"))?;
        if self.topic.is_none() && !out.can_ask() {
            return Err(argparse::required("topic"));
        }
        let wrong = |message: &str| Err(UsageError::because(message));
        if payloads.iter().all(|(_, given)| !given) {
            return wrong("one of the arguments --record-size --payload-file --payload-monotonic is required");
        }
        let warmup = self.warmup_records.unwrap_or(0).max(0);
        let interval_ms = self.reporting_interval.unwrap_or(REPORTING_INTERVAL_MS);
        if records <= 0 {
            return wrong("--num-records should be greater than zero.");
        }
        if warmup >= records {
            return wrong(
                "The value for --warmup-records must be strictly fewer than the number of records in the test, \
                 --num-records.",
            );
        }
        if self.record_size.is_some_and(|size| size <= 0) {
            return wrong("--record-size should be greater than zero.");
        }
        if !self.command_property.is_empty() && !self.producer_props.is_empty() {
            return wrong("--command-property and --producer-props cannot be specified together.");
        }
        if self.command_config.is_some() && self.producer_config.is_some() {
            return wrong("--command-config and --producer.config cannot be specified together.");
        }
        if self.transaction_duration_ms.is_some_and(|duration| duration <= 0) {
            return wrong("--transaction-duration-ms should be greater than zero.");
        }
        if interval_ms <= 0 {
            return wrong("--reporting-interval should be greater than zero.");
        }
        Ok(Limits {
            records: records.unsigned_abs(),
            warmup: warmup.unsigned_abs(),
            throughput,
            interval_ms,
            record_size: self.record_size.and_then(|size| usize::try_from(size).ok()),
        })
    }

    /// What is to be sent.
    pub(super) fn payload(&self, limits: &Limits, out: &mut Output) -> anyhow::Result<Payload> {
        if let Some(file) = &self.payload_file {
            return listed(file, self.payload_delimiter.as_deref(), out);
        }
        Ok(match limits.record_size {
            Some(size) => Payload::random(size, limits.records),
            None => Payload::counting(),
        })
    }

    /// The settings of the producer, and what else is to be known.
    pub(super) fn plan(&mut self, limits: Limits, out: &mut Output) -> anyhow::Result<Plan> {
        let renamed = |old: &str, new: &str| {
            format!("Option --{old} has been deprecated and will be removed in a future version. Use --{new} instead.")
        };
        if !self.producer_props.is_empty() {
            out.note(renamed("producer-props", "command-property"))?;
            self.command_property = std::mem::take(&mut self.producer_props);
        }
        if let Some(file) = self.producer_config.take() {
            out.note(renamed("producer.config", "command-config"))?;
            self.command_config = Some(file);
        }
        let settings = |mut properties: ClientProperties| {
            if let Some(file) = &self.command_config {
                properties.read(file)?;
            }
            for pair in &self.command_property {
                let (key, value) = property(pair)?;
                properties.set(key, value);
            }
            anyhow::Ok(properties)
        };
        // They may name the brokers, and whether they do decides which profile counts.
        let told = settings(ClientProperties::new(Client::Producer))?;
        let target = self.old.target(self.bootstrap_server.as_deref().or(told.get("bootstrap.servers")), out)?;
        let mut properties = settings(target.properties(Client::Producer)?)?;
        properties.set_default("client.id", "perf-producer-client");
        properties.set("bootstrap.servers", &target.servers);
        let transactions = self.transactions(&mut properties);
        warn(&properties.warnings(), out)?;
        let config = ProducerConfig::new(&properties).map_err(explained_config)?;
        Ok(Plan {
            topic: self.topic.take(),
            limits,
            options: ProducerOptions::from(&config),
            transactions,
            print_metrics: self.print_metrics,
        })
    }

    /// Sets the id if there are to be transactions, and returns how long they take.
    fn transactions(&self, properties: &mut ClientProperties) -> Option<Duration> {
        const KEY: &str = "transactional.id";
        let duration = self.transaction_duration_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
        if duration.is_none() && self.transactional_id.is_none() && properties.get(KEY).is_none() {
            return None;
        }
        if let Some(id) = &self.transactional_id {
            properties.set(KEY, id);
        }
        properties.set_default(KEY, &format!("performance-producer-{}", Uuid::random()));
        Some(duration.unwrap_or(TRANSACTION))
    }
}

/// The records of a file.
fn listed(file: &Path, delimiter: Option<&str>, out: &mut Output) -> anyhow::Result<Payload> {
    let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    told(format_args!("Reading payloads from: {}", shown.display()), out)?;
    let text = std::fs::read(file).unwrap_or_default();
    if text.is_empty() {
        return Err(Uncaught::illegal_argument("File does not exist or empty file provided."));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let payload = payload::listed(text, delimiter.unwrap_or("\\n"))?;
    told(format_args!("Number of records read: {}", payload.listed_records()), out)?;
    Ok(payload)
}

/// A remark that Kafka's tool prints among its figures.
fn told(text: std::fmt::Arguments<'_>, out: &mut Output) -> std::io::Result<()> {
    if out.style() == Style::Kafka { out.line(text) } else { out.note(text) }
}

/// A setting, cut as in Java: exactly one `=`, with something behind it.
fn property(pair: &str) -> anyhow::Result<(&str, &str)> {
    let pieces: Vec<&str> = pair.trim_end_matches('=').split('=').collect();
    match pieces[..] {
        [key, value] => Ok((key, value)),
        _ => Err(Uncaught::illegal_argument(format!("Invalid property: {pair}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Acks;

    const USUAL: [&str; 8] = ["--topic", "t", "--num-records", "10", "--throughput", "-1", "--record-size", "5"];

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let (mut out, _) = Output::captured();
        let command =
            crate::cli::support::with_kafkas_option_rules(<ProducerPerfTest as clap::CommandFactory>::command());
        let words = ["producer-perf-test"].iter().chain(&USUAL).chain(words);
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        let mut tool = <ProducerPerfTest as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        let limits = tool.check(&out).map_err(|error| error.to_string())?;
        tool.plan(limits, &mut out).map_err(|error| error.to_string())
    }

    #[test]
    fn properties_take_words_up_to_the_next_option() {
        let plan = plan(&["--producer-props", "acks=1", "linger.ms=7", "--print-metrics"]).unwrap();
        assert_eq!((plan.options.acks, plan.options.linger.as_millis()), (Acks::Leader, 7));
        assert!(plan.print_metrics);
        assert_eq!(plan.options.client.client_id, "perf-producer-client");
    }

    #[test]
    fn properties_have_one_equals_sign() {
        assert_eq!(property("a=b").unwrap(), ("a", "b"));
        for wrong in ["nonsense", "a=", "a=b=c"] {
            assert_eq!(property(wrong).unwrap_err().to_string(), format!("Invalid property: {wrong}"));
        }
    }

    #[test]
    fn an_id_or_a_duration_makes_transactions() {
        let found = |words: &[&str]| {
            let plan = plan(words).unwrap();
            (plan.transactions.map(|duration| duration.as_millis()), plan.options.transactional_id)
        };
        assert_eq!(found(&[]), (None, None));
        assert_eq!(found(&["--transactional-id", "x"]), (Some(3000), Some("x".to_owned())));
        let (duration, id) = found(&["--transaction-duration-ms", "50"]);
        assert_eq!(duration, Some(50));
        assert!(id.unwrap().starts_with("performance-producer-"));
        let by_property = ["--command-property", "transactional.id=p"];
        assert_eq!(found(&by_property), (Some(3000), Some("p".to_owned())));
        let both = ["--command-property", "transactional.id=p", "--transactional-id", "o"];
        assert_eq!(found(&both).1.as_deref(), Some("o"));
    }

    #[test]
    fn what_does_not_fit_is_told_in_kafkas_words() {
        for (words, message) in [
            (&["--warmup-records", "10"][..], "The value for --warmup-records must be strictly fewer"),
            (&["--payload-monotonic"], "argument --payload-monotonic: not allowed with argument --record-size"),
            (&["--reporting-interval", "0"], "--reporting-interval should be greater than zero."),
            (&["--transaction-duration-ms", "0"], "--transaction-duration-ms should be greater than zero."),
            (
                &["--producer-props", "a=b", "--command-property", "a=b"],
                "--command-property and --producer-props cannot be specified together.",
            ),
            (
                &["--producer.config", "a", "--command-config", "b"],
                "--command-config and --producer.config cannot be specified together.",
            ),
        ] {
            let found = plan(words).unwrap_err();
            assert!(found.starts_with(message), "{found}");
        }
        let (out, _) = Output::captured();
        let check = |words: &[&str]| {
            let words = ["x"].iter().chain(words);
            ProducerPerfTest::try_parse_from(words).unwrap().check(&out).unwrap_err().to_string()
        };
        assert_eq!(check(&["--topic", "t"]), "argument --throughput is required");
        assert_eq!(check(&["--throughput=1"]), "argument --num-records is required");
        assert_eq!(check(&["--throughput=1", "--num-records=1"]), "argument --topic is required");
        assert!(check(&["--throughput=1", "--num-records=1", "--topic=t"]).starts_with("one of the arguments"));
    }
}
