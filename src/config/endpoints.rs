//! The addresses of a broker worked out of all keys that have a say in them, checked in Kafka's order.

use super::error::ConfigError;
use super::layers::{Layers, Values};
use super::listeners::{self, HostPort, Listener, Ports, ProtocolMap, SecurityProtocol, Voter};

/// What [`resolve`] works out; the fields of `ServerConfig` of the same names.
pub(super) struct Endpoints {
    pub(super) listeners: Vec<Listener>,
    pub(super) advertised_listeners: Vec<Listener>,
    pub(super) advertised_controller_listeners: Vec<Listener>,
    pub(super) inter_broker_listener_name: String,
    pub(super) controller_listener_names: Vec<String>,
    pub(super) controller_quorum_voters: Vec<Voter>,
    pub(super) controller_quorum_bootstrap_servers: Vec<HostPort>,
}

pub(super) fn resolve(layers: &Layers, values: &Values, node_id: i32) -> Result<Endpoints, ConfigError> {
    let list = |key: &str| values.read::<Option<Vec<String>>>(key).map(Option::unwrap_or_default);
    let asked_for_roles = !layers.is_filled_in("process.roles");

    let voters = listeners::parse_voters("controller.quorum.voters", &list("controller.quorum.voters")?)?;
    let bootstrap_servers =
        listeners::parse_servers("controller.quorum.bootstrap.servers", &list("controller.quorum.bootstrap.servers")?)?;
    check_roles(&list("process.roles")?)?;
    if asked_for_roles {
        check_quorum(&voters, &bootstrap_servers, node_id)?;
    }

    let controller_names: Vec<String> = list("controller.listener.names")?;
    if asked_for_roles && controller_names.is_empty() {
        return Err(ConfigError::Missing { name: "controller.listener.names".to_owned() });
    }
    let text: String = values.read("listener.security.protocol.map")?;
    let mut protocols = listeners::parse_protocol_map("listener.security.protocol.map", &text)?;
    let (own, advertised) = (list("listeners")?, list("advertised.listeners")?);
    if layers.get("listener.security.protocol.map").is_none() {
        map_controllers_to_plaintext(&mut protocols, &controller_names, &own);
    }
    let listeners = listeners::parse_list("listeners", &own, &protocols, Ports::Distinct)?;
    let is_controller = |listener: &Listener| controller_names.contains(&listener.name);
    let all_advertised = match advertised.as_slice() {
        [] => listeners.iter().filter(|one| !is_controller(one)).cloned().collect(),
        advertised => listeners::parse_list("advertised.listeners", advertised, &protocols, Ports::Any)?,
    };
    let inter_broker_listener_name = inter_broker_name(layers, values, &protocols)?;
    check_controller_names(&controller_names, &listeners)?;
    let (controllers, brokers): (Vec<_>, Vec<_>) = all_advertised.into_iter().partition(is_controller);
    check_advertised(&listeners, &brokers, &controllers, &inter_broker_listener_name)?;
    if let Some(listener) = listeners.iter().find(|one| one.security_protocol != SecurityProtocol::Plaintext) {
        let advice = "only PLAINTEXT listeners are; TLS and SASL are not there yet";
        return Err(ConfigError::unsupported(
            "listeners",
            format!("{listener} ({})", listener.security_protocol),
            advice,
        ));
    }
    let advertised_controller_listeners = match controllers.as_slice() {
        [] => listeners.iter().filter(|one| is_controller(one)).cloned().collect(),
        _ => controllers,
    };
    check_early_start(&list("early.start.listeners")?, &listeners)?;
    check_bootstrap_is_own(&bootstrap_servers, &voters, &listeners, is_controller)?;
    Ok(Endpoints {
        listeners,
        advertised_listeners: brokers,
        advertised_controller_listeners,
        inter_broker_listener_name,
        controller_listener_names: controller_names,
        controller_quorum_voters: voters,
        controller_quorum_bootstrap_servers: bootstrap_servers,
    })
}

/// What starts early starts before the authorizer is ready; there is none, but a wrong name is still a mistake.
fn check_early_start(names: &[String], listeners: &[Listener]) -> Result<(), ConfigError> {
    const KEY: &str = "early.start.listeners";
    let is_listener = |name: &str| listeners.iter().any(|listener| listener.name == name.to_uppercase());
    match names.iter().find(|name| !is_listener(name)) {
        Some(name) => {
            let message = format!(
                "{KEY} contains listener {name}, but this is not contained in listeners or controller.listener.names"
            );
            Err(ConfigError::rule(KEY, message))
        }
        None => Ok(()),
    }
}

fn check_roles(roles: &[String]) -> Result<(), ConfigError> {
    if roles.len() == 2 {
        return Ok(());
    }
    let advice = "a node is its own controller for now; set process.roles=broker,controller";
    Err(ConfigError::unsupported("process.roles", roles.join(","), advice))
}

