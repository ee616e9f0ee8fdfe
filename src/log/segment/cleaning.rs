//! What compaction asks of a segment: how large its indexes are, how old it is, and to make way for another one.

use std::path::PathBuf;

use super::{Segment, State};
use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::fs::Create;
use crate::log::place::{extension, file_name};
use crate::log::{offset_index, time_index};

impl Segment {
    /// Largest timestamp of its first batch; -1 if there is none.
    pub(in crate::log) fn first_batch_timestamp(&self) -> Result<i64, LogError> {
        let mut state = self.state();
        if state.end == 0 { Ok(-1) } else { self.first_timestamp(&mut state) }
    }

    /// Bytes of its offset index and of its time index.
    pub(in crate::log) fn index_sizes(&self, config: &LogConfig) -> Result<(u64, u64), LogError> {
        let mut state = self.state();
        self.load_indexes(&mut state, config)?;
        let offsets = state.offset_index.as_ref().map_or(0, |index| index.len() * offset_index::ENTRY_BYTES);
        let times = state.time_index.as_ref().map_or(0, |index| index.len() * time_index::ENTRY_BYTES);
        Ok((offsets as u64, times as u64))
    }

    /// Gives the files their `.deleted` names because a compacted segment takes theirs; returns the new names. Readers that
    /// hold this segment go on in the files, which stay open.
    pub(in crate::log) fn mark_replaced(&self, config: &LogConfig) -> Result<Vec<PathBuf>, LogError> {
        let mut state = self.state();
        self.hold_files(&mut state, config)?;
        let paths = self.rename_deleted(&mut state)?;
        state.replaced = true;
        Ok(paths)
    }

    /// Puts an empty file in the place of the log and takes the others away, because the log begins anew elsewhere. Readers that
    /// hold this segment go on in the files, which stay open.
    pub(in crate::log) fn leave_empty(&self, config: &LogConfig) -> Result<(), LogError> {
        let mut state = self.state();
        self.hold_files(&mut state, config)?;
        let name = file_name(self.base_offset, extension::LOG);
        // Whatever becomes of it, a start removes a file of this name.
        let empty = format!("{name}.{}", extension::CLEANED);
        self.place.open(&empty, Create::Empty)?.sync()?;
        self.place.rename(&empty, &name)?;
        for kind in [extension::OFFSET_INDEX, extension::TIME_INDEX, extension::TXN_INDEX] {
            self.place.remove(&file_name(self.base_offset, kind))?;
        }
        state.replaced = true;
        Ok(())
    }

    /// Opens all files, before their names are gone.
    fn hold_files(&self, state: &mut State, config: &LogConfig) -> Result<(), LogError> {
        self.open_file(state)?;
        self.load_indexes(state, config)?;
        if let Some(index) = &mut state.offset_index {
            index.file().open()?;
        }
        if let Some(index) = &mut state.time_index {
            index.file().open()?;
        }
        Ok(())
    }
}
