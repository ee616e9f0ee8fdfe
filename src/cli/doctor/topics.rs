//! Partitions: leaders, replicas, and settings that contradict them.

use std::collections::{BTreeMap, HashMap};

use super::finding::{Finding, Severity};
use crate::cli::support::moment_text;
use crate::client::admin::{ConfigResource, OffsetSpec};
use crate::client::{Admin, PartitionMetadata, TopicMetadata};
use crate::config::IsolationLevel;
use crate::protocol::ErrorCode;
use crate::types::{NodeId, TopicPartition};

/// A clock that is ahead by no more than this is not worth a word.
const AHEAD_MS: i64 = 60_000;
/// Offsets are looked up in no more partitions than this.
const MOST_PARTITIONS: usize = 5_000;
/// Leaderships away from their preferred broker, in hundredths, from which on it is told.
const UNBALANCED: usize = 10;

/// Looks at all topics.
pub(super) async fn look(admin: &Admin, topics: &[TopicMetadata], brokers: usize, findings: &mut Vec<Finding>) {
    let settings = settings(admin, topics, findings).await;
    findings.extend(replicas(topics, brokers, &settings));
    findings.extend(unclean(topics, &settings));
    findings.extend(leaders(topics));
    match admin.list_reassignments(None).await {
        Ok(moving) => {
            let finding = Finding::new(
                Severity::Note,
                "reassignment",
                "partitions are being moved",
                "wait, or stop it with `kafka-rs reassign-partitions --cancel`",
            );
            findings.extend(finding.about(moving.keys().map(ToString::to_string).collect()));
        }
        Err(error) => findings.push(Finding::could_not("reassignments", &error)),
    }
    offsets(admin, topics, findings).await;
}

fn name(topic: &TopicMetadata, partition: &PartitionMetadata) -> String {
    format!("{}-{}", topic.name, partition.id)
}

/// What is to know of a topic's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    min_in_sync: usize,
    unclean_election: bool,
}

/// The settings of each topic; those that a broker does not tell are missing.
async fn settings(admin: &Admin, topics: &[TopicMetadata], findings: &mut Vec<Finding>) -> HashMap<String, Settings> {
    const MINIMUM: &str = "min.insync.replicas";
    const UNCLEAN: &str = "unclean.leader.election.enable";
    let resources: Vec<_> = topics.iter().map(|topic| ConfigResource::topic(topic.name.as_str())).collect();
    if resources.is_empty() {
        return HashMap::new();
    }
    let keys = [MINIMUM, UNCLEAN].map(str::to_owned);
    let described = match admin.describe_configs(&resources, Some(&keys), false).await {
        Ok(described) => described,
        Err(error) => {
            findings.push(Finding::could_not("settings of topics", &error));
            return HashMap::new();
        }
    };
    let entries = described.into_iter().filter_map(|(topic, entries)| Some((topic.name, entries.ok()?)));
    let read = entries.map(|(topic, entries)| {
        let value = |key| entries.iter().find(|entry| entry.name == key).and_then(|entry| entry.value.as_deref());
        let min_in_sync = value(MINIMUM).and_then(|value| value.parse().ok()).unwrap_or(1);
        (topic, Settings { min_in_sync, unclean_election: value(UNCLEAN) == Some("true") })
    });
    read.collect()
}

/// Topics that rather lose records than wait for a replica that has them.
fn unclean(topics: &[TopicMetadata], settings: &HashMap<String, Settings>) -> Option<Finding> {
    let replicated =
        topics.iter().filter(|topic| topic.partitions.iter().any(|partition| partition.replicas.len() > 1));
    let may = replicated.filter(|topic| settings.get(&topic.name).is_some_and(|settings| settings.unclean_election));
    Finding::new(
        Severity::Warning,
        "unclean-election",
        "replicas that are behind may become leaders, and acknowledged records are lost then",
        "set unclean.leader.election.enable=false with `kafka-rs configs`, unless being available counts for more",
    )
    .about(may.map(|topic| topic.name.clone()).collect())
}

