//! `topics --delete`.

use serde_json::json;

use super::Topics;
use crate::cli::support::{JavaError, Output, Style, confirm_unless, print_plan};
use crate::client::Admin;
use crate::client::admin::TopicName;

pub(super) async fn run(args: &Topics, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let topics = super::list::find_or_pick(args, admin, out).await?;
    if topics.is_empty() {
        return Ok(());
    }
    if args.dry_run {
        let step = |topic: &String| (format!("delete {topic} with all its records"), json!({ "delete": topic }));
        return Ok(print_plan(&topics.iter().map(step).collect::<Vec<_>>(), out)?);
    }
    confirm_unless(args.yes, &question(&topics), out)?;
    let names: Vec<_> = topics.iter().cloned().map(TopicName::Name).collect();
    let results = admin.delete_topics(&names).await.map_err(|error| JavaError::call("deleteTopics", &error))?;
    let failed = results.iter().find_map(|(_, result)| result.as_ref().err());
    if let Some(error) = failed {
        return Err(JavaError::api(error).into());
    }
    match out.style() {
        Style::Kafka => {}
        Style::Table => out.line(format_args!("Deleted {}.", topics.join(", ")))?,
        Style::Json => out.json(&json!({ "version": 1, "deleted": topics }))?,
    }
    Ok(())
}

fn question(topics: &[String]) -> String {
    match topics {
        [topic] => format!("Delete the topic {topic} with all its records?"),
        _ => format!("Delete {} topics with all their records: {}?", topics.len(), topics.join(", ")),
    }
}
