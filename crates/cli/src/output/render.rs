//! Renders results for people. All text of servers is sanitized on the way ([`text`]).

use super::{FAINT, NAME, Output, text};
use carryall::types::{ContentBlock, JsonValue, ResourceContents, Role};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use indicatif::BinaryBytes;

/// Longer cells are clipped, in characters: laying them out takes more than linear time, and the
/// JSON output has all of it.
const MAX_CELL: usize = 2_000;
/// Longer values of [`facts`] are clipped, in characters. They may be whole instructions.
const MAX_FACT: usize = 20_000;
/// Further rows of a table are only counted.
const MAX_ROWS: usize = 5_000;

/// Renders a table without borders, with the first column highlighted. Each cell is sanitized,
/// clipped, and one line unless it wraps.
pub(crate) fn table<const N: usize>(
    output: &Output,
    headers: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    lay_out(Some(headers), rows, output.colors())
}

/// Renders a table without header and colour.
pub(crate) fn plain_table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    lay_out(None, rows, false)
}

fn lay_out<const N: usize>(
    headers: Option<[&str; N]>,
    rows: impl IntoIterator<Item = [String; N]>,
    colors: bool,
) -> String {
    let mut table = empty(colors);
    let paint = |cell: Cell, change: fn(Cell) -> Cell| if colors { change(cell) } else { cell };
    if let Some(headers) = headers {
        table.set_header(headers.map(|header| {
            paint(Cell::new(header), |cell| {
                cell.add_attribute(Attribute::Bold)
            })
        }));
    }
    let mut rows = rows.into_iter();
    for row in rows.by_ref().take(MAX_ROWS) {
        let mut first = true;
        table.add_row(row.map(|text| {
            let cell = Cell::new(text::clipped_line(&text, MAX_CELL));
            let first = std::mem::take(&mut first);
            if first {
                paint(cell, |cell| cell.fg(Color::DarkCyan))
            } else {
                cell
            }
        }));
    }
    let shown = finished(table);
    match rows.count() {
        0 => shown,
        more => format!("{shown}\n… and {more} more; --format json has them all"),
    }
}

fn empty(colors: bool) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if colors {
        table.enforce_styling();
    }
    table
}

fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Renders titles in bold with their values, which may have several lines. Values are clipped.
pub(crate) fn facts<'a>(
    output: &Output,
    facts: impl IntoIterator<Item = (&'a str, String)>,
) -> String {
    let mut table = empty(output.colors());
    for (title, value) in facts {
        let title = Cell::new(title);
        let title = if output.colors() {
            title.add_attribute(Attribute::Bold)
        } else {
            title
        };
        table.add_row([
            title,
            Cell::new(text::clip(
                &text::sanitize(&text::clip(value.trim_end(), MAX_FACT)),
                MAX_FACT,
            )),
        ]);
    }
    finished(table)
}

/// Renders content blocks, one below the other.
pub(crate) fn content(output: &Output, blocks: &[ContentBlock]) -> String {
    blocks
        .iter()
        .map(|one| block(output, one))
        .collect::<Vec<_>>()
        .join("\n")
}

fn block(output: &Output, block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text::sanitize(&text.text).into_owned(),
        ContentBlock::Image(image) => blob(output, "image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => blob(output, "audio", &audio.mime_type, &audio.data),
        ContentBlock::ResourceLink(link) => {
            let name = link.title.as_deref().unwrap_or(&link.name);
            let kind = link
                .mime_type
                .as_deref()
                .map(|mime| format!(" ({})", text::one_line(mime)))
                .unwrap_or_default();
            let uri = output.paint(NAME, &text::one_line(&link.uri));
            format!(
                "{} {uri} {}{}",
                output.paint(FAINT, "[link]"),
                text::one_line(name),
                kind
            )
        }
        ContentBlock::Resource(resource) => {
            let uri = output.paint(NAME, &text::one_line(resource.resource.uri()));
            format!(
                "{} {uri}\n{}",
                output.paint(FAINT, "[resource]"),
                contents(output, &resource.resource)
            )
        }
        ContentBlock::Unknown(object) => {
            let kind = object
                .get("type")
                .and_then(JsonValue::as_str)
                .unwrap_or("?");
            format!(
                "{}\n{}",
                output.paint(
                    FAINT,
                    &format!("[unknown content {:?}]", text::one_line(kind))
                ),
                json(object)
            )
        }
    }
}

/// Renders the contents of a resource.
pub(crate) fn contents(output: &Output, contents: &ResourceContents) -> String {
    match contents {
        ResourceContents::Text(text) => text::sanitize(&text.text).into_owned(),
        ResourceContents::Blob(blob_contents) => blob(
            output,
            "binary",
            blob_contents
                .mime_type
                .as_deref()
                .unwrap_or("application/octet-stream"),
            &blob_contents.blob,
        ),
    }
}

/// Renders type and size in place of base64 data.
fn blob(output: &Output, what: &str, mime_type: &str, base64: &str) -> String {
    let padding = base64
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'=')
        .count();
    let bytes = (base64.len() / 4 * 3).saturating_sub(padding);
    output.paint(
        FAINT,
        &format!(
            "[{what} {}, {}]",
            text::one_line(mime_type),
            size(bytes as u64)
        ),
    )
}

/// Formats a number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Renders indented JSON that is safe to print.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    text::escape_json(&pretty).into_owned()
}

/// Returns the name of a role.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputOptions;
    use carryall::types::ImageContent;

    fn output() -> Output {
        Output::new(OutputOptions::default())
    }

    #[test]
    fn tables_are_aligned_and_sanitized() {
        let rows = [
            ["a".to_owned(), "one\x1b[m".to_owned()],
            ["longer".to_owned(), "two\nlines".to_owned()],
        ];
        assert_eq!(
            table(&output(), ["NAME", "WHAT"], rows),
            "NAME    WHAT\na       one\\u{1b}[m\nlonger  two lines"
        );
    }

    #[test]
    fn every_kind_of_content_is_rendered() {
        let blocks = [
            ContentBlock::text("x\x1b]0;t\x07y"),
            ContentBlock::Image(ImageContent::from_bytes(&[0; 1000], "image/png")),
            ContentBlock::resource_link("demo://a", "A"),
            ContentBlock::resource(ResourceContents::text("demo://b", "body")),
        ];
        let rendered = content(&output(), &blocks);
        assert_eq!(
            rendered,
            "x\\u{1b}]0;t\\u{7}y\n[image image/png, 1000 B]\n[link] demo://a A\n[resource] demo://b\nbody"
        );
    }

    #[test]
    fn layout_is_bounded() {
        let long = "lorem ipsum ".repeat(400_000 / 12);
        let rows = std::iter::repeat_n(["t".to_owned(), long.clone()], 3);
        let shown = table(&output(), ["NAME", "WHAT"], rows);
        assert!(
            shown.len() < 3 * (MAX_CELL + 100) && shown.contains('…'),
            "{}",
            shown.len()
        );
        assert!(facts(&output(), [("About", long)]).len() < 2 * MAX_FACT);
        let many = table(
            &output(),
            ["NAME"],
            (0..MAX_ROWS + 7).map(|at| [at.to_string()]),
        );
        assert!(
            many.ends_with("… and 7 more; --format json has them all"),
            "{}",
            &many[many.len() - 100..]
        );
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(
            [size(0), size(1536), size(3 * 1_048_576)],
            ["0 B", "1.50 KiB", "3.00 MiB"]
        );
    }
}
