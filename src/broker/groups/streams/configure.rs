//! A topology over the topics that there are: how many tasks each subtopology has, which internal topics are still to be made and with how
//! many partitions, or why the application can't run yet.

use std::collections::{BTreeMap, BTreeSet};

use super::topology::{Topology, names, sources};
use super::{ClusterView, Refusal};
use crate::protocol::ErrorCode;
use crate::protocol::messages::streams_group_topology_value::{CopartitionGroup, Subtopology, TopicInfo};

/// Names in a message; of more only their number is told.
const NAMES_SHOWN: usize = 3;

/// What members are told besides their tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    StaleTopology,
    MissingSourceTopics,
    IncorrectlyPartitionedTopics,
    MissingInternalTopics,
    ShutdownApplication,
    AssignmentDelayed,
}

impl Status {
    /// Kafka's number.
    pub(super) fn code(self) -> i8 {
        match self {
            Self::StaleTopology => 0,
            Self::MissingSourceTopics => 1,
            Self::IncorrectlyPartitionedTopics => 2,
            Self::MissingInternalTopics => 3,
            Self::ShutdownApplication => 4,
            Self::AssignmentDelayed => 5,
        }
    }
}

/// Why an application can't run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: Status,
    pub(super) detail: String,
}

impl Problem {
    fn partitions(detail: String) -> Trouble {
        Trouble::Problem(Self { status: Status::IncorrectlyPartitionedTopics, detail })
    }
}

/// What ends the configuration of a topology early.
#[derive(Debug)]
enum Trouble {
    /// Topics that are missing or not as they should be: they may change.
    Problem(Problem),
    /// The topology itself makes no sense.
    Invalid(String),
}

/// A topic that the application keeps for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct InternalTopic {
    pub(in crate::broker) name: String,
    pub(in crate::broker) partitions: i32,
    /// 0: the broker's default.
    pub(in crate::broker) replication_factor: i16,
    pub(in crate::broker) configs: BTreeMap<String, String>,
}

/// A subtopology over the topics that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfiguredSubtopology {
    /// It has the tasks from 0 up to this number.
    pub(super) tasks: i32,
    pub(super) source_topics: BTreeSet<String>,
    pub(super) repartition_source_topics: BTreeMap<String, InternalTopic>,
    pub(super) repartition_sink_topics: BTreeSet<String>,
    pub(super) state_changelog_topics: BTreeMap<String, InternalTopic>,
}

impl ConfiguredSubtopology {
    /// Whether its tasks have state, which standby tasks could keep a copy of.
    pub(super) fn is_stateful(&self) -> bool {
        !self.state_changelog_topics.is_empty()
    }
}

/// Subtopologies over the topics that there are, by their ids.
pub(super) type Subtopologies = BTreeMap<String, ConfiguredSubtopology>;

/// A topology over the topics that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfiguredTopology {
    pub(super) epoch: i32,
    /// None where source topics are missing, or partitions do not fit.
    pub(super) subtopologies: Option<Subtopologies>,
    /// Internal topics that are not there yet.
    pub(super) missing: BTreeMap<String, InternalTopic>,
    /// None: the application can run.
    pub(super) problem: Option<Problem>,
}

impl ConfiguredTopology {
    /// Works out a topology.
    ///
    /// # Errors
    /// The topology makes no sense, whatever topics there are.
    pub(super) fn new(topology: &Topology, view: &ClusterView) -> Result<Self, Refusal> {
        match configure(topology, view) {
            Ok((subtopologies, missing)) => {
                let problem = (!missing.is_empty()).then(|| Problem {
                    status: Status::MissingInternalTopics,
                    detail: format!("Internal topics are missing: {}", summary(missing.keys())),
                });
                Ok(Self { epoch: topology.epoch, subtopologies: Some(subtopologies), missing, problem })
            }
            Err(Trouble::Problem(problem)) => Ok(Self {
                epoch: topology.epoch,
                subtopologies: None,
                missing: BTreeMap::new(),
                problem: Some(problem),
            }),
            Err(Trouble::Invalid(message)) => Err(Refusal::new(ErrorCode::StreamsInvalidTopology, message)),
        }
    }

    /// The subtopologies, if the application can run.
    pub(super) fn ready(&self) -> Option<&Subtopologies> {
        self.subtopologies.as_ref().filter(|_| self.problem.is_none())
    }
}

