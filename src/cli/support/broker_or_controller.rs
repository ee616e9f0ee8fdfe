//! How a tool reaches a cluster by one of its brokers or of its controllers.

use super::{ConnectArgs, Output, UsageError};
use crate::client::ClientOptions;

/// The options that say where the cluster is, for tools that controllers answer too (KIP-919).
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct BrokerOrControllerArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    /// Controllers to connect to, instead of brokers
    #[arg(long, value_name = "HOST:PORT,...", hide_short_help = true)]
    pub(crate) bootstrap_controller: Option<String>,
}

impl BrokerOrControllerArgs {
    /// Refuses both at once, in the words of the tool.
    pub(crate) fn check(&self, both: &str) -> anyhow::Result<()> {
        if self.connect.bootstrap_server.is_some() && self.bootstrap_controller.is_some() {
            return Err(UsageError::because(both));
        }
        Ok(())
    }

    /// The settings for calls of an administrator.
    pub(crate) fn admin_options(&self, out: &mut Output) -> anyhow::Result<ClientOptions> {
        match &self.bootstrap_controller {
            Some(controllers) => self.connect.controller_options(controllers, out),
            None => self.connect.admin_options(out),
        }
    }
}
