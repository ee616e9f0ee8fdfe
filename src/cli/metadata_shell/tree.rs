//! The metadata as the tree that Kafka's tool shows, with the texts of Kafka's classes.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::rc::Rc;

use jiff::Timestamp;

use super::load::Loaded;
use crate::cli::storage::version_name;
use crate::metadata::{ConfigResourceType, MetadataImage, PartitionImage, QuotaEntity, TopicImage};
use crate::protocol::messages::{
    AccessControlEntryRecord, DelegationTokenRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UserScramCredentialRecord,
};

const METADATA_VERSION: &str = "metadata.version";

/// A directory or a file of the tree.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    Directory(BTreeMap<String, Rc<Node>>),
    File(String),
}

impl Node {
    /// Adds what is in the node to `text`, everything below it indented.
    pub(super) fn print(&self, level: usize, text: &mut String) {
        let indent = "  ".repeat(level);
        match self {
            Self::File(content) => text.push_str(&format!("{indent}{content}\n")),
            Self::Directory(children) => {
                for (name, child) in children {
                    text.push_str(&format!("{indent}{name}:\n"));
                    child.print(level + 1, text);
                }
            }
        }
    }
}

fn file(content: impl Display) -> Rc<Node> {
    Rc::new(Node::File(content.to_string()))
}

fn directory<N: Into<String>>(children: impl IntoIterator<Item = (N, Rc<Node>)>) -> Rc<Node> {
    Rc::new(Node::Directory(children.into_iter().map(|(name, node)| (name.into(), node)).collect()))
}

/// The whole tree.
pub(super) fn root(loaded: &Loaded) -> Rc<Node> {
    let Loaded { image, position } = loaded;
    let time = Timestamp::from_millisecond(position.timestamp_ms).unwrap_or_default();
    let provenance = format!("offset {}, epoch {}, time {time}[UTC]", position.offset, position.epoch);
    let version = file(env!("CARGO_PKG_VERSION"));
    directory([
        ("local", directory([("version", version), ("commitId", file("unknown"))])),
        (
            "image",
            directory([
                ("provenance", file(provenance)),
                ("features", features(image)),
                ("cluster", cluster(image)),
                ("topics", topics(image)),
                ("configs", configs(image)),
                ("clientQuotas", quotas(image)),
                ("producerIds", directory([("nextProducerId", file(image.next_producer_id()))])),
                ("acls", acls(image)),
                ("scram", scram(image)),
                ("delegationToken", tokens(image)),
            ]),
        ),
    ])
}

fn features(image: &MetadataImage) -> Rc<Node> {
    let version = image.features().get(METADATA_VERSION).map(|level| version_name(*level).unwrap_or("unknown"));
    let levels = image.features().iter().filter(|(name, _)| *name != METADATA_VERSION);
    let levels = levels.map(|(name, level)| (format!("finalized_{name}"), file(level)));
    directory(levels.chain([("metadataVersion".to_owned(), file(optional(version)))]))
}

fn cluster(image: &MetadataImage) -> Rc<Node> {
    let brokers = image.brokers().iter().map(|(id, broker)| (id.to_string(), file(broker_text(broker))));
    let controllers =
        image.controllers().iter().map(|(id, controller)| (id.to_string(), file(controller_text(controller))));
    directory([("brokers", directory(brokers)), ("controllers", directory(controllers))])
}

fn topics(image: &MetadataImage) -> Rc<Node> {
    let all: Vec<_> = image.topics().values().map(|topic| (topic, topic_node(topic))).collect();
    let by_id = all.iter().map(|(topic, node)| (topic.id.to_string(), Rc::clone(node)));
    let by_name = all.iter().map(|(topic, node)| (topic.name.clone(), Rc::clone(node)));
    directory([("byId", directory(by_id)), ("byName", directory(by_name))])
}

fn topic_node(topic: &TopicImage) -> Rc<Node> {
    let partitions = topic.partitions.iter().map(|(id, partition)| (id.to_string(), file(partition_text(partition))));
    let names = [("name".to_owned(), file(&topic.name)), ("id".to_owned(), file(topic.id))];
    directory(partitions.chain(names))
}