fn configure(
    topology: &Topology,
    view: &ClusterView,
) -> Result<(Subtopologies, BTreeMap<String, InternalTopic>), Trouble> {
    let all = || topology.subtopologies.values();
    let missing: BTreeSet<&String> =
        all().flat_map(|subtopology| &subtopology.source_topics).filter(|topic| view.topic(topic).is_none()).collect();
    if !missing.is_empty() {
        let detail = format!("Source topics {} are missing.", summary(missing.into_iter()));
        return Err(Trouble::Problem(Problem { status: Status::MissingSourceTopics, detail }));
    }
    let counts = Counts::decide(topology, view)?;
    let mut configured = Subtopologies::new();
    for (id, subtopology) in &topology.subtopologies {
        configured.insert(id.clone(), counts.configured(subtopology)?);
    }
    let mut missing = BTreeMap::new();
    for subtopology in configured.values() {
        let internal = subtopology.repartition_source_topics.iter().chain(&subtopology.state_changelog_topics);
        for (name, expected) in internal {
            match view.topic(name).map(|topic| topic.partitions()) {
                None => {
                    missing.insert(name.clone(), expected.clone());
                }
                Some(found) if found != expected.partitions => {
                    return Err(Problem::partitions(format!(
                        "Existing topic {name} has different number of partitions: expected {}, found {found}",
                        expected.partitions
                    )));
                }
                Some(_) => {}
            }
        }
    }
    Ok((configured, missing))
}

/// How many partitions topics have, or are to have.
struct Counts<'a> {
    view: &'a ClusterView,
    decided: BTreeMap<String, i32>,
}

impl<'a> Counts<'a> {
    /// Decides for all internal topics.
    fn decide(topology: &Topology, view: &'a ClusterView) -> Result<Self, Trouble> {
        let mut counts = Self { view, decided: BTreeMap::new() };
        counts.decide_repartition_topics(topology)?;
        counts.enforce_copartitioning(topology)?;
        let mut changelogs = BTreeMap::new();
        for subtopology in topology.subtopologies.values() {
            let most = counts.most_of_sources(subtopology)?;
            changelogs.extend(names(&subtopology.state_changelog_topics).map(|name| (name.to_owned(), most)));
        }
        counts.decided.extend(changelogs);
        Ok(counts)
    }

    /// What a topic has; else what was decided for it.
    fn of(&self, topic: &str) -> Option<i32> {
        let existing = self.view.topic(topic).map(|topic| topic.partitions());
        existing.or_else(|| self.decided.get(topic).copied())
    }

    fn known(&self, topic: &str) -> Result<i32, Trouble> {
        self.of(topic).ok_or_else(|| Trouble::Invalid(format!("Number of partitions is not set for topic: {topic}")))
    }

    /// The partitions of the widest topic that a subtopology reads.
    fn most_of_sources(&self, subtopology: &Subtopology) -> Result<i32, Trouble> {
        let mut most = None;
        for topic in sources(subtopology) {
            most = most.max(Some(self.known(topic)?));
        }
        most.ok_or_else(|| {
            Trouble::Invalid(format!("No source topics found for subtopology {}", subtopology.subtopology_id))
        })
    }

    /// A repartition topic that does not say otherwise is as wide as the widest source of the subtopology that writes to it. That may be a
    /// repartition topic itself: so it goes on until all are known.
    fn decide_repartition_topics(&mut self, topology: &Topology) -> Result<(), Trouble> {
        let all = || topology.subtopologies.values();
        for topic in all().flat_map(|subtopology| &subtopology.repartition_source_topics) {
            if topic.partitions != 0 {
                self.decided.insert(topic.name.clone(), topic.partitions);
            }
        }
        loop {
            let (mut is_open, mut has_advanced) = (false, false);
            for subtopology in all() {
                for sink in &subtopology.repartition_sink_topics {
                    if self.decided.contains_key(sink) {
                        continue;
                    }
                    let internal = names(&subtopology.repartition_source_topics);
                    let internal = internal.filter_map(|name| self.decided.get(name).copied());
                    let external = subtopology.source_topics.iter().filter_map(|name| self.of(name));
                    match internal.chain(external).max() {
                        Some(most) => {
                            self.decided.insert(sink.clone(), most);
                            has_advanced = true;
                        }
                        None => is_open = true,
                    }
                }
            }
            if !is_open {
                break;
            }
            if !has_advanced {
                let message = "Failed to compute number of partitions for all repartition topics. \
                               There may be loops in the topology that cannot be resolved.";
                return Err(Trouble::Invalid(message.to_owned()));
            }
        }
        let mut repartitioned = all().flat_map(|subtopology| names(&subtopology.repartition_source_topics));
        if repartitioned.any(|name| !self.decided.contains_key(name)) {
            let message = "Failed to compute number of partitions for all repartition topics, because \
                           a repartition source topic is never used as a sink topic.";
            return Err(Trouble::Invalid(message.to_owned()));
        }
        Ok(())
    }

    fn enforce_copartitioning(&mut self, topology: &Topology) -> Result<(), Trouble> {
        let all = || topology.subtopologies.values().flat_map(|subtopology| &subtopology.repartition_source_topics);
        let fixed: BTreeSet<&str> = all().filter(|topic| topic.partitions != 0).map(|t| t.name.as_str()).collect();
        let flexible: BTreeSet<&str> = all().filter(|topic| topic.partitions == 0).map(|t| t.name.as_str()).collect();
        for subtopology in topology.subtopologies.values() {
            for group in &subtopology.copartition_groups {
                let topics = topics_of(subtopology, group)?;
                let (repartitioned, external): (BTreeSet<&str>, BTreeSet<&str>) =
                    topics.iter().partition(|topic| fixed.contains(*topic) || flexible.contains(*topic));
                self.enforce(&repartitioned, &external, &fixed)?;
            }
        }
        Ok(())
    }

