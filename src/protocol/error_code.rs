//! Kafka's error codes, as responses carry them.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $code:literal, $name:literal, $retry:ident;)*) => {
        /// An error code of Kafka's protocol. `None` is success.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                #[doc = $name]
                $variant = $code,
            )*
        }

        impl ErrorCode {
            /// All codes, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code with this number, or `UnknownServerError` for a number that no table has (as Java clients do).
            #[must_use]
            pub fn from_code(code: i16) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    _ => Self::UnknownServerError,
                }
            }

            /// Kafka's name of it, as in `OFFSET_OUT_OF_RANGE`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn retry(self) -> Retry {
                match self {
                    $(Self::$variant => Retry::$retry,)*
                }
            }
        }
    };
}

#[derive(PartialEq, Eq)]
enum Retry {
    No,
    Yes,
    Refresh,
}

codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", No;
    None = 0, "NONE", No;
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", No;
    CorruptMessage = 2, "CORRUPT_MESSAGE", Yes;
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", Refresh;
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", No;
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", Refresh;
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", Refresh;
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", Yes;
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", No;
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", Refresh;
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", No;
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", No;
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", No;
    NetworkException = 13, "NETWORK_EXCEPTION", Refresh;
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", Yes;
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", Refresh;
    NotCoordinator = 16, "NOT_COORDINATOR", Refresh;
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", No;
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", No;
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", Yes;
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Yes;
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", No;
    IllegalGeneration = 22, "ILLEGAL_GENERATION", No;
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", No;
    InvalidGroupId = 24, "INVALID_GROUP_ID", No;
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", No;
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", No;
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", No;
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", No;
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", No;
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", No;
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", No;
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", No;
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", No;
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", No;
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", No;
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", No;
    InvalidPartitions = 37, "INVALID_PARTITIONS", No;
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", No;
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", No;
    InvalidConfig = 40, "INVALID_CONFIG", No;
    NotController = 41, "NOT_CONTROLLER", Yes;
    InvalidRequest = 42, "INVALID_REQUEST", No;
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", No;
    PolicyViolation = 44, "POLICY_VIOLATION", No;
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", No;
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", No;
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", No;
    InvalidTxnState = 48, "INVALID_TXN_STATE", No;
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", No;
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", No;
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", Yes;
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", No;
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", No;
    SecurityDisabled = 54, "SECURITY_DISABLED", No;
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", No;
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", Refresh;
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", No;
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", No;
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", No;
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", No;
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", No;
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", No;
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", No;
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", No;
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", No;
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", No;
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", No;
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", No;
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", No;
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", Yes;
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", Yes;
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", Refresh;
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", No;
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", Refresh;
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", Yes;
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", No;
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", No;
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", Yes;
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", No;
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", Refresh;
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", No;
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", No;
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", Refresh;
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", Refresh;
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", No;
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", No;
    InvalidRecord = 87, "INVALID_RECORD", No;
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", Yes;
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", Yes;
    ProducerFenced = 90, "PRODUCER_FENCED", No;
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", No;
    DuplicateResource = 92, "DUPLICATE_RESOURCE", No;
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", No;
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", No;
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", No;
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", No;
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", No;
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", No;
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", No;
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", Refresh;
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", No;
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", No;
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", Refresh;
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", No;
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", No;
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", Yes;
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", No;
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", No;
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", No;
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", No;
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", No;
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", No;
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", No;
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", No;
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", No;
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", No;
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", No;
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", No;
    InvalidRegistration = 119, "INVALID_REGISTRATION", No;
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", No;
    InvalidRecordState = 121, "INVALID_RECORD_STATE", No;
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", Yes;
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", Yes;
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", No;
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", No;
    DuplicateVoter = 126, "DUPLICATE_VOTER", No;
    VoterNotFound = 127, "VOTER_NOT_FOUND", No;
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", No;
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", No;
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", No;
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", No;
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", No;
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", Yes;
}

impl ErrorCode {
    /// The number that responses carry.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is an error at all.
    #[must_use]
    pub fn is_error(self) -> bool {
        self != Self::None
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retriable(self) -> bool {
        self.retry() != Retry::No
    }

    /// Whether the client's view of leaders and topics is out of date and must be refreshed before a retry.
    #[must_use]
    pub fn needs_metadata_refresh(self) -> bool {
        self.retry() == Retry::Refresh
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> Self {
        code.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_numbers_agree() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(code.code()), *code);
        }
        assert_eq!(ErrorCode::from_code(32_000), ErrorCode::UnknownServerError);
        assert_eq!(ErrorCode::OffsetOutOfRange.name(), "OFFSET_OUT_OF_RANGE");
        assert!(ErrorCode::NotLeaderOrFollower.needs_metadata_refresh());
        assert!(!ErrorCode::InvalidTopicException.is_retriable());
    }
}
