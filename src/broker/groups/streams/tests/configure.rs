//! What is worked out from a topology and the topics that there are.

use super::super::configure::{ConfiguredTopology, Problem, Status};
use super::super::topology::{Topology as Kept, topology_value};
use super::*;

fn configured(topology: &Topology, topics: &[(&str, usize)]) -> Result<ConfiguredTopology, String> {
    let topology = Kept::of(topology_value(topology));
    let found = ConfiguredTopology::new(&topology, &view_of(1, topics.iter().copied()));
    found.map_err(|refusal| {
        assert_eq!(refusal.code, ErrorCode::StreamsInvalidTopology);
        refusal.message
    })
}

fn problem(topology: &Topology, topics: &[(&str, usize)]) -> Option<(Status, String)> {
    configured(topology, topics).unwrap().problem.map(|Problem { status, detail }| (status, detail))
}

fn of(subtopologies: Vec<Subtopology>) -> Topology {
    Topology { epoch: 3, subtopologies, ..Default::default() }
}

/// A subtopology that reads repartition topics.
fn reading(id: &str, repartitioned: &[(&str, i32)]) -> Subtopology {
    let topics = repartitioned.iter().map(|(name, partitions)| topic_info(name, *partitions)).collect();
    Subtopology { repartition_source_topics: topics, ..subtopology(id, &[]) }
}

/// The partitions of each internal topic that is missing.
fn missing(found: &ConfiguredTopology) -> Vec<(&str, i32)> {
    found.missing.values().map(|topic| (topic.name.as_str(), topic.partitions)).collect()
}

#[test]
fn internal_topics_are_as_wide_as_what_they_come_from() {
    let found = configured(&topology(), &[("in", 3)]).unwrap();
    assert_eq!(missing(&found), [("g-changelog", 3), ("g-repartition", 3)]);
    let tasks: Vec<_> = found.subtopologies.as_ref().unwrap().values().map(|it| (it.tasks, it.is_stateful())).collect();
    assert_eq!(tasks, [(3, false), (3, true)]);
    assert!(found.ready().is_none());
    let problem = found.problem.unwrap();
    assert_eq!(problem.status, Status::MissingInternalTopics);
    assert_eq!(problem.detail, "Internal topics are missing: g-changelog, g-repartition");

    let found = configured(&topology(), &[("in", 3), ("g-changelog", 3), ("g-repartition", 3)]).unwrap();
    assert_eq!((found.ready().map(|it| it.len()), found.missing.len(), found.epoch), (Some(2), 0, 0));
}

#[test]
fn widths_go_through_a_chain_of_repartitionings_in_any_order() {
    // 0 reads what 1 writes, which reads what 2 writes.
    let first = reading("0", &[("b", 0)]);
    let second = Subtopology { repartition_sink_topics: names(&["b"]), ..reading("1", &[("a", 0)]) };
    let third = Subtopology { repartition_sink_topics: names(&["a"]), ..subtopology("2", &["x", "y"]) };
    let found = configured(&of(vec![first, second, third]), &[("x", 2), ("y", 5)]).unwrap();
    assert_eq!(missing(&found), [("a", 5), ("b", 5)]);
}

#[test]
fn a_repartition_topic_may_have_a_width_of_its_own() {
    let mut topology = topology();
    topology.subtopologies[1].repartition_source_topics[0].partitions = 7;
    topology.subtopologies[1].state_changelog_topics[0].replication_factor = 2;
    let found = configured(&topology, &[("in", 3)]).unwrap();
    assert_eq!(missing(&found), [("g-changelog", 7), ("g-repartition", 7)]);
    assert_eq!(found.missing["g-changelog"].replication_factor, 2);
}

#[test]
fn missing_source_topics_are_told() {
    let topology = of(vec![subtopology("0", &["e", "d"]), subtopology("1", &["in", "c", "b", "e"])]);
    let (status, detail) = problem(&topology, &[("in", 3)]).unwrap();
    assert_eq!(status, Status::MissingSourceTopics);
    assert_eq!(detail, "Source topics b, c, d and 1 additional topics are missing.");
    let found = configured(&topology, &[("in", 3)]).unwrap();
    assert!(found.subtopologies.is_none() && found.missing.is_empty());
}

