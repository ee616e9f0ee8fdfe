//! `reassign-partitions --execute` and `--cancel`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{called, current_dirs, describe, places, reassignments, replicas_of};
use super::plan::{FAILED, Plan, Replica, assignment_json, assignment_text, by_broker, replica_text};
use super::{ReassignPartitions, Terse, throttles};
use crate::cli::support::{JavaError, Output, Style, java, print_plan};
use crate::client::admin::ReplicationFactor;
use crate::client::{Admin, ApiError};
use crate::protocol::ErrorCode;
use crate::types::{NodeId, TopicPartition};

/// How long to wait until moves between directories begin.
const TIMEOUT_MS: i64 = 10_000;
/// How often that is tried.
const RETRY: Duration = Duration::from_millis(100);

const EXISTING: &str = "Cannot execute because there is an existing partition assignment.  Use --additional to override \
                        this and create a new partition assignment in addition to the existing one. The --additional \
                        flag can also be used to change the throttle by resubmitting the current reassignment.";

pub(super) async fn run(args: &ReassignPartitions, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let plan = args.plan()?;
    plan.check()?;
    let ongoing = reassignments(admin, None).await?;
    if !args.additional && !ongoing.is_empty() {
        return Err(Terse(EXISTING.to_owned()).into());
    }
    let cluster = describe(admin).await?;
    let mut wanted: Vec<NodeId> = plan.partitions.iter().flat_map(|(_, replicas)| replicas.iter().copied()).collect();
    java::in_number_hash_map_order(&mut wanted, |id| id.get());
    if let Some(unknown) = wanted.iter().find(|id| !cluster.nodes.iter().any(|node| node.id == **id)) {
        return Err(JavaError::new(FAILED, format!("Unknown broker id {unknown}")).into());
    }
    let partitions = plan.sorted_partitions();
    let current = replicas_of(admin, &plan.topics(), &partitions).await?;
    let dirs = current_dirs(admin, &current, &cluster).await?;
    if args.dry_run {
        return Ok(print_plan(&steps(args, &plan), out)?);
    }
    let tells = out.style() != Style::Json;
    if tells {
        out.line("Current partition replica assignment")?;
        out.line("")?;
        out.line(assignment_text(&current, &dirs))?;
        out.line("")?;
        out.line("Save this to use as the --reassignment-json-file option during rollback")?;
    }
    let limit = |rate: Option<i64>| rate.filter(|rate| *rate >= 0);
    let (rate, dir_rate) = (limit(args.throttle), limit(args.replica_alter_log_dirs_throttle));
    if tells && (rate.is_some() || dir_rate.is_some()) {
        out.line(
            "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is \
             removed.",
        )?;
    }
    if let Some(rate) = rate {
        throttles::limit_moves(rate, &ongoing, &plan, &current, admin).await?;
        if tells {
            out.line(format_args!("The inter-broker throttle limit was set to {rate} B/s"))?;
        }
    }
    if let Some(rate) = dir_rate {
        throttles::limit_log_dirs(rate, &plan, admin).await?;
        if tells {
            out.line(format_args!("The replica-alter-dir throttle limit was set to {rate} B/s"))?;
        }
    }
    let factor =
        if args.disallow_replication_factor_change { ReplicationFactor::IsKept } else { ReplicationFactor::MayChange };
    let targets: Vec<_> =
        plan.partitions.iter().map(|(partition, replicas)| (partition.clone(), Some(replicas.clone()))).collect();
    let results = admin.alter_reassignments(&targets, factor).await.map_err(called("alterPartitionReassignments"))?;
    if let Some(lines) = failures(&results) {
        return Err(Terse(format!("Error reassigning partition(s):\n{lines}")).into());
    }
    let moved = json!({ "version": 1, "current": assignment_json(&current, &dirs), "started": names(&partitions) });
    if tells {
        out.line(format_args!(
            "Successfully started partition reassignment{} for {}",
            if partitions.len() == 1 { "" } else { "s" },
            names(&partitions).join(",")
        ))?;
    }
    start_moves(&plan.log_dirs, args.timeout.unwrap_or(TIMEOUT_MS), admin, out).await?;
    if !tells {
        out.json(&moved)?;
    }
    Ok(())
}

fn names(partitions: &[TopicPartition]) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}

