//! How Kafka's Java tools name and order things, where scripts look for it.

use super::{authentication_exception, chain_text};
use crate::client::{ApiError, ClientError};
use crate::config::ConfigError;
use crate::protocol::{ApiKey, ErrorCode, VersionRange};
use crate::types::TopicPartition;

/// The class of the exception that Java clients throw for an error code.
pub(crate) fn exception_class(code: ErrorCode) -> String {
    let name = match code {
        ErrorCode::UnknownServerError => "UnknownServerException",
        ErrorCode::CorruptMessage => "CorruptRecordException",
        ErrorCode::RequestTimedOut => "TimeoutException",
        ErrorCode::MessageTooLarge => "RecordTooLargeException",
        ErrorCode::RecordListTooLarge => "RecordBatchTooLargeException",
        ErrorCode::StaleControllerEpoch => "ControllerMovedException",
        ErrorCode::TopicAlreadyExists => "TopicExistsException",
        ErrorCode::InvalidConfig => "InvalidConfigurationException",
        ErrorCode::OffsetMetadataTooLarge => "OffsetMetadataTooLarge",
        ErrorCode::OutOfOrderSequenceNumber => "OutOfOrderSequenceException",
        ErrorCode::DuplicateSequenceNumber => "DuplicateSequenceException",
        ErrorCode::InvalidProducerIdMapping => "InvalidPidMappingException",
        ErrorCode::InvalidTransactionTimeout => "InvalidTxnTimeoutException",
        ErrorCode::KafkaStorageError => "KafkaStorageException",
        ErrorCode::DelegationTokenAuthDisabled => "DelegationTokenDisabledException",
        ErrorCode::DelegationTokenRequestNotAllowed => "UnsupportedByAuthenticationException",
        ErrorCode::NonEmptyGroup => "GroupNotEmptyException",
        ErrorCode::InvalidRecord => return "org.apache.kafka.common.InvalidRecordException".to_owned(),
        ErrorCode::FeatureUpdateFailed => "FeatureUpdateFailedException",
        ErrorCode::PrincipalDeserializationFailure => "PrincipalDeserializationException",
        ErrorCode::FetchSessionTopicIdError => "FetchSessionTopicIdException",
        ErrorCode::InvalidRegularExpression => "InvalidRegularExpression",
        _ => return format!("org.apache.kafka.common.errors.{}", by_rule(code.name())),
    };
    format!("org.apache.kafka.common.errors.{name}")
}

