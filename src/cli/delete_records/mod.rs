//! `delete-records`: delete the records of partitions up to given offsets. Kafka's `kafka-delete-records.sh`.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::Run;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, Style, UsageError, block_on, confirm_unless,
};
use crate::client::Admin;
use crate::client::admin::OffsetSpec;
use crate::config::IsolationLevel;
use crate::protocol::ErrorCode;
use crate::types::{Offset, TopicPartition};
use plan::Plan;

/// Delete the records of partitions up to given offsets
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
kafka-rs delete-records --offset-json-file plan.json              delete what the file says
kafka-rs delete-records --offset-json-file plan.json --dry-run    show what would be deleted

The file: {\"partitions\": [{\"topic\": \"orders\", \"partition\": 0, \"offset\": 100}], \"version\": 1}
Records before the offset are deleted; -1 stands for all that are there.")]
pub(super) struct DeleteRecords {
    /// JSON file of partitions and offsets
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    offset_json_file: Option<PathBuf>,
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete without asking
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What will become of a partition, or did.
struct Deletion {
    partition: TopicPartition,
    /// The first offset before and after; before: `None` if it was not looked up.
    start: Result<(Option<Offset>, Offset), JavaError>,
}

impl Run for DeleteRecords {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let Some(file) = &self.offset_json_file else { return Err(UsageError::missing("offset-json-file")) };
        let options = self.connect.admin_options(out)?;
        let plan = Plan::read(file)?;
        block_on(async {
            let admin = Admin::new(options);
            let deletions = if self.dry_run {
                expected(&plan, &admin).await?
            } else {
                if out.can_ask() && !self.yes {
                    let deletions = expected(&plan, &admin).await?;
                    out.for_question(|out| print_table(&deletions, Tense::Future, out))?;
                    if deletions.iter().all(|deletion| deletion.start.is_err()) {
                        out.note("there is nothing to delete")?;
                        return Ok(Exit::Failure);
                    }
                    confirm_unless(self.yes, "Delete these records?", out)?;
                }
                if out.style() == Style::Kafka {
                    out.line("Executing records delete operation")?;
                }
                carried_out(&plan, &admin).await?
            };
            print(&deletions, self.dry_run, out)?;
            let all_done = deletions.iter().all(|deletion| deletion.start.is_ok());
            // Kafka's tool ends well whatever became of the partitions.
            Ok(if all_done || out.style() == Style::Kafka { Exit::Success } else { Exit::Failure })
        })
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else {
            return super::support::report_failure(error, out);
        };
        error.report(out, |error, out| out.note(error))?;
        Ok(Exit::Failure)
    }
}

/// Partitions of the plan that are not there. Kafka's tool asks for them for a minute.
async fn missing(plan: &Plan, admin: &Admin) -> Result<BTreeSet<TopicPartition>, JavaError> {
    let topics = admin.list_topics().await.map_err(|error| JavaError::call("deleteRecords", &error))?;
    let exists = |wanted: &TopicPartition| {
        let topic = topics.iter().find(|topic| topic.name == wanted.topic);
        topic.is_some_and(|topic| topic.partitions.iter().any(|partition| partition.id == wanted.partition))
    };
    Ok(plan.partitions.iter().map(|(partition, _)| partition).filter(|wanted| !exists(wanted)).cloned().collect())
}

fn unknown_partition() -> JavaError {
    JavaError::api(&ErrorCode::UnknownTopicOrPartition.into())
}

async fn carried_out(plan: &Plan, admin: &Admin) -> Result<Vec<Deletion>, JavaError> {
    let missing = missing(plan, admin).await?;
    let mut before = plan.before();
    before.retain(|(partition, _)| !missing.contains(partition));
    let mut results = admin.delete_records(before).await;
    let deletion = |(partition, _): &(TopicPartition, i64)| {
        let start = match results.remove(partition) {
            Some(Ok(start)) => Ok((None, start)),
            Some(Err(error)) => Err(JavaError::call("deleteRecords", &error)),
            None => Err(unknown_partition()),
        };
        Deletion { partition: partition.clone(), start }
    };
    Ok(plan.partitions.iter().map(deletion).collect())
}

/// What carrying out the plan would do now.
async fn expected(plan: &Plan, admin: &Admin) -> Result<Vec<Deletion>, JavaError> {
    let missing = missing(plan, admin).await?;
    let offsets = async |spec| {
        let there = plan.partitions.iter().filter(|(partition, _)| !missing.contains(partition));
        let wanted = there.map(|(partition, _)| (partition.clone(), spec)).collect();
        let listed = admin.list_offsets(wanted, IsolationLevel::ReadUncommitted).await;
        let offset = |(partition, result): (TopicPartition, Result<crate::client::admin::ListedOffset, _>)| {
            let offset = result.map(|listed| listed.offset.unwrap_or_default());
            (partition, offset.map_err(|error| JavaError::call("listOffsets", &error)))
        };
        listed.into_iter().map(offset).collect::<BTreeMap<_, Result<Offset, JavaError>>>()
    };
    let mut starts = offsets(OffsetSpec::Earliest).await;
    let mut ends = offsets(OffsetSpec::Latest).await;
    let mut start_of = |partition: &TopicPartition, before: Option<Offset>| {
        let start = starts.remove(partition).ok_or_else(unknown_partition)??;
        let end = ends.remove(partition).ok_or_else(unknown_partition)??;
        match before {
            Some(before) if before > end || before.get() < 0 => {
                Err(JavaError::api(&ErrorCode::OffsetOutOfRange.into()))
            }
            before => Ok((Some(start), before.unwrap_or(end).max(start))),
        }
    };
    let deletion = |(partition, before): (TopicPartition, Option<Offset>)| {
        let start = start_of(&partition, before);
        Deletion { partition, start }
    };
    Ok(plan.before().into_iter().map(deletion).collect())
}

/// Whether it has been done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tense {
    Past,
    Future,
}

