//! What there is: Metadata (key 3, versions 0-13), DescribeCluster (60, 0-2), DescribeTopicPartitions (75, 0).
//!
//! Behaviour: answers from the metadata image, with the addresses of the listener that the request came through. Metadata creates a
//! missing topic if both sides want that, and answers `UNKNOWN_TOPIC_OR_PARTITION` meanwhile: the client asks again.
//! Versions: Metadata v1 has null for all topics (in v0 the empty list means that), v4 may refuse creation, v10 gives topic ids,
//! v12 takes them; v8-10 have the cluster's operations, which DescribeCluster has now. DescribeTopicPartitions pages through large
//! topics (KIP-966).
//! Not here yet: an authorizer, so everybody may do everything.

use std::collections::BTreeSet;

use crate::broker::context::RequestContext;
use crate::broker::controller::{directory_of, is_online};
use crate::broker::partition::is_internal;
use crate::metadata::{MetadataImage, PartitionImage, TopicImage, topic_name};
use crate::protocol::ErrorCode;
use crate::protocol::messages::describe_cluster_response::DescribeClusterBroker;
use crate::protocol::messages::describe_topic_partitions_request as request;
use crate::protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    MetadataRequest, MetadataResponse, RegisterControllerRecord,
};
use crate::types::{NodeId, PartitionId, Uuid};

/// Read, write, create, delete, alter, describe, describe configs and alter configs, by their numbers as bits.
const ALL_TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// Create, alter, describe, cluster action, describe configs, alter configs and idempotent write.
const ALL_CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
/// Operations that were not asked for.
const NOT_ASKED: i32 = i32::MIN;

/// A broker's address for clients of one listener.
pub(in crate::broker) struct Address {
    pub(in crate::broker) node_id: NodeId,
    pub(in crate::broker) host: String,
    pub(in crate::broker) port: u16,
    rack: Option<String>,
    is_fenced: bool,
}

/// The addresses of the brokers that have such a listener.
pub(in crate::broker) fn addresses(image: &MetadataImage, listener: &str) -> Vec<Address> {
    image
        .brokers()
        .iter()
        .filter_map(|(id, broker)| {
            let end_point = broker.end_points.iter().find(|end_point| end_point.name == listener)?;
            Some(Address {
                node_id: *id,
                host: end_point.host.clone(),
                port: end_point.port,
                rack: broker.rack.clone(),
                is_fenced: broker.fenced,
            })
        })
        .collect()
}

/// The addresses of the controllers that have such a listener.
fn controller_addresses(image: &MetadataImage, listener: &str) -> Vec<Address> {
    let address = |(id, controller): (&NodeId, &RegisterControllerRecord)| {
        let end_point = controller.end_points.iter().find(|end_point| end_point.name == listener)?;
        let (host, port) = (end_point.host.clone(), end_point.port);
        Some(Address { node_id: *id, host, port, rack: None, is_fenced: false })
    };
    image.controllers().iter().filter_map(address).collect()
}

pub(in crate::broker) async fn metadata(ctx: &RequestContext, request: MetadataRequest) -> MetadataResponse {
    let flags = request_flags(&request);
    let Some(wanted) = wanted(&request, ctx.version) else { return refused_whole(request) };
    let mut missing = BTreeSet::new();
    let topics = {
        let image = ctx.broker.metadata.read();
        match wanted {
            Wanted::All => image.topics().values().map(|topic| described(&image, topic, &flags)).collect(),
            Wanted::Ids(ids) => ids.into_iter().map(|id| find_by_id(&image, id, &flags)).collect(),
            Wanted::Names(names) => {
                names.into_iter().map(|name| find_by_name(&image, name, &flags, &mut missing)).collect()
            }
        }
    };
    let mut response = MetadataResponse { topics, ..cluster(ctx, &flags) };
    let may_create = request.allow_auto_topic_creation && ctx.broker.replicas.config().auto_create_topics_enable;
    if may_create && !missing.is_empty() {
        let refused = ctx.broker.create_missing_topics(missing).await;
        for topic in &mut response.topics {
            if let Some((_, error)) = refused.iter().find(|(name, _)| Some(name) == topic.name.as_ref()) {
                topic.error_code = error.code();
            }
        }
    }
    response
}

/// Which topics a request is about; each is answered once.
enum Wanted {
    All,
    Ids(Vec<Uuid>),
    Names(Vec<String>),
}

/// `None` for what a version can't ask.
fn wanted(request: &MetadataRequest, version: i16) -> Option<Wanted> {
    let Some(topics) = &request.topics else { return Some(Wanted::All) };
    if topics.is_empty() && version == 0 {
        return Some(Wanted::All);
    }
    let has_ids = topics.iter().any(|topic| !topic.topic_id.is_zero());
    // Topics are named until version 12, which takes ids as well (KIP-516); with ids, names do not count.
    if has_ids && version < 12 {
        return None;
    }
    if has_ids {
        let mut seen = BTreeSet::new();
        let ids = topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_zero() && seen.insert(*id));
        return Some(Wanted::Ids(ids.collect()));
    }
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect::<Option<_>>()?;
    let mut seen = BTreeSet::new();
    Some(Wanted::Names(names.into_iter().filter(|name| seen.insert(name.clone())).collect()))
}

