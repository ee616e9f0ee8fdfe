//! Which rules the options of `acls` stand for.

use super::{Acls, Rules};
use crate::cli::support::{JavaError, UsageError};
use crate::client::admin::{AclEntry, AclOperation, AclPermission, AclResourceType, PatternType, ResourcePattern};

/// The name of the one cluster.
const CLUSTER: &str = "kafka-cluster";

/// `ResourcePattern(resourceType=TOPIC, name=foo, patternType=LITERAL)`
pub(super) fn pattern_text(pattern: &ResourcePattern) -> String {
    format!(
        "ResourcePattern(resourceType={}, name={}, patternType={})",
        pattern.resource_type.name(),
        pattern.name.as_deref().unwrap_or("<any>"),
        pattern.pattern_type.name()
    )
}

/// `(principal=User:alice, host=*, operation=READ, permissionType=ALLOW)`
pub(super) fn entry_text(entry: &AclEntry) -> String {
    format!(
        "(principal={}, host={}, operation={}, permissionType={})",
        entry.principal,
        entry.host,
        entry.operation.name(),
        entry.permission.name()
    )
}

/// What can be allowed on a kind of resource, in the order in which Kafka's tool lists it.
fn supported(resource_type: AclResourceType) -> &'static [AclOperation] {
    use AclOperation::{
        All, Alter, AlterConfigs, ClusterAction, Create, CreateTokens, Delete, Describe, DescribeConfigs,
        DescribeTokens, IdempotentWrite, Read, TwoPhaseCommit, Write,
    };
    match resource_type {
        AclResourceType::Topic => &[Read, Create, Write, Alter, DescribeConfigs, AlterConfigs, All, Delete, Describe],
        AclResourceType::Group => &[Read, DescribeConfigs, AlterConfigs, All, Delete, Describe],
        AclResourceType::Cluster => {
            &[Create, ClusterAction, Alter, DescribeConfigs, AlterConfigs, All, IdempotentWrite, Describe]
        }
        AclResourceType::TransactionalId => &[Write, All, Describe, TwoPhaseCommit],
        AclResourceType::DelegationToken => &[All, Describe],
        AclResourceType::User => &[All, CreateTokens, DescribeTokens],
        AclResourceType::Unknown | AclResourceType::Any => &[All],
    }
}

/// The operation of a name such as `DescribeConfigs`; what is none is found out later, where the resource is known.
fn operation(text: &str) -> AclOperation {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let wanted = plain(text.trim());
    let known = AclOperation::ALL.iter().copied().find(|operation| plain(operation.name()) == wanted);
    known.unwrap_or(AclOperation::Unknown)
}

impl Acls {
    /// How names are meant.
    pub(super) fn pattern_type(&self) -> anyhow::Result<PatternType> {
        let Some(text) = &self.resource_pattern_type else { return Ok(PatternType::Literal) };
        let known = PatternType::ALL.iter().copied().filter(|known| *known != PatternType::Unknown);
        match known.into_iter().find(|known| known.name().eq_ignore_ascii_case(text)) {
            Some(found) => Ok(found),
            None => {
                let class = "joptsimple.OptionArgumentConversionException";
                let message = format!("Cannot parse argument '{text}' of option resource-pattern-type");
                let hint = "it is one of literal, prefixed, any, match".to_owned();
                Err(JavaError::new(class, message).with_hint(Some(hint)).into())
            }
        }
    }

    /// Principals as Kafka reads them: a type and a name.
    pub(super) fn principals(&self, texts: &[String]) -> anyhow::Result<Vec<String>> {
        let mut principals = Vec::new();
        for text in texts {
            let text = text.trim();
            if !text.split_once(':').is_some_and(|(of, name)| !of.is_empty() && !name.is_empty()) {
                let message = format!("expected a string in format principalType:principalName but got {text}");
                let hint = format!("write User:{text}");
                return Err(JavaError::illegal_argument(message).with_hint(Some(hint)).into());
            }
            if !principals.contains(&text.to_owned()) {
                principals.push(text.to_owned());
            }
        }
        Ok(principals)
    }

