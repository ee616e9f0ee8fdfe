//! `consumer-groups --delete`.

use super::{ConsumerGroups, TOOL};
use crate::cli::support::groups::{Deletion, deletion_question};
use crate::cli::support::{Exit, Output, confirm_unless};
use crate::client::Admin;

pub(super) async fn run(args: &ConsumerGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let groups = args.groups(admin).await?;
    if !args.dry_run {
        confirm_unless(args.yes || groups.is_empty(), &deletion_question(&groups), out)?;
    }
    let mut deletion = Deletion::new(TOOL, args.dry_run);
    deletion.carry_out(groups, admin).await;
    deletion.print(out)
}
