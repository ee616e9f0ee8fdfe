//! How members go from the tasks that they have to those that they are to have.

use super::*;

#[test]
fn the_first_member_gets_all_tasks_once_the_internal_topics_are_there() {
    let mut world = World::new();
    let answer = world.send(&joining("m1"));
    assert_eq!(given(&answer), (2, Held::new()));
    assert_eq!(statuses(&answer), [(3, "Internal topics are missing: g-changelog, g-repartition")]);
    assert_eq!((answer.heartbeat_interval_ms, world.state().as_str()), (5000, "NotReady"));
    let answer = world.send(&beating("m1", 2, ""));
    assert_eq!(given(&answer), (3, held("0_0 0_1 0_2 1_0 1_1 1_2")));
    assert_eq!(statuses(&answer), []);
    assert_eq!(world.beat("m1", 3, "0_0 0_1 0_2 1_0 1_1 1_2"), (3, None), "told once");
    assert_eq!(world.state(), "Stable");
    world.check();
}

#[test]
fn a_task_moves_when_its_owner_has_given_it_up() {
    let mut world = World::settled();
    let (epoch, tasks) = world.join("m2");
    assert_eq!((epoch, tasks), (4, Held::new()), "nothing is free yet");
    assert_eq!(world.state(), "Reconciling");
    let (epoch, left) = world.beat("m1", 3, "0_0 0_1 0_2 1_0 1_1 1_2");
    let left = left.unwrap();
    assert_eq!((epoch, left.len()), (3, 3), "it stays in its epoch until it has given up");
    assert_eq!(world.beat("m2", 4, ""), (4, None));
    assert_eq!(world.beat("m1", 3, "0_0 0_1 0_2 1_0 1_1 1_2"), (3, None), "it has not given up yet");
    let owned: Vec<&str> = left.iter().map(String::as_str).collect();
    assert_eq!(world.beat("m1", 3, &owned.join(" ")), (4, None));
    let (epoch, got) = world.beat("m2", 4, "");
    let got = got.unwrap();
    assert_eq!((epoch, got.len()), (4, 3));
    assert!(got.is_disjoint(&left));
    assert_eq!(world.state(), "Stable");
    world.check();
}

#[test]
fn who_does_not_give_up_in_time_is_shut_out() {
    let mut world = World::settled();
    world.join("m2");
    let all = "0_0 0_1 0_2 1_0 1_1 1_2";
    world.beat("m1", 3, all);
    for _ in 0..2 {
        world.pass(Duration::from_secs(10));
        world.beat("m1", 3, all);
        world.beat("m2", 4, "");
    }
    assert!(world.member("m1").is_some());
    world.pass(Duration::from_secs(10));
    assert!(world.member("m1").is_none());
    assert_eq!(world.code(&beating("m1", 3, all)), ErrorCode::UnknownMemberId);
    assert_eq!(world.beat("m2", 4, "").1.unwrap().len(), 6);
    world.check();
}

#[test]
fn who_is_silent_is_shut_out() {
    let mut world = World::settled();
    world.pass(Duration::from_secs(44));
    world.beat("m1", 3, "0_0 0_1 0_2 1_0 1_1 1_2");
    world.pass(Duration::from_secs(44));
    assert!(world.member("m1").is_some());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.state(), "Empty");
    world.check();
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut world = World::new();
    world.join("m1");
    world.send(&beating("m1", 2, ""));
    // The member has not heard of epoch 3: it has nothing more than before.
    let (epoch, tasks) = world.beat("m1", 2, "");
    assert_eq!((epoch, tasks.map(|tasks| tasks.len())), (3, Some(6)));
    // Nor of tasks that came without another epoch.
    assert_eq!(world.beat("m1", 3, "0_0 1_1").1.map(|tasks| tasks.len()), Some(6));
    assert_eq!(world.send(&StreamsGroupHeartbeatRequest { member_epoch: 3, ..from("m1") }).active_tasks, None);
    assert_eq!(world.join("m1").1.len(), 6);
    world.check();
}

#[test]
fn the_first_members_are_assigned_together() {
    let mut world = World::with(&[("streams.assignment.interval.ms", "0")]);
    world.set_topic("g-changelog", 3);
    world.set_topic("g-repartition", 3);
    let delayed = (5, "Assignment delayed due to the configured initial rebalance delay.");
    let answer = world.send(&joining("m1"));
    assert_eq!((given(&answer), statuses(&answer)), ((1, Held::new()), vec![delayed]));
    world.pass(Duration::from_secs(2));
    let answer = world.send(&joining("m2"));
    assert_eq!((given(&answer), statuses(&answer)), ((1, Held::new()), vec![delayed]));
    assert_eq!(world.state(), "Assigning");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.state(), "Reconciling");
    assert_eq!(world.beat("m1", 1, "").1.unwrap().len(), 3);
    assert_eq!(world.beat("m2", 1, "").1.unwrap().len(), 3);
    world.check();
}

#[test]
fn assignments_keep_their_distance() {
    let mut world =
        World::with(&[("streams.assignment.interval.ms", "2000"), ("streams.initial.rebalance.delay.ms", "0")]);
    world.set_topic("g-changelog", 3);
    world.set_topic("g-repartition", 3);
    assert_eq!(world.join("m1").1.len(), 6);
    let answer = world.send(&joining("m2"));
    assert_eq!(statuses(&answer), [(5, "Assignment delayed due to the configured assignment interval.")]);
    assert_eq!(world.state(), "Assigning");
    world.pass(Duration::from_secs(2));
    let answer = world.send(&beating("m2", 2, ""));
    assert_eq!((answer.member_epoch, statuses(&answer)), (3, vec![]));
    world.check();
}

