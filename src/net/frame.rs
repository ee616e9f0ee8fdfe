//! Reading and writing frames: a big-endian 32-bit size, then that many bytes.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::budget::{MemoryBudget, MemoryGrant};
use super::large::{LARGE_BYTES, LargeBuffer};

/// Room that a connection may use without asking the budget: enough for nearly every request but large produces. A batch of 64 KiB
/// fits with what is around it, so that it is read into one buffer.
const FREE_BYTES: usize = 68 * 1024;

/// Read beyond what is asked for, if it is there. A read that comes back short says that the stream is empty, which saves the next
/// one; of a peer that is ahead of us it has the size of the next frame.
const AHEAD_BYTES: usize = 4096;

/// A sender that holds budgeted memory while it is scarce is cut off where this does not bring `LEAST_WHEN_SCARCE` bytes, or all of the
/// frame.
const STALLED_WHEN_SCARCE: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5_000 });
const LEAST_WHEN_SCARCE: usize = 64 * 1024;

/// Why no frame could be read.
#[derive(Debug, Error)]
pub enum FrameError {
    /// A size that is negative or beyond the limit. The stream is beyond repair.
    #[error("a frame of {size} bytes was announced, at most {limit} are taken")]
    Size {
        /// The announced size.
        size: i32,
        /// The largest one taken.
        limit: usize,
    },
    /// The stream ended inside a frame.
    #[error("the connection ended inside a frame")]
    Cut,
    /// The sender stalled inside a frame while others wait for memory.
    #[error("the sender stalled inside a frame")]
    Stalled,
    /// The stream failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// A frame's bytes without the size, and the memory grant that goes with them.
#[derive(Debug)]
pub struct Frame {
    /// The bytes after the size.
    pub bytes: Bytes,
    /// Keeps the memory accounted for until the frame was dealt with.
    pub grant: MemoryGrant,
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    /// The frame that is being received, where it is large and its memory is budgeted.
    large: Option<LargeBuffer>,
    limit: usize,
    budget: Option<MemoryBudget>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `limit` bytes; memory beyond a small buffer comes out of `budget`.
    pub fn new(stream: R, limit: usize, budget: Option<MemoryBudget>) -> Self {
        Self { stream, buffer: BytesMut::new(), large: None, limit, budget }
    }

