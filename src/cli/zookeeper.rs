//! `zookeeper-server-start` and `zookeeper-server-stop`: tutorials begin with them, and there is nothing to do.

use std::ffi::OsString;

use super::Run;
use super::help::Example;
use super::support::{Exit, Output};

/// Nothing to start: the broker keeps its own metadata
#[derive(Debug, clap::Parser)]
#[command(after_help = "Kafka needed ZooKeeper before version 4. Tutorials that start it go on with `server-start`.")]
pub(super) struct Start {
    /// What ZooKeeper's script takes; not looked at
    #[arg(value_name = "WORD", allow_hyphen_values = true, trailing_var_arg = true, hide = true)]
    ignored: Vec<OsString>,
}

/// Nothing to stop: the broker keeps its own metadata
#[derive(Debug, clap::Parser)]
pub(super) struct Stop {
    /// What ZooKeeper's script takes; not looked at
    #[arg(value_name = "WORD", allow_hyphen_values = true, trailing_var_arg = true, hide = true)]
    ignored: Vec<OsString>,
}

impl Run for Start {
    const EXAMPLES: &'static [Example] =
        &[("What a tutorial types", "kafka-rs zookeeper-server-start config/zookeeper.properties")];
    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        out.line("ZooKeeper is not needed: kafka-rs keeps its own metadata. Go on with `kafka-rs server-start`.")?;
        Ok(Exit::Success)
    }
}

impl Run for Stop {
    const EXAMPLES: &'static [Example] = &[("What a tutorial types", "kafka-rs zookeeper-server-stop")];
    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        out.line("ZooKeeper is not needed, so there is nothing to stop. `kafka-rs server-stop` stops the broker.")?;
        Ok(Exit::Success)
    }
}
