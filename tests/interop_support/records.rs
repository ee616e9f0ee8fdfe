//! Records as the drivers tell them, and the check that a reader got what a writer sent.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A time to count records' timestamps from: young enough that no retention takes them.
pub fn an_hour_ago() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_millis()).unwrap() - 3_600_000
}

/// A record that a client has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub partition: i64,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(String, Option<String>)>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Record {
    pub fn list(value: &Value) -> Vec<Self> {
        value.as_array().unwrap().iter().map(Self::of).collect()
    }

    fn of(value: &Value) -> Self {
        let headers = value["h"].as_array().unwrap();
        Self {
            topic: text(&value["t"]).unwrap(),
            partition: value["p"].as_i64().unwrap(),
            offset: value["o"].as_i64().unwrap(),
            timestamp: value["ts"].as_i64().unwrap(),
            key: text(&value["k"]),
            value: text(&value["v"]),
            headers: headers.iter().map(|h| (text(&h[0]).unwrap(), text(&h[1]))).collect(),
        }
    }

    /// What tells a record from all others of a test: the header `id`, else the value up to a bar.
    pub fn id(&self) -> String {
        let header = self.headers.iter().find(|(name, _)| name == "id").and_then(|(_, value)| value.clone());
        let value = self.value.as_deref().unwrap_or_default();
        header.unwrap_or_else(|| value.split('|').next().unwrap_or_default().to_owned())
    }
}

/// A record that a client was told to send.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub topic: String,
    pub id: String,
    /// Records of one run were sent in order, by one producer.
    pub run: usize,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(String, Option<String>)>,
    /// Some writers can't choose it.
    pub timestamp: Option<i64>,
    /// Where the writer says that it went; some writers don't.
    pub place: Option<(i64, i64)>,
}

impl Sent {
    /// As the drivers' `produce` takes it.
    pub fn request(&self) -> Value {
        json!({"t": self.topic, "k": self.key, "v": self.value, "h": self.headers, "ts": self.timestamp})
    }
}

/// Checks that `read` holds each sent record once, unchanged, at the place that the writer was told, in the order of
/// each run per partition, and nothing else; and that equal keys share a partition.
pub fn assert_delivered(who: &str, sent: &[Sent], read: &[Record]) {
    let mut by_id: BTreeMap<String, &Record> = BTreeMap::new();
    let mut partition_of_key: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for record in read {
        if let Some(other) = by_id.insert(record.id(), record) {
            panic!("{who}: read twice: {other:?} and {record:?}");
        }
    }
    let mut last_of_run: BTreeMap<(&str, usize, i64), i64> = BTreeMap::new();
    for expected in sent {
        let Some(record) = by_id.remove(&expected.id) else { panic!("{who}: not read: {expected:?}") };
        let same = record.topic == expected.topic
            && record.key == expected.key
            && record.value == expected.value
            && record.headers == expected.headers
            && expected.timestamp.is_none_or(|timestamp| timestamp == record.timestamp);
        assert!(same, "{who}: sent {expected:?}\nread {record:?}");
        if let Some(place) = expected.place {
            assert_eq!((record.partition, record.offset), place, "{who}: place of {expected:?}");
        }
        let last = last_of_run.entry((&expected.topic, expected.run, record.partition)).or_insert(-1);
        assert!(record.offset > *last, "{who}: {expected:?} at offset {} follows offset {last}", record.offset);
        *last = record.offset;
        if let Some(key) = &expected.key {
            let partition = *partition_of_key.entry((&expected.topic, key)).or_insert(record.partition);
            assert_eq!(record.partition, partition, "{who}: key {key:?} in two partitions");
        }
    }
    assert!(by_id.is_empty(), "{who}: read but never sent: {by_id:?}");
    assert_dense(who, read);
}

/// No offset of a partition is missing between its first and last record.
fn assert_dense(who: &str, read: &[Record]) {
    let mut offsets: BTreeMap<(&str, i64), Vec<i64>> = BTreeMap::new();
    for record in read {
        offsets.entry((&record.topic, record.partition)).or_default().push(record.offset);
    }
    for ((topic, partition), offsets) in offsets {
        // Readers give each partition's records in order.
        let dense = offsets.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(dense, "{who}: offsets of {topic}-{partition}: {offsets:?}");
    }
}
