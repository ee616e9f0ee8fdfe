//! Partitions by topic: what a member is to have.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::Uuid;

/// Partitions, by topic id. No topic stands in it without partitions.
pub(in crate::broker) type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;
