//! The command-line tools, a file per tool, named as the tool.
//!
//! Tools talk to a broker over the wire alone; only `server_start` uses `broker`. They print through `Output` alone.
//! Start reading at [`TOOLS`], the list of subcommands, then at any tool.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

mod acls;
mod broker_api_versions;
mod client_metrics;
mod cluster;
mod complete;
mod completions;
mod configs;
mod console_consumer;
mod console_producer;
mod console_share_consumer;
mod consumer_groups;
mod consumer_perf_test;
mod copy;
mod delegation_tokens;
mod delete_records;
mod doctor;
mod dump_log;
mod e2e_latency;
mod features;
mod get_offsets;
mod groups;
mod help;
mod java_only;
mod leader_election;
mod links;
mod log_dirs;
mod man;
mod metadata_quorum;
mod metadata_shell;
mod producer_perf_test;
mod profile;
mod reassign_partitions;
mod recording;
mod replica_verification;
mod server_start;
mod server_stop;
mod share_consumer_perf_test;
mod share_groups;
mod storage;
mod streams_application_reset;
mod streams_groups;
mod support;
mod top;
mod topics;
mod transactions;
mod verifiable_consumer;
mod verifiable_producer;
mod verifiable_share_consumer;
mod zookeeper;

use help::{Detail, Example};
use support::{Declined, Exit, Interrupted, Output, StdoutClosed, UsageError};

/// A subcommand.
struct Tool {
    /// Its name: `topics`.
    name: &'static str,
    /// What Kafka calls its script, without `.sh` or `.bat`: `kafka-topics`. A link of that name is the tool.
    script: Option<&'static str>,
    /// Whether it does something sensible when nothing at all is typed after its name.
    needs_no_words: bool,
    /// Whether `@file` stands for the words in that file.
    reads_words_from_files: bool,
    /// What its help and manual begin to teach with.
    examples: &'static [Example],
    command: fn() -> Command,
    run: fn(&ArgMatches, &mut Output) -> anyhow::Result<Exit>,
    /// How it tells that it was called wrongly, and by which name.
    misused: fn(&UsageError, &str, &mut Output) -> io::Result<Exit>,
    /// How it tells what went wrong otherwise.
    failed: fn(&anyhow::Error, &mut Output) -> io::Result<Exit>,
}

/// What each tool's arguments provide.
trait Run: CommandFactory + FromArgMatches {
    /// Whether the tool makes sense without any argument. Kafka's tools print their help then and fail.
    const NEEDS_NO_WORDS: bool = false;
    /// Whether `@file` among the arguments stands for the lines of that file, each an argument.
    const READS_WORDS_FROM_FILES: bool = false;
    /// Command lines worth copying, for help and manual; lines `kafka-rs ...   what it does` at the head of `after_help`
    /// count too. With some, the notes (the rest of `after_help`) are left to `--help-all`.
    ///
    /// Options that few people need are marked `hide_short_help`: they too are left to `--help-all`.
    const EXAMPLES: &'static [Example] = &[];

    /// Does the tool's work.
    fn run(self, out: &mut Output) -> anyhow::Result<Exit>;

    /// Tells that the command line makes no sense, and where help is.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        mistake.report(called_as, out)
    }

    /// Tells what went wrong: an `error:` line and a hint, unless Kafka's scripts have a form of their own.
    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        support::report_failure(error, out)
    }
}

impl Tool {
    /// Whether it is there to be chosen. What went with ZooKeeper only answers whoever still calls it.
    fn is_listed(&self) -> bool {
        !self.name.starts_with("__") && !self.name.starts_with("zookeeper-")
    }

    const fn new<T: Run>(name: &'static str, script: Option<&'static str>) -> Self {
        Self {
            name,
            script,
            needs_no_words: T::NEEDS_NO_WORDS,
            reads_words_from_files: T::READS_WORDS_FROM_FILES,
            examples: T::EXAMPLES,
            command: <T as CommandFactory>::command,
            run: |matches, out| T::from_arg_matches(matches)?.run(out),
            misused: T::misused,
            failed: T::failed,
        }
    }

    /// The tool's command with its name, Kafka's option rules, and help that tells everything.
    fn command(&self) -> Command {
        self.command_with(Detail::All)
    }

