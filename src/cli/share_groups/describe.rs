//! `share-groups --describe`: what is known of groups. How it is shown is in `print.rs`.

use super::print::Described;
use super::{ShareGroups, TOOL};
use crate::cli::support::groups::{Part, execution, print_described, unexpected};
use crate::cli::support::{Exit, JavaError, Output};
use crate::client::Admin;
use crate::client::admin::{ShareGroupDescription, ShareOffset};
use crate::types::TopicPartition;

pub(super) async fn run(args: &ShareGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let part = args.describe_options().part();
    let mut groups = args.groups(admin).await?;
    groups.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    let mut described = Vec::with_capacity(groups.len());
    for group in &groups {
        let mut description = describe(group, admin).await.map_err(execution)?;
        description.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        let offsets = match part {
            Part::Offsets => offsets(group, admin).await?,
            Part::Members | Part::State => Vec::new(),
        };
        described.push(Described { description, offsets });
    }
    print_described(&described, part, args.verbose, out)?;
    Ok(Exit::Success)
}

/// Describes a share group.
pub(super) async fn describe(group: &str, admin: &Admin) -> Result<ShareGroupDescription, JavaError> {
    match admin.describe_share_group(group).await {
        Ok(description) => Ok(description),
        Err(error) => Err(TOOL.not_described(group, &error, admin).await),
    }
}

/// Where the group is.
pub(super) async fn offsets(group: &str, admin: &Admin) -> Result<Vec<(TopicPartition, ShareOffset)>, JavaError> {
    let offsets = admin.share_group_offsets(group).await;
    let offsets = offsets.map_err(|error| unexpected(JavaError::call("listShareGroupOffsets", &error)))?;
    offsets
        .into_iter()
        .map(|(partition, offset)| Ok((partition, offset.map_err(|error| unexpected(JavaError::api(&error)))?)))
        .collect()
}
