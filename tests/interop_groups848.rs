//! Consumer groups of KIP-848 with the clients that speak its protocol, Kafka's tools, and its reader of our files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use interop_support::{
    Cluster, Driver, Group, Home, Library, PARTITIONS, SETTLED_WITHIN, Tools, check_data_directory, for_each_library,
};
use serde_json::json;
use support::wait_for;

/// The libraries that speak the protocol.
const LIBRARIES: &[Library] = &[Library::Java, Library::Confluent];

/// The same, and Java's client of 3.9, to which the broker gives its member id.
const WITH_THE_FIRST: &[Library] = &[Library::Java, Library::Java39, Library::Confluent];

/// A cluster whose members are heard of often, so that a change takes no half a minute.
fn cluster() -> Cluster {
    Cluster::start_with(&[
        "group.consumer.min.heartbeat.interval.ms=300",
        "group.consumer.heartbeat.interval.ms=300",
        "group.consumer.min.session.timeout.ms=5000",
        "group.consumer.session.timeout.ms=10000",
        "group.consumer.assignment.interval.ms=100",
    ])
}

fn leave(driver: &mut Driver, member: &str) {
    driver.call(json!({"op": "leave", "id": member}));
}

/// Waits until each member has as many partitions. All may be held before that, while one still has what it is to give up.
fn wait_even(group: &Group, members: &mut [(&mut Driver, &[&str])], each: usize) {
    wait_for("even shares", SETTLED_WITHIN, || {
        let shares = group.wait_settled(members);
        shares.values().all(|held| held.len() == each).then_some(())
    });
}

/// Goal: members come and go, each record is read once, the shares are even, and what was read is committed.
#[test]
fn members_come_and_go_and_every_record_is_read_once() {
    let cluster = cluster();
    for_each_library(WITH_THE_FIRST, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let mut group = Group::new(&cluster, &format!("g848-{}", library.name()), None, &mut driver);
        group.write(&mut driver, 3);
        group.join(&mut driver, "a");
        group.assert_read_once(&mut [(&mut driver, &["a"])], 0);
        group.join(&mut driver, "b");
        wait_even(&group, &mut [(&mut driver, &["a", "b"])], 3);
        let before = group.written;
        group.write(&mut driver, 3);
        group.assert_read_once(&mut [(&mut driver, &["a", "b"])], before);
        group.join(&mut driver, "c");
        wait_even(&group, &mut [(&mut driver, &["a", "b", "c"])], 2);
        leave(&mut driver, "a");
        group.wait_settled(&mut [(&mut driver, &["b", "c"])]);
        let before = group.written;
        group.write(&mut driver, 3);
        group.assert_read_once(&mut [(&mut driver, &["b", "c"])], before);
        leave(&mut driver, "b");
        leave(&mut driver, "c");
        group.assert_committed_to_the_end(&mut driver);
        // New partitions are assigned to whoever comes next.
        driver.call(json!({"op": "delete_group", "group": group.name}));
        assert!(driver.try_call(&json!({"op": "delete_group", "group": group.name})).is_err());
    });
}

/// Goal: members subscribe by a pattern that the broker matches, and get a topic that is made later.
#[test]
fn a_pattern_finds_topics_that_come_later() {
    let cluster = cluster();
    for_each_library(LIBRARIES, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let base = cluster.name(&format!("pattern-{}", library.name()));
        let topics = [format!("{base}-one"), format!("{base}-two")];
        driver.create_topic(&topics[0], 2, json!({}));
        for member in ["a", "b"] {
            driver.call(json!({
                "op": "join", "id": member, "group": base, "regex": format!("{base}-.*"), "protocol": "consumer",
            }));
        }
        let wait = |driver: &mut Driver, expected: usize| {
            wait_for(&format!("{expected} partitions of {base}"), SETTLED_WITHIN, || {
                let mut held = Vec::new();
                for member in ["a", "b"] {
                    let status = driver.call(json!({"op": "status", "id": member}));
                    held.extend(status["assigned"].as_array().unwrap().clone());
                }
                (held.len() == expected).then_some(())
            });
        };
        wait(&mut driver, 2);
        driver.create_topic(&topics[1], 3, json!({}));
        wait(&mut driver, 5);
        leave(&mut driver, "a");
        leave(&mut driver, "b");
    });
}

/// Goal: a static member that goes and comes back keeps its partitions, and nobody else notices.
#[test]
fn a_static_member_returns_to_its_partitions() {
    let cluster = cluster();
    for_each_library(LIBRARIES, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let mut group = Group::new(&cluster, &format!("static848-{}", library.name()), None, &mut driver);
        group.join_as(&mut driver, "a", Some("instance-1"));
        group.join_as(&mut driver, "b", Some("instance-2"));
        let before = group.wait_settled(&mut [(&mut driver, &["a", "b"])]);
        leave(&mut driver, "a");
        group.join_as(&mut driver, "a", Some("instance-1"));
        let after = group.wait_settled(&mut [(&mut driver, &["a", "b"])]);
        assert_eq!(before, after, "{}", library.name());
        group.write(&mut driver, 2);
        group.assert_read_once(&mut [(&mut driver, &["a", "b"])], 0);
        leave(&mut driver, "a");
        leave(&mut driver, "b");
    });
}

