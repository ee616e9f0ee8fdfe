//! `share-groups --delete` and `--delete-offsets`.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ShareGroups, TOOL};
use crate::cli::support::groups::{Deletion, deletion_question, kafkas_failure, one_group};
use crate::cli::support::{Column, Exit, JavaError, Output, Style, confirm_unless, in_columns, with_header};
use crate::client::{Admin, ClientError};
use crate::protocol::ErrorCode;

pub(super) async fn groups(args: &ShareGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let groups = args.groups(admin).await?;
    let listed = TOOL.all(admin).await?;
    let mut deletion = Deletion::new(TOOL, args.dry_run);
    let mut deletable = Vec::new();
    for group in groups {
        let state = listed.iter().find(|listed| listed.group_id == group).map(|listed| listed.state.as_str());
        let refusal = match state {
            None => {
                let near = TOOL.near(&group, admin).await;
                Some(JavaError::illegal_argument(format!("Group '{group}' is not a share group.")).with_hint(near))
            }
            Some(state) => TOOL.refuses_to_delete(&group, state),
        };
        match refusal {
            Some(error) => deletion.add(group, Err(error)),
            None => deletable.push(group),
        }
    }
    if !args.dry_run {
        confirm_unless(args.yes || deletable.is_empty(), &deletion_question(&deletable), out)?;
    }
    deletion.carry_out(deletable, admin).await;
    deletion.print(out)
}

pub(super) async fn offsets(args: &ShareGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let group = one_group(&args.group)?.to_owned();
    let mut topics = args.topic.clone();
    topics.sort();
    topics.dedup();
    let (error, results) = if args.dry_run {
        (None, topics.into_iter().map(|topic| (topic, Ok(()))).collect())
    } else {
        let question = format!("Have {group} forget where it is in {}?", topics.join(", "));
        confirm_unless(args.yes, &question, out)?;
        delete_offsets(&group, &topics, admin).await?
    };
    print(&group, args.dry_run, error.as_ref(), &results, out)?;
    let all_done = error.is_none() && results.values().all(Result::is_ok);
    Ok(if all_done { Exit::Success } else { kafkas_failure(out) })
}

type Results = BTreeMap<String, Result<(), JavaError>>;

/// The error of the request as a whole with its code, and what came of each topic.
async fn delete_offsets(
    group: &str,
    topics: &[String],
    admin: &Admin,
) -> Result<(Option<(ErrorCode, JavaError)>, Results), JavaError> {
    match admin.delete_share_group_offsets(group, topics).await {
        Ok(results) => {
            let result = |(topic, result): (String, Result<(), crate::client::ApiError>)| {
                (topic, result.map_err(|error| JavaError::api(&error)))
            };
            Ok((None, results.into_iter().map(result).collect()))
        }
        Err(ClientError::Api(error)) => {
            let failed = JavaError::api(&error);
            let results = topics.iter().map(|topic| (topic.clone(), Err(failed.clone()))).collect();
            Ok((Some((error.code, failed)), results))
        }
        Err(error) => Err(JavaError::call("findCoordinator", &error)),
    }
}

fn print(
    group: &str,
    dry_run: bool,
    error: Option<&(ErrorCode, JavaError)>,
    results: &Results,
    out: &mut Output,
) -> anyhow::Result<()> {
    let status = |result: &Result<(), JavaError>| match result {
        Ok(()) if dry_run => "Would be forgotten".to_owned(),
        Ok(()) => "Successful".to_owned(),
        Err(error) => format!("Error: {error}"),
    };
    let rows = results.iter().map(|(topic, result)| vec![topic.clone(), status(result)]);
    match out.style() {
        Style::Kafka => {
            match error {
                Some((
                    ErrorCode::InvalidGroupId
                    | ErrorCode::GroupIdNotFound
                    | ErrorCode::GroupAuthorizationFailed
                    | ErrorCode::NonEmptyGroup,
                    error,
                )) => out.line(format_args!("\nError: {error}"))?,
                None | Some((ErrorCode::TopicAuthorizationFailed | ErrorCode::UnknownTopicOrPartition, _)) => {}
                Some((_, error)) => {
                    out.line(format_args!("\nError: Encounter some unknown error: {}", error.to_java()))?
                }
            }
            let rows = with_header(&["TOPIC", "STATUS"], rows);
            out.line("")?;
            in_columns(&[Column::AtLeast(15), Column::Open], &rows).into_iter().try_for_each(|line| out.line(line))?;
        }
        Style::Table => out.table(&["Topic", "Status"], rows.collect())?,
        Style::Json => {
            let object = |(topic, result): (&String, &Result<(), JavaError>)| json!({"topic": topic, "error": result.as_ref().err().map(JavaError::plain)});
            out.json(&json!({
                "version": 1,
                "dryRun": dry_run,
                "group": group,
                "error": error.map(|(_, error)| error.plain()),
                "topics": results.iter().map(object).collect::<Vec<_>>(),
            }))?;
        }
    }
    Ok(())
}
