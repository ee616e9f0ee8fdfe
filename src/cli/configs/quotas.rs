//! Quotas of users, clients and addresses, and the SCRAM credentials of users.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::changes::Changes;
use super::entity::{EntityType, Target};
use super::{EXECUTION, Options, failed_call};
use crate::cli::support::{JavaError, Output, Style, UsageError, confirm_unless, java, random_salt};
use crate::client::admin::{NewScramCredential, QuotaEntity, QuotaEntry, QuotaMatch};
use crate::client::{Admin, ClientError};
use crate::net::ScramMechanism;
use crate::protocol::ErrorCode;

/// What users and clients may have, besides credentials.
const CLIENT_QUOTAS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
/// What addresses may have.
const IP_QUOTA: &str = "connection_creation_rate";

/// Kafka's names of the parts of an entity, and what its tool calls them.
const PARTS: [(&str, &str); 3] = [("user", "user-principal"), ("client-id", "client-id"), ("ip", "ip")];

pub(super) fn is_scram(key: &str) -> bool {
    ScramMechanism::named(key).is_some()
}

fn part(of: EntityType) -> &'static str {
    match of {
        EntityType::Users => "user",
        EntityType::Clients => "client-id",
        _ => "ip",
    }
}

async fn quotas_of(target: &Target, admin: &Admin) -> anyhow::Result<Vec<QuotaEntry>> {
    let component = |(index, of): (usize, &EntityType)| {
        let wanted = match target.names.get(index).map(String::as_str) {
            None => QuotaMatch::Any,
            Some("") => QuotaMatch::Default,
            Some(name) => QuotaMatch::Exact(name),
        };
        (part(*of), wanted)
    };
    let components: Vec<_> = target.types.iter().enumerate().map(component).collect();
    admin.describe_client_quotas(&components).await.map_err(|error| failed_call("describeClientQuotas", &error))
}

