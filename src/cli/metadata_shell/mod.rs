//! `metadata-shell`: the cluster's metadata as a tree of directories and files, to walk through. Kafka's
//! `kafka-metadata-shell.sh`.
//!
//! `load.rs` reads a snapshot or a metadata log, `tree.rs` makes the tree that Kafka's tool shows, `glob.rs` finds nodes in
//! it, `commands.rs` has the commands, `prompt.rs` reads lines at a terminal.

mod commands;
mod glob;
mod load;
mod prompt;
mod tree;

use std::io::{self, BufRead as _};
use std::path::PathBuf;

use super::Run;
use super::help::Example;
use super::support::{Argparse, Exit, Output, OutputArgs, Style, UsageError, argparse, report_failure};
use commands::Shell;

/// Walk through the metadata of a cluster, as a snapshot or a metadata log has them
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Commands: cat, find, ls, tree; at the prompt also cd, exit, help, history, man, pwd. Paths may have *, ? and {a,b}. \
Nothing is written, so a broker may be running.")]
pub(super) struct MetadataShell {
    /// Snapshot or segment of the metadata log, or the directory that it is in
    #[arg(long, short = 's', value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    snapshot: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    /// Command to run instead of asking for commands
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<String>,
}

const WORDS: Argparse = Argparse { program: "kafka-metadata-shell", numbers: &[] };

impl Run for MetadataShell {
    const EXAMPLES: &'static [Example] = &[
        ("Walk through what a stopped or running broker has", "kafka-rs metadata-shell --snapshot kafka-data"),
        ("Show all topics", "kafka-rs metadata-shell --snapshot kafka-data tree image/topics/byName"),
        (
            "Show the first partition of each topic",
            "kafka-rs metadata-shell --snapshot kafka-data cat 'image/topics/byName/*/0'",
        ),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let is_json = out.style() == Style::Json;
        if is_json && self.command.is_empty() {
            return Err(UsageError::because("--output json needs a command"));
        }
        let file = self.snapshot.ok_or_else(|| argparse::required("snapshot/-s"))?;
        if self.command.is_empty() {
            out.line("Loading...")?;
            out.flush()?;
        }
        let loaded = load::load(&file)?;
        let mut shell = Shell::new(tree::root(&loaded));
        if is_json {
            let document = shell.run_for_json(&self.command).map_err(UsageError::because)?;
            out.json(&document)?;
            return Ok(Exit::Success);
        }
        if !self.command.is_empty() {
            let text = shell.run(&self.command, None);
            io::Write::write_all(out.stdout(), text.as_bytes())?;
            return Ok(Exit::Success);
        }
        out.line("Starting...")?;
        out.line("[ Kafka Metadata Shell ]")?;
        if out.is_prompt() {
            out.flush()?;
            return prompt::run(shell, out);
        }
        let stdin = io::stdin().lock();
        let mut lines = stdin.lines();
        while !shell.is_over() {
            let Some(line) = lines.next() else { break };
            let text = shell.line(&line?, None);
            io::Write::write_all(out.stdout(), text.as_bytes())?;
            out.flush()?;
        }
        Ok(Exit::Success)
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        report_failure(error, out)
    }
}