fn check_quorum(voters: &[Voter], bootstrap_servers: &[HostPort], node_id: i32) -> Result<(), ConfigError> {
    const VOTERS: &str = "controller.quorum.voters";
    if let Some(voter) = voters.iter().find(|voter| voter.address.host == "0.0.0.0" && voter.address.port != 0) {
        return Err(ConfigError::rule(VOTERS, format!("Host string ({}) is not routeable", voter.address.host)));
    }
    if voters.is_empty() && bootstrap_servers.is_empty() {
        let message = "If using process.roles, either controller.quorum.bootstrap.servers must contain the set of \
                       bootstrap controllers or controller.quorum.voters must contain a parseable set of controllers.";
        return Err(ConfigError::rule(VOTERS, message));
    }
    let mut ids: Vec<i32> = voters.iter().map(|voter| voter.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if !voters.is_empty() && !ids.contains(&node_id) {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let message = format!(
            "If process.roles contains the 'controller' role, the node id {node_id} must be included in the set of \
             voters controller.quorum.voters=Set({})",
            ids.join(", ")
        );
        return Err(ConfigError::rule(VOTERS, message));
    }
    if ids.len() > 1 || bootstrap_servers.len() > 1 {
        let (key, count) = if ids.len() > 1 { (VOTERS, ids.len()) } else { (BOOTSTRAP, bootstrap_servers.len()) };
        let advice = "a quorum of several controllers is not there yet; name this node alone";
        return Err(ConfigError::unsupported(key, format!("({count} controllers)"), advice));
    }
    Ok(())
}

const BOOTSTRAP: &str = "controller.quorum.bootstrap.servers";

/// Without voters, the one server must be this node: joining another quorum is not there yet.
fn check_bootstrap_is_own(
    servers: &[HostPort],
    voters: &[Voter],
    listeners: &[Listener],
    is_controller: impl Fn(&Listener) -> bool,
) -> Result<(), ConfigError> {
    let own_ports: Vec<u16> = listeners.iter().filter(|one| is_controller(one)).map(|one| one.port).collect();
    match servers {
        [server] if voters.is_empty() && !own_ports.contains(&server.port) && !own_ports.contains(&0) => {
            let advice = "it must name the controller listener of this node; joining another quorum is not there yet";
            Err(ConfigError::unsupported(BOOTSTRAP, server, advice))
        }
        _ => Ok(()),
    }
}

/// As long as nobody sets the map and no listener is secured, controllers speak PLAINTEXT whatever they are called.
fn map_controllers_to_plaintext(protocols: &mut ProtocolMap, controller_names: &[String], listeners: &[String]) {
    let is_secured =
        |name: &str| SecurityProtocol::named(name).is_some_and(|protocol| protocol != SecurityProtocol::Plaintext);
    let listener_names = listeners.iter().filter_map(|one| one.split_once("://")).map(|(name, _)| name);
    if controller_names.iter().map(String::as_str).chain(listener_names).any(is_secured) {
        return;
    }
    for name in controller_names {
        protocols.entry(name.clone()).or_insert(SecurityProtocol::Plaintext);
    }
}

fn inter_broker_name(layers: &Layers, values: &Values, protocols: &ProtocolMap) -> Result<String, ConfigError> {
    const KEY: &str = "inter.broker.listener.name";
    let Some(name) = values.read::<Option<String>>(KEY)? else {
        return values.read("security.inter.broker.protocol");
    };
    if layers.get("security.inter.broker.protocol").is_some() {
        let message = "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.";
        return Err(ConfigError::rule(KEY, message));
    }
    if name.is_empty() {
        return Err(ConfigError::rule(KEY, listeners::NO_NAME));
    }
    let name = name.to_uppercase();
    if !protocols.contains_key(&name) {
        let message =
            format!("Listener with name {name} defined in {KEY} not found in listener.security.protocol.map.");
        return Err(ConfigError::rule(KEY, message));
    }
    Ok(name)
}

fn check_controller_names(names: &[String], listeners: &[Listener]) -> Result<(), ConfigError> {
    const KEY: &str = "controller.listener.names";
    let is_listener = |name: &String| listeners.iter().any(|listener| listener.name == *name);
    let what = match names.iter().filter(|name| is_listener(name)).count() {
        _ if names.is_empty() => return Ok(()),
        0 => "contain at least one value",
        count if count < names.len() => "only contain values",
        _ => return Ok(()),
    };
    let message =
        format!("{KEY} must {what} appearing in the 'listeners' configuration when running the KRaft controller role");
    Err(ConfigError::rule(KEY, message))
}

fn check_advertised(
    listeners: &[Listener],
    brokers: &[Listener],
    controllers: &[Listener],
    inter_broker_listener_name: &str,
) -> Result<(), ConfigError> {
    const KEY: &str = "advertised.listeners";
    if brokers.iter().chain(controllers).any(|listener| listener.host.as_deref() == Some("0.0.0.0")) {
        let message =
            "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.";
        return Err(ConfigError::rule(KEY, message));
    }
    if brokers.is_empty() {
        let message = "There must be at least one broker advertised listener. Perhaps all listeners appear in \
                       controller.listener.names?";
        return Err(ConfigError::rule(KEY, message));
    }
    let names = |listeners: &[Listener]| listeners.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(",");
    if !brokers.iter().any(|listener| listener.name == inter_broker_listener_name) {
        let message = format!(
            "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options \
             based on currently configured listeners are {}",
            names(brokers)
        );
        return Err(ConfigError::rule("inter.broker.listener.name", message));
    }
    if !brokers.iter().all(|one| listeners.iter().any(|listener| listener.name == one.name)) {
        let message = format!(
            "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found \
             {}. The valid options based on the current configuration are {}",
            names(brokers),
            names(listeners)
        );
        return Err(ConfigError::rule(KEY, message));
    }
    Ok(())
}
