//! Rebuilding the image from a log, where records may stand in a transaction (KIP-868).

use super::apply::ApplyError;
use super::image::MetadataImage;
use super::record::MetadataRecord;

/// An image on its way through a log. What stands between the records of a transaction counts only once it ends.
#[derive(Debug, Default)]
pub struct Replay {
    image: MetadataImage,
    /// The records of the transaction that is open.
    held: Option<Vec<MetadataRecord>>,
}

impl Replay {
    /// Goes on from this image: what a snapshot gave.
    #[must_use]
    pub fn from_image(image: MetadataImage) -> Self {
        Self { image, held: None }
    }

    /// Takes the next record of the log.
    ///
    /// # Errors
    /// As [`MetadataImage::apply`].
    pub fn take(&mut self, record: MetadataRecord) -> Result<(), ApplyError> {
        match (&record, &mut self.held) {
            (MetadataRecord::BeginTransaction(_), _) => self.held = Some(Vec::new()),
            (MetadataRecord::AbortTransaction(_), _) => self.held = None,
            (MetadataRecord::EndTransaction(_), held) => {
                for record in held.take().unwrap_or_default() {
                    self.image.apply(&record)?;
                }
            }
            (_, Some(held)) => held.push(record),
            (_, None) => self.image.apply(&record)?,
        }
        Ok(())
    }

    /// Whether a transaction was begun and neither ended nor aborted: its writer stopped in the middle, and the next
    /// controller has to abort it.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        self.held.is_some()
    }

    /// The image so far.
    #[must_use]
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The image at the end of the log; what an open transaction held back is dropped.
    #[must_use]
    pub fn into_image(self) -> MetadataImage {
        self.image
    }
}
