//! What a heartbeat costs in a large group.

use super::*;

/// Goal: a heartbeat that changes nothing takes no longer where there are many members; members that come within one assignment interval cost
/// one assignment.
/// Method: as many heartbeats in a group of a thousand as in one of ten; the factor between them stays far from the hundred of a scan.
#[test]
fn a_heartbeat_that_changes_nothing_does_not_look_at_all_members() {
    let beats = |members: usize| {
        let mut world = World::with(|view| view);
        world.set_topic("a", members);
        for member in 0..members {
            world.join(&format!("m{member:04}"), &["a"]);
        }
        assert!(world.log.len() < members * 4 + 10, "one assignment, not one per member");
        world.pass(Duration::from_secs(2));
        // Everybody gets to where it belongs.
        let mut epochs = vec![(0, Held::new()); members];
        for _ in 0..3 {
            for (member, (epoch, owned)) in epochs.iter_mut().enumerate() {
                let id = format!("m{member:04}");
                let owned_text: Vec<&str> = owned.iter().map(String::as_str).collect();
                let answer = match *epoch {
                    0 => world.send(&joining(&id, &["a"])),
                    _ => world.send(&beating(&id, *epoch, &owned_text.join(" "))),
                };
                *epoch = answer.member_epoch;
                if answer.assignment.is_some() {
                    *owned = given(&answer).1;
                }
            }
        }
        assert_eq!(world.state(), "Stable");
        let written = world.log.len();
        let requests: Vec<_> = (0..members)
            .map(|m| ConsumerGroupHeartbeatRequest { member_epoch: epochs[m].0, ..from(&format!("m{m:04}")) })
            .collect();
        let started = Instant::now();
        for n in 0..5000 {
            assert_eq!(world.code(&requests[n % members]), ErrorCode::None);
        }
        assert_eq!(world.log.len(), written);
        started.elapsed()
    };
    let (few, many) = (beats(10), beats(1000));
    println!("5000 heartbeats: {few:?} in a group of 10, {many:?} in one of 1000");
    assert!(many < few * 20, "{few:?} in a group of 10, {many:?} in one of 1000");
}