pub(super) async fn describe(target: &Target, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let mut quotas = quotas_of(target, admin).await?;
    java::in_sized_hash_map_order_by(&mut quotas, |entry| entity_hash(&entry.entity));
    for entry in &mut quotas {
        java::in_sized_hash_map_order(&mut entry.values, |(key, _)| key);
    }
    let with_scram = !target.types.contains(&EntityType::Clients)
        && !target.types.contains(&EntityType::Ips)
        && !target.names.iter().any(String::is_empty);
    if out.style() == Style::Kafka {
        for entry in &quotas {
            out.line(quota_line(entry))?;
        }
    }
    let credentials = if with_scram {
        admin
            .describe_user_scram_credentials(&target.names)
            .await
            .map_err(|error| failed_call("describeUserScramCredentials", &error))?
    } else {
        Default::default()
    };
    // A user's mechanisms with their iterations, or why they can't be told.
    type Credentials = (String, Result<Vec<(&'static str, i32)>, String>);
    let credentials: Vec<Credentials> = credentials
        .into_iter()
        .filter(|(_, infos)| !infos.as_ref().is_err_and(|error| error.code == ErrorCode::ResourceNotFound))
        .map(|(user, infos)| {
            let named = infos
                .map(|infos| infos.into_iter().map(|info| (mechanism_name(info.mechanism), info.iterations)).collect());
            (user, named.map_err(|error| format!("{}: {error}", java::simple_exception_class(error.code))))
        })
        .collect();
    match out.style() {
        Style::Kafka => {
            for (user, infos) in &credentials {
                match infos {
                    Ok(infos) => out.line(scram_line(user, infos))?,
                    Err(error) => out.line(format_args!(
                        "Error retrieving SCRAM credential configs for user-principal '{user}': {error}"
                    ))?,
                }
            }
        }
        Style::Table => {
            let mut rows: Vec<Vec<String>> = Vec::new();
            for entry in &quotas {
                let values = entry.values.iter();
                rows.extend(values.map(|(key, value)| vec![entity_text(&entry.entity), key.clone(), plain(*value)]));
            }
            for (user, infos) in &credentials {
                for (mechanism, iterations) in infos.as_deref().unwrap_or_default() {
                    let value = format!("{iterations} iterations");
                    rows.push(vec![format!("user-principal '{user}'"), (*mechanism).to_owned(), value]);
                }
                if let Err(error) = infos {
                    out.error(&format!("credentials of {user}: {error}"))?;
                }
            }
            if rows.is_empty() {
                out.note("nothing is set")?;
            }
            out.table(&["For", "Key", "Value"], rows)?;
        }
        Style::Json => {
            let quotas: Vec<_> = quotas.iter().map(quota_json).collect();
            let scram: Vec<_> = credentials.iter().map(|(user, infos)| scram_json(user, infos)).collect();
            out.json(&json!({ "version": 1, "quotas": quotas, "scram": scram }))?;
        }
    }
    Ok(())
}

fn mechanism_name(number: i8) -> &'static str {
    match number {
        1 => "SCRAM-SHA-256",
        2 => "SCRAM-SHA-512",
        _ => "UNKNOWN",
    }
}

/// `user-principal 'alice', the default client-id`
fn entity_text(entity: &QuotaEntity) -> String {
    let texts: Vec<String> = PARTS
        .iter()
        .filter_map(|(part, word)| {
            let (_, name) = entity.iter().find(|(found, _)| found == part)?;
            Some(match name.as_deref() {
                None | Some("") => format!("the default {word}"),
                Some(name) => format!("{word} '{name}'"),
            })
        })
        .collect();
    texts.join(", ")
}

fn quota_line(entry: &QuotaEntry) -> String {
    let values: Vec<_> = entry.values.iter().map(|(key, value)| format!("{key}={}", java::double(*value))).collect();
    format!("Quota configs for {} are {}", entity_text(&entry.entity), values.join(", "))
}

fn scram_line(user: &str, infos: &[(&str, i32)]) -> String {
    let infos: Vec<_> =
        infos.iter().map(|(mechanism, iterations)| format!("{mechanism}=iterations={iterations}")).collect();
    format!("SCRAM credential configs for user-principal '{user}' are {}", infos.join(", "))
}

fn quota_json(entry: &QuotaEntry) -> Value {
    let entity: serde_json::Map<_, _> =
        entry.entity.iter().map(|(part, name)| (part.clone(), Value::from(name.clone()))).collect();
    let values: serde_json::Map<_, _> =
        entry.values.iter().map(|(key, value)| (key.clone(), Value::from(*value))).collect();
    json!({ "entity": entity, "values": values })
}

fn scram_json(user: &str, infos: &Result<Vec<(&str, i32)>, String>) -> Value {
    match infos {
        Ok(infos) => {
            let infos: Vec<_> = infos
                .iter()
                .map(|(mechanism, iterations)| json!({ "mechanism": mechanism, "iterations": iterations }))
                .collect();
            json!({ "user": user, "credentials": infos })
        }
        Err(error) => json!({ "user": user, "error": error }),
    }
}

/// A number as people write it.
fn plain(value: f64) -> String {
    value.to_string()
}

/// `hashCode` of Kafka's entity: that of the map of its parts, behind a constant.
fn entity_hash(entity: &QuotaEntity) -> i32 {
    let entry = |(part, name): &(String, Option<String>)| {
        java::string_hash(part) ^ name.as_deref().map_or(0, java::string_hash)
    };
    entity.iter().map(entry).fold(0i32, i32::wrapping_add).wrapping_add(31)
}

pub(super) async fn alter(
    options: &Options,
    target: &Target,
    changes: &Changes,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<()> {
    if check(target, changes)? == Kind::Scram {
        return alter_scram(options, target, changes, admin, out).await;
    }
    let current = quotas_of(target, admin).await?;
    let known: Vec<_> =
        current.first().map(|entry| entry.values.iter().map(|(key, _)| key).collect()).unwrap_or_default();
    let absent: Vec<_> = changes.deleted.iter().filter(|key| !known.contains(key)).map(String::as_str).collect();
    if !absent.is_empty() {
        return Err(UsageError::because(format!("Invalid config(s): {}", absent.join(","))));
    }
    let mut ops = Vec::new();
    for (key, value) in &changes.added {
        let Ok(number) = value.parse::<f64>() else {
            let message = format!("Cannot parse quota configuration value for {key}: {value}");
            return Err(UsageError::because(message));
        };
        ops.push((key.clone(), Some(number)));
    }
    ops.extend(changes.deleted.iter().map(|key| (key.clone(), None)));
    let named =
        |(of, name): (&EntityType, &String)| (part(*of).to_owned(), Some(name.clone()).filter(|name| !name.is_empty()));
    let entity: QuotaEntity = target.types.iter().zip(&target.names).map(named).collect();
    admin
        .alter_client_quotas(&entity, &ops, options.dry_run)
        .await
        .map_err(|error| failed_call("alterClientQuotas", &error))
}

/// What changes are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quotas,
    Scram,
}

/// Which keys go with which types, in Kafka's order and words.
fn check(target: &Target, changes: &Changes) -> anyhow::Result<Kind> {
    let because = |message: String| Err(UsageError::because(message));
    let added = || changes.added.iter().map(|(key, _)| key.as_str());
    let deleted = || changes.deleted.iter().map(String::as_str);
    if target.entity_type() == EntityType::Ips {
        let unknown: BTreeSet<_> = added().chain(deleted()).filter(|key| *key != IP_QUOTA).collect();
        if unknown.is_empty() {
            return Ok(Kind::Quotas);
        }
        let unknown: Vec<_> = unknown.into_iter().collect();
        return because(format!(
            "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names: {}",
            unknown.join(", ")
        ));
    }
    let is_quota = |key: &&str| CLIENT_QUOTAS.contains(key);
    let with_clients = target.types.contains(&EntityType::Clients);
    let (what, whose) = if with_clients { ("quota", "clients") } else { ("quota and SCRAM credential", "users") };
    for (done, keys) in [("added", added().collect::<Vec<_>>()), ("deleted", deleted().collect())] {
        let mut unknown: Vec<_> =
            keys.into_iter().filter(|key| !is_quota(key) && (with_clients || !is_scram(key))).collect();
        if !unknown.is_empty() {
            java::in_hash_map_order(&mut unknown, |key| key);
            return because(format!(
                "Only {what} configs can be {done} for '{whose}' using --bootstrap-server. Unexpected config names: \
                 Set({})",
                unknown.join(", ")
            ));
        }
    }
    let quotas = changes.keys().any(|key| is_quota(&key));
    if !changes.keys().any(is_scram) {
        return Ok(Kind::Quotas);
    }
    if target.names.iter().any(String::is_empty) {
        return because(
            "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using \
             --bootstrap-server."
                .to_owned(),
        );
    }
    if quotas {
        return because(
            "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server."
                .to_owned(),
        );
    }
    Ok(Kind::Scram)
}

async fn alter_scram(
    options: &Options,
    target: &Target,
    changes: &Changes,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<()> {
    let user = target.name().unwrap_or_default();
    let deleted: Vec<_> = changes.deleted.iter().filter_map(|name| ScramMechanism::named(name)).collect();
    let mut new = Vec::new();
    for (key, value) in &changes.added {
        if let Some(mechanism) = ScramMechanism::named(key) {
            new.push(credential(mechanism, key, value)?);
        }
    }
    if options.dry_run {
        return Ok(());
    }
    if !deleted.is_empty() {
        let question = format!("Delete {} of user {user}?", changes.deleted.join(" and "));
        confirm_unless(options.yes, &question, out)?;
    }
    match admin.alter_user_scram_credentials(user, &deleted, &new).await {
        Ok(()) => Ok(()),
        Err(ClientError::Api(error)) => Err(JavaError::api(&error).wrapped_in(EXECUTION).into()),
        Err(error) => Err(failed_call("alterUserScramCredentials", &error)),
    }
}

/// How often the password is hashed if nothing is said.
const ITERATIONS: i32 = 4096;

/// `iterations=8192,password=secret`; -1 iterations are the default.
fn credential(mechanism: ScramMechanism, name: &str, text: &str) -> anyhow::Result<NewScramCredential> {
    let given = match text.strip_prefix("iterations=") {
        None => Some((None, text)),
        Some(rest) => rest.split_once(',').map(|(number, rest)| (Some(number), rest)),
    };
    let parsed = given.and_then(|(number, rest)| {
        let password = rest.strip_prefix("password=")?;
        let iterations = match number {
            None | Some("-1") => ITERATIONS,
            Some(number) => number.parse().ok()?,
        };
        Some((iterations, password))
    });
    let Some((iterations, password)) = parsed else {
        let shown = name.replace('-', "_");
        return Err(UsageError::because(format!("Invalid credential property {shown}={text}")));
    };
    if iterations < ScramMechanism::MIN_ITERATIONS {
        return Err(UsageError::because(format!(
            "Iterations {iterations} is less than the minimum {} required for {name}",
            ScramMechanism::MIN_ITERATIONS
        )));
    }
    Ok(NewScramCredential { mechanism, iterations, salt: random_salt()?, password: password.as_bytes().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(parts: &[(&str, Option<&str>)]) -> QuotaEntity {
        parts.iter().map(|(part, name)| ((*part).to_owned(), name.map(str::to_owned))).collect()
    }

    #[test]
    fn lines_are_those_of_kafkas_tool() {
        let entry = |parts, values: &[(&str, f64)]| QuotaEntry {
            entity: entity(parts),
            values: values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect(),
        };
        for (entry, line) in [
            (
                entry(&[("user", Some("alice"))], &[("consumer_byte_rate", 2e7), ("producer_byte_rate", 1024.0)]),
                "Quota configs for user-principal 'alice' are consumer_byte_rate=2.0E7, producer_byte_rate=1024.0",
            ),
            (
                entry(&[("client-id", None), ("user", None)], &[("producer_byte_rate", 7.0)]),
                "Quota configs for the default user-principal, the default client-id are producer_byte_rate=7.0",
            ),
            (
                entry(&[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", 5.0)]),
                "Quota configs for ip '10.0.0.1' are connection_creation_rate=5.0",
            ),
        ] {
            assert_eq!(quota_line(&entry), line);
        }
        assert_eq!(
            scram_line("bob", &[("SCRAM-SHA-256", 8192), ("SCRAM-SHA-512", 4096)]),
            "SCRAM credential configs for user-principal 'bob' are SCRAM-SHA-256=iterations=8192, \
             SCRAM-SHA-512=iterations=4096"
        );
    }

    /// The order in which Kafka's tool printed these.
    #[test]
    fn entities_come_in_the_order_of_a_hash_map() {
        for (first, second) in [
            (&[("user", None)][..], &[("user", Some("alice"))][..]),
            (&[("client-id", None)], &[("client-id", Some("app"))]),
            (&[("ip", Some("10.0.0.1"))], &[("ip", None)]),
        ] {
            for mut both in [[entity(first), entity(second)], [entity(second), entity(first)]] {
                java::in_sized_hash_map_order_by(&mut both, entity_hash);
                assert_eq!(both, [entity(first), entity(second)]);
            }
        }
    }

    fn checked(types: &[EntityType], names: &[&str], added: &[&str], deleted: &[&str]) -> Result<Kind, String> {
        let target = Target { types: types.to_vec(), names: names.iter().map(|name| (*name).to_owned()).collect() };
        let changes = Changes {
            added: added.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect(),
            deleted: deleted.iter().map(|key| (*key).to_owned()).collect(),
        };
        check(&target, &changes).map_err(|e| e.to_string())
    }

    #[test]
    fn keys_belong_to_types() {
        use EntityType::{Clients, Ips, Users};
        assert_eq!(checked(&[Users], &["a"], &["producer_byte_rate"], &[]), Ok(Kind::Quotas));
        assert_eq!(checked(&[Users], &["a"], &["SCRAM-SHA-256"], &[]), Ok(Kind::Scram));
        for (types, names, added, message) in [
            (
                &[Users][..],
                &["alice"][..],
                &["nonsense"][..],
                "Only quota and SCRAM credential configs can be added for 'users' using --bootstrap-server. Unexpected \
                 config names: Set(nonsense)",
            ),
            (
                &[Clients],
                &["app"],
                &["connection_creation_rate"],
                "Only quota configs can be added for 'clients' using --bootstrap-server. Unexpected config names: \
                 Set(connection_creation_rate)",
            ),
            (
                &[Ips],
                &["10.0.0.1"],
                &["producer_byte_rate"],
                "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config \
                 names: producer_byte_rate",
            ),
            (
                &[Users],
                &[""],
                &["SCRAM-SHA-256"],
                "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using \
                 --bootstrap-server.",
            ),
            (
                &[Users],
                &["bob"],
                &["SCRAM-SHA-256", "producer_byte_rate"],
                "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using \
                 --bootstrap-server.",
            ),
        ] {
            assert_eq!(checked(types, names, added, &[]).unwrap_err(), message);
        }
    }

    #[test]
    fn credentials() {
        let read = |text| {
            credential(ScramMechanism::Sha256, "SCRAM-SHA-256", text)
                .map(|new| new.iterations)
                .map_err(|e| e.to_string())
        };
        assert_eq!(read("iterations=8192,password=pw"), Ok(8192));
        assert_eq!(read("password=a,b"), Ok(4096));
        assert_eq!(read("iterations=-1,password=pw"), Ok(4096));
        assert_eq!(read("x").unwrap_err(), "Invalid credential property SCRAM_SHA_256=x");
        assert_eq!(
            read("iterations=1,password=pw").unwrap_err(),
            "Iterations 1 is less than the minimum 4096 required for SCRAM-SHA-256"
        );
    }
}
