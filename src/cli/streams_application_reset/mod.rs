//! `streams-application-reset`: have a Kafka Streams application process its input again. Kafka's
//! `kafka-streams-application-reset.sh`.
//!
//! What is to be done is worked out as a whole before anything of it is done: `plan.rs`.

mod plan;

use std::collections::BTreeSet;
use std::io;

use serde_json::json;

use super::support::reset::{self, ScenarioArgs};
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, Style, UsageError, block_on, confirm_unless,
};
use super::{Example, Run};
use crate::client::Admin;
use crate::client::admin::{DescribedMember, RemovedMember, TopicName};
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;
use plan::Plan;

/// Have a Kafka Streams application process its input again
#[derive(Debug, Clone, clap::Parser)]
#[command(after_help = "\
Sets the application's offsets in its input topics (to the first record, if nothing else is said) and deletes its \
internal topics. Stop all its instances first, and delete what they keep on their disks: KafkaStreams#cleanUp().")]
pub(super) struct StreamsApplicationReset {
    /// application.id of the application
    #[arg(long, value_name = "ID")]
    application_id: Option<String>,
    /// Topics that it reads
    #[arg(long, value_name = "TOPIC,...", value_delimiter = ',')]
    input_topics: Vec<String>,
    /// Topics that it writes and reads again, by through()
    #[arg(long, value_name = "TOPIC,...", value_delimiter = ',', hide = true)]
    intermediate_topics: Vec<String>,
    /// Internal topics to delete [default: all of the application]
    #[arg(long, value_name = "TOPIC,...", value_delimiter = ',', hide_short_help = true)]
    internal_topics: Vec<String>,
    /// Remove members that the group still has
    #[arg(long)]
    force: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Reset without asking
    #[arg(long, short, hide_short_help = true)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// Old spelling of --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...", hide = true)]
    bootstrap_servers: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

impl Run for StreamsApplicationReset {
    const EXAMPLES: &'static [Example] = &[
        ("See what a reset would do", "kafka-rs streams-application-reset --application-id app --dry-run"),
        (
            "Have an application read its input again",
            "kafka-rs streams-application-reset --application-id a --input-topics t",
        ),
    ];

    const NEEDS_NO_WORDS: bool = true;

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        if let Some(servers) = self.bootstrap_servers.take() {
            out.note(format_args!("--bootstrap-servers is old: write --bootstrap-server {servers}"))?;
            self.connect.bootstrap_server.get_or_insert(servers);
        }
        let Some(application) = self.application_id.clone() else {
            return Err(UsageError::because("Missing required option(s) [application-id]"));
        };
        self.scenario.check()?;
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(self.reset(&application, &admin, out))
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else {
            return super::support::report_failure(error, out);
        };
        error.report(out, |error, out| out.note(format_args!("ERROR: {}", error.to_java())))?;
        Ok(Exit::Failure)
    }
}

impl StreamsApplicationReset {
    async fn reset(&self, application: &str, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
        let members = self.members(application, admin).await?;
        let plan = Plan::work_out(self, application, admin).await?;
        if out.style() == Style::Kafka {
            return self.reset_as_kafka(application, &members, plan, admin, out).await;
        }
        let topics = plan.internal_topics?;
        if !self.dry_run {
            if out.can_ask() && !self.yes {
                out.for_question(|out| print_offsets(&plan.offsets, out))?;
                confirm_unless(self.yes, &question(application, &topics, members.len()), out)?;
            }
            remove(application, &members, admin).await?;
            commit(application, &plan.offsets, admin).await?;
            delete(&topics, admin).await?;
        }
        if out.style() == Style::Json {
            let offset = |(TopicPartition { topic, partition }, offset): &(TopicPartition, i64)| json!({"topic": topic, "partition": partition.get(), "newOffset": offset});
            out.json(&json!({
                "version": 1,
                "dryRun": self.dry_run,
                "applicationId": application,
                "offsets": plan.offsets.iter().map(offset).collect::<Vec<_>>(),
                "deletedTopics": topics,
                "unknownTopics": plan.unknown_topics,
            }))?;
        } else {
            for remark in &plan.remarks {
                out.note(remark)?;
            }
            for topic in &plan.unknown_topics {
                out.error(&format!("there is no topic {topic}"))?;
            }
            if self.dry_run || !out.can_ask() || self.yes {
                print_offsets(&plan.offsets, out)?;
            }
            let done = if self.dry_run { "Would delete" } else { "Deleted" };
            if !topics.is_empty() {
                out.line(format_args!("{done} the internal topics {}.", topics.join(", ")))?;
            }
        }
        Ok(if plan.unknown_topics.is_empty() { Exit::Success } else { Exit::Failure })
    }

