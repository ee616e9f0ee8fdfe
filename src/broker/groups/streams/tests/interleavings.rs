//! Members that come, go, fall silent and lose answers in any order, topics and settings that change, coordinators that are lost, with time
//! passing in between.

use super::*;

/// A member as its client sees it.
#[derive(Clone, Default)]
struct ClientSide {
    epoch: i32,
    owned: Held,
}

/// Goal: after each step
/// - no active task is at two members, nor has a process a task twice, in whatever roles,
/// - no two clients in touch process the same task,
/// - a replay of the log gives what the coordinator knows, record for record, byte for byte;
///
/// and in the end, when all that are left have had time, the group is stable and each task has its one owner.
#[test]
fn any_interleaving_keeps_the_promises() {
    for seed in 0..24 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::with(&[
            ("streams.assignment.interval.ms", "500"),
            ("streams.initial.rebalance.delay.ms", if seed % 2 == 0 { "0" } else { "3000" }),
        ]);
        let mut clients: BTreeMap<String, ClientSide> = BTreeMap::new();
        for step in 0..200 {
            let context = format!("seed {seed}, step {step}");
            let ids: Vec<String> = clients.keys().cloned().collect();
            let id = if ids.is_empty() { String::new() } else { ids[random.usize(0..ids.len())].clone() };
            match random.u8(0..20) {
                0 | 1 if clients.len() < 6 => {
                    let number = random.u8(0..8);
                    let id = format!("m{number}");
                    let process_id = Some(format!("p{}", number / 2));
                    let answer = world.send(&StreamsGroupHeartbeatRequest { process_id, ..joining(&id) });
                    let (epoch, owned) = given(&answer);
                    clients.insert(id, ClientSide { epoch, owned });
                }
                2 if !id.is_empty() => {
                    if random.bool() {
                        assert_eq!(world.leave(&id), ErrorCode::None, "{context}");
                    }
                    // Otherwise it crashes: its session ends some time.
                    clients.remove(&id);
                }
                3 if random.u8(0..3) == 0 => {
                    let topic = ["in", "g-changelog", "g-repartition"][random.usize(0..3)];
                    let partitions = if random.u8(0..3) == 0 { 0 } else { random.usize(3..5) };
                    world.set_topic(topic, partitions);
                }
                4 => world.pass(Duration::from_millis(random.u64(0..12_000))),
                5 if random.u8(0..4) == 0 => {
                    world.shard = world.replayed();
                    let effects = world.shard.loaded(world.now());
                    world.take(effects);
                }
                6 if random.u8(0..4) == 0 => {
                    let standbys = random.u8(0..3).to_string();
                    world.set("streams.num.standby.replicas", &standbys);
                }
                _ if !id.is_empty() => beat(&mut world, &mut clients, &id, random.u8(0..8) == 0, &context),
                _ => {}
            }
            check(&world, &clients, &context);
        }
        // All is well again: whoever is there comes to rest.
        for topic in ["in", "g-changelog", "g-repartition"] {
            world.set_topic(topic, 3);
        }
        world.pass(Duration::from_secs(1));
        for round in 0..60 {
            for id in clients.keys().cloned().collect::<Vec<_>>() {
                beat(&mut world, &mut clients, &id, false, &format!("seed {seed}, at the end, round {round}"));
            }
            world.pass(Duration::from_secs(1));
        }
        check(&world, &clients, &format!("seed {seed}, at the end"));
        if clients.is_empty() {
            assert!(["Empty", ""].contains(&world.state().as_str()), "seed {seed}: {}", world.state());
        } else {
            assert_eq!(world.state(), "Stable", "seed {seed}");
            let active = clients.values().flat_map(|client| &client.owned).filter(|task| !task.starts_with('s'));
            assert_eq!(active.cloned().collect::<Held>(), held("0_0 0_1 0_2 1_0 1_1 1_2"), "seed {seed}");
        }
    }
}

fn beat(world: &mut World, clients: &mut BTreeMap<String, ClientSide>, id: &str, is_lost: bool, context: &str) {
    let client = clients[id].clone();
    let owned: Vec<&str> = client.owned.iter().map(String::as_str).collect();
    let answer = world.send(&beating(id, client.epoch, &owned.join(" ")));
    if is_lost {
        return;
    }
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {
            let client = clients.get_mut(id).unwrap();
            client.epoch = answer.member_epoch;
            if answer.active_tasks.is_some() {
                client.owned = given(&answer).1;
            }
        }
        // Invalid: it has a task of a partition that is no longer there.
        ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::InvalidRequest => {
            clients.remove(id);
        }
        other => panic!("{context}: {other}"),
    }
}

fn check(world: &World, clients: &BTreeMap<String, ClientSide>, context: &str) {
    let group = world.describe();
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut in_process: BTreeSet<(String, String)> = BTreeSet::new();
    for member in &group.members {
        assert!(member.member_epoch <= group.assignment_epoch, "{context}");
        assert!(group.assignment_epoch <= group.group_epoch, "{context}");
        let copies = member.assignment.standby_tasks.iter().chain(&member.assignment.warmup_tasks);
        for (ids, is_active) in
            member.assignment.active_tasks.iter().map(|ids| (ids, true)).chain(copies.map(|ids| (ids, false)))
        {
            for task in &ids.partitions {
                let task = format!("{}_{task}", ids.subtopology_id);
                let is_new = in_process.insert((member.process_id.clone(), task.clone()));
                assert!(is_new, "{context}: {} has {task} twice", member.process_id);
                if is_active {
                    let other = owners.insert(task.clone(), member.member_id.clone());
                    assert_eq!(other, None, "{context}: {task} has two owners");
                }
            }
        }
    }
    // A client that the coordinator still knows processes nothing that the coordinator has given to another.
    for (id, client) in clients.iter().filter(|(id, _)| group.members.iter().any(|member| &member.member_id == *id)) {
        for task in client.owned.iter().filter(|task| !task.starts_with('s')) {
            let owner = owners.get(task);
            assert!(owner.is_none_or(|owner| owner == id), "{context}: {task} is at {id} and {owner:?}");
        }
    }
    world.check();
}
