//! `copy`: records of topics to another cluster, or to other topics of the same one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use regex::bytes::Regex as BytesRegex;
use regex_lite::Regex;
use serde_json::json;

use super::Run;
use super::help::Example;
use super::support::{
    Bounds, ConnectArgs, Exit, Hinted, IsolationArg, MOMENTS, Outgoing, Output, OwnOutputArgs, PartitionsArg, Progress,
    RangeReader, Signal, Signals, Stretch, Transfer, TransferOutcome, UsageError, block_on_two_threads, bounds,
    explained, parse_moment, partitions_of, with_thousands,
};
use crate::client::admin::{ConfigResource, NewTopic, NewTopicLayout};
use crate::client::{Admin, ConsumerRecord};
use crate::config::ConfigSource;
use crate::record::Header;
use crate::types::TopicPartition;

/// Copy records to another cluster, all or those that match
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
--topic is a regular expression that the whole name must match; Kafka's own topics are left out. --key, --value and \
--header match anywhere in the bytes; a null matches nothing. Copied is what is there when it begins, in the order of \
time; with --follow also what comes, until Ctrl-C. Offsets of groups are not copied.

--output json prints {version, complete, records, bytes, skipped, topics: [{topic, target, partitions: [{partition, \
records}]}]}.")]
pub(super) struct Copy {
    /// Brokers of the cluster to read from
    #[arg(long, value_name = "HOST:PORT,...")]
    source: Option<String>,
    /// Brokers of the cluster to write to
    #[arg(long, value_name = "HOST:PORT,...")]
    target: Option<String>,
    /// Topics to copy: a pattern
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
    /// Name of the copy, where {} stands for the topic's name [default: {}]
    #[arg(long, value_name = "NAME")]
    target_topic: Option<String>,
    /// Make topics that the target does not have, with the same partitions and settings
    #[arg(long)]
    create_topics: bool,

    /// Only records whose key matches this
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    key: Option<BytesRegex>,
    /// Only records whose value matches this
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    value: Option<BytesRegex>,
    /// Only records with this header, and with a value that matches
    #[arg(long, value_name = "KEY[=PATTERN]", value_parser = header_filter, help_heading = "Filters")]
    header: Vec<HeaderFilter>,
    /// Only from this time on, such as -1h, 2026-01-31 or 2026-01-31T12:00
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_moment, help_heading = "Filters")]
    from: Option<i64>,
    /// Only before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_moment, help_heading = "Filters")]
    to: Option<i64>,
    /// End after this many records
    #[arg(long, value_name = "COUNT", help_heading = "Filters")]
    max_records: Option<u64>,

    #[command(flatten)]
    partitions: PartitionsArg,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, conflicts_with = "to")]
    follow: bool,
    /// Show what would be copied, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    isolation: IsolationArg,
    #[command(flatten)]
    output: OwnOutputArgs,
    /// File with settings of the client of the source
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    source_config: Option<PathBuf>,
    /// File with settings of the client of the target
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    target_config: Option<PathBuf>,
}

/// `--header`
#[derive(Debug, Clone)]
struct HeaderFilter {
    key: String,
    value: Option<BytesRegex>,
}

fn header_filter(text: &str) -> Result<HeaderFilter, String> {
    let (key, pattern) = text.split_once('=').map_or((text, None), |(key, pattern)| (key, Some(pattern)));
    if key.is_empty() {
        return Err("a header has a key".to_owned());
    }
    let value = pattern.map(BytesRegex::new).transpose().map_err(|error| error.to_string())?;
    Ok(HeaderFilter { key: key.to_owned(), value })
}

/// What goes where.
struct Plan {
    source: Admin,
    target: Admin,
    /// Topic of the source, topic of the target.
    names: BTreeMap<String, String>,
    bounds: BTreeMap<TopicPartition, Bounds>,
}

