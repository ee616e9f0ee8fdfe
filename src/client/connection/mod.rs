//! One connection to one broker: requests are pipelined, each is answered or told why not.

mod authenticate;
mod connect;
mod task;
mod versions;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;

pub use versions::ApiVersions;

use super::options::SILENCE;
use super::retry::Deadline;
use super::{Address, ApiError, ClientError, ClientOptions, Security};
use crate::net::tls::TlsError;
use crate::protocol::frame::{read_response, request_frame};
use crate::protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::{ApiKey, DecodeError, ErrorCode, Request};
use task::{Shared, Waiting};

/// Most requests that are queued or awaited on one connection; who comes next waits. Brokers take one at a time anyway.
const MAX_IN_FLIGHT: usize = 64;

/// What the client calls itself to brokers (KIP-511).
const SOFTWARE_NAME: &str = env!("CARGO_PKG_NAME");

/// A connection to a broker. Clones share it; it is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    versions: ApiVersions,
    client_id: String,
    request_timeout: Duration,
    next_id: AtomicI32,
    permits: Arc<Semaphore>,
    /// What authenticates again, where the broker asks for it.
    authenticating: OnceLock<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = self.authenticating.get() {
            task.abort();
        }
        self.shared.close(ClientError::Closed);
    }
}

/// How a request is to be sent when the usual way does not do.
#[derive(Debug, Clone, Copy)]
pub struct CallOptions {
    /// Use no version above this.
    pub max_version: i16,
    /// Wait this long for the response; `None`: `request.timeout.ms`.
    pub timeout: Option<Duration>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { max_version: i16::MAX, timeout: None }
    }
}

/// A request on its way.
#[derive(Debug)]
#[must_use = "the response comes to who waits for it"]
pub struct Pending<R> {
    connection: Connection,
    response: oneshot::Receiver<Result<Bytes, ClientError>>,
    version: i16,
    deadline: Deadline,
    _request: PhantomData<fn() -> R>,
}

impl Connection {
    /// Connects, asks the broker what it speaks, and says who we are.
    ///
    /// # Errors
    /// The broker can't be reached within `socket.connection.setup.timeout.ms`, is no Kafka broker, is not who it should
    /// be, or does not believe that we are who we say.
    pub async fn open(address: &Address, options: &ClientOptions) -> Result<Self, ClientError> {
        Self::open_within(options.connection_setup_timeout, address, options).await
    }

