//! A word for people who wait: brokers that can't be reached where they tell clients to come, and those that say nothing.

use std::io::Write as _;
use std::sync::Once;
use std::time::Duration;

use super::{Output, chain_text, hint_for};
use crate::client::retry::Deadline;
use crate::client::{Address, ClientError, ClientOptions, Cluster, Lane};

/// After this long without a record it is worth looking whether the brokers can be reached.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// How long a broker may take to be reached: records may be waiting elsewhere.
const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// Warns of the brokers that can't be reached.
pub(crate) async fn remark_if_unreachable(cluster: &Cluster, out: &mut Output) -> std::io::Result<()> {
    let nodes: Vec<_> = cluster.metadata().nodes.keys().copied().collect();
    for node in nodes {
        let reached = cluster.node(node, Lane::General, Deadline::after(REACHED_WITHIN)).await;
        if let Err(error @ ClientError::Astray { .. }) = reached {
            let hint = hint_for(&error);
            out.note(format_args!("warning: {}", chain_text(&anyhow::Error::new(error))))?;
            if let Some(hint) = hint {
                out.hint(&hint)?;
            }
        }
    }
    Ok(())
}

/// The same options, with a word at a terminal about a broker that takes connections and says nothing.
pub(crate) fn telling_of_silence(options: ClientOptions, out: &Output) -> ClientOptions {
    ClientOptions { on_silence: out.can_draw().then_some(tell_of_silence), ..options }
}

fn tell_of_silence(address: &Address) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        // Who can't be told goes on waiting.
        let _ = writeln!(std::io::stderr(), "still waiting for {address}, which has not said a word; Ctrl-C gives up");
    });
}
