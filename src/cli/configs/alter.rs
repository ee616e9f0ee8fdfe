//! `configs --alter`.

use serde_json::{Value, json};

use super::changes::Changes;
use super::entity::{EntityType, Target};
use super::{EXECUTION, Options, UNSUPPORTED, failed_call, quotas};
use crate::cli::support::{JavaError, Output, Style, UsageError, did_you_mean, print_plan};
use crate::client::admin::{AlterConfig, ConfigChange, ConfigResource, ResourceType};
use crate::client::{Admin, ApiError, ClientError};
use crate::config::{Scope, table};
use crate::protocol::ErrorCode;

pub(super) async fn run(
    options: &Options,
    target: &Target,
    changes: &Changes,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<()> {
    match target.entity_type().resource() {
        None => quotas::alter(options, target, changes, admin, out).await?,
        Some(resource_type) => alter_resource(options, target, resource_type, changes, admin).await?,
    }
    if options.dry_run {
        return Ok(print_plan(&plan(target, changes), out)?);
    }
    let of = target.entity_type();
    match (out.style(), target.name().filter(|name| !name.is_empty())) {
        (Style::Json, name) => {
            out.json(&json!({ "version": 1, "altered": { "type": of.singular(), "name": name } }))?
        }
        (_, Some(name)) => out.line(format_args!("Completed updating config for {} {name}.", of.singular()))?,
        (_, None) => out.line(format_args!("Completed updating default config for {} in the cluster.", of.name()))?,
    }
    Ok(())
}

/// What would be done; nothing secret is in it.
fn plan(target: &Target, changes: &Changes) -> Vec<(String, Value)> {
    let whom: Vec<String> = target
        .types
        .iter()
        .zip(&target.names)
        .map(|(of, name)| match name.as_str() {
            "" => format!("the default of {}", of.name()),
            name => format!("{} {name}", of.singular()),
        })
        .collect();
    let whom = whom.join(", ");
    let set = changes.added.iter().map(|(key, value)| {
        let value = if quotas::is_scram(key) { "(hidden)" } else { value };
        (format!("set {key}={value} for {whom}"), json!({ "for": whom, "set": key, "value": value }))
    });
    let deleted =
        changes.deleted.iter().map(|key| (format!("delete {key} of {whom}"), json!({ "for": whom, "delete": key })));
    deleted.chain(set).collect()
}

async fn alter_resource(
    options: &Options,
    target: &Target,
    resource_type: ResourceType,
    changes: &Changes,
    admin: &Admin,
) -> anyhow::Result<()> {
    let resource = ConfigResource { resource_type, name: target.name().unwrap_or_default().to_owned() };
    if resource_type == ResourceType::BrokerLogger {
        check_loggers(&resource, changes, admin).await?;
    }
    let deleted = changes.deleted.iter().map(|key| (key, ConfigChange::Delete));
    let added = changes.added.iter().map(|(key, value)| (key, ConfigChange::Set(value.clone())));
    let alterations: Vec<_> =
        deleted.chain(added).map(|(key, change)| AlterConfig { name: key.clone(), change }).collect();
    let results =
        admin.alter_configs(&[(resource, alterations)], options.dry_run).await.map_err(|error| match error {
            ClientError::UnsupportedVersion { .. } => too_old(JavaError::call("incrementalAlterConfigs", &error)),
            error => failed_call("incrementalAlterConfigs", &error),
        })?;
    for (_, result) in results {
        result.map_err(|error| refused(&error, target.entity_type(), changes))?;
    }
    Ok(())
}

/// A cluster that knows no changes of single settings.
fn too_old(error: JavaError) -> anyhow::Error {
    let text = "The INCREMENTAL_ALTER_CONFIGS API is not supported by the cluster. The API is supported starting from version \
                2.3.0. You may want to use an older version of this tool to interact with your cluster, or upgrade your \
                brokers to version 2.3.0 or newer to avoid this error.";
    error.retold(UNSUPPORTED, text).into()
}

/// A logger that does not exist is a typing error: what is set for it would never count.
async fn check_loggers(resource: &ConfigResource, changes: &Changes, admin: &Admin) -> anyhow::Result<()> {
    let described = admin
        .describe_configs(std::slice::from_ref(resource), None, false)
        .await
        .map_err(|error| failed_call("describeConfigs", &error))?;
    let mut known = Vec::new();
    for (_, entries) in described {
        let entries = entries.map_err(|error| JavaError::api(&error).wrapped_in(EXECUTION))?;
        known.extend(entries.into_iter().map(|entry| entry.name));
    }
    let unknown: Vec<&str> = changes
        .deleted
        .iter()
        .map(String::as_str)
        .chain(changes.added.iter().map(|(key, _)| key.as_str()))
        .filter(|key| !known.iter().any(|known| known == key))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(UsageError::because(format!("Invalid broker logger(s): {}", unknown.join(","))))
}

fn refused(error: &ApiError, of: EntityType, changes: &Changes) -> anyhow::Error {
    if error.code == ErrorCode::UnsupportedVersion {
        return too_old(JavaError::api(error));
    }
    let scope = match of {
        EntityType::Topics => Some(Scope::Topic),
        EntityType::Groups => Some(Scope::Group),
        EntityType::ClientMetrics => Some(Scope::ClientMetrics),
        EntityType::Brokers => Some(Scope::Broker),
        _ => None,
    };
    let near = scope.filter(|_| error.code == ErrorCode::InvalidConfig).and_then(|scope| {
        let unknown = changes.keys().find(|key| table(scope).get(key).is_none())?;
        did_you_mean(unknown, table(scope).iter().map(|def| def.name))
    });
    JavaError::api(error).with_hint(near).wrapped_in(EXECUTION).into()
}