    /// What the rules are about.
    pub(super) fn resources(&self, pattern_type: PatternType) -> Vec<ResourcePattern> {
        let mut resources = Vec::new();
        let mut add = |resource_type, name: &str, pattern_type| {
            let resource = ResourcePattern { resource_type, name: Some(name.to_owned()), pattern_type };
            if !resources.contains(&resource) {
                resources.push(resource);
            }
        };
        let named = [
            (AclResourceType::TransactionalId, &self.transactional_id),
            (AclResourceType::Topic, &self.topic),
            (AclResourceType::Group, &self.group),
            (AclResourceType::DelegationToken, &self.delegation_token),
            (AclResourceType::User, &self.user_principal),
        ];
        for (resource_type, names) in named {
            for name in names {
                add(resource_type, name.trim(), pattern_type);
            }
        }
        if pattern_type == PatternType::Literal && (self.cluster || self.idempotent) {
            add(AclResourceType::Cluster, CLUSTER, PatternType::Literal);
        }
        resources
    }

    fn entries(&self, operations: &[AclOperation]) -> anyhow::Result<Vec<AclEntry>> {
        let sides = [
            (&self.allow_principal, &self.allow_host, AclPermission::Allow),
            (&self.deny_principal, &self.deny_host, AclPermission::Deny),
        ];
        let mut entries = Vec::new();
        for (principals, hosts, permission) in sides {
            let anywhere = vec!["*".to_owned()];
            let hosts = if hosts.is_empty() { &anywhere } else { hosts };
            for principal in self.principals(principals)? {
                for operation in operations {
                    for host in hosts {
                        let entry = AclEntry {
                            principal: principal.clone(),
                            host: host.trim().to_owned(),
                            operation: *operation,
                            permission,
                        };
                        if !entries.contains(&entry) {
                            entries.push(entry);
                        }
                    }
                }
            }
        }
        Ok(entries)
    }

    /// The rules by what they are about; without entries where nobody is named.
    pub(super) fn rules(&self, pattern_type: PatternType) -> anyhow::Result<Rules> {
        use AclOperation::{Create, Describe, IdempotentWrite, Read, Write};
        let mut rules = Rules::new();
        let operations: Vec<_> = match self.operation.as_slice() {
            [] => vec![AclOperation::All],
            names => names.iter().map(|name| operation(name)).collect(),
        };
        // Whom it is about is read before what, as Kafka's tool does.
        let entries = self.entries(&operations)?;
        let resources = self.resources(pattern_type);
        if resources.is_empty() {
            return Err(UsageError::because(
                "You must provide at least one resource: --topic <topic> or --cluster or --group <group> or \
                 --delegation-token <Delegation Token ID>",
            ));
        }
        for resource in resources {
            let mut of_role = Vec::new();
            let of = resource.resource_type;
            if self.producer {
                of_role.extend_from_slice(match of {
                    AclResourceType::Topic => &[Write, Describe, Create],
                    AclResourceType::TransactionalId => &[Write, Describe],
                    AclResourceType::Cluster if self.idempotent => &[IdempotentWrite],
                    _ => &[],
                });
            }
            if self.consumer {
                of_role.extend_from_slice(match of {
                    AclResourceType::Topic => &[Read, Describe],
                    AclResourceType::Group => &[Read],
                    _ => &[],
                });
            }
            if !self.producer && !self.consumer {
                rules.push((resource, entries.clone()));
            } else if !of_role.is_empty() {
                rules.push((resource, self.entries(&of_role)?));
            }
        }
        for (resource, entries) in &rules {
            let valid = supported(resource.resource_type);
            if entries.iter().any(|entry| !valid.contains(&entry.operation)) {
                let names: Vec<_> = valid.iter().map(|operation| operation.name()).collect();
                return Err(UsageError::because(format!(
                    "ResourceType {} only supports operations [{}]",
                    resource.resource_type.name(),
                    names.join(", ")
                )));
            }
        }
        Ok(rules)
    }

