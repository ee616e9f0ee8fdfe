//! `log-dirs`: what lies in the brokers' log directories, and how much. Kafka's `kafka-log-dirs.sh`.

use std::collections::BTreeSet;
use std::io;

use serde_json::{Value, json};

use super::Run;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, Style, UsageError, WatchArgs, block_on, java,
};
use crate::client::admin::{LogDir, LogDirReplica};
use crate::client::{Admin, ClientError};
use crate::types::NodeId;

/// Show what lies in the brokers' log directories
#[derive(Debug, clap::Parser)]
#[command(
    after_help = "\
kafka-rs log-dirs --describe                                       all brokers and partitions
kafka-rs log-dirs --describe --topic-list orders --broker-list 1   one topic at one broker",
    mut_arg("broker_list", |arg| arg.hide(false).value_name("ID,...").help("Brokers, by id [default: all]").help_heading("Options"))
)]
pub(super) struct LogDirs {
    /// Describe the directories
    #[arg(long, help_heading = "Actions")]
    describe: bool,
    /// Show only partitions of these topics
    #[arg(long, value_name = "TOPIC,...", default_value = "", hide_default_value = true)]
    topic_list: String,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// A broker with its directories.
type Broker = (NodeId, Vec<LogDir>);

impl Run for LogDirs {
    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        if !self.describe && !out.can_ask() {
            return Err(UsageError::missing("describe"));
        }
        // Here, and only here, it means brokers' ids.
        let broker_list = self.connect.take_broker_list().unwrap_or_default();
        let mut options = self.connect.admin_options(out)?;
        if options.client_id.is_empty() {
            "log-dirs-tool".clone_into(&mut options.client_id);
        }
        let topics: BTreeSet<&str> = pieces(&self.topic_list).collect();
        let wanted = broker_ids(&broker_list)?;
        let admin = Admin::new(options);
        block_on(self.watch.run(out, async |out| {
            let mut brokers = describe(&wanted, &admin, out).await?;
            for dir in brokers.iter_mut().flat_map(|(_, dirs)| dirs) {
                dir.replicas.retain(|replica| topics.is_empty() || topics.contains(replica.partition.topic.as_str()));
            }
            print(brokers, out)?;
            Ok(Exit::Success)
        }))
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else {
            return super::support::report_failure(error, out);
        };
        error.report(out, |error, out| out.note(error))?;
        Ok(Exit::Failure)
    }
}

/// The pieces between commas that are not empty.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|piece| !piece.is_empty())
}

fn broker_ids(text: &str) -> Result<BTreeSet<NodeId>, JavaError> {
    let id = |text: &str| {
        text.parse().map(NodeId).map_err(|_| {
            let hint = text.contains(':').then(|| {
                "--broker-list takes brokers' ids here; --bootstrap-server says where to connect to".to_owned()
            });
            JavaError::new("java.lang.NumberFormatException", format!("For input string: \"{text}\""))
                .with_plain(format!("{text} in --broker-list is no broker's id"))
                .with_hint(hint)
        })
    };
    pieces(text).map(id).collect()
}

