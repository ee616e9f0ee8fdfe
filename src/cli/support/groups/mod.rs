//! What the tools for groups share: consumer-groups, share-groups and streams-groups.
//!
//! Start reading at [`GroupTool`].

mod checks;
mod deletion;
mod described;
mod tool;

use super::{Exit, JavaError, Output, Style};

pub(crate) use checks::{DescribeOptions, check_available, check_pairs, needs_group, only_action};
pub(crate) use deletion::{Deletion, deletion_question};
pub(crate) use described::{
    DescribedGroup, Part, Table, assignment, coordinator, coordinator_json, partitions_json, print_described,
    state_tint,
};
pub(crate) use tool::{GroupTool, admin_within, one_group, states};

/// How a failure ends: with 0 where Kafka's output is expected, since Kafka's tools do so.
pub(crate) fn kafkas_failure(out: &Output) -> Exit {
    if out.style() == Style::Kafka { Exit::Success } else { Exit::Failure }
}

/// An error as the exception in which Kafka's tools get it.
pub(crate) fn execution(error: JavaError) -> JavaError {
    error.wrapped_in("java.util.concurrent.ExecutionException")
}

/// The same where Kafka's tools do not expect it.
pub(crate) fn unexpected(error: JavaError) -> JavaError {
    execution(error).wrapped_in("java.lang.RuntimeException")
}