fn print(deletions: &[Deletion], dry_run: bool, out: &mut Output) -> anyhow::Result<()> {
    match out.style() {
        Style::Kafka => {
            let title =
                if dry_run { "Records delete operation, dry run:" } else { "Records delete operation completed:" };
            out.line(title)?;
            for Deletion { partition, start } in deletions {
                match start {
                    Ok((_, left)) => out.line(format_args!("partition: {partition}\tlow_watermark: {left}"))?,
                    Err(error) => out.line(format_args!("partition: {partition}\terror: {}", error.to_java()))?,
                }
            }
            Ok(())
        }
        Style::Table => print_table(deletions, if dry_run { Tense::Future } else { Tense::Past }, out),
        Style::Json => {
            let object = |Deletion { partition, start }: &Deletion| {
                json!({
                    "topic": partition.topic,
                    "partition": partition.partition.get(),
                    "lowWatermark": start.as_ref().ok().map(|(_, left)| left.get()),
                    "error": start.as_ref().err().map(JavaError::plain),
                })
            };
            let partitions: Vec<_> = deletions.iter().map(object).collect();
            Ok(out.json(&json!({"version": 1, "dryRun": dry_run, "partitions": partitions}))?)
        }
    }
}

fn print_table(deletions: &[Deletion], tense: Tense, out: &mut Output) -> anyhow::Result<()> {
    let row = |Deletion { partition, start }: &Deletion| {
        let (records, left) = match start {
            Ok((Some(first), left)) => ((left.get() - first.get()).to_string(), left.to_string()),
            Ok((None, left)) => (String::new(), left.to_string()),
            Err(error) => (String::new(), error.plain().to_owned()),
        };
        let mut row = vec![partition.topic.clone(), partition.partition.to_string()];
        row.extend((tense == Tense::Future).then_some(records));
        row.push(left);
        row
    };
    if deletions.is_empty() {
        out.note("the plan has no partitions")?;
    }
    let header: &[&str] = match tense {
        Tense::Past => &["Topic", "Partition", "Begins at"],
        Tense::Future => &["Topic", "Partition", "Offsets to delete", "Would begin at"],
    };
    Ok(out.table(header, deletions.iter().map(row).collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_says_the_same() {
        let deletions = || {
            vec![
                Deletion { partition: TopicPartition::new("t", 0), start: Ok((Some(Offset(2)), Offset(5))) },
                Deletion { partition: TopicPartition::new("t", 1), start: Err(unknown_partition()) },
            ]
        };
        let printed = |style, dry_run| {
            let (mut out, captured) = Output::captured();
            out.set_style(style);
            print(&deletions(), dry_run, &mut out).unwrap();
            out.flush().unwrap();
            captured.stdout()
        };
        let error = "This server does not host this topic-partition.";
        assert_eq!(
            printed(Style::Kafka, false),
            format!(
                "Records delete operation completed:\npartition: t-0\tlow_watermark: 5\npartition: t-1\terror: \
                 org.apache.kafka.common.errors.UnknownTopicOrPartitionException: {error}\n"
            )
        );
        let table = printed(Style::Table, true);
        assert!(table.contains("Offsets to delete") && table.contains("┆ 3 ") && table.contains(error), "{table}");
        let json: serde_json::Value = serde_json::from_str(&printed(Style::Json, true)).unwrap();
        assert_eq!(
            json,
            json!({"version": 1, "dryRun": true, "partitions": [
                {"topic": "t", "partition": 0, "lowWatermark": 5, "error": null},
                {"topic": "t", "partition": 1, "lowWatermark": null, "error": error},
            ]})
        );
    }
}
