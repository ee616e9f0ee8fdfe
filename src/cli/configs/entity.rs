//! What settings belong to, and which options say so. The order of the checks and their texts are Kafka's.

use std::net::ToSocketAddrs as _;

use super::Configs;
use crate::cli::support::{Output, UsageError, pick_topic};
use crate::client::ClientOptions;
use crate::client::admin::ResourceType;

/// A kind of thing that has settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntityType {
    Topics,
    Clients,
    Users,
    Brokers,
    Ips,
    ClientMetrics,
    Groups,
    BrokerLoggers,
}

impl EntityType {
    /// In the order in which Kafka's tool lists them.
    const ALL: [Self; 8] = [
        Self::Topics,
        Self::Clients,
        Self::Users,
        Self::Brokers,
        Self::Ips,
        Self::ClientMetrics,
        Self::Groups,
        Self::BrokerLoggers,
    ];

    /// `topics`
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Clients => "clients",
            Self::Users => "users",
            Self::Brokers => "brokers",
            Self::Ips => "ips",
            Self::ClientMetrics => "client-metrics",
            Self::Groups => "groups",
            Self::BrokerLoggers => "broker-loggers",
        }
    }

    /// `topic`; Kafka takes the last letter away, whatever it is.
    pub(super) fn singular(self) -> &'static str {
        let name = self.name();
        name.get(..name.len() - 1).unwrap_or(name)
    }

    /// What it is to a broker; `None` if it has quotas instead of settings.
    pub(super) const fn resource(self) -> Option<ResourceType> {
        match self {
            Self::Topics => Some(ResourceType::Topic),
            Self::Brokers => Some(ResourceType::Broker),
            Self::BrokerLoggers => Some(ResourceType::BrokerLogger),
            Self::ClientMetrics => Some(ResourceType::ClientMetrics),
            Self::Groups => Some(ResourceType::Group),
            Self::Clients | Self::Users | Self::Ips => None,
        }
    }

    const fn has_default(self) -> bool {
        matches!(self, Self::Users | Self::Clients | Self::Brokers | Self::Ips)
    }
}

/// What is to be described or altered: a type with a name, or users and clients with one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) types: Vec<EntityType>,
    /// Belongs to the types in order; the empty name is the default. Fewer than types: all of them.
    pub(super) names: Vec<String>,
}

impl Target {
    /// The type that the others only add to.
    pub(super) fn entity_type(&self) -> EntityType {
        self.types.first().copied().unwrap_or(EntityType::Topics)
    }

    /// The name that belongs to it.
    pub(super) fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// Lets the person choose a topic if none was named.
    pub(super) async fn pick_topic_if_missing(
        &mut self,
        options: &ClientOptions,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if self.names.is_empty() {
            self.names.push(pick_topic(options.clone(), out).await?);
        }
        Ok(())
    }
}

/// The name that stands for all that have none.
const DEFAULT: &str = "";

impl Configs {
    /// What the options are about, if they make sense.
    pub(super) fn check(&self, out: &Output) -> anyhow::Result<Target> {
        let options = &self.options;
        if options.alter == options.describe {
            return Err(UsageError::because("Command must include exactly one action: --describe, --alter"));
        }
        for (option, given) in
            [("add-config", options.add_config.is_some()), ("delete-config", !options.delete_config.is_empty())]
        {
            if options.describe && given {
                return Err(UsageError::conflict("describe", option));
            }
        }
        let types = self.types()?;
        let flags_used = !self.flags().is_empty();
        if flags_used && (!options.entity_type.is_empty() || !self.names.is_empty()) {
            return because(
                "--entity-{type,name,default} should not be used in conjunction with specific entity flags",
            );
        }
        options.connect.check("Only one of --bootstrap-server or --bootstrap-controller can be specified")?;
        let target = Target { names: self.all_names(), types };
        check_names(&target)?;
        if options.describe {
            self.check_describe(&target)?;
        } else {
            self.check_alter(&target, out)?;
        }
        Ok(target)
    }

    /// The options that name a type of their own, with the names they give, in Kafka's order.
    fn flags(&self) -> Vec<(EntityType, String)> {
        use EntityType::{BrokerLoggers, Brokers, ClientMetrics, Clients, Groups, Ips, Topics, Users};
        let options = &self.options;
        let named = [
            (Topics, &options.topic),
            (Clients, &options.client),
            (Users, &options.user),
            (Brokers, &options.broker),
            (BrokerLoggers, &options.broker_logger),
            (Ips, &options.ip),
            (ClientMetrics, &options.client_metrics),
            (Groups, &options.group),
        ];
        let defaults = [
            (Clients, options.client_defaults),
            (Users, options.user_defaults),
            (Brokers, options.broker_defaults),
            (Ips, options.ip_defaults),
        ];
        let named = named.into_iter().filter_map(|(of, name)| Some((of, name.clone()?)));
        named.chain(defaults.into_iter().filter(|(_, given)| *given).map(|(of, _)| (of, DEFAULT.to_owned()))).collect()
    }

