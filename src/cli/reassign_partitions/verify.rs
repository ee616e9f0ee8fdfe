//! `reassign-partitions --verify` and `--list`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::cluster::{Place, places, reassignments, replicas_of_topics};
use super::plan::{Plan, Replica, by_broker, ids, replica_text};
use super::{ReassignPartitions, throttles};
use crate::cli::support::{Exit, Output, Style};
use crate::client::Admin;
use crate::client::admin::Reassignment;
use crate::types::{NodeId, TopicPartition};

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    replicas: Vec<NodeId>,
    target: Vec<NodeId>,
    done: bool,
}

pub(super) async fn run(args: &ReassignPartitions, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let plan = args.plan()?;
    plan.check_partitions()?;
    let ongoing = reassignments(admin, None).await?;
    let states = states(&plan, &ongoing, admin).await?;
    let wanted: BTreeSet<Replica> = plan.log_dirs.keys().cloned().collect();
    let places = places(admin, &wanted).await?;
    let mut moves: Vec<(&Replica, Moved, &str)> = plan
        .log_dirs
        .iter()
        .map(|(replica, target)| (replica, moved(places.get(replica), target), target.as_str()))
        .collect();
    moves.sort_by_key(|(replica, _, _)| by_broker(replica));
    let moving = moves.iter().any(|(_, moved, _)| matches!(moved, Moved::Active(_)));
    let done = ongoing.is_empty() && !moving;
    if out.style() == Style::Kafka {
        out.line("Status of partition reassignment:")?;
        for (partition, state) in &states {
            out.line(state_line(partition, state))?;
        }
        let lines: Vec<_> = moves.iter().map(|(replica, moved, target)| move_line(replica, moved, target)).collect();
        // An empty line where no directories are named.
        out.line(lines.join("\n"))?;
    } else if out.style() == Style::Table {
        let rows = states.iter().map(|(partition, state)| {
            let (replicas, target) = (ids(&state.replicas, ","), ids(&state.target, ","));
            vec![partition.to_string(), state_word(state).to_owned(), replicas, target]
        });
        out.table(&["Partition", "State", "Replicas", "Wanted"], rows.collect())?;
        for (replica, moved, target) in &moves {
            out.line(move_line(replica, moved, target))?;
        }
    }
    let clears = done && !args.preserve_throttles && !args.dry_run;
    if clears {
        throttles::clear(&plan, admin, out).await?;
    }
    match out.style() {
        Style::Kafka => {}
        Style::Table if clears => out.line("All is done; the throttles are taken away.")?,
        Style::Table if done => out.line("All is done.")?,
        Style::Table => out.line("Not all is done yet; throttles stay until it is.")?,
        Style::Json => out.json(&json_of(&states, &moves, done, clears))?,
    }
    Ok(Exit::Success)
}

async fn states(
    plan: &Plan,
    ongoing: &BTreeMap<TopicPartition, Reassignment>,
    admin: &Admin,
) -> anyhow::Result<BTreeMap<TopicPartition, State>> {
    let mut topics: Vec<String> = plan
        .partitions
        .iter()
        .filter(|(partition, _)| !ongoing.contains_key(partition))
        .map(|(partition, _)| partition.topic.clone())
        .collect();
    topics.sort();
    topics.dedup();
    let described = replicas_of_topics(admin, &topics).await?;
    let mut states = BTreeMap::new();
    for (partition, target) in &plan.partitions {
        let state = match ongoing.get(partition) {
            Some(moving) => State { replicas: moving.replicas.clone(), target: target.clone(), done: false },
            None => {
                let replicas = described.get(&partition.topic).and_then(Option::as_ref);
                let replicas = replicas.and_then(|replicas| replicas.get(partition)).cloned();
                State { replicas: replicas.unwrap_or_default(), target: target.clone(), done: true }
            }
        };
        states.insert(partition.clone(), state);
    }
    Ok(states)
}

fn state_word(state: &State) -> &'static str {
    match (state.done, state.replicas == state.target) {
        (false, _) => "moving",
        (true, true) => "done",
        (true, false) => "elsewhere",
    }
}

