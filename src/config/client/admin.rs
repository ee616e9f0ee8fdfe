//! Settings of an admin client.

use std::time::Duration;

use super::common::parse_servers;
use super::{ClientProperties, CommonClientConfig, client_config};
use crate::config::error::ConfigError;
use crate::config::listeners::HostPort;

client_config! {
    /// Settings of an admin client.
    AdminConfig {
        /// What all clients have.
        common: CommonClientConfig,
        /// `bootstrap.controllers`: controllers to talk to in place of brokers.
        bootstrap_controllers: Vec<HostPort>,
        /// `default.api.timeout.ms`; at least `request.timeout.ms`
        default_api_timeout_ms: Duration,
    }
    retries: usize,
}

impl AdminConfig {
    /// Checks and reads the settings of an admin client.
    ///
    /// # Errors
    /// What is not valid, breaks one of Kafka's rules or is not supported yet.
    pub fn new(properties: &ClientProperties) -> Result<Self, ConfigError> {
        let values = properties.values()?;
        let build = || {
            let common = CommonClientConfig::resolve(properties, &values)?;
            let controllers = "bootstrap.controllers";
            let controllers = parse_servers(controllers, &values.read::<Vec<String>>(controllers)?)?;
            let timeout = api_timeout(properties, values.read("default.api.timeout.ms")?, common.request_timeout_ms)?;
            Self::read(common, controllers, timeout, &values)?.checked()
        };
        build().map_err(|error| properties.placed(error))
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let rule = |name: &str, message: &str| Err(ConfigError::rule(name, message));
        match (self.common.bootstrap_servers.is_empty(), self.bootstrap_controllers.is_empty()) {
            (true, true) => {
                return rule("bootstrap.servers", "You must set either bootstrap.servers or bootstrap.controllers");
            }
            (false, false) => {
                return rule("bootstrap.servers", "You cannot set both bootstrap.servers and bootstrap.controllers");
            }
            _ => {}
        }
        Ok(self)
    }
}

fn api_timeout(properties: &ClientProperties, timeout: Duration, request: Duration) -> Result<Duration, ConfigError> {
    const KEY: &str = "default.api.timeout.ms";
    if timeout >= request || !properties.is_set(KEY) {
        return Ok(timeout.max(request));
    }
    let message =
        "The specified value of default.api.timeout.ms must be no smaller than the value of request.timeout.ms.";
    Err(ConfigError::rule(KEY, message))
}