    fn command_with(&self, detail: Detail) -> Command {
        let command = support::with_kafkas_option_rules(help::with_headings((self.command)()))
            .name(self.name)
            .version(env!("CARGO_PKG_VERSION"))
            .disable_version_flag(true);
        help::with_help(command, self.examples, detail)
    }
}

/// The subcommands, in the order of the help.
static TOOLS: &[Tool] = &[
    Tool::new::<server_start::ServerStart>("server-start", Some("kafka-server-start")),
    Tool::new::<server_stop::ServerStop>("server-stop", Some("kafka-server-stop")),
    Tool::new::<topics::Topics>("topics", Some("kafka-topics")),
    Tool::new::<console_producer::ConsoleProducer>("console-producer", Some("kafka-console-producer")),
    Tool::new::<console_consumer::ConsoleConsumer>("console-consumer", Some("kafka-console-consumer")),
    Tool::new::<console_share_consumer::ConsoleShareConsumer>(
        "console-share-consumer",
        Some("kafka-console-share-consumer"),
    ),
    Tool::new::<consumer_groups::ConsumerGroups>("consumer-groups", Some("kafka-consumer-groups")),
    Tool::new::<share_groups::ShareGroups>("share-groups", Some("kafka-share-groups")),
    Tool::new::<streams_groups::StreamsGroups>("streams-groups", Some("kafka-streams-groups")),
    Tool::new::<streams_application_reset::StreamsApplicationReset>(
        "streams-application-reset",
        Some("kafka-streams-application-reset"),
    ),
    Tool::new::<groups::Groups>("groups", Some("kafka-groups")),
    Tool::new::<get_offsets::GetOffsets>("get-offsets", Some("kafka-get-offsets")),
    Tool::new::<delete_records::DeleteRecords>("delete-records", Some("kafka-delete-records")),
    Tool::new::<log_dirs::LogDirs>("log-dirs", Some("kafka-log-dirs")),
    Tool::new::<producer_perf_test::ProducerPerfTest>("producer-perf-test", Some("kafka-producer-perf-test")),
    Tool::new::<consumer_perf_test::ConsumerPerfTest>("consumer-perf-test", Some("kafka-consumer-perf-test")),
    Tool::new::<share_consumer_perf_test::ShareConsumerPerfTest>(
        "share-consumer-perf-test",
        Some("kafka-share-consumer-perf-test"),
    ),
    Tool::new::<e2e_latency::EndToEndLatency>("e2e-latency", Some("kafka-e2e-latency")),
    Tool::new::<verifiable_producer::VerifiableProducer>("verifiable-producer", Some("kafka-verifiable-producer")),
    Tool::new::<verifiable_consumer::VerifiableConsumer>("verifiable-consumer", Some("kafka-verifiable-consumer")),
    Tool::new::<verifiable_share_consumer::VerifiableShareConsumer>(
        "verifiable-share-consumer",
        Some("kafka-verifiable-share-consumer"),
    ),
    Tool::new::<configs::Configs>("configs", Some("kafka-configs")),
    Tool::new::<client_metrics::ClientMetrics>("client-metrics", Some("kafka-client-metrics")),
    Tool::new::<acls::Acls>("acls", Some("kafka-acls")),
    Tool::new::<delegation_tokens::DelegationTokens>("delegation-tokens", Some("kafka-delegation-tokens")),
    Tool::new::<leader_election::LeaderElection>("leader-election", Some("kafka-leader-election")),
    Tool::new::<reassign_partitions::ReassignPartitions>("reassign-partitions", Some("kafka-reassign-partitions")),
    Tool::new::<replica_verification::ReplicaVerification>("replica-verification", Some("kafka-replica-verification")),
    Tool::new::<transactions::Transactions>("transactions", Some("kafka-transactions")),
    Tool::new::<cluster::Cluster>("cluster", Some("kafka-cluster")),
    Tool::new::<features::Features>("features", Some("kafka-features")),
    Tool::new::<metadata_quorum::MetadataQuorum>("metadata-quorum", Some("kafka-metadata-quorum")),
    Tool::new::<broker_api_versions::BrokerApiVersions>("broker-api-versions", Some("kafka-broker-api-versions")),
    Tool::new::<dump_log::DumpLog>("dump-log", Some("kafka-dump-log")),
    Tool::new::<zookeeper::Start>("zookeeper-server-start", Some("zookeeper-server-start")),
    Tool::new::<zookeeper::Stop>("zookeeper-server-stop", Some("zookeeper-server-stop")),
    Tool::new::<zookeeper::Shell>("zookeeper-shell", Some("zookeeper-shell")),
    Tool::new::<zookeeper::SecurityMigration>("zookeeper-security-migration", Some("zookeeper-security-migration")),
    Tool::new::<storage::Storage>("storage", Some("kafka-storage")),
    Tool::new::<metadata_shell::MetadataShell>("metadata-shell", Some("kafka-metadata-shell")),
    Tool::new::<java_only::Jmx>("jmx", Some("kafka-jmx")),
    Tool::new::<java_only::RunClass>("run-class", Some("kafka-run-class")),
    Tool::new::<doctor::Doctor>("doctor", None),
    Tool::new::<top::Top>("top", None),
    Tool::new::<copy::Copy>("copy", None),
    Tool::new::<recording::RecordTopic>("record", None),
    Tool::new::<recording::Replay>("replay", None),
    Tool::new::<profile::ProfileTool>("profile", None),
    Tool::new::<links::Links>("links", None),
    Tool::new::<completions::Completions>("completions", None),
    Tool::new::<man::Man>("man", None),
    Tool::new::<complete::Complete>(complete::NAME, None),
];