    /// As [`Connection::open`], within another time.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(super) async fn open_within(
        limit: Duration,
        address: &Address,
        options: &ClientOptions,
    ) -> Result<Self, ClientError> {
        let silence = async {
            tokio::time::sleep(SILENCE).await;
            if let Some(tell) = options.on_silence {
                tell(address);
            }
            std::future::pending().await
        };
        // Either future is only this call's: nothing is lost with it.
        tokio::select! {
            opened = Self::set_up(limit, address, options) => opened,
            never = silence => never,
        }
    }

    async fn set_up(limit: Duration, address: &Address, options: &ClientOptions) -> Result<Self, ClientError> {
        let deadline = Deadline::after(limit);
        let connect_error =
            |source: std::io::Error| ClientError::Connect { address: address.clone(), source: Arc::new(source) };
        let stream = match deadline.limit(connect::connect(address, options)).await {
            Some(connected) => connected.map_err(connect_error)?,
            None => return Err(connect_error(std::io::ErrorKind::TimedOut.into())),
        };
        let shared = Arc::new(Shared::new(address.clone()));
        let security = options.security.as_ref();
        start_task(stream, &shared, options, deadline).await?;
        let mut inner = Inner {
            shared,
            versions: ApiVersions::default(),
            client_id: options.client_id.clone(),
            request_timeout: options.request_timeout,
            next_id: AtomicI32::new(0),
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            authenticating: OnceLock::new(),
        };
        inner.versions = inner.ask_versions(deadline).await?;
        let lifetime = match security {
            Some(security) => inner.authenticate(security, deadline).await?.map(|lifetime| (security, lifetime)),
            None => None,
        };
        let inner = Arc::new(inner);
        if let Some((security, lifetime)) = lifetime {
            // Owned by the connection, which ends it.
            let again = authenticate::stay_authenticated(Arc::downgrade(&inner), security.clone(), lifetime);
            let _ = inner.authenticating.set(tokio::spawn(again).abort_handle());
        }
        Ok(Self { inner })
    }

    /// The broker at the other end.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.inner.shared.address
    }

    /// What the broker speaks.
    #[must_use]
    pub fn api_versions(&self) -> &ApiVersions {
        &self.inner.versions
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.shared.closed().is_some()
    }

    /// Ends the connection; who waits for a response gets [`ClientError::Closed`].
    pub fn close(&self) {
        self.inner.shared.close(ClientError::Closed);
    }

    /// The version in which a request of this type goes to this broker.
    ///
    /// # Errors
    /// There is none that both ends speak.
    pub fn version_of<R: Request>(&self, max_version: i16) -> Result<i16, ClientError> {
        self.inner.versions.pick::<R>(max_version, self.address())
    }

    /// Sends a request and waits for its response.
    ///
    /// # Errors
    /// No common version, no response in time, connection lost, response malformed. Error codes in the response are
    /// the caller's to look at.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.call_with(request, CallOptions::default()).await
    }

    /// As [`Connection::call`], with a highest version and a time of the caller's choice.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_with<R: Request>(&self, request: &R, options: CallOptions) -> Result<R::Response, ClientError> {
        self.start(request, options).await?.response().await
    }

    /// Sends a request: it is in line, behind all that were started before, when this returns.
    ///
    /// # Errors
    /// No common version, the connection is closed, or too many requests were in line for too long.
    pub async fn start<R: Request>(&self, request: &R, options: CallOptions) -> Result<Pending<R>, ClientError> {
        let version = self.version_of::<R>(options.max_version)?;
        let deadline = Deadline::after(options.timeout.unwrap_or(self.inner.request_timeout));
        let response = self.inner.enqueue(request, version, deadline, true).await?;
        Ok(Pending { connection: self.clone(), response, version, deadline, _request: PhantomData })
    }

    /// Sends a request that brokers do not answer (Produce with `acks=0`), and waits until it is written.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn send_one_way<R: Request>(&self, request: &R, options: CallOptions) -> Result<(), ClientError> {
        let version = self.version_of::<R>(options.max_version)?;
        let deadline = Deadline::after(options.timeout.unwrap_or(self.inner.request_timeout));
        let written = self.inner.enqueue(request, version, deadline, false).await?;
        self.inner.wait(written, R::API, deadline).await?;
        Ok(())
    }
}

impl<R: Request> Pending<R> {
    /// The version that the request was sent in.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Waits for the response. If it does not come in time the connection is closed: what comes later would be taken
    /// for the answer to something else, and requests behind this one would wait as well.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn response(self) -> Result<R::Response, ClientError> {
        let frame = self.connection.inner.wait(self.response, R::API, self.deadline).await?;
        read_response::<R>(&frame, self.version).map_err(|source| self.connection.inner.malformed(R::API, source))
    }
}

