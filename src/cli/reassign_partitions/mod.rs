//! `reassign-partitions`: moves partitions between brokers and directories. Kafka's `kafka-reassign-partitions.sh`.
//!
//! Start reading at [`ReassignPartitions::check`], then `plan.rs`, the files; then a file per action.

mod cluster;
mod execute;
mod generate;
mod plan;
mod throttles;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use super::Run;
use super::support::{
    BrokerOrControllerArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, UsageError, WatchArgs, block_on,
    report_failure,
};
use crate::client::Admin;

/// Move partitions between brokers and directories
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(
    mut_arg("broker_list", |arg| {
        arg.hide(false).help("Brokers to move them to").value_name("ID,...").help_heading("Options")
    }),
    after_help = "\
kafka-rs reassign-partitions --execute --reassignment-json-file plan.json   begin to move what a plan says
kafka-rs reassign-partitions --verify --reassignment-json-file plan.json   see how far it is
kafka-rs reassign-partitions --list   list what is being moved

--generate --broker-list 1,2 --topics-to-move-json-file topics.json proposes a plan.
topics.json: {\"version\":1,\"topics\":[{\"topic\":\"orders\"}]}
plan.json:   {\"version\":1,\"partitions\":[{\"topic\":\"orders\",\"partition\":0,\"replicas\":[1,2]}]}

--verify, once all is moved, takes the throttles away that --execute has set."
)]
pub(super) struct ReassignPartitions {
    /// Propose where the partitions of topics could be
    #[arg(long, help_heading = "Actions")]
    generate: bool,
    /// Begin to move partitions
    #[arg(long, help_heading = "Actions")]
    execute: bool,
    /// Show how far a move is; take throttles away when it is done
    #[arg(long, help_heading = "Actions")]
    verify: bool,
    /// Call a move off
    #[arg(long, help_heading = "Actions")]
    cancel: bool,
    /// List the partitions that are being moved
    #[arg(long, help_heading = "Actions")]
    list: bool,

    /// JSON file of partitions and where they are to be
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    reassignment_json_file: Option<PathBuf>,
    /// JSON file of topics
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    topics_to_move_json_file: Option<PathBuf>,
    /// What `--broker-list` says: elsewhere that is an old name of `--bootstrap-server`.
    #[arg(skip)]
    broker_list: Option<String>,
    /// Don't look at racks
    #[arg(long, hide_short_help = true)]
    disable_rack_aware: bool,
    /// Most bytes per second that moving between brokers may take
    #[arg(long, value_name = "BYTES")]
    throttle: Option<i64>,
    /// Most bytes per second that moving between directories may take
    #[arg(long, value_name = "BYTES", hide_short_help = true)]
    replica_alter_log_dirs_throttle: Option<i64>,
    /// How long to wait until moves between directories begin [default: 10000]
    #[arg(long, value_name = "MS", hide_short_help = true)]
    timeout: Option<i64>,
    /// Begin although other partitions are being moved, or change the throttle
    #[arg(long, hide_short_help = true)]
    additional: bool,
    /// Refuse to change how many replicas partitions have
    #[arg(long, hide_short_help = true)]
    disallow_replication_factor_change: bool,
    /// Leave throttles as they are
    #[arg(long, hide_short_help = true)]
    preserve_throttles: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: BrokerOrControllerArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Generate,
    Execute,
    Verify,
    Cancel,
    List,
}

/// What went wrong, told on stdout without more: the partitions it concerns are in it.
#[derive(Debug)]
struct Terse(String);

impl std::fmt::Display for Terse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Terse {}

impl Run for ReassignPartitions {
    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.broker_list = self.connect.connect.take_broker_list();
        let action = self.check()?;
        let mut options = self.connect.admin_options(out)?;
        if options.client_id.is_empty() {
            options.client_id = "reassign-partitions-tool".to_owned();
        }
        let admin = Admin::new(options);
        block_on(async {
            match action {
                Action::Generate => generate::run(&self, &admin, out).await?,
                Action::Execute => execute::run(&self, &admin, out).await?,
                Action::Verify => {
                    return self.watch.run(out, async |out| verify::run(&self, &admin, out).await).await;
                }
                Action::Cancel => execute::cancel(&self, &admin, out).await?,
                Action::List => return self.watch.run(out, async |out| verify::list(&admin, out).await).await,
            }
            Ok(Exit::Success)
        })
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        if mistake.kind == super::support::Mistake::Other || !out.tells_errors_as_kafka() {
            return mistake.report(called_as, out);
        }
        // Kafka's tool reads a number when it needs it.
        if mistake.kind == super::support::Mistake::BadValue {
            out.line(format_args!("Error: {mistake}"))?;
            return Ok(Exit::Failure);
        }
        // What the parser itself finds nobody catches in Kafka's tool.
        let class = match mistake.kind {
            super::support::Mistake::Unknown => "joptsimple.UnrecognizedOptionException",
            super::support::Mistake::NoValue => "joptsimple.OptionMissingRequiredArgumentException",
            _ => "joptsimple.MultipleArgumentsForOptionException",
        };
        out.note(format_args!("Exception in thread \"main\" {class}: {mistake}"))?;
        out.hint(&format!("`{called_as} --help` lists the options"))?;
        Ok(Exit::Failure)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if let Some(terse) = error.downcast_ref::<Terse>() {
            if out.tells_errors_as_kafka() {
                out.line(terse)?
            } else {
                out.error(&terse.0)?
            }
            return Ok(Exit::Failure);
        }
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| out.line(format_args!("Error: {error}")))?;
        Ok(Exit::Failure)
    }
}

