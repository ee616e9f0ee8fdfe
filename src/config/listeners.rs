//! Listeners: where a broker accepts connections, and the addresses that it tells clients.

use std::fmt;

use super::error::ConfigError;

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

/// Pairs of `listener.security.protocol.map`.
pub(super) type ProtocolMap = Vec<(String, SecurityProtocol)>;

/// Reads one list of listeners.
pub(super) fn parse_list(key: &str, list: &[String], protocols: &ProtocolMap) -> Result<Vec<Listener>, ConfigError> {
    list.iter().map(|text| parse_one(key, list, text, protocols)).collect()
}

fn parse_one(key: &str, list: &[String], text: &str, protocols: &ProtocolMap) -> Result<Listener, ConfigError> {
    let unreadable =
        || ConfigError::invalid(key, list.join(","), format!("Unable to parse {text} to a broker endpoint"));
    let (name, address) = text.split_once("://").ok_or_else(unreadable)?;
    let (host, port) = split_address(address).ok_or_else(unreadable)?;
    let name = name.to_uppercase();
    let security_protocol = protocols
        .iter()
        .find(|(mapped, _)| *mapped == name)
        .map(|(_, protocol)| *protocol)
        .ok_or_else(|| ConfigError::rule(key, format!("No security protocol defined for listener {name}")))?;
    Ok(Listener {
        name,
        host: (!host.is_empty()).then(|| host.to_owned()),
        port: port.parse().map_err(|_| unreadable())?,
        security_protocol,
    })
}

/// Reads `NAME:PROTOCOL,...`.
pub(super) fn parse_protocol_map(key: &str, text: &str) -> Result<ProtocolMap, ConfigError> {
    let mut map = ProtocolMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let wrong = |reason: &str| ConfigError::invalid(key, text, reason);
        let (name, protocol) = pair.rsplit_once(':').ok_or_else(|| wrong("Expected NAME:PROTOCOL pairs"))?;
        let protocol = SecurityProtocol::named(protocol.trim())
            .ok_or_else(|| wrong(&format!("{} is not a security protocol", protocol.trim())))?;
        map.push((name.trim().to_uppercase(), protocol));
    }
    Ok(map)
}

/// Reads `controller.quorum.voters`.
pub(super) fn parse_voters(key: &str, list: &[String]) -> Result<Vec<Voter>, ConfigError> {
    list.iter()
        .map(|text| {
            let wrong = || ConfigError::invalid(key, list.join(","), "Each voter must be written id@host:port");
            let (id, address) = text.split_once('@').ok_or_else(wrong)?;
            let (host, port) = split_address(address).ok_or_else(wrong)?;
            Ok(Voter {
                id: id.parse().map_err(|_| wrong())?,
                address: HostPort { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? },
            })
        })
        .collect()
}

/// Reads `controller.quorum.bootstrap.servers`.
pub(super) fn parse_servers(key: &str, list: &[String]) -> Result<Vec<HostPort>, ConfigError> {
    list.iter()
        .map(|text| {
            HostPort::parse(text)
                .ok_or_else(|| ConfigError::invalid(key, list.join(","), "Each server must be written host:port"))
        })
        .collect()
}
