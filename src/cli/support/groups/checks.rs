//! Which options go together, as far as that is alike in the tools. The texts are Kafka's.

use super::Part;
use crate::cli::support::UsageError;

/// The options that say what `--describe` tells of groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DescribeOptions<'a> {
    pub(crate) members: bool,
    pub(crate) offsets: bool,
    pub(crate) state: Option<&'a str>,
}

impl DescribeOptions<'_> {
    /// Refuses more than one of them, and a value for `--state`, which is for `--list`.
    pub(crate) fn check(self) -> anyhow::Result<()> {
        let kinds = [self.members, self.offsets, self.state.is_some()];
        if kinds.into_iter().filter(|given| *given).count() > 1 {
            return Err(UsageError::because(
                "Option [describe] takes at most one of these options: [members], [offsets], [state]",
            ));
        }
        if self.state.is_some_and(|state| !state.is_empty()) {
            return Err(UsageError::because("Option [describe] does not take a value for [state]"));
        }
        Ok(())
    }

    /// What they ask for.
    pub(crate) fn part(self) -> Part {
        match (self.members, self.state) {
            (true, _) => Part::Members,
            (false, Some(_)) => Part::State,
            (false, None) => Part::Offsets,
        }
    }
}

/// Refuses an action on groups if none are named.
pub(crate) fn needs_group(action: &str, has_group: bool) -> anyhow::Result<()> {
    if has_group {
        return Ok(());
    }
    Err(UsageError::because(format!("Option [{action}] takes one of these options: [all-groups], [group]")))
}

/// Refuses options that Kafka's parser takes with some actions only: each with whether it stands without one of them.
pub(crate) fn check_available(options: &[(&str, bool)]) -> anyhow::Result<()> {
    let unavailable: Vec<_> = options.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if unavailable.is_empty() {
        return Ok(());
    }
    Err(UsageError::because(format!(
        "Option(s) [{}] are unavailable given other options on the command line",
        unavailable.join(", ")
    )))
}

/// An option, and whether it is given.
type Given<'a> = (&'a str, bool);

/// Refuses the first two options that are given and don't go together.
pub(crate) fn check_pairs(pairs: &[(Given<'_>, Given<'_>)]) -> anyhow::Result<()> {
    match pairs.iter().find(|((_, first), (_, second))| *first && *second) {
        Some(((first, _), (second, _))) => Err(UsageError::conflict(first, second)),
        None => Ok(()),
    }
}

/// The one action that is given; `actions` names them all.
pub(crate) fn only_action<A>(given: impl IntoIterator<Item = (bool, A)>, actions: &str) -> anyhow::Result<A> {
    let mut given = given.into_iter().filter(|(given, _)| *given).map(|(_, action)| action);
    match (given.next(), given.next()) {
        (Some(action), None) => Ok(action),
        _ => Err(UsageError::because(format!("Command must include exactly one action: {actions}"))),
    }
}