/// What Java clients say of an error on which the broker did not comment: of those that people meet.
pub(crate) fn message(error: &ApiError) -> String {
    // A message that is only the error's name says nothing.
    if let Some(message) = error.message.as_ref().filter(|message| *message != error.code.name()) {
        return message.clone();
    }
    let known = match error.code {
        ErrorCode::MessageTooLarge => {
            "The request included a message larger than the max message size the server will accept."
        }
        ErrorCode::RecordListTooLarge => {
            "The request included message batch larger than the configured segment size on the server."
        }
        ErrorCode::NotEnoughReplicas => "Messages are rejected since there are fewer in-sync replicas than required.",
        ErrorCode::InvalidRecord => "This record has failed the validation on broker and hence will be rejected.",
        ErrorCode::OffsetOutOfRange => {
            "The requested offset is not within the range of offsets maintained by the server."
        }
        ErrorCode::LeaderNotAvailable => {
            "There is no leader for this topic-partition as we are in the middle of a leadership election."
        }
        ErrorCode::RequestTimedOut => "The request timed out.",
        ErrorCode::CoordinatorNotAvailable => "The coordinator is not available.",
        ErrorCode::NotCoordinator => "This is not the correct coordinator.",
        ErrorCode::InvalidTopicException => "The request attempted to perform an operation on an invalid topic.",
        ErrorCode::InvalidGroupId => "The group id is invalid.",
        ErrorCode::UnknownMemberId => "The coordinator is not aware of this member.",
        ErrorCode::RebalanceInProgress => "The group is rebalancing, so a rejoin is needed.",
        ErrorCode::NonEmptyGroup => "The group is not empty.",
        ErrorCode::GroupIdNotFound => "The group id does not exist.",
        ErrorCode::GroupSubscribedToTopic => {
            "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."
        }
        ErrorCode::TopicAuthorizationFailed => "Topic authorization failed.",
        ErrorCode::GroupAuthorizationFailed => "Group authorization failed.",
        ErrorCode::ClusterAuthorizationFailed => "Cluster authorization failed.",
        ErrorCode::TransactionalIdAuthorizationFailed => "Transactional Id authorization failed.",
        ErrorCode::DelegationTokenAuthorizationFailed => "Delegation Token authorization failed.",
        ErrorCode::DelegationTokenAuthDisabled => "Delegation Token feature is not enabled.",
        ErrorCode::DelegationTokenNotFound => "Delegation Token is not found on server.",
        ErrorCode::DelegationTokenOwnerMismatch => "Specified Principal is not valid Owner/Renewer.",
        ErrorCode::DelegationTokenRequestNotAllowed => {
            "Delegation Token requests are not allowed on PLAINTEXT/1-way SSL channels and on delegation token \
             authenticated channels."
        }
        ErrorCode::DelegationTokenExpired => "Delegation Token is expired.",
        ErrorCode::InvalidPrincipalType => "Supplied principalType is not supported.",
        ErrorCode::SecurityDisabled => "Security features are disabled.",
        ErrorCode::TransactionalIdNotFound => "The transactionalId could not be found.",
        ErrorCode::NoReassignmentInProgress => "No partition reassignment is in progress.",
        ErrorCode::UnsupportedVersion => "The version of API is not supported.",
        ErrorCode::MismatchedEndpointType => "The request was sent to an endpoint of the wrong type.",
        ErrorCode::UnsupportedEndpointType => "This endpoint type is not supported yet.",
        ErrorCode::PolicyViolation => "Request parameters do not satisfy the configured policy.",
        ErrorCode::KafkaStorageError => "Disk error when trying to access log file on the disk.",
        ErrorCode::UnknownTopicOrPartition => "This server does not host this topic-partition.",
        ErrorCode::UnknownTopicId => "This server does not host this topic ID.",
        code => code.name(),
    };
    known.to_owned()
}

/// What Kafka's clients say where a node speaks none of the versions of an API that they know.
pub(crate) fn unsupported(api: ApiKey, wanted: VersionRange, offered: Option<VersionRange>) -> String {
    let text = format!("The node does not support {}", constant(api.name()));
    match offered {
        None => text,
        Some(offered) => format!(
            "{text} with version in range [{},{}]. The supported range is [{},{}].",
            wanted.min, wanted.max, offered.min, offered.max
        ),
    }
}

/// `RegisterBrokerRecord` to `REGISTER_BROKER_RECORD`, as Java's constants are named.
pub(crate) fn constant(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

/// `NOT_LEADER_OR_FOLLOWER` to `NotLeaderOrFollowerException`, which is how most classes are named.
fn by_rule(code: &str) -> String {
    let stem = code.strip_suffix("_EXCEPTION").or_else(|| code.strip_suffix("_FAILED")).unwrap_or(code);
    let mut class = String::with_capacity(stem.len() + 9);
    for word in stem.split('_') {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        class.push_str(first);
        class.push_str(&rest.to_ascii_lowercase());
    }
    class + "Exception"
}

/// The class of the exception that Kafka's tools show for an error of the client.
pub(crate) fn client_exception_class(error: &ClientError) -> String {
    match error {
        ClientError::Api(error) => exception_class(error.code),
        ClientError::UnsupportedVersion { .. } => exception_class(ErrorCode::UnsupportedVersion),
        _ => exception_class(ErrorCode::RequestTimedOut),
    }
}

/// The exception that Kafka's consumers give where the cluster can't be talked to: its class and its text.
pub(crate) fn client_exception(error: &ClientError) -> String {
    if let Some((class, message)) = authentication_exception(error) {
        return format!("{class}: {message}");
    }
    let (class, message) = match error {
        ClientError::Api(error) => (exception_class(error.code), message(error)),
        ClientError::UnsupportedVersion { api, wanted, offered, .. } => {
            (exception_class(ErrorCode::UnsupportedVersion), unsupported(*api, *wanted, *offered))
        }
        _ => ("org.apache.kafka.common.KafkaException".to_owned(), chain_text(&anyhow::Error::new(error.clone()))),
    };
    format!("{class}: {message}")
}

/// The class of the exception that Kafka's tools show for a wrong setting.
pub(crate) fn config_exception_class(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::Unknown { .. } => "org.apache.kafka.common.errors.InvalidConfigurationException",
        ConfigError::At { error, .. } => config_exception_class(error),
        _ => "org.apache.kafka.common.config.ConfigException",
    }
}