/// Replicas that lack, and numbers of replicas that don't go with the settings.
fn replicas(topics: &[TopicMetadata], brokers: usize, settings: &HashMap<String, Settings>) -> Vec<Finding> {
    let (mut offline, mut under_minimum, mut under_replicated) = (Vec::new(), Vec::new(), Vec::new());
    let (mut single, mut unwritable, mut brittle) = (Vec::new(), Vec::new(), Vec::new());
    for topic in topics {
        let minimum = settings.get(&topic.name).map_or(1, |settings| settings.min_in_sync);
        for partition in &topic.partitions {
            if partition.leader.is_none() {
                offline.push(name(topic, partition));
            } else if partition.isr.len() < minimum && partition.replicas.len() >= minimum {
                under_minimum.push(name(topic, partition));
            } else if partition.isr.len() < partition.replicas.len() {
                under_replicated.push(name(topic, partition));
            }
        }
        match topic.partitions.iter().map(|partition| partition.replicas.len()).min() {
            Some(replicas) if replicas < minimum => unwritable.push(topic.name.clone()),
            Some(replicas) if replicas == minimum && replicas > 1 => brittle.push(topic.name.clone()),
            Some(1) if brokers > 1 => single.push(topic.name.clone()),
            _ => {}
        }
    }
    let found = [
        Finding::new(
            Severity::Problem,
            "offline-partition",
            "partitions have no leader and can be neither read nor written",
            "start the brokers that hold them; if they are lost, `kafka-rs leader-election --election-type unclean` \
             gives up what only they had",
        )
        .about(offline),
        Finding::new(
            Severity::Problem,
            "under-min-isr",
            "partitions have fewer in-sync replicas than min.insync.replicas, so writes with acks=all fail",
            "start the brokers that are down, and see in the leaders' logs why replicas have fallen out of sync",
        )
        .about(under_minimum),
        Finding::new(
            Severity::Problem,
            "min-isr-above-replicas",
            "min.insync.replicas is above the number of replicas, so writes with acks=all always fail",
            "give them more replicas with `kafka-rs reassign-partitions`, or lower min.insync.replicas with `kafka-rs configs`",
        )
        .about(unwritable),
        Finding::new(
            Severity::Warning,
            "under-replicated",
            "partitions have replicas that are not in sync",
            "start the brokers that are down; `kafka-rs topics --describe --under-replicated-partitions` names them",
        )
        .about(under_replicated),
        Finding::new(
            Severity::Warning,
            "min-isr-equals-replicas",
            "min.insync.replicas is the number of replicas, so writes with acks=all fail when one broker restarts",
            "give them one more replica, or lower min.insync.replicas by one",
        )
        .about(brittle),
        Finding::new(
            Severity::Warning,
            "single-replica",
            "topics have one replica only though there are several brokers: what they hold is lost with one disk",
            "give them more replicas with `kafka-rs reassign-partitions`",
        )
        .about(single),
    ];
    found.into_iter().flatten().collect()
}

/// Leaderships that are not where they should be.
fn leaders(topics: &[TopicMetadata]) -> Option<Finding> {
    let mut away = Vec::new();
    let mut total = 0;
    let mut led: BTreeMap<NodeId, usize> = BTreeMap::new();
    for topic in topics {
        for partition in topic.partitions.iter().filter(|partition| partition.replicas.len() > 1) {
            let Some(leader) = partition.leader else { continue };
            total += 1;
            *led.entry(leader).or_default() += 1;
            let preferred = partition.replicas.first();
            // One that is not in sync could not lead.
            if preferred.is_some_and(|preferred| *preferred != leader && partition.isr.contains(preferred)) {
                away.push(name(topic, partition));
            }
        }
    }
    if away.len() * 100 < total * UNBALANCED {
        return None;
    }
    let counts: Vec<_> = led.iter().map(|(broker, count)| format!("broker {broker} leads {count}")).collect();
    Finding::new(
        Severity::Warning,
        "leaders-unbalanced",
        format!("leaders are not the preferred ones ({}), so load is uneven", counts.join(", ")),
        "`kafka-rs leader-election --election-type preferred --all-topic-partitions`",
    )
    .about(away)
}