    /// The same with the lines of Kafka's tool, each before what it tells of.
    async fn reset_as_kafka(
        &self,
        application: &str,
        members: &[DescribedMember],
        plan: Plan,
        admin: &Admin,
        out: &mut Output,
    ) -> anyhow::Result<Exit> {
        if !members.is_empty() {
            out.line(format_args!("Force deleting all active members in the group: {application}"))?;
            if !self.dry_run {
                remove(application, members, admin).await?;
            }
        }
        if self.dry_run {
            out.line("----Dry run displays the actions which will be performed when running Streams Reset Tool----")?;
        }
        plan.lines.iter().try_for_each(|line| out.line(line))?;
        // Before offsets are set: a mistake in one part leaves the other alone.
        let topics = plan.internal_topics?;
        if plan.has_partitions {
            if !self.dry_run {
                commit(application, &plan.offsets, admin).await?;
            }
            out.line("Done.")?;
        }
        let kind = if self.internal_topics.is_empty() { "inferred" } else { "specified" };
        out.line(format_args!("Deleting {kind} internal topics [{}]", topics.join(", ")))?;
        if !self.dry_run {
            delete(&topics, admin).await?;
        }
        out.line("Done.")?;
        Ok(if plan.unknown_topics.is_empty() { Exit::Success } else { Exit::Failure })
    }

    /// The members that the group has; an error unless they may be removed.
    async fn members(&self, application: &str, admin: &Admin) -> Result<Vec<DescribedMember>, JavaError> {
        let description = match admin.describe_group(application).await {
            Ok(description) => description,
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => return Ok(Vec::new()),
            Err(error) => {
                let error = JavaError::call("findCoordinator", &error);
                return Err(error.wrapped_in("java.util.concurrent.ExecutionException"));
            }
        };
        let members = description.members;
        if members.is_empty() || self.force {
            return Ok(members);
        }
        let shown: Vec<_> = members.iter().map(java_member).collect();
        let clients: BTreeSet<_> = members.iter().map(|member| member.client_id.as_str()).collect();
        let clients: Vec<_> = clients.into_iter().collect();
        Err(JavaError::new(
            "java.lang.IllegalStateException",
            format!(
                "Consumer group '{application}' is still active and has following members: [{}]. Make sure to stop all \
                 running application instances before running the reset tool. You can use option '--force' to remove \
                 active members from the group.",
                shown.join(", ")
            ),
        )
        .with_plain(format!("{application} still has {} members: {}", members.len(), clients.join(", ")))
        .with_hint(Some(
            "stop all instances of the application, or remove them from the group with --force".to_owned(),
        )))
    }
}

fn java_member(member: &DescribedMember) -> String {
    let partitions = |partitions: &[TopicPartition]| {
        let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        format!("(topicPartitions={})", names.join(","))
    };
    let target = member.target_assignment.as_deref();
    let target =
        target.map_or_else(|| "Optional.empty".to_owned(), |target| format!("Optional[{}]", partitions(target)));
    let null = || "null".to_owned();
    format!(
        "(memberId={}, groupInstanceId={}, rackId=null, clientId={}, host={}, assignment={}, targetAssignment={target}, \
         memberEpoch={}, upgraded={})",
        member.member_id,
        member.group_instance_id.clone().unwrap_or_else(null),
        member.client_id,
        member.client_host,
        partitions(&member.assignment),
        member.member_epoch.map_or_else(null, |epoch| epoch.to_string()),
        member.upgraded.map_or_else(null, |upgraded| upgraded.to_string()),
    )
}

