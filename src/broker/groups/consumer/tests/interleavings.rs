//! Members that come, go, fall silent, lose answers and commit in any order, topics that change, coordinators that are lost, with time
//! passing in between; and members of both protocols, so that the group goes from one to the other.

use super::migration::{classic_joining, subscription};
use super::*;
use crate::protocol::messages::SyncGroupRequest;
use crate::protocol::messages::leave_group_request::MemberIdentity;

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
    let mut found = 0;
    for seed in 0..24 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::with(|mut view| {
            view.consumer.timing.assignment_interval.default = Duration::from_millis(500);
            view
        });
        let mut clients: BTreeMap<String, ClientSide> = BTreeMap::new();
        let mut committed: BTreeMap<(String, i32), i64> = BTreeMap::new();
        // Look-ups of coordinators that were lost since.
        let mut late = Vec::new();
        for step in 0..200 {
            let context = format!("seed {seed}, step {step}");
            let ids: Vec<String> = clients.keys().cloned().collect();
            let id = if ids.is_empty() { String::new() } else { ids[random.usize(0..ids.len())].clone() };
            match random.u8(0..22) {
                0 | 1 if clients.len() < 5 => {
                    let id = format!("m{}", random.u8(0..8));
                    let topics = any_topics(&mut random);
                    let request = if random.bool() {
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
                20 | 21 => match late.pop() {
                    Some(lookup) if random.bool() => {
                        let written = world.log.len();
                        world.end_lookup(&lookup);
                        assert_eq!(world.log.len(), written, "{context}: a look-up for another coordinator");
                    }
                    _ if random.u8(0..8) == 0 => world.lookups.clear(),
                    _ => world.look_up(),
                },
                5 if random.u8(0..4) == 0 => {
                    late.append(&mut world.lookups);
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
        found += world.log.iter().filter(|record| record.key.starts_with(&[0, 16]) && record.value.is_some()).count();
        world.pass(Duration::from_secs(3600));
        assert!(["Empty", ""].contains(&world.state().as_str()), "seed {seed}: {}", world.state());
    }
    assert!(found > 50, "{found} outcomes of look-ups");
}

/// Goal: whatever members of both protocols do, each request is answered once at most, a group of either kind is what a replay gives, no
/// partition has two owners, no offset is lost, and the group comes to rest.
#[test]
fn any_mixture_of_protocols_keeps_the_promises() {
    let mut upgrades = 0;
    let mut downgrades = 0;
    for seed in 0..30 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let mut modern: BTreeMap<String, (i32, Held)> = BTreeMap::new();
        let mut classic: BTreeMap<String, i32> = BTreeMap::new();
        // Requests under way, and whose they are: a client waits for its answer before it asks again.
        let mut joins: Vec<(Token, String)> = Vec::new();
        let mut next_token = 0;
        let mut committed = -1;
        let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
        for step in 0..150 {
            let context = format!("seed {seed}, step {step}");
            let before = world.kind();
            let pick = |random: &mut fastrand::Rng, ids: Vec<String>| {
                if ids.is_empty() { None } else { Some(ids[random.usize(0..ids.len())].clone()) }
            };
            let member = pick(&mut random, modern.keys().cloned().collect());
            let old = pick(&mut random, classic.keys().cloned().collect());
            next_token += 1;
            let token = Token(next_token);
            let now = world.now();
            match (random.u8(0..12), member, old) {
                (0, _, _) if modern.len() < 3 => {
                    let id = format!("m{}", random.u8(0..4));
                    let answer = world.send(&joining(&id, &["a"]));
                    assert_eq!(answer.error_code, 0, "{context}: {:?}", answer.error_message);
                    modern.insert(id, given(&answer));
                }
                (1..=3, Some(id), _) => {
                    let (epoch, owned) = modern[&id].clone();
                    let owned_text: Vec<&str> = owned.iter().map(String::as_str).collect();
                    let answer = world.send(&beating(&id, epoch, &owned_text.join(" ")));
                    if answer.error_code == 0 {
                        let owned = if answer.assignment.is_some() { given(&answer).1 } else { owned };
                        modern.insert(id, (answer.member_epoch, owned));
                    } else {
                        modern.remove(&id);
                    }
                }
                (4, Some(id), _) => {
                    world.leave(&id);
                    modern.remove(&id);
                }
                (5, _, old) if classic.len() < 3 || old.is_some() => {
                    let id = old.filter(|_| random.u8(0..3) > 0).unwrap_or_default();
                    if !id.is_empty() && joins.iter().any(|(_, waiting)| *waiting == id) {
                        continue;
                    }
                    let request = classic_joining(&id, subscription(&["a"], ""));
                    let effects = world.shard.join(&request, if id.is_empty() { 3 } else { 9 }, &client, token, now);
                    world.take(effects);
                    joins.push((token, id));
                }
                (6, _, Some(id)) => {
                    let request = SyncGroupRequest {
                        group_id: GROUP.into(),
                        member_id: id.clone(),
                        generation_id: classic[&id],
                        ..Default::default()
                    };
                    let effects = world.shard.sync(&request, token, now);
                    world.take(effects);
                }
                (7, _, Some(id)) => {
                    let generation = classic[&id];
                    if world.classic_beat(&id, generation) == ErrorCode::UnknownMemberId {
                        classic.remove(&id);
                    }
                }
                (8, _, Some(id)) => {
                    let members = [MemberIdentity { member_id: id.clone(), ..Default::default() }];
                    let effects = world.shard.leave(GROUP, &members, now).1;
                    world.take(effects);
                    classic.remove(&id);
                }
                (9, member, old) => {
                    let (id, epoch) = match (member, old) {
                        (Some(id), _) => (id.clone(), modern[&id].0),
                        (None, Some(id)) => (id.clone(), classic[&id]),
                        (None, None) => (String::new(), -1),
                    };
                    if world.commit(&id, epoch, "a", 0, committed + 1) == ErrorCode::None {
                        committed += 1;
                    }
                }
                (10, _, _) => world.pass(Duration::from_millis(random.u64(0..9_000))),
                (11, _, _) if random.u8(0..6) == 0 => {
                    let replies = world.shard.resign(ErrorCode::NotCoordinator);
                    world.take(Effects { replies, ..Effects::default() });
                    world.shard = world.replayed();
                    let effects = world.shard.loaded(now);
                    world.take(effects);
                }
                _ => {}
            }
            joins.retain(|(token, _)| match world.replies.get(token) {
                Some(Reply::Join(answer)) => {
                    if answer.error_code == 0 {
                        classic.insert(answer.member_id.clone(), answer.generation_id);
                    }
                    false
                }
                _ => true,
            });
            match (before, world.kind()) {
                ("classic", "consumer") => upgrades += 1,
                ("consumer", "classic") => downgrades += 1,
                _ => {}
            }
            if world.kind() == "consumer" {
                check(&world, &BTreeMap::new(), &BTreeMap::new(), &context);
            } else {
                assert_eq!(world.replayed().offsets(GROUP), world.shard.offsets(GROUP), "{context}");
            }
            if committed >= 0 {
                assert_eq!(world.shard.offset(GROUP, "a", 0).map(|found| found.offset), Some(committed), "{context}");
            }
        }
        world.pass(Duration::from_secs(3600));
        let rest = world.shard.list().next().map_or("Empty", |group| group.state);
        assert_eq!(rest, "Empty", "seed {seed}");
        assert!(
            joins.iter().all(|(token, _)| world.replies.contains_key(token)),
            "seed {seed}: a join was never answered"
        );
    }
    assert!(upgrades > 10 && downgrades > 10, "{upgrades} upgrades, {downgrades} downgrades");
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
