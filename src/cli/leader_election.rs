//! `leader-election`: has leaders elected for partitions. Kafka's `kafka-leader-election.sh`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::Run;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, Style, UsageError, block_on, confirm_unless, java,
    java_json, print_plan, report_failure,
};
use crate::client::admin::ElectionType;
use crate::client::{Admin, ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// Have leaders elected for partitions
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(after_help = "\
kafka-rs leader-election --election-type preferred --all-topic-partitions   give leadership back to the first replicas
kafka-rs leader-election --election-type unclean --topic t --partition 0   take any live replica as the leader

--election-type preferred gives leadership back to the first replica, if it is in sync; unclean makes any live replica the \
leader of a partition that has none, and loses what only the others have.")]
pub(super) struct LeaderElection {
    /// preferred or unclean
    #[arg(long, value_name = "TYPE")]
    election_type: Option<String>,
    /// The topic of the partition
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// The partition
    #[arg(long, value_name = "NUMBER")]
    partition: Option<String>,
    /// All partitions that need it
    #[arg(long)]
    all_topic_partitions: bool,
    /// JSON file of partitions: {"partitions":[{"topic":"orders","partition":1}]}
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    path_to_json_file: Option<PathBuf>,
    /// Old spelling of --command-config
    #[arg(long = "admin.config", value_name = "FILE", hide = true)]
    admin_config: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Don't ask before an unclean election
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What the file or the options are about; `None`: all partitions.
type Wanted = Option<Vec<TopicPartition>>;

/// What Kafka's tool waits at most, unless its settings say otherwise.
const API_TIMEOUT: Duration = Duration::from_secs(30);

const FAILED: &str = "org.apache.kafka.tools.AdminCommandFailedException";
const OPERATION: &str = "org.apache.kafka.tools.AdminOperationException";

impl Run for LeaderElection {
    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        if self.admin_config.is_some() && self.connect.command_config.is_some() {
            return Err(UsageError::conflict("admin.config", "command-config"));
        }
        let election = self.check()?;
        let wanted = self.wanted()?;
        if let Some(file) = self.admin_config.take() {
            out.note(
                "Option --admin.config has been deprecated and will be removed in a future version. Use \
                 --command-config instead.",
            )?;
            self.connect.command_config = Some(file);
        }
        if self.dry_run {
            print_plan(&[plan(election, wanted.as_deref())], out)?;
            return Ok(Exit::Success);
        }
        if election == ElectionType::Unclean {
            let partitions = partitions_text(wanted.as_deref());
            let question =
                format!("Elect replicas that are not in sync for {partitions}? What only the others have is lost.");
            confirm_unless(self.yes, &question, out)?;
        }
        let mut options = self.connect.admin_options(out)?;
        options.api_timeout = options.api_timeout.min(API_TIMEOUT);
        options.request_timeout = options.request_timeout.min(API_TIMEOUT / 2);
        let admin = Admin::new(options);
        let results = block_on(async { Ok(admin.elect_leaders(election, wanted.as_deref()).await) })?;
        match results {
            Ok(results) => print(election, &results, out),
            Err(error) => Err(failure(&error, out)?),
        }
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        mistake.report(called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| out.note(error))?;
        Ok(Exit::Failure)
    }
}

const fn name(election: ElectionType) -> &'static str {
    match election {
        ElectionType::Preferred => "PREFERRED",
        ElectionType::Unclean => "UNCLEAN",
    }
}

/// Which partitions, in words.
fn partitions_text(wanted: Option<&[TopicPartition]>) -> String {
    match wanted {
        None => "all partitions that need it".to_owned(),
        Some(partitions) => joined(partitions.iter()),
    }
}

fn plan(election: ElectionType, wanted: Option<&[TopicPartition]>) -> (String, Value) {
    let partition = |p: &TopicPartition| json!({ "topic": p.topic, "partition": p.partition.get() });
    let partitions = wanted.map_or(Value::Null, |partitions| partitions.iter().map(partition).collect());
    let text = partitions_text(wanted);
    let step = json!({ "election": name(election), "partitions": partitions });
    (format!("hold a leader election ({}) for {text}", name(election)), step)
}

impl LeaderElection {
    /// The kind of election, if the options make sense.
    fn check(&self) -> anyhow::Result<ElectionType> {
        let Some(text) = &self.election_type else {
            return Err(UsageError::because("Missing required option(s): election-type"));
        };
        let election = match text.to_ascii_lowercase().as_str() {
            "preferred" => ElectionType::Preferred,
            "unclean" => ElectionType::Unclean,
            _ => {
                let message = format!("Cannot parse argument '{text}' of option election-type");
                return Err(UsageError::because(message));
            }
        };
        let ways = [self.topic.is_some(), self.all_topic_partitions, self.path_to_json_file.is_some()];
        if ways.into_iter().filter(|given| *given).count() != 1 {
            return Err(UsageError::because(
                "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file",
            ));
        }
        match (&self.topic, &self.partition) {
            (Some(_), None) => Err(UsageError::because("Missing required option(s): partition")),
            (None, Some(_)) => Err(UsageError::because("Option partition is only allowed if topic is used")),
            _ => Ok(election),
        }
    }

    fn wanted(&self) -> anyhow::Result<Wanted> {
        if let Some(file) = &self.path_to_json_file {
            return Ok(Some(read(file)?));
        }
        let (Some(topic), Some(text)) = (&self.topic, &self.partition) else { return Ok(None) };
        let Ok(partition) = text.parse::<i32>() else {
            return Err(UsageError::because(format!("Cannot parse argument '{text}' of option partition")));
        };
        Ok(Some(vec![TopicPartition::new(topic.as_str(), partition)]))
    }
}

/// The partitions of a file; what is no JSON counts as empty, as Kafka's tool has it.
fn read(file: &Path) -> Result<Vec<TopicPartition>, JavaError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        JavaError::new("java.io.IOException", format!("Unable to read file {}", file.display()))
            .wrapped_in("java.lang.RuntimeException")
            .with_plain(format!("could not read {}: {error}", file.display()))
    })?;
    let place = file.display().to_string();
    partitions(&text, &place).map_err(|error| match error.is(java_json::MAPPING) {
        true => java_json::at(&place, error).wrapped_in("java.lang.RuntimeException"),
        false => error,
    })
}

