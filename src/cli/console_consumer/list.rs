//! What Kafka's `ListSerializer` writes (KIP-466).
//!
//! ```text
//! 0   i32 number of nulls   i32 index of each   i32 number of entries   the entries, all of one size, nulls left out
//! 1   i32 number of entries   of each: i32 size, -1 for null; its bytes
//! ```

use std::collections::BTreeSet;

/// Bytes that are no list; the texts are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum ListError {
    #[error("Unable to deserialize into a List")]
    Cut,
    #[error("End of the stream was reached prematurely")]
    EntryCut,
    #[error("Invalid serialization strategy flag value")]
    Form,
    #[error(
        "Data is encoded as constant size entries, but configured inner deserializer is not a known fixed-size \
         deserializer."
    )]
    NotFixed,
    #[error("Corrupted byte[]. The number of null list entries cannot be negative.")]
    NegativeNulls,
    #[error("Corrupted byte[]. The number of null list entries cannot be larger than overall number of elements.")]
    TooManyNulls,
    #[error("Corrupted byte[]. The number of list entries cannot be negative.")]
    NegativeEntries,
    #[error("Corrupted byte[]. The number of list entries cannot be larger than overall number of bytes.")]
    TooManyEntries,
    #[error("Corrupted byte[]. A list entry cannot have negative size.")]
    NegativeSize,
    #[error("Corrupted byte[]. A list entry cannot be larger than the overall number of bytes.")]
    TooLarge,
}

/// The entries of a list, none for null. `fixed`: the size that values of the type always have.
///
/// # Errors
/// It is none. Like Kafka's deserializer this doesn't look at what is behind the last entry.
pub(super) fn entries(list: &[u8], fixed: Option<usize>) -> Result<Vec<Option<&[u8]>>, ListError> {
    let (form, mut rest) = list.split_first().ok_or(ListError::Cut)?;
    let (nulls, fixed) = match form {
        0 => {
            let size = fixed.ok_or(ListError::NotFixed)?;
            (null_indexes(&mut rest, list.len())?, Some(size))
        }
        1 => (BTreeSet::new(), None),
        _ => return Err(ListError::Form),
    };
    let count = usize::try_from(number(&mut rest)?).map_err(|_| ListError::NegativeEntries)?;
    if count > list.len() {
        return Err(ListError::TooManyEntries);
    }
    let mut entries = Vec::with_capacity(count);
    for index in 0..count {
        let size = match fixed {
            Some(_) if nulls.contains(&index) => None,
            Some(size) => Some(size),
            None => entry_size(&mut rest, list.len())?,
        };
        entries.push(match size {
            Some(size) => {
                let (entry, after) = rest.split_at_checked(size).ok_or(ListError::EntryCut)?;
                rest = after;
                Some(entry)
            }
            None => None,
        });
    }
    Ok(entries)
}

fn null_indexes(rest: &mut &[u8], length: usize) -> Result<BTreeSet<usize>, ListError> {
    let count = usize::try_from(number(rest)?).map_err(|_| ListError::NegativeNulls)?;
    if count > length / size_of::<i32>() {
        return Err(ListError::TooManyNulls);
    }
    let mut indexes = BTreeSet::new();
    for _ in 0..count {
        // One that is negative is that of no entry.
        indexes.extend(usize::try_from(number(rest)?));
    }
    Ok(indexes)
}

/// The size of the entry that follows; `None` for null.
fn entry_size(rest: &mut &[u8], length: usize) -> Result<Option<usize>, ListError> {
    match number(rest)? {
        -1 => Ok(None),
        size => match usize::try_from(size) {
            Ok(size) if size > length => Err(ListError::TooLarge),
            Ok(size) => Ok(Some(size)),
            Err(_) => Err(ListError::NegativeSize),
        },
    }
}

fn number(rest: &mut &[u8]) -> Result<i32, ListError> {
    let (number, after) = rest.split_first_chunk().ok_or(ListError::Cut)?;
    *rest = after;
    Ok(i32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of these numbers, as Kafka's `ListSerializer` writes it.
    fn list(form: u8, numbers: &[i32]) -> Vec<u8> {
        std::iter::once(form).chain(numbers.iter().flat_map(|number| number.to_be_bytes())).collect()
    }

    #[test]
    fn both_forms_have_nulls() {
        let fixed = list(0, &[1, 1, 3, 7, -1]);
        let seven = 7_i32.to_be_bytes();
        let minus = (-1_i32).to_be_bytes();
        assert_eq!(entries(&fixed, Some(4)).unwrap(), [Some(&seven[..]), None, Some(&minus[..])]);
        let varied = [&list(1, &[3, 2])[..], b"ab", &list(1, &[-1, 0])[1..]].concat();
        for fixed in [None, Some(4)] {
            assert_eq!(entries(&varied, fixed).unwrap(), [Some(&b"ab"[..]), None, Some(&b""[..])]);
        }
        assert!(entries(&list(1, &[0]), None).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for (bytes, fixed, error) in [
            (Vec::new(), None, ListError::Cut),
            (list(2, &[0]), None, ListError::Form),
            (list(0, &[0, 1, 7]), None, ListError::NotFixed),
            (list(0, &[-1, 1, 7]), Some(4), ListError::NegativeNulls),
            (list(0, &[4, 1, 7]), Some(4), ListError::TooManyNulls),
            (list(0, &[0, -1]), Some(4), ListError::NegativeEntries),
            (list(0, &[0, i32::MAX]), Some(4), ListError::TooManyEntries),
            (list(0, &[0, 2, 7]), Some(4), ListError::EntryCut),
            (list(0, &[0]), Some(4), ListError::Cut),
            (list(1, &[1]), None, ListError::Cut),
            (list(1, &[1, -2]), None, ListError::NegativeSize),
            (list(1, &[1, 10]), None, ListError::TooLarge),
            (list(1, &[1, 9]), None, ListError::EntryCut),
        ] {
            assert_eq!(entries(&bytes, fixed), Err(error), "{bytes:?}");
        }
    }
}
