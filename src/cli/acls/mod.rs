//! `acls`: who may do what. Kafka's `kafka-acls.sh`.
//!
//! Start reading at [`Acls::check`], then `rules.rs`: which rules the options stand for.

mod remove;
mod rules;

use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Run;
use super::support::{
    BrokerOrControllerArgs, Exit, IgnoredWords, JavaError, Mistake, Output, OutputArgs, Style, UsageError, block_on,
    print_plan, report_failure,
};
use crate::client::admin::{AclBinding, AclEntry, AclFilter, AclResourceType, PatternType, ResourcePattern};
use crate::client::{Admin, ClientError};
use rules::{entry_text, pattern_text};

/// Show, add or remove rules about who may do what
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(after_help = "\
kafka-rs acls --list --topic orders   list the rules of a topic
kafka-rs acls --add --allow-principal User:alice --producer --topic orders   let somebody produce
kafka-rs acls --add --consumer --allow-principal User:a --topic t --group g   let somebody consume in a group
kafka-rs acls --remove --topic orders --deny-principal User:eve   take a rule away

* as a name stands for all. Operations: Read, Write, Create, Delete, Alter, Describe, ClusterAction, DescribeConfigs, \
AlterConfigs, IdempotentWrite, CreateTokens, DescribeTokens, TwoPhaseCommit, All.")]
pub(super) struct Acls {
    /// List rules
    #[arg(long, help_heading = "Actions")]
    list: bool,
    /// Add rules
    #[arg(long, help_heading = "Actions")]
    add: bool,
    /// Remove rules
    #[arg(long, help_heading = "Actions")]
    remove: bool,

    /// A topic
    #[arg(long, value_name = "NAME", help_heading = "What")]
    topic: Vec<String>,
    /// A group
    #[arg(long, value_name = "ID", help_heading = "What")]
    group: Vec<String>,
    /// The cluster
    #[arg(long, help_heading = "What")]
    cluster: bool,
    /// A transactional id
    #[arg(long, value_name = "ID", help_heading = "What", hide_short_help = true)]
    transactional_id: Vec<String>,
    /// A delegation token
    #[arg(long, value_name = "ID", help_heading = "What", hide_short_help = true)]
    delegation_token: Vec<String>,
    /// A user, whose tokens are meant
    #[arg(long, value_name = "TYPE:NAME", help_heading = "What", hide_short_help = true)]
    user_principal: Vec<String>,
    /// How names are meant: literal, prefixed; to list or remove also any, match [default: literal]
    #[arg(long, value_name = "TYPE", help_heading = "What", hide_short_help = true)]
    resource_pattern_type: Option<String>,

    /// Who may, as User:alice
    #[arg(long, value_name = "TYPE:NAME", help_heading = "Who")]
    allow_principal: Vec<String>,
    /// Who may not
    #[arg(long, value_name = "TYPE:NAME", help_heading = "Who")]
    deny_principal: Vec<String>,
    /// From where they may [default: anywhere]
    #[arg(long, value_name = "ADDRESS", help_heading = "Who")]
    allow_host: Vec<String>,
    /// From where they may not [default: anywhere]
    #[arg(long, value_name = "ADDRESS", help_heading = "Who", hide_short_help = true)]
    deny_host: Vec<String>,
    /// List only the rules about these
    #[arg(long, value_name = "TYPE:NAME", help_heading = "Who")]
    principal: Vec<String>,

    /// What they may do [default: All]
    #[arg(long, value_name = "NAME")]
    operation: Vec<String>,
    /// All that a producer needs on the topic and the transactional id
    #[arg(long)]
    producer: bool,
    /// With --producer: idempotence too
    #[arg(long, hide_short_help = true)]
    idempotent: bool,
    /// All that a consumer needs: Read, Describe on the topic, Read on the group
    #[arg(long)]
    consumer: bool,

    /// Class of the authorizer, when rules were in ZooKeeper
    #[arg(long, value_name = "CLASS", hide = true)]
    authorizer: Option<String>,
    /// Where that ZooKeeper was
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    authorizer_properties: Vec<String>,
    /// How to connect to it
    #[arg(long, value_name = "FILE", hide = true)]
    zk_tls_config_file: Option<PathBuf>,

    /// Don't ask
    #[arg(long, alias = "yes", short = 'y')]
    force: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: BrokerOrControllerArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    List,
    Add,
    Remove,
}

const EXECUTION: &str = "java.util.concurrent.ExecutionException";

impl Run for Acls {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.tell_old_options(out)?;
        let action = self.check()?;
        let pattern_type = self.pattern_type()?;
        // What the options stand for is found out before a cluster is asked.
        let (rules, filters) = match action {
            Action::List => (Vec::new(), self.resources(pattern_type)),
            Action::Add => (self.rules_to_add(pattern_type)?, Vec::new()),
            Action::Remove => (self.rules(pattern_type)?, Vec::new()),
        };
        let principals = self.principals(&self.principal)?;
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(async {
            match action {
                Action::List => list(&filters, &principals, &admin, out).await,
                Action::Add => self.add(&rules, &admin, out).await,
                Action::Remove => self.remove(&rules, &admin, out).await,
            }
        })?;
        Ok(Exit::Success)
    }

    /// Some values are found wrong only when Kafka's tool is at work.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        if mistake.kind == Mistake::BadValue && out.tells_errors_as_kafka() {
            out.line(format_args!("Error while executing ACL command: {mistake}"))?;
            return Ok(Exit::Failure);
        }
        mistake.report(called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| out.line(format_args!("Error while executing ACL command: {error}")))?;
        Ok(Exit::Failure)
    }
}

