//! What is known of ranges of records, and how several tellings of the same ranges are combined.

use std::collections::BTreeMap;

/// What became of a record, as it is persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::broker) struct DeliveryState(pub(in crate::broker) i8);

impl DeliveryState {
    /// To be delivered (again).
    pub(in crate::broker) const AVAILABLE: Self = Self(0);
    /// Accepted: done.
    pub(in crate::broker) const ACKNOWLEDGED: Self = Self(2);
    /// Rejected, delivered too often, or not there: done.
    pub(in crate::broker) const ARCHIVED: Self = Self(4);

    /// Whether nothing will change any more.
    pub(in crate::broker) fn is_terminal(self) -> bool {
        matches!(self, Self::ACKNOWLEDGED | Self::ARCHIVED)
    }
}

/// Records from `first` to `last` that share a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct StateBatch {
    pub(in crate::broker) first: i64,
    pub(in crate::broker) last: i64,
    pub(in crate::broker) state: DeliveryState,
    pub(in crate::broker) count: i16,
}

impl StateBatch {
    /// What counts where two batches overlap: deliveries only become more, and states only come closer to the end.
    fn priority(&self) -> (i16, DeliveryState) {
        (self.count, self.state)
    }
}

/// Combines what was known with what is new into batches that neither overlap nor could be joined, from `start` on (all, if that is -1).
///
/// Where batches overlap the higher delivery count holds, then the higher state: Kafka's rule, so that a log gives the same
/// state whoever reads it.
pub(in crate::broker) fn combine(known: &[StateBatch], new: &[StateBatch], start: i64) -> Vec<StateBatch> {
    // Where batches begin (true) and where they have ended.
    let mut edges: Vec<(i64, bool, (i16, DeliveryState))> = Vec::with_capacity((known.len() + new.len()) * 2);
    for batch in known.iter().chain(new) {
        let first = batch.first.max(start);
        // Nothing is kept of a range that ends before it begins; the last offset there is leaves no room for an end.
        if batch.last < first || batch.last == i64::MAX {
            continue;
        }
        edges.push((first, true, batch.priority()));
        edges.push((batch.last + 1, false, batch.priority()));
    }
    edges.sort_unstable();
    let mut open: BTreeMap<(i16, DeliveryState), usize> = BTreeMap::new();
    let mut combined: Vec<StateBatch> = Vec::new();
    let mut from = 0;
    for (at, begins, priority) in edges {
        if let Some((&(count, state), _)) = open.last_key_value()
            && from < at
        {
            match combined.last_mut() {
                Some(last) if last.last + 1 == from && last.priority() == (count, state) => last.last = at - 1,
                _ => combined.push(StateBatch { first: from, last: at - 1, state, count }),
            }
        }
        from = at;
        if begins {
            *open.entry(priority).or_default() += 1;
        } else if let Some(times) = open.get_mut(&priority) {
            *times -= 1;
            if *times == 0 {
                open.remove(&priority);
            }
        }
    }
    combined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i64, last: i64, state: i8, count: i16) -> StateBatch {
        StateBatch { first, last, state: DeliveryState(state), count }
    }

    /// The cases of Kafka's own test of its combiner.
    #[test]
    fn overlaps_are_combined_as_kafka_does() {
        // What it is about, what is known, what comes, the start offset, what is known then.
        type Case<'a> = (&'a str, &'a [StateBatch], &'a [StateBatch], i64, &'a [StateBatch]);
        let cases: &[Case<'_>] = &[
            ("nothing", &[], &[], -1, &[]),
            ("one", &[], &[batch(100, 110, 0, 1)], -1, &[batch(100, 110, 0, 1)]),
            ("the same", &[batch(100, 110, 0, 1)], &[batch(100, 110, 0, 1)], -1, &[batch(100, 110, 0, 1)]),
            ("higher state", &[batch(100, 110, 0, 1)], &[batch(100, 110, 2, 1)], -1, &[batch(100, 110, 2, 1)]),
            ("lower state", &[batch(100, 110, 2, 1)], &[batch(100, 110, 0, 1)], -1, &[batch(100, 110, 2, 1)]),
            ("higher count", &[batch(100, 110, 2, 1)], &[batch(100, 110, 0, 2)], -1, &[batch(100, 110, 0, 2)]),
            (
                "contained",
                &[batch(100, 110, 0, 1)],
                &[batch(105, 107, 0, 2)],
                -1,
                &[batch(100, 104, 0, 1), batch(105, 107, 0, 2), batch(108, 110, 0, 1)],
            ),
            (
                "staggered",
                &[batch(100, 110, 0, 2)],
                &[batch(105, 115, 0, 1)],
                -1,
                &[batch(100, 110, 0, 2), batch(111, 115, 0, 1)],
            ),
            ("contiguous", &[batch(100, 104, 0, 1)], &[batch(105, 110, 0, 1)], -1, &[batch(100, 110, 0, 1)]),
            (
                "apart",
                &[batch(100, 104, 0, 1)],
                &[batch(106, 110, 0, 1)],
                -1,
                &[batch(100, 104, 0, 1), batch(106, 110, 0, 1)],
            ),
            ("cut by the start", &[batch(100, 110, 0, 1)], &[batch(90, 95, 0, 1)], 105, &[batch(105, 110, 0, 1)]),
            ("empty range", &[], &[batch(10, 9, 0, 1)], -1, &[]),
        ];
        for (name, known, new, start, wanted) in cases {
            assert_eq!(combine(known, new, *start), *wanted, "{name}");
        }
    }

    /// Goal: no record's state is lost, whatever the batches. Method: random batches, compared record by record.
    #[test]
    fn combining_keeps_the_highest_state_of_each_record() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..500 {
            let draw = |random: &mut fastrand::Rng| -> Vec<StateBatch> {
                (0..random.usize(..8))
                    .map(|_| {
                        let first = random.i64(0..40);
                        batch(first, first + random.i64(0..12), [0, 2, 4][random.usize(..3)], random.i16(1..4))
                    })
                    .collect()
            };
            let (known, new) = (draw(&mut random), draw(&mut random));
            let start = random.i64(-1..30);
            let combined = combine(&known, &new, start);
            for offset in 0..60 {
                let covers = |batch: &&StateBatch| (batch.first..=batch.last).contains(&offset) && offset >= start;
                let wanted = known.iter().chain(&new).filter(covers).map(StateBatch::priority).max();
                let found: Vec<_> = combined.iter().filter(covers).map(StateBatch::priority).collect();
                assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "offset {offset} of {known:?} {new:?}");
            }
            for pair in combined.windows(2) {
                let joinable = pair[0].last + 1 == pair[1].first && pair[0].priority() == pair[1].priority();
                assert!(pair[0].last < pair[1].first && !joinable, "{combined:?}");
            }
        }
    }
}
