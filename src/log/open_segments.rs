//! Which completed segments have their files open for readers: a few, however many are read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::LogError;
use super::segment::Segment;

/// Readers of one partition at as many places far behind its end share its files; more take turns.
const MAX_OPEN: usize = 8;

/// The segments used last, the oldest of which is closed for a new one.
#[derive(Debug, Default)]
pub(super) struct OpenSegments(Mutex<VecDeque<Arc<Segment>>>);

impl OpenSegments {
    /// Notes that the files of a completed segment are being used.
    pub(super) fn touch(&self, segment: &Arc<Segment>) -> Result<(), LogError> {
        let oldest = {
            let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if open.back().is_some_and(|last| Arc::ptr_eq(last, segment)) {
                return Ok(());
            }
            open.retain(|other| !Arc::ptr_eq(other, segment));
            open.push_back(segment.clone());
            if open.len() > MAX_OPEN { open.pop_front() } else { None }
        };
        // Whoever reads in it at this moment has the file in hand.
        match oldest {
            Some(oldest) => oldest.close_files().map(drop),
            None => Ok(()),
        }
    }

    /// Lets go of all.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