/// Transactions that hold readers back, and clocks that are ahead.
async fn offsets(admin: &Admin, topics: &[TopicMetadata], findings: &mut Vec<Finding>) {
    let led = topics.iter().flat_map(|topic| {
        let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
        let led = led.filter(|partition| partition.error == ErrorCode::None);
        led.map(|partition| TopicPartition::new(topic.name.as_str(), partition.id.get()))
    });
    let partitions: Vec<_> = led.take(MOST_PARTITIONS).collect();
    super::transactions::look(admin, &partitions, findings).await;
    let newest = partitions.into_iter().map(|partition| (partition, OffsetSpec::MaxTimestamp)).collect();
    let now = jiff::Timestamp::now().as_millisecond();
    let mut ahead = Vec::new();
    for (partition, newest) in admin.list_offsets(newest, IsolationLevel::ReadUncommitted).await {
        if let Ok(newest) = newest
            && newest.timestamp > now + AHEAD_MS
        {
            ahead.push(format!("{partition} ({})", moment_text(newest.timestamp)));
        }
    }
    let finding = Finding::new(
        Severity::Warning,
        "clock-ahead",
        "records are from the future: retention keeps them longer than it should, and searches by time miss others",
        "set the clocks of producers and brokers (NTP), and message.timestamp.after.max.ms to refuse such records",
    );
    findings.extend(finding.about(ahead));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaderEpoch, PartitionId, Uuid};

    /// Leader, replicas, those in sync.
    type Layout<'a> = (Option<i32>, &'a [i32], &'a [i32]);

    fn topic(name: &str, partitions: &[Layout<'_>]) -> TopicMetadata {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
        let partition = |(id, (leader, replicas, isr)): (usize, &Layout<'_>)| PartitionMetadata {
            id: PartitionId(i32::try_from(id).unwrap()),
            error: ErrorCode::None,
            leader: leader.map(NodeId),
            leader_epoch: LeaderEpoch(0),
            replicas: nodes(replicas),
            isr: nodes(isr),
            offline_replicas: Vec::new(),
        };
        TopicMetadata {
            name: name.to_owned(),
            id: Uuid::default(),
            error: ErrorCode::None,
            is_internal: false,
            partitions: partitions.iter().enumerate().map(partition).collect(),
            authorized_operations: 0,
        }
    }

    fn kinds(topics: &[TopicMetadata], brokers: usize, minimums: &[(&str, usize)]) -> Vec<String> {
        let settings = |minimum| Settings { min_in_sync: minimum, unclean_election: false };
        let settings = minimums.iter().map(|(name, minimum)| ((*name).to_owned(), settings(*minimum))).collect();
        let found = replicas(topics, brokers, &settings).into_iter().chain(leaders(topics));
        found.map(|finding| format!("{}: {}", finding.kind, finding.subjects.join(" "))).collect()
    }

    #[test]
    fn a_sound_cluster_has_no_findings() {
        let topics = [topic("a", &[(Some(1), &[1, 2, 3], &[1, 2, 3]), (Some(2), &[2, 3, 1], &[2, 3, 1])])];
        assert_eq!(kinds(&topics, 3, &[("a", 2)]), [""; 0]);
        assert_eq!(kinds(&[topic("a", &[(Some(1), &[1], &[1])])], 1, &[("a", 1)]), [""; 0]);
    }

    #[test]
    fn replicas_that_lack() {
        let topics = [
            topic("a", &[(None, &[1, 2], &[2]), (Some(1), &[1, 2, 3], &[1]), (Some(1), &[1, 2, 3], &[1, 3])]),
            topic("b", &[(Some(1), &[1], &[1])]),
        ];
        assert_eq!(
            kinds(&topics, 3, &[("a", 2), ("b", 1)]),
            [
                "offline-partition: a-0",
                "under-min-isr: a-1",
                "under-replicated: a-2",
                "min-isr-equals-replicas: a",
                "single-replica: b"
            ]
        );
        assert_eq!(kinds(&topics[1..], 1, &[("b", 2)]), ["min-isr-above-replicas: b"]);
    }

    #[test]
    fn elections_that_lose_records() {
        let topics = [
            topic("a", &[(Some(1), &[1, 2], &[1, 2])]),
            topic("b", &[(Some(1), &[1, 2], &[1, 2])]),
            topic("c", &[(Some(1), &[1], &[1])]),
        ];
        let settings = |name: &str, unclean_election| (name.to_owned(), Settings { min_in_sync: 1, unclean_election });
        let settings = [settings("a", true), settings("b", false), settings("c", true)].into();
        assert_eq!(unclean(&topics, &settings).unwrap().subjects, ["a"], "one replica can't be behind");
        assert_eq!(unclean(&topics[1..], &settings), None);
    }

    #[test]
    fn leaders_away_from_home() {
        let topics = [topic("a", &[(Some(2), &[1, 2], &[2, 1]), (Some(2), &[2, 1], &[2, 1])])];
        assert_eq!(kinds(&topics, 2, &[]), ["leaders-unbalanced: a-0"]);
        let down = [topic("a", &[(Some(2), &[1, 2], &[2]), (Some(2), &[2, 1], &[2])])];
        assert_eq!(kinds(&down, 2, &[]), ["under-replicated: a-0 a-1"], "the preferred one could not lead");
    }
}
