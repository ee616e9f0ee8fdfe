//! Where batches start that are likely to be read next, so that a reader that follows the log needs no index.
//!
//! Entries are true as long as the log is not cut; cutting empties the cache.

use std::sync::{Mutex, PoisonError};

use crate::types::Offset;

/// As many readers of one partition at different places are served without a look-up.
const PLACES: usize = 16;

/// The batch at `position` of the segment at `base_offset` is the first with offsets from `offset` on, and has none below.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) offset: Offset,
    pub(super) base_offset: i64,
    pub(super) position: u64,
}

#[derive(Debug, Default)]
struct Places {
    positions: Vec<Position>,
    next: usize,
    generation: u64,
}

/// A few positions, the oldest of which makes place for a new one.
#[derive(Debug, Default)]
pub(super) struct PositionCache(Mutex<Places>);

impl PositionCache {
    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of the log that a position will be true of; taken before it is looked for.
    pub(super) fn generation(&self) -> u64 {
        self.places().generation
    }

    /// Where the first batch from `offset` on starts, if that is known, in the segment at `base_offset`.
    pub(super) fn get(&self, offset: Offset, base_offset: i64) -> Option<u64> {
        let places = self.places();
        let found = places.positions.iter().find(|place| place.offset == offset && place.base_offset == base_offset);
        found.map(|place| place.position)
    }

    /// Remembers a position that was found in the state of `generation`.
    pub(super) fn put(&self, position: Position, generation: u64) {
        let mut places = self.places();
        if places.generation != generation || places.positions.contains(&position) {
            return;
        }
        if places.positions.len() < PLACES {
            places.positions.push(position);
            return;
        }
        let next = places.next;
        if let Some(place) = places.positions.get_mut(next) {
            *place = position;
        }
        places.next = (next + 1) % PLACES;
    }

    /// Forgets everything: the log was cut.
    pub(super) fn clear(&self) {
        let mut places = self.places();
        places.positions.clear();
        places.next = 0;
        places.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_before_a_cut_is_not_kept() {
        let cache = PositionCache::default();
        let at = |offset| Position { offset: Offset(offset), base_offset: 0, position: 7 };
        let before = cache.generation();
        cache.put(at(5), before);
        assert_eq!(cache.get(Offset(5), 0), Some(7));
        assert_eq!(cache.get(Offset(5), 3), None, "of another segment");
        cache.clear();
        cache.put(at(5), before);
        assert_eq!(cache.get(Offset(5), 0), None);
        (0..100).for_each(|offset| cache.put(at(offset), cache.generation()));
        assert_eq!((cache.get(Offset(99), 0), cache.get(Offset(83), 0)), (Some(7), None));
    }
}
