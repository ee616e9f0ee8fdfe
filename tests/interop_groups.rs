//! Consumer groups of every client library: members come and go, every record is read, offsets carry over to others.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use interop_support::{Cluster, Driver, Group, Library, PARTITIONS, SETTLED_WITHIN, for_each_library, present};
use serde_json::{Value, json};
use support::wait_for;

const NON_EMPTY_GROUP: i64 = 68;
const GROUP_ID_NOT_FOUND: i64 = 69;
const FENCED_INSTANCE_ID: i64 = 82;

/// Goal: with every assignor of every library, members join and leave and each record is read once.
/// Method: each change of members is followed by a batch of records; another library then goes on from the commits.
#[test]
fn members_come_and_go_and_every_record_is_read_once() {
    let libraries = present(Library::ALL);
    let cluster = Cluster::start();
    for_each_library(&libraries, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let next = libraries[(libraries.iter().position(|l| *l == library).unwrap() + 1) % libraries.len()];
        let mut heir = Driver::start(next, cluster.address());
        for &assignor in library.assignors() {
            let mut group =
                Group::new(&cluster, &format!("group-{}-{assignor}", library.name()), assignor, &mut driver);
            come_and_go(&mut group, &mut driver);
            // A member of another library goes on where the group has stopped.
            group.assignor = Some("range".to_owned());
            let before = group.written;
            group.write(&mut driver, 2);
            group.join(&mut heir, "h");
            group.assert_read_once(&mut [(&mut heir, &["h"])], before);
            heir.call(json!({"op": "leave", "id": "h"}));
            group.assert_committed_to_the_end(&mut driver);
        }
    });
}

fn come_and_go(group: &mut Group, driver: &mut Driver) {
    group.write(driver, 3);
    group.join(driver, "a");
    group.assert_read_once(&mut [(driver, &["a"])], 0);
    group.join(driver, "b");
    let shares = group.wait_settled(&mut [(driver, &["a", "b"])]);
    assert!(shares.values().all(|held| held.len() == 3), "{:?}: {shares:?}", group.assignor);
    let before = group.written;
    group.write(driver, 3);
    group.assert_read_once(&mut [(driver, &["a", "b"])], before);
    group.join(driver, "c");
    let shares = group.wait_settled(&mut [(driver, &["a", "b", "c"])]);
    assert!(shares.values().all(|held| held.len() == 2), "{:?}: {shares:?}", group.assignor);
    let before = group.written;
    group.write(driver, 3);
    group.assert_read_once(&mut [(driver, &["a", "b", "c"])], before);
    driver.call(json!({"op": "leave", "id": "a"}));
    group.wait_settled(&mut [(driver, &["b", "c"])]);
    let before = group.written;
    group.write(driver, 3);
    group.assert_read_once(&mut [(driver, &["b", "c"])], before);
    driver.call(json!({"op": "leave", "id": "b"}));
    driver.call(json!({"op": "leave", "id": "c"}));
    group.assert_committed_to_the_end(driver);
}

/// Goal: members of different libraries share a group.
#[test]
fn a_group_of_all_libraries_shares_a_topic() {
    let libraries: Vec<Library> = present(Library::ALL).into_iter().take(PARTITIONS).collect();
    if libraries.len() < 2 {
        return;
    }
    let cluster = Cluster::start();
    let mut drivers: Vec<Driver> = libraries.iter().map(|library| Driver::start(*library, cluster.address())).collect();
    let mut group = Group::new(&cluster, "mixed", "range", &mut drivers[0]);
    for driver in &mut drivers {
        group.join(driver, driver.library.name());
    }
    let names: Vec<[&str; 1]> = libraries.iter().map(|library| [library.name()]).collect();
    let mut members: Vec<(&mut Driver, &[&str])> =
        drivers.iter_mut().zip(&names).map(|(driver, name)| (driver, name.as_slice())).collect();
    group.wait_settled(&mut members);
    group.write(members[0].0, 5);
    group.assert_read_once(&mut members, 0);
    let (first, rest) = members.split_first_mut().unwrap();
    first.0.call(json!({"op": "leave", "id": first.1[0]}));
    group.wait_settled(rest);
    let before = group.written;
    group.write(first.0, 5);
    group.assert_read_once(rest, before);
}

/// Goal: a static member that goes and comes back keeps its partitions, and nobody else notices.
#[test]
fn a_static_member_returns_to_its_partitions() {
    let libraries: Vec<Library> = Library::ALL.iter().copied().filter(|library| library.has_static_members()).collect();
    let cluster = Cluster::start();
    for_each_library(&libraries, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let mut group = Group::new(&cluster, &format!("static-{}", library.name()), "range", &mut driver);
        group.join_as(&mut driver, "a", Some("instance-1"));
        group.join_as(&mut driver, "b", Some("instance-2"));
        let before = group.wait_settled(&mut [(&mut driver, &["a", "b"])]);
        group.write(&mut driver, 2);
        group.assert_read_once(&mut [(&mut driver, &["a", "b"])], 0);
        driver.call(json!({"op": "leave", "id": "a"}));
        // Still a member of the group until its session ends.
        let described = driver.call(json!({"op": "describe_group", "group": group.name}));
        assert_eq!(described, json!({"state": "STABLE", "protocol": "range", "members": 2}), "{}", library.name());
        group.join_as(&mut driver, "a", Some("instance-1"));
        let after = group.wait_settled(&mut [(&mut driver, &["a", "b"])]);
        assert_eq!(before, after, "{}", library.name());
        let first = group.written;
        group.write(&mut driver, 2);
        group.assert_read_once(&mut [(&mut driver, &["a", "b"])], first);
    });
}

