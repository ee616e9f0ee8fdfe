//! Buffers of large frames: memory of their own, which goes back to the system when they go.
//!
//! The allocator keeps what was freed between what is still in use, in each thread's arena anew: with a thousand senders of
//! 1 MB twice the budget.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

/// Frames from this size on are worth pages of their own.
pub(super) const LARGE_BYTES: usize = 256 * 1024;

/// Sizes are multiples of this, so that a buffer suits the next frame too.
const STEP_BYTES: usize = 256 * 1024;

/// How many buffers wait for the next frame, and how large they may be: the system needs time to clear new pages.
const MOST_KEPT: usize = 8;
const LARGEST_KEPT_BYTES: usize = 2 << 20;

/// Where large buffers come from and go back to. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct LargeBuffers {
    kept: Arc<Mutex<Vec<MmapMut>>>,
}

impl LargeBuffers {
    /// A buffer for `size` bytes. Takes addresses only: memory comes with the bytes.
    ///
    /// # Errors
    /// The system has no room for so much.
    pub(super) fn take(&self, size: usize) -> io::Result<LargeBuffer> {
        let kept = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.iter().position(|map| map.len() >= size).map(|at| kept.swap_remove(at))
        };
        let map = match kept {
            Some(map) => map,
            None => MmapMut::map_anon(size.next_multiple_of(STEP_BYTES))?,
        };
        Ok(LargeBuffer { map: Some(map), filled: 0, size, home: self.clone() })
    }
}

/// Room for one frame, with what came of it.
#[derive(Debug)]
pub(super) struct LargeBuffer {
    /// `Some` until it is dropped.
    map: Option<MmapMut>,
    filled: usize,
    /// Of the frame, in bytes; the room may be larger, and hold parts of another frame.
    size: usize,
    home: LargeBuffers,
}

impl LargeBuffer {
    /// Bytes that there will be.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// The place of the next bytes, at most `most` of them.
    pub(super) fn room(&mut self, most: usize) -> &mut [u8] {
        let end = self.size.min(self.filled.saturating_add(most));
        let room = self.map.as_mut().and_then(|map| map.get_mut(self.filled..end));
        room.unwrap_or_default()
    }

    /// So many bytes were put into the room.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.filled = self.size.min(self.filled + bytes);
    }
}

impl AsRef<[u8]> for LargeBuffer {
    fn as_ref(&self) -> &[u8] {
        self.map.as_ref().and_then(|map| map.get(..self.filled)).unwrap_or_default()
    }
}

impl Drop for LargeBuffer {
    fn drop(&mut self) {
        let Some(map) = self.map.take().filter(|map| map.len() <= LARGEST_KEPT_BYTES) else { return };
        let mut kept = self.home.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_KEPT {
            kept.push(map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_put_in_is_seen() {
        let buffers = LargeBuffers::default();
        let mut first = buffers.take(LARGE_BYTES + 1).unwrap();
        assert_eq!(first.room(usize::MAX).len(), LARGE_BYTES + 1);
        first.room(5).copy_from_slice(b"first");
        first.advance(5);
        assert_eq!(first.as_ref(), b"first");
        let place = first.as_ref().as_ptr();
        drop(first);
        let mut second = buffers.take(LARGE_BYTES).unwrap();
        assert!(second.as_ref().is_empty());
        second.room(1).fill(b's');
        second.advance(1);
        assert_eq!((second.as_ref(), second.as_ref().as_ptr()), (&b"s"[..], place), "the same memory");
    }

    #[test]
    fn a_few_are_kept_and_no_huge_ones() {
        let buffers = LargeBuffers::default();
        let many: Vec<_> = (0..3 * MOST_KEPT).map(|_| buffers.take(LARGE_BYTES).unwrap()).collect();
        drop(many);
        assert_eq!(buffers.kept.lock().unwrap().len(), MOST_KEPT);
        let buffers = LargeBuffers::default();
        drop(buffers.take(LARGEST_KEPT_BYTES + 1).unwrap());
        drop(buffers.take(LARGEST_KEPT_BYTES).unwrap());
        assert_eq!(buffers.kept.lock().unwrap().iter().map(|map| map.len()).collect::<Vec<_>>(), [LARGEST_KEPT_BYTES]);
    }
}
