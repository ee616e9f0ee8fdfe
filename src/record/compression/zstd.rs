//! Zstandard: one frame when writing, one or more when reading.
//!
//! A compression context takes a megabyte or more to set up, so each thread keeps one of each kind once it needed it.
//! A frame may ask its reader for a window of up to 128 MiB (what the highest level writes); that is address space,
//! the pages of which are used only as far as bytes come out.

use std::cell::{Cell, RefCell};
use std::io;

use zstd::bulk::Compressor;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use super::StepError;

const DEFAULT_LEVEL: i32 = 3;
/// A reader that gave more than this is not kept: its window may be large.
const KEPT_OUTPUT: usize = 8 << 20;

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECODER: Cell<Option<Decoder<'static>>> = const { Cell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some((kept, compressor)) if *kept == level => compressor,
            _ => &mut slot.insert((level, Compressor::new(level)?)).1,
        };
        let at = out.len();
        out.resize(at + zstd::zstd_safe::compress_bound(input.len()), 0);
        let written = compressor.compress_to_buffer(input, out.get_mut(at..).unwrap_or_default());
        out.truncate(at + written.as_ref().copied().unwrap_or(0));
        written.map(drop)
    })
}

/// The frames that are still to be read.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    decoder: Option<Decoder<'static>>,
    /// No frame is open: the input may end here.
    between_frames: bool,
    produced: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(input: &'a [u8]) -> Result<Self, StepError> {
        let decoder = match DECODER.take() {
            Some(decoder) => decoder,
            None => Decoder::new()?,
        };
        Ok(Self { rest: input, decoder: Some(decoder), between_frames: true, produced: 0 })
    }

    pub(super) fn step(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, StepError> {
        if self.rest.is_empty() && self.between_frames {
            return Ok(false);
        }
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        super::reserve(out, super::chunk_len(room), room);
        let at = out.len();
        let mut input = InBuffer::around(self.rest);
        let hint = decoder.run(&mut input, &mut OutBuffer::around_pos(out, at))?;
        let read = input.pos();
        self.rest = self.rest.get(read..).unwrap_or_default();
        self.between_frames = hint == 0;
        self.produced = self.produced.saturating_add(out.len() - at);
        if read == 0 && out.len() == at && !self.between_frames {
            return Err(StepError::damaged("zstd frame is cut short"));
        }
        Ok(true)
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        if let Some(mut decoder) = self.decoder.take()
            && self.produced <= KEPT_OUTPUT
            && decoder.reinit().is_ok()
        {
            DECODER.set(Some(decoder));
        }
    }
}
