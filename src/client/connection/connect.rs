//! Opens the TCP connection: all addresses of a name, the next one started when one is slow to answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::Address;

/// How long an address has before the next one is tried beside it (RFC 8305 proposes 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// Most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;

/// Connects to the first address of `address` that answers.
pub(super) async fn connect(address: &Address) -> io::Result<TcpStream> {
    let sockets = match address.known_sockets() {
        Some(sockets) => sockets,
        None => tokio::net::lookup_host((address.host(), address.port())).await?.take(MOST_ADDRESSES).collect(),
    };
    let stream = match sockets.as_slice() {
        [only] => TcpStream::connect(only).await?,
        _ => race(sockets).await?,
    };
    // Requests are written whole; waiting for more to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn race(sockets: Vec<SocketAddr>) -> io::Result<TcpStream> {
    // Dropping the set ends the attempts that lost.
    let mut attempts = JoinSet::new();
    let mut sockets = sockets.into_iter();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = sockets.next();
        let more = next.is_some();
        if let Some(socket) = next {
            attempts.spawn(TcpStream::connect(socket));
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
        let stream = connect(&Address::new("localhost", port)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn a_refusal_is_told_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = connect(&Address::new("localhost", port)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
