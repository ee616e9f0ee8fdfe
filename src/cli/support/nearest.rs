//! "Did you mean": the name that somebody is likely to have meant.

/// The one of `names` that is closest to `wanted`, if one is close: few letters differ, or only their case.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = wanted.to_lowercase().chars().collect();
    // One slip in a short name, more in a long one; what begins alike is meant sooner than what is merely as long.
    let most = (letters.len() / 3).max(1);
    names
        .into_iter()
        .filter(|name| *name != wanted)
        .filter_map(|name| Some((distance(&letters, name, most)?, name)))
        .min()
        .map(|(_, name)| name)
}

/// `did you mean NAME?`
pub(crate) fn did_you_mean<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wanted, names).map(|name| format!("did you mean {name}?"))
}

/// How many letters must be put in, left out, changed or swapped with their neighbour; `None` if more than `most`.
fn distance(from: &[char], name: &str, most: usize) -> Option<usize> {
    let to: Vec<char> = name.to_lowercase().chars().collect();
    if from.len().abs_diff(to.len()) > most {
        return None;
    }
    // Rows of the usual table: the cost of turning a prefix of `from` into each prefix of `to`.
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, other) in to.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let changed = at(&last, j) + usize::from(letter != other);
            let mut best = changed.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(other) && to.get(j - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized() {
        let names = ["orders", "payments", "Billing", "x"];
        for (typed, meant) in
            [("ordesr", Some("orders")), ("payment", Some("payments")), ("billing", Some("Billing")), ("zzz", None)]
        {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
        assert_eq!(nearest("orders", ["orders"]), None);
        assert_eq!(nearest("", ["a", "ab"]), Some("a"));
        assert_eq!(did_you_mean("order", names).as_deref(), Some("did you mean orders?"));
    }
}