fn state_line(partition: &TopicPartition, state: &State) -> String {
    match (state.done, state.replicas == state.target) {
        (false, _) => format!("Reassignment of partition {partition} is still in progress."),
        (true, true) => format!("Reassignment of partition {partition} is completed."),
        (true, false) => format!(
            "There is no active reassignment of partition {partition}, but replica set is {} rather than {}.",
            ids(&state.replicas, ","),
            ids(&state.target, ",")
        ),
    }
}

/// How far a replica is on its way to a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Moved {
    /// Its broker does not have it.
    NoReplica,
    /// No directory that works has it.
    NoDirectory,
    /// It is on its way to this directory.
    Active(String),
    /// It stays in this directory.
    Stays(String),
    /// It is there.
    Done,
}

fn moved(place: Option<&Place>, target: &str) -> Moved {
    match place {
        None => Moved::NoReplica,
        Some(Place { current: None, .. }) => Moved::NoDirectory,
        Some(Place { future: Some(future), .. }) => Moved::Active(future.clone()),
        Some(Place { current: Some(current), .. }) if current == target => Moved::Done,
        Some(Place { current: Some(current), .. }) => Moved::Stays(current.clone()),
    }
}

fn move_line(replica: &Replica, moved: &Moved, target: &str) -> String {
    let (partition, broker) = replica;
    match moved {
        Moved::NoReplica => {
            format!("Partition {partition} cannot be found in any live log directory on broker {broker}.")
        }
        Moved::NoDirectory => format!(
            "Partition {partition} is not found in any live log dir on broker {broker}. There is likely an offline log \
             directory on the broker."
        ),
        Moved::Active(future) if future == target => {
            format!("Reassignment of replica {} is still in progress.", replica_text(replica))
        }
        Moved::Active(future) => {
            format!("Partition {partition} on broker {broker} is being moved to log dir {future} instead of {target}.")
        }
        Moved::Stays(current) => {
            format!("Partition {partition} on broker {broker} is not being moved from log dir {current} to {target}.")
        }
        Moved::Done => format!("Reassignment of replica {} completed successfully.", replica_text(replica)),
    }
}

fn json_of(
    states: &BTreeMap<TopicPartition, State>,
    moves: &[(&Replica, Moved, &str)],
    done: bool,
    cleared: bool,
) -> Value {
    let numbers = |replicas: &[NodeId]| replicas.iter().map(|id| id.get()).collect::<Vec<_>>();
    let state = |(partition, state): (&TopicPartition, &State)| {
        json!({
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "state": state_word(state),
            "replicas": numbers(&state.replicas),
            "target": numbers(&state.target),
        })
    };
    let moving = |((partition, broker), moved, target): &(&Replica, Moved, &str)| {
        let (word, dir) = match moved {
            Moved::NoReplica | Moved::NoDirectory => ("missing", None),
            Moved::Active(future) => ("moving", Some(future.as_str())),
            Moved::Stays(current) => ("elsewhere", Some(current.as_str())),
            Moved::Done => ("done", Some(*target)),
        };
        json!({
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "broker": broker.get(),
            "state": word,
            "logDir": dir,
            "target": target,
        })
    };
    json!({
        "version": 1,
        "done": done,
        "throttlesCleared": cleared,
        "partitions": states.iter().map(state).collect::<Vec<_>>(),
        "logDirs": moves.iter().map(moving).collect::<Vec<_>>(),
    })
}

