//! The newest offset of each key, by a hash of the key: 24 bytes a key, in one table that never grows.
//!
//! Keys are told apart by 128 bits (Kafka takes MD5). The seed is another one for every map, so that nobody can prepare
//! keys that collide.

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes of an entry: the hash, and the offset plus one. 0: the place is free.
const ENTRY_BYTES: usize = size_of::<Entry>();

type Entry = [u64; 3];

/// A table with open addressing.
#[derive(Debug)]
pub(super) struct OffsetMap {
    entries: Vec<Entry>,
    len: usize,
    /// Invariant: below the number of places, so that every search ends at a free one.
    limit: usize,
    seed: u64,
}

impl OffsetMap {
    /// A map of at most `bytes`, and of no more than `keys` need.
    pub(super) fn new(bytes: usize, load_factor: f64, keys: u64, seed: u64) -> Self {
        let load_factor = load_factor.clamp(0.01, 0.99);
        let needed = (keys as f64 / load_factor).ceil() as usize;
        let places = (bytes / ENTRY_BYTES).min(needed.saturating_add(1)).max(2);
        let limit = ((places as f64 * load_factor) as usize).clamp(1, places - 1);
        // The system gives zeroed pages as they are touched.
        Self { entries: vec![[0; 3]; places], len: 0, limit, seed }
    }

    /// Notes that `key` is at `offset`, which is above all before; `false` if it is a new key and there is no room.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        let is_full = self.len >= self.limit;
        let Some(entry) = self.entries.get_mut(at) else { return false };
        if entry[2] == 0 {
            if is_full {
                return false;
            }
            self.len += 1;
        }
        *entry = [hash.0, hash.1, offset as u64 + 1];
        true
    }

    /// The newest offset of `key`, if it was noted.
    pub(super) fn get(&self, key: &[u8]) -> Option<i64> {
        let entry = self.entries.get(self.find(self.hash(key)))?;
        entry[2].checked_sub(1).map(|offset| offset as i64)
    }

    /// Keys noted.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        let hash = xxh3_128_with_seed(key, self.seed);
        ((hash >> 64) as u64, hash as u64)
    }

    /// The place of a hash, or the free one where it belongs.
    fn find(&self, (high, low): (u64, u64)) -> usize {
        // The upper bits, scaled to the number of places.
        let mut at = ((u128::from(high) * self.entries.len() as u128) >> 64) as usize;
        loop {
            match self.entries.get(at) {
                Some(entry) if entry[2] != 0 && (entry[0], entry[1]) != (high, low) => at += 1,
                Some(_) => return at,
                None => at = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_found() {
        let mut map = OffsetMap::new(1 << 20, 0.9, 1000, 7);
        for round in 0..3_i64 {
            for key in 0..1000_i64 {
                assert!(map.put(&key.to_be_bytes(), round * 1000 + key));
            }
        }
        assert_eq!(map.len(), 1000);
        (0..1000_i64).for_each(|key| assert_eq!(map.get(&key.to_be_bytes()), Some(2000 + key)));
        assert_eq!((map.get(b"x"), map.get(b"")), (None, None));
    }

    #[test]
    fn a_full_map_still_takes_the_keys_it_has() {
        let mut map = OffsetMap::new(10 * ENTRY_BYTES, 0.9, u64::MAX, 7);
        (0..9_u8).for_each(|key| assert!(map.put(&[key], key.into())));
        assert!(!map.put(b"new", 9));
        assert!(map.put(&[3], 10));
        assert_eq!((map.get(&[3]), map.get(b"new"), map.len()), (Some(10), None, 9));
    }

    #[test]
    fn little_work_takes_little_memory() {
        assert!(OffsetMap::new(128 << 20, 0.9, 100, 7).bytes() < 3000);
        assert!(OffsetMap::new(128 << 20, 0.9, u64::MAX, 7).bytes() <= 128 << 20);
        let mut smallest = OffsetMap::new(0, 0.0, 0, 7);
        assert!(smallest.put(b"a", 0) && !smallest.put(b"b", 1), "one key always fits, so that work goes on");
    }
}
