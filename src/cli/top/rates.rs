//! What changed between two samples, as rows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::View;
use super::sample::Sample;

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Order {
    /// The fastest
    Rate,
    /// The largest topic
    Size,
    /// The group that is most behind
    Lag,
    /// By name
    Name,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Rate => Self::Size,
            Self::Size => Self::Lag,
            Self::Lag => Self::Name,
            Self::Name => Self::Rate,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Size => "size",
            Self::Lag => "lag",
            Self::Name => "name",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TopicRow {
    pub(super) name: String,
    pub(super) is_internal: bool,
    pub(super) partitions: usize,
    pub(super) records_per_second: f64,
    pub(super) bytes_per_second: f64,
    pub(super) bytes: i64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GroupRow {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) lag: i64,
    pub(super) records_per_second: f64,
    /// `None`: it does not get nearer to the end.
    pub(super) catches_up_in: Option<Duration>,
}

/// The rows; empty until there are two samples.
#[derive(Debug, Default, Clone)]
pub(super) struct Rates {
    pub(super) seconds: f64,
    topics: Vec<TopicRow>,
    groups: Vec<GroupRow>,
    /// Why the last look failed, if it did.
    pub(super) failed: Option<String>,
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_second(count: i64, seconds: f64) -> f64 {
    // A topic that was made anew has gone back.
    count.max(0) as f64 / seconds
}

impl Rates {
    pub(super) fn between(before: &Sample, after: &Sample) -> Self {
        let seconds = after.at.duration_since(before.at).as_secs_f64().max(0.001);
        Self { seconds, topics: topics(before, after, seconds), groups: groups(before, after, seconds), failed: None }
    }

    /// The topics that the view shows, in its order.
    pub(super) fn topics(&self, view: &View) -> Vec<&TopicRow> {
        let wanted = |row: &&TopicRow| view.shows(&row.name) && (view.include_internal || !row.is_internal);
        let mut rows: Vec<_> = self.topics.iter().filter(wanted).collect();
        match view.order {
            Order::Rate | Order::Lag => rows.sort_by(|a, b| b.records_per_second.total_cmp(&a.records_per_second)),
            Order::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.bytes)),
            Order::Name => {}
        }
        rows
    }

    /// The groups that the view shows, in its order.
    pub(super) fn groups(&self, view: &View) -> Vec<&GroupRow> {
        let mut rows: Vec<_> = self.groups.iter().filter(|row| view.shows(&row.name)).collect();
        match view.order {
            Order::Rate => rows.sort_by(|a, b| b.records_per_second.total_cmp(&a.records_per_second)),
            Order::Size | Order::Lag => rows.sort_by_key(|row| std::cmp::Reverse(row.lag)),
            Order::Name => {}
        }
        rows
    }

    pub(super) fn to_json(&self, view: &View) -> Value {
        let topic = |row: &&TopicRow| {
            json!({
                "topic": row.name,
                "partitions": row.partitions,
                "recordsPerSecond": rounded(row.records_per_second),
                "bytesPerSecond": rounded(row.bytes_per_second),
                "bytes": row.bytes,
            })
        };
        let group = |row: &&GroupRow| {
            json!({
                "group": row.name,
                "state": row.state,
                "lag": row.lag,
                "recordsPerSecond": rounded(row.records_per_second),
                "secondsToCatchUp": row.catches_up_in.map(|time| time.as_secs()),
            })
        };
        let mut object = json!({
            "version": 1,
            "time": jiff::Timestamp::now().as_millisecond(),
            "seconds": rounded(self.seconds),
            "topics": self.topics(view).iter().map(topic).collect::<Vec<_>>(),
            "groups": self.groups(view).iter().map(group).collect::<Vec<_>>(),
        });
        if let Some(failed) = &self.failed {
            object["error"] = failed.as_str().into();
        }
        object
    }
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn topics(before: &Sample, after: &Sample, seconds: f64) -> Vec<TopicRow> {
    let mut rows: BTreeMap<&str, TopicRow> = BTreeMap::new();
    for (partition, now) in &after.partitions {
        let row = rows.entry(&partition.topic).or_default();
        row.partitions += 1;
        row.bytes += now.bytes;
        // A partition that was not there has no rate yet.
        if let Some(then) = before.partitions.get(partition) {
            row.records_per_second += per_second(now.end.get() - then.end.get(), seconds);
            row.bytes_per_second += per_second(now.bytes - then.bytes, seconds);
        }
    }
    let is_internal = |name: &str| after.internal.iter().any(|internal| internal == name);
    let named =
        |(name, row): (&str, TopicRow)| TopicRow { name: name.to_owned(), is_internal: is_internal(name), ..row };
    rows.into_iter().map(named).collect()
}

fn groups(before: &Sample, after: &Sample, seconds: f64) -> Vec<GroupRow> {
    let mut rows = Vec::new();
    for (name, now) in &after.groups {
        let then = before.groups.get(name);
        let mut row = GroupRow { name: name.clone(), state: now.state.clone(), ..GroupRow::default() };
        let mut came = 0.0;
        for (partition, offset) in &now.committed {
            if let Some(end) = after.partitions.get(partition) {
                row.lag += (end.end.get() - offset.get()).max(0);
                let earlier = before.partitions.get(partition).map_or(end.end, |earlier| earlier.end);
                came += per_second(end.end.get() - earlier.get(), seconds);
            }
            if let Some(earlier) = then.and_then(|then| then.committed.get(partition)) {
                row.records_per_second += per_second(offset.get() - earlier.get(), seconds);
            }
        }
        row.catches_up_in = catches_up_in(row.lag, row.records_per_second - came);
        rows.push(row);
    }
    rows
}

fn catches_up_in(lag: i64, gain_per_second: f64) -> Option<Duration> {
    if lag == 0 {
        return Some(Duration::ZERO);
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let seconds = lag as f64 / gain_per_second;
    (gain_per_second > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::sample::{GroupSample, PartitionSample};
    use super::super::{Filter, View};
    use super::*;
    use crate::types::{Offset, TopicPartition};

    fn sample(at: Instant, partitions: &[(&str, i32, i64, i64)], groups: &[(&str, &str, i64)]) -> Sample {
        let partition = |(topic, number, end, bytes): &(&str, i32, i64, i64)| {
            (TopicPartition::new(*topic, *number), PartitionSample { end: Offset(*end), bytes: *bytes })
        };
        let group = |(name, topic, offset): &(&str, &str, i64)| {
            let committed = BTreeMap::from([(TopicPartition::new(*topic, 0), Offset(*offset))]);
            ((*name).to_owned(), GroupSample { state: "Stable".to_owned(), committed })
        };
        Sample {
            at,
            internal: vec!["__own".to_owned()],
            partitions: partitions.iter().map(partition).collect(),
            groups: groups.iter().map(group).collect(),
        }
    }

    #[test]
    fn rates_are_what_changed_by_time() {
        let start = Instant::now();
        let before =
            sample(start, &[("a", 0, 10, 100), ("a", 1, 0, 0), ("b", 0, 50, 9)], &[("g", "a", 0), ("h", "b", 50)]);
        let after = sample(
            start + Duration::from_secs(2),
            &[("a", 0, 30, 500), ("a", 1, 10, 100), ("b", 0, 5, 9000), ("__own", 0, 1, 1)],
            &[("g", "a", 26), ("h", "b", 50)],
        );
        let rates = Rates::between(&before, &after);
        let mut view = View { order: Order::Rate, filter: Filter::None, include_internal: false };
        let shown: Vec<_> = rates
            .topics(&view)
            .iter()
            .map(|row| (row.name.clone(), row.records_per_second, row.bytes_per_second))
            .collect();
        assert_eq!(shown, [("a".to_owned(), 15.0, 250.0), ("b".to_owned(), 0.0, 4495.5)]);
        let groups = rates.groups(&view);
        assert_eq!((groups[0].lag, groups[0].records_per_second), (4, 13.0));
        // 13 a second are read and 10 come, so 3 of 4 are gained each second.
        assert_eq!(groups[0].catches_up_in.map(|time| time.as_millis()), Some(1333));
        assert_eq!(groups[1].lag, 0, "committed beyond the end of a topic that was made anew");
        view.order = Order::Size;
        view.include_internal = true;
        let names: Vec<_> = rates.topics(&view).iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "__own"]);
        assert_eq!(rates.to_json(&view)["topics"][1]["recordsPerSecond"], 15.0);
    }

    #[test]
    fn who_does_not_get_nearer_never_catches_up() {
        assert_eq!(catches_up_in(10, 0.0), None);
        assert_eq!(catches_up_in(10, -1.0), None);
        assert_eq!(catches_up_in(0, 0.0), Some(Duration::ZERO));
        assert_eq!(catches_up_in(10, 5.0), Some(Duration::from_secs(2)));
        assert_eq!(catches_up_in(i64::MAX, f64::MIN_POSITIVE), None);
    }
}
