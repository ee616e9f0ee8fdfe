//! What a reset would do: to which offsets, and which topics it would delete.

use std::collections::BTreeMap;

use super::StreamsApplicationReset;
use crate::cli::support::reset::partitions::offsets;
use crate::cli::support::reset::{Scenario, plan_file, times};
use crate::cli::support::{JavaError, did_you_mean, is_internal_topic, java};
use crate::client::admin::OffsetSpec;
use crate::client::{Admin, TopicMetadata};
use crate::types::TopicPartition;

/// What is to be done.
pub(super) struct Plan {
    /// What Kafka's tool prints of the offsets.
    pub(super) lines: Vec<String>,
    /// Those of the lines that say that something is not as it was asked for.
    pub(super) remarks: Vec<String>,
    /// Whether there is any partition whose offset is to be set.
    pub(super) has_partitions: bool,
    pub(super) offsets: Vec<(TopicPartition, i64)>,
    /// The topics to delete, unless some were named that are none of the application's own.
    pub(super) internal_topics: Result<Vec<String>, JavaError>,
    /// Topics that were named and are not there.
    pub(super) unknown_topics: Vec<String>,
}

/// Offsets of partitions.
type Offsets = BTreeMap<TopicPartition, i64>;

impl Plan {
    pub(super) async fn work_out(
        args: &StreamsApplicationReset,
        application: &str,
        admin: &Admin,
    ) -> anyhow::Result<Self> {
        let topics = admin.list_topics().await.map_err(|error| {
            JavaError::call("listTopics", &error).wrapped_in("java.util.concurrent.ExecutionException")
        })?;
        let mut plan = Self {
            lines: Vec::new(),
            remarks: Vec::new(),
            has_partitions: false,
            offsets: Vec::new(),
            internal_topics: internal_topics(args, application, &topics),
            unknown_topics: Vec::new(),
        };
        if args.input_topics.is_empty() && args.intermediate_topics.is_empty() {
            plan.lines.push("No input or intermediate topics specified. Skipping seek.".to_owned());
            return Ok(plan);
        }
        if !args.intermediate_topics.is_empty() {
            let deprecated = "WARN: `--intermediate-topics` is deprecated and will be removed in a future release";
            plan.lines.push(deprecated.to_owned());
        }
        for (what, names) in [
            ("Reset-offsets for input topics", &args.input_topics),
            ("Seek-to-end for intermediate topics", &args.intermediate_topics),
        ] {
            if !names.is_empty() {
                plan.lines.push(format!("{what} [{}]", names.join(", ")));
            }
        }
        let input = plan.known(&args.input_topics, ("input", "Topic: "), &topics);
        let intermediate = plan.known(&args.intermediate_topics, ("intermediate", "Topic:"), &topics);
        let intermediate = intermediate.into_iter().filter(|name| !input.contains(name)).collect::<Vec<_>>();
        plan.has_partitions = !input.is_empty() || !intermediate.is_empty();
        if !input.is_empty() {
            plan.reset_input(args, application, &partitions_of(&input, &topics), admin).await?;
        }
        if !intermediate.is_empty() {
            let partitions = partitions_of(&intermediate, &topics);
            let group = format!("(for consumer group {application})");
            plan.lines.push(format!("Following intermediate topics offsets will be reset to end {group}"));
            plan.lines.extend(partitions.iter().map(|partition| format!("Topic: {}", partition.topic)));
            let ends = offsets(&partitions, OffsetSpec::Latest, admin).await?;
            plan.offsets.extend(ends);
        }
        Ok(plan)
    }

    /// Those of the topics that are there; tells of the others.
    fn known(&mut self, names: &[String], (kind, label): (&str, &str), topics: &[TopicMetadata]) -> Vec<String> {
        let is_there = |name: &&String| topics.iter().any(|topic| topic.name == **name);
        let (known, unknown): (Vec<&String>, Vec<&String>) = names.iter().partition(is_there);
        if !unknown.is_empty() {
            self.lines.push(format!("Following {kind} topics are not found, skipping them"));
            for name in unknown {
                self.lines.push(format!("{label}{name}"));
                self.unknown_topics.push(name.clone());
            }
        }
        known.into_iter().cloned().collect()
    }

    async fn reset_input(
        &mut self,
        args: &StreamsApplicationReset,
        application: &str,
        partitions: &[TopicPartition],
        admin: &Admin,
    ) -> anyhow::Result<()> {
        let title = format!("Following input topics offsets will be reset to (for consumer group {application})");
        self.lines.push(title);
        let wanted = match args.scenario.chosen().unwrap_or(Scenario::ToEarliest) {
            Scenario::ToEarliest => offsets(partitions, OffsetSpec::Earliest, admin).await?,
            Scenario::ToLatest => offsets(partitions, OffsetSpec::Latest, admin).await?,
            Scenario::ToOffset(offset) => {
                let wanted = partitions.iter().map(|partition| (partition.clone(), offset)).collect();
                self.within_log(wanted, admin).await?
            }
            Scenario::ToCurrent => self.positions(application, partitions, admin).await?,
            Scenario::ShiftBy(count) => {
                let positions = self.positions(application, partitions, admin).await?;
                let shifted = positions.into_iter().map(|(p, offset)| (p, offset.saturating_add(count))).collect();
                self.within_log(shifted, admin).await?
            }
            Scenario::ToDatetime(text) => self.at_time(partitions, times::date_time(&text)?, admin).await?,
            Scenario::ByDuration(text) => {
                self.at_time(partitions, times::before_now(&text, jiff::Timestamp::now())?, admin).await?
            }
            Scenario::FromFile(file) => {
                let planned = plan_file::read(&file, true)?;
                let planned: Offsets = planned.into_iter().map(|planned| (planned.partition, planned.offset)).collect();
                let mut wanted = Vec::with_capacity(partitions.len());
                for partition in partitions {
                    let offset = planned.get(partition).ok_or_else(|| {
                        let place = file.display();
                        JavaError::illegal_argument(format!("{place} has no offset for {partition}"))
                    })?;
                    wanted.push((partition.clone(), *offset));
                }
                self.within_log(wanted, admin).await?
            }
        };
        for (TopicPartition { topic, partition }, offset) in &wanted {
            self.lines.push(format!("Topic: {topic} Partition: {partition} Offset: {offset}"));
        }
        self.offsets.extend(wanted);
        Ok(())
    }