#[test]
fn an_internal_topic_of_another_width_is_told() {
    let (status, detail) = problem(&topology(), &[("in", 3), ("g-changelog", 2), ("g-repartition", 3)]).unwrap();
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
    assert_eq!(detail, "Existing topic g-changelog has different number of partitions: expected 3, found 2");
    // It grew after the application began.
    let (status, _) = problem(&topology(), &[("in", 4), ("g-changelog", 3), ("g-repartition", 3)]).unwrap();
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
}

fn together(subtopology: Subtopology, sources: &[i16], repartitioned: &[i16]) -> Subtopology {
    let group = CopartitionGroup {
        source_topics: sources.to_vec(),
        repartition_source_topics: repartitioned.to_vec(),
        ..Default::default()
    };
    Subtopology { copartition_groups: vec![group], ..subtopology }
}

#[test]
fn external_topics_that_are_joined_must_be_alike() {
    let topology = of(vec![together(subtopology("0", &["x", "y"]), &[0, 1], &[])]);
    assert_eq!(problem(&topology, &[("x", 2), ("y", 2)]), None);
    let (status, detail) = problem(&topology, &[("x", 2), ("y", 3)]).unwrap();
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
    assert_eq!(detail, "Following topics do not have the same number of partitions: [{x=2, y=3}]");
}

/// `a` comes from `x` and `b` from `y`; subtopology 2 joins them, with `x` if `sources` says so.
fn joined(a: i32, b: i32, sources: &[i16]) -> Topology {
    let of_x = Subtopology { repartition_sink_topics: names(&["a"]), ..subtopology("0", &["x"]) };
    let of_y = Subtopology { repartition_sink_topics: names(&["b"]), ..subtopology("1", &["y"]) };
    let mut joining = reading("2", &[("a", a), ("b", b)]);
    joining.source_topics = names(if sources.is_empty() { &[] } else { &["x"] });
    of(vec![of_x, of_y, together(joining, sources, &[0, 1])])
}

#[test]
fn repartition_topics_that_are_joined_are_made_alike() {
    let topics = [("x", 2), ("y", 5)];
    let widths =
        |topology: &Topology| missing(&configured(topology, &topics).unwrap()).iter().map(|(_, n)| *n).collect();
    let widths = |topology: &Topology| -> Vec<i32> { widths(topology) };
    assert_eq!(widths(&joined(0, 0, &[])), [5, 5], "as the widest");
    assert_eq!(widths(&joined(0, 0, &[0])), [2, 2], "as the external one");
    assert_eq!(widths(&joined(4, 0, &[])), [4, 4], "as the one that says");
    let (status, detail) = problem(&joined(4, 3, &[]), &topics).unwrap();
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
    assert_eq!(detail, "Following topics do not have the same number of partitions: [{a=4, b=3}]");
    let (status, detail) = problem(&joined(4, 0, &[0]), &topics).unwrap();
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
    let expected =
        "Number of partitions [4] of repartition topic [a] doesn't match number of partitions [2] of the source topic.";
    assert_eq!(detail, expected);
}

#[test]
fn topologies_that_make_no_sense_are_refused() {
    let refusal = |topology: Topology| configured(&topology, &[("in", 3)]).unwrap_err();
    let source = |id: &str| subtopology(id, &["in"]);
    assert_eq!(refusal(of(vec![subtopology("0", &[])])), "No source topics found for subtopology 0");
    let never_written = refusal(of(vec![source("0"), reading("1", &[("a", 0)])]));
    assert!(never_written.ends_with("a repartition source topic is never used as a sink topic."), "{never_written}");
    let looping = Subtopology { repartition_sink_topics: names(&["a"]), ..reading("1", &[("a", 0)]) };
    let looping = refusal(of(vec![source("0"), looping]));
    assert!(looping.ends_with("There may be loops in the topology that cannot be resolved."), "{looping}");
    for place in [-1, 1] {
        let nowhere = refusal(of(vec![together(source("0"), &[place], &[])]));
        assert!(nowhere.contains("names a topic that is not there"), "{nowhere}");
    }
    let negative = Subtopology { repartition_sink_topics: names(&["a"]), ..reading("1", &[("a", -2)]) };
    assert!(configured(&of(vec![source("0"), negative]), &[("in", 3)]).is_err());
}