#[test]
fn copies_are_kept_where_it_is_asked_for() {
    let mut world = World::settled();
    world.join("m2");
    world.set("streams.num.standby.replicas", "1");
    let mut held: BTreeMap<&str, (i32, String)> =
        [("m1", (3, "0_0 0_1 0_2 1_0 1_1 1_2".to_owned())), ("m2", (4, String::new()))].into();
    for _ in 0..6 {
        for (member, (epoch, owned)) in &mut held {
            let (next, tasks) = world.beat(member, *epoch, owned);
            *epoch = next;
            if let Some(tasks) = tasks {
                *owned = tasks.into_iter().collect::<Vec<_>>().join(" ");
            }
        }
    }
    assert_eq!(world.state(), "Stable");
    let copies = |owned: &str| owned.split(' ').filter(|task| task.starts_with("s1_")).count();
    let all: Vec<&String> = held.values().map(|(_, owned)| owned).collect();
    assert_eq!(all.iter().map(|owned| copies(owned)).sum::<usize>(), 3);
    for task in ["1_0", "1_1", "1_2"] {
        let is_at = |name: &str| all.iter().position(|owned| owned.split(' ').any(|other| other == name)).unwrap();
        assert_ne!(is_at(task), is_at(&format!("s{task}")));
    }
    world.check();
}

#[test]
fn members_of_one_process_share_its_place_for_state() {
    let mut world = World::settled();
    let of_m1 =
        |member: &str| StreamsGroupHeartbeatRequest { process_id: Some("process of m1".into()), ..joining(member) };
    assert_eq!(given(&world.send(&of_m1("m2"))), (4, Held::new()));
    let left = world.beat("m1", 3, "0_0 0_1 0_2 1_0 1_1 1_2").1.unwrap();
    assert_eq!(world.beat("m2", 4, ""), (4, None), "in the same process too a task has one owner");
    world.beat("m1", 3, &left.into_iter().collect::<Vec<_>>().join(" "));
    assert_eq!(world.beat("m2", 4, "").1.unwrap().len(), 3);
    world.check();
}

#[test]
fn one_member_can_end_the_whole_application() {
    let mut world = World::settled();
    world.join("m2");
    let answer = world.send(&StreamsGroupHeartbeatRequest { shutdown_application: true, ..beating("m2", 4, "") });
    let words =
        "Streams group member m2 encountered a fatal error and requested a shutdown for the entire application.";
    assert_eq!(statuses(&answer), [(4, words)]);
    assert_eq!(world.leave("m2"), ErrorCode::None);
    let answer = world.send(&beating("m1", 3, "0_0 0_1 0_2 1_0 1_1 1_2"));
    assert_eq!(statuses(&answer), [(4, words)], "also when it is gone");
    assert_eq!(world.leave("m1"), ErrorCode::None);
    assert_eq!(statuses(&world.send(&joining("m3"))), [], "the application can start again");
    world.check();
}

#[test]
fn endpoints_are_told_with_the_partitions_of_their_tasks() {
    let mut world = World::settled();
    let endpoint = Endpoint { host: "h".into(), port: 9, ..Default::default() };
    let request = StreamsGroupHeartbeatRequest { user_endpoint: Some(endpoint), ..beating("m1", 3, "") };
    let request =
        StreamsGroupHeartbeatRequest { active_tasks: None, standby_tasks: None, warmup_tasks: None, ..request };
    let answer = world.send(&request);
    assert_eq!((answer.endpoint_information_epoch, answer.partitions_by_user_endpoint), (0, None), "no task has moved");
    let answer = world.send(&StreamsGroupHeartbeatRequest { endpoint_information_epoch: -1, ..from_epoch("m1", 4) });
    let told = answer.partitions_by_user_endpoint.unwrap();
    assert_eq!((told.len(), told[0].user_endpoint.host.as_str(), told[0].user_endpoint.port), (1, "h", 9));
    let partitions: Vec<_> =
        told[0].active_partitions.iter().map(|topic| (topic.topic.as_str(), topic.partitions.len())).collect();
    assert_eq!(partitions, [("g-repartition", 3), ("in", 3)]);
    // A member with an endpoint that joins raises the epoch of what is known of endpoints.
    let endpoint = Endpoint { host: "h2".into(), port: 9, ..Default::default() };
    let answer = world.send(&StreamsGroupHeartbeatRequest { user_endpoint: Some(endpoint), ..joining("m2") });
    assert_eq!(answer.endpoint_information_epoch, 1);
    assert_eq!(answer.partitions_by_user_endpoint.map(|told| told.len()), Some(2));
    let answer = world.send(&StreamsGroupHeartbeatRequest { endpoint_information_epoch: 1, ..from_epoch("m2", 5) });
    assert_eq!(answer.partitions_by_user_endpoint, None, "known already");
}

/// A heartbeat that says nothing new.
fn from_epoch(member: &str, member_epoch: i32) -> StreamsGroupHeartbeatRequest {
    StreamsGroupHeartbeatRequest { member_epoch, ..from(member) }
}