/// Rules about one thing: none means all that there are.
type Rules = Vec<(ResourcePattern, Vec<AclEntry>)>;

fn called(call: &'static str) -> impl Fn(ClientError) -> JavaError {
    move |error| JavaError::call(call, &error).wrapped_in(EXECUTION)
}

impl Acls {
    /// Says what to write today instead of the options of a Kafka that had its rules in ZooKeeper.
    fn tell_old_options(&self, out: &mut Output) -> io::Result<()> {
        let without_effect = [
            ("authorizer", self.authorizer.is_some()),
            ("authorizer-properties", !self.authorizer_properties.is_empty()),
            ("zk-tls-config-file", self.zk_tls_config_file.is_some()),
        ];
        let mut given = without_effect.iter().filter(|(_, given)| *given);
        given.try_for_each(|(name, _)| {
            out.note(format_args!("--{name} is old: the brokers are asked, see --bootstrap-server"))
        })
    }

    /// The action, if the options make sense. The order and the texts are Kafka's.
    fn check(&self) -> anyhow::Result<Action> {
        self.connect.check("Only one of --bootstrap-server or --bootstrap-controller must be specified")?;
        let action = match (self.list, self.add, self.remove) {
            (true, false, false) => Action::List,
            (false, true, false) => Action::Add,
            (false, false, true) => Action::Remove,
            _ => {
                // The space at the end is Kafka's.
                let message = "Command must include exactly one action: --list, --add, --remove. ";
                return Err(UsageError::because(message));
            }
        };
        let given = |values: &[String]| !values.is_empty();
        let not_with_list = [
            ("producer", self.producer),
            ("consumer", self.consumer),
            ("allow-host", given(&self.allow_host)),
            ("allow-principal", given(&self.allow_principal)),
            ("deny-host", given(&self.deny_host)),
            ("deny-principal", given(&self.deny_principal)),
        ];
        let not_with_roles = [
            ("operation", given(&self.operation)),
            ("deny-principal", given(&self.deny_principal)),
            ("deny-host", given(&self.deny_host)),
        ];
        let pairs = [
            ("list", self.list, &not_with_list[..]),
            ("producer", self.producer, &not_with_roles),
            ("consumer", self.consumer, &not_with_roles),
        ];
        for (option, used, others) in pairs {
            if let Some((other, _)) = others.iter().find(|(_, given)| used && *given) {
                return Err(UsageError::conflict(option, other));
            }
        }
        let because = |message: &str| Err(UsageError::because(message));
        if given(&self.principal) && !self.list {
            return because("The --principal option is only available if --list is set");
        }
        if self.producer && self.topic.is_empty() {
            return because("With --producer you must specify a --topic");
        }
        if self.idempotent && !self.producer {
            return because("The --idempotent option is only available if --producer is set");
        }
        let more = !self.producer && (self.cluster || given(&self.transactional_id));
        if self.consumer && (self.topic.is_empty() || self.group.is_empty() || more) {
            return because(
                "With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option \
                 should be specified.",
            );
        }
        Ok(action)
    }