/// Goal: of two members with one instance id the newer one is in the group, the older one is told so.
#[test]
fn a_second_member_of_an_instance_fences_the_first() {
    let cluster = Cluster::start();
    for_each_library(&[Library::Java, Library::Java39], |library| {
        let mut driver = Driver::start(library, cluster.address());
        let group = Group::new(&cluster, &format!("fenced-{}", library.name()), "range", &mut driver);
        group.join_as(&mut driver, "old", Some("instance"));
        group.wait_settled(&mut [(&mut driver, &["old"])]);
        group.join_as(&mut driver, "new", Some("instance"));
        let fenced = wait_for("the old member to be fenced", SETTLED_WITHIN, || {
            driver.try_call(&json!({"op": "status", "id": "old"})).err()
        });
        assert_eq!(fenced.code, FENCED_INSTANCE_ID, "{}: {fenced:?}", library.name());
        group.wait_settled(&mut [(&mut driver, &["new"])]);
    });
}

/// Goal: a member whose process is killed loses its partitions when its session ends.
#[test]
fn a_killed_members_partitions_pass_on_when_its_session_ends() {
    let cluster = Cluster::start();
    for_each_library(&[Library::Confluent, Library::FranzGo], |library| {
        let mut survivor = Driver::start(library, cluster.address());
        let mut victim = Driver::start(library, cluster.address());
        let mut group = Group::new(&cluster, &format!("killed-{}", library.name()), "range", &mut survivor);
        group.join(&mut survivor, "survivor");
        group.join(&mut victim, "victim");
        group.wait_settled(&mut [(&mut survivor, &["survivor"]), (&mut victim, &["victim"])]);
        victim.kill();
        group.wait_settled(&mut [(&mut survivor, &["survivor"])]);
        group.write(&mut survivor, 2);
        group.assert_read_once(&mut [(&mut survivor, &["survivor"])], 0);
    });
}

/// Goal: the admin calls about groups, while one is busy, empty, and gone.
#[test]
fn groups_are_listed_described_reset_and_deleted() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let who = library.name();
        let mut driver = Driver::start(library, cluster.address());
        let mut group = Group::new(&cluster, &format!("admin-{who}"), "range", &mut driver);
        group.write(&mut driver, 3);
        group.join(&mut driver, "a");
        group.assert_read_once(&mut [(&mut driver, &["a"])], 0);
        let describe = json!({"op": "describe_group", "group": group.name});
        assert_eq!(
            driver.call(describe.clone()),
            json!({"state": "STABLE", "protocol": "range", "members": 1}),
            "{who}"
        );
        let groups = driver.call(json!({"op": "list_groups"}));
        assert!(groups.as_array().unwrap().iter().any(|name| name == &group.name), "{who}: {groups}");
        let delete = json!({"op": "delete_group", "group": group.name});
        if library.can("delete_group") {
            assert_eq!(driver.call_for_error(delete.clone()), NON_EMPTY_GROUP, "{who}");
        }
        driver.call(json!({"op": "leave", "id": "a"}));
        let empty = wait_for("the group to be empty", SETTLED_WITHIN, || {
            let described = driver.call(describe.clone());
            (described["state"] == "EMPTY").then_some(described)
        });
        assert_eq!(empty["members"], 0, "{who}");
        group.assert_committed_to_the_end(&mut driver);
        if library.can("commit") {
            // Back to the second record of each partition: two of three come again.
            let offsets: serde_json::Map<String, Value> = (0..PARTITIONS).map(|p| (p.to_string(), json!(1))).collect();
            driver.call(json!({"op": "commit", "group": group.name, "topic": group.topic, "offsets": offsets}));
            group.join(&mut driver, "again");
            group.assert_read_once(&mut [(&mut driver, &["again"])], PARTITIONS);
            driver.call(json!({"op": "leave", "id": "again"}));
        }
        if library.can("delete_group_offsets") {
            driver.call(
                json!({"op": "delete_group_offsets", "group": group.name, "topic": group.topic, "partitions": [0, 1]}),
            );
            let committed = driver.call(json!({"op": "committed", "group": group.name, "topic": group.topic}));
            assert_eq!(committed.as_object().map(serde_json::Map::len), Some(PARTITIONS - 2), "{who}: {committed}");
        }
        if library.can("delete_group") {
            driver.call(delete.clone());
            assert_eq!(driver.call_for_error(delete), GROUP_ID_NOT_FOUND, "{who}");
            let groups = driver.call(json!({"op": "list_groups"}));
            assert!(groups.as_array().unwrap().iter().all(|name| name != &group.name), "{who}: {groups}");
        }
    });
}
