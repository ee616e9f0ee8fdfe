//! `profile`: clusters by name, so that tools need no `--bootstrap-server` and no `--command-config`.
//!
//! Kafka has no such tool: its scripts are told everything each time.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::Run;
use super::help::Example;
use super::support::{
    Exit, Hinted, Output, OutputArgs, Profiles, Style, confirm_unless, explained_config, print_plan, warn,
    write_private,
};
use crate::config::{AdminConfig, Client, ClientProperties, Kind, Scope, properties, table};

/// Keep clusters by name: where they are and how to connect
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Which cluster a tool talks to, the first that is given: --bootstrap-server, --profile, KAFKA_RS_BOOTSTRAP, \
KAFKA_RS_PROFILE, the profile in use, localhost:9092. Settings of a profile count less than those of --command-config and \
of the tool's own options; with --bootstrap-server only those of --profile count.

docs/output.md has the JSON of --output json.")]
pub(super) struct ProfileTool {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keep a cluster
    Add(Add),
    /// Use a profile where neither a flag nor the environment says otherwise
    Use(Use),
    /// List the profiles; the one in use has a star
    List(List),
    /// Show the settings of a profile, without passwords
    Show(Show),
    /// Remove a profile
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Its name
    name: String,
    /// Brokers to connect to
    #[arg(long, value_name = "HOST:PORT,...")]
    bootstrap_server: Option<String>,
    /// File with settings of clients, which are copied
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    command_config: Option<PathBuf>,
    /// Settings of clients
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Write over a profile of this name
    #[arg(long)]
    replace: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct Use {
    /// Its name
    #[arg(required_unless_present = "none")]
    name: Option<String>,
    /// Use no profile any more
    #[arg(long, conflicts_with = "name")]
    none: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    output: OutputArgs,
    /// Its name [default: the one in use]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// Its name
    name: String,
    /// Answer the question ahead
    #[arg(long, short)]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const SERVERS: &str = "bootstrap.servers";

impl Run for ProfileTool {
    const EXAMPLES: &'static [Example] = &[
        ("Keep a cluster", "kafka-rs profile add dev --bootstrap-server localhost:9092"),
        ("With settings of clients", "kafka-rs profile add prod --command-config prod.properties"),
        ("Use it from now on", "kafka-rs profile use prod"),
        ("See which there are", "kafka-rs profile list"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        let profiles = Profiles::of_user().ok_or_else(|| {
            Hinted::error("no directory for profiles: neither XDG_CONFIG_HOME nor HOME is set", "set one of them")
        })?;
        match self.command {
            Command::Add(add) => add.run(&profiles, out)?,
            Command::Use(Use { name, dry_run, output, .. }) => {
                output.apply(out);
                let profile = name.map(|name| profiles.get(&name)).transpose()?;
                if let Some(profile) = &profile {
                    profile.servers()?;
                }
                let name = profile.map(|profile| profile.name);
                if dry_run {
                    let what =
                        name.as_ref().map_or("use no profile".to_owned(), |name| format!("use the profile {name}"));
                    print_plan(&[(what, json!({ "use": name }))], out)?;
                    return Ok(Exit::Success);
                }
                profiles.set_in_use(name.as_deref()).context("could not write which profile is in use")?;
                done("inUse", name.as_deref(), out)?;
            }
            Command::List(List { output }) => {
                output.apply(out);
                list(&profiles, out)?;
            }
            Command::Show(Show { output, name }) => {
                output.apply(out);
                show(&profiles, name, out)?;
            }
            Command::Remove(Remove { name, yes, dry_run, output }) => {
                output.apply(out);
                let profile = profiles.get(&name)?;
                if dry_run {
                    let what = format!("remove the profile {name} ({})", profile.path.display());
                    print_plan(&[(what, json!({ "remove": name }))], out)?;
                    return Ok(Exit::Success);
                }
                confirm_unless(yes, &format!("Remove the profile {name} ({})?", profile.path.display()), out)?;
                profiles.remove(&profile).with_context(|| format!("could not remove {}", profile.path.display()))?;
                done("removed", Some(&name), out)?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Add {
    fn run(self, profiles: &Profiles, out: &mut Output) -> anyhow::Result<()> {
        let Self { name, bootstrap_server, command_config, settings, replace, dry_run, output } = self;
        output.apply(out);
        let path = profiles.path(&name)?;
        if path.exists() && !replace {
            return Err(Hinted::error(format!("the profile {name} exists already"), "--replace writes over it"));
        }
        let mut found = ClientProperties::new(Client::Admin);
        if let Some(file) = &command_config {
            found.read(file)?;
        }
        for setting in &settings {
            if !setting.contains('=') {
                return Err(Hinted::error(format!("`{setting}` is no setting"), "write it as key=value"));
            }
            found.add_option(setting);
        }
        warn(&found.warnings(), out)?;
        if let Some(servers) = &bootstrap_server {
            found.set(SERVERS, servers);
        }
        if found.get(SERVERS).is_none() {
            return Err(Hinted::error("the profile says no broker", "add --bootstrap-server HOST:PORT"));
        }
        AdminConfig::new(&found).map_err(explained_config)?;
        if dry_run {
            let verb = if path.exists() { "write over" } else { "keep" };
            let what = format!("{verb} the profile {name} ({})", path.display());
            print_plan(&[(what, json!({ "add": name }))], out)?;
            return Ok(());
        }
        let mut text = String::new();
        for (key, value) in found.iter() {
            properties::write_entry(&mut text, key, value);
        }
        write_private(&path, &text).with_context(|| format!("could not write {}", path.display()))?;
        if out.is_for_people() && profiles.in_use().as_deref() != Some(&name) {
            out.hint(&format!("`kafka-rs profile use {name}` makes it the one that tools use"))?;
        }
        done("added", Some(&name), out)
    }
}

/// What was done, for programs; people and scripts see it from the exit code.
fn done(what: &str, name: Option<&str>, out: &mut Output) -> anyhow::Result<()> {
    if out.style() == Style::Json {
        out.json(&json!({"version": 1, what: name}))?;
    }
    Ok(())
}

fn list(profiles: &Profiles, out: &mut Output) -> anyhow::Result<()> {
    let in_use = profiles.in_use();
    let mut found = Vec::new();
    for name in profiles.names().context("could not list the profiles")? {
        let settings = profiles.get(&name)?.properties(Client::Admin)?;
        let servers = settings.get(SERVERS).unwrap_or("(none: it can't be used)").to_owned();
        let is_used = in_use.as_ref() == Some(&name);
        found.push((name, servers, is_used));
    }
    let star = |is_used: bool| if is_used { "*" } else { "" };
    match out.style() {
        Style::Kafka => {
            for (name, servers, is_used) in &found {
                out.line(format_args!("{name}{}\t{servers}", star(*is_used)))?;
            }
        }
        Style::Table => {
            let row = |(name, servers, is_used): (String, String, bool)| vec![star(is_used).to_owned(), name, servers];
            if found.is_empty() {
                out.note("no profiles")?;
            }
            out.table(&["", "Profile", "Brokers"], found.into_iter().map(row).collect())?;
        }
        Style::Json => {
            let object = |(name, servers, is_used): &(String, String, bool)| json!({"name": name, "inUse": is_used, "bootstrapServers": servers});
            let listed: Vec<_> = found.iter().map(object).collect();
            out.json(&json!({"version": 1, "profiles": listed}))?;
        }
    }
    Ok(())
}

fn show(profiles: &Profiles, name: Option<String>, out: &mut Output) -> anyhow::Result<()> {
    let name = name.or_else(|| profiles.in_use());
    let name = name.ok_or_else(|| Hinted::error("no profile is in use", "`kafka-rs profile list` lists them"))?;
    let found = profiles.get(&name)?.properties(Client::Admin)?;
    let is_secret = |key: &str| {
        let of = |scope| table(scope).get(key).is_some_and(|def| def.kind == Kind::Password);
        [Scope::Admin, Scope::Producer, Scope::Consumer].into_iter().any(of)
    };
    let shown = found.iter().map(|(key, value)| (key, if is_secret(key) { "[hidden]" } else { value }));
    match out.style() {
        Style::Kafka => {
            for (key, value) in shown {
                out.line(format_args!("{key}={value}"))?;
            }
        }
        Style::Table => {
            let rows = shown.map(|(key, value)| vec![key.to_owned(), value.to_owned()]).collect();
            out.table(&["Setting", "Value"], rows)?;
        }
        Style::Json => {
            let settings: serde_json::Map<_, _> = shown.map(|(key, value)| (key.to_owned(), value.into())).collect();
            out.json(&json!({"version": 1, "name": name, "settings": settings}))?;
        }
    }
    Ok(())
}
