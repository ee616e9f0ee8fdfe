//! Opens the TCP connection: all addresses of a name, the next one started when one is slow to answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::client::{Address, ClientOptions};

/// How long an address has before the next one is tried beside it (RFC 8305 proposes 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// Most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;

/// Connects to the first address of `address` that answers.
pub(super) async fn connect(address: &Address, options: &ClientOptions) -> io::Result<TcpStream> {
    let sockets = match address.known_sockets() {
        Some(sockets) => sockets,
        None => tokio::net::lookup_host((address.host(), address.port())).await?.take(MOST_ADDRESSES).collect(),
    };
    let stream = match sockets.as_slice() {
        [only] => connect_to(*only, Buffers::of(options)).await?,
        _ => race(sockets, Buffers::of(options)).await?,
    };
    // Requests are written whole; waiting for more to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sizes of a socket's buffers that were asked for.
#[derive(Debug, Clone, Copy)]
struct Buffers {
    receive: Option<u32>,
    send: Option<u32>,
}

impl Buffers {
    fn of(options: &ClientOptions) -> Self {
        Self { receive: options.receive_buffer_bytes, send: options.send_buffer_bytes }
    }
}

/// Connects to one address. Order: the buffers come first, since the window that TCP agrees on follows from them.
async fn connect_to(address: SocketAddr, buffers: Buffers) -> io::Result<TcpStream> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    if let Some(size) = buffers.receive {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = buffers.send {
        socket.set_send_buffer_size(size)?;
    }
    socket.connect(address).await
}

async fn race(sockets: Vec<SocketAddr>, buffers: Buffers) -> io::Result<TcpStream> {
    // Dropping the set ends the attempts that lost.
    let mut attempts = JoinSet::new();
    let mut sockets = sockets.into_iter();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = sockets.next();
        let more = next.is_some();
        if let Some(socket) = next {
            attempts.spawn(connect_to(socket, buffers));
        }
        let finished = if more {
            match tokio::time::timeout(HEAD_START, attempts.join_next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            }
        } else {
            attempts.join_next().await
        };
        match finished {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(_)) => {}
            None if more => {}
            None => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn localhost_reaches_a_listener_on_either_loopback() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = connect(&Address::new("localhost", port), &ClientOptions::default()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn buffers_are_as_large_as_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let size_with = async |bytes| {
            let options =
                ClientOptions { receive_buffer_bytes: bytes, send_buffer_bytes: bytes, ..ClientOptions::default() };
            let stream = connect(&address, &options).await.unwrap();
            let socket = TcpSocket::from_std_stream(stream.into_std().unwrap());
            (socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap())
        };
        // Systems round, and Linux doubles for its own bookkeeping.
        let (receive, send) = size_with(Some(20_000)).await;
        assert!((20_000..=60_000).contains(&receive) && (20_000..=60_000).contains(&send), "{receive} {send}");
        let (receive, send) = size_with(None).await;
        assert!(receive > 60_000 && send > 60_000, "the system's own choice: {receive} {send}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = connect(&Address::new("localhost", port), &ClientOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
