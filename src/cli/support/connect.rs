//! How a tool reaches its broker: addresses, old spellings, and what to say when nobody answers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::profile::{Profile, Profiles};
use super::{DEFAULT_SERVER, Hinted, Output, telling_of_silence};
use crate::client::ClientOptions;
use crate::config::{AdminConfig, Client, ClientProperties, ConfigError, Place, Warning, warning_lines};

/// The options that say where the broker is.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...")]
    pub(crate) bootstrap_server: Option<String>,
    /// File with settings of the client, such as timeouts
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, alias = "config-file")]
    pub(crate) command_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
    /// Whether settings that do nothing are not worth a word.
    #[arg(skip)]
    pub(crate) quiet: bool,
}

/// Other ways to say where the broker is: those of tutorials for older versions of Kafka, and profiles.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OldServerOptions {
    /// Old spelling of --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...", hide = true)]
    broker_list: Option<String>,
    /// Address of ZooKeeper, before there was --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...", hide = true)]
    zookeeper: Option<String>,
    /// Profile that says where the brokers are and how to connect
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    profile: Option<String>,
}

/// The cluster that a tool talks to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its brokers: `bootstrap.servers`.
    pub(crate) servers: String,
    /// The profile whose settings count, below everything that the tool is told.
    profile: Option<Profile>,
}

impl ConnectArgs {
    /// For a tool that connects to more than one cluster, and has options of its own for each.
    pub(crate) fn of(servers: &str, command_config: Option<PathBuf>) -> Self {
        Self { bootstrap_server: Some(servers.to_owned()), command_config, ..Self::default() }
    }

    /// The value of `--broker-list`, for the tools where it does not say where to connect to.
    pub(crate) fn take_broker_list(&mut self) -> Option<String> {
        self.old.broker_list.take()
    }

    /// The cluster; says on stderr what to write today instead of an old spelling.
    pub(crate) fn target(&self, out: &mut Output) -> anyhow::Result<Target> {
        self.old.target(self.bootstrap_server.as_deref(), out)
    }

    /// The settings for calls of an administrator.
    pub(crate) fn admin_options(&self, out: &mut Output) -> anyhow::Result<ClientOptions> {
        let target = self.target(out)?;
        self.admin_options_at("bootstrap.servers", &target.servers, &target, out)
    }

    /// The settings for calls of an administrator to controllers.
    pub(crate) fn controller_options(&self, controllers: &str, out: &mut Output) -> anyhow::Result<ClientOptions> {
        let target = self.old.target(Some(controllers), out)?;
        self.admin_options_at("bootstrap.controllers", controllers, &target, out)
    }

    fn admin_options_at(
        &self,
        key: &str,
        addresses: &str,
        target: &Target,
        out: &mut Output,
    ) -> anyhow::Result<ClientOptions> {
        let mut properties = target.properties(Client::Admin)?;
        if let Some(file) = &self.command_config {
            properties.read(file)?;
        }
        if !self.quiet {
            warn(&properties.warnings(), out)?;
        }
        properties.set(key, addresses);
        let config = AdminConfig::new(&properties).map_err(explained_config)?;
        Ok(telling_of_silence(ClientOptions::from(&config), out))
    }
}

impl OldServerOptions {
    /// The addresses alone, of [`OldServerOptions::target`].
    #[allow(dead_code, reason = "for tools that take no settings of clients")]
    pub(crate) fn servers(&self, given: Option<&str>, out: &mut Output) -> anyhow::Result<String> {
        Ok(self.target(given, out)?.servers)
    }

    /// The cluster; errors are told with the profile's name from here on, if there is one.
    pub(crate) fn target(&self, given: Option<&str>, out: &mut Output) -> anyhow::Result<Target> {
        let (servers, note) = match (given, &self.broker_list, &self.zookeeper) {
            (Some(servers), _, _) => (Some(servers), None),
            (None, Some(servers), _) => {
                (Some(servers.as_str()), Some(format!("--broker-list is old: write --bootstrap-server {servers}")))
            }
            (None, None, Some(_)) => (
                Some(DEFAULT_SERVER),
                Some(format!(
                    "--zookeeper is old, the broker itself is asked: write --bootstrap-server {DEFAULT_SERVER}"
                )),
            ),
            (None, None, None) => (None, None),
        };
        if let Some(note) = note {
            out.note(note)?;
        }
        let target = Target::find(servers, self.profile.as_deref(), |name| std::env::var_os(name))?;
        if let Some(profile) = &target.profile {
            out.set_profile(&profile.name);
        }
        Ok(target)
    }
}

