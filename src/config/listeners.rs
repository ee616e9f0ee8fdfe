//! Listeners: where a broker accepts connections, and the addresses that it tells clients.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::error::ConfigError;
use super::value::trim;

/// How the bytes of a listener are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Reads Kafka's name of it, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// Kafka's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients must say who they are.
    #[must_use]
    pub const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// The code in metadata records.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A named address of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in upper case.
    pub name: String,
    /// Host name or address, IPv6 without brackets; `None` in `listeners`: all addresses of the machine.
    pub host: Option<String>,
    /// Port; 0 in `listeners`: any free one.
    pub port: u16,
    /// How its bytes are protected.
    pub security_protocol: SecurityProtocol,
}

impl Listener {
    /// Its host as an address, if it is one; the zone of an IPv6 address is left out.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let host = self.host.as_deref()?;
        host.split('%').next()?.parse().ok()
    }
}

impl fmt::Display for Listener {
    /// As it is written in `listeners`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, Address { host: self.host.as_deref().unwrap_or(""), port: self.port })
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Address { host: &self.host, port: self.port }.fmt(f)
    }
}

/// A member of the controller quorum (`controller.quorum.voters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// Its `node.id`.
    pub id: i32,
    /// Where it listens.
    pub address: HostPort,
}

struct Address<'a> {
    host: &'a str,
    port: u16,
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl HostPort {
    /// Reads `host:port`, IPv6 addresses in brackets, an optional `NAME://` before it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_address(text.split_once("://").map_or(text, |(_, address)| address))?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// Cuts `host:port`; the host may stand in brackets or be empty, the port may be negative.
fn split_address(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let host_fine = host.chars().all(|one| one.is_ascii_alphanumeric() || "-%._:".contains(one));
    let digits = port.strip_prefix('-').unwrap_or(port);
    let port_fine = !digits.is_empty() && digits.chars().all(|one| one.is_ascii_digit());
    (host_fine && port_fine).then_some((host, port))
}

/// Pairs of `listener.security.protocol.map`; the last one of a name counts.
pub(super) type ProtocolMap = BTreeMap<String, SecurityProtocol>;

/// Whether the ports of a list must differ: those of `listeners` must, those that are only advertised need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    Distinct,
    Any,
}

/// Reads `listeners` or `advertised.listeners`.
pub(super) fn parse_list(
    key: &str,
    list: &[String],
    protocols: &ProtocolMap,
    ports: Ports,
) -> Result<Vec<Listener>, ConfigError> {
    let wrong = |reason: String| {
        ConfigError::rule(key, format!("Error creating broker listeners from '[{}]': {reason}", list.join(", ")))
    };
    let parsed: Vec<Listener> =
        list.iter().map(|text| parse_one(text, protocols)).collect::<Result<_, _>>().map_err(wrong)?;
    let repeated = |at: usize, one: &Listener| parsed.iter().take(at).any(|other| other.name == one.name);
    if parsed.iter().enumerate().any(|(at, one)| repeated(at, one)) {
        return Err(wrong(format!("Each listener must have a different name, listeners: [{}]", list.join(", "))));
    }
    if ports == Ports::Distinct {
        for listener in &parsed {
            check_port(&parsed, listener.port, &list.join(", ")).map_err(wrong)?;
        }
    }
    Ok(parsed)
}

fn parse_one(text: &str, protocols: &ProtocolMap) -> Result<Listener, String> {
    let unreadable = || format!("Unable to parse {text} to a broker endpoint");
    let (name, address) = text.split_once("://").ok_or_else(unreadable)?;
    let (host, port) = split_address(address).ok_or_else(unreadable)?;
    if name.is_empty() {
        return Err(NO_NAME.to_owned());
    }
    let name = name.to_uppercase();
    let security_protocol =
        *protocols.get(&name).ok_or_else(|| format!("No security protocol defined for listener {name}"))?;
    // Kafka takes any number here and fails when it binds.
    let port = port.parse().map_err(|_| format!("Port {port} of {text} is not between 0 and 65535"))?;
    Ok(Listener { name, host: (!host.is_empty()).then(|| host.to_owned()), port, security_protocol })
}

