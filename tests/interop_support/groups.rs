//! A group on one topic, whose members are in one driver or several.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Cluster, Driver, Record};
use crate::support::wait_for;

pub const PARTITIONS: usize = 6;
/// Some rebalances wait for a member's next heartbeat, some for its session; both are seconds here.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// One group on one topic, its members in one or several drivers.
pub struct Group {
    pub name: String,
    pub topic: String,
    /// Of the classic protocol; `None` for the protocol of KIP-848.
    pub assignor: Option<String>,
    pub written: usize,
}

impl Group {
    pub fn new(cluster: &Cluster, name: &str, assignor: impl Into<Option<&'static str>>, creator: &mut Driver) -> Self {
        let topic = cluster.name(&format!("{name}-topic"));
        creator.create_topic(&topic, PARTITIONS, json!({}));
        Self { name: cluster.name(name), topic, assignor: assignor.into().map(str::to_owned), written: 0 }
    }

    pub fn join(&self, driver: &mut Driver, member: &str) {
        self.join_as(driver, member, None);
    }

    pub fn join_as(&self, driver: &mut Driver, member: &str, instance: Option<&str>) {
        driver.call(json!({
            "op": "join", "id": member, "group": self.name, "topics": [self.topic], "assignor": self.assignor,
            "instance": instance, "session_timeout_ms": 10_000,
            "protocol": if self.assignor.is_some() { "classic" } else { "consumer" },
        }));
    }

    /// Writes `count` records to each partition, numbered on from those before.
    pub fn write(&mut self, driver: &mut Driver, count: usize) {
        let numbers = self.written..self.written + count * PARTITIONS;
        let record = |n: usize| json!({"t": self.topic, "p": n % PARTITIONS, "v": format!("{n}|")});
        let records: Vec<Value> = numbers.map(record).collect();
        driver.produce(json!({"op": "produce", "acks": "all", "records": records}));
        self.written += count * PARTITIONS;
    }

    /// Waits until the members hold every partition between them, each at least one, none twice.
    pub fn wait_settled(&self, drivers: &mut [(&mut Driver, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let what = format!("{} to be settled among {:?}", self.name, drivers.iter().map(|d| d.1).collect::<Vec<_>>());
        let mut found = BTreeMap::new();
        wait_for(&what, SETTLED_WITHIN, || {
            found.clear();
            for (driver, members) in drivers.iter_mut() {
                for member in *members {
                    let status = driver.call(json!({"op": "status", "id": member}));
                    let assigned = status["assigned"].as_array().unwrap();
                    let assigned = assigned.iter().map(|p| p.as_str().unwrap().to_owned());
                    found.insert((*member).to_owned(), assigned.collect::<BTreeSet<_>>());
                }
            }
            let total: usize = found.values().map(BTreeSet::len).sum();
            let distinct: BTreeSet<&String> = found.values().flatten().collect();
            let settled =
                total == PARTITIONS && distinct.len() == PARTITIONS && found.values().all(|held| !held.is_empty());
            settled.then(|| found.clone())
        })
    }

    /// Takes from the members until the records from `first` on are all there; returns how often each number was read.
    pub fn read_from(&self, drivers: &mut [(&mut Driver, &[&str])], first: usize) -> BTreeMap<usize, usize> {
        let mut times = BTreeMap::new();
        wait_for(&format!("{} to read records {first}..{}", self.name, self.written), SETTLED_WITHIN, || {
            for (driver, members) in drivers.iter_mut() {
                for member in *members {
                    let taken = Record::list(&driver.call(json!({"op": "take", "id": member})));
                    for record in taken {
                        *times.entry(record.id().parse().unwrap()).or_insert(0) += 1;
                    }
                }
            }
            (first..self.written).all(|number| times.contains_key(&number)).then_some(())
        });
        times
    }

    /// What was written from `first` on is read once, and nothing older again.
    pub fn assert_read_once(&self, drivers: &mut [(&mut Driver, &[&str])], first: usize) {
        let times = self.read_from(drivers, first);
        let expected: BTreeMap<usize, usize> = (first..self.written).map(|number| (number, 1)).collect();
        assert_eq!(times, expected, "{} with {:?}", self.name, self.assignor);
    }

    pub fn assert_committed_to_the_end(&self, driver: &mut Driver) {
        let committed = driver.call(json!({"op": "committed", "group": self.name, "topic": self.topic}));
        let each = self.written / PARTITIONS;
        let expected: Value =
            (0..PARTITIONS).map(|p| (p.to_string(), json!(each))).collect::<serde_json::Map<_, _>>().into();
        assert_eq!(committed, expected, "{}", self.name);
    }
}