impl Target {
    /// The cluster that is meant. The first that is there says: `servers`, the profile `name`, `KAFKA_RS_BOOTSTRAP`,
    /// `KAFKA_RS_PROFILE`, the profile in use, the default.
    ///
    /// Where `servers` are given a profile's settings count only if it was named with them: secrets of one cluster must
    /// not go to another because a profile happens to be in use.
    pub(crate) fn find(
        servers: Option<&str>,
        name: Option<&str>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> anyhow::Result<Self> {
        let text = |name| variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let profiles = || {
            let missing = || Hinted::error("there are no profiles", "neither XDG_CONFIG_HOME nor HOME is set");
            Profiles::of(&variable).ok_or_else(missing)
        };
        let profile = match (servers, name) {
            (_, Some(name)) => Some(profiles()?.get(name)?),
            (Some(_), None) => None,
            (None, None) => {
                if let Some(servers) = text("KAFKA_RS_BOOTSTRAP") {
                    return Ok(Self { servers, profile: None });
                }
                let in_use = || Profiles::of(&variable)?.in_use();
                match text("KAFKA_RS_PROFILE") {
                    Some(name) => Some(profiles()?.get(&name)?),
                    None => in_use().map(|name| profiles()?.get_in_use(&name)).transpose()?,
                }
            }
        };
        // Also where another address counts: a file that names no broker is no profile, whatever else is in it.
        let of_profile = profile.as_ref().map(Profile::servers).transpose()?;
        let servers = servers.map(str::to_owned).or(of_profile).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        Ok(Self { servers, profile })
    }

    /// The settings of the profile, if there is one: what a tool is told besides goes over them.
    pub(crate) fn properties(&self, client: Client) -> anyhow::Result<ClientProperties> {
        match &self.profile {
            Some(profile) => profile.properties(client),
            None => Ok(ClientProperties::new(client)),
        }
    }

    /// A cluster without a profile.
    #[cfg(test)]
    pub(crate) fn at(servers: &str) -> Self {
        Self { servers: servers.to_owned(), profile: None }
    }
}

/// The settings for calls of an administrator, for who may not say what is wrong with them.
pub(crate) fn quiet_admin_options(
    servers: Option<&str>,
    profile: Option<&str>,
    file: Option<&Path>,
) -> Option<ClientOptions> {
    let target = Target::find(servers, profile, |name| std::env::var_os(name)).ok()?;
    let mut properties = target.properties(Client::Admin).ok()?;
    if let Some(file) = file {
        properties.read(file).ok()?;
    }
    properties.set("bootstrap.servers", &target.servers);
    Some(ClientOptions::from(&AdminConfig::new(&properties).ok()?))
}

/// Says on stderr which settings do nothing.
pub(crate) fn warn(warnings: &[Warning], out: &mut Output) -> std::io::Result<()> {
    warning_lines(warnings).iter().try_for_each(|line| out.note(format_args!("warning: {line}")))
}

/// A wrong setting, with a hint where the address is what is wrong.
pub(crate) fn explained_config(error: ConfigError) -> anyhow::Error {
    let error = match error {
        // Only a file's name and line help to find the setting; the command line is what was just typed.
        ConfigError::At { place, error } if !matches!(place, Place::Line { .. }) => *error,
        error => error,
    };
    if error.key() == Some("bootstrap.servers") {
        return Hinted::error(
            error.to_string(),
            format!("write host and port, as in --bootstrap-server {DEFAULT_SERVER}"),
        );
    }
    anyhow::Error::new(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `find` makes of flags and of an environment with the profiles `dev` (in use) and `prod`.
    fn found(servers: Option<&str>, profile: Option<&str>, variables: &[(&str, &str)]) -> (String, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let variable = |name: &str| match name {
            "XDG_CONFIG_HOME" => Some(directory.path().as_os_str().to_owned()),
            _ => variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()),
        };
        let profiles = Profiles::of(variable).unwrap();
        for (name, port) in [("dev", 1), ("prod", 2)] {
            let text = format!("bootstrap.servers={name}:{port}\nclient.id={name}\n");
            super::super::write_private(&profiles.path(name).unwrap(), &text).unwrap();
        }
        profiles.set_in_use(Some("dev")).unwrap();
        let target = Target::find(servers, profile, variable).unwrap();
        let client_id = target.properties(Client::Producer).unwrap().get("client.id").map(str::to_owned);
        (target.servers, client_id)
    }

    fn is(servers: &str, client_id: Option<&str>) -> (String, Option<String>) {
        (servers.to_owned(), client_id.map(str::to_owned))
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_profile_in_use() {
        let bootstrap = ("KAFKA_RS_BOOTSTRAP", "env:3");
        let profile = ("KAFKA_RS_PROFILE", "prod");
        assert_eq!(found(None, None, &[]), is("dev:1", Some("dev")));
        assert_eq!(found(None, None, &[profile]), is("prod:2", Some("prod")));
        assert_eq!(found(None, None, &[bootstrap, profile]), is("env:3", None));
        assert_eq!(found(None, Some("dev"), &[bootstrap, profile]), is("dev:1", Some("dev")));
        // With an address nobody's secrets are sent there but those that were named with it.
        assert_eq!(found(Some("flag:4"), None, &[bootstrap, profile]), is("flag:4", None));
        assert_eq!(found(Some("flag:4"), Some("prod"), &[]), is("flag:4", Some("prod")));
    }

    #[test]
    fn without_anything_it_is_the_default() {
        let target = Target::find(None, None, |_| None).unwrap();
        assert_eq!(target.servers, DEFAULT_SERVER);
        let error = Target::find(None, Some("prod"), |_| None).unwrap_err();
        assert_eq!(error.to_string(), "there are no profiles");
    }
}