impl Run for Copy {
    const EXAMPLES: &'static [Example] = &[
        ("Copy a topic", "kafka-rs copy --source prod:9092 --target localhost:9092 --topic orders"),
        ("See what that would be", "kafka-rs copy --source a:9092 --target b:9092 --topic 'or.*' --dry-run"),
        ("One customer's records", "kafka-rs copy --source a:9092 --target b:9092 --topic orders --key ^4711$"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let Some(pattern) = &self.topic else { return Err(UsageError::missing("topic")) };
        let pattern = Regex::new(&format!("^(?:{})$", pattern.replace(',', "|")))
            .map_err(|_| UsageError::because(format!("Cannot parse argument '{pattern}' of option topic")))?;
        let Some(source) = &self.source else { return Err(UsageError::missing("source")) };
        let Some(target) = &self.target else { return Err(UsageError::missing("target")) };
        if self.from.is_some_and(|from| self.to.is_some_and(|to| from >= to)) {
            return Err(UsageError::because(format!("Option from must be before option to; both are {MOMENTS}")));
        }
        let source = ConnectArgs::of(source, self.source_config.clone()).admin_options(out).context("the source")?;
        let target = ConnectArgs::of(target, self.target_config.clone()).admin_options(out).context("the target")?;
        let (source, target) = (Admin::new(source), Admin::new(target));
        block_on_two_threads(async {
            let plan = self.plan(&pattern, source, target).await?;
            if self.dry_run {
                return self.tell_plan(&plan, out);
            }
            if self.create_topics {
                self.create_missing(&plan, out).await?;
            }
            for (topic, copy) in &plan.names {
                let needed = plan.bounds.keys().filter(|partition| partition.topic == *topic).count();
                self.partitions.check(&plan.target, copy, i32::try_from(needed).unwrap_or(i32::MAX)).await?;
            }
            self.copy(&plan, out).await
        })
    }
}

impl Copy {
    async fn plan(&self, pattern: &Regex, source: Admin, target: Admin) -> anyhow::Result<Plan> {
        let topics = source.list_topics().await.map_err(explained).context("the source")?;
        let matching = topics.iter().filter(|topic| !topic.is_internal && pattern.is_match(&topic.name));
        let named = self.target_topic.as_deref().unwrap_or("{}");
        let names: BTreeMap<_, _> =
            matching.map(|topic| (topic.name.clone(), named.replace("{}", &topic.name))).collect();
        if names.is_empty() {
            return Err(Hinted::error(
                "no topic of the source matches",
                "--topic is a pattern for whole names: 'or.*' matches orders",
            ));
        }
        let targets: std::collections::BTreeSet<_> = names.values().collect();
        if targets.len() < names.len() {
            return Err(Hinted::error(
                format!("{} topics would be mixed in {named}", names.len()),
                "put {} into --target-topic, which stands for the topic's name",
            ));
        }
        target.list_topics().await.map_err(explained).context("the target")?;
        let id = |admin: &Admin| admin.cluster().metadata().cluster_id.clone();
        let is_same = id(&source).is_some() && id(&source) == id(&target);
        let onto_itself = names.iter().find(|(name, copy)| name == copy || names.contains_key(*copy));
        if let (true, Some((name, _))) = (is_same, onto_itself) {
            return Err(Hinted::error(
                format!("source and target are the same cluster, and {name} would be copied onto itself"),
                "name the copy with --target-topic, as in --target-topic copy-of-{}",
            ));
        }
        let mut partitions = Vec::new();
        for name in names.keys() {
            partitions.extend(partitions_of(&source, name).await?);
        }
        let stretch = self.stretch();
        let bounds = bounds(&source, &partitions, stretch, self.isolation.level()).await?;
        Ok(Plan { source, target, names, bounds })
    }

    fn stretch(&self) -> Stretch {
        Stretch { from: self.from, to: self.to, follow: self.follow }
    }

    fn has_filters(&self) -> bool {
        self.key.is_some() || self.value.is_some() || !self.header.is_empty()
    }