    /// Topics that are joined have the same number of partitions: as many as the external ones among them have, else as those say that have a
    /// number of their own, else as the widest has.
    fn enforce(
        &mut self,
        repartitioned: &BTreeSet<&str>,
        external: &BTreeSet<&str>,
        fixed: &BTreeSet<&str>,
    ) -> Result<(), Trouble> {
        let with_counts = |topics: &BTreeSet<&str>| -> Result<BTreeMap<String, i32>, Trouble> {
            topics.iter().map(|topic| Ok(((*topic).to_owned(), self.known(topic)?))).collect()
        };
        let (before, external) = (with_counts(repartitioned)?, with_counts(external)?);
        let number = if !external.is_empty() {
            same(&external, &external)?
        } else if !fixed.is_empty() {
            // Kafka looks at all topics of the topology that have a number of their own, not only at those of this group.
            same(&with_counts(fixed)?, &before)?
        } else {
            before.values().max().copied()
        };
        let Some(number) = number else { return Ok(()) };
        for (topic, count) in before {
            if fixed.contains(topic.as_str()) && count != number {
                return Err(Problem::partitions(format!(
                    "Number of partitions [{count}] of repartition topic [{topic}] doesn't match number of partitions \
                     [{number}] of the source topic."
                )));
            }
            self.decided.insert(topic, number);
        }
        Ok(())
    }

    fn configured(&self, subtopology: &Subtopology) -> Result<ConfiguredSubtopology, Trouble> {
        let internal = |topics: &[TopicInfo]| -> Result<BTreeMap<String, InternalTopic>, Trouble> {
            topics.iter().map(|topic| Ok((topic.name.clone(), self.internal(topic)?))).collect()
        };
        Ok(ConfiguredSubtopology {
            tasks: self.most_of_sources(subtopology)?,
            source_topics: subtopology.source_topics.iter().cloned().collect(),
            repartition_source_topics: internal(&subtopology.repartition_source_topics)?,
            repartition_sink_topics: subtopology.repartition_sink_topics.iter().cloned().collect(),
            state_changelog_topics: internal(&subtopology.state_changelog_topics)?,
        })
    }

    fn internal(&self, topic: &TopicInfo) -> Result<InternalTopic, Trouble> {
        let decided = self.decided.get(&topic.name).copied();
        let partitions = if topic.partitions == 0 { decided.unwrap_or_default() } else { topic.partitions };
        if partitions < 1 {
            let message = format!("Internal topic {} must have at least 1 partition.", topic.name);
            return Err(Trouble::Invalid(message));
        }
        let configs = topic.topic_configs.iter().map(|config| (config.key.clone(), config.value.clone()));
        Ok(InternalTopic {
            name: topic.name.clone(),
            partitions,
            replication_factor: topic.replication_factor,
            configs: configs.collect(),
        })
    }
}

/// The topics of a copartition group, which are given by their places in the subtopology's lists.
fn topics_of<'t>(subtopology: &'t Subtopology, group: &CopartitionGroup) -> Result<BTreeSet<&'t str>, Trouble> {
    let external = group
        .source_topics
        .iter()
        .map(|at| usize::try_from(*at).ok().and_then(|at| subtopology.source_topics.get(at)).map(String::as_str));
    let internal = group.repartition_source_topics.iter().map(|at| {
        let topic = usize::try_from(*at).ok().and_then(|at| subtopology.repartition_source_topics.get(at));
        topic.map(|topic| topic.name.as_str())
    });
    external.chain(internal).collect::<Option<_>>().ok_or_else(|| {
        let id = &subtopology.subtopology_id;
        Trouble::Invalid(format!("A copartition group of subtopology {id} names a topic that is not there."))
    })
}

/// The number that all topics have; none without topics. `shown`: the topics to tell of otherwise.
fn same(topics: &BTreeMap<String, i32>, shown: &BTreeMap<String, i32>) -> Result<Option<i32>, Trouble> {
    let number = topics.values().next().copied();
    if topics.values().any(|count| Some(*count) != number) {
        let shown: Vec<String> = shown.iter().map(|(topic, count)| format!("{topic}={count}")).collect();
        return Err(Problem::partitions(format!(
            "Following topics do not have the same number of partitions: [{{{}}}]",
            shown.join(", ")
        )));
    }
    Ok(number)
}

fn summary<'a>(topics: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = topics.len().saturating_sub(NAMES_SHOWN);
    let shown: Vec<&str> = topics.take(NAMES_SHOWN).map(String::as_str).collect();
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} and {more} additional topics") } else { shown }
}