fn configs(image: &MetadataImage) -> Rc<Node> {
    let resources = image.all_configs().iter().map(|(resource, configs)| {
        let kind = match resource.kind {
            ConfigResourceType::TOPIC => "TOPIC",
            ConfigResourceType::BROKER => "BROKER",
            ConfigResourceType::BROKER_LOGGER => "BROKER_LOGGER",
            ConfigResourceType::CLIENT_METRICS => "CLIENT_METRICS",
            ConfigResourceType::GROUP => "GROUP",
            _ => "UNKNOWN",
        };
        let name = match resource.name.as_str() {
            "" => kind.to_owned(),
            name => format!("{kind}:{name}"),
        };
        (name, directory(configs.iter().map(|(key, value)| (key, file(value)))))
    });
    directory(resources)
}

fn quotas(image: &MetadataImage) -> Rc<Node> {
    let entities = image.client_quotas().iter().map(|(entity, quotas)| {
        // Java prints numbers so that they are told from whole ones.
        let quotas = quotas.iter().map(|(key, value)| (key, file(format_args!("{value:?}"))));
        (quota_name(entity), directory(quotas))
    });
    directory(entities)
}

/// What a quota is for. Kafka's tool has no name for what holds by default; here it is `<default>`.
fn quota_name(entity: &QuotaEntity) -> String {
    let names = [("client-id", "clientId"), ("ip", "ip"), ("user", "user")];
    let part = |(kind, shown): (&str, &str)| {
        let name = entity.get(kind)?.as_deref().unwrap_or("<default>");
        let name = name.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        Some(format!("{shown}({name})"))
    };
    names.into_iter().filter_map(part).collect::<Vec<_>>().join("_")
}

fn acls(image: &MetadataImage) -> Rc<Node> {
    let all = image.acls().iter().map(|(id, acl)| (id.to_string(), file(acl_text(acl))));
    directory([("byId", directory(all))])
}

fn scram(image: &MetadataImage) -> Rc<Node> {
    let users = |wanted: i8| {
        let all = image.scram_credentials().iter().filter(move |((mechanism, _), _)| *mechanism == wanted);
        directory(all.map(|((_, user), credential)| (user, file(scram_text(credential)))))
    };
    directory([("SCRAM-SHA-256", users(1)), ("SCRAM-SHA-512", users(2))])
}

fn tokens(image: &MetadataImage) -> Rc<Node> {
    directory(image.delegation_tokens().iter().map(|(id, token)| (id, file(token_text(token)))))
}

fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(|| "Optional.empty".to_owned(), |value| format!("Optional[{value}]"))
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn end_point(name: &str, protocol: i16, host: &str, port: u16) -> String {
    let protocol = match protocol {
        0 => "PLAINTEXT",
        1 => "SSL",
        2 => "SASL_PLAINTEXT",
        3 => "SASL_SSL",
        _ => "UNKNOWN",
    };
    format!("Endpoint(listenerName='{name}', securityProtocol={protocol}, host='{host}', port={port})")
}

fn versions((min, max): (i16, i16)) -> String {
    match max {
        _ if min == max => min.to_string(),
        i16::MAX => format!("{min}+"),
        _ => format!("{min}-{max}"),
    }
}

fn supported<'a>(features: impl Iterator<Item = (&'a String, (i16, i16))>) -> String {
    let sorted: BTreeMap<_, _> = features.collect();
    let parts: Vec<_> = sorted.into_iter().map(|(name, range)| format!("{name}: {}", versions(range))).collect();
    format!("{{{}}}", parts.join(", "))
}

fn broker_text(broker: &RegisterBrokerRecord) -> String {
    let points: BTreeMap<_, _> = broker.end_points.iter().map(|point| (&point.name, point)).collect();
    let listeners = list(points.values().map(|p| end_point(&p.name, p.security_protocol, &p.host, p.port)));
    let features =
        supported(broker.features.iter().map(|f| (&f.name, (f.min_supported_version, f.max_supported_version))));
    format!(
        "BrokerRegistration(id={}, epoch={}, incarnationId={}, listeners={listeners}, supportedFeatures={features}, \
         rack={}, fenced={}, inControlledShutdown={}, isMigratingZkBroker={}, directories={}, cordonedDirectories={})",
        broker.broker_id,
        broker.broker_epoch,
        broker.incarnation_id,
        optional(broker.rack.as_ref()),
        broker.fenced,
        broker.in_controlled_shutdown,
        broker.is_migrating_zk_broker,
        list(&broker.log_dirs),
        list(broker.cordoned_log_dirs.iter().flatten()),
    )
}