fn joined(ids: impl IntoIterator<Item = NodeId>) -> String {
    let mut ids: Vec<NodeId> = ids.into_iter().collect();
    java::in_number_hash_map_order(&mut ids, |id| id.get());
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

async fn describe(wanted: &BTreeSet<NodeId>, admin: &Admin, out: &mut Output) -> anyhow::Result<Vec<Broker>> {
    let execution = |call: &str, error: &ClientError| {
        JavaError::call(call, error).wrapped_in("java.util.concurrent.ExecutionException")
    };
    let cluster = admin.describe_cluster(false).await.map_err(|error| execution("listNodes", &error))?;
    let existing: BTreeSet<NodeId> = cluster.nodes.iter().map(|node| node.id).collect();
    let unknown: Vec<NodeId> = wanted.difference(&existing).copied().collect();
    if !unknown.is_empty() {
        let message = format!(
            "ERROR: The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
            joined(unknown.iter().copied()),
            joined(existing)
        );
        return Err(JavaError::new("org.apache.kafka.tools.TerseException", message).into());
    }
    let asked: Vec<NodeId> = if wanted.is_empty() { existing } else { wanted.clone() }.into_iter().collect();
    if out.style() == Style::Kafka {
        out.line("Querying brokers for log directories information")?;
    }
    let answers = admin.describe_log_dirs(Some(&asked), None).await;
    let mut brokers = Vec::new();
    for (id, dirs) in answers.map_err(|error| execution("describeLogDirs", &error))? {
        brokers.push((id, dirs.map_err(|error| execution("describeLogDirs", &error))?));
    }
    if out.style() == Style::Kafka {
        out.line(format_args!("Received log directory information from brokers {}", joined(asked)))?;
    }
    Ok(brokers)
}

fn print(mut brokers: Vec<Broker>, out: &mut Output) -> anyhow::Result<()> {
    match out.style() {
        Style::Kafka => {
            java::in_number_hash_map_order(&mut brokers, |(id, _)| id.get());
            let text: Vec<String> = brokers.into_iter().map(kafka_json).collect();
            out.line(format_args!("{{\"brokers\":[{}],\"version\":1}}", text.join(",")))?;
        }
        Style::Table => print_tables(&brokers, out)?,
        Style::Json => {
            let brokers: Vec<_> = brokers.iter().map(broker_json).collect();
            out.json(&json!({"version": 1, "brokers": brokers}))?;
        }
    }
    Ok(())
}

/// A broker as Kafka's tool writes it, with the keys and the entries in the order of its hash maps.
fn kafka_json((id, mut dirs): Broker) -> String {
    java::in_sized_hash_map_order(&mut dirs, |dir| &dir.path);
    let dirs: Vec<String> = dirs.into_iter().map(kafka_dir_json).collect();
    format!("{{\"broker\":{id},\"logDirs\":[{}]}}", dirs.join(","))
}

fn kafka_dir_json(mut dir: LogDir) -> String {
    java::in_partition_hash_map_order(&mut dir.replicas, |replica| &replica.partition);
    let replica = |replica: &LogDirReplica| {
        format!(
            "{{\"partition\":{},\"size\":{},\"offsetLag\":{},\"isFuture\":{}}}",
            Value::from(replica.partition.to_string()),
            replica.size,
            replica.offset_lag,
            replica.is_future
        )
    };
    let replicas: Vec<String> = dir.replicas.iter().map(replica).collect();
    let error = Value::from(dir.error.map(|error| java::exception_class(error.code)));
    format!("{{\"partitions\":[{}],\"error\":{error},\"logDir\":{}}}", replicas.join(","), Value::from(dir.path))
}

fn broker_json((id, dirs): &Broker) -> Value {
    let replica = |replica: &LogDirReplica| {
        json!({
            "topic": replica.partition.topic,
            "partition": replica.partition.partition.get(),
            "sizeBytes": replica.size,
            "offsetLag": replica.offset_lag,
            "isFuture": replica.is_future,
        })
    };
    let dir = |dir: &LogDir| {
        json!({
            "path": dir.path,
            "error": dir.error.as_ref().map(|error| error.code.name()),
            "totalBytes": (dir.total_bytes >= 0).then_some(dir.total_bytes),
            "usableBytes": (dir.usable_bytes >= 0).then_some(dir.usable_bytes),
            "replicas": dir.replicas.iter().map(replica).collect::<Vec<_>>(),
        })
    };
    json!({"id": id.get(), "logDirs": dirs.iter().map(dir).collect::<Vec<_>>()})
}

fn print_tables(brokers: &[Broker], out: &mut Output) -> io::Result<()> {
    for (index, (id, dir)) in brokers.iter().flat_map(|(id, dirs)| dirs.iter().map(move |dir| (id, dir))).enumerate() {
        if index > 0 {
            out.line("")?;
        }
        let name = out.bold(&format!("broker {id}"));
        let size = dir.replicas.iter().map(|replica| replica.size).sum();
        let mut line = format!("{name}  {}  {} in {} replicas", dir.path, bytes(size), dir.replicas.len());
        if dir.total_bytes >= 0 && dir.usable_bytes >= 0 {
            line.push_str(&format!(", {} of {} free", bytes(dir.usable_bytes), bytes(dir.total_bytes)));
        }
        out.line(line)?;
        if let Some(error) = &dir.error {
            out.line(format_args!("  {}", java::message(error)))?;
        }
        let row = |replica: &LogDirReplica| {
            vec![
                replica.partition.topic.clone(),
                replica.partition.partition.to_string(),
                bytes(replica.size),
                replica.offset_lag.to_string(),
                if replica.is_future { "moving in".to_owned() } else { String::new() },
            ]
        };
        let mut replicas: Vec<_> = dir.replicas.iter().collect();
        replicas.sort_by(|a, b| a.partition.cmp(&b.partition));
        out.table(&["Topic", "Partition", "Size", "Lag", "Note"], replicas.into_iter().map(row).collect())?;
    }
    Ok(())
}

fn bytes(count: i64) -> String {
    indicatif::HumanBytes(u64::try_from(count).unwrap_or_default()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ApiError;
    use crate::protocol::ErrorCode;
    use crate::types::TopicPartition;

    fn brokers() -> Vec<Broker> {
        let replica = |partition, is_future| LogDirReplica {
            partition: TopicPartition::new("a\"b", partition),
            size: 73,
            offset_lag: 0,
            is_future,
        };
        let dir = |path: &str, error, replicas| LogDir {
            path: path.to_owned(),
            error,
            replicas,
            total_bytes: 1 << 30,
            usable_bytes: 1 << 20,
        };
        let failed = Some(ApiError::from(ErrorCode::KafkaStorageError));
        vec![(
            NodeId(1),
            vec![
                dir("/data/kafka", None, vec![replica(0, false)]),
                dir("/data/kafka-b", failed, vec![replica(1, true)]),
            ],
        )]
    }

    fn printed(style: Style) -> String {
        let (mut out, captured) = Output::captured();
        out.set_style(style);
        print(brokers(), &mut out).unwrap();
        out.flush().unwrap();
        captured.stdout()
    }

    #[test]
    fn kafkas_json_is_kept_to_the_letter() {
        let name = r#""partition":"a\"b-"#;
        assert_eq!(
            printed(Style::Kafka),
            format!(
                "{{\"brokers\":[{{\"broker\":1,\"logDirs\":[{{\"partitions\":[{{{name}0\",\"size\":73,\"offsetLag\":0,\
                 \"isFuture\":false}}],\"error\":null,\"logDir\":\"/data/kafka\"}},{{\"partitions\":[{{{name}1\",\
                 \"size\":73,\"offsetLag\":0,\"isFuture\":true}}],\"error\":\
                 \"org.apache.kafka.common.errors.KafkaStorageException\",\"logDir\":\"/data/kafka-b\"}}]}}],\
                 \"version\":1}}\n"
            )
        );
    }

    #[test]
    fn people_see_sizes_and_what_is_free() {
        let table = printed(Style::Table);
        assert!(table.starts_with("broker 1  /data/kafka  73 B in 1 replicas, 1.00 MiB of 1.00 GiB free\n"), "{table}");
        assert!(table.contains("moving in") && table.contains("Disk error"), "{table}");
    }

    #[test]
    fn our_json() {
        let json: Value = serde_json::from_str(&printed(Style::Json)).unwrap();
        assert_eq!(json["version"], 1);
        let dir = &json["brokers"][0]["logDirs"][1];
        assert_eq!(dir["error"], "KAFKA_STORAGE_ERROR");
        assert_eq!(
            dir["replicas"][0],
            json!({"topic": "a\"b", "partition": 1, "sizeBytes": 73, "offsetLag": 0, "isFuture": true})
        );
        assert_eq!(dir["totalBytes"], 1 << 30);
    }

    #[test]
    fn brokers_are_named_by_their_ids() {
        assert_eq!(broker_ids("2,,1,2").unwrap(), [NodeId(1), NodeId(2)].into());
        assert_eq!(broker_ids("x").unwrap_err().message(), "For input string: \"x\"");
        let (mut out, captured) = Output::captured();
        broker_ids("localhost:9092").unwrap_err().report(&mut out, |error, out| out.note(error)).unwrap();
        assert!(captured.stderr().contains("--bootstrap-server says where to connect to"));
    }
}
