//! Deleting offsets of groups: what consumer-groups and streams-groups share.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::groups::kafkas_failure;
use super::reset::partitions::{describe_topics, listed_in};
use super::{Column, Exit, JavaError, Output, Style, confirm_unless, in_columns, or_dash, with_header};
use crate::client::{Admin, ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// What came of each partition; without a number where the topic could not be described.
type Results = Vec<(String, Option<i32>, Result<(), JavaError>)>;

/// Offsets of a group that are to be deleted, and what came of it.
pub(crate) struct OffsetDeletion {
    group: String,
    dry_run: bool,
    /// The first error of the request.
    error: Option<JavaError>,
    code: ErrorCode,
    results: Results,
}

impl OffsetDeletion {
    pub(crate) fn new(group: &str, dry_run: bool) -> Self {
        Self { group: group.to_owned(), dry_run, error: None, code: ErrorCode::None, results: Results::new() }
    }

    /// The partitions that `topic:0,1` and `topic` mean; notes the topics that are not there.
    pub(crate) async fn partitions_of(
        &mut self,
        args: &[String],
        admin: &Admin,
    ) -> anyhow::Result<Vec<TopicPartition>> {
        let (with_partitions, whole): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.contains(':'));
        let mut partitions = BTreeSet::new();
        for arg in with_partitions {
            partitions.extend(listed_in(arg)?);
        }
        let whole: Vec<String> = whole.into_iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        for (name, topic) in describe_topics(&whole, admin).await? {
            match topic {
                Ok(topic) => {
                    partitions.extend(topic.partitions.iter().map(|p| TopicPartition::new(name.as_str(), p.id)));
                }
                Err(error) => self.results.push((name, None, Err(error))),
            }
        }
        Ok(partitions.into_iter().collect())
    }

    /// Deletes the offsets, once somebody who is asked agrees; in a dry run only says which.
    pub(crate) async fn carry_out(
        &mut self,
        partitions: Vec<TopicPartition>,
        yes: bool,
        admin: &Admin,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if self.dry_run {
            self.results.extend(partitions.into_iter().map(|p| (p.topic, Some(p.partition.get()), Ok(()))));
        } else {
            let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            let question = format!("Delete the offsets of {} for {}?", self.group, names.join(", "));
            confirm_unless(yes || partitions.is_empty(), &question, out)?;
            self.delete(&partitions, admin).await?;
        }
        self.results.sort_by_key(|(topic, partition, _)| format!("{topic}{}", partition.unwrap_or(-1)));
        Ok(())
    }

    async fn delete(&mut self, partitions: &[TopicPartition], admin: &Admin) -> Result<(), JavaError> {
        let deleted = match admin.delete_group_offsets(&self.group, partitions).await {
            Ok(deleted) => deleted,
            // The group as a whole: so it is for each partition.
            Err(ClientError::Api(error)) => {
                self.note(&error);
                partitions.iter().map(|partition| (partition.clone(), Err(error.clone()))).collect::<BTreeMap<_, _>>()
            }
            Err(error) => return Err(JavaError::call("findCoordinator", &error)),
        };
        for (partition, result) in deleted {
            if let Err(error) = &result {
                self.note(error);
            }
            let result = result.map_err(|error| JavaError::api(&error));
            self.results.push((partition.topic, Some(partition.partition.get()), result));
        }
        Ok(())
    }

    fn note(&mut self, error: &ApiError) {
        if self.error.is_none() {
            self.error = Some(JavaError::api(error));
            self.code = error.code;
        }
    }

    pub(crate) fn print(&self, out: &mut Output) -> anyhow::Result<Exit> {
        match out.style() {
            Style::Kafka => self.print_columns(out)?,
            Style::Table => {
                let row = |(topic, partition, result): &(String, Option<i32>, Result<(), JavaError>)| {
                    let done = if self.dry_run { "would be deleted" } else { "deleted" };
                    let status = result.as_ref().map_or_else(|error| error.plain().to_owned(), |()| done.to_owned());
                    vec![topic.clone(), or_dash(*partition), status]
                };
                out.table(&["Topic", "Partition", "Offset"], self.results.iter().map(row).collect())?;
            }
            Style::Json => {
                let object = |(topic, partition, result): &(String, Option<i32>, Result<(), JavaError>)| json!({"topic": topic, "partition": partition, "error": result.as_ref().err().map(JavaError::plain)});
                out.json(&json!({
                    "version": 1,
                    "dryRun": self.dry_run,
                    "group": self.group,
                    "error": self.error.as_ref().map(JavaError::plain),
                    "partitions": self.results.iter().map(object).collect::<Vec<_>>(),
                }))?;
            }
        }
        let all_done = self.error.is_none() && self.results.iter().all(|(_, _, result)| result.is_ok());
        Ok(if all_done { Exit::Success } else { kafkas_failure(out) })
    }

    fn print_columns(&self, out: &mut Output) -> std::io::Result<()> {
        let group = &self.group;
        match (self.code, &self.error) {
            _ if self.dry_run => out.line(format_args!("Dry run: offsets of group {group} that would be deleted."))?,
            (ErrorCode::None, _) | (_, None) => {
                out.line(format_args!("Request succeeded for deleting offsets from group {group}."))?
            }
            (
                ErrorCode::InvalidGroupId
                | ErrorCode::GroupIdNotFound
                | ErrorCode::GroupAuthorizationFailed
                | ErrorCode::NonEmptyGroup,
                Some(error),
            ) => out.line(format_args!("\nError: {error}"))?,
            (
                ErrorCode::GroupSubscribedToTopic
                | ErrorCode::TopicAuthorizationFailed
                | ErrorCode::UnknownTopicOrPartition,
                _,
            ) => out.line("\nError: Encountered some partition-level error, see the follow-up details.")?,
            (code, _) => out.line(format_args!("\nError: Encountered some unknown error: {}", code.name()))?,
        }
        let row = |(topic, partition, result): &(String, Option<i32>, Result<(), JavaError>)| {
            let status = match result {
                Ok(()) => "Successful".to_owned(),
                Err(error) => format!("Error: {}", error.to_java()),
            };
            vec![topic.clone(), or_dash(*partition), status]
        };
        let rows = with_header(&["TOPIC", "PARTITION", "STATUS"], self.results.iter().map(row));
        out.line("")?;
        for line in in_columns(&[Column::AtLeast(15), Column::Fixed(10), Column::Fixed(15)], &rows) {
            out.line(line)?;
        }
        Ok(())
    }
}
