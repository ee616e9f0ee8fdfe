//! Settings of topics, brokers and groups: describe, change.

use std::collections::HashMap;

use super::{Admin, call, checked};
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::{ApiError, ClientError};
use crate::config::ConfigSource;
use crate::protocol::messages::describe_configs_request::DescribeConfigsResource;
use crate::protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use crate::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use crate::protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest};
use crate::protocol::{ErrorCode, Request};
use crate::types::NodeId;

/// What settings belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum ResourceType {
    /// A topic.
    Topic = 2,
    /// A broker; the empty name stands for all of them.
    Broker = 4,
    /// The loggers of a broker.
    BrokerLogger = 8,
    /// A subscription to metrics of clients.
    ClientMetrics = 16,
    /// A group.
    Group = 32,
}

/// One thing that has settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConfigResource {
    /// What it is.
    pub resource_type: ResourceType,
    /// Its name: of a topic, of a group, or the id of a broker.
    pub name: String,
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self { resource_type: ResourceType::Topic, name: name.into() }
    }

    /// A broker.
    #[must_use]
    pub fn broker(id: NodeId) -> Self {
        Self { resource_type: ResourceType::Broker, name: id.to_string() }
    }

    /// The broker that has to be asked: the settings of one broker, its file's included, are known to itself alone.
    fn owner(&self) -> Option<NodeId> {
        match self.resource_type {
            ResourceType::Broker | ResourceType::BrokerLogger => self.name.parse().ok().map(NodeId),
            _ => None,
        }
    }
}

/// A value that stands behind the one that counts, or is it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key, which may be another one than the entry's.
    pub name: String,
    /// Its value; `None` if it is secret or has none.
    pub value: Option<String>,
    /// Where it is from; `None` if that is of a kind unknown to this program.
    pub source: Option<ConfigSource>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// Its value; `None` if it is secret or has none.
    pub value: Option<String>,
    /// Whether it can't be changed at run time.
    pub read_only: bool,
    /// Whether its value is secret.
    pub sensitive: bool,
    /// Where the value is from; `None` if that is of a kind unknown to this program.
    pub source: Option<ConfigSource>,
    /// The values behind it, the strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    /// Kafka's code of its type; 0 if not told.
    pub config_type: i8,
    /// What it is for, if that was asked.
    pub documentation: Option<String>,
}

impl ConfigEntry {
    /// Whether nobody has set it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.source == Some(ConfigSource::Default)
    }
}

/// How a setting changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// It gets this value.
    Set(String),
    /// It goes back to what stands behind it.
    Delete,
    /// These join its list.
    Append(String),
    /// These leave its list.
    Subtract(String),
}

/// A change of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfig {
    /// The key.
    pub name: String,
    /// What happens to it.
    pub change: ConfigChange,
}

type PerResource<T> = Vec<(ConfigResource, Result<T, ApiError>)>;

