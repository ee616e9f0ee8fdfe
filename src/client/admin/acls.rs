//! Access control lists: who may do what.

use super::{Admin, checked};
use crate::client::{ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::protocol::messages::create_acls_request::AclCreation;
use crate::protocol::messages::delete_acls_request::DeleteAclsFilter;
use crate::protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};

/// Declares an enum whose values have Kafka's code and name.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $code,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The value with this code; what is not known is `Unknown`.
            #[must_use]
            pub fn from_code(code: i8) -> Self {
                Self::ALL.iter().copied().find(|value| *value as i8 == code).unwrap_or(Self::Unknown)
            }

            /// Kafka's name of it, as `DESCRIBE_CONFIGS`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

coded! {
    /// What access is controlled to.
    AclResourceType {
        /// Of a kind that this program does not know.
        Unknown = 0 "UNKNOWN",
        /// In a filter: of any kind.
        Any = 1 "ANY",
        /// A topic.
        Topic = 2 "TOPIC",
        /// A group.
        Group = 3 "GROUP",
        /// The cluster.
        Cluster = 4 "CLUSTER",
        /// A transactional id.
        TransactionalId = 5 "TRANSACTIONAL_ID",
        /// A delegation token.
        DelegationToken = 6 "DELEGATION_TOKEN",
        /// A user, whose tokens are meant.
        User = 7 "USER",
    }
}

coded! {
    /// How a resource's name is meant.
    PatternType {
        /// Of a kind that this program does not know.
        Unknown = 0 "UNKNOWN",
        /// In a filter: of any kind.
        Any = 1 "ANY",
        /// In a filter: whatever pattern matches the name.
        Match = 2 "MATCH",
        /// The name itself, or `*` for each.
        Literal = 3 "LITERAL",
        /// Whatever begins so.
        Prefixed = 4 "PREFIXED",
    }
}

coded! {
    /// What somebody does.
    AclOperation {
        /// Of a kind that this program does not know.
        Unknown = 0 "UNKNOWN",
        /// In a filter: of any kind.
        Any = 1 "ANY",
        /// Everything.
        All = 2 "ALL",
        /// `READ`
        Read = 3 "READ",
        /// `WRITE`
        Write = 4 "WRITE",
        /// `CREATE`
        Create = 5 "CREATE",
        /// `DELETE`
        Delete = 6 "DELETE",
        /// `ALTER`
        Alter = 7 "ALTER",
        /// `DESCRIBE`
        Describe = 8 "DESCRIBE",
        /// `CLUSTER_ACTION`
        ClusterAction = 9 "CLUSTER_ACTION",
        /// `DESCRIBE_CONFIGS`
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        /// `ALTER_CONFIGS`
        AlterConfigs = 11 "ALTER_CONFIGS",
        /// `IDEMPOTENT_WRITE`
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        /// `CREATE_TOKENS`
        CreateTokens = 13 "CREATE_TOKENS",
        /// `DESCRIBE_TOKENS`
        DescribeTokens = 14 "DESCRIBE_TOKENS",
        /// `TWO_PHASE_COMMIT`
        TwoPhaseCommit = 15 "TWO_PHASE_COMMIT",
    }
}

coded! {
    /// Whether it is allowed.
    AclPermission {
        /// Of a kind that this program does not know.
        Unknown = 0 "UNKNOWN",
        /// In a filter: of any kind.
        Any = 1 "ANY",
        /// It is not, whatever else says so.
        Deny = 2 "DENY",
        /// It is.
        Allow = 3 "ALLOW",
    }
}

/// Resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourcePattern {
    /// Of what kind.
    pub resource_type: AclResourceType,
    /// Their name; `None` in a filter: any.
    pub name: Option<String>,
    /// How the name is meant.
    pub pattern_type: PatternType,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AclEntry {
    /// Who, as `User:alice`.
    pub principal: String,
    /// From where; `*` from anywhere.
    pub host: String,
    /// What.
    pub operation: AclOperation,
    /// Whether.
    pub permission: AclPermission,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AclBinding {
    /// What it is about.
    pub pattern: ResourcePattern,
    /// What it says.
    pub entry: AclEntry,
}

/// Which rules are meant: for a resource those with one entry, or all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AclFilter {
    /// What they are about.
    pub pattern: ResourcePattern,
    /// What they say; `None`: whatever.
    pub entry: Option<AclEntry>,
}

impl AclFilter {
    fn operation(&self) -> i8 {
        self.entry.as_ref().map_or(AclOperation::Any, |entry| entry.operation) as i8
    }

    fn permission(&self) -> i8 {
        self.entry.as_ref().map_or(AclPermission::Any, |entry| entry.permission) as i8
    }
}