impl Inner {
    async fn enqueue<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Deadline,
        answered: bool,
    ) -> Result<oneshot::Receiver<Result<Bytes, ClientError>>, ClientError> {
        let permit = match deadline.limit(Arc::clone(&self.permits).acquire_owned()).await {
            Some(Ok(permit)) => permit,
            Some(Err(_)) => return Err(ClientError::Closed),
            None => return Err(self.timed_out(R::API, deadline)),
        };
        self.queue(request, version, Some(permit), answered)
    }

    /// Queues a request that needs no permit: of who holds them all, or is the only one that there is.
    fn queue<R: Request>(
        &self,
        request: &R,
        version: i16,
        permit: Option<OwnedSemaphorePermit>,
        answered: bool,
    ) -> Result<oneshot::Receiver<Result<Bytes, ClientError>>, ClientError> {
        let correlation_id = self.next_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let frame = request_frame(request, version, correlation_id, Some(&self.client_id))
            .map_err(|source| ClientError::Unsayable { api: R::API, version, source })?;
        let (reply, response) = oneshot::channel();
        let waiting = Waiting { correlation_id, reply, permit };
        if answered {
            self.shared.enqueue(frame, waiting)?;
        } else {
            self.shared.enqueue_one_way(frame, waiting)?;
        }
        Ok(response)
    }

    async fn wait(
        &self,
        response: oneshot::Receiver<Result<Bytes, ClientError>>,
        api: ApiKey,
        deadline: Deadline,
    ) -> Result<Bytes, ClientError> {
        match deadline.limit(response).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(ClientError::Closed),
            None => {
                let reason = self.timed_out(api, deadline);
                self.shared.close(ClientError::Disconnected { address: self.shared.address.clone(), source: None });
                Err(reason)
            }
        }
    }

    /// The first exchange on a connection. A broker that does not know our version of it answers in version 0 and says
    /// which it knows (KIP-511).
    async fn ask_versions(&self, deadline: Deadline) -> Result<ApiVersions, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: SOFTWARE_NAME.to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        let ours = ApiKey::ApiVersions.info().stable_versions();
        let mut version = ours.max;
        loop {
            let answer = self.enqueue(&request, version, deadline, true).await?;
            let frame = self.wait(answer, ApiKey::ApiVersions, deadline).await?;
            let read = |version| {
                read_response::<ApiVersionsRequest>(&frame, version)
                    .map_err(|source| self.malformed(ApiKey::ApiVersions, source))
            };
            // Response header v0 is the correlation id alone, and the code follows it in all versions.
            let code = frame.get(4..6).and_then(|code| code.first_chunk()).map(|code| i16::from_be_bytes(*code));
            if code != Some(ErrorCode::UnsupportedVersion.code()) {
                let response: ApiVersionsResponse = read(version)?;
                ApiError::check(response.error_code, None)?;
                return Ok(ApiVersions::from_response(response));
            }
            let theirs = ApiVersions::from_response(read(0)?);
            // Kafka before 2.4 says only that our version will not do; it speaks version 0.
            let next = match theirs.get(ApiKey::ApiVersions) {
                Some(_) => theirs.pick::<ApiVersionsRequest>(version - 1, &self.shared.address)?,
                None => 0,
            };
            if version == 0 {
                return Err(ApiError::from(ErrorCode::UnsupportedVersion).into());
            }
            version = next;
        }
    }

    fn timed_out(&self, api: ApiKey, deadline: Deadline) -> ClientError {
        ClientError::TimedOut { address: self.shared.address.clone(), api, after: deadline.elapsed() }
    }

    fn malformed(&self, api: ApiKey, source: DecodeError) -> ClientError {
        ClientError::Malformed { address: self.shared.address.clone(), api, source }
    }
}

/// Starts what reads and writes, over TLS if the options say so. It ends when the last handle closes `shared`.
async fn start_task(
    mut stream: TcpStream,
    shared: &Arc<Shared>,
    options: &ClientOptions,
    deadline: Deadline,
) -> Result<(), ClientError> {
    let (shared, max_response, max_idle) =
        (Arc::clone(shared), options.max_response_bytes, options.connections_max_idle);
    let Some(tls) = options.security.as_ref().and_then(Security::tls) else {
        tokio::spawn(async move {
            let (reading, writing) = stream.split();
            task::run(reading, writing, shared, max_response, max_idle).await;
        });
        return Ok(());
    };
    let tls = tls.map_err(|source| ClientError::Security { source })?;
    let address = &shared.address;
    let failed = |source| ClientError::Tls { address: address.clone(), source: Box::new(source) };
    let stream = match deadline.limit(tls.connect(address.host(), stream)).await {
        Some(connected) => connected.map_err(failed)?,
        None => return Err(failed(TlsError::of_io(std::io::ErrorKind::TimedOut.into()))),
    };
    tokio::spawn(async move {
        let (reading, writing) = tokio::io::split(stream);
        task::run(reading, writing, shared, max_response, max_idle).await;
    });
    Ok(())
}

#[cfg(test)]
mod tests;