fn controller_text(controller: &RegisterControllerRecord) -> String {
    let points: BTreeMap<_, _> = controller.end_points.iter().map(|point| (&point.name, point)).collect();
    let listeners = list(points.values().map(|p| end_point(&p.name, p.security_protocol, &p.host, p.port)));
    let features =
        supported(controller.features.iter().map(|f| (&f.name, (f.min_supported_version, f.max_supported_version))));
    format!(
        "ControllerRegistration(id={}, incarnationId={}, zkMigrationReady={}, listeners={listeners}, \
         supportedFeatures={features})",
        controller.controller_id, controller.incarnation_id, controller.zk_migration_ready,
    )
}

fn partition_text(partition: &PartitionImage) -> String {
    let state = if partition.leader_recovery_state == 0 { "RECOVERED" } else { "RECOVERING" };
    format!(
        "PartitionRegistration(replicas={}, directories={}, isr={}, removingReplicas={}, addingReplicas={}, elr={}, \
         lastKnownElr={}, leader={}, leaderRecoveryState={state}, leaderEpoch={}, partitionEpoch={})",
        list(&partition.replicas),
        list(&partition.directories),
        list(&partition.isr),
        list(&partition.removing_replicas),
        list(&partition.adding_replicas),
        list(&partition.eligible_leader_replicas),
        list(&partition.last_known_elr),
        partition.leader,
        partition.leader_epoch,
        partition.partition_epoch,
    )
}

fn acl_text(acl: &AccessControlEntryRecord) -> String {
    const RESOURCES: [&str; 8] =
        ["UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"];
    const PATTERNS: [&str; 5] = ["UNKNOWN", "ANY", "MATCH", "LITERAL", "PREFIXED"];
    const OPERATIONS: [&str; 16] = [
        "UNKNOWN",
        "ANY",
        "ALL",
        "READ",
        "WRITE",
        "CREATE",
        "DELETE",
        "ALTER",
        "DESCRIBE",
        "CLUSTER_ACTION",
        "DESCRIBE_CONFIGS",
        "ALTER_CONFIGS",
        "IDEMPOTENT_WRITE",
        "CREATE_TOKENS",
        "DESCRIBE_TOKENS",
        "TWO_PHASE_COMMIT",
    ];
    const PERMISSIONS: [&str; 4] = ["UNKNOWN", "ANY", "DENY", "ALLOW"];
    let name = |names: &[&'static str], code: i8| {
        usize::try_from(code).ok().and_then(|code| names.get(code).copied()).unwrap_or("UNKNOWN")
    };
    format!(
        "StandardAcl[resourceType={}, resourceName={}, patternType={}, principal={}, host={}, operation={}, \
         permissionType={}]",
        name(&RESOURCES, acl.resource_type),
        acl.resource_name,
        name(&PATTERNS, acl.pattern_type),
        acl.principal,
        acl.host,
        name(&OPERATIONS, acl.operation),
        name(&PERMISSIONS, acl.permission_type),
    )
}

fn scram_text(credential: &UserScramCredentialRecord) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    format!(
        "ScramCredentialData(salt={}, storedKey={}, serverKey={}, iterations={})",
        hex(&credential.salt),
        hex(&credential.stored_key),
        hex(&credential.server_key),
        credential.iterations,
    )
}

fn token_text(token: &DelegationTokenRecord) -> String {
    // The brackets are Kafka's.
    format!(
        "DelegationTokenDatatokenId={}(owner={}(tokenRequester={}(renewers={}, issueTimestamp={}, maxTimestamp={}), \
         expiryTimestamp={}",
        token.token_id,
        token.owner,
        token.requester,
        token.renewers.join(" "),
        token.issue_timestamp,
        token.max_timestamp,
        token.expiration_timestamp,
    )
}
