//! `storage`: formats log directories, tells what is in them, checks them, makes ids. Kafka's `kafka-storage.sh`.
//!
//! Needs no broker: it reads the node's configuration and works on its directories.

mod check;
pub(super) mod features;
mod format;
mod info;
mod node;
mod scram;

use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::Run;
use super::help::Example;
use super::support::{Exit, Mistake, Output, OutputArgs, Style, UsageError, chain_text, report_failure};
use crate::types::Uuid;

pub(super) use features::version_name;

/// Format the directories of a node, show what is in them, make ids
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
An argument @FILE stands for the lines of that file, each an argument: passwords need not be typed.")]
pub(super) struct Storage {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the directories of a node and what is wrong with them
    Info(Info),
    /// Look for damage in data directories, without changing anything
    Check(check::Check),
    /// Make the directories of a node ready for a cluster
    Format(Format),
    /// Show which feature levels go with a metadata version
    VersionMapping(VersionMapping),
    /// Show which features a feature level needs
    FeatureDependencies(FeatureDependencies),
    /// Print a random id
    RandomUuid(RandomUuid),
}

#[derive(Debug, clap::Args)]
struct Info {
    /// The node's server.properties
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct RandomUuid {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct Format {
    /// The node's server.properties
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Id of the cluster, the same on all its nodes (`storage random-uuid` makes one)
    #[arg(long, short = 't', value_name = "ID")]
    cluster_id: Option<String>,
    /// Leave directories that are formatted already as they are
    #[arg(long, short = 'g')]
    ignore_formatted: bool,
    /// Metadata version to start with, as 4.3-IV0 or 3.9 [default: the newest]
    #[arg(long, short, value_name = "VERSION")]
    release_version: Option<String>,
    /// Level of a feature, instead of the one that goes with the metadata version
    #[arg(long, short, value_name = "NAME=LEVEL")]
    feature: Vec<String>,
    /// User of the new cluster, as SCRAM-SHA-256=[name=alice,password=...]; salt and iterations may follow
    #[arg(long, short = 'S', value_name = "MECHANISM=[...]")]
    add_scram: Vec<String>,
    /// This node starts as the only controller of the cluster
    #[arg(long, short)]
    standalone: bool,
    /// This node joins a cluster whose controllers exist
    #[arg(long, short = 'N')]
    no_initial_controllers: bool,
    /// The controllers that the cluster starts with
    #[arg(long, short = 'I', value_name = "ID@HOST:PORT:DIRECTORY,...")]
    initial_controllers: Option<String>,
    /// Only show what would be formatted
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct VersionMapping {
    /// Metadata version, as 4.3-IV0 or 3.9 [default: the newest]
    #[arg(long, short, value_name = "VERSION")]
    release_version: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct FeatureDependencies {
    /// Feature and level
    #[arg(long, short, value_name = "NAME=LEVEL")]
    feature: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Run for Storage {
    const EXAMPLES: &'static [Example] = &[
        ("Format the directories of a node", "kafka-rs storage format --config server.properties --cluster-id ID"),
        ("Make an id for a new cluster", "kafka-rs storage random-uuid"),
        ("Look for damage", "kafka-rs storage check /var/lib/kafka"),
    ];

    const READS_WORDS_FROM_FILES: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        match self.command {
            None => Err(UsageError::because("too few arguments")),
            Some(Command::Info(args)) => {
                args.output.apply(out);
                let config = args.config.ok_or_else(|| required("config", 'c'))?;
                info::run(&config, out)
            }
            Some(Command::Check(args)) => check::run(&args, out),
            Some(Command::Format(args)) => {
                args.output.apply(out);
                format::run(args, out)
            }
            Some(Command::VersionMapping(args)) => {
                args.output.apply(out);
                features::print_mapping(args.release_version.as_deref(), out)?;
                Ok(Exit::Success)
            }
            Some(Command::FeatureDependencies(args)) => {
                args.output.apply(out);
                if args.feature.is_empty() {
                    return Err(required("feature", 'f'));
                }
                features::print_dependencies(&args.feature, out)?;
                Ok(Exit::Success)
            }
            Some(Command::RandomUuid(RandomUuid { output })) => {
                output.apply(out);
                let id = Uuid::random();
                match out.style() {
                    Style::Json => out.json(&json!({"version": 1, "id": id.to_string()}))?,
                    _ => out.line(id)?,
                }
                Ok(Exit::Success)
            }
        }
    }

    /// This tool of Kafka's reads its options with another parser, which has words of its own.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        let text = match mistake.kind {
            Mistake::Unknown => format!("unrecognized arguments: '{}'", mistake.given),
            Mistake::NoValue => format!("argument {}: expected one argument", mistake.given),
            _ if mistake.to_string().starts_with("invalid choice") => format!(
                "{mistake} (choose from 'info', 'format', 'version-mapping', 'feature-dependencies', 'random-uuid')"
            ),
            _ => mistake.to_string(),
        };
        if out.is_for_people() {
            out.error(&text)?;
        } else {
            out.note(format_args!("kafka-storage: error: {text}"))?;
        }
        out.hint(&format!("`{called_as} --help` lists the commands, `{called_as} COMMAND --help` the options of one"))?;
        Ok(Exit::Failure)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            return report_failure(error, out);
        }
        out.note(chain_text(error))?;
        Ok(Exit::Failure)
    }
}

fn required(long: &str, short: char) -> anyhow::Error {
    UsageError::because(format!("argument --{long}/-{short} is required"))
}
