//! `verifiable-share-consumer`: reads a topic as the member of a share group, and tells of records and acknowledgements as
//! JSON. Kafka's `kafka-verifiable-share-consumer.sh`, which system tests drive.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Run;
use super::help::Example;
use super::support::events::{Event, Events};
use super::support::{
    AlwaysJsonArgs, Argparse, Exit, OldServerOptions, Output, Signals, Uncaught, UsageError, argparse,
    block_on_two_threads, chain_text, warn,
};
use super::verifiable_consumer::{of, print, record_data, uncaught_config};
use crate::client::admin::{AlterConfig, ConfigChange, ConfigResource, ResourceType};
use crate::client::share::{Acknowledged, AcknowledgementListener};
use crate::client::{Admin, ShareConsumer, ShareConsumerOptions, ShareRecord};
use crate::config::{Client, ShareConsumerConfig};
use crate::types::TopicPartition;

/// Read a topic as the member of a share group, and print what happens as JSON
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Events: startup_complete, offset_reset_strategy_set, records_consumed, record_data, offsets_acknowledged, \
shutdown_complete.")]
pub(super) struct VerifiableShareConsumer {
    /// Topic to read
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Share group to be a member of
    #[arg(long, value_name = "ID")]
    group_id: Option<String>,
    /// How many records to acknowledge; -1: until a signal ends it [default: -1]
    #[arg(long, value_name = "COUNT")]
    max_messages: Option<i32>,
    /// Print each record
    #[arg(long)]
    verbose: bool,
    /// How records are acknowledged: auto (with the next poll), sync or async [default: auto]
    #[arg(long, value_name = "MODE")]
    acknowledgement_mode: Option<String>,
    /// Have the group begin here where it has read nothing yet: earliest or latest
    #[arg(long, value_name = "STRATEGY")]
    offset_reset_strategy: Option<String>,
    #[command(flatten)]
    _output: AlwaysJsonArgs,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// File with settings of the consumer; the options count over them
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
}

const WORDS: Argparse = Argparse { program: "verifiable-share-consumer", numbers: &[("max-messages", "Integer")] };

/// What Kafka's tool logs as.
const LOGGER: &str = "org.apache.kafka.tools.VerifiableShareConsumer";

/// How long one poll waits: so long an event may wait to be printed.
const POLL: Duration = Duration::from_millis(100);

/// How records are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Auto,
    Async,
    Sync,
}

impl Run for VerifiableShareConsumer {
    const EXAMPLES: &'static [Example] =
        &[("Read until a signal ends it", "kafka-rs verifiable-share-consumer --topic jobs --group-id workers")];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        let group = self.group_id.clone().ok_or_else(|| argparse::required("group-id"))?;
        if self.topic.is_none() {
            return Err(argparse::required("topic"));
        }
        let mode = self.mode()?;
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        let mut properties = target.properties(Client::Consumer)?;
        if let Some(file) = self.command_config.take() {
            argparse::read(&mut properties, &file)?;
        }
        properties.set("group.id", &group);
        properties.set("bootstrap.servers", &target.servers);
        warn(&properties.warnings(), out)?;
        let config = ShareConsumerConfig::new(&properties).map_err(uncaught_config)?;
        block_on_two_threads(self.read_all(ShareConsumerOptions::from(&config), mode, out))
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        Uncaught::report(error, out)
    }
}

impl VerifiableShareConsumer {
    fn mode(&self) -> anyhow::Result<Mode> {
        let name = self.acknowledgement_mode.as_deref().unwrap_or("auto").to_uppercase();
        match name.as_str() {
            "AUTO" => Ok(Mode::Auto),
            "ASYNC" => Ok(Mode::Async),
            "SYNC" => Ok(Mode::Sync),
            _ => Err(Uncaught::illegal_argument(format!(
                "No enum constant org.apache.kafka.tools.VerifiableShareConsumer.AcknowledgementMode.{name}"
            ))),
        }
    }

    async fn read_all(self, options: ShareConsumerOptions, mode: Mode, out: &mut Output) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let mut consumer = ShareConsumer::new(options);
        let events = Events::default();
        events.add(Event::new("startup_complete"));
        print(&events, out)?;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let told = Told { events: events.clone(), acknowledged: Arc::clone(&acknowledged) };
        let reading = Reading { args: &self, mode, events: events.clone(), acknowledged };
        let signal = tokio::select! {
            ended = reading.until_the_end(&mut consumer, told, out) => {
                if let Err(error) = ended {
                    out.kafka_log_error("Error during processing, terminating share consumer process: ", LOGGER)?;
                    out.note(Uncaught::thrown(&error))?;
                }
                None
            }
            signal = signals.next() => Some(signal),
        };
        print(&events, out)?;
        drop(consumer.close().await);
        events.add(Event::new("shutdown_complete"));
        print(&events, out)?;
        Ok(signal.map_or(Exit::Success, super::support::Signal::exit))
    }

    /// Has the group begin where it was asked to.
    async fn set_strategy(&self, consumer: &ShareConsumer) -> anyhow::Result<Option<Event>> {
        let strategy = self.offset_reset_strategy.as_deref().unwrap_or_default().to_lowercase();
        if strategy.is_empty() {
            return Ok(None);
        }
        if !["earliest", "latest"].contains(&strategy.as_str()) && !strategy.starts_with("by_duration:") {
            return Err(Uncaught::illegal_argument(format!("Unknown auto offset reset strategy: {strategy}")));
        }
        let name = self.group_id.clone().unwrap_or_default();
        let group = ConfigResource { resource_type: ResourceType::Group, name };
        let change = ConfigChange::Set(strategy.clone());
        let change = AlterConfig { name: "share.auto.offset.reset".to_owned(), change };
        let admin = Admin::of(consumer.cluster().clone());
        for (_, result) in admin.alter_configs(&[(group, vec![change])], false).await? {
            result?;
        }
        Ok(Some(Event::new("offset_reset_strategy_set").text("offsetResetStrategy", Some(&strategy))))
    }
}