pub(super) const NO_NAME: &str = "The provided listener name is null or empty string";

/// Two listeners may share a port if one has an IPv4 address and the other an IPv6 address.
fn check_port(listeners: &[Listener], port: u16, list: &str) -> Result<(), String> {
    let sharing: Vec<&Listener> = listeners.iter().filter(|one| one.port == port && port != 0).collect();
    if sharing.len() < 2 {
        return Ok(());
    }
    let addresses: Vec<IpAddr> = sharing.iter().filter_map(|one| one.address()).collect();
    match addresses.as_slice() {
        [] => Err(format!("Each listener must have a different port, listeners: [{list}]")),
        [one, other] if sharing.len() == 2 => {
            if one.is_ipv4() != other.is_ipv4() {
                return Ok(());
            }
            Err(format!(
                "If you have two listeners on the same port then one needs to be IPv4 and the other IPv6, \
                 listeners: [{list}], port: {port}"
            ))
        }
        _ => Err(format!(
            "Each listener must have a different port unless exactly one listener has an IPv4 address and the other \
             IPv6 address, listeners: [{list}], port: {port}"
        )),
    }
}

/// Reads `NAME:PROTOCOL,...`.
pub(super) fn parse_protocol_map(key: &str, text: &str) -> Result<ProtocolMap, ConfigError> {
    let mut map = ProtocolMap::new();
    for pair in trim(text).split(',').map(trim).filter(|_| !trim(text).is_empty()) {
        let (name, protocol) = pair.rsplit_once(':').ok_or_else(|| {
            let message = format!("Error parsing configuration property '{key}': {pair} is not a NAME:PROTOCOL pair");
            ConfigError::rule(key, message)
        })?;
        if trim(name).is_empty() {
            return Err(ConfigError::rule(key, NO_NAME));
        }
        let protocol = trim(protocol);
        let protocol = SecurityProtocol::named(protocol).ok_or_else(|| {
            ConfigError::rule(key, format!("Invalid security protocol `{protocol}` defined in {key}"))
        })?;
        map.insert(trim(name).to_uppercase(), protocol);
    }
    Ok(map)
}

/// Reads `controller.quorum.voters`.
pub(super) fn parse_voters(key: &str, list: &[String]) -> Result<Vec<Voter>, ConfigError> {
    list.iter().map(|text| parse_voter(key, text)).collect()
}

fn parse_voter(key: &str, text: &str) -> Result<Voter, ConfigError> {
    const FORM: &str = "Each entry should be in the form `{id}@{host}:{port}`.";
    let (id, address) = match text.split_once('@') {
        Some((id, address)) if !address.contains('@') => (id, address),
        _ => return Err(ConfigError::rule(key, format!("Invalid configuration value for {key}. {FORM}"))),
    };
    let id =
        id.parse().map_err(|_| ConfigError::rule(key, format!("Failed to parse voter ID as an integer from {id}")))?;
    let address = parse_address(key, address, || {
        format!("Failed to parse host name from entry {text} for the configuration {key}. {FORM}")
    })?;
    Ok(Voter { id, address })
}

/// Reads `controller.quorum.bootstrap.servers`.
pub(super) fn parse_servers(key: &str, list: &[String]) -> Result<Vec<HostPort>, ConfigError> {
    list.iter()
        .map(|text| {
            parse_address(key, text, || {
                format!(
                    "Failed to parse host name from {text} for the configuration {key}. \
                     Each entry should be in the form \"{{host}}:{{port}}\""
                )
            })
        })
        .collect()
}

fn parse_address(key: &str, text: &str, otherwise: impl Fn() -> String) -> Result<HostPort, ConfigError> {
    let bare = text.rsplit_once("://").map_or(text, |(_, address)| address);
    let (host, port) = match split_address(bare) {
        Some((host, port)) if !port.starts_with('-') => (host, port),
        _ => return Err(ConfigError::rule(key, otherwise())),
    };
    match port.parse() {
        Ok(port) => Ok(HostPort { host: host.to_owned(), port }),
        Err(_) => Err(ConfigError::rule(key, format!("port out of range:{port}"))),
    }
}
