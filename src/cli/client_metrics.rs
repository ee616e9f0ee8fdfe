//! `client-metrics`: which metrics clients push to the brokers (KIP-714). Kafka's `kafka-client-metrics.sh`.

use std::io;

use serde_json::json;

use super::Run;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, Style, UsageError, block_on, confirm_unless, pick,
    print_plan, report_failure,
};
use crate::client::Admin;
use crate::client::admin::{AlterConfig, ConfigChange, ConfigEntry, ConfigResource, ResourceType};
use crate::types::Uuid;

/// Show or change which metrics clients push to the brokers
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(after_help = "\
kafka-rs client-metrics --alter --name all --metrics '*' --interval 10000   ask all clients for all metrics
kafka-rs client-metrics --describe   show all subscriptions

--metrics names metrics by how their names begin; * is all of them. An empty value takes a setting back.")]
pub(super) struct ClientMetrics {
    /// Make a subscription, or change it
    #[arg(long, help_heading = "Actions")]
    alter: bool,
    /// Delete a subscription
    #[arg(long, help_heading = "Actions")]
    delete: bool,
    /// Show subscriptions
    #[arg(long, help_heading = "Actions")]
    describe: bool,
    /// List the names of subscriptions
    #[arg(long, help_heading = "Actions")]
    list: bool,

    /// Name of the subscription
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Make a name
    #[arg(long)]
    generate_name: bool,
    /// How often clients push [default: 300000]
    #[arg(long, value_name = "MS")]
    interval: Option<String>,
    /// Which clients push, as client_id=app.*,client_software_name=... [default: all]
    #[arg(long, value_name = "KEY=REGEX,...", value_delimiter = ',')]
    r#match: Vec<String>,
    /// Which metrics they push
    #[arg(long, value_name = "PREFIX,...", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete without asking
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Alter,
    Delete,
    Describe,
    List,
}

/// What a subscription consists of.
const KEYS: [&str; 3] = ["interval.ms", "match", "metrics"];
const LOGGER: &str = "org.apache.kafka.tools.ClientMetricsCommand";

impl Run for ClientMetrics {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let action = self.check(out)?;
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(async {
            match action {
                Action::Alter => self.alter(&admin, out).await,
                Action::Delete => self.delete(&admin, out).await,
                Action::Describe => self.describe(&admin, out).await,
                Action::List => list(&admin, out).await,
            }
        })?;
        Ok(Exit::Success)
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        mistake.report(called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| {
            out.line(format_args!("Error while executing client metrics command : {error}"))?;
            out.kafka_log_error(format_args!("{}\n", error.to_java()), LOGGER)
        })?;
        Ok(Exit::Failure)
    }
}

