//! `topics --alter`: more partitions. Settings are changed by another tool.

use serde_json::json;

use super::Topics;
use super::create::replica_assignment;
use crate::cli::support::{JavaError, Output, Style, print_plan};
use crate::client::Admin;
use crate::client::admin::MorePartitions;

pub(super) async fn run(args: &Topics, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let assignment = args.replica_assignment.as_deref().map(replica_assignment).transpose()?;
    let count = args.partitions.unwrap_or_default();
    let topics = super::list::find_or_pick(args, admin, out).await?;
    let mut grown = Vec::with_capacity(topics.len());
    for topic in &topics {
        // The assignment counts from partition 0; the partitions that exist stay where they are.
        let replicas = assignment.as_ref().map(|assignment| {
            let existing = admin.cluster().metadata().topic(topic).map_or(0, |topic| topic.partitions.len());
            assignment.iter().skip(existing).cloned().collect()
        });
        grown.push(MorePartitions { topic: topic.clone(), count, replicas });
    }
    if grown.is_empty() {
        return Ok(());
    }
    let results = admin
        .create_partitions(&grown, args.dry_run)
        .await
        .map_err(|error| JavaError::call("createPartitions", &error))?;
    if let Some(error) = results.iter().find_map(|(_, result)| result.as_ref().err()) {
        return Err(JavaError::api(error).into());
    }
    if args.dry_run {
        let step = |topic: &String| {
            let now = admin.cluster().metadata().topic(topic).map_or(0, |topic| topic.partitions.len());
            let text = format!("give {topic} {count} partitions instead of {now}");
            (text, json!({ "alter": topic, "partitions": count, "partitionsNow": now }))
        };
        return Ok(print_plan(&topics.iter().map(step).collect::<Vec<_>>(), out)?);
    }
    match out.style() {
        Style::Kafka => {}
        Style::Table => out.line(format_args!("{} now has {count} partitions.", topics.join(", ")))?,
        Style::Json => out.json(&json!({ "version": 1, "altered": topics }))?,
    }
    Ok(())
}
