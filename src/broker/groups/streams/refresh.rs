//! What a group follows besides its members: topics that come, go and grow, what is configured, and a new target assignment when one of
//! them changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assignor::{MemberSpec, assign};
use super::configure::{ConfiguredTopology, Status};
use super::group::{Due, StreamsGroup};
use super::records::Change;
use super::tasks::TaskSet;
use super::topology::Topology;
use super::{ClusterView, Refusal, Step};

/// What the assignor is told, by Kafka's name.
const STANDBY_REPLICAS: &str = "num.standby.replicas";

/// A topology over the topics that there are now.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) configured: Arc<ConfiguredTopology>,
    pub(super) hash: i64,
}

impl StreamsGroup {
    /// Looks at the topics, if they may have changed since it was done last.
    ///
    /// # Errors
    /// The topology makes no sense.
    pub(super) fn look(&self, topology: &Topology, view: &ClusterView) -> Result<Looked, Refusal> {
        let is_new = self.topology.is_none();
        let hash = if is_new || self.configured.is_none() || self.needs_refresh {
            view.hash_of(topology.required_topics().into_iter())
        } else {
            self.metadata_hash
        };
        let configured = match &self.configured {
            Some(configured) if !is_new && hash == self.metadata_hash => Arc::clone(configured),
            _ => Arc::new(ConfiguredTopology::new(topology, view)?),
        };
        Ok(Looked { configured, hash })
    }

    /// What is configured, as far as the assignment depends on it.
    fn configs(&self, view: &ClusterView) -> BTreeMap<String, String> {
        let standbys = view.streams.num_standby_replicas(view.settings_of(&self.id));
        BTreeMap::from([(STANDBY_REPLICAS.to_owned(), standbys.to_string())])
    }
}

impl Step<'_> {
    /// Raises the group's epoch, if it is to be raised or something is not as it was when it was raised last.
    pub(super) fn refresh_epoch(&mut self, bump: bool, looked: Looked) {
        let Looked { configured, hash } = looked;
        let group = &mut *self.group;
        let validated = if configured.ready().is_some() { configured.epoch } else { -1 };
        let configs = group.configs(self.view);
        let is_other =
            hash != group.metadata_hash || validated != group.validated_topology_epoch || configs != group.last_configs;
        group.configured = Some(configured);
        group.needs_refresh = false;
        if bump || is_other {
            self.put(Change::group(self.group.epoch.saturating_add(1), hash, validated, &configs));
        }
    }

    /// Computes a new target assignment, if one is due. What the member is to go to: an epoch and its tasks.
    ///
    /// # Errors
    /// A member would get more than a record can say.
    pub(super) fn refresh_target(
        &mut self,
        member: &str,
        statuses: &mut Vec<(Status, String)>,
    ) -> Result<(i32, Arc<TaskSet>), Refusal> {
        if self.group.timers.is_set(&Due::FirstAssignment) {
            let why = "Assignment delayed due to the configured initial rebalance delay.";
            statuses.push((Status::AssignmentDelayed, why.to_owned()));
            return Ok((self.group.assignment_epoch, Arc::default()));
        }
        if self.group.assignment_epoch < self.group.epoch && !self.assign()? {
            let why = "Assignment delayed due to the configured assignment interval.";
            statuses.push((Status::AssignmentDelayed, why.to_owned()));
        }
        Ok((self.group.assignment_epoch, self.group.target(member)))
    }

    /// Computes a target assignment, unless it is too soon after the last one. Returns whether it did.
    ///
    /// # Errors
    /// A member would get more than a record can say. The group stays at its last one.
    pub(super) fn assign(&mut self) -> Result<bool, Refusal> {
        let group = &*self.group;
        let Some(configured) = group.configured.clone() else { return Ok(false) };
        let interval = self.view.streams.timing.assignment_interval(self.view.settings_of(&group.id));
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        if group.assigned_ms != 0 && interval != 0 && self.now.wall_ms < group.assigned_ms.saturating_add(interval) {
            return Ok(false);
        }
        let nothing = TaskSet::default();
        let members = group.members.values().map(|member| MemberSpec {
            id: &member.id,
            process: &member.process_id,
            target: group.targets.get(&member.id).map_or(&nothing, |target| &**target),
        });
        let members: Vec<_> = members.collect();
        let standbys = group.last_configs.get(STANDBY_REPLICAS).and_then(|number| number.parse().ok());
        let targets = match configured.ready() {
            Some(subtopologies) => assign(&members, subtopologies, standbys.unwrap_or_default()),
            // Nobody can work: whoever has tasks gives them up.
            None => vec![TaskSet::default(); members.len()],
        };
        let mut changes = Vec::new();
        for (member, target) in members.iter().zip(&targets) {
            if group.targets.get(member.id).is_none_or(|before| **before != *target) {
                changes.push(Change::target(member.id, target));
            }
        }
        changes.push(Change::target_epoch(group.epoch, self.now.wall_ms));
        self.try_put(changes)?;
        Ok(true)
    }
}