/// The name of the binary.
const PROGRAM: &str = "kafka-rs";

/// Runs the tool that `args` (with the program's name as its first) ask for, and returns the process's exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut out = Output::standard();
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_default();
    let words: Vec<_> = args.collect();
    let exit = dispatch(&program, words, &mut out).and_then(|exit| out.flush().map(|()| exit));
    match exit {
        Ok(exit) => exit.code(),
        Err(error) if is_stdout_closed(&error) => Exit::Success.code(),
        // Printing itself failed (a full disk behind stdout): nothing is left to tell it with but the code.
        Err(_) => Exit::Failure.code(),
    }
}

fn dispatch(program: &OsStr, mut words: Vec<OsString>, out: &mut Output) -> io::Result<Exit> {
    if let Some(tool) = called_by_link(program) {
        return run_tool(tool, &link_name(program), words, out);
    }
    let first = words.first().and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    if let Some(tool) = find(&first) {
        words.remove(0);
        return run_tool(tool, &format!("{PROGRAM} {}", tool.name), words, out);
    }
    match first.as_str() {
        "" => {
            out.note(root_command().render_help())?;
            Ok(Exit::Failure)
        }
        "-V" | "--version" => {
            out.line(format_args!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")))?;
            Ok(Exit::Success)
        }
        "-h" | "--help" | "help" => match words.get(1).and_then(|word| word.to_str()).map(|name| (name, find(name))) {
            Some((_, Some(tool))) => run_tool(tool, &format!("{PROGRAM} {}", tool.name), vec!["--help".into()], out),
            Some((name, None)) => unknown_tool(name, out),
            None => {
                let help = out.styled(&root_command().render_help());
                out.line(help)?;
                Ok(Exit::Success)
            }
        },
        _ => unknown_tool(&first, out),
    }
}

fn run_tool(tool: &Tool, called_as: &str, words: Vec<OsString>, out: &mut Output) -> io::Result<Exit> {
    let detail = if words.iter().any(|word| help::asks_for_all(word)) { Detail::All } else { Detail::Brief };
    let mut command = tool.command_with(detail).bin_name(called_as).display_name(called_as);
    if words.is_empty() && !tool.needs_no_words && !out.can_ask() {
        // As Kafka's scripts: what the tool is for, and its options, on stderr.
        out.note(command.render_help())?;
        return Ok(Exit::Failure);
    }
    let words = if tool.reads_words_from_files {
        match support::with_words_from_files(words) {
            Ok(words) => words,
            Err(error) => return report(tool, called_as, &error, out),
        }
    } else {
        words
    };
    let words = support::with_two_dashes(&command, words);
    let all_words = std::iter::once(called_as.into()).chain(words.iter().cloned());
    let matches = match command.try_get_matches_from_mut(all_words) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp => {
                let help = out.styled(&error.render());
                write_text(out, help)?;
                return Ok(Exit::Success);
            }
            ErrorKind::InvalidUtf8 => {
                return report(tool, called_as, &UsageError::not_utf8(&command, &words), out);
            }
            ErrorKind::DisplayVersion => {
                out.line(env!("CARGO_PKG_VERSION"))?;
                return Ok(Exit::Success);
            }
            _ => {
                if command.get_arguments().any(|argument| argument.get_id() == "output") {
                    out.take_style_from(&words);
                }
                return report(tool, called_as, &anyhow::Error::new(UsageError::from_clap(&error)), out);
            }
        },
    };
    match (tool.run)(&matches, out) {
        Ok(exit) => Ok(exit),
        Err(error) => report(tool, called_as, &error, out),
    }
}

