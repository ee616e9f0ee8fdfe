//! `verifiable-consumer`: reads a topic as the member of a group, and tells of rebalances, records and commits as JSON.
//! Kafka's `kafka-verifiable-consumer.sh`, which system tests drive.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Run;
use super::help::Example;
use super::support::events::{Event, Events};
use super::support::{
    AlwaysJsonArgs, Argparse, Exit, OldServerOptions, Output, Signals, Uncaught, UsageError, argparse,
    block_on_two_threads, chain_text, explained_config, java, warn,
};
use crate::client::admin::GroupOffset;
use crate::client::consumer::{ConsumeError, RebalanceListener};
use crate::client::{Consumer, ConsumerOptions, ConsumerRecord};
use crate::config::{Client, ConfigError, ConsumerConfig};
use crate::types::{Offset, TopicPartition};

/// Read a topic as the member of a group, and print what happens as JSON
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Events: startup_complete, partitions_assigned, partitions_revoked, records_consumed, record_data, offsets_committed, \
shutdown_requested, shutdown_complete.")]
pub(super) struct VerifiableConsumer {
    /// Topic to read
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Group to be a member of
    #[arg(long, value_name = "ID")]
    group_id: Option<String>,
    /// Who assigns the partitions: classic (a member) or consumer (the coordinator) [default: classic]
    #[arg(long, value_name = "PROTOCOL")]
    group_protocol: Option<String>,
    /// Assignor of the coordinator, with the protocol consumer
    #[arg(long, value_name = "NAME")]
    group_remote_assignor: Option<String>,
    /// Name of this member, which it keeps when it starts again
    #[arg(long, value_name = "ID")]
    group_instance_id: Option<String>,
    /// How many records to read; -1: until a signal ends it [default: -1]
    #[arg(long, value_name = "COUNT")]
    max_messages: Option<i32>,
    /// After this long without a sign of life the group goes on without this member
    #[arg(long, value_name = "MS")]
    session_timeout: Option<i32>,
    /// Print each record
    #[arg(long)]
    verbose: bool,
    /// Commit now and then instead of after each poll
    #[arg(long)]
    enable_autocommit: bool,
    /// Where to begin without a committed offset: earliest, latest or none [default: earliest]
    #[arg(long, value_name = "POLICY")]
    reset_policy: Option<String>,
    /// Class that assigns, with the protocol classic [default: RangeAssignor]
    #[arg(long, value_name = "CLASS")]
    assignment_strategy: Option<String>,
    #[command(flatten)]
    _output: AlwaysJsonArgs,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// File with settings of the consumer; the options count over them
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    /// Old spelling of --command-config
    #[arg(long = "consumer.config", value_name = "FILE", hide = true)]
    consumer_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
}

const WORDS: Argparse = Argparse {
    program: "verifiable-consumer",
    numbers: &[("max-messages", "Integer"), ("session-timeout", "Integer")],
};

/// What Kafka's tool logs as.
const LOGGER: &str = "org.apache.kafka.tools.VerifiableConsumer";

/// How long one poll waits: so long an event may wait to be printed.
const POLL: Duration = Duration::from_millis(100);

impl Run for VerifiableConsumer {
    const EXAMPLES: &'static [Example] =
        &[("Read until a signal ends it", "kafka-rs verifiable-consumer --topic numbers --group-id readers")];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        let config = self.config(out)?;
        block_on_two_threads(self.read_all(&config, out))
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        Uncaught::report(error, out)
    }
}

impl VerifiableConsumer {
    fn config(&mut self, out: &mut Output) -> anyhow::Result<ConsumerConfig> {
        let group = self.group_id.clone().ok_or_else(|| argparse::required("group-id"))?;
        if self.topic.is_none() {
            return Err(argparse::required("topic"));
        }
        let old = ("consumer.config", self.consumer_config.take());
        let file = argparse::config_file(old, self.command_config.take(), out)?;
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        let mut properties = target.properties(Client::Consumer)?;
        if let Some(file) = file {
            argparse::read(&mut properties, &file)?;
        }
        let protocol = self.group_protocol.as_deref().unwrap_or("classic").to_uppercase();
        match protocol.as_str() {
            "CONSUMER" => {
                if let Some(assignor) = &self.group_remote_assignor {
                    properties.set("group.remote.assignor", assignor);
                }
            }
            "CLASSIC" => {
                let range = "org.apache.kafka.clients.consumer.RangeAssignor";
                let strategy = self.assignment_strategy.as_deref().unwrap_or(range);
                properties.set("partition.assignment.strategy", strategy);
            }
            _ => {
                return Err(Uncaught::illegal_argument(format!(
                    "No enum constant org.apache.kafka.clients.consumer.GroupProtocol.{protocol}"
                )));
            }
        }
        properties.set("group.protocol", &protocol);
        if let Some(timeout) = self.session_timeout {
            properties.set("session.timeout.ms", &timeout.to_string());
        }
        properties.set("group.id", &group);
        if let Some(id) = &self.group_instance_id {
            properties.set("group.instance.id", id);
        }
        properties.set("bootstrap.servers", &target.servers);
        properties.set("enable.auto.commit", if self.enable_autocommit { "true" } else { "false" });
        properties.set("auto.offset.reset", self.reset_policy.as_deref().unwrap_or("earliest"));
        warn(&properties.warnings(), out)?;
        ConsumerConfig::new(&properties).map_err(uncaught_config)
    }

