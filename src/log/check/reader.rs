//! Files of a log as they are, read in blocks and never written: they may be somebody else's, or in use.

use std::path::Path;

use super::super::error::LogError;
use super::super::fs::{Fs, LogFile};
use super::super::scan::WHOLE_BLOCK;

/// A file, and a block of it in memory.
#[derive(Debug)]
pub struct FileReader {
    file: LogFile,
    size: u64,
    block: Vec<u8>,
    block_start: u64,
}

impl FileReader {
    /// Opens the file at `path`. What is written behind its end later is not seen.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let file = Fs::default().open_to_read(path)?;
        let size = file.size()?;
        Ok(Self { file, size, block: Vec::new(), block_start: 0 })
    }

    /// Bytes that the file had when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// `length` bytes from `position` on, fewer where the file ends. Memory is taken for a block, or for `length` if
    /// that is more: whoever asks for much has a limit.
    ///
    /// # Errors
    /// What the system says.
    pub fn bytes(&mut self, position: u64, length: usize) -> Result<&[u8], LogError> {
        let within = position.checked_sub(self.block_start).filter(|at| at + length as u64 <= self.block.len() as u64);
        let at = match within {
            Some(at) => at as usize,
            None => {
                let left = self.size.saturating_sub(position);
                let wanted = (length.max(WHOLE_BLOCK) as u64).min(left) as usize;
                self.block.resize(wanted, 0);
                let read = self.file.read_at(&mut self.block, position)?;
                self.block.truncate(read);
                self.block_start = position;
                0
            }
        };
        let found = self.block.get(at..).unwrap_or_default();
        Ok(found.get(..length).unwrap_or(found))
    }

    /// `N` bytes at `position`; `None` if the file ends before.
    ///
    /// # Errors
    /// What the system says.
    pub fn array<const N: usize>(&mut self, position: u64) -> Result<Option<[u8; N]>, LogError> {
        Ok(self.bytes(position, N)?.first_chunk().copied())
    }

    /// Hands all bytes from `from` to `to` to `each`, in pieces.
    ///
    /// # Errors
    /// What the system says.
    pub fn pieces(&mut self, from: u64, to: u64, mut each: impl FnMut(&[u8])) -> Result<(), LogError> {
        let mut position = from;
        while position < to {
            let piece = self.bytes(position, (to - position).min(WHOLE_BLOCK as u64) as usize)?;
            if piece.is_empty() {
                break;
            }
            each(piece);
            position += piece.len() as u64;
        }
        Ok(())
    }
}