    fn remark(&mut self, text: String) {
        self.remarks.push(text.clone());
        self.lines.push(text);
    }

    /// The wanted offsets, moved to where records are.
    async fn within_log(
        &mut self,
        wanted: Vec<(TopicPartition, i64)>,
        admin: &Admin,
    ) -> Result<Vec<(TopicPartition, i64)>, JavaError> {
        let partitions: Vec<_> = wanted.iter().map(|(partition, _)| partition.clone()).collect();
        let starts: Offsets = offsets(&partitions, OffsetSpec::Earliest, admin).await?.into_iter().collect();
        let ends: Offsets = offsets(&partitions, OffsetSpec::Latest, admin).await?.into_iter().collect();
        let mut kept = Vec::with_capacity(wanted.len());
        for (partition, offset) in wanted {
            let start = starts.get(&partition).copied().unwrap_or_default();
            let end = ends.get(&partition).copied().unwrap_or(i64::MAX);
            // Kafka's tool remarks on the bounds themselves, too.
            let new = if offset >= end {
                self.remark(format!("New offset ({offset}) is higher than latest offset. Value will be set to {end}"));
                end
            } else if offset <= start {
                let text = format!("New offset ({offset}) is lower than earliest offset. Value will be set to {start}");
                self.remark(text);
                start
            } else {
                offset
            };
            kept.push((partition, new));
        }
        Ok(kept)
    }

    /// Where the application is; the end, where it has no offset.
    async fn positions(
        &self,
        application: &str,
        partitions: &[TopicPartition],
        admin: &Admin,
    ) -> Result<Vec<(TopicPartition, i64)>, JavaError> {
        let committed = admin.group_offsets(application, Some(partitions)).await;
        let committed = committed.map_err(|error| JavaError::call("findCoordinator", &error))?;
        let mut positions = offsets(partitions, OffsetSpec::Latest, admin).await?;
        for (partition, position) in &mut positions {
            if let Some(Ok(offset)) = committed.get(partition) {
                *position = offset.offset.get();
            }
        }
        Ok(positions)
    }

    async fn at_time(
        &mut self,
        partitions: &[TopicPartition],
        time: i64,
        admin: &Admin,
    ) -> Result<Vec<(TopicPartition, i64)>, JavaError> {
        let found: Offsets = offsets(partitions, OffsetSpec::Timestamp(time), admin).await?.into_iter().collect();
        let mut all = offsets(partitions, OffsetSpec::Latest, admin).await?;
        for (partition, offset) in &mut all {
            match found.get(partition) {
                Some(found) => *offset = *found,
                None => {
                    let TopicPartition { topic, partition } = partition;
                    self.remark(format!(
                        "Partition {partition} from topic {topic} is empty, without a committed record. Falling back \
                         to latest known offset."
                    ));
                }
            }
        }
        Ok(all)
    }
}

/// Partitions of topics, in the order in which Kafka's tool goes over them.
fn partitions_of(names: &[String], topics: &[TopicMetadata]) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = topics
        .iter()
        .filter(|topic| names.contains(&topic.name))
        .flat_map(|topic| topic.partitions.iter().map(|p| TopicPartition::new(topic.name.as_str(), p.id)))
        .collect();
    java::in_partition_hash_map_order(&mut partitions, |partition| partition);
    partitions
}

fn internal_topics(
    args: &StreamsApplicationReset,
    application: &str,
    topics: &[TopicMetadata],
) -> Result<Vec<String>, JavaError> {
    let mut names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    java::in_hash_map_order(&mut names, |name| name);
    let is_users = |name: &str| args.input_topics.iter().chain(&args.intermediate_topics).any(|topic| topic == name);
    let inferred: Vec<&str> =
        names.into_iter().filter(|name| is_internal_topic(name, application) && !is_users(name)).collect();
    if args.internal_topics.is_empty() {
        return Ok(inferred.into_iter().map(str::to_owned).collect());
    }
    match args.internal_topics.iter().find(|topic| !inferred.contains(&topic.as_str())) {
        None => Ok(args.internal_topics.clone()),
        Some(other) => Err(JavaError::illegal_argument(
            "Invalid topic specified in the --internal-topics option. Ensure that the topics specified are all internal \
             topics. Do a dry run without the --internal-topics option to see the list of all internal topics that can \
             be deleted.",
        )
        .with_plain(format!("{other} is no internal topic of {application}"))
        .with_hint(did_you_mean(other, inferred))),
    }
}