/// The answer to what can't be asked: nothing but the error, topic by topic.
fn refused_whole(request: MetadataRequest) -> MetadataResponse {
    let topics = request.topics.unwrap_or_default().into_iter().map(|topic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name.unwrap_or_default()),
        topic_id: topic.topic_id,
        topic_authorized_operations: NOT_ASKED,
        ..Default::default()
    });
    MetadataResponse {
        topics: topics.collect(),
        cluster_id: None,
        controller_id: -1,
        cluster_authorized_operations: NOT_ASKED,
        ..Default::default()
    }
}

struct Flags {
    topic_operations: i32,
    cluster_operations: i32,
}

fn request_flags(request: &MetadataRequest) -> Flags {
    let asked = |flag: bool, operations: i32| if flag { operations } else { NOT_ASKED };
    Flags {
        topic_operations: asked(request.include_topic_authorized_operations, ALL_TOPIC_OPERATIONS),
        cluster_operations: asked(request.include_cluster_authorized_operations, ALL_CLUSTER_OPERATIONS),
    }
}

fn cluster(ctx: &RequestContext, flags: &Flags) -> MetadataResponse {
    let addresses = addresses(&ctx.broker.metadata.read(), &ctx.peer.listener);
    // As Kafka in KRaft mode: any live broker may be asked for what the controller does.
    let controller = addresses.iter().find(|address| !address.is_fenced).map_or(-1, |address| address.node_id.get());
    MetadataResponse {
        brokers: addresses
            .into_iter()
            .filter(|address| !address.is_fenced)
            .map(|address| MetadataResponseBroker {
                node_id: address.node_id.get(),
                host: address.host,
                port: i32::from(address.port),
                rack: address.rack,
                ..Default::default()
            })
            .collect(),
        cluster_id: Some(ctx.broker.cluster_id.clone()),
        controller_id: controller,
        cluster_authorized_operations: flags.cluster_operations,
        ..Default::default()
    }
}

fn refused(error: ErrorCode, name: Option<String>, topic_id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: error.code(),
        is_internal: name.as_deref().is_some_and(is_internal),
        name,
        topic_id,
        topic_authorized_operations: NOT_ASKED,
        ..Default::default()
    }
}

fn find_by_id(image: &MetadataImage, id: Uuid, flags: &Flags) -> MetadataResponseTopic {
    match image.topic_by_id(id) {
        Some(topic) => described(image, topic, flags),
        None => refused(ErrorCode::UnknownTopicId, None, id),
    }
}

fn find_by_name(
    image: &MetadataImage,
    name: String,
    flags: &Flags,
    missing: &mut BTreeSet<String>,
) -> MetadataResponseTopic {
    match image.topic(&name) {
        Some(topic) => described(image, topic, flags),
        None if topic_name::check(&name).is_err() => refused(ErrorCode::InvalidTopicException, Some(name), Uuid::ZERO),
        None => {
            missing.insert(name.clone());
            refused(ErrorCode::UnknownTopicOrPartition, Some(name), Uuid::ZERO)
        }
    }
}

fn numbers(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.get()).collect()
}

/// The replicas on brokers that are away, or in directories that have failed.
fn offline_replicas(image: &MetadataImage, partition: &PartitionImage) -> Vec<i32> {
    let is_offline = |id: &&NodeId| {
        let broker = image.brokers().get(id).filter(|broker| !broker.fenced);
        let directory = directory_of(partition, **id).unwrap_or_default();
        broker.is_none_or(|broker| !is_online(directory, &broker.log_dirs))
    };
    partition.replicas.iter().filter(is_offline).map(|id| id.get()).collect()
}

fn leader_error(partition: &PartitionImage) -> ErrorCode {
    if partition.leader.get() < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None }
}

fn described(image: &MetadataImage, topic: &TopicImage, flags: &Flags) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: topic
            .partitions
            .iter()
            .map(|(index, partition)| MetadataResponsePartition {
                error_code: leader_error(partition).code(),
                partition_index: index.get(),
                leader_id: partition.leader.get(),
                leader_epoch: partition.leader_epoch.get(),
                replica_nodes: numbers(&partition.replicas),
                isr_nodes: numbers(&partition.isr),
                offline_replicas: offline_replicas(image, partition),
                ..Default::default()
            })
            .collect(),
        topic_authorized_operations: flags.topic_operations,
        ..Default::default()
    }
}

