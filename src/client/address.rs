//! Where a broker listens, as people write it: `host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// Host and port of a broker. Names are looked up anew for every connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

/// Text that is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no address of the form host:port")]
pub struct InvalidAddress(pub String);

impl Address {
    /// An address of a host (without brackets) and a port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket addresses that need no look-up: an IP address, and `localhost`, which is the loopback by definition
    /// (RFC 6761). A name server is not asked, so a tool's start does not wait for one.
    pub(super) fn known_sockets(&self) -> Option<Vec<SocketAddr>> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Some(vec![SocketAddr::new(ip, self.port)]);
        }
        self.host.eq_ignore_ascii_case("localhost").then(|| {
            vec![
                SocketAddr::new(Ipv6Addr::LOCALHOST.into(), self.port),
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port),
            ]
        })
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    /// Reads `host:port`, `[v6]:port`, and either behind a listener name as in `PLAINTEXT://host:port`.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        let bare = text.trim();
        let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest);
        let (host, port) = bare.rsplit_once(':').ok_or_else(invalid)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = inner.unwrap_or(host);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._%:".contains(c);
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(invalid());
        }
        // A bare `a:b:c` is an IPv6 address whose end is no port, unless the whole is meant: Kafka takes it, so do we.
        let port = port.parse().map_err(|_| invalid())?;
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        for (text, host, port) in [
            ("localhost:9092", "localhost", 9092),
            (" 127.0.0.1:1 ", "127.0.0.1", 1),
            ("[::1]:9092", "::1", 9092),
            ("PLAINTEXT://broker-1.example:9092", "broker-1.example", 9092),
        ] {
            assert_eq!(text.parse(), Ok(Address::new(host, port)), "{text}");
        }
        for text in ["", "localhost", "localhost:", ":9092", "localhost:port", "localhost:65536", "a b:1"] {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress(text.to_owned())));
        }
        assert_eq!("[::1]:9092".parse::<Address>().unwrap().to_string(), "[::1]:9092");
    }

    #[test]
    fn localhost_is_both_loopbacks() {
        let sockets = Address::new("LocalHost", 7).known_sockets().unwrap();
        assert_eq!(sockets, ["[::1]:7".parse().unwrap(), "127.0.0.1:7".parse().unwrap()]);
        assert_eq!(Address::new("example.org", 7).known_sockets(), None);
    }
}
