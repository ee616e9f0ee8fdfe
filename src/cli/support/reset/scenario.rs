//! Where offsets are to be set to: the options that say so, and what they mean for each partition.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::partitions::{listed, log_offsets};
use super::times;
use crate::cli::support::groups::unexpected;
use crate::cli::support::{Output, Style, UsageError};
use crate::client::Admin;
use crate::client::admin::OffsetSpec;
use crate::types::TopicPartition;

/// The options of a reset of offsets.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Where to reset to")]
pub(crate) struct ScenarioArgs {
    /// This offset
    #[arg(long, value_name = "OFFSET", hide_short_help = true)]
    pub(crate) to_offset: Option<i64>,
    /// So many records on, or back with a minus
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    shift_by: Option<i64>,
    /// The first record from this time on: YYYY-MM-DDTHH:MM:SS.mmm, in UTC if no zone follows
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    to_datetime: Option<String>,
    /// The first record of the time so long before now: PnDTnHnMnS
    #[arg(long, value_name = "DURATION")]
    by_duration: Option<String>,
    /// The first record
    #[arg(long)]
    to_earliest: bool,
    /// The end
    #[arg(long)]
    to_latest: bool,
    /// Where the group is now; the end, where it has no offset
    #[arg(long, hide_short_help = true)]
    to_current: bool,
    /// What a file says, which --export wrote
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, hide_short_help = true)]
    from_file: Option<PathBuf>,
}

/// What they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scenario {
    ToOffset(i64),
    ToEarliest,
    ToLatest,
    ShiftBy(i64),
    ToDatetime(String),
    ByDuration(String),
    FromFile(PathBuf),
    ToCurrent,
}

impl ScenarioArgs {
    /// Refuses two at once, in the order of Kafka's checks.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let given = [
            ("to-offset", self.to_offset.is_some()),
            ("to-datetime", self.to_datetime.is_some()),
            ("by-duration", self.by_duration.is_some()),
            ("to-earliest", self.to_earliest),
            ("to-latest", self.to_latest),
            ("to-current", self.to_current),
            ("shift-by", self.shift_by.is_some()),
            ("from-file", self.from_file.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, given)| *given);
        match (given.next(), given.next()) {
            (Some((first, _)), Some((second, _))) => Err(UsageError::conflict(first, second)),
            _ => Ok(()),
        }
    }

    /// The one that was chosen.
    pub(crate) fn chosen(&self) -> Option<Scenario> {
        let flag = |given: bool, scenario: Scenario| given.then_some(scenario);
        None.or(self.to_offset.map(Scenario::ToOffset))
            .or_else(|| flag(self.to_earliest, Scenario::ToEarliest))
            .or_else(|| flag(self.to_latest, Scenario::ToLatest))
            .or_else(|| self.shift_by.map(Scenario::ShiftBy))
            .or_else(|| self.to_datetime.clone().map(Scenario::ToDatetime))
            .or_else(|| self.by_duration.clone().map(Scenario::ByDuration))
            .or_else(|| self.from_file.clone().map(Scenario::FromFile))
            .or_else(|| flag(self.to_current, Scenario::ToCurrent))
    }

    /// What is told if none was.
    pub(super) fn missing() -> anyhow::Error {
        UsageError::because(
            "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], [shift-by], \
             [to-datetime], [by-duration], [to-earliest], [to-latest], [to-current], [from-file]]",
        )
    }
}

impl Scenario {
    /// Whether it has to know where the group is.
    pub(crate) fn needs_committed(&self) -> bool {
        matches!(self, Self::ShiftBy(_) | Self::ToCurrent)
    }

