//! Results for people. Everything that comes from a server is cleaned on its way.

use crate::screen::{FAINT, NAME, Output};
use crate::text;
use carryall::types::{ContentBlock, JsonValue, ResourceContents, Role};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

/// Characters of one cell that are laid out. Laying out takes more than linear time, and whoever
/// wants to read more than a screen of text finds it in the JSON.
const MAX_CELL: usize = 2_000;
/// The same for the values of [`facts`], which may be whole instructions.
const MAX_FACT: usize = 20_000;
/// Rows of one table that are laid out.
const MAX_ROWS: usize = 5_000;

/// A table without lines: the first column stands out. Cells are cleaned and clipped, each on one
/// line unless it wraps; rows beyond 5,000 are only counted.
pub(crate) fn table<const N: usize>(
    screen: &Output,
    headers: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    lay_out(Some(headers), rows, screen.colors())
}

/// A table without a head and without colour.
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

/// What is known of something: titles in bold, and what belongs to them. Line breaks of the
/// server's stay; values are clipped.
pub(crate) fn facts<'a>(
    screen: &Output,
    facts: impl IntoIterator<Item = (&'a str, String)>,
) -> String {
    let mut table = empty(screen.colors());
    for (title, value) in facts {
        let title = Cell::new(title);
        let title = if screen.colors() {
            title.add_attribute(Attribute::Bold)
        } else {
            title
        };
        table.add_row([
            title,
            Cell::new(text::clip(
                &text::clean(&text::clip(value.trim_end(), MAX_FACT)),
                MAX_FACT,
            )),
        ]);
    }
    finished(table)
}

/// Content blocks, one below the other.
pub(crate) fn content(screen: &Output, blocks: &[ContentBlock]) -> String {
    blocks
        .iter()
        .map(|one| block(screen, one))
        .collect::<Vec<_>>()
        .join("\n")
}

fn block(screen: &Output, block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text::clean(&text.text).into_owned(),
        ContentBlock::Image(image) => blob(screen, "image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => blob(screen, "audio", &audio.mime_type, &audio.data),
        ContentBlock::ResourceLink(link) => {
            let name = link.title.as_deref().unwrap_or(&link.name);
            let kind = link
                .mime_type
                .as_deref()
                .map(|mime| format!(" ({})", text::line(mime)))
                .unwrap_or_default();
            let uri = screen.paint(NAME, &text::line(&link.uri));
            format!(
                "{} {uri} {}{}",
                screen.paint(FAINT, "[link]"),
                text::line(name),
                kind
            )
        }
        ContentBlock::Resource(resource) => {
            let uri = screen.paint(NAME, &text::line(resource.resource.uri()));
            format!(
                "{} {uri}\n{}",
                screen.paint(FAINT, "[resource]"),
                contents(screen, &resource.resource)
            )
        }
        ContentBlock::Unknown(object) => {
            let kind = object
                .get("type")
                .and_then(JsonValue::as_str)
                .unwrap_or("?");
            format!(
                "{}\n{}",
                screen.paint(FAINT, &format!("[unknown content {:?}]", text::line(kind))),
                json(object)
            )
        }
    }
}

/// What a resource holds.
pub(crate) fn contents(screen: &Output, contents: &ResourceContents) -> String {
    match contents {
        ResourceContents::Text(text) => text::clean(&text.text).into_owned(),
        ResourceContents::Blob(blob_contents) => blob(
            screen,
            "binary",
            blob_contents
                .mime_type
                .as_deref()
                .unwrap_or("application/octet-stream"),
            &blob_contents.blob,
        ),
    }
}

/// Base64 is nothing to look at: its kind and size are.
fn blob(screen: &Output, what: &str, mime_type: &str, base64: &str) -> String {
    let padding = base64
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'=')
        .count();
    let bytes = (base64.len() / 4 * 3).saturating_sub(padding);
    screen.paint(
        FAINT,
        &format!("[{what} {}, {}]", text::line(mime_type), size(bytes as u64)),
    )
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let amount = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", amount / 1024.0),
        _ => format!("{:.1} MiB", amount / 1_048_576.0),
    }
}

/// JSON with line breaks, safe to look at.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    text::escape_json(&pretty).into_owned()
}

/// Who says something in a prompt.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::OutputOptions;
    use carryall::types::ImageContent;

    fn screen() -> Output {
        Output::new(OutputOptions::default())
    }

    #[test]
    fn tables_line_up_and_hold_no_escapes() {
        let rows = [
            ["a".to_owned(), "one\x1b[m".to_owned()],
            ["longer".to_owned(), "two\nlines".to_owned()],
        ];
        assert_eq!(
            table(&screen(), ["NAME", "WHAT"], rows),
            "NAME    WHAT\na       one\\u{1b}[m\nlonger  two lines"
        );
    }

    #[test]
    fn content_is_shown_by_its_kind() {
        let blocks = [
            ContentBlock::text("x\x1b]0;t\x07y"),
            ContentBlock::Image(ImageContent::from_bytes(&[0; 1000], "image/png")),
            ContentBlock::resource_link("demo://a", "A"),
            ContentBlock::resource(ResourceContents::text("demo://b", "body")),
        ];
        let shown = content(&screen(), &blocks);
        assert_eq!(
            shown,
            "x\\u{1b}]0;t\\u{7}y\n[image image/png, 1000 B]\n[link] demo://a A\n[resource] demo://b\nbody"
        );
    }

    #[test]
    fn what_is_laid_out_is_bounded() {
        let long = "lorem ipsum ".repeat(400_000 / 12);
        let rows = std::iter::repeat_n(["t".to_owned(), long.clone()], 3);
        let shown = table(&screen(), ["NAME", "WHAT"], rows);
        assert!(
            shown.len() < 3 * (MAX_CELL + 100) && shown.contains('…'),
            "{}",
            shown.len()
        );
        assert!(facts(&screen(), [("About", long)]).len() < 2 * MAX_FACT);
        let many = table(
            &screen(),
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
    fn sizes_are_round() {
        assert_eq!(
            [size(0), size(1536), size(3 * 1_048_576)],
            ["0 B", "1.5 KiB", "3.0 MiB"]
        );
    }
}
