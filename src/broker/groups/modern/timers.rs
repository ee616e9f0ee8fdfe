//! What falls due in a group when nothing is heard before. Setting a timer costs the logarithm of their number: a heartbeat
//! must not cost more in a group of a thousand members than in one of two.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// Timers, each under a key; `K` says whose it is and what for.
#[derive(Debug)]
pub(in crate::broker) struct Timers<K> {
    due: BTreeSet<(Instant, K)>,
    at: HashMap<K, Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { due: BTreeSet::new(), at: HashMap::new() }
    }
}

impl<K: Clone + Ord + std::hash::Hash> Timers<K> {
    /// Sets a timer, in place of the one that may stand there.
    pub(in crate::broker) fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.at.insert(key.clone(), at) {
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((at, key));
    }

    /// Sets a timer unless one stands there.
    pub(in crate::broker) fn set_if_absent(&mut self, key: K, at: Instant) {
        if !self.at.contains_key(&key) {
            self.set(key, at);
        }
    }

    pub(in crate::broker) fn is_set(&self, key: &K) -> bool {
        self.at.contains_key(key)
    }

    pub(in crate::broker) fn cancel(&mut self, key: &K) {
        if let Some(at) = self.at.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// When the first one falls due.
    pub(in crate::broker) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one that has fallen due.
    pub(in crate::broker) fn take_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_fall_due_in_order() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set("a", after(5));
        timers.set("b", after(3));
        timers.set("c", after(4));
        timers.set("b", after(6));
        timers.set_if_absent("a", after(1));
        timers.cancel(&"c");
        assert_eq!(timers.next(), Some(after(5)));
        assert!(timers.is_set(&"b") && !timers.is_set(&"c"));
        assert_eq!(timers.take_due(after(4)), None);
        assert_eq!(timers.take_due(after(9)), Some("a"));
        assert_eq!(timers.take_due(after(9)), Some("b"));
        assert_eq!((timers.take_due(after(9)), timers.next()), (None, None));
    }
}