    /// The offsets that it means, in the order of `partitions`. Not for files, which name partitions themselves.
    pub(crate) async fn offsets(
        &self,
        partitions: &[TopicPartition],
        committed: &BTreeMap<TopicPartition, i64>,
        admin: &Admin,
        out: &mut Output,
    ) -> anyhow::Result<Vec<(TopicPartition, i64)>> {
        Ok(match self {
            Self::ToOffset(offset) => {
                let wanted = partitions.iter().map(|partition| (partition.clone(), *offset)).collect();
                within_log(wanted, admin, out).await?
            }
            Self::ToEarliest => log_offsets(partitions, OffsetSpec::Earliest, admin).await?,
            Self::ToLatest => log_offsets(partitions, OffsetSpec::Latest, admin).await?,
            Self::ShiftBy(count) => {
                let mut wanted = Vec::with_capacity(partitions.len());
                for partition in partitions {
                    let current = committed.get(partition).ok_or_else(|| {
                        UsageError::because(format!(
                            "Cannot shift offset for partition {partition} since there is no current committed offset"
                        ))
                    })?;
                    wanted.push((partition.clone(), current.saturating_add(*count)));
                }
                within_log(wanted, admin, out).await?
            }
            Self::ToDatetime(text) => {
                let time = times::date_time(text).map_err(|error| error.wrapped_in("java.lang.RuntimeException"))?;
                at_time(partitions, time, admin, out).await?
            }
            Self::ByDuration(text) => {
                let time = times::before_now(text, jiff::Timestamp::now())?;
                at_time(partitions, time, admin, out).await?
            }
            Self::ToCurrent => {
                let unknown: Vec<_> = partitions.iter().filter(|p| !committed.contains_key(p)).cloned().collect();
                let mut ends: BTreeMap<_, _> =
                    log_offsets(&unknown, OffsetSpec::Latest, admin).await?.into_iter().collect();
                let offset = |partition: &TopicPartition| {
                    let offset = committed.get(partition).copied().or_else(|| ends.remove(partition))?;
                    Some((partition.clone(), offset))
                };
                partitions.iter().filter_map(offset).collect()
            }
            Self::FromFile(_) => Vec::new(),
        })
    }
}

/// The wanted offsets, moved to where records are.
pub(super) async fn within_log(
    wanted: Vec<(TopicPartition, i64)>,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<Vec<(TopicPartition, i64)>> {
    let partitions: Vec<_> = wanted.iter().map(|(partition, _)| partition.clone()).collect();
    let starts: BTreeMap<_, _> = log_offsets(&partitions, OffsetSpec::Earliest, admin).await?.into_iter().collect();
    let ends: BTreeMap<_, _> = log_offsets(&partitions, OffsetSpec::Latest, admin).await?.into_iter().collect();
    let mut offsets = Vec::with_capacity(wanted.len());
    for (partition, offset) in wanted {
        let start = starts.get(&partition).copied().unwrap_or_default();
        let end = ends.get(&partition).copied().unwrap_or(i64::MAX);
        let (kept, side) = match offset {
            offset if offset > end => (end, "higher than latest"),
            offset if offset < start => (start, "lower than earliest"),
            offset => (offset, ""),
        };
        if kept != offset {
            let text = format!(
                "New offset ({offset}) is {side} offset for topic partition {partition}. Value will be set to {kept}"
            );
            if out.style() == Style::Kafka {
                out.kafka_log_warning(text, "org.apache.kafka.tools.OffsetsUtils")?;
            } else {
                out.note(format_args!("warning: {text}"))?;
            }
        }
        offsets.push((partition, kept));
    }
    Ok(offsets)
}

async fn at_time(
    partitions: &[TopicPartition],
    time: i64,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<Vec<(TopicPartition, i64)>> {
    let found = listed(partitions, OffsetSpec::Timestamp(time), admin).await.map_err(unexpected)?;
    let without: Vec<_> =
        found.iter().filter(|(_, offset)| offset.is_none()).map(|(partition, _)| partition.clone()).collect();
    for TopicPartition { topic, partition } in &without {
        let text =
            format!("Warn: Partition {partition} from topic {topic} is empty. Falling back to latest known offset.");
        if out.style() == Style::Kafka {
            out.line(format_args!("\n{text}"))?;
        } else {
            out.note(text)?;
        }
    }
    let ends: BTreeMap<_, _> = log_offsets(&without, OffsetSpec::Latest, admin).await?.into_iter().collect();
    let offset = |(partition, offset): (TopicPartition, Option<i64>)| {
        let offset = offset.or_else(|| ends.get(&partition).copied())?;
        Some((partition, offset))
    };
    Ok(found.into_iter().filter_map(offset).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Tool {
        #[command(flatten)]
        scenario: ScenarioArgs,
    }

    fn args(words: &[&str]) -> ScenarioArgs {
        Tool::try_parse_from(std::iter::once("tool").chain(words.iter().copied())).unwrap().scenario
    }

    #[test]
    fn one_at_a_time() {
        assert_eq!(args(&["--to-current"]).chosen(), Some(Scenario::ToCurrent));
        assert_eq!(args(&["--shift-by=-3"]).chosen(), Some(Scenario::ShiftBy(-3)));
        assert_eq!(args(&[]).chosen(), None);
        assert!(args(&["--to-latest"]).check().is_ok());
        let error = args(&["--to-latest", "--to-earliest"]).check().unwrap_err().to_string();
        assert_eq!(error, "Option \"[to-earliest]\" can't be used with option \"[to-latest]\"");
    }
}