    async fn read_all(self, config: &ConsumerConfig, out: &mut Output) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let mut consumer = Consumer::new(ConsumerOptions::from(config));
        let events = Events::default();
        events.add(Event::new("startup_complete"));
        print(&events, out)?;
        let listener = Box::new(Rebalances(events.clone()));
        consumer.subscribe(self.topic.clone(), Some(listener))?;
        let mut reading = Reading {
            verbose: self.verbose,
            commits: !self.enable_autocommit,
            left: self.max_messages.and_then(|most| usize::try_from(most).ok()),
            events: events.clone(),
        };
        let signal = tokio::select! {
            ended = reading.until_the_end(&mut consumer, out) => {
                if let Err(error) = ended {
                    out.kafka_log_error("Error during processing, terminating consumer process: ", LOGGER)?;
                    out.note(Uncaught::thrown(&error))?;
                }
                None
            }
            signal = signals.next() => Some(signal),
        };
        // Order: that of Kafka's tool, whose request to end is an exit hook.
        if signal.is_some() {
            events.add(Event::new("shutdown_requested"));
        }
        print(&events, out)?;
        drop(consumer.close().await);
        events.add(Event::new("shutdown_complete"));
        if signal.is_none() {
            events.add(Event::new("shutdown_requested"));
        }
        print(&events, out)?;
        Ok(signal.map_or(Exit::Success, super::support::Signal::exit))
    }
}

struct Reading {
    verbose: bool,
    commits: bool,
    /// How many records are still to be read, if there is a limit.
    left: Option<usize>,
    events: Events,
}

impl Reading {
    async fn until_the_end(&mut self, consumer: &mut Consumer, out: &mut Output) -> anyhow::Result<()> {
        while self.left != Some(0) {
            let records = consumer.poll(POLL).await;
            print(&self.events, out)?;
            let records = records?;
            if records.is_empty() {
                continue;
            }
            let offsets = self.received(&records);
            if self.commits {
                let result = consumer.commit_offsets(offsets.clone()).await;
                // Somebody else goes on as this member.
                if let Err(ConsumeError::Fenced) = result {
                    return Err(ConsumeError::Fenced.into());
                }
                self.events.add(committed(&offsets, result.err()));
            }
            print(&self.events, out)?;
        }
        Ok(())
    }

    /// Tells of the records, and returns what is to be committed.
    fn received(&mut self, records: &[ConsumerRecord]) -> Vec<(TopicPartition, GroupOffset)> {
        let mut partitions: Vec<(&Arc<TopicPartition>, Vec<&ConsumerRecord>)> = Vec::new();
        for record in records {
            match partitions.iter_mut().find(|(partition, _)| **partition == record.partition) {
                Some((_, found)) => found.push(record),
                None => partitions.push((&record.partition, vec![record])),
            }
        }
        let mut offsets = Vec::new();
        let mut summaries = Vec::new();
        for (partition, mut found) in partitions {
            found.truncate(self.left.unwrap_or(usize::MAX));
            let (Some(first), Some(last)) = (found.first(), found.last()) else { break };
            offsets.push((TopicPartition::clone(partition), GroupOffset::new(last.offset.plus(1))));
            let summary = of(Event::part(), partition)
                .field("count", found.len())
                .field("minOffset", first.offset.get())
                .field("maxOffset", last.offset.get());
            summaries.push(summary.end());
            if self.verbose {
                found.iter().for_each(|record| self.events.add(record_data(record)));
            }
            if let Some(left) = &mut self.left {
                *left -= found.len();
            }
        }
        let count = records.len();
        self.events.add(Event::new("records_consumed").field("count", count).list("partitions", summaries));
        offsets
    }
}

