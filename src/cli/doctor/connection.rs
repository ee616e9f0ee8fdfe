//! The addresses: those that were typed, and those that brokers tell clients to come to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::finding::{Finding, Severity};
use crate::cli::support::{chain_text, hint_for};
use crate::client::admin::ClusterDescription;
use crate::client::{Address, Admin, ApiVersions, ClientError, ClientOptions, Connection};
use crate::protocol::ApiKey;

/// How long a single address may take.
const PATIENCE: Duration = Duration::from_secs(5);

async fn open(address: &Address, options: &ClientOptions) -> Result<Connection, ClientError> {
    let late = || ClientError::TimedOut { address: address.clone(), api: ApiKey::ApiVersions, after: PATIENCE };
    tokio::time::timeout(PATIENCE, Connection::open(address, options)).await.unwrap_or_else(|_| Err(late()))
}

fn why(error: &ClientError) -> String {
    chain_text(&anyhow::Error::new(error.clone()))
}

/// Each of the addresses that were typed.
pub(super) async fn bootstrap(options: &ClientOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let several = options.bootstrap_servers.len() > 1;
    for address in &options.bootstrap_servers {
        if let Err(error) = open(address, options).await {
            let fix = hint_for(&error).unwrap_or_else(|| "see whether a broker runs there".to_owned());
            let severity = if several { Severity::Warning } else { Severity::Problem };
            findings.push(Finding {
                subjects: vec![address.to_string()],
                ..Finding::new(severity, "bootstrap-unreachable", format!("no broker answers: {}", why(&error)), fix)
            });
        }
    }
    findings
}

/// No broker tells what the cluster is. Nothing new if the addresses have been found wanting already.
pub(super) fn no_cluster(error: &ClientError, known: &[Finding]) -> Option<Finding> {
    if known.iter().any(|finding| finding.kind == "bootstrap-unreachable") && error.was_not_sent() {
        return None;
    }
    let fix = hint_for(error).unwrap_or_else(|| "see whether the brokers are up".to_owned());
    let text = format!("the cluster can't be described: {}", why(error));
    Some(Finding::new(Severity::Problem, "no-cluster", text, fix))
}

/// Each broker at the address that it tells clients; returns whether all of them can be reached.
pub(super) async fn brokers(admin: &Admin, cluster: &ClusterDescription, findings: &mut Vec<Finding>) -> bool {
    let options = admin.cluster().options();
    if cluster.controller.is_none() {
        findings.push(Finding::new(
            Severity::Problem,
            "no-controller",
            "there is no active controller: topics can't be created, leaders can't be elected",
            "start controllers until more than half of them run; `kafka-rs metadata-quorum describe --status` tells who leads",
        ));
    }
    let mut at: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in &cluster.nodes {
        at.entry(node.address.to_string()).or_default().push(node.id.to_string());
    }
    for (address, ids) in at.into_iter().filter(|(_, ids)| ids.len() > 1) {
        let text = format!("{} brokers tell clients the same address, {address}", ids.len());
        let finding = Finding::new(Severity::Problem, "same-address", text, "give each its own advertised.listeners");
        findings.extend(finding.about(ids.into_iter().map(|id| format!("broker {id}")).collect()));
    }
    let mut versions: Vec<(String, ApiVersions)> = Vec::new();
    let mut all = true;
    for node in &cluster.nodes {
        let name = format!("broker {}", node.id);
        if node.is_fenced {
            let finding = Finding::new(
                Severity::Problem,
                "broker-fenced",
                "the controller keeps a broker from serving: it has not heard of it",
                "start it, or see in its log why it can't reach the controllers",
            );
            findings.extend(finding.about(vec![name]));
            continue;
        }
        match open(&node.address, options).await {
            Ok(connection) => versions.push((name, connection.api_versions().clone())),
            Err(error) => {
                all = false;
                findings.push(unreachable(&name, &node.address, &error));
            }
        }
    }
    findings.extend(mixed_versions(&versions));
    all
}

fn unreachable(name: &str, address: &Address, error: &ClientError) -> Finding {
    let host = address.host();
    let is_local = host == "localhost" || host.starts_with("127.") || host == "::1" || host == "0.0.0.0";
    let fix = if is_local {
        format!(
            "{host} means the client's own machine: set the broker's advertised.listeners to a name that clients know"
        )
    } else {
        "set the broker's advertised.listeners to what clients can reach, or let them through to it".to_owned()
    };
    Finding {
        subjects: vec![name.to_owned()],
        ..Finding::new(
            Severity::Problem,
            "advertised-unreachable",
            format!("a broker can't be reached at {address}, where it tells clients to come: {}", why(error)),
            fix,
        )
    }
}

/// The key of an API, and its lowest and highest version.
type ServedRange = (i16, i16, i16);

/// Brokers that speak different versions are of different releases.
fn mixed_versions(brokers: &[(String, ApiVersions)]) -> Option<Finding> {
    let ranges = |versions: &ApiVersions| {
        let mut ranges: Vec<_> = versions.iter().map(|(key, range)| (key, range.min, range.max)).collect();
        ranges.sort_unstable();
        ranges
    };
    let mut releases: Vec<(Vec<ServedRange>, Vec<String>)> = Vec::new();
    for (name, versions) in brokers {
        let ranges = ranges(versions);
        match releases.iter_mut().find(|(known, _)| *known == ranges) {
            Some((_, names)) => names.push(name.clone()),
            None => releases.push((ranges, vec![name.clone()])),
        }
    }
    if releases.len() < 2 {
        return None;
    }
    releases.sort_by_key(|(_, names)| names.len());
    let text = format!("brokers are of {} different versions; the odd ones out", releases.len());
    let fix = "finish the upgrade, then raise the features with `kafka-rs features upgrade --release-version VERSION`";
    let odd = releases.pop().map(|_| releases.into_iter().flat_map(|(_, names)| names).collect()).unwrap_or_default();
    Finding::new(Severity::Warning, "mixed-versions", text, fix).about(odd)
}
