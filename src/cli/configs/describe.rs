//! `configs --describe`.

use serde_json::{Value, json};

use super::entity::{EntityType, Target};
use super::{EXECUTION, Options, failed_call, quotas};
use crate::cli::support::{JavaError, Output, Style, java};
use crate::client::admin::{ConfigEntry, ConfigResource, ConfigSynonym, ResourceType};
use crate::client::{Admin, ClientError};
use crate::config::ConfigSource;
use crate::protocol::ErrorCode;

/// A thing with its settings.
struct Described {
    name: String,
    entries: Vec<ConfigEntry>,
}

pub(super) async fn run(options: &Options, target: &Target, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let of = target.entity_type();
    let Some(resource_type) = of.resource() else { return quotas::describe(target, admin, out).await };
    let names = match target.name() {
        Some(name) if options.all || exists(of, name, admin).await? => vec![name.to_owned()],
        Some(name) => {
            let missing = format!("The {} '{name}' doesn't exist and doesn't have dynamic config.", of.singular());
            match out.style() {
                Style::Json => out.json(&json!({ "version": 1, "entities": [] }))?,
                Style::Kafka => out.line(missing)?,
                Style::Table => out.note(missing)?,
            }
            return Ok(());
        }
        None => names(of, admin).await?,
    };
    let resources: Vec<_> = names.iter().map(|name| ConfigResource { resource_type, name: name.clone() }).collect();
    let results = if resources.is_empty() {
        Vec::new()
    } else {
        admin.describe_configs(&resources, None, false).await.map_err(|error| failed_call("describeConfigs", &error))?
    };
    let mut described = Vec::new();
    for (resource, entries) in results {
        let shown = Described { name: resource.name, entries: Vec::new() };
        match entries {
            Ok(mut entries) => {
                entries.retain(|entry| options.all || entry.source == Some(dynamic_source(of, &shown.name)));
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                described.push(Described { entries, ..shown });
            }
            Err(error) => {
                // What could be described, and the head of what could not, are told first.
                print(of, options.all, &described, out)?;
                if out.style() == Style::Kafka {
                    out.line(head(of, options.all, &shown))?;
                }
                return Err(JavaError::api(&error).wrapped_in(EXECUTION).into());
            }
        }
    }
    print(of, options.all, &described, out)
}

fn dynamic_source(of: EntityType, name: &str) -> ConfigSource {
    match of {
        EntityType::Brokers if name.is_empty() => ConfigSource::DynamicDefaultBroker,
        EntityType::Brokers => ConfigSource::DynamicBroker,
        EntityType::BrokerLoggers => ConfigSource::DynamicBrokerLogger,
        EntityType::ClientMetrics => ConfigSource::ClientMetrics,
        EntityType::Groups => ConfigSource::Group,
        _ => ConfigSource::DynamicTopic,
    }
}

async fn exists(of: EntityType, name: &str, admin: &Admin) -> anyhow::Result<bool> {
    // Where nobody can tell whether a group has settings, it is asked for them.
    if of == EntityType::Groups && group_resources(admin).await?.is_none() {
        return Ok(true);
    }
    Ok(name.is_empty() && of == EntityType::Brokers || names(of, admin).await?.iter().any(|known| known == name))
}

/// All that there are, in the order in which Kafka's tool goes over them.
async fn names(of: EntityType, admin: &Admin) -> anyhow::Result<Vec<String>> {
    Ok(match of {
        EntityType::Brokers | EntityType::BrokerLoggers => {
            let cluster = admin.describe_cluster(false).await.map_err(|error| failed_call("listNodes", &error))?;
            let mut names: Vec<_> = cluster.nodes.iter().map(|node| node.id.to_string()).collect();
            if of == EntityType::Brokers {
                names.push(String::new());
            }
            names
        }
        EntityType::ClientMetrics => admin
            .list_config_resources(ResourceType::ClientMetrics)
            .await
            .map_err(|error| failed_call("listConfigResources", &error))?,
        EntityType::Groups => {
            let groups = admin.list_groups(&[], &[]).await.map_err(|error| failed_call("findAllBrokers", &error))?;
            let mut names: Vec<_> = groups.into_iter().map(|group| group.group_id).collect();
            java::in_hash_map_order(&mut names, |name| name);
            for name in group_resources(admin).await?.unwrap_or_default() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        }
        _ => {
            let topics = admin.list_topics().await.map_err(|error| failed_call("listTopics", &error))?;
            let mut names: Vec<_> = topics.into_iter().map(|topic| topic.name).collect();
            java::in_hash_map_order(&mut names, |name| name);
            names
        }
    })
}

/// Groups may have settings before they have members. Brokers before 4.1 can't tell, and not everybody may know.
async fn group_resources(admin: &Admin) -> anyhow::Result<Option<Vec<String>>> {
    match admin.list_config_resources(ResourceType::Group).await {
        Ok(names) => Ok(Some(names)),
        Err(ClientError::UnsupportedVersion { .. }) => Ok(None),
        Err(error) if error.code() == Some(ErrorCode::ClusterAuthorizationFailed) => Ok(None),
        Err(error) => Err(failed_call("listConfigResources", &error)),
    }
}

fn head(of: EntityType, all: bool, described: &Described) -> String {
    match described.name.as_str() {
        "" => format!("Default configs for {} in the cluster are:", of.name()),
        name => format!("{} configs for {} {name} are:", if all { "All" } else { "Dynamic" }, of.singular()),
    }
}