fn question(application: &str, topics: &[String], members: usize) -> String {
    let mut parts = match members {
        0 => vec![format!("Set the offsets of {application}")],
        _ => vec![format!("Remove {members} members"), format!("set the offsets of {application}")],
    };
    if !topics.is_empty() {
        parts.push(format!("delete {} internal topics: {}", topics.len(), topics.join(", ")));
    }
    format!("{}?", parts.join(", "))
}

async fn remove(application: &str, members: &[DescribedMember], admin: &Admin) -> Result<(), JavaError> {
    if members.is_empty() {
        return Ok(());
    }
    let removed: Vec<_> = members
        .iter()
        .map(|member| match &member.group_instance_id {
            Some(instance) => RemovedMember::Instance(instance.clone()),
            None => RemovedMember::Member(member.member_id.clone()),
        })
        .collect();
    let reason = "the application is reset";
    let results = admin.remove_group_members(application, &removed, reason).await;
    let results = results.map_err(|error| JavaError::call("findCoordinator", &error))?;
    // One that has left by itself meanwhile is what was wanted.
    let failed = results.into_iter().filter_map(Result::err).find(|error| error.code != ErrorCode::UnknownMemberId);
    failed.map_or(Ok(()), |error| Err(JavaError::api(&error)))
}

async fn commit(application: &str, offsets: &[(TopicPartition, i64)], admin: &Admin) -> Result<(), JavaError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let results = reset::commit(application, offsets, admin).await?;
    reset::all_set(results, |partition| format!("could not set the offset of {partition}"))
        .map_err(|error| error.with_hint(Some("no internal topic was deleted".to_owned())))
}

async fn delete(topics: &[String], admin: &Admin) -> Result<(), JavaError> {
    if topics.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = topics.iter().cloned().map(TopicName::Name).collect();
    let results = admin.delete_topics(&names).await.map_err(|error| JavaError::call("deleteTopics", &error))?;
    let failed: Vec<_> = topics
        .iter()
        .zip(results)
        .filter_map(|(topic, (_, result))| Some(format!("{topic}: {}", result.err()?)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let message = "Encountered an error deleting one or more topics";
    Err(JavaError::runtime(message).with_hint(Some(format!("not deleted: {}", failed.join("; ")))))
}

fn print_offsets(offsets: &[(TopicPartition, i64)], out: &mut Output) -> io::Result<()> {
    let row = |(TopicPartition { topic, partition }, offset): &(TopicPartition, i64)| {
        vec![topic.clone(), partition.to_string(), offset.to_string()]
    };
    let mut offsets = offsets.to_vec();
    offsets.sort();
    out.table(&["Topic", "Partition", "New offset"], offsets.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_as_java_prints_them() {
        let mut member = DescribedMember {
            member_id: "m".to_owned(),
            group_instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            assignment: vec![TopicPartition::new("in", 0), TopicPartition::new("in", 1)],
            target_assignment: None,
            member_epoch: None,
            upgraded: None,
        };
        assert_eq!(
            java_member(&member),
            "(memberId=m, groupInstanceId=null, rackId=null, clientId=c, host=/127.0.0.1, assignment=(topicPartitions=\
             in-0,in-1), targetAssignment=Optional.empty, memberEpoch=null, upgraded=null)"
        );
        member.target_assignment = Some(Vec::new());
        assert!(java_member(&member).contains("targetAssignment=Optional[(topicPartitions=)]"));
    }

    #[test]
    fn the_question_names_what_will_go() {
        assert_eq!(question("app", &[], 0), "Set the offsets of app?");
        assert_eq!(
            question("app", &["app-x-changelog".to_owned()], 2),
            "Remove 2 members, set the offsets of app, delete 1 internal topics: app-x-changelog?"
        );
    }
}