    /// Reads the next frame; `None` if the stream ended between frames.
    ///
    /// Cancelling loses nothing that was read: a later call goes on where this one was (but the memory grant of a
    /// partial frame is given back meanwhile).
    ///
    /// # Errors
    /// The stream failed, ended inside a frame, or announced a size that is not taken.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let whole = match &self.large {
            Some(large) => large.size(),
            None => match self.announced().await? {
                Some(size) => size + 4,
                None => return Ok(None),
            },
        };
        self.move_into_large(whole)?;
        let grant = self.receive(whole).await?;
        if let Some(large) = self.large.take() {
            return Ok(Some(Frame { bytes: Bytes::from_owner(large).slice(4..), grant }));
        }
        self.buffer.advance(4);
        let bytes = self.buffer.split_to(whole - 4).freeze();
        if self.buffer.is_empty() {
            // An idle connection holds no buffer.
            self.buffer = BytesMut::new();
        }
        Ok(Some(Frame { bytes, grant }))
    }

    /// The size of the next frame.
    async fn announced(&mut self) -> Result<Option<usize>, FrameError> {
        while self.buffer.len() < 4 {
            if self.fill(0).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Cut) };
            }
        }
        let mut head = [0; 4];
        head.copy_from_slice(self.buffer.get(..4).unwrap_or(&[0; 4]));
        let announced = i32::from_be_bytes(head);
        let size = usize::try_from(announced).ok().filter(|size| *size <= self.limit);
        size.map(Some).ok_or(FrameError::Size { size: announced, limit: self.limit })
    }

    /// Lets a frame go on in a buffer of its own if it is large.
    fn move_into_large(&mut self, whole: usize) -> io::Result<()> {
        let Some(budget) = self.budget.as_ref().filter(|_| whole >= LARGE_BYTES && self.buffer.len() < whole) else {
            return Ok(());
        };
        if self.large.is_none() {
            let mut large = budget.large.take(whole)?;
            large.room(self.buffer.len()).copy_from_slice(&self.buffer);
            large.advance(self.buffer.len());
            self.buffer = BytesMut::new();
            self.large = Some(large);
        }
        Ok(())
    }

    /// Reads until so many bytes are there.
    async fn receive(&mut self, whole: usize) -> Result<MemoryGrant, FrameError> {
        let mut grant = MemoryGrant::default();
        // Large frames are accounted for from their first byte.
        let mut allowed = if self.large.is_some() { 0 } else { FREE_BYTES };
        // How much must be there by when.
        let mut due: Option<(usize, Instant)> = None;
        loop {
            let there = self.large.as_ref().map_or(self.buffer.len(), LargeBuffer::len);
            if there >= whole {
                return Ok(grant);
            }
            // What may be read doubles as bytes arrive: what a peer only announces costs nothing.
            let room = whole.min(FREE_BYTES.max(2 * there));
            if room > allowed {
                if let Some(budget) = &self.budget {
                    budget.extend_begun(&mut grant, room - allowed).await;
                    // Waiting was not the sender's fault.
                    due = None;
                }
                allowed = room;
            }
            let holds = allowed > FREE_BYTES || self.large.is_some();
            let read = if holds && self.budget.as_ref().is_some_and(MemoryBudget::is_scarce) {
                let kept = due.filter(|(least, _)| there < *least);
                let (_, end) = *due
                    .insert(kept.unwrap_or_else(|| (there + LEAST_WHEN_SCARCE, Instant::now() + STALLED_WHEN_SCARCE)));
                tokio::time::timeout_at(end, self.fill(room - there)).await.map_err(|_| FrameError::Stalled)??
            } else {
                due = None;
                self.fill(room - there).await?
            };
            if read == 0 {
                return Err(FrameError::Cut);
            }
        }
    }

    /// Waits until the stream has ended, reading ahead a little meanwhile; returns only then. For use beside a handler that
    /// waits: a client that went away needs no answer. Pends forever once the read-ahead is full.
    pub async fn ended(&mut self) {
        while self.buffer.len() < FREE_BYTES {
            match self.fill(0).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }

    /// Reads what there is for `room` bytes, which are accounted for, and a little ahead.
    async fn fill(&mut self, room: usize) -> io::Result<usize> {
        if let Some(large) = &mut self.large {
            let read = self.stream.read(large.room(room)).await?;
            large.advance(read);
            return Ok(read);
        }
        let room = room + AHEAD_BYTES;
        self.buffer.reserve(room);
        self.stream.read_buf(&mut (&mut self.buffer).limit(room)).await
    }
}