impl ClientMetrics {
    /// The action, if the options make sense. The order and the texts are Kafka's.
    fn check(&self, out: &Output) -> anyhow::Result<Action> {
        let actions = [
            (self.alter, Action::Alter, "alter"),
            (self.delete, Action::Delete, "delete"),
            (self.describe, Action::Describe, "describe"),
            (self.list, Action::List, "list"),
        ];
        let mut given = actions.iter().filter(|(given, _, _)| *given);
        let (Some((_, action, name)), None) = (given.next(), given.next()) else {
            return Err(UsageError::because(
                "Command must include exactly one action: --alter, --delete, --describe or --list.",
            ));
        };
        let values = [
            ("generate-name", self.generate_name),
            ("interval", self.interval.is_some()),
            ("match", !self.r#match.is_empty()),
            ("metrics", !self.metrics.is_empty()),
        ];
        let refused = [("name", *action == Action::List && self.name.is_some())]
            .into_iter()
            .chain(values.into_iter().map(|(option, given)| (option, given && *action != Action::Alter)))
            .find(|(_, refused)| *refused);
        if let Some((option, _)) = refused {
            return Err(UsageError::conflict(name, option));
        }
        if *action == Action::Alter && self.name.is_some() == self.generate_name {
            return Err(UsageError::because("One of --name or --generate-name must be specified with --alter."));
        }
        if *action == Action::Delete && self.name.is_none() && !out.can_ask() {
            return Err(UsageError::because("A client metrics resource name must be specified with --delete."));
        }
        if self.interval.as_deref().is_some_and(|text| !text.is_empty() && text.parse::<i32>().is_err()) {
            return Err(UsageError::because("Invalid interval value. Enter an integer, or leave empty to reset."));
        }
        Ok(*action)
    }

    /// What `--alter` sets; an empty value takes the setting back.
    fn changes(&self) -> Vec<AlterConfig> {
        let joined = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
        let values = [self.interval.clone(), joined(&self.r#match), joined(&self.metrics)];
        KEYS.iter()
            .zip(values)
            .filter_map(|(key, value)| {
                let change = match value? {
                    empty if empty.is_empty() => ConfigChange::Delete,
                    value => ConfigChange::Set(value),
                };
                Some(AlterConfig { name: (*key).to_owned(), change })
            })
            .collect()
    }

    async fn alter(&self, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        let name = self.name.clone().unwrap_or_else(|| Uuid::random().to_string());
        let changes = self.changes();
        let steps: Vec<_> = changes
            .iter()
            .map(|change| match &change.change {
                ConfigChange::Set(value) => (
                    format!("set {}={value} of {name}", change.name),
                    json!({ "name": name, "set": change.name, "value": value }),
                ),
                _ => (format!("delete {} of {name}", change.name), json!({ "name": name, "delete": change.name })),
            })
            .collect();
        apply(&name, changes, self.dry_run, admin).await?;
        if self.dry_run {
            return Ok(print_plan(&steps, out)?);
        }
        match out.style() {
            Style::Json => out.json(&json!({ "version": 1, "altered": name }))?,
            _ => out.line(format_args!("Altered client metrics config for {name}."))?,
        }
        Ok(())
    }

    async fn delete(&self, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let names = names(admin).await?;
                if names.is_empty() {
                    return Err(anyhow::anyhow!("there are no subscriptions"));
                }
                pick("Subscription", names, out)?
            }
        };
        let changes: Vec<_> = entries(&name, admin)
            .await?
            .into_iter()
            .map(|entry| AlterConfig { name: entry.name, change: ConfigChange::Delete })
            .collect();
        if self.dry_run {
            return Ok(print_plan(&[(format!("delete {name}"), json!({ "delete": name }))], out)?);
        }
        confirm_unless(self.yes, &format!("Delete the subscription {name}?"), out)?;
        if !changes.is_empty() {
            apply(&name, changes, false, admin).await?;
        }
        match out.style() {
            Style::Json => out.json(&json!({ "version": 1, "deleted": name }))?,
            _ => out.line(format_args!("Deleted client metrics config for {name}."))?,
        }
        Ok(())
    }

    async fn describe(&self, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        let known = names(admin).await?;
        let names = match &self.name {
            Some(name) if !known.contains(name) => {
                let missing =
                    format!("The client metric resource {name} doesn't exist and doesn't have dynamic config.");
                match out.style() {
                    Style::Kafka => out.line(missing)?,
                    Style::Table => out.note(missing)?,
                    Style::Json => out.json(&json!({ "version": 1, "subscriptions": [] }))?,
                }
                return Ok(());
            }
            Some(name) => vec![name.clone()],
            None => known,
        };
        let mut described = Vec::new();
        for name in names {
            described.push((entries(&name, admin).await?, name));
        }
        let value = |entry: &ConfigEntry| entry.value.clone().unwrap_or_default();
        match out.style() {
            Style::Kafka => {
                for (entries, name) in &described {
                    out.line(format_args!("Client metrics configs for {name} are:"))?;
                    for entry in entries {
                        out.line(format_args!("  {}={}", entry.name, value(entry)))?;
                    }
                }
            }
            Style::Table => {
                let cell = |entries: &[ConfigEntry], key: &str| {
                    entries.iter().find(|entry| entry.name == key).map(value).unwrap_or_default()
                };
                let rows = described.iter().map(|(entries, name)| {
                    std::iter::once(name.clone()).chain(KEYS.iter().map(|key| cell(entries, key))).collect()
                });
                if described.is_empty() {
                    out.note("no subscriptions")?;
                }
                out.table(&["Subscription", "Every ms", "Clients", "Metrics"], rows.collect())?;
            }
            Style::Json => {
                let one = |(entries, name): &(Vec<ConfigEntry>, String)| {
                    let configs: serde_json::Map<_, _> =
                        entries.iter().map(|entry| (entry.name.clone(), value(entry).into())).collect();
                    json!({ "name": name, "configs": configs })
                };
                let all: Vec<_> = described.iter().map(one).collect();
                out.json(&json!({ "version": 1, "subscriptions": all }))?;
            }
        }
        Ok(())
    }
}

fn resource(name: &str) -> ConfigResource {
    ConfigResource { resource_type: ResourceType::ClientMetrics, name: name.to_owned() }
}

async fn names(admin: &Admin) -> anyhow::Result<Vec<String>> {
    let mut names = admin
        .list_config_resources(ResourceType::ClientMetrics)
        .await
        .map_err(|error| JavaError::call("listConfigResources", &error))?;
    names.sort();
    Ok(names)
}

/// What a subscription consists of, sorted.
async fn entries(name: &str, admin: &Admin) -> anyhow::Result<Vec<ConfigEntry>> {
    let results = admin
        .describe_configs(&[resource(name)], None, false)
        .await
        .map_err(|error| JavaError::call("describeConfigs", &error))?;
    let mut entries = Vec::new();
    for (_, described) in results {
        entries.extend(described.map_err(|error| JavaError::api(&error))?);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

async fn apply(name: &str, changes: Vec<AlterConfig>, validate_only: bool, admin: &Admin) -> anyhow::Result<()> {
    let results = admin
        .alter_configs(&[(resource(name), changes)], validate_only)
        .await
        .map_err(|error| JavaError::call("incrementalAlterConfigs", &error))?;
    for (_, result) in results {
        result.map_err(|error| JavaError::api(&error))?;
    }
    Ok(())
}

async fn list(admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let names = names(admin).await?;
    match out.style() {
        // No names are an empty line.
        Style::Kafka => out.line(names.join("\n"))?,
        Style::Table if names.is_empty() => out.note("no subscriptions")?,
        Style::Table => out.table(&["Subscription"], names.into_iter().map(|name| vec![name]).collect())?,
        Style::Json => out.json(&json!({ "version": 1, "subscriptions": names }))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn parsed(words: &[&str]) -> ClientMetrics {
        ClientMetrics::try_parse_from(std::iter::once(&"client-metrics").chain(words)).unwrap()
    }

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        let (out, _) = Output::captured();
        for (words, message) in [
            ("", "Command must include exactly one action: --alter, --delete, --describe or --list."),
            ("--alter", "One of --name or --generate-name must be specified with --alter."),
            ("--alter --name a --generate-name", "One of --name or --generate-name must be specified with --alter."),
            ("--delete", "A client metrics resource name must be specified with --delete."),
            ("--list --name a", "Option \"[list]\" can't be used with option \"[name]\""),
            ("--describe --interval 1", "Option \"[describe]\" can't be used with option \"[interval]\""),
            ("--alter --name a --interval abc", "Invalid interval value. Enter an integer, or leave empty to reset."),
        ] {
            let words: Vec<_> = words.split_whitespace().collect();
            assert_eq!(parsed(&words).check(&out).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn empty_values_take_settings_back() {
        let args =
            parsed(&["--alter", "--name", "a", "--interval", "5000", "--metrics", "", "--match", "client_id=x.*,b=c"]);
        let change = |name: &str, change| AlterConfig { name: name.to_owned(), change };
        assert_eq!(
            args.changes(),
            [
                change("interval.ms", ConfigChange::Set("5000".to_owned())),
                change("match", ConfigChange::Set("client_id=x.*,b=c".to_owned())),
                change("metrics", ConfigChange::Delete),
            ]
        );
    }
}
