//! Renders plain-text tables that are valid Markdown.

/// Renders a header and rows. Columns that hold only numbers, except the first, are right-aligned.
pub(crate) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let numeric: Vec<bool> = (0..columns)
        .map(|c| {
            c > 0
                && !rows.is_empty()
                && rows
                    .iter()
                    .all(|r| r.get(c).is_none_or(|cell| is_number(cell)))
        })
        .collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    };
    line(&mut (0..columns).map(|c| pad(header[c], widths[c], numeric[c])));
    line(&mut (0..columns).map(|c| {
        let dashes = "-".repeat(widths[c].saturating_sub(1).max(2));
        if numeric[c] {
            format!("{dashes}:")
        } else {
            format!("{dashes}-")
        }
    }));
    for row in rows {
        line(&mut (0..columns).map(|c| pad(row.get(c).map_or("", |s| s), widths[c], numeric[c])));
    }
    out
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
    if right {
        format!("{fill}{cell}")
    } else {
        format!("{cell}{fill}")
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty()
        || cell
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | '/' | '-' | ',' | '%' | ' '))
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn columns_are_aligned_and_numbers_right_aligned() {
        let rows = [
            vec!["a".into(), "1".into()],
            vec!["long".into(), "200".into()],
        ];
        let shown = render(&["name", "n"], &rows);
        assert_eq!(
            shown,
            "| name |   n |\n| ---- | --: |\n| a    |   1 |\n| long | 200 |\n"
        );
    }
}
