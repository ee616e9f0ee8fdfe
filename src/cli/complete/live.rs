//! Names that only a broker knows: asked at each press of the key, so within a time that nobody notices.

use std::path::Path;
use std::time::Duration;

use super::line::value_of;
use crate::cli::support::{block_on_within, quiet_admin_options};
use crate::client::{Admin, ClientError, ClientOptions};

/// How long a press of the key may wait for the broker; what the shell and this process take comes on top.
const PATIENCE: Duration = Duration::from_millis(110);

/// A kind of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    Topic,
    /// Groups of these types; none: of all.
    Group(&'static [&'static str]),
    Broker,
}

/// The names of a kind at the cluster that the words name, or none if it does not answer in time.
pub(super) fn ask(kind: Live, words: &[String]) -> Vec<String> {
    let Some(options) = options(words) else { return Vec::new() };
    let asked = block_on_within(PATIENCE, async {
        let options = ClientOptions { bootstrap_patience: PATIENCE, ..options };
        names(kind, &Admin::new(options)).await
    });
    asked.and_then(Result::ok).unwrap_or_default()
}

fn options(words: &[String]) -> Option<ClientOptions> {
    let servers = value_of(words, &["bootstrap-server", "broker-list", "source"]);
    let file = value_of(words, &["command-config", "consumer.config", "producer.config", "config-file"]);
    quiet_admin_options(servers, value_of(words, &["profile"]), file.map(Path::new))
}

async fn names(kind: Live, admin: &Admin) -> Result<Vec<String>, ClientError> {
    Ok(match kind {
        Live::Topic => admin.list_topics().await?.into_iter().map(|topic| topic.name).collect(),
        Live::Group(types) => {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            let groups = match admin.list_groups(&[], &types).await {
                // Brokers before 3.8 can't tell types apart.
                Err(ClientError::UnsupportedVersion { .. }) => admin.list_groups(&[], &[]).await?,
                answer => answer?,
            };
            groups.into_iter().map(|group| group.group_id).collect()
        }
        Live::Broker => {
            let cluster = admin.describe_cluster(false).await?;
            cluster.nodes.iter().map(|node| node.id.to_string()).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn servers(line: &str) -> String {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let options = options(&words).unwrap();
        options.bootstrap_servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn the_broker_is_the_one_that_was_typed() {
        assert_eq!(servers("--bootstrap-server h:1 --topic"), "h:1");
        assert_eq!(servers("--topic --bootstrap-server=h:1,i:2"), "h:1,i:2");
        assert_eq!(servers("-broker-list h:1"), "h:1");
        assert_eq!(servers("--topic"), "localhost:9092");
        assert!(options(&["--bootstrap-server".to_owned(), "nonsense".to_owned()]).is_none());
    }

    /// Without the limit this would take the time of a request, 30 seconds.
    #[test]
    fn a_broker_that_is_silent_is_not_waited_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let started = Instant::now();
        assert!(ask(Live::Topic, &["--bootstrap-server".to_owned(), address]).is_empty());
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