fn print(of: EntityType, all: bool, described: &[Described], out: &mut Output) -> anyhow::Result<()> {
    match out.style() {
        Style::Kafka => {
            for one in described {
                out.line(head(of, all, one))?;
                for entry in &one.entries {
                    out.line(line(entry))?;
                }
            }
        }
        Style::Table => {
            for (index, one) in described.iter().enumerate() {
                if index > 0 {
                    out.line("")?;
                }
                let name = match one.name.as_str() {
                    "" => format!("defaults of all {}", of.name()),
                    name => format!("{} {name}", of.singular()),
                };
                let name = out.bold(&name);
                if one.entries.is_empty() {
                    out.line(format_args!("{name}  nothing is set"))?;
                } else {
                    out.line(name)?;
                }
                let rows = one.entries.iter().map(row).collect();
                out.table(&["Key", "Value", "From"], rows)?;
            }
        }
        Style::Json => {
            let entities: Vec<_> = described.iter().map(|one| json_of(of, one)).collect();
            out.json(&json!({ "version": 1, "entities": entities }))?;
        }
    }
    Ok(())
}

/// Kafka's name of where a value is from.
fn source_name(source: Option<ConfigSource>) -> &'static str {
    match source {
        Some(ConfigSource::DynamicTopic) => "DYNAMIC_TOPIC_CONFIG",
        Some(ConfigSource::DynamicBroker) => "DYNAMIC_BROKER_CONFIG",
        Some(ConfigSource::DynamicDefaultBroker) => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        Some(ConfigSource::StaticBroker) => "STATIC_BROKER_CONFIG",
        Some(ConfigSource::Default) => "DEFAULT_CONFIG",
        Some(ConfigSource::DynamicBrokerLogger) => "DYNAMIC_BROKER_LOGGER_CONFIG",
        Some(ConfigSource::ClientMetrics) => "DYNAMIC_CLIENT_METRICS_CONFIG",
        Some(ConfigSource::Group) => "DYNAMIC_GROUP_CONFIG",
        None => "UNKNOWN",
    }
}

fn line(entry: &ConfigEntry) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonym =
        |synonym: &ConfigSynonym| format!("{}:{}={}", source_name(synonym.source), synonym.name, value(&synonym.value));
    let synonyms: Vec<_> = entry.synonyms.iter().map(synonym).collect();
    format!(
        "  {}={} sensitive={} synonyms={{{}}}",
        entry.name,
        value(&entry.value),
        entry.sensitive,
        synonyms.join(", ")
    )
}

fn row(entry: &ConfigEntry) -> Vec<String> {
    let from = match entry.source {
        Some(ConfigSource::Default) => "default",
        Some(ConfigSource::StaticBroker) => "server.properties",
        Some(ConfigSource::DynamicTopic) => "topic",
        Some(ConfigSource::DynamicBroker) => "broker",
        Some(ConfigSource::DynamicDefaultBroker) => "all brokers",
        Some(ConfigSource::DynamicBrokerLogger) => "logger",
        Some(ConfigSource::ClientMetrics) => "subscription",
        Some(ConfigSource::Group) => "group",
        None => "unknown",
    };
    let value = match &entry.value {
        None if entry.sensitive => "(hidden)".to_owned(),
        value => value.clone().unwrap_or_default(),
    };
    vec![entry.name.clone(), value, from.to_owned()]
}

fn json_of(of: EntityType, described: &Described) -> Value {
    let synonym = |synonym: &ConfigSynonym| json!({ "name": synonym.name, "value": synonym.value, "source": source_name(synonym.source) });
    let entry = |entry: &ConfigEntry| {
        json!({
            "name": entry.name,
            "value": entry.value,
            "source": source_name(entry.source),
            "sensitive": entry.sensitive,
            "readOnly": entry.read_only,
            "synonyms": entry.synonyms.iter().map(synonym).collect::<Vec<_>>(),
        })
    };
    let name = Some(described.name.as_str()).filter(|name| !name.is_empty());
    json!({
        "type": of.singular(),
        "name": name,
        "configs": described.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: Option<&str>, synonyms: &[(ConfigSource, &str, &str)]) -> ConfigEntry {
        ConfigEntry {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            read_only: false,
            sensitive: value.is_none(),
            source: Some(ConfigSource::DynamicTopic),
            synonyms: synonyms
                .iter()
                .map(|(source, name, value)| ConfigSynonym {
                    name: (*name).to_owned(),
                    value: Some((*value).to_owned()).filter(|value| !value.is_empty()),
                    source: Some(*source),
                })
                .collect(),
            config_type: 0,
            documentation: None,
        }
    }

    #[test]
    fn lines_are_those_of_kafkas_tool() {
        let policy = entry(
            "cleanup.policy",
            Some("delete,compact"),
            &[
                (ConfigSource::DynamicTopic, "cleanup.policy", "delete,compact"),
                (ConfigSource::Default, "log.cleanup.policy", "delete"),
            ],
        );
        assert_eq!(
            line(&policy),
            "  cleanup.policy=delete,compact sensitive=false \
             synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=delete,compact, DEFAULT_CONFIG:log.cleanup.policy=delete}"
        );
        let secret = entry("nonsense.thing", None, &[(ConfigSource::DynamicBroker, "nonsense.thing", "")]);
        assert_eq!(
            line(&secret),
            "  nonsense.thing=null sensitive=true synonyms={DYNAMIC_BROKER_CONFIG:nonsense.thing=null}"
        );
        assert_eq!(row(&secret), ["nonsense.thing", "(hidden)", "topic"]);
    }
}
