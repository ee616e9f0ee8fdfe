//! A scripted broker on a loopback socket, for tests.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Address, ClientOptions, lock};
use crate::protocol::frame::{RequestStart, read_request_body, read_request_start, response_frame};
use crate::protocol::messages::api_versions_response::ApiVersion;
use crate::protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::{APIS, ApiKey, Request};

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) start: RequestStart,
    frame: Bytes,
}

/// What the broker does about it.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Answers.
    Frame(Vec<Bytes>),
    /// Answers with bytes of any kind.
    Raw(Vec<u8>),
    /// Says nothing and reads on.
    Silence,
    /// Closes the connection.
    Close,
    /// As if the script had nothing to say: ApiVersions is answered, anything else panics.
    Default,
}

impl Incoming {
    /// The request itself.
    pub(crate) fn body<R: Request>(&self) -> R {
        read_request_body(&self.frame, &self.start).unwrap()
    }

    /// An answer to it.
    pub(crate) fn answer<R: Request>(&self, response: &R::Response) -> Reply {
        assert_eq!(self.start.api, R::API);
        Reply::Frame(response_frame(response, R::API, self.start.version, self.start.correlation_id).unwrap())
    }

    /// An answer to an ApiVersions request, in which these APIs have these highest versions.
    pub(crate) fn versions(&self, highest: &[(ApiKey, i16)]) -> Reply {
        let api_keys = APIS
            .iter()
            .filter(|api| api.on_broker)
            .map(|api| {
                let highest = highest.iter().find(|(key, _)| *key == api.key).map(|(_, version)| *version);
                ApiVersion {
                    api_key: api.key.get(),
                    min_version: api.versions.min.min(highest.unwrap_or(i16::MAX)),
                    max_version: highest.unwrap_or(api.stable_versions().max),
                    ..Default::default()
                }
            })
            .collect();
        self.answer::<ApiVersionsRequest>(&ApiVersionsResponse { api_keys, ..Default::default() })
    }
}

/// The broker. It ends when dropped.
#[derive(Debug)]
pub(crate) struct FakeBroker {
    pub(crate) address: Address,
    seen: Arc<Mutex<Vec<Incoming>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeBroker {
    /// Starts a broker that does what `script` says about each request, on all its connections in the order of arrival.
    pub(crate) async fn start(script: impl FnMut(&Incoming) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Arc::new(Mutex::new(Box::new(script)));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { address, seen, task }
    }

    /// Options of a client of this broker, with short waits.
    pub(crate) fn options(&self) -> ClientOptions {
        let millis = std::time::Duration::from_millis;
        ClientOptions {
            retry_backoff: millis(5),
            reconnect_backoff: millis(5),
            request_timeout: millis(2000),
            api_timeout: millis(5000),
            ..ClientOptions::for_servers(vec![self.address.clone()])
        }
    }

    /// The requests so far, ApiVersions left out.
    pub(crate) fn seen(&self) -> Vec<Incoming> {
        lock(&self.seen).iter().filter(|request| request.start.api != ApiKey::ApiVersions).cloned().collect()
    }

    /// The ApiVersions requests so far: their versions.
    pub(crate) fn version_questions(&self) -> Vec<i16> {
        let asked = |request: &&Incoming| request.start.api == ApiKey::ApiVersions;
        lock(&self.seen).iter().filter(asked).map(|request| request.start.version).collect()
    }
}

type Script = Arc<Mutex<Box<dyn FnMut(&Incoming) -> Reply + Send>>>;

async fn serve(mut stream: TcpStream, script: Script, log: Arc<Mutex<Vec<Incoming>>>) {
    loop {
        let Ok(size) = stream.read_u32().await else { return };
        let mut frame = vec![0; size as usize];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        let frame = Bytes::from(frame);
        let incoming = Incoming { start: read_request_start(&frame).unwrap(), frame };
        lock(&log).push(incoming.clone());
        let mut reply = (lock(&script))(&incoming);
        if matches!(reply, Reply::Default) {
            assert_eq!(incoming.start.api, ApiKey::ApiVersions, "not in the script");
            reply = incoming.versions(&[]);
        }
        let bytes = match reply {
            Reply::Frame(pieces) => pieces.concat(),
            Reply::Raw(bytes) => bytes,
            Reply::Silence => continue,
            Reply::Close | Reply::Default => return,
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
