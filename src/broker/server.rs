//! Builds the parts of a broker in order, and stops them in reverse.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use super::context::Broker;
use super::listener::{BoundListener, ConnectionLimits};
use crate::config::{Listener, ServerConfig};
use crate::net::MemoryBudget;

/// Memory for requests in flight when `queued.max.request.bytes` does not say.
const DEFAULT_REQUEST_MEMORY_BYTES: usize = 512 << 20;

/// Why a broker can't start.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// An address can't be listened on.
    #[error("could not listen on {listener}")]
    Listen {
        /// The listener as it is configured.
        listener: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// An address that a running broker listens on.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name of the listener.
    pub listener: String,
    /// The address, with the port that was chosen if 0 was asked for.
    pub address: SocketAddr,
}

/// A running broker.
#[derive(Debug)]
pub struct Server {
    endpoints: Vec<Endpoint>,
    stopping: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Server {
    /// Starts a broker; returns when it answers.
    ///
    /// # Errors
    /// An address is taken, or a directory can't be used.
    pub async fn start(config: ServerConfig) -> Result<Self, BrokerError> {
        // The addresses come first: a broker that can't be reached should not touch its directories.
        let mut bound = Vec::new();
        let mut endpoints = Vec::new();
        for listener in &config.listeners {
            let opened = bind(listener, config.socket_listen_backlog_size).await?;
            if let Some(first) = opened.first() {
                let address = first.local_address().map_err(|source| listen_error(listener, source))?;
                endpoints.push(Endpoint { listener: listener.name.clone(), address });
            }
            bound.extend(opened);
        }

        let request_memory = MemoryBudget::new(config.queued_max_request_bytes.unwrap_or(DEFAULT_REQUEST_MEMORY_BYTES));
        let limits = Arc::new(ConnectionLimits::new(
            config.max_connections,
            config.max_connections_per_ip,
            exceptions(&config.max_connections_per_ip_overrides).await,
        ));
        let broker = Arc::new(Broker { config, request_memory });

        let (stopping, stop) = watch::channel(false);
        let mut listeners = JoinSet::new();
        for listener in bound {
            listeners.spawn(listener.run(Arc::clone(&broker), Arc::clone(&limits), stop.clone()));
        }
        Ok(Self { endpoints, stopping, listeners })
    }

    /// Where the broker listens, in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Stops cleanly: no new requests, those in progress are answered, everything is flushed and marked as clean.
    pub async fn stop(mut self) {
        // Without a receiver there is nobody left to stop.
        let _ = self.stopping.send(true);
        while self.listeners.join_next().await.is_some() {}
    }
}

fn listen_error(listener: &Listener, source: io::Error) -> BrokerError {
    BrokerError::Listen { listener: listener.to_string(), source }
}

/// Binds a listener to its address; to all of them where the name stands for several of this machine's own, since a client may
/// resolve `localhost` either way.
async fn bind(listener: &Listener, backlog: u32) -> Result<Vec<BoundListener>, BrokerError> {
    let mut addresses: Vec<SocketAddr> = match &listener.host {
        // IPv6 with IPv4 in it, where there is IPv6.
        None => vec![([0u16; 8], listener.port).into(), ([0u8; 4], listener.port).into()],
        Some(host) => tokio::net::lookup_host((host.as_str(), listener.port))
            .await
            .map_err(|source| listen_error(listener, source))?
            .collect(),
    };
    if listener.host.is_some() {
        addresses.sort_by_key(SocketAddr::is_ipv6);
    }
    let mut bound: Vec<BoundListener> = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for mut address in addresses {
        if let Some(first) = bound.first() {
            if !address.ip().is_loopback() {
                break;
            }
            // A port that the system chose for the first address holds for the others too.
            address.set_port(first.local_address().map_or(listener.port, |a| a.port()));
        }
        match open(address, backlog) {
            Ok(socket) => bound.push(BoundListener::new(listener.name.clone(), socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && bound.is_empty() => {
                return Err(listen_error(listener, error));
            }
            Err(error) => last = error,
        }
    }
    if bound.is_empty() { Err(listen_error(listener, last)) } else { Ok(bound) }
}

fn open(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { tokio::net::TcpSocket::new_v6() } else { tokio::net::TcpSocket::new_v4() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// The addresses behind `max.connections.per.ip.overrides`.
async fn exceptions(overrides: &[(String, usize)]) -> HashMap<std::net::IpAddr, usize> {
    let mut found = HashMap::new();
    for (host, limit) in overrides {
        match tokio::net::lookup_host((host.as_str(), 0)).await {
            Ok(addresses) => found.extend(addresses.map(|address| (address.ip(), *limit))),
            Err(error) => warn!(host, %error, "max.connections.per.ip.overrides names a host that can't be found"),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    fn config() -> ServerConfig {
        let overrides = [("listeners".to_owned(), "PLAINTEXT://localhost:0".to_owned())];
        ServerConfig::load(None, &overrides).unwrap().0
    }

    #[tokio::test]
    async fn answers_and_stops() {
        let server = Server::start(config()).await.unwrap();
        let address = server.endpoints()[0].address;
        let mut client = TcpStream::connect(address).await.unwrap();
        // ApiVersions version 99, which does not exist, is answered in version 0 (KIP-511).
        client.write_all(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0]).await.unwrap();
        let mut answer = [0; 20];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
        // A frame that nobody may send closes the connection and harms nobody else.
        client.write_all(&[0xff; 4]).await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_ok());
        server.stop().await;
    }

    #[tokio::test]
    async fn an_occupied_port_is_named() {
        let server = Server::start(config()).await.unwrap();
        let port = server.endpoints()[0].address.port();
        let overrides = [("listeners".to_owned(), format!("PLAINTEXT://localhost:{port}"))];
        let error = Server::start(ServerConfig::load(None, &overrides).unwrap().0).await.unwrap_err();
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        server.stop().await;
    }
}
