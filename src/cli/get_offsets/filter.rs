//! Which partitions are meant: `--topic` with `--partitions`, or the rules of `--topic-partitions`.

use std::ops::Range;

use super::terse;
use crate::cli::support::{JavaError, TopicFilter};
use crate::types::TopicPartition;

/// Partitions of some topics.
#[derive(Debug)]
pub(super) struct PartitionFilter {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    topics: TopicFilter,
    partitions: Partitions,
}

#[derive(Debug, PartialEq, Eq)]
enum Partitions {
    /// These; none: all.
    Listed(Vec<i32>),
    Between(Range<i32>),
}

impl PartitionFilter {
    /// Topics by a pattern, partitions by a list of numbers; what is not given is all.
    pub(super) fn new(topics: Option<&str>, partitions: Option<&str>) -> anyhow::Result<Self> {
        let text = partitions.unwrap_or_default();
        let listed: Result<Vec<i32>, _> = split(text).filter(|_| !text.is_empty()).map(str::parse).collect();
        let listed = listed.map_err(|_| {
            terse(format!("--partitions expects a comma separated list of numeric partition ids, but received: {text}"))
        })?;
        let topics = TopicFilter::new(topics.unwrap_or(".*"))?;
        Ok(Self { rules: vec![Rule { topics, partitions: Partitions::Listed(listed) }] })
    }

    /// Rules such as `topic:3`, `topic:0-3`, `topic:5-`, `topic:-3`, `topic`, `:0`. A partition is meant if one says so.
    pub(super) fn rules(text: &str) -> anyhow::Result<Self> {
        Ok(Self { rules: split(text).map(Rule::parse).collect::<Result<_, _>>()? })
    }

    pub(super) fn matches(&self, partition: &TopicPartition) -> bool {
        let id = partition.partition.get();
        self.rules.iter().any(|rule| {
            rule.topics.matches(&partition.topic)
                && match &rule.partitions {
                    Partitions::Listed(listed) => listed.is_empty() || listed.contains(&id),
                    Partitions::Between(range) => range.contains(&id),
                }
        })
    }
}

impl Rule {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
        let partitions = Partitions::parse(partitions, text)?;
        let topics = TopicFilter::new(if topic.is_empty() { ".*" } else { topic })?;
        Ok(Self { topics, partitions })
    }
}

impl Partitions {
    fn parse(text: &str, rule: &str) -> Result<Self, JavaError> {
        let (from, to) = text.split_once('-').map_or((text, None), |(from, to)| (from, Some(to)));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(from) || !to.is_none_or(is_number) {
            return Err(terse(format!("Invalid rule specification: {rule}")).wrapped_in("java.lang.RuntimeException"));
        }
        let number = |text: &str, default: i32| match text {
            "" => Ok(default),
            _ => text.parse().map_err(|_| {
                JavaError::new("java.lang.NumberFormatException", format!("For input string: \"{text}\""))
            }),
        };
        Ok(match to {
            None if from.is_empty() => Self::Between(0..i32::MAX),
            None => Self::Listed(vec![number(from, 0)?]),
            Some(to) => Self::Between(number(from, 0)?..number(to, i32::MAX)?),
        })
    }
}

/// Splits at commas as Java does: without the empty pieces at the end.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let kept = match text.trim_end_matches(',') {
        "" if !text.is_empty() => None,
        kept => Some(kept),
    };
    kept.into_iter().flat_map(|kept| kept.split(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(filter: &PartitionFilter) -> String {
        let all = ["o1", "o12"].into_iter().flat_map(|topic| (0..4).map(move |p| TopicPartition::new(topic, p)));
        let meant: Vec<_> = all.filter(|partition| filter.matches(partition)).map(|p| p.to_string()).collect();
        meant.join(" ")
    }

    #[test]
    fn rules() {
        for (text, meant) in [
            ("o1:0", "o1-0"),
            ("o12:0-3", "o12-0 o12-1 o12-2"),
            ("o12:2-", "o12-2 o12-3"),
            ("o12:-2", "o12-0 o12-1"),
            ("o1,o12:3", "o1-0 o1-1 o1-2 o1-3 o12-3"),
            (":0", "o1-0 o12-0"),
            ("o.*:1,", "o1-1 o12-1"),
            ("o1:3-1", ""),
            (",", ""),
        ] {
            assert_eq!(matching(&PartitionFilter::rules(text).unwrap()), meant, "{text}");
        }
    }

    #[test]
    fn topics_and_partitions() {
        let meant = |topics, partitions| matching(&PartitionFilter::new(topics, partitions).unwrap());
        assert_eq!(meant(Some("o.*"), Some("0,3")), "o1-0 o1-3 o12-0 o12-3");
        assert_eq!(meant(Some("o1"), None), "o1-0 o1-1 o1-2 o1-3");
        assert_eq!(meant(None, Some("1,")), "o1-1 o12-1");
        assert_eq!(meant(Some("o1"), Some("")), "o1-0 o1-1 o1-2 o1-3");
    }

    #[test]
    fn what_is_no_rule_is_named() {
        let rules = |text| PartitionFilter::rules(text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(rules("a:x"), "org.apache.kafka.tools.TerseException: Invalid rule specification: a:x");
        assert_eq!(rules("a:1-2-3"), "org.apache.kafka.tools.TerseException: Invalid rule specification: a:1-2-3");
        assert_eq!(rules("a:99999999999"), "For input string: \"99999999999\"");
        assert_eq!(rules("["), "[ is an invalid regex.");
        let partitions = |text| PartitionFilter::new(None, Some(text)).map(|_| ()).unwrap_err().to_string();
        let expects = "--partitions expects a comma separated list of numeric partition ids, but received: ";
        assert_eq!(partitions("x"), format!("{expects}x"));
        assert_eq!(partitions("1,,2"), format!("{expects}1,,2"));
    }
}