/// The event of one record.
pub(super) fn record_data(record: &ConsumerRecord) -> Event {
    let text = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let event = Event::new("record_data")
        .text("key", text(&record.key).as_deref())
        .text("value", text(&record.value).as_deref());
    of(event, &record.partition).field("offset", record.offset.get())
}

/// Adds topic and partition.
pub(super) fn of(event: Event, partition: &TopicPartition) -> Event {
    event.text("topic", Some(&partition.topic)).field("partition", partition.partition.get())
}

/// A wrong setting, as Kafka's tool dies of it.
pub(super) fn uncaught_config(error: ConfigError) -> anyhow::Error {
    let class = java::config_exception_class(&error);
    Uncaught::error(class, explained_config(error).to_string())
}

fn committed(offsets: &[(TopicPartition, GroupOffset)], error: Option<ConsumeError>) -> Event {
    let parts = offsets.iter().map(|(partition, GroupOffset { offset: Offset(offset), .. })| {
        of(Event::part(), partition).field("offset", offset).end()
    });
    let event = Event::new("offsets_committed").list("offsets", parts);
    match error {
        None => event.field("success", true),
        Some(error) => event.text("error", Some(&chain_text(&anyhow::Error::new(error)))).field("success", false),
    }
}

/// Prints the events that have come.
pub(super) fn print(events: &Events, out: &mut Output) -> io::Result<()> {
    for line in events.take() {
        out.line(line)?;
    }
    out.flush()
}

/// Tells of what the group gives and takes.
#[derive(Debug)]
struct Rebalances(Events);

impl Rebalances {
    fn tell(&self, name: &str, partitions: &[TopicPartition]) {
        let parts = partitions.iter().map(|partition| of(Event::part(), partition).end());
        self.0.add(Event::new(name).list("partitions", parts));
    }
}

impl RebalanceListener for Rebalances {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        self.tell("partitions_assigned", partitions);
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, GroupOffset)> {
        self.tell("partitions_revoked", partitions);
        Vec::new()
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.tell("partitions_revoked", partitions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderEpoch;

    fn record(partition: i32, offset: i64) -> ConsumerRecord {
        ConsumerRecord {
            partition: Arc::new(TopicPartition::new("t", partition)),
            offset: Offset(offset),
            timestamp: 0,
            timestamp_type: None,
            leader_epoch: LeaderEpoch::NONE,
            key: None,
            value: Some("v".into()),
            headers: Vec::new(),
        }
    }

    fn without_time(lines: Vec<String>) -> Vec<String> {
        lines.iter().map(|line| line.split_once(",\"name\":").unwrap().1.to_owned()).collect()
    }

    #[test]
    fn no_more_records_than_wanted_are_told_and_committed() {
        let events = Events::default();
        let mut reading = Reading { verbose: true, commits: true, left: Some(3), events: events.clone() };
        let offsets = reading.received(&[record(1, 5), record(1, 6), record(0, 9), record(0, 10)]);
        assert_eq!(reading.left, Some(0));
        let offsets: Vec<_> = offsets.iter().map(|(tp, offset)| (tp.partition.get(), offset.offset.get())).collect();
        assert_eq!(offsets, [(1, 7), (0, 10)]);
        let lines = without_time(events.take());
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[0],
            "\"record_data\",\"key\":null,\"value\":\"v\",\"topic\":\"t\",\"partition\":1,\"offset\":5}"
        );
        assert_eq!(
            lines[3],
            "\"records_consumed\",\"count\":4,\"partitions\":[{\"topic\":\"t\",\"partition\":1,\"count\":2,\
             \"minOffset\":5,\"maxOffset\":6},{\"topic\":\"t\",\"partition\":0,\"count\":1,\"minOffset\":9,\"maxOffset\":9}]}"
        );
    }

    #[test]
    fn a_failed_commit_says_why() {
        let offsets = [(TopicPartition::new("t", 0), GroupOffset::new(Offset(4)))];
        let lines = without_time(vec![
            committed(&offsets, None).end(),
            committed(&offsets, Some(ConsumeError::Rebalancing)).end(),
        ]);
        let start = "\"offsets_committed\",\"offsets\":[{\"topic\":\"t\",\"partition\":0,\"offset\":4}],";
        assert_eq!(lines[0], format!("{start}\"success\":true}}"));
        assert_eq!(lines[1], format!("{start}\"error\":\"the group is rebalancing\",\"success\":false}}"));
    }
}