    /// As [`Self::rules`], where each has to say something.
    pub(super) fn rules_to_add(&self, pattern_type: PatternType) -> anyhow::Result<Rules> {
        if !matches!(pattern_type, PatternType::Literal | PatternType::Prefixed) {
            return Err(UsageError::because(format!(
                "A '--resource-pattern-type' value of '{}' is not valid when adding acls.",
                pattern_type.name()
            )));
        }
        let rules = self.rules(pattern_type)?;
        if rules.iter().any(|(_, entries)| entries.is_empty()) {
            return Err(UsageError::because(
                "You must specify one of: --allow-principal, --deny-principal when trying to add ACLs.",
            ));
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parsed;
    use super::*;

    fn rules(words: &str) -> Result<Vec<String>, String> {
        let args = parsed(words);
        let pattern_type = args.pattern_type().map_err(|error| error.to_string())?;
        let rules = args.rules_to_add(pattern_type).map_err(|error| error.to_string())?;
        let line = |(resource, entries): &(ResourcePattern, Vec<AclEntry>)| {
            let operations: Vec<_> = entries
                .iter()
                .map(|entry| {
                    let sign = if entry.permission == AclPermission::Allow { '+' } else { '-' };
                    format!("{sign}{} {}@{}", entry.operation.name(), entry.principal, entry.host)
                })
                .collect();
            format!(
                "{} {} {}: {}",
                resource.resource_type.name(),
                resource.pattern_type.name(),
                resource.name.as_deref().unwrap_or_default(),
                operations.join(", ")
            )
        };
        Ok(rules.iter().map(line).collect())
    }

    #[test]
    fn what_options_stand_for() {
        assert_eq!(
            rules("--topic orders --allow-principal User:alice").unwrap(),
            ["TOPIC LITERAL orders: +ALL User:alice@*"]
        );
        assert_eq!(
            rules(
                "--topic pre --resource-pattern-type prefixed --deny-principal User:eve --deny-host h --operation Read"
            )
            .unwrap(),
            ["TOPIC PREFIXED pre: -READ User:eve@h"]
        );
        assert_eq!(
            rules("--producer --topic t1 --transactional-id tx --allow-principal User:d").unwrap(),
            [
                "TRANSACTIONAL_ID LITERAL tx: +WRITE User:d@*, +DESCRIBE User:d@*",
                "TOPIC LITERAL t1: +WRITE User:d@*, +DESCRIBE User:d@*, +CREATE User:d@*",
            ]
        );
        assert_eq!(
            rules("--consumer --topic t1 --group g2 --allow-principal User:d").unwrap(),
            ["TOPIC LITERAL t1: +READ User:d@*, +DESCRIBE User:d@*", "GROUP LITERAL g2: +READ User:d@*"]
        );
        assert_eq!(
            rules("--producer --idempotent --topic t2 --allow-principal User:d").unwrap(),
            [
                "TOPIC LITERAL t2: +WRITE User:d@*, +DESCRIBE User:d@*, +CREATE User:d@*",
                "CLUSTER LITERAL kafka-cluster: +IDEMPOTENT_WRITE User:d@*",
            ]
        );
        assert_eq!(
            rules("--user-principal User:x --operation CreateTokens --allow-principal User:u").unwrap(),
            ["USER LITERAL User:x: +CREATE_TOKENS User:u@*"]
        );
        // A host of nobody is of no account.
        assert_eq!(
            rules("--topic t --deny-host h --allow-principal User:a").unwrap(),
            ["TOPIC LITERAL t: +ALL User:a@*"]
        );
    }

    #[test]
    fn what_can_not_be_is_told_in_kafkas_words() {
        let topic = "ResourceType TOPIC only supports operations [READ, CREATE, WRITE, ALTER, DESCRIBE_CONFIGS, \
                     ALTER_CONFIGS, ALL, DELETE, DESCRIBE]";
        for (words, message) in [
            ("--topic a", "You must specify one of: --allow-principal, --deny-principal when trying to add ACLs."),
            (
                "--allow-principal User:a",
                "You must provide at least one resource: --topic <topic> or --cluster or --group <group> or \
                 --delegation-token <Delegation Token ID>",
            ),
            ("--topic t --allow-principal a", "expected a string in format principalType:principalName but got a"),
            ("--topic t --allow-principal User:a --operation Nope", topic),
            ("--topic t --allow-principal User:a --operation ClusterAction", topic),
            (
                "--topic t --allow-principal User:a --resource-pattern-type any",
                "A '--resource-pattern-type' value of 'ANY' is not valid when adding acls.",
            ),
            (
                "--topic t --allow-principal User:a --resource-pattern-type nope",
                "Cannot parse argument 'nope' of option resource-pattern-type",
            ),
        ] {
            assert_eq!(rules(words).unwrap_err(), message, "{words}");
        }
    }
}