struct Reading<'a> {
    args: &'a VerifiableShareConsumer,
    mode: Mode,
    events: Events,
    acknowledged: Arc<AtomicU64>,
}

impl Reading<'_> {
    async fn until_the_end(&self, consumer: &mut ShareConsumer, told: Told, out: &mut Output) -> anyhow::Result<()> {
        if let Some(event) = self.args.set_strategy(consumer).await? {
            self.events.add(event);
            print(&self.events, out)?;
        }
        consumer.subscribe(self.args.topic.clone());
        consumer.set_acknowledgement_listener(Some(Box::new(told)));
        let most = self.args.max_messages.and_then(|most| u64::try_from(most).ok());
        while most.is_none_or(|most| self.acknowledged.load(Ordering::Relaxed) < most) {
            let records = consumer.poll(POLL).await;
            print(&self.events, out)?;
            let records = records?;
            if records.is_empty() {
                continue;
            }
            self.received(&records);
            print(&self.events, out)?;
            match self.mode {
                Mode::Auto => {}
                Mode::Async => consumer.commit_in_background(),
                Mode::Sync => {
                    for (partition, result) in consumer.commit().await? {
                        if result.is_err() {
                            let text =
                                format!("Failed to commit offset synchronously for topic partition: {partition}");
                            out.kafka_log_error(text, LOGGER)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn received(&self, records: &[ShareRecord]) {
        let mut partitions: Vec<(&Arc<TopicPartition>, Vec<i64>)> = Vec::new();
        for ShareRecord { record, .. } in records {
            match partitions.iter_mut().find(|(partition, _)| **partition == record.partition) {
                Some((_, offsets)) => offsets.push(record.offset.get()),
                None => partitions.push((&record.partition, vec![record.offset.get()])),
            }
        }
        if self.args.verbose {
            records.iter().for_each(|record| self.events.add(record_data(&record.record)));
        }
        let summaries = partitions.iter().map(|(partition, offsets)| with_offsets(partition, offsets));
        self.events.add(Event::new("records_consumed").field("count", records.len()).list("partitions", summaries));
    }
}

/// A partition with offsets.
fn with_offsets(partition: &TopicPartition, offsets: &[i64]) -> String {
    let shown: Vec<String> = offsets.iter().map(i64::to_string).collect();
    of(Event::part(), partition).field("count", offsets.len()).list("offsets", shown).end()
}

/// Tells of acknowledgements, and counts them.
#[derive(Debug)]
struct Told {
    events: Events,
    acknowledged: Arc<AtomicU64>,
}

impl Told {
    fn tell(&self, results: &[&Acknowledged], error: Option<String>) {
        let mut count = 0;
        let mut parts = Vec::new();
        for result in results {
            let offsets: Vec<i64> =
                result.offsets.iter().flat_map(|range| range.start().get()..=range.end().get()).collect();
            count += offsets.len() as u64;
            parts.push(with_offsets(&result.partition, &offsets));
        }
        let event = Event::new("offsets_acknowledged").field("count", count).list("partitions", parts);
        let success = error.is_none();
        let event = match error {
            Some(error) => event.field("success", false).text("error", Some(&error)),
            None => event.field("success", true),
        };
        self.events.add(event);
        if success {
            self.acknowledged.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl AcknowledgementListener for Told {
    fn acknowledged(&mut self, results: &[Acknowledged]) {
        let (good, bad): (Vec<_>, Vec<_>) = results.iter().partition(|result| result.result.is_ok());
        if !good.is_empty() {
            self.tell(&good, None);
        }
        for result in bad {
            let error = result.result.as_ref().err().map(|error| chain_text(&anyhow::Error::new(error.clone())));
            self.tell(&[result], error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::share::ShareError;
    use crate::types::Offset;

    #[test]
    fn acknowledgements_are_told_and_those_that_count_are_counted() {
        let events = Events::default();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut told = Told { events: events.clone(), acknowledged: Arc::clone(&acknowledged) };
        let of = |partition, result| Acknowledged {
            partition: TopicPartition::new("t", partition),
            offsets: vec![Offset(1)..=Offset(2), Offset(5)..=Offset(5)],
            result,
        };
        told.acknowledged(&[of(0, Ok(())), of(1, Err(ShareError::SessionOver))]);
        assert_eq!(acknowledged.load(Ordering::Relaxed), 3);
        let lines = events.take();
        let rest: Vec<_> = lines.iter().map(|line| line.split_once(",\"name\":").unwrap().1).collect();
        assert_eq!(
            rest[0],
            "\"offsets_acknowledged\",\"count\":3,\"partitions\":[{\"topic\":\"t\",\"partition\":0,\"count\":3,\
             \"offsets\":[1,2,5]}],\"success\":true}"
        );
        assert!(
            rest[1].contains("\"partition\":1") && rest[1].contains("\"success\":false,\"error\":\"the share session")
        );
    }
}