impl Admin {
    /// The settings of resources, all of them or those of `keys`.
    ///
    /// # Errors
    /// A broker that must be asked does not answer.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        keys: Option<&[String]>,
        with_documentation: bool,
    ) -> Result<PerResource<Vec<ConfigEntry>>, ClientError> {
        let described = |resource: &ConfigResource| DescribeConfigsResource {
            resource_type: resource.resource_type as i8,
            resource_name: resource.name.clone(),
            configuration_keys: keys.map(<[String]>::to_vec),
            ..Default::default()
        };
        let mut told = HashMap::new();
        for (owner, resources) in by_owner(resources) {
            let request = DescribeConfigsRequest {
                resources: resources.into_iter().map(described).collect(),
                include_synonyms: true,
                include_documentation: with_documentation,
                ..Default::default()
            };
            let response = self.call_owner(owner, &request).await?;
            for result in response.results {
                let entries = result.configs;
                let entries = checked(result.error_code, result.error_message, || {
                    entries.into_iter().map(ConfigEntry::from).collect()
                });
                told.insert((result.resource_type, result.resource_name), entries);
            }
        }
        Ok(results(resources, told))
    }

    /// Changes settings one by one, leaving the others as they are (KIP-339).
    ///
    /// # Errors
    /// A broker that must be asked does not answer, or is older than 2.3.
    pub async fn alter_configs(
        &self,
        changes: &[(ConfigResource, Vec<AlterConfig>)],
        validate_only: bool,
    ) -> Result<PerResource<()>, ClientError> {
        let alterable = |change: &AlterConfig| {
            let (config_operation, value) = match &change.change {
                ConfigChange::Set(value) => (0, Some(value.clone())),
                ConfigChange::Delete => (1, None),
                ConfigChange::Append(value) => (2, Some(value.clone())),
                ConfigChange::Subtract(value) => (3, Some(value.clone())),
            };
            AlterableConfig { name: change.name.clone(), config_operation, value, ..Default::default() }
        };
        let resources: Vec<_> = changes.iter().map(|(resource, _)| resource.clone()).collect();
        let mut told = HashMap::new();
        for (owner, group) in by_owner(&resources) {
            let altered = |resource: &ConfigResource| AlterConfigsResource {
                resource_type: resource.resource_type as i8,
                resource_name: resource.name.clone(),
                configs: changes
                    .iter()
                    .filter(|(of, _)| of == resource)
                    .flat_map(|(_, changes)| changes.iter().map(alterable))
                    .collect(),
                ..Default::default()
            };
            let request = IncrementalAlterConfigsRequest {
                resources: group.into_iter().map(altered).collect(),
                validate_only,
                ..Default::default()
            };
            let response = match owner {
                Some(_) => self.call_owner(owner, &request).await?,
                None => {
                    let refused = |code: i16| ErrorCode::from_code(code) == ErrorCode::NotController;
                    self.call_controller(
                        |_| request.clone(),
                        |response| {
                            let refused = response.responses.iter().any(|resource| refused(resource.error_code));
                            refused.then_some(ErrorCode::NotController)
                        },
                    )
                    .await?
                }
            };
            for result in response.responses {
                let done = ApiError::check(result.error_code, result.error_message);
                told.insert((result.resource_type, result.resource_name), done);
            }
        }
        Ok(results(&resources, told))
    }

    /// The names of the things of a kind that have settings (KIP-1142). Brokers before 4.1 know subscriptions to metrics
    /// alone.
    ///
    /// # Errors
    /// No broker answers, or none knows about this kind.
    pub async fn list_config_resources(&self, resource_type: ResourceType) -> Result<Vec<String>, ClientError> {
        let build = |version: i16| ListConfigResourcesRequest {
            resource_types: if version >= 1 { vec![resource_type as i8] } else { Vec::new() },
            ..Default::default()
        };
        let response = self.call_any(build, |response| Some(ErrorCode::from_code(response.error_code))).await?;
        ApiError::check(response.error_code, None)?;
        let named = response.config_resources.into_iter().filter(|found| found.resource_type == resource_type as i8);
        Ok(named.map(|found| found.resource_name).collect())
    }

    async fn call_owner<R: Request + Clone>(
        &self,
        owner: Option<NodeId>,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let Some(owner) = owner else {
            return self.call_any(|_| request.clone(), |_| None).await;
        };
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        loop {
            if !self.cluster.metadata().nodes.contains_key(&owner) {
                self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
            }
            let attempt = async {
                let connection = self.cluster.node(owner, Lane::General, deadline).await?;
                call(&connection, |_| request.clone()).await
            };
            match attempt.await {
                Ok(response) => return Ok(response),
                // A broker that is not there now is not waited for: it may well not exist.
                Err(error @ ClientError::UnknownNode(_)) => return Err(error),
                Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
            }
        }
    }
}

fn by_owner(resources: &[ConfigResource]) -> Vec<(Option<NodeId>, Vec<&ConfigResource>)> {
    let mut groups: Vec<(Option<NodeId>, Vec<&ConfigResource>)> = Vec::new();
    for resource in resources {
        let owner = resource.owner();
        match groups.iter_mut().find(|(of, _)| *of == owner) {
            Some((_, group)) if !group.contains(&resource) => group.push(resource),
            Some(_) => {}
            None => groups.push((owner, vec![resource])),
        }
    }
    groups
}

fn results<T: Clone>(resources: &[ConfigResource], told: HashMap<(i8, String), Result<T, ApiError>>) -> PerResource<T> {
    let result_of = |resource: &ConfigResource| {
        let found = told.get(&(resource.resource_type as i8, resource.name.clone())).cloned();
        found.unwrap_or_else(|| Err(ErrorCode::UnknownServerError.into()))
    };
    resources.iter().map(|resource| (resource.clone(), result_of(resource))).collect()
}

fn source(code: i8) -> Option<ConfigSource> {
    Some(match code {
        1 => ConfigSource::DynamicTopic,
        2 => ConfigSource::DynamicBroker,
        3 => ConfigSource::DynamicDefaultBroker,
        4 => ConfigSource::StaticBroker,
        5 => ConfigSource::Default,
        6 => ConfigSource::DynamicBrokerLogger,
        7 => ConfigSource::ClientMetrics,
        8 => ConfigSource::Group,
        _ => return None,
    })
}

impl From<DescribeConfigsResourceResult> for ConfigEntry {
    fn from(config: DescribeConfigsResourceResult) -> Self {
        let synonyms = config.synonyms.into_iter().map(|synonym| ConfigSynonym {
            name: synonym.name,
            value: synonym.value,
            source: source(synonym.source),
        });
        Self {
            name: config.name,
            value: config.value,
            read_only: config.read_only,
            sensitive: config.is_sensitive,
            source: source(config.config_source),
            synonyms: synonyms.collect(),
            config_type: config.config_type,
            documentation: config.documentation,
        }
    }
}