    async fn add(&self, rules: &Rules, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        let mut steps = Vec::new();
        let mut added = Vec::new();
        for (pattern, entries) in rules {
            let filter = AclFilter { pattern: pattern.clone(), entry: None };
            let existing = admin.describe_acls(&filter).await.map_err(called("describeAcls"))?;
            let mut new = Vec::new();
            for entry in entries {
                let binding = AclBinding { pattern: pattern.clone(), entry: entry.clone() };
                if !existing.contains(&binding) {
                    new.push(binding);
                } else if out.style() != Style::Json {
                    let (pattern, entry) = (pattern_text(pattern), entry_text(entry));
                    out.line(format_args!("Acl (pattern={pattern}, entry={entry}) already exists."))?;
                }
            }
            if self.dry_run {
                steps.extend(new.iter().map(|binding| {
                    let text = format!("add {} to {}", entry_text(&binding.entry), pattern_text(&binding.pattern));
                    (text, json!({ "add": json_of(binding) }))
                }));
                continue;
            }
            if new.is_empty() {
                continue;
            }
            if out.style() != Style::Json {
                // The spaces behind the colon and before the first entry are Kafka's.
                out.line(format_args!("Adding ACLs for resource `{}`: ", pattern_text(pattern)))?;
                out.line(format_args!(" {}\n", entry_lines(new.iter().map(|binding| &binding.entry))))?;
            }
            for result in admin.create_acls(&new).await.map_err(called("createAcls"))? {
                result.map_err(|error| JavaError::api(&error).wrapped_in(EXECUTION))?;
            }
            added.extend(new);
        }
        if self.dry_run {
            return Ok(print_plan(&steps, out)?);
        }
        if out.style() == Style::Json {
            let added: Vec<_> = added.iter().map(json_of).collect();
            out.json(&json!({ "version": 1, "added": added }))?;
        }
        Ok(())
    }
}

fn entry_lines<'a>(entries: impl Iterator<Item = &'a AclEntry>) -> String {
    let lines: Vec<_> = entries.map(|entry| format!("\t{}", entry_text(entry))).collect();
    lines.join("\n")
}

