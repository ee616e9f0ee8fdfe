//! `consumer-groups --delete-offsets`.

use super::ConsumerGroups;
use crate::cli::support::{Exit, JavaError, OffsetDeletion, Output};
use crate::client::Admin;

pub(super) async fn run(args: &ConsumerGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let [group] = args.group.as_slice() else {
        let message = "Found multiple arguments for option group, but you asked for only one";
        return Err(JavaError::new("joptsimple.MultipleArgumentsForOptionException", message).into());
    };
    let mut deletion = OffsetDeletion::new(group, args.dry_run);
    let partitions = deletion.partitions_of(&args.topic, admin).await?;
    deletion.carry_out(partitions, args.yes, admin, out).await?;
    deletion.print(out)
}
