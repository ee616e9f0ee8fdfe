//! The two loops behind a connection: one writes what callers queued, the other hands responses to who waits for them.
//!
//! Both run in one task, side by side: a broker that waits for its response to be taken reads no further request.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use crate::client::{Address, ClientError, lock};
use crate::net::tls::TlsError;
use crate::net::{FrameError, FrameReader, write_pieces};
use crate::protocol::frame::peek_correlation_id;

/// A wait that ends only in theory.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// What callers and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: Address,
    queues: Mutex<Queues>,
    /// Told when there is something to write, or nothing ever again.
    work: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    outgoing: VecDeque<Outgoing>,
    /// Invariant: in the order in which the requests are written, which is the order in which brokers answer.
    waiting: VecDeque<Waiting>,
    closed: Option<ClientError>,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frame: Vec<Bytes>,
    /// Who wants to know that the frame was written: of a request without a response.
    pub(super) written: Option<Waiting>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) correlation_id: i32,
    pub(super) reply: oneshot::Sender<Result<Bytes, ClientError>>,
    /// Invariant: returned when the request is done with, so permits bound what is queued and awaited.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Waiting {
    fn answer(self, answer: Result<Bytes, ClientError>) {
        drop(self.permit);
        // Who asked may have stopped waiting.
        let _ = self.reply.send(answer);
    }
}

impl Shared {
    pub(super) fn new(address: Address) -> Self {
        Self { address, queues: Mutex::default(), work: Notify::new() }
    }

    /// Queues a request; `waiting` is answered with the response.
    pub(super) fn enqueue(&self, frame: Vec<Bytes>, waiting: Waiting) -> Result<(), ClientError> {
        let mut queues = lock(&self.queues);
        if let Some(reason) = &queues.closed {
            return Err(reason.clone());
        }
        queues.waiting.push_back(waiting);
        queues.outgoing.push_back(Outgoing { frame, written: None });
        drop(queues);
        self.work.notify_one();
        Ok(())
    }

    /// Queues a request that has no response; `waiting` is answered with nothing when it is written.
    pub(super) fn enqueue_one_way(&self, frame: Vec<Bytes>, waiting: Waiting) -> Result<(), ClientError> {
        let mut queues = lock(&self.queues);
        if let Some(reason) = &queues.closed {
            return Err(reason.clone());
        }
        queues.outgoing.push_back(Outgoing { frame, written: Some(waiting) });
        drop(queues);
        self.work.notify_one();
        Ok(())
    }

    /// Why the connection ended, if it did.
    pub(super) fn closed(&self) -> Option<ClientError> {
        lock(&self.queues).closed.clone()
    }

    /// Ends the connection: everybody who waits, and everybody who comes, is told why.
    pub(super) fn close(&self, reason: ClientError) {
        let mut queues = lock(&self.queues);
        if queues.closed.is_none() {
            queues.closed = Some(reason.clone());
        }
        let waiting = std::mem::take(&mut queues.waiting);
        let outgoing = std::mem::take(&mut queues.outgoing);
        drop(queues);
        for waiting in waiting.into_iter().chain(outgoing.into_iter().filter_map(|frame| frame.written)) {
            waiting.answer(Err(reason.clone()));
        }
        self.work.notify_one();
    }

    fn disconnected(&self, source: Option<io::Error>) -> ClientError {
        let source = match source {
            Some(error) if TlsError::is_cause_of(&error) => {
                let source = Box::new(TlsError::of_io(error));
                return ClientError::Tls { address: self.address.clone(), source };
            }
            source => source,
        };
        ClientError::Disconnected { address: self.address.clone(), source: source.map(Arc::new) }
    }

    fn is_awaiting(&self) -> bool {
        !lock(&self.queues).waiting.is_empty()
    }

