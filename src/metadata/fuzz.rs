//! Fuzz entries: plain functions over bytes, replayed on a kept corpus by the tests.

use bytes::Bytes;

use super::{MetadataImage, MetadataRecord, MetadataVersion};

/// Reads the bytes as values of the metadata log (each in front of it its length, one byte) and applies them. What can be
/// read can be written; what the image took in, its snapshot gives again.
///
/// # Panics
/// If a snapshot of the image does not add up to the image: a fault of ours.
#[expect(clippy::panic, reason = "a fuzz entry reports a fault by panicking")]
pub fn records(data: &[u8]) {
    let mut image = MetadataImage::default();
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first() {
        let (value, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        if let Ok(record) = MetadataRecord::read(&Bytes::copy_from_slice(value)) {
            let _ = record.write(MetadataVersion::LATEST);
            let _ = image.apply(&record);
        }
    }
    let mut again = MetadataImage::default();
    for record in image.records() {
        if let Err(error) = again.apply(&record) {
            panic!("a snapshot contradicts itself: {error}");
        }
    }
}