/// Goal: a member whose process is killed loses its partitions when its session ends.
#[test]
fn a_killed_members_partitions_pass_on_when_its_session_ends() {
    let cluster = cluster();
    for_each_library(LIBRARIES, |library| {
        let mut survivor = Driver::start(library, cluster.address());
        let mut victim = Driver::start(library, cluster.address());
        let mut group = Group::new(&cluster, &format!("killed848-{}", library.name()), None, &mut survivor);
        group.join(&mut survivor, "survivor");
        group.join(&mut victim, "victim");
        group.wait_settled(&mut [(&mut survivor, &["survivor"]), (&mut victim, &["victim"])]);
        victim.kill();
        group.wait_settled(&mut [(&mut survivor, &["survivor"])]);
        group.write(&mut survivor, 2);
        group.assert_read_once(&mut [(&mut survivor, &["survivor"])], 0);
    });
}

/// Goal: a group goes from the classic protocol to the new one and back, a member at a time, and loses nothing on the way.
#[test]
fn a_group_goes_from_one_protocol_to_the_other_and_back() {
    let cluster = cluster();
    for_each_library(LIBRARIES, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let name = format!("migrates-{}", library.name());
        // Assignments of librdkafka's sticky assignor carry its own data, which would be lost: such groups do not migrate.
        let assignor = if library == Library::Confluent { "range" } else { "cooperative-sticky" };
        let mut group = Group::new(&cluster, &name, assignor, &mut driver);
        let mut steps = 0;
        let mut step = |group: &mut Group, driver: &mut Driver, members: &[&str]| {
            steps += 1;
            group.wait_settled(&mut [(driver, members)]);
            let before = group.written;
            group.write(driver, 2);
            let times = group.read_from(&mut [(driver, members)], before);
            assert_eq!(times.len(), group.written - before, "{name}, step {steps}");
        };
        group.join(&mut driver, "a");
        group.join(&mut driver, "b");
        step(&mut group, &mut driver, &["a", "b"]);
        group.assignor = None;
        group.join(&mut driver, "c");
        step(&mut group, &mut driver, &["a", "b", "c"]);
        leave(&mut driver, "a");
        step(&mut group, &mut driver, &["b", "c"]);
        leave(&mut driver, "b");
        step(&mut group, &mut driver, &["c"]);
        // And back.
        group.assignor = Some(assignor.to_owned());
        group.join(&mut driver, "d");
        step(&mut group, &mut driver, &["c", "d"]);
        leave(&mut driver, "c");
        step(&mut group, &mut driver, &["d"]);
        leave(&mut driver, "d");
        group.assert_committed_to_the_end(&mut driver);
    });
}

/// Goal: Kafka's tools show such groups and set what is set for them, and its reader of logs knows every record.
#[test]
fn kafkas_tools_show_the_groups_and_read_their_records() {
    need!(Home::Kafka.missing());
    need!(Library::Java.missing());
    let cluster = cluster();
    let tools = Tools::Scripts(Home::Kafka);
    let mut driver = Driver::start(Library::Java, cluster.address());
    let mut group = Group::new(&cluster, "tools848", None, &mut driver);
    group.join_as(&mut driver, "a", Some("instance-1"));
    group.join(&mut driver, "b");
    group.wait_settled(&mut [(&mut driver, &["a", "b"])]);
    group.write(&mut driver, 1);
    group.assert_read_once(&mut [(&mut driver, &["a", "b"])], 0);
    let groups = |arguments: &[&str]| tools.run("consumer-groups", cluster.address(), arguments).succeed();
    let describe = |more: &[&str]| groups(&[&["--describe", "--group", &group.name], more].concat());
    describe(&["--state"]).says(&[&group.name, "uniform", "Stable", "2"]);
    describe(&["--state", "--verbose"]).says(&["GROUP-EPOCH"]);
    describe(&["--members", "--verbose"]).says(&["instance-1", &group.topic]).says(&["CURRENT-EPOCH", "TARGET-EPOCH"]);
    describe(&[]).says(&[&group.topic, "5"]);
    groups(&["--list", "--type", "consumer"]).says(&[&group.name]);
    groups(&["--list", "--type", "classic"]).says_not(&group.name);
    groups(&["--list", "--state", "stable"]).says(&[&group.name, "Stable"]);
    let configs = |arguments: &[&str]| {
        let of = ["--entity-type", "groups", "--entity-name", &group.name];
        tools.run("configs", cluster.address(), &[&of, arguments].concat())
    };
    configs(&["--alter", "--add-config", "consumer.heartbeat.interval.ms=400"]).succeed();
    configs(&["--describe"]).succeed().says(&["consumer.heartbeat.interval.ms=400"]);
    let refused = configs(&["--alter", "--add-config", "consumer.heartbeat.interval.ms=100"]);
    assert!(refused.stderr.contains("must be greater than or equal to"), "{refused:#?}");
    // A pattern, a classic member, one that leaves: all kinds of records, and what takes them back.
    driver.call(json!({"op": "join", "id": "c", "group": group.name, "regex": group.topic, "protocol": "consumer"}));
    group.wait_settled(&mut [(&mut driver, &["a", "b", "c"])]);
    group.assignor = Some("range".to_owned());
    group.join(&mut driver, "d");
    group.wait_settled(&mut [(&mut driver, &["a", "b", "c", "d"])]);
    leave(&mut driver, "c");
    group.wait_settled(&mut [(&mut driver, &["a", "b", "d"])]);
    let Some(stopped) = cluster.stop() else { return };
    let printed = check_data_directory(&stopped.data());
    for kind in ["3", "5", "6", "7", "8", "16"] {
        let line = format!("\"type\":\"{kind}\"");
        assert!(printed.contains(&line), "no record of kind {kind}");
    }
    assert!(printed.contains("metadataHash"), "{PARTITIONS} partitions have a hash");
}