fn partitions(text: &str, place: &str) -> Result<Vec<TopicPartition>, JavaError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        JavaError::new(OPERATION, "Replica election data is empty").with_hint(Some(format!("look at {place}: {error}")))
    })?;
    let object = java_json::object(&value)?;
    let Some(list) = object.get("partitions") else {
        return Err(JavaError::new(OPERATION, "Replica election data is missing \"partitions\" field"));
    };
    let mut partitions = Vec::new();
    let mut seen = BTreeSet::new();
    let mut duplicates = Vec::new();
    for element in java_json::array(list)? {
        let element = java_json::object(element)?;
        let topic = java_json::string(java_json::field(element, "topic")?)?;
        let partition = TopicPartition::new(topic, java_json::integer(java_json::field(element, "partition")?)?);
        if seen.insert(partition.clone()) {
            partitions.push(partition);
        } else {
            duplicates.push(partition);
        }
    }
    if !duplicates.is_empty() {
        let shown = joined(duplicates.iter());
        return Err(JavaError::new(
            OPERATION,
            format!("Replica election data contains duplicate partitions: [{shown}]"),
        ));
    }
    Ok(partitions)
}

fn joined<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> String {
    let texts: Vec<_> = partitions.map(ToString::to_string).collect();
    texts.join(", ")
}

/// Two failures are told on stdout too.
fn failure(error: &ClientError, out: &mut Output) -> anyhow::Result<anyhow::Error> {
    let told = match error {
        ClientError::Api(error) if error.code == ErrorCode::ClusterAuthorizationFailed => {
            "Not authorized to perform leader election"
        }
        ClientError::Api(error) if error.code != ErrorCode::RequestTimedOut => {
            return Ok(JavaError::api(error).wrapped_in("java.util.concurrent.ExecutionException").into());
        }
        ClientError::UnsupportedVersion { .. } => {
            return Ok(JavaError::call("electLeaders", error)
                .wrapped_in("java.util.concurrent.ExecutionException")
                .into());
        }
        _ => "Timeout waiting for election results",
    };
    if out.style() == Style::Kafka {
        out.line(told)?;
    }
    Ok(JavaError::call("electLeaders", error).retold(FAILED, told).into())
}

type Results = BTreeMap<TopicPartition, Result<(), ApiError>>;

