//! `doctor`: what is wrong with a cluster, or with the connection to it, and what to do about it.
//!
//! Changes nothing. `connection.rs` looks at addresses and brokers, `topics.rs` at partitions and settings,
//! `transactions.rs` at what holds readers back, `groups.rs` at groups and their offsets, `disks.rs` at log directories. Each returns findings; what can't be looked at is one too.

mod connection;
mod disks;
mod finding;
mod groups;
mod topics;
mod transactions;

use serde_json::json;

use super::Run;
use super::help::Example;
use super::support::{ConnectArgs, Exit, Output, OwnOutputArgs, block_on};
use crate::client::Admin;
use finding::{Finding, Severity};

/// Look for what is wrong with a cluster, and say how to mend it
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Changes nothing. Exit code: 0 if there is no problem and no warning, 1 if there is one, 2 if no broker could be asked.

--output json prints {version, cluster: {id, brokers, topics, partitions, groups}, findings: [{severity, kind, subjects, \
text, fix}], summary: {problems, warnings, notes}}; docs/output.md has the kinds.")]
pub(super) struct Doctor {
    #[command(flatten)]
    output: OwnOutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// What was looked at.
#[derive(Debug, Default)]
struct Looked {
    cluster_id: Option<String>,
    brokers: usize,
    topics: usize,
    partitions: usize,
    groups: usize,
}

/// `1 broker`, `2 brokers`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl Run for Doctor {
    const NEEDS_NO_WORDS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        ("Look at a cluster", "kafka-rs doctor --bootstrap-server kafka:9092"),
        ("In a script: 1 if something is wrong", "kafka-rs doctor --output json > report.json"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let options = self.connect.admin_options(out)?;
        let (looked, mut findings) = block_on(async {
            let mut findings = connection::bootstrap(&options).await;
            let admin = Admin::new(options);
            let mut looked = Looked::default();
            match admin.describe_cluster(true).await {
                Ok(cluster) => {
                    looked.cluster_id.clone_from(&cluster.cluster_id);
                    looked.brokers = cluster.nodes.len();
                    let reachable = connection::brokers(&admin, &cluster, &mut findings).await;
                    look_further(&admin, reachable, &mut looked, &mut findings).await;
                }
                Err(error) => findings.extend(connection::no_cluster(&error, &findings)),
            }
            Ok((looked, findings))
        })?;
        // The worst first; what is equal stays in the order in which it was looked at.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.tell(&looked, &findings, out)?;
        let worst = findings.iter().map(|finding| finding.severity).max();
        Ok(match worst {
            _ if looked.brokers == 0 => Exit::CouldNotLook,
            Some(Severity::Problem | Severity::Warning) => Exit::Failure,
            Some(Severity::Note) | None => Exit::Success,
        })
    }
}

/// What needs brokers that can be reached at the addresses that they tell.
async fn look_further(admin: &Admin, all_reachable: bool, looked: &mut Looked, findings: &mut Vec<Finding>) {
    match admin.list_topics().await {
        Ok(listed) => {
            looked.topics = listed.len();
            looked.partitions = listed.iter().map(|topic| topic.partitions.len()).sum();
            topics::look(admin, &listed, looked.brokers, findings).await;
        }
        Err(error) => findings.push(Finding::could_not("topics", &error)),
    }
    if !all_reachable {
        // Groups and disks are asked from each broker; the one that can't be reached would cost a minute each time.
        findings.push(Finding::new(
            Severity::Note,
            "not-looked",
            "groups and disks were not looked at, since not every broker can be reached",
            "run it again when they can",
        ));
        return;
    }
    match groups::look(admin, findings).await {
        Ok(count) => looked.groups = count,
        Err(error) => findings.push(Finding::could_not("groups", &error)),
    }
    if let Err(error) = disks::look(admin, findings).await {
        findings.push(Finding::could_not("disks", &error));
    }
}

impl Doctor {
    fn tell(&self, looked: &Looked, findings: &[Finding], out: &mut Output) -> anyhow::Result<()> {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (problems, warnings, notes) = (count(Severity::Problem), count(Severity::Warning), count(Severity::Note));
        if self.output.is_json() {
            out.json(&json!({
                "version": 1,
                "cluster": {
                    "id": looked.cluster_id,
                    "brokers": looked.brokers,
                    "topics": looked.topics,
                    "partitions": looked.partitions,
                    "groups": looked.groups,
                },
                "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
                "summary": {"problems": problems, "warnings": warnings, "notes": notes},
            }))?;
            return Ok(());
        }
        if looked.brokers > 0 {
            let id = looked.cluster_id.as_deref().unwrap_or("without an id");
            out.line(format_args!(
                "cluster {id}: {}, {} with {}, {}",
                counted(looked.brokers, "broker"),
                counted(looked.topics, "topic"),
                counted(looked.partitions, "partition"),
                counted(looked.groups, "group")
            ))?;
        }
        for finding in findings {
            let label = out.coloured(finding.severity.name(), finding.severity.colour());
            out.line(format_args!("{label}: {}", finding.line()))?;
            out.line(format_args!("  fix: {}", finding.fix))?;
        }
        if findings.is_empty() {
            out.line("nothing is wrong")?;
        } else {
            let counts = [(problems, "problem"), (warnings, "warning"), (notes, "note")];
            out.line(counts.map(|(count, what)| counted(count, what)).join(", "))?;
        }
        Ok(())
    }
}
