//! `metadata-quorum`: the controllers of a cluster, how far each is, and how one joins or leaves them. Kafka's
//! `kafka-metadata-quorum.sh`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::Run;
use super::support::{
    BrokerOrControllerArgs, CommandWords, Exit, JavaError, Output, OutputArgs, Style, UsageError, WatchArgs, block_on,
    chain_text, confirm_unless, number, report_failure, required, tab_table,
};
use crate::client::admin::{QuorumInfo, QuorumReplica, RaftEndpoint};
use crate::client::{Address, Admin};
use crate::config::properties;
use crate::types::{NodeId, Uuid};

/// Show the controllers of a cluster, add one, remove one
#[derive(Debug, Clone, clap::Parser)]
#[command(
    infer_long_args = true,
    mut_args(|arg| arg.global(true)),
    after_help = "\
kafka-rs metadata-quorum describe --status --bootstrap-server broker:9092   show the quorum
kafka-rs metadata-quorum describe --replication --human-readable   how far each controller is
kafka-rs metadata-quorum add-controller --command-config node.properties   make a controller a voter

add-controller reads from --command-config who the new controller is: its own server.properties."
)]
pub(super) struct MetadataQuorum {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: BrokerOrControllerArgs,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Show the quorum
    Describe(Describe),
    /// Make a controller that follows the quorum a voter
    AddController {
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take a voter out of the quorum
    RemoveController(Remove),
}

#[derive(Debug, Clone, clap::Args)]
struct Describe {
    /// Who leads, who votes, how far behind the last one is
    #[arg(long)]
    status: bool,
    /// How far each node is
    #[arg(long)]
    replication: bool,
    /// Times as how long ago
    #[arg(long)]
    human_readable: bool,
    #[command(flatten)]
    watch: WatchArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct Remove {
    /// The controller
    #[arg(long, short = 'i', value_name = "ID")]
    controller_id: Option<String>,
    /// Its directory with the metadata
    #[arg(long, short = 'd', value_name = "ID")]
    controller_directory_id: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

const WORDS: CommandWords =
    CommandWords { program: "kafka-metadata-quorum", commands: &["describe", "add-controller", "remove-controller"] };

impl Run for MetadataQuorum {
    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.connect.check("argument --bootstrap-controller: not allowed with argument --bootstrap-server")?;
        let command = self.command.take().ok_or_else(CommandWords::none)?;
        if let Command::RemoveController(remove) = &command {
            required(remove.controller_id.as_ref(), "--controller-id/-i")?;
            required(remove.controller_directory_id.as_ref(), "--controller-directory-id/-d")?;
        }
        let file = self.connect.connect.command_config.clone();
        if let Some(file) = file.as_deref().filter(|file| !file.exists()) {
            bail!("Properties file {} does not exists!", file.display());
        }
        match command {
            Command::Describe(args) => {
                match (args.status, args.replication) {
                    (true, true) => {
                        bail!("Only one of --status or --replication should be specified with describe sub-command")
                    }
                    (false, false) => {
                        bail!("One of --status or --replication must be specified with describe sub-command")
                    }
                    _ => {}
                }
                if args.status && args.human_readable {
                    bail!("The option --human-readable is only supported along with --replication");
                }
                let admin = Admin::new(self.connect.admin_options(out)?);
                block_on(args.watch.run(out, async |out| describe(&args, &admin, out).await))
            }
            Command::AddController { dry_run } => {
                let Some(file) = file else {
                    bail!(
                        "You must supply the configuration file of the controller you are adding when using \
                         add-controller."
                    )
                };
                let controller = NewController::read(&file)?;
                // A server's file has many settings that are none of a client's.
                self.connect.connect.quiet = true;
                let admin = Admin::new(self.connect.admin_options(out)?);
                block_on(add(&controller, dry_run, &admin, out))?;
                Ok(Exit::Success)
            }
            Command::RemoveController(args) => {
                let admin = Admin::new(self.connect.admin_options(out)?);
                block_on(remove(&args, &admin, out))?;
                Ok(Exit::Success)
            }
        }
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        match error.downcast_ref::<JavaError>() {
            Some(error) => error.report(out, |error, out| out.note(error.to_java()))?,
            None if out.is_for_people() => return report_failure(error, out),
            None => out.note(chain_text(error))?,
        }
        Ok(Exit::Failure)
    }
}

async fn describe(args: &Describe, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let cluster = admin.describe_cluster(false).await.map_err(|error| JavaError::call("listNodes", &error))?;
    let quorum =
        admin.describe_metadata_quorum().await.map_err(|error| JavaError::call("describeMetadataQuorum", &error))?;
    let Some(leader) = quorum.voters.iter().find(|voter| voter.id == quorum.leader).copied() else {
        bail!("the quorum has no leader now");
    };
    let now = now_ms();
    match out.style() {
        Style::Json => {
            out.json(&json_of(cluster.cluster_id.as_deref(), &quorum))?;
        }
        Style::Kafka if args.status => {
            for (label, value) in status(cluster.cluster_id.as_deref(), &quorum, leader) {
                out.line(format_args!("{:<24}{value}", format!("{label}:")))?;
            }
        }
        Style::Kafka => {
            for line in tab_table(&REPLICATION, &replication(&quorum, leader, args.human_readable.then_some(now))) {
                out.line(line)?;
            }
        }
        Style::Table if args.status => {
            let lag = max_lag(&quorum, leader);
            out.line(format_args!(
                "{}  leader {} in epoch {}, committed up to {}",
                out.bold(cluster.cluster_id.as_deref().unwrap_or("cluster")),
                quorum.leader,
                quorum.leader_epoch,
                quorum.high_watermark
            ))?;
            let row = |(role, replica): (&str, &QuorumReplica)| {
                let role = if replica.id == quorum.leader { "leader" } else { role };
                let lag = leader.log_end_offset - replica.log_end_offset;
                vec![
                    replica.id.to_string(),
                    role.to_owned(),
                    lag.to_string(),
                    endpoints_of(&quorum, replica.id).join(", "),
                ]
            };
            let voters = quorum.voters.iter().map(|replica| ("voter", replica));
            let observers = quorum.observers.iter().map(|replica| ("observer", replica));
            out.table(&["Node", "Role", "Lag", "Address"], voters.chain(observers).map(row).collect())?;
            if lag.0 > 0 {
                out.line(format_args!("The last voter is {} records behind.", lag.0))?;
            }
        }
        Style::Table => {
            let header = ["Node", "Directory", "Log end", "Lag", "Last fetch", "Caught up", "Status"];
            out.table(&header, replication(&quorum, leader, Some(now)))?;
        }
    }
    Ok(Exit::Success)
}

const REPLICATION: [&str; 7] =
    ["NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"];

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How many records, and how much time, the last voter is behind.
fn max_lag(quorum: &QuorumInfo, leader: QuorumReplica) -> (i64, i64) {
    let last = quorum.voters.iter().min_by_key(|voter| voter.log_end_offset).copied().unwrap_or(leader);
    let time = if last.id == leader.id {
        0
    } else if leader.last_caught_up_timestamp >= 0 && last.last_caught_up_timestamp >= 0 {
        leader.last_caught_up_timestamp - last.last_caught_up_timestamp
    } else {
        -1
    };
    (leader.log_end_offset - last.log_end_offset, time)
}

fn status(cluster_id: Option<&str>, quorum: &QuorumInfo, leader: QuorumReplica) -> Vec<(&'static str, String)> {
    let (lag, lag_ms) = max_lag(quorum, leader);
    vec![
        ("ClusterId", cluster_id.unwrap_or("null").to_owned()),
        ("LeaderId", quorum.leader.to_string()),
        ("LeaderEpoch", quorum.leader_epoch.to_string()),
        ("HighWatermark", quorum.high_watermark.to_string()),
        ("MaxFollowerLag", lag.to_string()),
        ("MaxFollowerLagTimeMs", lag_ms.to_string()),
        ("CurrentVoters", nodes_text(quorum, &quorum.voters)),
        ("CurrentObservers", nodes_text(quorum, &quorum.observers)),
    ]
}

fn endpoints_of(quorum: &QuorumInfo, id: NodeId) -> Vec<String> {
    let found = quorum.endpoints.iter().find(|(node, _)| *node == id);
    found.map(|(_, endpoints)| endpoints.iter().map(endpoint_text).collect()).unwrap_or_default()
}

/// `CONTROLLER://host:9093`
fn endpoint_text(endpoint: &RaftEndpoint) -> String {
    format!("{}://{}", endpoint.listener, endpoint.address)
}

/// Nearly JSON, with the spaces of Kafka's tool.
fn nodes_text(quorum: &QuorumInfo, replicas: &[QuorumReplica]) -> String {
    let node = |replica: &QuorumReplica| {
        let mut text = format!("{{\"id\": {}", replica.id);
        if !replica.directory_id.is_zero() {
            text.push_str(&format!(", \"directoryId\": \"{}\"", replica.directory_id));
        }
        let endpoints = endpoints_of(quorum, replica.id);
        if !endpoints.is_empty() {
            text.push_str(&format!(", \"endpoints\": [\"{}\"]", endpoints.join("\", \"")));
        }
        text + "}"
    };
    let nodes: Vec<_> = replicas.iter().map(node).collect();
    format!("[{}]", nodes.join(", "))
}

/// Rows of the table: the leader, those who follow it, those who only listen. Times as they are, or how long before `now`.
fn replication(quorum: &QuorumInfo, leader: QuorumReplica, now: Option<i64>) -> Vec<Vec<String>> {
    let time = |timestamp: i64| match now {
        Some(now) if timestamp >= 0 => format!("{} ms ago", now.saturating_sub(timestamp).max(0)),
        _ => timestamp.to_string(),
    };
    let row = |(status, replica): (&str, &QuorumReplica)| {
        vec![
            replica.id.to_string(),
            replica.directory_id.to_string(),
            replica.log_end_offset.to_string(),
            (leader.log_end_offset - replica.log_end_offset).to_string(),
            time(replica.last_fetch_timestamp),
            time(replica.last_caught_up_timestamp),
            status.to_owned(),
        ]
    };
    let followers = quorum.voters.iter().filter(|voter| voter.id != leader.id).map(|replica| ("Follower", replica));
    let observers = quorum.observers.iter().map(|replica| ("Observer", replica));
    std::iter::once(("Leader", &leader)).chain(followers).chain(observers).map(row).collect()
}

fn json_of(cluster_id: Option<&str>, quorum: &QuorumInfo) -> Value {
    let replica = |replica: &QuorumReplica| {
        json!({
            "id": replica.id.get(),
            "directoryId": Some(replica.directory_id).filter(|id| !id.is_zero()).map(|id| id.to_string()),
            "endpoints": endpoints_of(quorum, replica.id),
            "logEndOffset": replica.log_end_offset,
            "lastFetchTimestamp": replica.last_fetch_timestamp,
            "lastCaughtUpTimestamp": replica.last_caught_up_timestamp,
        })
    };
    json!({
        "version": 1,
        "clusterId": cluster_id,
        "leaderId": quorum.leader.get(),
        "leaderEpoch": quorum.leader_epoch,
        "highWatermark": quorum.high_watermark,
        "voters": quorum.voters.iter().map(replica).collect::<Vec<_>>(),
        "observers": quorum.observers.iter().map(replica).collect::<Vec<_>>(),
    })
}

/// A controller, as its configuration says.
#[derive(Debug, PartialEq, Eq)]
struct NewController {
    id: NodeId,
    directory_id: Uuid,
    endpoints: Vec<RaftEndpoint>,
}

impl NewController {
    /// Reads the controller's `server.properties`, and the id of its directory in `meta.properties`.
    fn read(file: &Path) -> anyhow::Result<Self> {
        let settings = settings_of(file)?;
        let id = controller_id(&settings)?;
        let dir = settings
            .get("metadata.log.dir")
            .map(String::as_str)
            .or_else(|| settings.get("log.dirs").and_then(|dirs| dirs.trim().split(',').next()))
            .context(
                "Neither metadata.log.dir nor log.dirs were found. Is this a valid controller configuration file?",
            )?;
        let meta = settings_of(&Path::new(dir).join("meta.properties"))
            .map_err(|_| anyhow::anyhow!("Unable to read meta.properties from {dir}"))?;
        let directory_id = meta
            .get("directory.id")
            .and_then(|id| Uuid::parse(id))
            .with_context(|| format!("No directory id found in {dir}"))?;
        Ok(Self { id, directory_id, endpoints: endpoints(&settings)? })
    }
}

fn settings_of(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("could not read {shown}"))?;
    let entries = properties::parse(&bytes).with_context(|| format!("could not read {shown}"))?;
    Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

fn controller_id(settings: &BTreeMap<String, String>) -> anyhow::Result<NodeId> {
    const DOUBT: &str = "Is this a valid controller configuration file?";
    let Some(id) = settings.get("node.id") else { bail!("node.id not found in configuration file. {DOUBT}") };
    let id: i32 = id.trim().parse().ok().with_context(|| format!("node.id is no number: {id}"))?;
    if id < 0 {
        bail!("node.id was negative in configuration file. {DOUBT}");
    }
    if !settings.get("process.roles").is_some_and(|roles| roles.contains("controller")) {
        bail!("process.roles did not contain 'controller' in configuration file. {DOUBT}");
    }
    Ok(NodeId(id))
}

/// The addresses of the controller listeners; what is advertised counts before where it listens.
fn endpoints(settings: &BTreeMap<String, String>) -> anyhow::Result<Vec<RaftEndpoint>> {
    let Some(names) = settings.get("controller.listener.names") else {
        bail!("controller.listener.names was not found. Is this a valid controller configuration file?")
    };
    let mut listeners = BTreeMap::new();
    for key in ["listeners", "advertised.listeners"] {
        for text in settings.get(key).map(String::as_str).unwrap_or_default().split(',').map(str::trim) {
            if text.is_empty() {
                continue;
            }
            let parsed = text.split_once("://").and_then(|(name, address)| {
                let (host, port) = address.rsplit_once(':')?;
                Some((name, host, port.parse::<u16>().ok()?))
            });
            let Some((name, host, port)) = parsed else { bail!("{key} has a listener that can't be read: {text}") };
            let host = host.trim_matches(['[', ']']);
            let host = if host.is_empty() { "localhost" } else { host };
            listeners.insert(name.to_ascii_uppercase(), Address::new(host, port));
        }
    }
    let endpoint = |name: &str| {
        let listener = name.trim().to_ascii_uppercase();
        let address = listeners.get(&listener).cloned();
        match address {
            Some(address) => Ok(RaftEndpoint { listener, address }),
            None => bail!("Cannot find information about controller listener name: {listener}"),
        }
    };
    names.split(',').map(endpoint).collect()
}

async fn add(controller: &NewController, dry_run: bool, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    if !dry_run {
        admin
            .add_raft_voter(controller.id, controller.directory_id, &controller.endpoints)
            .await
            .map_err(|error| JavaError::call("addRaftVoter", &error))?;
    }
    if out.style() == Style::Json {
        let endpoints: Vec<_> = controller.endpoints.iter().map(endpoint_text).collect();
        return Ok(out.json(&json!({
            "version": 1,
            "dryRun": dry_run,
            "added": controller.id.get(),
            "directoryId": controller.directory_id.to_string(),
            "endpoints": endpoints,
        }))?);
    }
    Ok(out.line(added_line(controller, dry_run))?)
}

fn added_line(controller: &NewController, dry_run: bool) -> String {
    let done = if dry_run { "DRY RUN of adding" } else { "Added" };
    let endpoints: Vec<_> = controller.endpoints.iter().map(endpoint_text).collect();
    format!(
        "{done} controller {} with directory id {} and endpoints: {}",
        controller.id,
        controller.directory_id,
        endpoints.join(", ")
    )
}

async fn remove(args: &Remove, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let id: i32 = number(args.controller_id.as_deref().unwrap_or_default(), "--controller-id/-i", "Integer")?;
    if id < 0 {
        bail!("Invalid negative --controller-id: {id}");
    }
    let text = args.controller_directory_id.as_deref().unwrap_or_default();
    let directory_id = match Uuid::parse(text) {
        Some(directory_id) => directory_id,
        None => bail!("Failed to parse --controller-directory-id: {}", unreadable_id(text)),
    };
    if !args.dry_run {
        confirm_unless(args.yes, &format!("Remove controller {id} from the quorum?"), out)?;
        admin
            .remove_raft_voter(NodeId(id), directory_id)
            .await
            .map_err(|error| JavaError::call("removeRaftVoter", &error))?;
    }
    if out.style() == Style::Json {
        let directory_id = directory_id.to_string();
        return Ok(out.json(&json!({
            "version": 1,
            "dryRun": args.dry_run,
            "removed": id,
            "directoryId": directory_id,
        }))?);
    }
    // The two spaces are Kafka's.
    let done = if args.dry_run { "DRY RUN of removing " } else { "Removed " };
    Ok(out.line(format_args!("{done} KRaft controller {id} with directory id {directory_id}"))?)
}

/// Java's decoder says what it made of the text.
fn unreadable_id(text: &str) -> String {
    if text.trim_end_matches('=').len() == 1 {
        return "Input byte[] should at least have 2 bytes for base64 bytes".to_owned();
    }
    let bytes = text.trim_end_matches('=').len() * 3 / 4;
    format!(
        "Input string `{text}` decoded as {bytes} bytes, which is not equal to the expected 16 bytes of a base64-encoded \
         UUID"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(id: i32, directory_id: Uuid, log_end_offset: i64) -> QuorumReplica {
        QuorumReplica {
            id: NodeId(id),
            directory_id,
            log_end_offset,
            last_fetch_timestamp: 1000,
            last_caught_up_timestamp: -1,
        }
    }

    fn quorum() -> QuorumInfo {
        let endpoint = RaftEndpoint { listener: "CONTROLLER".to_owned(), address: Address::new("127.0.0.1", 9093) };
        QuorumInfo {
            leader: NodeId(1),
            leader_epoch: 1,
            high_watermark: 40,
            voters: vec![replica(1, Uuid::ZERO, 41)],
            observers: vec![replica(2, Uuid::METADATA_TOPIC, 39)],
            endpoints: vec![(NodeId(1), vec![endpoint])],
        }
    }

    #[test]
    fn the_status_is_kafkas() {
        let quorum = quorum();
        let lines: Vec<String> = status(Some("abc"), &quorum, quorum.voters[0])
            .into_iter()
            .map(|(label, value)| format!("{:<24}{value}", format!("{label}:")))
            .collect();
        assert_eq!(
            lines,
            [
                "ClusterId:              abc",
                "LeaderId:               1",
                "LeaderEpoch:            1",
                "HighWatermark:          40",
                "MaxFollowerLag:         0",
                "MaxFollowerLagTimeMs:   0",
                "CurrentVoters:          [{\"id\": 1, \"endpoints\": [\"CONTROLLER://127.0.0.1:9093\"]}]",
                "CurrentObservers:       [{\"id\": 2, \"directoryId\": \"AAAAAAAAAAAAAAAAAAAAAQ\"}]",
            ]
        );
    }

    #[test]
    fn replication_is_kafkas() {
        let quorum = quorum();
        let lines = tab_table(&REPLICATION, &replication(&quorum, quorum.voters[0], Some(1043)));
        assert_eq!(
            lines,
            [
                "NodeId\tDirectoryId           \tLogEndOffset\tLag\tLastFetchTimestamp\tLastCaughtUpTimestamp\tStatus  \t",
                "1     \tAAAAAAAAAAAAAAAAAAAAAA\t41          \t0  \t43 ms ago         \t-1                   \tLeader  \t",
                "2     \tAAAAAAAAAAAAAAAAAAAAAQ\t39          \t2  \t43 ms ago         \t-1                   \tObserver\t",
            ]
        );
    }

    #[test]
    fn a_new_controller_is_read_from_its_own_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.properties");
        let write = |text: &str| std::fs::write(&file, text.replace("DIR", &dir.path().display().to_string())).unwrap();
        let read = || NewController::read(&file).map_err(|error| error.to_string());
        std::fs::write(dir.path().join("meta.properties"), "version=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n").unwrap();
        write(
            "node.id=2\nprocess.roles=controller\nlog.dirs=DIR,/x\ncontroller.listener.names=CONTROLLER\n\
             listeners=CONTROLLER://:9093\n",
        );
        let controller = read().unwrap();
        assert_eq!(
            added_line(&controller, false),
            "Added controller 2 with directory id AAAAAAAAAAAAAAAAAAAAAQ and endpoints: CONTROLLER://localhost:9093"
        );
        assert!(added_line(&controller, true).starts_with("DRY RUN of adding controller 2 with"));
        for (text, message) in [
            ("a=b\n", "node.id not found in configuration file. Is this a valid controller configuration file?"),
            (
                "node.id=-1\n",
                "node.id was negative in configuration file. Is this a valid controller configuration file?",
            ),
            (
                "node.id=1\nprocess.roles=broker\n",
                "process.roles did not contain 'controller' in configuration file. Is this a valid controller \
                 configuration file?",
            ),
            (
                "node.id=1\nprocess.roles=controller\nlog.dirs=/nowhere\n",
                "Unable to read meta.properties from /nowhere",
            ),
            (
                "node.id=1\nprocess.roles=controller\nlog.dirs=DIR\ncontroller.listener.names=C\nlisteners=D://h:1\n",
                "Cannot find information about controller listener name: C",
            ),
        ] {
            write(text);
            assert_eq!(read().unwrap_err(), message);
        }
    }
}
