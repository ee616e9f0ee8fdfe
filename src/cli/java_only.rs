//! Tools of Kafka's that are about its Java virtual machine: `jmx` and `run-class`. What they are used for, and what does
//! that here.

use std::ffi::OsString;
use std::io;

use super::help::Example;
use super::support::{Exit, Output, UsageError};
use super::{PROGRAM, Run, find, run_tool};

/// Kafka's JmxTool: there are no JMX beans here
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
JMX is Java's: neither the broker nor the tools have it, nor can they ask a JVM for it. For a broker of Apache Kafka use \
its own kafka-jmx.sh.")]
pub(super) struct Jmx {
    #[arg(hide = true, value_name = "WORD", allow_hyphen_values = true, trailing_var_arg = true)]
    _ignored: Vec<OsString>,
}

impl Run for Jmx {
    const EXAMPLES: &'static [Example] = &[("See what to use instead", "kafka-rs jmx")];
    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        out.error("there is no JMX here: it is a part of the Java virtual machine")?;
        out.hint(&format!(
            "rates and latencies: `{PROGRAM} producer-perf-test`, `{PROGRAM} consumer-perf-test`; of a broker of Apache \
             Kafka: its own kafka-jmx.sh"
        ))?;
        Ok(Exit::Failure)
    }
}

/// Run a tool by the name of its Java class
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Scripts call kafka-run-class.sh with the class of a tool; here the class names the subcommand that does the same.")]
pub(super) struct RunClass {
    /// [-daemon] [-name NAME] [-loggc] CLASS [OPTIONS]
    #[arg(value_name = "CLASS", allow_hyphen_values = true, trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// Class names without their package, of today and of Kafka 3, and the tool that each is.
const CLASSES: &[(&str, &str)] = &[
    ("Kafka", "server-start"),
    ("TopicCommand", "topics"),
    ("ConfigCommand", "configs"),
    ("ConsoleProducer", "console-producer"),
    ("ConsoleConsumer", "console-consumer"),
    ("ConsoleShareConsumer", "console-share-consumer"),
    ("ConsumerGroupCommand", "consumer-groups"),
    ("ShareGroupCommand", "share-groups"),
    ("StreamsGroupCommand", "streams-groups"),
    ("GroupsCommand", "groups"),
    ("GetOffsetShell", "get-offsets"),
    ("DeleteRecordsCommand", "delete-records"),
    ("LogDirsCommand", "log-dirs"),
    ("LeaderElectionCommand", "leader-election"),
    ("ReassignPartitionsCommand", "reassign-partitions"),
    ("ReplicaVerificationTool", "replica-verification"),
    ("BrokerApiVersionsCommand", "broker-api-versions"),
    ("ClusterTool", "cluster"),
    ("FeatureCommand", "features"),
    ("MetadataQuorumCommand", "metadata-quorum"),
    ("MetadataShell", "metadata-shell"),
    ("AclCommand", "acls"),
    ("DelegationTokenCommand", "delegation-tokens"),
    ("ClientMetricsCommand", "client-metrics"),
    ("TransactionsCommand", "transactions"),
    ("DumpLogSegments", "dump-log"),
    ("StorageTool", "storage"),
    ("ProducerPerformance", "producer-perf-test"),
    ("ConsumerPerformance", "consumer-perf-test"),
    ("ShareConsumerPerformance", "share-consumer-perf-test"),
    ("EndToEndLatency", "e2e-latency"),
    ("VerifiableProducer", "verifiable-producer"),
    ("VerifiableConsumer", "verifiable-consumer"),
    ("VerifiableShareConsumer", "verifiable-share-consumer"),
    ("StreamsResetter", "streams-application-reset"),
    ("JmxTool", "jmx"),
];

impl Run for RunClass {
    const EXAMPLES: &'static [Example] =
        &[("List the topics", "kafka-rs run-class org.apache.kafka.tools.TopicCommand --list")];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        let mut words = self.words.into_iter().peekable();
        // Of the script's own options only the class after them matters.
        while let Some(word) = words.next_if(|word| word.to_string_lossy().starts_with('-')) {
            if word == "-name" {
                words.next();
            }
        }
        let Some(class) = words.next() else {
            return Err(UsageError::because(
                "USAGE: kafka-run-class [-daemon] [-name servicename] [-loggc] classname [opts]",
            ));
        };
        let class = class.to_string_lossy().into_owned();
        match tool_of(&class).and_then(find) {
            Some(tool) => Ok(run_tool(tool, &format!("{PROGRAM} {}", tool.name), words.collect(), out)?),
            None => {
                out.error(&format!("there is no Java class {class} here"))?;
                out.hint(&format!("the tools have names of their own: `{PROGRAM} --help` lists them"))?;
                Ok(Exit::Failure)
            }
        }
    }

    fn misused(mistake: &UsageError, _: &str, out: &mut Output) -> io::Result<Exit> {
        out.note(mistake)?;
        Ok(Exit::Failure)
    }
}

/// The tool of a class, named with or without its package.
fn tool_of(class: &str) -> Option<&'static str> {
    let name = class.rsplit(['.', '/']).next().unwrap_or(class);
    CLASSES.iter().find(|(known, _)| *known == name).map(|(_, tool)| *tool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::TOOLS;

    #[test]
    fn classes_are_found_in_any_package() {
        for class in ["org.apache.kafka.tools.TopicCommand", "kafka.admin.TopicCommand", "TopicCommand"] {
            assert_eq!(tool_of(class), Some("topics"));
        }
        assert_eq!(tool_of("java.lang.String"), None);
    }

    #[test]
    fn every_tool_of_this_file_has_a_class_of_its_own() {
        let known = |name: &str| CLASSES.iter().any(|(_, tool)| *tool == name);
        for tool in TOOLS.iter().filter(|tool| tool.script.is_some_and(|script| script.starts_with("kafka-"))) {
            assert!(known(tool.name) || ["server-stop", "run-class"].contains(&tool.name), "{}", tool.name);
        }
    }
}