fn print(election: ElectionType, results: &Results, out: &mut Output) -> anyhow::Result<Exit> {
    let mut succeeded = Vec::new();
    let mut not_needed = Vec::new();
    let mut failed = Vec::new();
    for (partition, result) in results {
        match result {
            Ok(()) => succeeded.push(partition.clone()),
            Err(error) if error.code == ErrorCode::ElectionNotNeeded => not_needed.push(partition.clone()),
            Err(error) => failed.push((partition.clone(), error)),
        }
    }
    java::in_partition_hash_map_order(&mut succeeded, |partition| partition);
    java::in_partition_hash_map_order(&mut not_needed, |partition| partition);
    java::in_partition_hash_map_order(&mut failed, |(partition, _)| partition);
    let name = name(election);
    if out.style() == Style::Json {
        let entry = |partition: &TopicPartition, result: &str, error: Option<String>| {
            json!({
                "topic": partition.topic,
                "partition": partition.partition.get(),
                "result": result,
                "error": error,
            })
        };
        let all: Vec<_> = succeeded
            .iter()
            .map(|partition| entry(partition, "elected", None))
            .chain(not_needed.iter().map(|partition| entry(partition, "notNeeded", None)))
            .chain(failed.iter().map(|(partition, error)| entry(partition, "failed", Some(error.to_string()))))
            .collect();
        out.json(&json!({ "version": 1, "electionType": name, "partitions": all }))?;
    } else {
        if !succeeded.is_empty() {
            let partitions = joined(succeeded.iter());
            out.line(format_args!("Successfully completed leader election ({name}) for partitions {partitions}"))?;
        }
        if !not_needed.is_empty() {
            out.line(format_args!("Valid replica already elected for partitions {}", joined(not_needed.iter())))?;
        }
        for (partition, error) in &failed {
            out.line(format_args!(
                "Error completing leader election ({name}) for partition: {partition}: {}",
                JavaError::api(error).to_java()
            ))?;
        }
        if out.style() == Style::Table && results.is_empty() {
            out.note("no partition needs an election")?;
        }
    }
    if failed.is_empty() {
        return Ok(Exit::Success);
    }
    Err(JavaError::new(FAILED, format!("{} replica(s) could not be elected", failed.len())).into())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        for (words, message) in [
            ("", "Missing required option(s): election-type"),
            ("--election-type nope", "Cannot parse argument 'nope' of option election-type"),
            (
                "--election-type preferred",
                "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file",
            ),
            ("--election-type PREFERRED --topic t", "Missing required option(s): partition"),
            (
                "--election-type preferred --all-topic-partitions --partition 1",
                "Option partition is only allowed if topic is used",
            ),
        ] {
            let words = std::iter::once("leader-election").chain(words.split_whitespace());
            let args = LeaderElection::try_parse_from(words).unwrap();
            assert_eq!(args.check().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn files_of_partitions() {
        let read = |text| partitions(text, "f").map(|found| joined(found.iter())).map_err(|error| error.to_string());
        let list = r#"{"partitions":[{"topic":"e1","partition":1},{"topic":"e1","partition":0}]}"#;
        assert_eq!(read(list).unwrap(), "e1-1, e1-0");
        for (text, message) in [
            ("", "Replica election data is empty"),
            ("x", "Replica election data is empty"),
            ("{}", "Replica election data is missing \"partitions\" field"),
            (
                r#"{"partitions":[{"topic":"e1","partition":1},{"topic":"e1","partition":1}]}"#,
                "Replica election data contains duplicate partitions: [e1-1]",
            ),
            (r#"{"partitions":[{"topic":"e1"}]}"#, "No such field exists: `partition`"),
        ] {
            assert_eq!(read(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn results_are_told_in_kafkas_words() {
        let (mut out, captured) = Output::captured();
        let error = |code, text: &str| Err(ApiError { code, message: Some(text.to_owned()) });
        let results = Results::from([
            (TopicPartition::new("e1", 0), Ok(())),
            (TopicPartition::new("e1", 1), error(ErrorCode::ElectionNotNeeded, "not needed")),
            (TopicPartition::new("nope", 0), error(ErrorCode::UnknownTopicOrPartition, "No such topic as nope")),
        ]);
        let failure = print(ElectionType::Preferred, &results, &mut out).unwrap_err();
        assert_eq!(failure.to_string(), "1 replica(s) could not be elected");
        out.flush().unwrap();
        assert_eq!(
            captured.stdout(),
            "Successfully completed leader election (PREFERRED) for partitions e1-0\n\
             Valid replica already elected for partitions e1-1\n\
             Error completing leader election (PREFERRED) for partition: nope-0: \
             org.apache.kafka.common.errors.UnknownTopicOrPartitionException: No such topic as nope\n"
        );
    }
}
