//! A word on `--from-beginning` for people whose group has read the topic before: then it goes on where it stopped.

use std::io;
use std::time::Duration;

use super::settings::Source;
use crate::cli::support::Output;
use crate::client::{Admin, Cluster};
use crate::types::TopicPartition;

/// How long looking may hold up the reading: it is for a remark only.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says so at a terminal if the group has offsets of what is to be read. What can't be found out is not told.
pub(super) async fn remark(group: &str, source: &Source, cluster: Cluster, out: &mut Output) -> io::Result<()> {
    if !out.can_draw() {
        return Ok(());
    }
    let admin = Admin::of(cluster);
    let Ok(Ok(offsets)) = tokio::time::timeout(PATIENCE, admin.group_offsets(group, None)).await else {
        return Ok(());
    };
    let known = offsets.iter().filter(|(_, offset)| offset.is_ok()).map(|(partition, _)| partition);
    match text(group, source, known) {
        Some(text) => out.note(text),
        None => Ok(()),
    }
}

fn text<'a>(group: &str, source: &Source, mut known: impl Iterator<Item = &'a TopicPartition>) -> Option<String> {
    let reads = |topic: &str| match source {
        Source::Topic(wanted) => topic == wanted,
        Source::Pattern(pattern) => pattern.is_match(topic),
        Source::Partition { .. } | Source::Ask => false,
    };
    known.any(|partition| reads(&partition.topic)).then(|| {
        format!(
            "group {group} goes on where it stopped; --from-beginning counts only for partitions that it has not read \
             yet"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_offsets_of_what_is_read_matter() {
        let known = [TopicPartition::new("orders", 3)];
        let told = |source: &Source| text("g", source, known.iter()).is_some();
        assert!(told(&Source::Topic("orders".to_owned())));
        assert!(!told(&Source::Topic("other".to_owned())));
        assert!(told(&Source::Pattern(regex_lite::Regex::new("^(?:o.*)$").unwrap())));
        assert_eq!(text("g", &Source::Topic("orders".to_owned()), [].iter()), None);
    }
}