/// Writes all pieces, in as few calls as the system takes.
///
/// # Errors
/// The stream failed.
pub async fn write_pieces<W: AsyncWrite + Unpin>(stream: &mut W, pieces: &[Bytes]) -> io::Result<()> {
    const MOST_SLICES: usize = 64;
    let mut at = 0;
    let mut within = 0;
    while at < pieces.len() {
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces.get(at..).unwrap_or_default()) {
            let skip = if count == 0 { within } else { 0 };
            *slice = IoSlice::new(piece.get(skip..).unwrap_or_default());
            count += 1;
        }
        let mut written = stream.write_vectored(slices.get(..count).unwrap_or_default()).await?;
        let empty = pieces.get(at..at + count).unwrap_or_default().iter().all(Bytes::is_empty);
        if written == 0 && !empty {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = pieces.get(at) {
            let rest = piece.len() - within;
            if written < rest {
                within += written;
                break;
            }
            written -= rest;
            at += 1;
            within = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{DuplexStream, ReadBuf, duplex};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        runtime().block_on(async {
            let (mut near, far) = duplex(97);
            let frames: Vec<Bytes> =
                [0usize, 1, 5, 4096, 300_000].iter().map(|n| Bytes::from(vec![*n as u8; *n])).collect();
            let sent = frames.clone();
            let writer = tokio::spawn(async move {
                for frame in sent {
                    let size = Bytes::copy_from_slice(&(frame.len() as u32).to_be_bytes());
                    write_pieces(
                        &mut near,
                        &[size, Bytes::new(), frame.slice(..frame.len() / 2), frame.slice(frame.len() / 2..)],
                    )
                    .await
                    .unwrap();
                }
            });
            let mut reader = FrameReader::new(far, 1 << 20, Some(MemoryBudget::new(100_000)));
            for frame in frames {
                assert_eq!(reader.next().await.unwrap().unwrap().bytes, frame);
            }
            assert!(reader.next().await.unwrap().is_none());
            writer.await.unwrap();
        });
    }

    #[test]
    fn impossible_sizes_and_cut_frames_are_errors() {
        runtime().block_on(async {
            for (bytes, limit) in [(&[0xff, 0xff, 0xff, 0xff][..], 10), (&[0, 0, 0, 11], 10)] {
                let mut reader = FrameReader::new(bytes, limit, None);
                assert!(matches!(reader.next().await, Err(FrameError::Size { .. })));
            }
            for bytes in [&[0, 0][..], &[0, 0, 0, 2, 1]] {
                let mut reader = FrameReader::new(bytes, 10, None);
                assert!(matches!(reader.next().await, Err(FrameError::Cut)));
            }
        });
    }

    /// What a producer with `batch.size=65536` sends goes into one buffer, whoever holds the budget.
    #[test]
    fn a_large_batch_needs_no_budget() {
        runtime().block_on(async {
            let size = 65_536 + 300;
            let (mut near, far) = duplex(2 * size);
            near.write_all(&u32::try_from(size).unwrap().to_be_bytes()).await.unwrap();
            near.write_all(&vec![7; size]).await.unwrap();
            let (budget, mut all) = (MemoryBudget::new(1024), MemoryGrant::default());
            budget.extend(&mut all, 1024).await;
            let mut reader = FrameReader::new(far, 1 << 20, Some(budget));
            assert_eq!(reader.next().await.unwrap().unwrap().bytes.len(), size);
        });
    }

    /// A hundred peers that announce 100 MB each and send a few bytes take next to no memory.
    #[test]
    fn announced_bytes_cost_nothing() {
        runtime().block_on(async {
            let mut bytes = (100_000_000_u32).to_be_bytes().to_vec();
            bytes.extend_from_slice(&[1; 1000]);
            let (mut near, far) = duplex(10_000);
            near.write_all(&bytes).await.unwrap();
            let mut reader = FrameReader::new(far, 104_857_600, Some(MemoryBudget::new(1 << 20)));
            let next = tokio::time::timeout(Duration::from_millis(20), reader.next()).await;
            assert!(next.is_err(), "there is no whole frame yet");
            // What is mapped and never written to is no memory.
            assert_eq!(reader.large.as_ref().unwrap().len(), 1004);
            assert_eq!(reader.buffer.capacity(), 0);
        });
    }

    #[test]
    fn a_large_frame_has_one_buffer_that_fills_as_the_budget_allows() {
        runtime().block_on(async {
            let size = 1_000_000;
            let (mut near, far) = duplex(2 * size);
            near.write_all(&u32::try_from(size).unwrap().to_be_bytes()).await.unwrap();
            near.write_all(&vec![7; size]).await.unwrap();
            let (budget, mut all) = (MemoryBudget::new(1 << 20), MemoryGrant::default());
            budget.extend(&mut all, 1 << 20).await;
            let mut reader = FrameReader::new(far, 1 << 20, Some(budget));
            let next = tokio::time::timeout(Duration::from_millis(20), reader.next()).await;
            assert!(next.is_err(), "the budget is spent");
            let large = reader.large.as_ref().unwrap();
            assert!(large.len() <= FREE_BYTES, "{} bytes were read", large.len());
            let place = large.as_ref().as_ptr().addr();
            drop(all);
            let frame = reader.next().await.unwrap().unwrap();
            assert_eq!(frame.bytes.len(), size);
            assert_eq!(frame.bytes.as_ptr().addr(), place + 4, "the frame moved to another buffer");
            assert_eq!(frame.bytes, vec![7; size]);
        });
    }

    /// A reader of one frame of `size` bytes, of which `sent` are on their way, and the sender.
    async fn begun(size: usize, sent: usize, budget: &MemoryBudget) -> (FrameReader<DuplexStream>, DuplexStream) {
        let (mut near, far) = duplex(2 * size);
        near.write_all(&u32::try_from(size).unwrap().to_be_bytes()).await.unwrap();
        near.write_all(&vec![7; sent]).await.unwrap();
        (FrameReader::new(far, size, Some(budget.clone())), near)
    }

    /// Together they need eight times the budget: each has a part of it at some time, and none could go on.
    #[test]
    fn frames_that_share_out_the_budget_between_them_all_arrive() {
        runtime().block_on(async {
            for size in [100_000, 1_000_000, 3_000_000] {
                let budget = MemoryBudget::new(1_000_000);
                let (mut all, mut senders) = (tokio::task::JoinSet::new(), Vec::new());
                for _ in 0..8_000_000 / size {
                    let (mut reader, sender) = begun(size, size / 2, &budget).await;
                    all.spawn(async move { reader.next().await.unwrap().unwrap().bytes.len() });
                    senders.push(sender);
                }
                // Until nobody can go on with what was sent: each task has had its turn.
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                for sender in &mut senders {
                    sender.write_all(&vec![7; size - size / 2]).await.unwrap();
                }
                while let Some(read) = all.join_next().await {
                    assert_eq!(read.unwrap(), size);
                }
                assert_eq!(budget.first.available_permits(), 1);
            }
        });
    }

    /// Who goes first can't keep the others waiting by sending next to nothing.
    #[test]
    fn a_sender_that_trickles_is_cut_off_when_memory_is_scarce() {
        runtime().block_on(async {
            let (budget, mut all) = (MemoryBudget::new(1 << 20), MemoryGrant::default());
            budget.extend(&mut all, 1 << 20).await;
            let size = 1_000_000;
            let (mut reader, mut sender) = begun(size, 10, &budget).await;
            let trickle = async {
                loop {
                    sender.write_all(&[7; 100]).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                read = reader.next() => assert!(matches!(read, Err(FrameError::Stalled)), "{read:?}"),
                () = trickle => {}
            }
            // At a rate that is slow but no trickle it arrives.
            let (mut reader, mut sender) = begun(size, 0, &budget).await;
            let slowly = async {
                for _ in 0..size / 20_000 {
                    sender.write_all(&[7; 20_000]).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                read = reader.next() => assert_eq!(read.unwrap().unwrap().bytes.len(), size),
                () = slowly => {}
            }
        });
    }

    /// A stream that counts how often it is read.
    struct Counted<'a>(&'a [u8], usize);

    impl AsyncRead for Counted<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.1 += 1;
            let (now, later) = self.0.split_at(self.0.len().min(to.remaining()));
            to.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    /// Goal: a producer that is ahead of the broker costs a read for a batch.
    #[test]
    fn frames_that_wait_take_a_read_each() {
        let frame = [&65_536_u32.to_be_bytes()[..], &[7; 65_536]].concat();
        let all = frame.repeat(20);
        let mut reader = FrameReader::new(Counted(&all, 0), 1 << 20, None);
        for _ in 0..20 {
            let read = runtime().block_on(reader.next()).unwrap().unwrap();
            assert_eq!(read.bytes, frame[4..]);
        }
        assert_eq!(reader.stream.1, 21, "one more for the first of them");
    }
}