impl ReassignPartitions {
    /// The action, if the options make sense. The order and the texts are Kafka's.
    fn check(&self) -> anyhow::Result<Action> {
        let actions = [
            (self.generate, Action::Generate, "generate"),
            (self.execute, Action::Execute, "execute"),
            (self.verify, Action::Verify, "verify"),
            (self.cancel, Action::Cancel, "cancel"),
            (self.list, Action::List, "list"),
        ];
        let mut given = actions.iter().filter(|(given, _, _)| *given);
        let (Some((_, action, name)), None) = (given.next(), given.next()) else {
            return Err(UsageError::because(
                "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list",
            ));
        };
        self.connect.check("Please don't specify both --bootstrap-server and --bootstrap-controller")?;
        let needed: &[(&str, bool)] = match action {
            Action::Generate => &[
                ("topics-to-move-json-file", self.topics_to_move_json_file.is_some()),
                ("broker-list", self.broker_list.is_some()),
            ],
            Action::List => &[],
            _ => &[("reassignment-json-file", self.reassignment_json_file.is_some())],
        };
        if let Some((option, _)) = needed.iter().find(|(_, given)| !given) {
            return Err(UsageError::missing(option));
        }
        use Action::{Cancel, Execute, Generate, List, Verify};
        let permitted: [(&str, bool, &[Action]); 12] = [
            ("bootstrap-controller", self.connect.bootstrap_controller.is_some(), &[Cancel, List]),
            ("reassignment-json-file", self.reassignment_json_file.is_some(), &[Execute, Verify, Cancel]),
            ("topics-to-move-json-file", self.topics_to_move_json_file.is_some(), &[Generate]),
            ("broker-list", self.broker_list.is_some(), &[Generate]),
            ("disable-rack-aware", self.disable_rack_aware, &[Generate]),
            ("throttle", self.throttle.is_some(), &[Execute]),
            ("replica-alter-log-dirs-throttle", self.replica_alter_log_dirs_throttle.is_some(), &[Execute]),
            ("timeout", self.timeout.is_some(), &[Execute, Cancel]),
            ("additional", self.additional, &[Execute]),
            ("disallow-replication-factor-change", self.disallow_replication_factor_change, &[Execute]),
            ("preserve-throttles", self.preserve_throttles, &[Verify, Cancel]),
            ("watch", self.watch.is_given(), &[Verify, List]),
        ];
        for (option, given, actions) in permitted {
            if given && !actions.contains(action) {
                let message = format!("Option \"[{option}]\" can't be used with action \"[{name}]\"");
                return Err(UsageError::because(message));
            }
        }
        Ok(*action)
    }

    /// The plan of `--reassignment-json-file`.
    fn plan(&self) -> Result<plan::Plan, JavaError> {
        let file = self.reassignment_json_file.as_deref().unwrap_or(Path::new(""));
        let place = file.display().to_string();
        plan::Plan::parse(&read(file)?, &place).map_err(|error| super::support::java_json::at(&place, error))
    }
}

fn read(file: &Path) -> Result<String, JavaError> {
    std::fs::read_to_string(file).map_err(|error| {
        JavaError::new("java.io.IOException", format!("Unable to read file {}", file.display()))
            .with_plain(format!("could not read {}: {error}", file.display()))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        for (words, message) in [
            ("", "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list"),
            (
                "--list --execute",
                "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list",
            ),
            ("--generate", "Missing required argument \"[topics-to-move-json-file]\""),
            ("--generate --topics-to-move-json-file f", "Missing required argument \"[broker-list]\""),
            ("--execute", "Missing required argument \"[reassignment-json-file]\""),
            ("--verify --throttle 1", "Missing required argument \"[reassignment-json-file]\""),
            (
                "--execute --reassignment-json-file f --broker-list 1",
                "Option \"[broker-list]\" can't be used with action \"[execute]\"",
            ),
            ("--list --throttle 1", "Option \"[throttle]\" can't be used with action \"[list]\""),
            (
                "--verify --reassignment-json-file f --bootstrap-controller c:1",
                "Option \"[bootstrap-controller]\" can't be used with action \"[verify]\"",
            ),
            (
                "--list --bootstrap-server b:1 --bootstrap-controller c:1",
                "Please don't specify both --bootstrap-server and --bootstrap-controller",
            ),
        ] {
            let words = std::iter::once("reassign-partitions").chain(words.split_whitespace());
            let mut args = ReassignPartitions::try_parse_from(words).unwrap();
            args.broker_list = args.connect.connect.take_broker_list();
            assert_eq!(args.check().unwrap_err().to_string(), message);
        }
    }
}