/// How many buckets a `new HashMap<>()` begins with.
const BUCKETS: u32 = 16;

/// Puts `items` into the order in which a `new HashMap<>()` with their names as keys goes over them.
///
/// Kafka's tools print settings in that order, and their output should compare equal.
pub(crate) fn in_hash_map_order<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    order_by_bucket(items, BUCKETS, |item| string_hash(name(item)));
}

/// Puts `items` into the order of a `new HashMap<>(items.len())`, whose table begins smaller or larger.
pub(crate) fn in_sized_hash_map_order<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    order_by_bucket(items, buckets_for(items.len()), |item| string_hash(name(item)));
}

/// As [`in_sized_hash_map_order`], where keys have a hash of their own.
pub(crate) fn in_sized_hash_map_order_by<T>(items: &mut [T], hash: impl Fn(&T) -> i32) {
    order_by_bucket(items, buckets_for(items.len()), hash);
}

/// As [`in_hash_map_order`], where the keys are partitions.
pub(crate) fn in_partition_hash_map_order<T>(items: &mut [T], partition: impl Fn(&T) -> &TopicPartition) {
    order_by_bucket(items, BUCKETS, |item| partition_hash(partition(item)));
}

/// As [`in_sized_hash_map_order`], where the keys are partitions.
pub(crate) fn in_sized_partition_hash_map_order<T>(items: &mut [T], partition: impl Fn(&T) -> &TopicPartition) {
    order_by_bucket(items, buckets_for(items.len()), |item| partition_hash(partition(item)));
}

/// `TopicPartition.hashCode`.
fn partition_hash(TopicPartition { topic, partition }: &TopicPartition) -> i32 {
    31i32.wrapping_add(partition.get()).wrapping_mul(31).wrapping_add(string_hash(topic))
}

/// How many buckets a `new HashMap<>(size)` begins with.
fn buckets_for(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX).checked_next_power_of_two().unwrap_or(1 << 31)
}

/// As [`in_hash_map_order`], where the keys are numbers.
pub(crate) fn in_number_hash_map_order<T>(items: &mut [T], number: impl Fn(&T) -> i32) {
    order_by_bucket(items, BUCKETS, number);
}

/// As [`in_hash_map_order`], where the keys are long numbers.
pub(crate) fn in_long_hash_map_order<T>(items: &mut [T], number: impl Fn(&T) -> i64) {
    let folded = |number: i64| number ^ (number.cast_unsigned() >> 32).cast_signed();
    #[expect(clippy::cast_possible_truncation, reason = "Long.hashCode is the low half")]
    order_by_bucket(items, BUCKETS, |item| folded(number(item)) as i32);
}

fn order_by_bucket<T>(items: &mut [T], mut buckets: u32, hash: impl Fn(&T) -> i32) {
    // The table doubles when it is three quarters full; the order within a bucket is that of insertion.
    while items.len() as u64 > u64::from(buckets) * 3 / 4 {
        buckets *= 2;
    }
    items.sort_by_key(|item| {
        let hash = hash(item).cast_unsigned();
        (hash ^ (hash >> 16)) & (buckets - 1)
    });
}

/// `Double.toString`: with a point always, and with an exponent where the number is large or small.
pub(crate) fn double(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) && value.is_finite() {
        let text = format!("{value:E}");
        let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
        let point = if digits.contains('.') { "" } else { ".0" };
        return format!("{digits}{point}E{exponent}");
    }
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    format!("{value:?}")
}

/// The name of an exception's class without its package.
pub(crate) fn simple_exception_class(code: ErrorCode) -> String {
    let class = exception_class(code);
    class.rsplit('.').next().unwrap_or(&class).to_owned()
}

