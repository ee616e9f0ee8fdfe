//! What the groups of the newer protocols have in common: consumer groups (KIP-848), share groups (KIP-932) and
//! streams groups (KIP-1071).
//!
//! In all of them the coordinator decides who gets what, by three epochs. The *group epoch* grows whenever something changes
//! that an assignment depends on: who is in the group, what they subscribe to, which partitions those topics have. The
//! *assignment epoch* is the group epoch that the target assignment was computed for. The *member epoch* is the assignment epoch
//! that a member has reached: it has given up what it was to give up.
//!
//! What comes from outside is data: commands look at a [`ClusterView`], never at the broker. Nothing here knows records.
//!
//! Start reading at `group.rs`.

mod assignment;
mod config;
mod epochs;
mod group;
mod hash;
mod refusal;
mod regex;
mod streams_config;
mod subscriptions;
mod timers;
mod view;

pub(in crate::broker) use assignment::Assignment;
pub(in crate::broker) use config::MigrationPolicy;
pub(in crate::broker) use epochs::{JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH, check_epoch};
pub(in crate::broker) use group::ModernGroup;
pub(in crate::broker) use refusal::Refusal;
pub(in crate::broker) use regex::TopicPattern;
pub(in crate::broker) use subscriptions::ResolvedRegex;
pub(in crate::broker) use timers::Timers;
pub(in crate::broker) use view::ClusterView;
#[cfg(test)]
pub(in crate::broker) use view::{RecordLimit, TopicView};
