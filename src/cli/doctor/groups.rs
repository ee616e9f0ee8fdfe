//! Groups: lag that nobody works on, and offsets that lead nowhere.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity};
use crate::cli::support::with_thousands;
use crate::client::admin::OffsetSpec;
use crate::client::{Admin, ClientError};
use crate::config::IsolationLevel;
use crate::types::{Offset, TopicPartition};

/// What is there of a partition.
#[derive(Debug, Clone, Copy)]
struct There {
    start: Offset,
    end: Offset,
}

/// Looks at all groups of consumers; returns how many there are.
pub(super) async fn look(admin: &Admin, findings: &mut Vec<Finding>) -> Result<usize, ClientError> {
    let groups = admin.list_groups(&[], &[]).await?;
    let mut committed = BTreeMap::new();
    for group in &groups {
        let holds_offsets = matches!(group.protocol_type.as_str(), "consumer" | "");
        let is_share_or_streams = matches!(group.group_type.to_string().to_lowercase().as_str(), "share" | "streams");
        if !holds_offsets || is_share_or_streams {
            continue;
        }
        let offsets = admin.group_offsets(&group.group_id, None).await?;
        let offsets = offsets.into_iter().filter_map(|(partition, offset)| Some((partition, offset.ok()?.offset)));
        let has_members = !matches!(group.state.to_string().as_str(), "Empty" | "Dead");
        committed.insert(group.group_id.clone(), (has_members, offsets.collect::<BTreeMap<_, _>>()));
    }
    let there = there(admin, &committed).await;
    findings.extend(judge(&committed, &there));
    Ok(groups.len())
}

type Committed = BTreeMap<String, (bool, BTreeMap<TopicPartition, Offset>)>;

async fn there(admin: &Admin, committed: &Committed) -> BTreeMap<TopicPartition, There> {
    // Deleted topics would be asked for until the time is over.
    let known: BTreeMap<String, usize> = match admin.list_topics().await {
        Ok(topics) => topics.into_iter().map(|topic| (topic.name, topic.partitions.len())).collect(),
        Err(_) => BTreeMap::new(),
    };
    let mut partitions: Vec<_> = committed.values().flat_map(|(_, offsets)| offsets.keys().cloned()).collect();
    partitions.sort_unstable();
    partitions.dedup();
    let is_known = |partition: &TopicPartition| {
        let count = known.get(&partition.topic).copied().unwrap_or_default();
        usize::try_from(partition.partition.get()).is_ok_and(|number| number < count)
    };
    partitions.retain(is_known);
    let all = |spec| partitions.iter().map(|partition| (partition.clone(), spec)).collect::<Vec<_>>();
    let starts = admin.list_offsets(all(OffsetSpec::Earliest), IsolationLevel::ReadUncommitted).await;
    let mut ends = admin.list_offsets(all(OffsetSpec::Latest), IsolationLevel::ReadUncommitted).await;
    let both = starts.into_iter().filter_map(|(partition, start)| {
        let start = start.ok()?.offset?;
        let end = ends.remove(&partition)?.ok()?.offset?;
        Some((partition, There { start, end }))
    });
    both.collect()
}

fn judge(committed: &Committed, there: &BTreeMap<TopicPartition, There>) -> Vec<Finding> {
    let (mut idle, mut lost, mut beyond, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (group, (has_members, offsets)) in committed {
        let mut lag = 0;
        for (partition, offset) in offsets {
            let Some(There { start, end }) = there.get(partition) else {
                gone.push(format!("{group} on {partition}"));
                continue;
            };
            lag += (end.get() - offset.get()).max(0);
            if offset < start {
                let records = with_thousands((start.get() - offset.get()).unsigned_abs());
                lost.push(format!("{group} on {partition} ({records} records)"));
            }
            if offset > end {
                beyond.push(format!("{group} on {partition}"));
            }
        }
        if !has_members && lag > 0 {
            idle.push(format!("{group} ({} records)", with_thousands(lag.unsigned_abs())));
        }
    }
    let found = [
        Finding::new(
            Severity::Problem,
            "offset-beyond-end",
            "groups have committed offsets beyond the end of the log: they skip records until it has grown so far",
            "stop them and set the offsets anew: `kafka-rs consumer-groups --reset-offsets`",
        )
        .about(beyond),
        Finding::new(
            Severity::Warning,
            "records-lost",
            "records were deleted before groups had read them",
            "keep records longer (retention.ms, retention.bytes), or read faster with more members",
        )
        .about(lost),
        Finding::new(
            Severity::Warning,
            "idle-group-lag",
            "groups have no members, and records wait for them",
            "start their consumers; a group that is not needed any more goes with `kafka-rs consumer-groups --delete --group NAME`",
        )
        .about(idle),
        Finding::new(
            Severity::Note,
            "offset-of-no-topic",
            "groups have offsets of partitions that do not exist any more",
            "harmless; `kafka-rs consumer-groups --delete-offsets` removes them",
        )
        .about(gone),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_held_against_what_is_there() {
        let t = |partition| TopicPartition::new("t", partition);
        let there = BTreeMap::from([(t(0), There { start: Offset(10), end: Offset(2000) })]);
        let group = |has_members, offsets: &[(i32, i64)]| {
            (has_members, offsets.iter().map(|(partition, offset)| (t(*partition), Offset(*offset))).collect())
        };
        let committed = BTreeMap::from([
            ("working".to_owned(), group(true, &[(0, 1000)])),
            ("idle".to_owned(), group(false, &[(0, 1000)])),
            ("done".to_owned(), group(false, &[(0, 2000)])),
            ("late".to_owned(), group(true, &[(0, 4)])),
            ("ahead".to_owned(), group(true, &[(0, 2001)])),
            ("old".to_owned(), group(false, &[(7, 1)])),
        ]);
        let found: Vec<_> = judge(&committed, &there)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.kind, finding.subjects.join(", ")))
            .collect();
        assert_eq!(
            found,
            [
                "offset-beyond-end: ahead on t-0",
                "records-lost: late on t-0 (6 records)",
                "idle-group-lag: idle (1,000 records)",
                "offset-of-no-topic: old on t-7"
            ]
        );
    }
}