async fn list(
    filters: &[ResourcePattern],
    principals: &[String],
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<()> {
    let any = ResourcePattern { resource_type: AclResourceType::Any, name: None, pattern_type: PatternType::Any };
    let filters = if filters.is_empty() { vec![any] } else { filters.to_vec() };
    let mut found: Vec<AclBinding> = Vec::new();
    for pattern in filters {
        let filter = AclFilter { pattern, entry: None };
        for binding in admin.describe_acls(&filter).await.map_err(called("describeAcls"))? {
            if !found.contains(&binding) {
                found.push(binding);
            }
        }
    }
    found.sort_by(|a, b| order(a).cmp(&order(b)));
    let rules = by_resource(&found);
    match out.style() {
        Style::Kafka if principals.is_empty() => print(&rules, None, out)?,
        Style::Kafka => {
            for principal in principals {
                out.line(format_args!("ACLs for principal `{principal}`"))?;
                print(&rules, Some(principal), out)?;
            }
        }
        style => {
            found.retain(|binding| principals.is_empty() || principals.contains(&binding.entry.principal));
            if style == Style::Json {
                let rules: Vec<_> = found.iter().map(json_of).collect();
                out.json(&json!({ "version": 1, "acls": rules }))?;
            } else {
                if found.is_empty() {
                    out.note("no rules")?;
                }
                print_table(&found, out)?;
            }
        }
    }
    Ok(())
}

/// What rules are sorted by: brokers tell them in no order, and outputs should compare.
fn order(binding: &AclBinding) -> (i8, Option<&str>, i8, &str, &str, i8, i8) {
    let AclBinding { pattern, entry } = binding;
    (
        pattern.resource_type as i8,
        pattern.name.as_deref(),
        pattern.pattern_type as i8,
        &entry.principal,
        &entry.host,
        entry.operation as i8,
        entry.permission as i8,
    )
}

/// The rules of each thing.
fn by_resource(found: &[AclBinding]) -> Rules {
    let mut rules = Rules::new();
    for binding in found {
        match rules.iter_mut().find(|(pattern, _)| *pattern == binding.pattern) {
            Some((_, entries)) => entries.push(binding.entry.clone()),
            None => rules.push((binding.pattern.clone(), vec![binding.entry.clone()])),
        }
    }
    rules
}

fn print(rules: &Rules, principal: Option<&str>, out: &mut Output) -> io::Result<()> {
    for (pattern, entries) in rules {
        let shown: Vec<_> =
            entries.iter().filter(|entry| principal.is_none_or(|principal| entry.principal == principal)).collect();
        if shown.is_empty() {
            continue;
        }
        out.line(format_args!("Current ACLs for resource `{}`:", pattern_text(pattern)))?;
        out.line(format_args!("{}\n", entry_lines(shown.into_iter())))?;
    }
    Ok(())
}

fn print_table(rules: &[AclBinding], out: &mut Output) -> io::Result<()> {
    out.table(&["Resource", "Name", "Who", "From", "May", "Do"], rules.iter().map(row).collect())
}

fn row(binding: &AclBinding) -> Vec<String> {
    let AclBinding { pattern, entry } = binding;
    let name = pattern.name.clone().unwrap_or_default();
    let name = if pattern.pattern_type == PatternType::Prefixed { format!("{name}…") } else { name };
    vec![
        pattern.resource_type.name().to_ascii_lowercase(),
        name,
        entry.principal.clone(),
        entry.host.clone(),
        entry.permission.name().to_ascii_lowercase(),
        entry.operation.name().to_ascii_lowercase(),
    ]
}

fn json_of(binding: &AclBinding) -> Value {
    let AclBinding { pattern, entry } = binding;
    json!({
        "resourceType": pattern.resource_type.name(),
        "name": pattern.name,
        "patternType": pattern.pattern_type.name(),
        "principal": entry.principal,
        "host": entry.host,
        "operation": entry.operation.name(),
        "permissionType": entry.permission.name(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    pub(super) fn parsed(words: &str) -> Acls {
        Acls::try_parse_from(std::iter::once("acls").chain(words.split_whitespace())).unwrap()
    }

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        for (words, message) in [
            ("", "Command must include exactly one action: --list, --add, --remove. "),
            ("--list --add", "Command must include exactly one action: --list, --add, --remove. "),
            ("--list --producer", "Option \"[list]\" can't be used with option \"[producer]\""),
            ("--list --allow-principal User:a", "Option \"[list]\" can't be used with option \"[allow-principal]\""),
            ("--add --allow-principal User:a --producer", "With --producer you must specify a --topic"),
            (
                "--add --allow-principal User:a --consumer --topic t",
                "With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option \
                 should be specified.",
            ),
            (
                "--add --allow-principal User:a --idempotent --topic t",
                "The --idempotent option is only available if --producer is set",
            ),
            (
                "--add --allow-principal User:a --producer --topic t --operation Read",
                "Option \"[producer]\" can't be used with option \"[operation]\"",
            ),
            ("--remove --topic t --principal User:a", "The --principal option is only available if --list is set"),
            (
                "--list --bootstrap-server b:1 --bootstrap-controller c:1",
                "Only one of --bootstrap-server or --bootstrap-controller must be specified",
            ),
        ] {
            assert_eq!(parsed(words).check().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn rules_are_listed_as_kafkas_tool_lists_them() {
        let args = parsed("--add --topic orders --allow-principal User:alice --operation Read --operation Write");
        let rules = args.rules(PatternType::Literal).unwrap();
        let (mut out, captured) = Output::captured();
        print(&rules, None, &mut out).unwrap();
        print(&rules, Some("User:bob"), &mut out).unwrap();
        out.flush().unwrap();
        assert_eq!(
            captured.stdout(),
            "Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=orders, patternType=LITERAL)`:\n\
             \t(principal=User:alice, host=*, operation=READ, permissionType=ALLOW)\n\
             \t(principal=User:alice, host=*, operation=WRITE, permissionType=ALLOW)\n\n"
        );
    }
}