pub(super) async fn list(admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let ongoing = reassignments(admin, None).await?;
    match out.style() {
        Style::Kafka => {
            for line in list_lines(&ongoing) {
                out.line(line)?;
            }
        }
        Style::Table if ongoing.is_empty() => out.note("no partition is being moved")?,
        Style::Table => {
            let rows = ongoing.iter().map(|(partition, moving)| {
                let lists = [&moving.replicas, &moving.adding, &moving.removing].map(|nodes| ids(nodes, ","));
                std::iter::once(partition.to_string()).chain(lists).collect()
            });
            out.table(&["Partition", "Replicas", "Adding", "Removing"], rows.collect())?;
        }
        Style::Json => {
            let numbers = |replicas: &[NodeId]| replicas.iter().map(|id| id.get()).collect::<Vec<_>>();
            let entry = |(partition, moving): (&TopicPartition, &Reassignment)| {
                json!({
                    "topic": partition.topic,
                    "partition": partition.partition.get(),
                    "replicas": numbers(&moving.replicas),
                    "adding": numbers(&moving.adding),
                    "removing": numbers(&moving.removing),
                })
            };
            let entries: Vec<_> = ongoing.iter().map(entry).collect();
            out.json(&json!({ "version": 1, "reassignments": entries }))?;
        }
    }
    Ok(Exit::Success)
}

fn list_lines(ongoing: &BTreeMap<TopicPartition, Reassignment>) -> Vec<String> {
    if ongoing.is_empty() {
        return vec!["No partition reassignments found.".to_owned()];
    }
    let line = |(partition, moving): (&TopicPartition, &Reassignment)| {
        let part = |word: &str, nodes: &[NodeId]| {
            if nodes.is_empty() { String::new() } else { format!(" {word}: {}.", ids(nodes, ",")) }
        };
        format!(
            "{partition}: replicas: {}.{}{}",
            ids(&moving.replicas, ","),
            part("adding", &moving.adding),
            part("removing", &moving.removing)
        )
    };
    std::iter::once("Current partition reassignments:".to_owned()).chain(ongoing.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ids: &[i32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn states_are_told_in_kafkas_words() {
        let partition = TopicPartition::new("foo", 2);
        let state = |replicas: &[i32], done| State { replicas: node(replicas), target: node(&[2, 3]), done };
        assert_eq!(state_line(&partition, &state(&[2, 3], true)), "Reassignment of partition foo-2 is completed.");
        assert_eq!(
            state_line(&partition, &state(&[1, 2], true)),
            "There is no active reassignment of partition foo-2, but replica set is 1,2 rather than 2,3."
        );
        assert_eq!(
            state_line(&partition, &state(&[], true)),
            "There is no active reassignment of partition foo-2, but replica set is  rather than 2,3."
        );
        assert_eq!(
            state_line(&partition, &state(&[1, 2, 3], false)),
            "Reassignment of partition foo-2 is still in progress."
        );
    }

    #[test]
    fn moves_between_directories_are_told_in_kafkas_words() {
        let replica = (TopicPartition::new("r1", 1), NodeId(1));
        let place = |current: Option<&str>, future: Option<&str>| Place {
            current: current.map(str::to_owned),
            future: future.map(str::to_owned),
        };
        for (place, line) in [
            (None, "Partition r1-1 cannot be found in any live log directory on broker 1."),
            (
                Some(place(None, None)),
                "Partition r1-1 is not found in any live log dir on broker 1. There is likely an offline log directory on \
                 the broker.",
            ),
            (Some(place(Some("/a"), Some("/b"))), "Reassignment of replica r1-1-1 is still in progress."),
            (
                Some(place(Some("/a"), Some("/c"))),
                "Partition r1-1 on broker 1 is being moved to log dir /c instead of /b.",
            ),
            (Some(place(Some("/a"), None)), "Partition r1-1 on broker 1 is not being moved from log dir /a to /b."),
            (Some(place(Some("/b"), None)), "Reassignment of replica r1-1-1 completed successfully."),
        ] {
            assert_eq!(move_line(&replica, &moved(place.as_ref(), "/b"), "/b"), line);
        }
    }

    #[test]
    fn lists_are_kafkas() {
        assert_eq!(list_lines(&BTreeMap::new()), ["No partition reassignments found."]);
        let moving = Reassignment { replicas: node(&[1, 2, 3]), adding: node(&[3]), removing: node(&[1]) };
        assert_eq!(
            list_lines(&BTreeMap::from([(TopicPartition::new("foo", 0), moving)])),
            ["Current partition reassignments:", "foo-0: replicas: 1,2,3. adding: 3. removing: 1."]
        );
    }
}