/// Kinds of endpoints in DescribeCluster.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(in crate::broker) async fn describe_cluster(
    ctx: &RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let wanted = if ctx.broker.is_controller_listener(&ctx.peer.listener) { CONTROLLERS } else { BROKERS };
    if request.endpoint_type != wanted {
        let name = |kind| if kind == BROKERS { "BROKER" } else { "CONTROLLER" };
        let (error, message) = match request.endpoint_type {
            BROKERS | CONTROLLERS => (
                ErrorCode::MismatchedEndpointType,
                format!(
                    "The request was sent to an endpoint of type {}, but we wanted an endpoint of type {}",
                    name(wanted),
                    name(request.endpoint_type)
                ),
            ),
            other => (ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}")),
        };
        return DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(message),
            ..Default::default()
        };
    }
    let addresses = {
        let image = ctx.broker.metadata.read();
        if wanted == BROKERS {
            addresses(&image, &ctx.peer.listener)
        } else {
            controller_addresses(&image, &ctx.peer.listener)
        }
    };
    let controller = addresses.iter().find(|address| !address.is_fenced).map_or(-1, |address| address.node_id.get());
    DescribeClusterResponse {
        error_message: None,
        endpoint_type: request.endpoint_type,
        cluster_id: ctx.broker.cluster_id.clone(),
        controller_id: controller,
        brokers: addresses
            .into_iter()
            .filter(|address| !address.is_fenced || request.include_fenced_brokers)
            .map(|address| DescribeClusterBroker {
                broker_id: address.node_id.get(),
                host: address.host,
                port: i32::from(address.port),
                rack: address.rack,
                is_fenced: address.is_fenced,
                ..Default::default()
            })
            .collect(),
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            ALL_CLUSTER_OPERATIONS
        } else {
            NOT_ASKED
        },
        ..Default::default()
    }
}

pub(in crate::broker) async fn describe_topic_partitions(
    ctx: &RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let most = ctx.broker.replicas.config().max_request_partition_size_limit;
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or_default().clamp(1, most.max(1));
    // A cursor stands at a partition of a topic that was asked for.
    let misplaced = |cursor: &request::Cursor| {
        let named = |topic: &request::TopicRequest| topic.name == cursor.topic_name;
        cursor.partition_index < 0 || !request.topics.is_empty() && !request.topics.iter().any(named)
    };
    if request.cursor.as_ref().is_some_and(misplaced) {
        let topics = request.topics.into_iter().map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(topic.name),
            ..Default::default()
        });
        return DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() };
    }
    let first = request.cursor.map(|cursor| (cursor.topic_name, cursor.partition_index));
    let image = ctx.broker.metadata.read();
    let mut names: BTreeSet<String> = request.topics.into_iter().map(|topic| topic.name).collect();
    if names.is_empty() {
        names = image.topics().keys().cloned().collect();
    }
    if let Some((name, _)) = &first {
        names.retain(|candidate| candidate >= name);
    }
    let mut topics = Vec::new();
    for name in names {
        if left == 0 {
            let next_cursor = Some(Cursor { topic_name: name, partition_index: 0, ..Default::default() });
            return DescribeTopicPartitionsResponse { topics, next_cursor, ..Default::default() };
        }
        let Some(topic) = image.topic(&name) else {
            let error = if topic_name::check(&name).is_ok() {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopicException
            };
            topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: error.code(),
                is_internal: is_internal(&name),
                name: Some(name),
                topic_authorized_operations: ALL_TOPIC_OPERATIONS,
                ..Default::default()
            });
            continue;
        };
        let from = first.as_ref().filter(|(first, _)| *first == name).map_or(0, |(_, partition)| *partition);
        let mut partitions = topic.partitions.range(PartitionId::new(from)..);
        let page: Vec<_> =
            partitions.by_ref().take(left).map(|(index, p)| partition_described(&image, *index, p)).collect();
        left -= page.len();
        topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.clone()),
            topic_id: topic.id,
            is_internal: is_internal(&name),
            partitions: page,
            topic_authorized_operations: ALL_TOPIC_OPERATIONS,
            ..Default::default()
        });
        if let Some((index, _)) = partitions.next() {
            let next_cursor = Some(Cursor { topic_name: name, partition_index: index.get(), ..Default::default() });
            return DescribeTopicPartitionsResponse { topics, next_cursor, ..Default::default() };
        }
    }
    DescribeTopicPartitionsResponse { topics, ..Default::default() }
}

fn partition_described(
    image: &MetadataImage,
    index: PartitionId,
    partition: &PartitionImage,
) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        error_code: leader_error(partition).code(),
        partition_index: index.get(),
        leader_id: partition.leader.get(),
        leader_epoch: partition.leader_epoch.get(),
        replica_nodes: numbers(&partition.replicas),
        isr_nodes: numbers(&partition.isr),
        eligible_leader_replicas: Some(numbers(&partition.eligible_leader_replicas)),
        last_known_elr: Some(numbers(&partition.last_known_elr)),
        offline_replicas: offline_replicas(image, partition),
        ..Default::default()
    }
}