impl Admin {
    /// The rules that a filter finds.
    ///
    /// # Errors
    /// No broker answers, or there is no authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<AclBinding>, ClientError> {
        let request = DescribeAclsRequest {
            resource_type_filter: filter.pattern.resource_type as i8,
            resource_name_filter: filter.pattern.name.clone(),
            pattern_type_filter: filter.pattern.pattern_type as i8,
            principal_filter: filter.entry.as_ref().map(|entry| entry.principal.clone()),
            host_filter: filter.entry.as_ref().map(|entry| entry.host.clone()),
            operation: filter.operation(),
            permission_type: filter.permission(),
            ..Default::default()
        };
        let response =
            self.call_any(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code))).await?;
        ApiError::check(response.error_code, response.error_message)?;
        let mut found = Vec::new();
        for resource in response.resources {
            let pattern = ResourcePattern {
                resource_type: AclResourceType::from_code(resource.resource_type),
                name: Some(resource.resource_name),
                pattern_type: PatternType::from_code(resource.pattern_type),
            };
            found.extend(resource.acls.into_iter().map(|acl| AclBinding {
                pattern: pattern.clone(),
                entry: AclEntry {
                    principal: acl.principal,
                    host: acl.host,
                    operation: AclOperation::from_code(acl.operation),
                    permission: AclPermission::from_code(acl.permission_type),
                },
            }));
        }
        Ok(found)
    }

    /// Adds rules.
    ///
    /// # Errors
    /// No broker answers; a rule that is refused is told in its place.
    pub async fn create_acls(&self, bindings: &[AclBinding]) -> Result<Vec<Result<(), ApiError>>, ClientError> {
        let creation = |binding: &AclBinding| AclCreation {
            resource_type: binding.pattern.resource_type as i8,
            resource_name: binding.pattern.name.clone().unwrap_or_default(),
            resource_pattern_type: binding.pattern.pattern_type as i8,
            principal: binding.entry.principal.clone(),
            host: binding.entry.host.clone(),
            operation: binding.entry.operation as i8,
            permission_type: binding.entry.permission as i8,
            ..Default::default()
        };
        let request = CreateAclsRequest { creations: bindings.iter().map(creation).collect(), ..Default::default() };
        let refused = |response: &crate::protocol::messages::CreateAclsResponse| {
            response.results.first().map(|result| ErrorCode::from_code(result.error_code))
        };
        let response = self.call_controller(|_| request.clone(), refused).await?;
        Ok(response.results.into_iter().map(|result| checked(result.error_code, result.error_message, || ())).collect())
    }

    /// Takes away the rules that filters find, and returns them.
    ///
    /// # Errors
    /// No broker answers; a filter that is refused is told in its place.
    pub async fn delete_acls(
        &self,
        filters: &[AclFilter],
    ) -> Result<Vec<Result<Vec<AclBinding>, ApiError>>, ClientError> {
        let filter = |filter: &AclFilter| DeleteAclsFilter {
            resource_type_filter: filter.pattern.resource_type as i8,
            resource_name_filter: filter.pattern.name.clone(),
            pattern_type_filter: filter.pattern.pattern_type as i8,
            principal_filter: filter.entry.as_ref().map(|entry| entry.principal.clone()),
            host_filter: filter.entry.as_ref().map(|entry| entry.host.clone()),
            operation: filter.operation(),
            permission_type: filter.permission(),
            ..Default::default()
        };
        let request = DeleteAclsRequest { filters: filters.iter().map(filter).collect(), ..Default::default() };
        let refused = |response: &crate::protocol::messages::DeleteAclsResponse| {
            response.filter_results.first().map(|result| ErrorCode::from_code(result.error_code))
        };
        let response = self.call_controller(|_| request.clone(), refused).await?;
        let mut results = Vec::new();
        for result in response.filter_results {
            let mut whole = ApiError::check(result.error_code, result.error_message);
            let mut deleted = Vec::new();
            for acl in result.matching_acls {
                if whole.is_ok() {
                    whole = ApiError::check(acl.error_code, acl.error_message);
                }
                deleted.push(AclBinding {
                    pattern: ResourcePattern {
                        resource_type: AclResourceType::from_code(acl.resource_type),
                        name: Some(acl.resource_name),
                        pattern_type: PatternType::from_code(acl.pattern_type),
                    },
                    entry: AclEntry {
                        principal: acl.principal,
                        host: acl.host,
                        operation: AclOperation::from_code(acl.operation),
                        permission: AclPermission::from_code(acl.permission_type),
                    },
                });
            }
            results.push(whole.map(|()| deleted));
        }
        Ok(results)
    }
}