    fn types(&self) -> anyhow::Result<Vec<EntityType>> {
        let mut names: Vec<&str> = self.options.entity_type.iter().map(String::as_str).collect();
        names.extend(self.flags().iter().map(|(of, _)| of.name()));
        let mut duplicates: Vec<&str> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if names.iter().take(at).any(|other| other == name) && !duplicates.contains(name) {
                duplicates.push(name);
            }
        }
        if !duplicates.is_empty() {
            return because(format!("Duplicate entity type(s) specified: {}", duplicates.join(",")));
        }
        let mut types = Vec::new();
        for name in names {
            let Some(found) = EntityType::ALL.into_iter().find(|known| known.name() == name) else {
                let known: Vec<_> = EntityType::ALL.iter().map(|known| known.name()).collect();
                return because(format!(
                    "Invalid entity type {name}, the entity type must be one of {} with a --bootstrap-server or \
                     --bootstrap-controller argument",
                    known.join(", ")
                ));
            };
            types.push(found);
        }
        match types.as_slice() {
            [] => because("At least one entity type must be specified"),
            [_] | [EntityType::Users, EntityType::Clients] | [EntityType::Clients, EntityType::Users] => Ok(types),
            _ => because("Only 'users' and 'clients' entity types may be specified together"),
        }
    }

    fn all_names(&self) -> Vec<String> {
        let typed = self.names.iter().map(|name| name.clone().unwrap_or_default());
        typed.chain(self.flags().into_iter().map(|(_, name)| name)).collect()
    }

    fn check_describe(&self, target: &Target) -> anyhow::Result<()> {
        let names: Vec<_> = target.types.iter().map(|of| of.name()).collect();
        if !target.types.iter().any(|of| of.has_default()) && self.options.entity_default > 0 {
            return because(format!("--entity-default must not be specified with --describe of {}", names.join(",")));
        }
        if target.types.contains(&EntityType::BrokerLoggers) && !has_name(target) {
            return because(format!("An entity name must be specified with --describe of {}", names.join(",")));
        }
        if target.names.len() > target.types.len() {
            return because("More entity names specified than entity types");
        }
        Ok(())
    }

    fn check_alter(&self, target: &Target, out: &Output) -> anyhow::Result<()> {
        let options = &self.options;
        let can_pick = target.types == [EntityType::Topics] && target.names.is_empty() && out.can_ask();
        if target.types.iter().any(|of| of.has_default()) {
            if target.names.is_empty() {
                return because(
                    "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips",
                );
            }
        } else if !has_name(target) && !can_pick {
            let names: Vec<_> = target.types.iter().map(|of| of.name()).collect();
            return because(format!("An entity name must be specified with --alter of {}", names.join(",")));
        }
        if options.add_config.is_some() && options.add_config_file.is_some() {
            return because("Only one of --add-config or --add-config-file must be specified");
        }
        if options.add_config.is_none() && options.add_config_file.is_none() && options.delete_config.is_empty() {
            return because(
                "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter",
            );
        }
        if target.names.len() != target.types.len() && !can_pick {
            return because("An entity name must be specified for every entity type");
        }
        Ok(())
    }
}

fn has_name(target: &Target) -> bool {
    target.names.iter().any(|name| name != DEFAULT)
}

fn check_names(target: &Target) -> anyhow::Result<()> {
    for (of, name) in target.types.iter().zip(&target.names).filter(|(_, name)| *name != DEFAULT) {
        let named = of.name();
        if matches!(of, EntityType::Brokers | EntityType::BrokerLoggers) && name.parse::<i32>().is_err() {
            return because(format!(
                "The entity name for {named} must be a valid integer broker id, but it is: {name}"
            ));
        }
        if *of == EntityType::Ips && (name.as_str(), 0).to_socket_addrs().is_err() {
            return because(format!(
                "The entity name for {named} must be a valid IP or resolvable host, but it is: {name}"
            ));
        }
    }
    Ok(())
}

fn because<T>(message: impl Into<String>) -> anyhow::Result<T> {
    Err(UsageError::because(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, FromArgMatches as _};

    fn check(words: &str) -> Result<(String, Vec<String>), String> {
        let words = std::iter::once("configs").chain(words.split_whitespace());
        let command = crate::cli::support::with_kafkas_option_rules(Configs::command());
        let configs = Configs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap();
        let (out, _) = Output::captured();
        let target = configs.check(&out).map_err(|e| e.to_string())?;
        let types: Vec<_> = target.types.iter().map(|of| of.name()).collect();
        Ok((types.join(","), target.names))
    }

    #[test]
    fn names_belong_to_types_in_the_order_in_which_they_stand() {
        for (words, types, names) in [
            ("--topic t", "topics", &["t"][..]),
            ("--entity-type topics", "topics", &[]),
            ("--entity-type users --entity-name a --entity-type clients --entity-default", "users,clients", &["a", ""]),
            ("--entity-type users --entity-default --entity-type clients --entity-name c", "users,clients", &["", "c"]),
            ("--entity-type users --entity-default --entity-type clients --entity-default", "users,clients", &["", ""]),
            ("--user a --client c", "clients,users", &["c", "a"]),
            ("--user-defaults --client-defaults", "clients,users", &["", ""]),
            ("--broker-defaults", "brokers", &[""]),
        ] {
            let (found, named) = check(&format!("--describe {words}")).unwrap();
            assert_eq!((found.as_str(), named), (types, names.iter().map(|n| (*n).to_owned()).collect()), "{words}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_in_kafkas_words() {
        for (words, message) in [
            ("", "Command must include exactly one action: --describe, --alter"),
            ("--describe", "At least one entity type must be specified"),
            ("--describe --topic a --client b", "Only 'users' and 'clients' entity types may be specified together"),
            ("--describe --topic a --entity-type topics", "Duplicate entity type(s) specified: topics"),
            (
                "--describe --topic a --entity-default",
                "--entity-{type,name,default} should not be used in conjunction with specific entity flags",
            ),
            (
                "--describe --entity-type topics --entity-default",
                "--entity-default must not be specified with --describe of topics",
            ),
            (
                "--describe --entity-type users --entity-name a --entity-name b",
                "More entity names specified than entity types",
            ),
            (
                "--alter --entity-type users --entity-type clients --entity-name a --add-config producer_byte_rate=1",
                "An entity name must be specified for every entity type",
            ),
        ] {
            assert_eq!(check(words).unwrap_err(), message, "{words}");
        }
    }
}