/// `String.hashCode`.
pub(crate) fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_exceptions() {
        for (code, class) in [
            (ErrorCode::TopicAlreadyExists, "TopicExistsException"),
            (ErrorCode::InvalidTopicException, "InvalidTopicException"),
            (ErrorCode::InvalidReplicaAssignment, "InvalidReplicaAssignmentException"),
            (ErrorCode::NotLeaderOrFollower, "NotLeaderOrFollowerException"),
            (ErrorCode::TopicAuthorizationFailed, "TopicAuthorizationException"),
            (ErrorCode::UnknownTopicOrPartition, "UnknownTopicOrPartitionException"),
        ] {
            assert_eq!(exception_class(code), format!("org.apache.kafka.common.errors.{class}"));
        }
    }

    /// Brokers say nothing beside these codes.
    #[test]
    fn codes_that_come_alone_have_a_sentence() {
        let alone = |code| message(&ApiError { code, message: None });
        assert_eq!(alone(ErrorCode::DelegationTokenNotFound), "Delegation Token is not found on server.");
        assert_eq!(alone(ErrorCode::DelegationTokenOwnerMismatch), "Specified Principal is not valid Owner/Renewer.");
        assert_eq!(alone(ErrorCode::TransactionalIdNotFound), "The transactionalId could not be found.");
        let said = ApiError { code: ErrorCode::TransactionalIdNotFound, message: Some("t1 is gone".to_owned()) };
        assert_eq!(message(&said), "t1 is gone");
    }

    #[test]
    fn what_a_node_does_not_speak_is_told_in_kafkas_words() {
        let range = VersionRange::new;
        assert_eq!(unsupported(ApiKey::Metadata, range(0, 13), None), "The node does not support METADATA");
        assert_eq!(
            unsupported(ApiKey::ListOffsets, range(1, 10), Some(range(0, 0))),
            "The node does not support LIST_OFFSETS with version in range [1,10]. The supported range is [0,0]."
        );
    }

    #[test]
    fn doubles_print_as_javas() {
        for (value, text) in [
            (1024.0, "1024.0"),
            (2e7, "2.0E7"),
            (12_345_678.5, "1.23456785E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (0.0, "0.0"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn names_come_in_the_order_of_a_hash_map() {
        // As `new HashMap` of Java prints these keys.
        let mut names = vec![
            "retention.ms",
            "min.insync.replicas",
            "cleanup.policy",
            "compression.type",
            "segment.bytes",
            "Aa",
            "BB",
            "polygenelubricants",
        ];
        in_hash_map_order(&mut names, |name| name);
        assert_eq!(
            names.join(" "),
            "compression.type Aa BB polygenelubricants cleanup.policy min.insync.replicas retention.ms segment.bytes"
        );
        let mut names: Vec<String> = (1..=30).map(|n| format!("key.{n}.name")).collect();
        in_hash_map_order(&mut names, |name| name);
        assert!(names.join(" ").starts_with("key.14.name key.4.name key.17.name key.11.name key.7.name"), "{names:?}");
        // As Kafka's tool described topics of these names.
        for shown in [
            "plain placed",
            "orders onedash plain equals",
            "placed my.topic_1 plain equals extra orders minisr onedash",
        ] {
            let mut names: Vec<&str> = shown.split(' ').collect();
            names.sort_unstable();
            in_sized_hash_map_order(&mut names, |name| name);
            assert_eq!(names.join(" "), shown);
        }
        in_sized_hash_map_order(&mut [""; 0], |name| name);
        // As Kafka's tool listed partitions.
        let mut partitions = [("g3", 0), ("g3", 2), ("g1", 0), ("g3", 1)].map(|(t, p)| TopicPartition::new(t, p));
        in_partition_hash_map_order(&mut partitions, |partition| partition);
        assert_eq!(partitions.map(|p| p.to_string()).join(" "), "g3-2 g1-0 g3-1 g3-0");
        let mut numbers = [9, 1001, 8, 16];
        in_number_hash_map_order(&mut numbers, |number| *number);
        assert_eq!(numbers, [16, 8, 9, 1001]);
        assert_eq!(string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(string_hash("Aa"), string_hash("BB"));
    }
}
