//! The scripts about ZooKeeper: tutorials begin with them, and there is nothing to do. What they would have shown is
//! elsewhere.

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

/// Nothing to look into: the broker keeps its own metadata
#[derive(Debug, clap::Parser)]
pub(super) struct Shell {
    /// What ZooKeeper's script takes; not looked at
    #[arg(value_name = "WORD", allow_hyphen_values = true, trailing_var_arg = true, hide = true)]
    ignored: Vec<OsString>,
}

/// Nothing to protect: the broker keeps its own metadata
#[derive(Debug, clap::Parser)]
pub(super) struct SecurityMigration {
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

impl Run for Shell {
    const EXAMPLES: &'static [Example] = &[("See what to use instead", "kafka-rs zookeeper-shell localhost:2181")];
    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        // Who asks for data and gets none has failed, unlike who has something started that is not needed.
        out.error("there is no ZooKeeper to look into: the brokers keep their own metadata")?;
        out.hint("`kafka-rs metadata-shell` walks through it, `kafka-rs cluster list-endpoints` shows the brokers")?;
        Ok(Exit::Failure)
    }
}

impl Run for SecurityMigration {
    const EXAMPLES: &'static [Example] =
        &[("What a guide types", "kafka-rs zookeeper-security-migration --zookeeper.acl=secure")];
    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        out.line(
            "ZooKeeper is not needed, so there is nothing to protect in it. `kafka-rs acls` says who may do what.",
        )?;
        Ok(Exit::Success)
    }
}
