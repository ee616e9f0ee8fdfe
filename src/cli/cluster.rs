//! `cluster`: the id of a cluster, its nodes, and how to make it forget a broker. Kafka's `kafka-cluster.sh`.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::Run;
use super::support::{
    BrokerOrControllerArgs, Column, CommandWords, Exit, Hinted, JavaError, Output, OutputArgs, Style, UsageError,
    block_on, confirm_unless, in_columns, number, print_plan, report_failure, required,
};
use crate::client::admin::{ClusterDescription, EndpointType};
use crate::client::{Admin, ClientError};
use crate::types::NodeId;

/// Show the id and the nodes of a cluster, make it forget a broker
#[derive(Debug, Clone, clap::Parser)]
#[command(
    infer_long_args = true,
    mut_arg("bootstrap_server", |arg| arg.short('b')),
    mut_arg("bootstrap_controller", |arg| arg.short('C')),
    mut_args(|arg| arg.global(true)),
    after_help = "\
kafka-rs cluster cluster-id --bootstrap-server broker:9092   print the cluster's id
kafka-rs cluster list-endpoints --include-fenced-brokers   list the brokers, fenced ones too
kafka-rs cluster unregister --id 3   forget a broker that is gone"
)]
pub(super) struct Cluster {
    #[command(subcommand)]
    command: Option<Command>,
    /// Old spelling of --command-config
    #[arg(long, short, value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: BrokerOrControllerArgs,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Print the cluster's id
    ClusterId,
    /// Make the cluster forget a broker that will not come back
    Unregister {
        /// The broker
        #[arg(long, short, value_name = "ID")]
        id: Option<String>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
    },
    /// List the brokers, or the controllers if those are asked
    ListEndpoints {
        /// Those too that the controller keeps from serving
        #[arg(long)]
        include_fenced_brokers: bool,
    },
}

const WORDS: CommandWords =
    CommandWords { program: "kafka-cluster", commands: &["cluster-id", "unregister", "list-endpoints"] };

impl Run for Cluster {
    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.connect.check("argument --bootstrap-controller/-C: not allowed with argument --bootstrap-server/-b")?;
        let command = self.command.ok_or_else(CommandWords::none)?;
        if let Some(file) = self.config.take() {
            out.note(
                "Option --config has been deprecated and will be removed in a future version. Use --command-config \
                 instead.",
            )?;
            self.connect.connect.command_config.get_or_insert(file);
        }
        let unregistered = match &command {
            Command::Unregister { id, .. } => {
                Some(NodeId(number(&required(id.clone(), "--id/-i")?, "--id/-i", "Integer")?))
            }
            _ => None,
        };
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(async {
            match (command, unregistered) {
                (Command::Unregister { dry_run, yes, .. }, Some(id)) => unregister(&admin, id, dry_run, yes, out).await,
                (Command::ListEndpoints { include_fenced_brokers }, _) => {
                    list_endpoints(&admin, include_fenced_brokers, out).await
                }
                _ => cluster_id(&admin, out).await,
            }
        })?;
        Ok(Exit::Success)
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| out.note(error.to_java()))?;
        Ok(Exit::Failure)
    }
}

fn called(call: &'static str) -> impl Fn(ClientError) -> JavaError {
    move |error| JavaError::call(call, &error)
}

async fn cluster_id(admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let cluster = admin.describe_cluster(false).await.map_err(called("listNodes"))?;
    match (out.style(), cluster.cluster_id) {
        (Style::Json, id) => out.json(&json!({ "version": 1, "clusterId": id }))?,
        (_, Some(id)) => out.line(format_args!("Cluster ID: {id}"))?,
        (_, None) => out.line("No cluster ID found. The Kafka version is probably too old.")?,
    }
    Ok(())
}

async fn unregister(admin: &Admin, id: NodeId, dry_run: bool, yes: bool, out: &mut Output) -> anyhow::Result<()> {
    if dry_run {
        let step = (format!("unregister broker {id}"), json!({ "unregister": id.get() }));
        return Ok(print_plan(&[step], out)?);
    }
    confirm_unless(
        yes,
        &format!("Make the cluster forget broker {id}? A broker that runs has to be started again after that."),
        out,
    )?;
    match admin.unregister_broker(id).await {
        Ok(()) => {}
        Err(ClientError::UnsupportedVersion { .. }) => {
            out.line("The target cluster does not support the broker unregistration API.")?;
            return Ok(());
        }
        Err(error) => return Err(JavaError::call("unregisterBroker", &error).into()),
    }
    match out.style() {
        Style::Json => out.json(&json!({ "version": 1, "unregistered": id.get() }))?,
        _ => out.line(format_args!("Broker {id} is no longer registered."))?,
    }
    Ok(())
}