    fn wants(&self, record: &ConsumerRecord) -> bool {
        let matches = |pattern: &Option<BytesRegex>, bytes: &Option<bytes::Bytes>| {
            pattern.as_ref().is_none_or(|pattern| bytes.as_ref().is_some_and(|bytes| pattern.is_match(bytes)))
        };
        let has = |filter: &HeaderFilter| {
            let headers = record.headers.iter().filter(|header| *header.key == *filter.key.as_bytes());
            headers.into_iter().any(|header| matches(&filter.value, &header.value))
        };
        matches(&self.key, &record.key) && matches(&self.value, &record.value) && self.header.iter().all(has)
    }

    async fn create_missing(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<()> {
        let there: Vec<_> = plan.target.list_topics().await.map_err(explained)?;
        for (topic, copy) in &plan.names {
            if there.iter().any(|existing| existing.name == *copy) {
                continue;
            }
            let count = plan.bounds.keys().filter(|partition| partition.topic == *topic).count();
            let layout = NewTopicLayout::Counts { partitions: i32::try_from(count).ok(), replication_factor: None };
            let configs = own_settings(&plan.source, topic).await?;
            let new = NewTopic { name: copy.clone(), layout, configs };
            let made = plan.target.create_topics(&[new], false).await.map_err(explained)?;
            for (name, result) in made {
                result.with_context(|| format!("could not create {name}"))?;
                out.note(format_args!("created {name} with {count} partitions"))?;
            }
        }
        Ok(())
    }

    async fn copy(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<Exit> {
        let source = plan.source.cluster().options().clone();
        let target = plan.target.cluster().options().clone();
        let total: i64 = plan.bounds.values().map(|bounds| bounds.end.get() - bounds.start.get()).sum();
        let progress = Progress::new(true, out).of(if self.follow { 0 } else { total.unsigned_abs() });
        let mut reader = RangeReader::new(source, self.isolation.level(), &plan.bounds, self.stretch());
        let mut transfer = Transfer::new(target, self.partitions, progress);
        let mut signals = Signals::listen()?;
        let mut left = self.max_records.unwrap_or(u64::MAX);
        let mut skipped = 0_u64;
        let signal = 'reading: loop {
            if left == 0 {
                break None;
            }
            let records = tokio::select! {
                records = reader.next() => records?,
                signal = signals.next() => break Some(signal),
            };
            let Some(records) = records else { break None };
            for record in &records {
                if !self.wants(record) {
                    skipped += 1;
                    transfer.passed_over();
                    continue;
                }
                let Some(topic) = plan.names.get(&record.partition.topic) else { continue };
                tokio::select! {
                    sent = send(&mut transfer, topic, record) => sent?,
                    signal = signals.next() => break 'reading Some(signal),
                }
                left -= 1;
                if left == 0 {
                    break;
                }
            }
            if self.follow {
                transfer.flush().await?;
            }
        };
        let outcome = transfer.end().await?;
        self.tell(plan, &outcome, skipped, signal, out)?;
        Ok(match signal {
            // Following has no other end.
            Some(Signal::Interrupt) if self.follow => Exit::Success,
            Some(signal) => signal.exit(),
            None => Exit::Success,
        })
    }

    fn tell_plan(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<Exit> {
        let mut topics = Vec::new();
        for (topic, copy) in &plan.names {
            let of_topic = || plan.bounds.iter().filter(|(partition, _)| partition.topic == *topic);
            let records: i64 = of_topic().map(|(_, bounds)| bounds.end.get() - bounds.start.get()).sum();
            topics.push((topic, copy, of_topic().count(), records.unsigned_abs()));
        }
        let total: u64 = topics.iter().map(|(.., records)| records).sum();
        if self.output.is_json() {
            let topic = |(topic, copy, partitions, records): &(&String, &String, usize, u64)| json!({"topic": topic, "target": copy, "partitions": partitions, "recordsAtMost": records});
            let topics: Vec<_> = topics.iter().map(topic).collect();
            out.json(&json!({"version": 1, "dryRun": true, "recordsAtMost": total, "topics": topics}))?;
            return Ok(Exit::Success);
        }
        for (topic, copy, partitions, records) in &topics {
            let records = with_thousands(*records);
            out.line(format_args!("{topic} -> {copy}: {partitions} partitions, at most {records} records"))?;
        }
        let filtered = if self.has_filters() { ", before filters" } else { "" };
        out.line(format_args!("would copy at most {} records{filtered}", with_thousands(total)))?;
        Ok(Exit::Success)
    }

    fn tell(
        &self,
        plan: &Plan,
        outcome: &TransferOutcome,
        skipped: u64,
        signal: Option<Signal>,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if self.output.is_json() {
            let topic = |(topic, copy): (&String, &String)| json!({"topic": topic, "target": copy, "partitions": outcome.partitions_json(copy)});
            out.json(&json!({
                "version": 1,
                "complete": signal.is_none(),
                "records": outcome.records,
                "bytes": outcome.bytes,
                "skipped": skipped,
                "topics": plan.names.iter().map(topic).collect::<Vec<_>>(),
            }))?;
            return Ok(());
        }
        let passed = if self.has_filters() { format!(", left out {}", with_thousands(skipped)) } else { String::new() };
        let end = match signal {
            Some(signal) if !self.follow => format!("; ended by {}, the rest was not copied", signal.name()),
            _ => String::new(),
        };
        let records = with_thousands(outcome.records);
        out.line(format_args!("copied {records} records of {} topics{passed}{end}", plan.names.len()))?;
        Ok(())
    }
}

async fn send(transfer: &mut Transfer, topic: &str, record: &ConsumerRecord) -> anyhow::Result<()> {
    let headers: Vec<Header<'_>> = record.headers.iter().map(|header| header.as_header()).collect();
    transfer
        .send(&Outgoing {
            topic,
            partition: record.partition.partition.get(),
            timestamp: (record.timestamp >= 0).then_some(record.timestamp),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        })
        .await
}

/// What was set for the topic itself.
async fn own_settings(admin: &Admin, topic: &str) -> anyhow::Result<Vec<(String, String)>> {
    let described = admin.describe_configs(&[ConfigResource::topic(topic)], None, false).await.map_err(explained)?;
    let mut settings = Vec::new();
    for (_, entries) in described {
        let entries = entries.with_context(|| format!("could not read the settings of {topic}"))?;
        let own = entries.into_iter().filter(|entry| entry.source == Some(ConfigSource::DynamicTopic));
        settings.extend(own.filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use clap::Parser as _;

    use super::*;
    use crate::record::OwnedHeader;
    use crate::types::{LeaderEpoch, Offset};

    fn wants(words: &[&str], key: Option<&str>, value: Option<&str>) -> bool {
        let copy = Copy::try_parse_from(std::iter::once("copy").chain(words.iter().copied())).unwrap();
        let bytes = |text: Option<&str>| text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        copy.wants(&ConsumerRecord {
            partition: Arc::new(TopicPartition::new("t", 0)),
            offset: Offset(0),
            timestamp: 0,
            timestamp_type: None,
            leader_epoch: LeaderEpoch::NONE,
            key: bytes(key),
            value: bytes(value),
            headers: vec![OwnedHeader { key: Bytes::from("kind"), value: bytes(Some("test")) }],
        })
    }

    #[test]
    fn filters() {
        assert!(wants(&[], None, None));
        assert!(wants(&["--key", "^a"], Some("ab"), None));
        assert!(!wants(&["--key", "^a"], Some("ba"), None));
        assert!(!wants(&["--key", ""], None, None), "a null matches nothing");
        assert!(wants(&["--value", "b+"], None, Some("abbc")));
        assert!(wants(&["--header", "kind"], None, None));
        assert!(wants(&["--header", "kind=^te"], None, None));
        assert!(!wants(&["--header", "kind=x"], None, None));
        assert!(!wants(&["--header", "kind", "--header", "other"], None, None));
        assert!(Copy::try_parse_from(["copy", "--key", "("]).is_err());
    }
}