fn report(tool: &Tool, called_as: &str, error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
    if let Some(error) = error.downcast_ref::<io::Error>()
        && is_stdout_closed(error)
    {
        return Ok(Exit::Success);
    }
    if error.is::<Interrupted>() {
        return Ok(Exit::Interrupted);
    }
    if error.is::<Declined>() {
        // No failure: it is what the answer meant. Scripts that answer see the code.
        out.note(Declined)?;
        return Ok(Exit::Failure);
    }
    match error.downcast_ref::<UsageError>() {
        Some(mistake) => (tool.misused)(mistake, called_as, out),
        None => (tool.failed)(error, out),
    }
}

fn write_text(out: &mut Output, text: impl std::fmt::Display) -> io::Result<()> {
    use io::Write as _;
    write!(out.stdout(), "{text}")
}

fn is_stdout_closed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<StdoutClosed>())
}

fn unknown_tool(name: &str, out: &mut Output) -> io::Result<Exit> {
    out.error(&format!("{PROGRAM} has no tool named {name}"))?;
    match meant_tools(name).join(" or ").as_str() {
        near if !near.is_empty() => out.hint(&format!("did you mean {near}? `{PROGRAM} --help` lists the tools"))?,
        _ => out.hint(&format!("`{PROGRAM} --help` lists the tools"))?,
    }
    Ok(Exit::Failure)
}

/// More names than these don't help.
const MEANT: usize = 3;

/// The tools that may have been meant by a name that none has: one word of theirs, or a slip of the finger.
fn meant_tools(name: &str) -> Vec<&'static str> {
    let names = || TOOLS.iter().filter(|tool| tool.is_listed()).map(|tool| tool.name);
    let stem = without_extension(name.strip_prefix("kafka-").unwrap_or(name));
    let word = stem.trim_end_matches('s');
    let has_word = |name: &&str| word.len() > 2 && name.split('-').any(|part| part.starts_with(word));
    match names().filter(has_word).collect::<Vec<_>>() {
        mut found if !found.is_empty() => {
            found.truncate(MEANT);
            found
        }
        _ => support::nearest(stem, names()).into_iter().collect(),
    }
}

/// The tool of this name, or whose script in Kafka has this name.
fn find(name: &str) -> Option<&'static Tool> {
    let script = without_extension(name);
    TOOLS.iter().find(|tool| tool.name == name || tool.script == Some(script))
}

/// The tool that the program was called as, by a link such as `kafka-topics.sh`.
fn called_by_link(program: &OsStr) -> Option<&'static Tool> {
    let name = link_name(program);
    TOOLS.iter().find(|tool| tool.script == Some(without_extension(&name)))
}

fn link_name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

fn without_extension(name: &str) -> &str {
    [".sh", ".bat", ".exe"].iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(name)
}

/// The whole command line: what help, completions and man pages are made from.
fn root_command() -> Command {
    Command::new(PROGRAM)
        .about("Apache Kafka as one binary: the broker and its tools")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommands(TOOLS.iter().map(|tool| {
            let command = tool.command();
            if tool.is_listed() { command } else { command.hide(true) }
        }))
}

#[cfg(test)]
mod tests;