async fn list_endpoints(admin: &Admin, with_fenced: bool, out: &mut Output) -> anyhow::Result<()> {
    let cluster = admin.describe_cluster(with_fenced).await.map_err(called("listNodes"))?;
    if with_fenced && cluster.endpoint_type == EndpointType::Controller {
        return Err(Hinted::error(
            "controllers are never fenced",
            "leave --include-fenced-brokers away, or ask a broker by --bootstrap-server",
        ));
    }
    match out.style() {
        Style::Kafka => {
            for line in endpoint_lines(&cluster) {
                out.line(line)?;
            }
        }
        Style::Table => {
            let rows = endpoint_rows(&cluster);
            let header: &[&str] = match cluster.endpoint_type {
                EndpointType::Broker => &["Broker", "Host", "Port", "Rack", "State"],
                EndpointType::Controller => &["Controller", "Host", "Port", "Rack"],
            };
            let shown = rows.into_iter().map(|mut row| {
                row.pop();
                row
            });
            out.table(header, shown.collect())?;
        }
        Style::Json => {
            let kind = kind(&cluster);
            let nodes: Vec<_> = cluster
                .nodes
                .iter()
                .map(|node| {
                    json!({
                        "id": node.id.get(),
                        "host": node.address.host(),
                        "port": node.address.port(),
                        "rack": node.rack,
                        "fenced": node.is_fenced,
                        "endpointType": kind,
                    })
                })
                .collect();
            out.json(&json!({ "version": 1, "clusterId": cluster.cluster_id, "endpoints": nodes }))?;
        }
    }
    Ok(())
}

fn kind(cluster: &ClusterDescription) -> &'static str {
    match cluster.endpoint_type {
        EndpointType::Broker => "broker",
        EndpointType::Controller => "controller",
    }
}

/// A row per node; controllers have no state.
fn endpoint_rows(cluster: &ClusterDescription) -> Vec<Vec<String>> {
    let row = |node: &crate::client::admin::ClusterNode| {
        let mut row = vec![
            node.id.to_string(),
            node.address.host().to_owned(),
            node.address.port().to_string(),
            node.rack.clone().unwrap_or_else(|| "null".to_owned()),
        ];
        if cluster.endpoint_type == EndpointType::Broker {
            row.push(if node.is_fenced { "fenced" } else { "unfenced" }.to_owned());
        }
        row.push(kind(cluster).to_owned());
        row
    };
    cluster.nodes.iter().map(row).collect()
}

fn endpoint_lines(cluster: &ClusterDescription) -> Vec<String> {
    let host = cluster.nodes.iter().map(|node| node.address.host().chars().count()).max().unwrap_or_default();
    let mut columns = vec![Column::Fixed(10), Column::Fixed(host), Column::Fixed(10), Column::Fixed(10)];
    let mut header = vec!["ID", "HOST", "PORT", "RACK"];
    if cluster.endpoint_type == EndpointType::Broker {
        columns.push(Column::Fixed(10));
        header.push("STATE");
    }
    columns.push(Column::Fixed(15));
    header.push("ENDPOINT_TYPE");
    let mut rows: Vec<Vec<String>> = vec![header.into_iter().map(str::to_owned).collect()];
    rows.extend(endpoint_rows(cluster));
    in_columns(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Address;
    use crate::client::admin::ClusterNode;

    fn cluster(endpoint_type: EndpointType, nodes: &[(i32, u16, bool)]) -> ClusterDescription {
        let node = |(id, port, is_fenced): &(i32, u16, bool)| ClusterNode {
            id: NodeId(*id),
            address: Address::new("127.0.0.1", *port),
            rack: None,
            is_fenced: *is_fenced,
        };
        ClusterDescription {
            cluster_id: None,
            controller: None,
            endpoint_type,
            nodes: nodes.iter().map(node).collect(),
            authorized_operations: 0,
        }
    }

    #[test]
    fn endpoints_stand_in_kafkas_columns() {
        let brokers = cluster(EndpointType::Broker, &[(1, 9092, false), (2, 9192, true)]);
        assert_eq!(
            endpoint_lines(&brokers),
            [
                "ID         HOST      PORT       RACK       STATE      ENDPOINT_TYPE  ",
                "1          127.0.0.1 9092       null       unfenced   broker         ",
                "2          127.0.0.1 9192       null       fenced     broker         ",
            ]
        );
        let controllers = cluster(EndpointType::Controller, &[(1, 9093, false)]);
        assert_eq!(
            endpoint_lines(&controllers),
            [
                "ID         HOST      PORT       RACK       ENDPOINT_TYPE  ",
                "1          127.0.0.1 9093       null       controller     ",
            ]
        );
    }
}
