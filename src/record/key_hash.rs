//! The hashes that place records: murmur2 of a key gives its partition, Java's hash of an id gives its coordinator.

/// Kafka's murmur2 of a record's key.
#[must_use]
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

/// The partition, of `count`, that Kafka's clients choose for a record with this key. 0 if there are no partitions.
#[must_use]
pub fn partition_for_key(key: &[u8], count: i32) -> i32 {
    (murmur2(key) & i32::MAX).checked_rem(count).unwrap_or(0)
}

/// Java's hash of a string: over its UTF-16 units.
#[must_use]
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The partition, of `count`, of `__consumer_offsets` (by group id) or `__transaction_state` (by transactional id) whose
/// leader coordinates `id`. 0 if there are no partitions.
#[must_use]
pub fn coordinator_partition(id: &str, count: i32) -> i32 {
    // The one hash without a positive counterpart counts as 0, as in Kafka.
    java_string_hash(id).checked_abs().unwrap_or(0).checked_rem(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = include_str!("../../tests/data/vectors/key-partitions.tsv");
    const IDS: &str = include_str!("../../tests/data/vectors/coordinator-partitions.tsv");

    #[test]
    fn keys_go_where_kafka_puts_them() {
        let mut lines = KEYS.lines();
        let counts: Vec<i32> =
            lines.next().unwrap().split('\t').skip(3).map(|name| name[1..].parse().unwrap()).collect();
        let mut checked = 0;
        for line in lines {
            let mut columns = line.split('\t');
            let hex = columns.next().unwrap();
            let key: Vec<u8> =
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
            let numbers: Vec<i32> = columns.map(|number| number.parse().unwrap()).collect();
            assert_eq!(murmur2(&key), numbers[0], "{hex}");
            assert_eq!(murmur2(&key) & i32::MAX, numbers[1], "{hex}");
            for (count, partition) in counts.iter().zip(&numbers[2..]) {
                assert_eq!(partition_for_key(&key, *count), *partition, "{hex} of {count}");
            }
            checked += 1;
        }
        assert_eq!(checked, 202);
    }

    #[test]
    fn ids_go_where_kafka_puts_them() {
        let mut checked = 0;
        for line in IDS.lines().skip(1) {
            let (id, numbers) = line.split_once('\t').unwrap();
            let id: String = serde_json::from_str(id).unwrap();
            let numbers: Vec<i32> = numbers.split('\t').map(|number| number.parse().unwrap()).collect();
            assert_eq!(java_string_hash(&id), numbers[0], "{id}");
            for (at, count) in [(1, 50), (2, 50), (3, 7), (4, 7)] {
                assert_eq!(coordinator_partition(&id, count), numbers[at], "{id} of {count}");
            }
            checked += 1;
        }
        assert_eq!(checked, 166);
    }

    #[test]
    fn no_partitions_give_no_panic() {
        assert_eq!(partition_for_key(b"key", 0), 0);
        assert_eq!(coordinator_partition("group", 0), 0);
    }
}
