//! `get-offsets`: the first, last or any other offset of partitions. Kafka's `kafka-get-offsets.sh`.

mod filter;

use std::io;

use serde_json::json;

use super::Run;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Mistake, Output, OutputArgs, Style, UsageError, WatchArgs, block_on,
    did_you_mean,
};
use crate::client::admin::{ListedOffset, OffsetSpec};
use crate::client::{Admin, ClientError};
use crate::config::IsolationLevel;
use crate::types::TopicPartition;
use filter::PartitionFilter;

/// Show the offsets of partitions
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
kafka-rs get-offsets --topic orders                        where each partition ends
kafka-rs get-offsets --topic 'orders.*' --time earliest    where they begin
kafka-rs get-offsets --topic-partitions orders:0-3,:7      of some partitions
kafka-rs get-offsets --time 1767225600000                  the first record from this time on

Partitions without such an offset are left out.")]
pub(super) struct GetOffsets {
    /// Topics, as a regular expression or names with commas between them [default: all]
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
    /// Partitions, by number [default: all]
    #[arg(long, value_name = "ID,...")]
    partitions: Option<String>,
    /// Topics with partitions, instead: a number, from-to (without the last), from-, -to, or none for all
    #[arg(long, value_name = "TOPIC:IDS,...")]
    topic_partitions: Option<String>,
    /// Which offset: earliest, latest, max-timestamp, earliest-local, latest-tiered, earliest-pending-upload, or the
    /// first from a time on, in milliseconds since 1970
    #[arg(long, value_name = "TIME", default_value = "latest")]
    time: String,
    /// Leave out Kafka's own topics
    #[arg(long)]
    exclude_internal_topics: bool,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What is asked for, read from the options.
struct Wanted {
    spec: OffsetSpec,
    filter: PartitionFilter,
    internal: bool,
}

impl Run for GetOffsets {
    const NEEDS_NO_WORDS: bool = false;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let wanted = self.wanted()?;
        let mut options = self.connect.admin_options(out)?;
        "GetOffsetShell".clone_into(&mut options.client_id);
        let admin = Admin::new(options);
        block_on(self.watch.run(out, async |out| show(&wanted, &self, &admin, out).await))
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        if mistake.kind == Mistake::Other || out.is_for_people() {
            return mistake.report(called_as, out);
        }
        out.note(format_args!("Error occurred: {mistake}"))?;
        Ok(Exit::Failure)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else {
            return super::support::report_failure(error, out);
        };
        error.report(out, |error, out| out.note(format_args!("Error occurred: {error}")))?;
        Ok(Exit::Failure)
    }
}

impl GetOffsets {
    /// Reads the options, with Kafka's checks in Kafka's order.
    fn wanted(&self) -> anyhow::Result<Wanted> {
        if self.topic_partitions.is_some() && (self.topic.is_some() || self.partitions.is_some()) {
            return Err(terse("--topic-partitions cannot be used with --topic or --partitions").into());
        }
        let spec = offset_spec(&self.time)?;
        let filter = match &self.topic_partitions {
            Some(rules) => PartitionFilter::rules(rules)?,
            None => PartitionFilter::new(self.topic.as_deref(), self.partitions.as_deref())?,
        };
        Ok(Wanted { spec, filter, internal: !self.exclude_internal_topics })
    }
}

/// A mistake that Kafka's tool tells without its class.
fn terse(message: impl Into<String>) -> JavaError {
    JavaError::new("org.apache.kafka.tools.TerseException", message)
}

