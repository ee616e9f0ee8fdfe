//! One number that changes whenever the topics of a group do (KIP-1101): kept with the group's epoch, so that also a coordinator
//! that has just taken over notices what changed meanwhile. Kafka's numbers, bit for bit: XXH3 over the fields in little endian.

use xxhash_rust::xxh3::xxh3_64;

use crate::types::Uuid;

/// Leads the fields of a topic, so that another layout would give other numbers.
const MAGIC: u8 = 0;

/// The hash of a topic with the racks of each of its partitions.
pub(super) fn topic_hash(id: Uuid, name: &str, racks: &[Vec<String>]) -> i64 {
    let mut bytes = vec![MAGIC];
    // Kafka puts an id as two longs.
    let (most, least) = id.0.split_at(8);
    bytes.extend(most.iter().rev().chain(least.iter().rev()));
    put_string(&mut bytes, name);
    put_length(&mut bytes, racks.len());
    for (partition, racks) in racks.iter().enumerate() {
        put_length(&mut bytes, partition);
        for rack in racks {
            put_length(&mut bytes, rack.encode_utf16().count());
            put_string(&mut bytes, rack);
        }
    }
    xxh3_64(&bytes).cast_signed()
}

/// The hash of a group's topics, in the order of their names; 0 without any.
pub(super) fn group_hash(topics: impl Iterator<Item = i64>) -> i64 {
    let bytes: Vec<u8> = topics.flat_map(i64::to_le_bytes).collect();
    if bytes.is_empty() { 0 } else { xxh3_64(&bytes).cast_signed() }
}

/// UTF-16 units, then how many they are.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    let before = bytes.len();
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let units = (bytes.len() - before) / 2;
    put_length(bytes, units);
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend(i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid =
        Uuid([0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);

    /// The numbers are what Kafka 4.3.1 computes for these topics.
    #[test]
    fn hashes_are_kafkas() {
        let none = topic_hash(ID, "foo", &[vec![], vec![], vec![]]);
        assert_eq!(none, 9_141_830_915_260_667_842);
        let racks = |racks: &[&str]| racks.iter().map(|rack| (*rack).to_owned()).collect::<Vec<_>>();
        let some = topic_hash(ID, "foo", &[racks(&["rack0", "rack1"]), racks(&["rack1", "rack2"])]);
        assert_eq!(some, -7_039_538_940_313_460_396);
        let many: Vec<_> = (0..40).map(|i| vec![format!("r{}", i % 3)]).collect();
        let many = topic_hash(ID, "a.rather-long_topic.name", &many);
        assert_eq!(many, -8_914_886_593_659_240_537);
        assert_eq!(group_hash([many, none].into_iter()), 8_098_680_036_872_240_043);
        assert_eq!(group_hash(std::iter::empty()), 0);
    }

    /// What a broker of Kafka 4.3.1 wrote with the epoch of a group on this topic.
    #[test]
    fn a_groups_hash_is_as_kafka_wrote_it() {
        let id = Uuid::parse("IdJE9EtVRsuIajDKrJ0h0g").unwrap();
        let topic = topic_hash(id, "hashme", &[vec![], vec![], vec![]]);
        assert_eq!(group_hash([topic].into_iter()), 8_637_525_000_497_201_313);
    }
}
