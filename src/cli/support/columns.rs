//! Lines in columns, padded as Kafka's tools pad them. Scripts cut them by width and by white space.

/// How wide a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// So wide whatever is in it; what is longer pushes the rest of its line to the right.
    Fixed(usize),
    /// So wide, or as wide as its longest cell.
    AtLeast(usize),
    /// Not padded.
    Open,
}

/// The rows of a table, the header first.
pub(crate) fn with_header(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    std::iter::once(header.iter().map(|title| (*title).to_owned()).collect()).chain(rows).collect()
}

/// The cell of a value; a dash for one that is not known.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The lines of a table with a space between columns. The header is a row like the others.
pub(crate) fn in_columns<S: AsRef<str>>(columns: &[Column], rows: &[Vec<S>]) -> Vec<String> {
    let width = |(index, column): (usize, &Column)| match *column {
        Column::Open => 0,
        Column::Fixed(width) => width,
        Column::AtLeast(width) => {
            let cells = rows.iter().filter_map(|row| row.get(index));
            cells.map(|cell| java_length(cell.as_ref())).fold(width, usize::max)
        }
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    rows.iter().map(|row| line(&widths, row)).collect()
}

fn line<S: AsRef<str>>(widths: &[usize], cells: &[S]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if index > 0 {
            line.push(' ');
        }
        let cell = cell.as_ref();
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(java_length(cell))));
    }
    line
}

/// `String.length`.
fn java_length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_as_by_printf() {
        let columns = [Column::AtLeast(4), Column::Fixed(3), Column::Open];
        let rows = [vec!["a", "b", "c"], vec!["longer", "long", "d"], vec!["é", "", ""]];
        assert_eq!(in_columns(&columns, &rows), ["a      b   c", "longer long d", "é          "]);
        assert_eq!(in_columns::<&str>(&columns, &[]), [""; 0]);
    }
}