fn offset_spec(text: &str) -> Result<OffsetSpec, JavaError> {
    const NAMED: [(&str, OffsetSpec); 6] = [
        ("latest", OffsetSpec::Latest),
        ("earliest", OffsetSpec::Earliest),
        ("max-timestamp", OffsetSpec::MaxTimestamp),
        ("earliest-local", OffsetSpec::EarliestLocal),
        ("latest-tiered", OffsetSpec::LatestTiered),
        ("earliest-pending-upload", OffsetSpec::EarliestPendingUpload),
    ];
    if let Some((_, spec)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(*spec);
    }
    let timestamp: i64 = text.parse().map_err(|_| {
        terse(format!(
            "Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or \
             earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp"
        ))
        .with_hint(did_you_mean(text, NAMED.iter().map(|(name, _)| *name)))
    })?;
    let named = NAMED.iter().map(|(_, spec)| *spec).find(|spec| spec.timestamp() == timestamp);
    Ok(named.unwrap_or(OffsetSpec::Timestamp(timestamp)))
}

async fn show(wanted: &Wanted, args: &GetOffsets, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let execution = |error: &ClientError| {
        JavaError::call("listTopics", error).wrapped_in("java.util.concurrent.ExecutionException")
    };
    let topics = admin.list_topics().await.map_err(|error| execution(&error))?;
    let mut partitions: Vec<TopicPartition> = Vec::new();
    for topic in topics.iter().filter(|topic| wanted.internal || !topic.is_internal) {
        let all = topic.partitions.iter().map(|partition| TopicPartition::new(topic.name.as_str(), partition.id));
        partitions.extend(all.filter(|partition| wanted.filter.matches(partition)));
    }
    if partitions.is_empty() {
        let near = args.topic.as_deref().and_then(|name| did_you_mean(name, topics.iter().map(|t| t.name.as_str())));
        return Err(terse("Could not match any topic-partitions with the specified filters").with_hint(near).into());
    }
    let asked = partitions.iter().map(|partition| (partition.clone(), wanted.spec)).collect();
    let mut answers = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await;
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for partition in partitions {
        match answers.remove(&partition) {
            Some(Ok(listed)) => found.extend(listed.offset.is_some().then_some((partition, listed))),
            Some(Err(error)) => failed.push((partition, JavaError::call("listOffsets", &error))),
            None => {}
        }
    }
    print(wanted.spec, found, &failed, out)?;
    let all_found = failed.is_empty() || out.style() == Style::Kafka;
    Ok(if all_found { Exit::Success } else { Exit::Failure })
}

fn print(
    spec: OffsetSpec,
    mut found: Vec<(TopicPartition, ListedOffset)>,
    failed: &[(TopicPartition, JavaError)],
    out: &mut Output,
) -> anyhow::Result<()> {
    if out.style() != Style::Json {
        for (partition, error) in failed {
            let error = if out.is_for_people() { error.plain().to_owned() } else { error.to_java() };
            out.note(format_args!("Skip getting offsets for topic-partition {partition} due to error: {error}"))?;
        }
    }
    match out.style() {
        Style::Kafka => {
            // As text: partition 10 comes before 2.
            found.sort_by_key(|(partition, _)| partition.to_string());
            for (partition, listed) in &found {
                out.line(format_args!("{}:{}:{}", partition.topic, partition.partition, offset(listed)))?;
            }
        }
        Style::Table => {
            let timed = matches!(spec, OffsetSpec::MaxTimestamp | OffsetSpec::Timestamp(_));
            let row = |(partition, listed): &(TopicPartition, ListedOffset)| {
                let mut row =
                    vec![partition.topic.clone(), partition.partition.to_string(), offset(listed).to_string()];
                row.extend(timed.then(|| time(listed.timestamp)));
                row
            };
            if found.is_empty() {
                out.note("no partition has such an offset")?;
            }
            let header: &[&str] =
                if timed { &["Topic", "Partition", "Offset", "Time"] } else { &["Topic", "Partition", "Offset"] };
            out.table(header, found.iter().map(row).collect())?;
        }
        Style::Json => {
            let offset = |(partition, listed): &(TopicPartition, ListedOffset)| {
                json!({
                    "topic": partition.topic,
                    "partition": partition.partition.get(),
                    "offset": offset(listed),
                    "timestamp": (listed.timestamp >= 0).then_some(listed.timestamp),
                    "leaderEpoch": (listed.leader_epoch.get() >= 0).then_some(listed.leader_epoch.get()),
                })
            };
            let error = |(partition, error): &(TopicPartition, JavaError)| json!({"topic": partition.topic, "partition": partition.partition.get(), "error": error.plain()});
            let offsets: Vec<_> = found.iter().map(offset).collect();
            let errors: Vec<_> = failed.iter().map(error).collect();
            out.json(&json!({"version": 1, "offsets": offsets, "errors": errors}))?;
        }
    }
    Ok(())
}