    /// What a size is that no response has: the first four bytes of something else.
    fn oversized(&self, size: i32) -> ClientError {
        match size.to_be_bytes() {
            // An alert of TLS, of any version.
            [0x15, 3, ..] => ClientError::SpeaksTls { address: self.address.clone() },
            [b'H', b'T', b'T', b'P'] => self.not_kafka("it speaks HTTP"),
            // A greeting, as of SSH or mail.
            start if start.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => {
                self.not_kafka(format!("it begins with {:?}", String::from_utf8_lossy(&start)))
            }
            _ => self.not_kafka(format!("a response of {size} bytes")),
        }
    }

    fn not_kafka(&self, what: impl Into<String>) -> ClientError {
        ClientError::NotKafka { address: self.address.clone(), what: what.into() }
    }
}

/// Serves the connection until it ends, for whatever reason.
pub(super) async fn run(
    reading: impl AsyncRead + Unpin,
    mut writing: impl AsyncWrite + Unpin,
    shared: Arc<Shared>,
    max_response: usize,
    max_idle: Option<Duration>,
) {
    // Cancelling either loop loses at most a part of a frame, and the connection with it.
    let reason = tokio::select! {
        reason = read_responses(reading, &shared, max_response) => reason,
        reason = write_requests(&mut writing, &shared, max_idle) => reason,
    };
    shared.close(reason);
}

async fn write_requests(
    to: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
    max_idle: Option<Duration>,
) -> ClientError {
    let mut pieces = Vec::new();
    let mut written = Vec::new();
    loop {
        {
            let mut queues = lock(&shared.queues);
            if let Some(reason) = &queues.closed {
                return reason.clone();
            }
            for outgoing in queues.outgoing.drain(..) {
                pieces.extend(outgoing.frame);
                written.extend(outgoing.written);
            }
        }
        if pieces.is_empty() {
            let idle = tokio::time::timeout(max_idle.unwrap_or(NEVER), shared.work.notified()).await.is_err();
            if idle && max_idle.is_some() {
                let mut queues = lock(&shared.queues);
                if queues.waiting.is_empty() && queues.outgoing.is_empty() {
                    // Set under the lock: a request that comes now learns that the connection is gone.
                    let reason = shared.disconnected(None);
                    queues.closed = Some(reason.clone());
                    return reason;
                }
            }
            continue;
        }
        let sent = match write_pieces(to, &pieces).await {
            // TLS keeps what the socket did not take at once.
            Ok(()) => to.flush().await,
            failed => failed,
        };
        if let Err(error) = sent {
            let reason = shared.disconnected(Some(error));
            for waiting in written.drain(..) {
                waiting.answer(Err(reason.clone()));
            }
            return reason;
        }
        pieces.clear();
        for waiting in written.drain(..) {
            waiting.answer(Ok(Bytes::new()));
        }
    }
}

async fn read_responses(from: impl AsyncRead + Unpin, shared: &Shared, max_response: usize) -> ClientError {
    let mut frames = FrameReader::new(from, max_response, None);
    let mut answered = 0;
    loop {
        let frame = match frames.next().await {
            Ok(Some(frame)) => frame.bytes,
            // One answer is that to ApiVersions, which everybody gets.
            Ok(None) if answered == 1 && shared.is_awaiting() => {
                return ClientError::CutOff { address: shared.address.clone() };
            }
            Ok(None) => return shared.disconnected(None),
            Err(FrameError::Size { size, .. }) => return shared.oversized(size),
            Err(FrameError::Io(error)) => return shared.disconnected(Some(error)),
            Err(FrameError::Cut | FrameError::Stalled) => {
                return shared.disconnected(Some(io::ErrorKind::UnexpectedEof.into()));
            }
        };
        let Ok(correlation_id) = peek_correlation_id(&frame) else {
            return shared.not_kafka(format!("a response of {} bytes", frame.len()));
        };
        let waiting = {
            let mut queues = lock(&shared.queues);
            match queues.waiting.front() {
                Some(first) if first.correlation_id == correlation_id => queues.waiting.pop_front(),
                _ => None,
            }
        };
        match waiting {
            Some(waiting) => {
                answered += 1;
                waiting.answer(Ok(frame));
            }
            None => return shared.not_kafka(format!("a response to request {correlation_id}, which is not awaited")),
        }
    }
}