fn failures(results: &BTreeMap<TopicPartition, Result<(), ApiError>>) -> Option<String> {
    let failed = results.iter().filter_map(|(partition, result)| {
        let error = result.as_ref().err()?;
        Some(format!("{partition}: {}", java::message(error)))
    });
    let lines: Vec<_> = failed.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn steps(args: &ReassignPartitions, plan: &Plan) -> Vec<(String, Value)> {
    let mut steps = Vec::new();
    let numbers = |replicas: &[NodeId]| replicas.iter().map(|id| id.get()).collect::<Vec<_>>();
    for rate in [args.throttle, args.replica_alter_log_dirs_throttle].into_iter().flatten().filter(|rate| *rate >= 0) {
        steps.push((format!("limit moving to {rate} B/s"), json!({ "throttle": rate })));
    }
    for (partition, replicas) in &plan.partitions {
        let step = json!({
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "replicas": numbers(replicas),
        });
        steps.push((format!("move {partition} to brokers {}", super::plan::ids(replicas, ",")), step));
    }
    for ((partition, broker), dir) in &plan.log_dirs {
        let step = json!({
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "broker": broker.get(),
            "logDir": dir,
        });
        steps.push((format!("move {partition} on broker {broker} to {dir}"), step));
    }
    steps
}

/// Has replicas moved to directories. One that its broker does not have yet is tried again: it is on its way there.
async fn start_moves(
    wanted: &BTreeMap<Replica, String>,
    timeout_ms: i64,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or_default());
    let mut pending = wanted.clone();
    while !pending.is_empty() {
        let mut started = start_moves_once(&pending, admin).await?;
        started.sort_by_key(by_broker);
        for replica in started {
            let Some(dir) = pending.remove(&replica) else { continue };
            if out.style() != Style::Json {
                let (partition, broker) = replica;
                // The space at the end is Kafka's.
                out.line(format_args!(
                    "Successfully started moving log directory to {dir} for replica {partition} with broker {broker} "
                ))?;
            }
        }
        if pending.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            let mut left: Vec<_> = pending.keys().cloned().collect();
            left.sort_by_key(by_broker);
            let left: Vec<_> = left.iter().map(replica_text).collect();
            return Err(Terse(format!(
                "Timed out before log directory move{} could be started for: {}",
                if left.len() == 1 { "" } else { "s" },
                left.join(",")
            ))
            .into());
        }
        tokio::time::sleep(RETRY).await;
    }
    Ok(())
}

async fn start_moves_once(pending: &BTreeMap<Replica, String>, admin: &Admin) -> anyhow::Result<Vec<Replica>> {
    let mut by_broker: BTreeMap<NodeId, Vec<(TopicPartition, String)>> = BTreeMap::new();
    for ((partition, broker), dir) in pending {
        by_broker.entry(*broker).or_default().push((partition.clone(), dir.clone()));
    }
    let mut started = Vec::new();
    for (broker, moves) in by_broker {
        let results = admin.alter_replica_log_dirs(broker, &moves).await.map_err(called("alterReplicaLogDirs"))?;
        for (partition, result) in results {
            let replica = (partition, broker);
            match result {
                Ok(()) => started.push(replica),
                Err(error) if error.code == ErrorCode::ReplicaNotAvailable => {}
                Err(error) => {
                    let message = format!("Failed to alter dir for {}", replica_text(&replica));
                    let plain = format!("could not move {}: {}", replica_text(&replica), java::message(&error));
                    return Err(JavaError::new(FAILED, message).with_plain(plain).into());
                }
            }
        }
    }
    Ok(started)
}

pub(super) async fn cancel(args: &ReassignPartitions, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let plan = args.plan()?;
    plan.check_partitions()?;
    let partitions = plan.sorted_partitions();
    let ongoing = if partitions.is_empty() { BTreeMap::new() } else { reassignments(admin, Some(&partitions)).await? };
    let active: Vec<TopicPartition> = ongoing
        .iter()
        .filter(|(_, moving)| !moving.adding.is_empty() || !moving.removing.is_empty())
        .map(|(partition, _)| partition.clone())
        .collect();
    if args.dry_run {
        let step = |partition: &TopicPartition| {
            let step = json!({ "cancel": { "topic": partition.topic, "partition": partition.partition.get() } });
            (format!("call off the move of {partition}"), step)
        };
        return Ok(print_plan(&active.iter().map(step).collect::<Vec<_>>(), out)?);
    }
    let tells = out.style() != Style::Json;
    if active.is_empty() {
        if tells {
            out.line("None of the specified partition reassignments are active.")?;
        }
    } else {
        let targets: Vec<_> = active.iter().map(|partition| (partition.clone(), None)).collect();
        let results = admin
            .alter_reassignments(&targets, ReplicationFactor::MayChange)
            .await
            .map_err(called("alterPartitionReassignments"))?;
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        if let Some(lines) = failures(&results) {
            let failed = results.values().filter(|result| result.is_err()).count();
            let message = format!("Error cancelling partition reassignment{} for:\n{lines}", plural(failed));
            return Err(Terse(message).into());
        }
        if tells {
            out.line(format_args!(
                "Successfully cancelled partition reassignment{} for: {}",
                plural(active.len()),
                names(&active).join(",")
            ))?;
        }
    }
    let wanted: BTreeSet<Replica> = plan.log_dirs.keys().cloned().collect();
    let back: BTreeMap<Replica, String> = places(admin, &wanted)
        .await?
        .into_iter()
        .filter_map(|(replica, place)| place.future.and(place.current).map(|current| (replica, current)))
        .collect();
    if back.is_empty() {
        match out.style() {
            // Kafka's tool ends no line here.
            Style::Kafka => {
                use std::io::Write as _;
                write!(out.stdout(), "None of the specified partition moves are active.")?;
            }
            Style::Table => out.line("None of the specified partition moves are active.")?,
            Style::Json => {}
        }
    } else {
        start_moves(&back, args.timeout.unwrap_or(TIMEOUT_MS), admin, out).await?;
    }
    if !args.preserve_throttles {
        throttles::clear(&plan, admin, out).await?;
    }
    if !tells {
        let back: Vec<_> = back.keys().map(replica_text).collect();
        out.json(&json!({
            "version": 1,
            "cancelled": names(&active),
            "movedBack": back,
            "throttlesCleared": !args.preserve_throttles,
        }))?;
    }
    Ok(())
}