fn offset(listed: &ListedOffset) -> i64 {
    listed.offset.map_or(-1, crate::types::Offset::get)
}

fn time(timestamp: i64) -> String {
    match jiff::Timestamp::from_millisecond(timestamp) {
        Ok(time) if timestamp >= 0 => time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::types::{LeaderEpoch, Offset};

    #[test]
    fn times() {
        for (text, spec) in [
            ("latest", OffsetSpec::Latest),
            ("-2", OffsetSpec::Earliest),
            ("-6", OffsetSpec::EarliestPendingUpload),
            ("-7", OffsetSpec::Timestamp(-7)),
            ("0", OffsetSpec::Timestamp(0)),
        ] {
            assert_eq!(offset_spec(text).unwrap(), spec, "{text}");
        }
        for text in ["LATEST", "", "1.5", "9223372036854775808"] {
            let error = offset_spec(text).unwrap_err();
            assert!(error.message().starts_with(&format!("Malformed time argument {text}. Please use -1")), "{error}");
        }
    }

    #[test]
    fn options_are_checked_in_kafkas_order() {
        let wanted = |words: &[&str]| {
            let words = std::iter::once("get-offsets").chain(words.iter().copied());
            GetOffsets::try_parse_from(words).unwrap().wanted().map(|_| ()).map_err(|error| error.to_string())
        };
        let error = wanted(&["--topic-partitions", "[", "--topic", "a", "--time", "x"]).unwrap_err();
        assert_eq!(error, "--topic-partitions cannot be used with --topic or --partitions");
        assert!(wanted(&["--partitions", "x", "--time", "x"]).unwrap_err().starts_with("Malformed time"));
        assert_eq!(wanted(&["--topic", "a", "--partitions", "0,1"]), Ok(()));
    }

    #[test]
    fn every_style_says_the_same() {
        let listed = |offset| ListedOffset { offset: Some(Offset(offset)), timestamp: 1, leader_epoch: LeaderEpoch(0) };
        let found = || [2, 10].map(|p| (TopicPartition::new("t", p), listed(i64::from(p) + 5))).to_vec();
        let failed = vec![(TopicPartition::new("t", 3), JavaError::runtime("no leader"))];
        let printed = |style| {
            let (mut out, captured) = Output::captured();
            out.set_style(style);
            print(OffsetSpec::MaxTimestamp, found(), &failed, &mut out).unwrap();
            out.flush().unwrap();
            (captured.stdout(), captured.stderr())
        };
        let skipped = "Skip getting offsets for topic-partition t-3 due to error: ";
        assert_eq!(
            printed(Style::Kafka),
            ("t:10:15\nt:2:7\n".to_owned(), format!("{skipped}java.lang.RuntimeException: no leader\n"))
        );
        let (stdout, stderr) = printed(Style::Table);
        assert!(stdout.contains("1970-01-01T00:00:00.001Z"), "{stdout}");
        assert_eq!(stderr, format!("{skipped}no leader\n"));
        let (stdout, stderr) = printed(Style::Json);
        let expected = json!({
            "version": 1,
            "offsets": [
                {"topic": "t", "partition": 2, "offset": 7, "timestamp": 1, "leaderEpoch": 0},
                {"topic": "t", "partition": 10, "offset": 15, "timestamp": 1, "leaderEpoch": 0},
            ],
            "errors": [{"topic": "t", "partition": 3, "error": "no leader"}],
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout).unwrap(), expected);
        assert_eq!(stderr, "");
    }
}
