//! What compaction and deletion left unfinished when a log was closed or killed, by the names of the files.
//!
//! | suffix | means | so |
//! |---|---|---|
//! | `.deleted` | out of the log | removed |
//! | `.cleaned` | compaction was writing it | removed |
//! | `.swap` | compaction was putting it in place | put in place, and what it replaces is removed |
//!
//! A swap file at or above the lowest `.cleaned` belongs to a compaction that did not come to its end: removed as well.

use super::error::LogError;
use super::fs::Create;
use super::place::{Place, extension, file_name, parse_file_name};
use super::scan::{LOOKUP_BLOCK, Scanner};

/// Settles it; returns the names that are there afterwards.
pub(super) fn settle(place: &Place, names: Vec<String>) -> Result<Vec<String>, LogError> {
    let (mut kept, mut cleaned, mut swaps) = (Vec::with_capacity(names.len()), Vec::new(), Vec::new());
    for name in names {
        match name.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some(extension::DELETED) => place.remove(&name)?,
            Some(extension::CLEANED) => cleaned.push(name),
            Some(extension::SWAP) => swaps.push(name),
            _ => kept.push(name),
        }
    }
    if cleaned.is_empty() && swaps.is_empty() {
        return Ok(kept);
    }
    let lowest_cleaned = cleaned.iter().filter_map(|name| base_of(name)).min().unwrap_or(i64::MAX);
    for name in &cleaned {
        place.remove(name)?;
    }
    let (unfinished, finished): (Vec<_>, Vec<_>) =
        swaps.into_iter().partition(|name| base_of(name).is_none_or(|base| base >= lowest_cleaned));
    for name in unfinished {
        place.remove(&name)?;
    }
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for base in finished.iter().filter(|name| is_log(name)).filter_map(|name| base_of(name)) {
        (from, to) = (from.min(base), to.max(end_of(place, base)?));
    }
    let replaced = from..to;
    let mut left = Vec::with_capacity(kept.len() + finished.len());
    for name in kept {
        let is_segment = parse_file_name(&name).is_some_and(|(_, kind)| {
            [extension::LOG, extension::OFFSET_INDEX, extension::TIME_INDEX, extension::TXN_INDEX].contains(&kind)
        });
        if is_segment && base_of(&name).is_some_and(|base| replaced.contains(&base)) {
            place.remove(&name)?;
        } else {
            left.push(name);
        }
    }
    for name in finished {
        if let Some(final_name) = name.strip_suffix(".swap") {
            place.rename(&name, final_name)?;
            left.push(final_name.to_owned());
        }
    }
    Ok(left)
}

fn base_of(name: &str) -> Option<i64> {
    parse_file_name(name).map(|(base, _)| base)
}

fn is_log(name: &str) -> bool {
    parse_file_name(name).is_some_and(|(_, kind)| kind.strip_suffix(".swap") == Some(extension::LOG))
}

/// The offset after the last batch of a swap file; of an empty or damaged one, as far as it can be told.
fn end_of(place: &Place, base: i64) -> Result<i64, LogError> {
    let name = format!("{}.{}", file_name(base, extension::LOG), extension::SWAP);
    let file = place.open(&name, Create::No)?;
    let size = file.size()?;
    let mut scanner = Scanner::new(&file, 0, size, base, LOOKUP_BLOCK);
    while let Ok(Some(_)) = scanner.next() {}
    Ok(scanner.next_offset().max(base + 1))
}
