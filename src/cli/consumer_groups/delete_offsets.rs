//! `consumer-groups --delete-offsets`.

use super::ConsumerGroups;
use crate::cli::support::groups::one_group;
use crate::cli::support::{Exit, OffsetDeletion, Output};
use crate::client::Admin;

pub(super) async fn run(args: &ConsumerGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let mut deletion = OffsetDeletion::new(one_group(&args.group)?, args.dry_run);
    let partitions = deletion.partitions_of(&args.topic, admin).await?;
    deletion.carry_out(partitions, args.yes, admin, out).await?;
    deletion.print(out)
}
