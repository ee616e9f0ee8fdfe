//! Members of both protocols that come, go, fall silent, lose answers and commit in any order, topics that change, coordinators that
//! are lost, with time passing in between.

use super::*;

/// A member as its client sees it.
#[derive(Clone, Default)]
struct ClientSide {
    epoch: i32,
    owned: Held,
    /// The topics it subscribes to have changed since it last said them.
    topics: Vec<String>,
}

/// Goal: after each step
/// - no partition is at two members that the coordinator knows, and what a member's client has, as far as it has heard, is the coordinator's to give:
///   no two clients in touch have the same one,
/// - committed offsets never go back and none is lost,
/// - a replay of the log gives what the coordinator knows, record for record.
#[test]
fn any_interleaving_keeps_the_promises() {
    for seed in 0..24 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::with(|mut view| {
            view.consumer.timing.assignment_interval.default = Duration::from_millis(500);
            view
        });
        let mut clients: BTreeMap<String, ClientSide> = BTreeMap::new();
        let mut committed: BTreeMap<(String, i32), i64> = BTreeMap::new();
        for step in 0..200 {
            let context = format!("seed {seed}, step {step}");
            let ids: Vec<String> = clients.keys().cloned().collect();
            let id = if ids.is_empty() { String::new() } else { ids[random.usize(0..ids.len())].clone() };
            match random.u8(0..20) {
                0 | 1 if clients.len() < 5 => {
                    let id = format!("m{}", random.u8(0..8));
                    let topics = any_topics(&mut random);
                    let request = if random.u8(0..4) == 0 {
                        joining_by_regex(&id, ["a|c", ".*", "b"][random.usize(0..3)])
                    } else {
                        joining(&id, &topics.iter().map(String::as_str).collect::<Vec<_>>())
                    };
                    let answer = world.send(&request);
                    assert_eq!(answer.error_code, 0, "{context}: {:?}", answer.error_message);
                    let (epoch, owned) = given(&answer);
                    clients.insert(id, ClientSide { epoch, owned, topics });
                }
                2 if !id.is_empty() => {
                    if random.bool() {
                        assert_eq!(world.leave(&id), ErrorCode::None, "{context}");
                    }
                    // Otherwise it crashes: its session ends some time.
                    clients.remove(&id);
                }
                3 => {
                    let (topic, partitions) = (["a", "b", "c"][random.usize(0..3)], random.usize(0..4));
                    let before = world.topics.get(topic).copied().unwrap_or_default();
                    // Topics grow, or go; one of the same name that comes later would have another id.
                    if partitions == 0 && topic == "c" || before > 0 {
                        world.set_topic(topic, before + partitions);
                    } else if topic != "c" {
                        world.set_topic(topic, partitions);
                    }
                }
                4 => {
                    let time = Duration::from_millis(random.u64(0..12_000));
                    world.pass(time);
                }
                5 if random.u8(0..4) == 0 => {
                    world.shard = world.replayed();
                    let effects = world.shard.loaded(world.now());
                    world.take(effects);
                }
                6 | 7 if !id.is_empty() => {
                    let client = clients[&id].clone();
                    let Some(partition) = client.owned.iter().nth(random.usize(0..client.owned.len().max(1))) else {
                        continue;
                    };
                    let (topic, number) = partition.split_at(1);
                    let key = (topic.to_owned(), number.parse().unwrap());
                    let next = committed.get(&key).copied().unwrap_or_default() + 1;
                    match world.commit(&id, client.epoch, topic, key.1, next) {
                        ErrorCode::None => {
                            committed.insert(key, next);
                        }
                        ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId => {}
                        other => panic!("{context}: {other}"),
                    }
                }
                _ if !id.is_empty() => {
                    let client = clients.get_mut(&id).unwrap();
                    let owned: Vec<&str> = client.owned.iter().map(String::as_str).collect();
                    let mut request = beating(&id, client.epoch, &owned.join(" "));
                    if random.u8(0..10) == 0 {
                        client.topics = any_topics(&mut random);
                        request.subscribed_topic_names = Some(client.topics.clone());
                        request.subscribed_topic_regex = Some(String::new());
                    }
                    let answer = world.send(&request);
                    // An answer that is lost: the client does not learn of it.
                    if random.u8(0..8) == 0 {
                        continue;
                    }
                    match ErrorCode::from_code(answer.error_code) {
                        ErrorCode::None => {
                            let client = clients.get_mut(&id).unwrap();
                            client.epoch = answer.member_epoch;
                            if answer.assignment.is_some() {
                                client.owned = given(&answer).1;
                            }
                        }
                        ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                            clients.remove(&id);
                        }
                        other => panic!("{context}: {other}"),
                    }
                }
                _ => {}
            }
            check(&world, &clients, &committed, &context);
        }
        world.pass(Duration::from_secs(3600));
        assert!(["Empty", ""].contains(&world.state().as_str()), "seed {seed}: {}", world.state());
    }
}

fn any_topics(random: &mut fastrand::Rng) -> Vec<String> {
    ["a", "b", "c"].into_iter().filter(|_| random.u8(0..4) > 0).map(str::to_owned).collect()
}

fn check(
    world: &World,
    clients: &BTreeMap<String, ClientSide>,
    committed: &BTreeMap<(String, i32), i64>,
    context: &str,
) {
    let group = world.describe();
    let mut owners: HashMap<(Uuid, i32), String> = HashMap::new();
    for member in &group.members {
        assert!(member.member_epoch <= group.assignment_epoch, "{context}");
        assert!(group.assignment_epoch <= group.group_epoch, "{context}");
        for topic in &member.assignment.topic_partitions {
            for partition in &topic.partitions {
                let other = owners.insert((topic.topic_id, *partition), member.member_id.clone());
                assert_eq!(other, None, "{context}: {}-{partition} has two owners", topic.topic_name);
            }
        }
    }
    // A client that the coordinator still knows has nothing that the coordinator has given to another.
    for (id, client) in clients.iter().filter(|(id, _)| group.members.iter().any(|member| &member.member_id == *id)) {
        for partition in &client.owned {
            let (topic, number) = partition.split_at(1);
            let owner = owners.get(&(topic_id(topic), number.parse().unwrap()));
            assert!(owner.is_none_or(|owner| owner == id), "{context}: {partition} is at {id} and {owner:?}");
        }
    }
    for ((topic, partition), offset) in committed {
        let live = world.shard.offset(GROUP, topic, *partition).map(|committed| committed.offset);
        assert_eq!(live, Some(*offset), "{context}");
    }
    world.check();
}
