//! The two loops behind a connection: one writes what callers queued, the other hands responses to who waits for them.
//!
//! Both run in one task, side by side: a broker that waits for its response to be taken reads no further request.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use crate::client::{Address, ClientError, lock};
use crate::protocol::frame::peek_correlation_id;

/// Read ahead by this much: several small responses in one system call.
const READ_AHEAD: usize = 16 << 10;

/// Memory reserved for a response before its bytes are there. A larger one grows as it arrives.
const RESERVE_UNSEEN: usize = 4 << 20;

/// Pieces given to the system in one call.
const WRITE_AT_ONCE: usize = 64;

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
    pub(super) permit: OwnedSemaphorePermit,
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
        ClientError::Disconnected { address: self.address.clone(), source: source.map(Arc::new) }
    }

    fn not_kafka(&self, what: impl Into<String>) -> ClientError {
        ClientError::NotKafka { address: self.address.clone(), what: what.into() }
    }
}

/// Serves the connection until it ends, for whatever reason.
pub(super) async fn run(mut stream: TcpStream, shared: Arc<Shared>, max_response: usize, max_idle: Duration) {
    let (mut reading, mut writing) = stream.split();
    // Cancelling either loop loses at most a part of a frame, and the connection with it.
    let reason = tokio::select! {
        reason = read_responses(&mut reading, &shared, max_response) => reason,
        reason = write_requests(&mut writing, &shared, max_idle) => reason,
    };
    shared.close(reason);
}

async fn write_requests(to: &mut (impl AsyncWrite + Unpin), shared: &Shared, max_idle: Duration) -> ClientError {
    let mut pieces = VecDeque::new();
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
            if tokio::time::timeout(max_idle, shared.work.notified()).await.is_err() {
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
        if let Err(error) = write_all(to, &mut pieces).await {
            let reason = shared.disconnected(Some(error));
            for waiting in written.drain(..) {
                waiting.answer(Err(reason.clone()));
            }
            return reason;
        }
        for waiting in written.drain(..) {
            waiting.answer(Ok(Bytes::new()));
        }
    }
}

async fn write_all(to: &mut (impl AsyncWrite + Unpin), pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
    pieces.retain(|piece| !piece.is_empty());
    while !pieces.is_empty() {
        let mut count = {
            let slices: Vec<_> = pieces.iter().take(WRITE_AT_ONCE).map(|piece| IoSlice::new(piece)).collect();
            to.write_vectored(&slices).await?
        };
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = pieces.front_mut() {
            if piece.len() > count {
                piece.advance(count);
                break;
            }
            count -= piece.len();
            pieces.pop_front();
        }
    }
    Ok(())
}

async fn read_responses(from: &mut (impl AsyncRead + Unpin), shared: &Shared, max_response: usize) -> ClientError {
    let mut buffer = BytesMut::new();
    loop {
        let frame = match read_frame(from, &mut buffer, max_response).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return shared.disconnected(None),
            Err(FrameError::Io(error)) => return shared.disconnected(Some(error)),
            Err(FrameError::Size(size)) => return shared.not_kafka(format!("a response of {size} bytes")),
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
            Some(waiting) => waiting.answer(Ok(frame)),
            None => return shared.not_kafka(format!("a response to request {correlation_id}, which is not awaited")),
        }
    }
}

#[derive(Debug)]
enum FrameError {
    Io(io::Error),
    Size(i32),
}

/// The next frame without its size; `None` if the stream ends in front of it.
async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    most: usize,
) -> Result<Option<Bytes>, FrameError> {
    read_until(from, buffer, 4).await?;
    let Some(size) = buffer.first_chunk::<4>().map(|size| i32::from_be_bytes(*size)) else {
        return if buffer.is_empty() { Ok(None) } else { Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())) };
    };
    let length = usize::try_from(size).ok().filter(|length| *length <= most).ok_or(FrameError::Size(size))?;
    buffer.advance(4);
    read_until(from, buffer, length).await?;
    if buffer.len() < length {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Reads until `buffer` holds `count` bytes or the stream ends.
///
/// Invariant: memory is taken for bytes that have arrived and as much again, at least [`RESERVE_UNSEEN`]; never because
/// a length says so.
async fn read_until(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    count: usize,
) -> Result<(), FrameError> {
    while buffer.len() < count {
        let missing = count - buffer.len();
        let room = missing.min(RESERVE_UNSEEN.max(buffer.len())).max(READ_AHEAD);
        if buffer.capacity() - buffer.len() < missing.min(room) {
            buffer.reserve(room);
        }
        if from.read_buf(buffer).await.map_err(FrameError::Io)? == 0 {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(bytes: &[u8], most: usize) -> Result<Vec<usize>, FrameError> {
        let (mut from, mut buffer) = (bytes, BytesMut::new());
        let mut sizes = Vec::new();
        while let Some(frame) = read_frame(&mut from, &mut buffer, most).await? {
            sizes.push(frame.len());
        }
        Ok(sizes)
    }

    #[tokio::test]
    async fn frames_are_cut_where_their_sizes_say() {
        let mut bytes = Vec::new();
        for size in [0u32, 1, 100, 70_000, 5 << 20, 3] {
            bytes.extend(size.to_be_bytes());
            bytes.resize(bytes.len() + size as usize, 7);
        }
        assert_eq!(frames(&bytes, 6 << 20).await.unwrap(), [0, 1, 100, 70_000, 5 << 20, 3]);
    }

    #[tokio::test]
    async fn lying_sizes_are_refused_and_take_no_memory() {
        assert!(matches!(frames(b"HTTP/1.1 400 Bad Request", 256 << 20).await, Err(FrameError::Size(_))));
        assert!(matches!(frames(&[0xff; 8], 256 << 20).await, Err(FrameError::Size(-1))));
        let (mut from, mut buffer) = (&[0x0f, 0xff, 0xff, 0xff, 1, 2, 3][..], BytesMut::new());
        let cut = read_frame(&mut from, &mut buffer, usize::MAX).await;
        assert!(matches!(cut, Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof));
        assert!(buffer.capacity() <= 2 * RESERVE_UNSEEN);
    }
}
