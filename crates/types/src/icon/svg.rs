//! Whether an SVG does nothing but draw.
//!
//! A list of what is allowed, not of what is known to be bad: elements that draw, attributes
//! without event handlers, references within the file. The reader is stricter than XML and than
//! HTML, so that a text which passes means the same to a parser of either kind. Whatever is unusual
//! is refused.

/// Elements that draw or describe. Left out on purpose: scripts, foreign content, links, images,
/// animation, and what lets a small file ask for a lot of work (filters, masks, patterns, markers).
const ELEMENTS: &[&str] = &[
    "svg",
    "g",
    "defs",
    "symbol",
    "use",
    "title",
    "desc",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "linearGradient",
    "radialGradient",
    "stop",
    "clipPath",
    "style",
];

/// Bounds on what a renderer has to do. References can multiply each other; 32 of them cannot
/// multiply to much.
const MAX_ELEMENTS: usize = 4096;
const MAX_DEPTH: usize = 64;
const MAX_REFERENCES: usize = 32;

/// Whether the first element is `svg`.
pub(super) fn looks_like_svg(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<?") || rest.starts_with("<!") {
            ">"
        } else {
            break;
        };
        let Some(at) = rest.find(end) else {
            return false;
        };
        rest = rest[at + end.len()..].trim_start();
    }
    rest.strip_prefix("<svg")
        .is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n', '>', '/']))
}

/// Checks the whole file.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\t' | '\r' | '\n'))
    {
        return Err("a control character".to_owned());
    }
    let text = text.trim_start_matches('\u{feff}').trim_start();
    Reader {
        rest: skip_declaration(text)?,
        ..Reader::default()
    }
    .run()
}

/// Skips `<?xml ...?>`. An encoding other than UTF-8 would give the bytes another meaning.
fn skip_declaration(text: &str) -> Result<&str, String> {
    let Some(after) = text.strip_prefix("<?xml ") else {
        return Ok(text);
    };
    let (declaration, rest) = after
        .split_once("?>")
        .ok_or("an XML declaration without end")?;
    let declaration = declaration.to_ascii_lowercase();
    if declaration.contains("encoding") && !declaration.contains("utf-8") {
        return Err("an encoding other than UTF-8".to_owned());
    }
    Ok(rest)
}

#[derive(Default)]
struct Reader<'s> {
    rest: &'s str,
    open: Vec<&'s str>,
    elements: usize,
    references: usize,
}

impl<'s> Reader<'s> {
    fn run(mut self) -> Result<(), String> {
        while let Some(at) = self.rest.find('<') {
            self.text(&self.rest[..at])?;
            self.rest = &self.rest[at..];
            if let Some(after) = self.rest.strip_prefix("<!--") {
                self.comment(after)?;
            } else if let Some(after) = self.rest.strip_prefix("</") {
                self.end_tag(after)?;
            } else if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
                return Err("a DTD, CDATA section or processing instruction".to_owned());
            } else {
                self.start_tag()?;
            }
        }
        self.text(self.rest)?;
        if self.elements == 0 || !self.open.is_empty() {
            return Err("elements that do not nest".to_owned());
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if self.open.is_empty() && !text.trim().is_empty() {
            return Err("text outside of the drawing".to_owned());
        }
        if self.open.last() == Some(&"style") {
            self.references += check_css(text)?;
        }
        self.check_references()
    }

    fn comment(&mut self, after: &'s str) -> Result<(), String> {
        let (body, rest) = after.split_once("-->").ok_or("a comment without end")?;
        // HTML ends a comment at each of these, XML does not.
        if body.starts_with('>')
            || body.starts_with("->")
            || body.contains("--")
            || body.ends_with('-')
        {
            return Err("a comment that parsers read differently".to_owned());
        }
        // In HTML there are no comments within a style sheet, just text.
        if self.open.last() == Some(&"style") {
            return Err("a comment in a style sheet".to_owned());
        }
        self.rest = rest;
        Ok(())
    }

    fn end_tag(&mut self, after: &'s str) -> Result<(), String> {
        let (name, rest) = after.split_once('>').ok_or("a tag without end")?;
        if self.open.pop() != Some(name.trim_end()) {
            return Err("elements that do not nest".to_owned());
        }
        self.rest = rest;
        Ok(())
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let after = &self.rest[1..];
        let end = after
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'))
            .ok_or("a tag without end")?;
        let name = &after[..end];
        if !ELEMENTS.contains(&name) {
            return Err(format!("an element {:?}", shortened(name)));
        }
        if self.open.is_empty() && (self.elements > 0 || name != "svg") {
            return Err("more than one root element".to_owned());
        }
        if self.open.last() == Some(&"style") {
            return Err("an element in a style sheet".to_owned());
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS || self.open.len() >= MAX_DEPTH {
            return Err("too many elements".to_owned());
        }
        self.rest = &after[end..];
        self.attributes()?;
        if let Some(rest) = self.rest.strip_prefix("/>") {
            self.rest = rest;
        } else if let Some(rest) = self.rest.strip_prefix('>') {
            self.rest = rest;
            self.open.push(name);
        } else {
            return Err("a malformed tag".to_owned());
        }
        Ok(())
    }

    /// Reads `name="value"` until the tag ends.
    fn attributes(&mut self) -> Result<(), String> {
        loop {
            let trimmed = self
                .rest
                .trim_start_matches(|c: char| c.is_ascii_whitespace());
            if trimmed.starts_with(['>', '/']) {
                self.rest = trimmed;
                return Ok(());
            }
            // XML wants a blank between attributes; without it, parsers disagree.
            if trimmed.len() == self.rest.len() {
                return Err("a malformed tag".to_owned());
            }
            let (name, after) = trimmed
                .split_once('=')
                .ok_or("an attribute without a value")?;
            let name = name.trim_end_matches(|c: char| c.is_ascii_whitespace());
            let after = after.trim_start_matches(|c: char| c.is_ascii_whitespace());
            let quote = after
                .chars()
                .next()
                .filter(|c| matches!(c, '"' | '\''))
                .ok_or("an attribute without quotes")?;
            let (value, rest) = after[1..]
                .split_once(quote)
                .ok_or("an attribute without end")?;
            self.references += check_attribute(name, value)?;
            self.check_references()?;
            self.rest = rest;
        }
    }

    fn check_references(&self) -> Result<(), String> {
        if self.references > MAX_REFERENCES {
            Err("too many references".to_owned())
        } else {
            Ok(())
        }
    }
}

/// Checks one attribute and counts the references in it.
fn check_attribute(name: &str, value: &str) -> Result<usize, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        return Err("a malformed attribute name".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    let local = lower.rsplit(':').next().unwrap_or_default();
    if local.starts_with("on") {
        return Err(format!("an event handler {:?}", shortened(name)));
    }
    if lower == "xmlns" || lower.starts_with("xmlns:") {
        // Names alone: nothing is fetched from them. The default one decides what the elements are.
        let is_svg = value == "http://www.w3.org/2000/svg";
        return if is_svg || lower != "xmlns" {
            Ok(0)
        } else {
            Err("a foreign namespace".to_owned())
        };
    }
    if value.contains('<') {
        return Err("markup in an attribute".to_owned());
    }
    match local {
        "href" if value.starts_with('#') => Ok(1),
        "href" | "src" | "base" => Err("a reference to the outside".to_owned()),
        _ => check_css(value),
    }
}

/// Checks a style sheet, or a value that may be style, and counts the references in it.
fn check_css(css: &str) -> Result<usize, String> {
    let css = css.to_ascii_lowercase();
    // Both of them can spell any of the words below.
    let predefined = ["amp;", "lt;", "gt;", "quot;", "apos;"];
    let spelt_out = css
        .split('&')
        .skip(1)
        .all(|after| predefined.iter().any(|name| after.starts_with(name)));
    if css.contains('\\') || !spelt_out {
        return Err("an escape in a style".to_owned());
    }
    let forbidden = [
        "@import",
        "@font-face",
        "//",
        "javascript:",
        "data:",
        "expression(",
        "image-set(",
        "image(",
        "src(",
    ];
    if let Some(word) = forbidden.into_iter().find(|word| css.contains(word)) {
        return Err(format!("{word:?} in a style"));
    }
    let mut references = 0;
    for after in css.split("url(").skip(1) {
        if !after
            .trim_start_matches([' ', '\t', '\r', '\n', '"', '\''])
            .starts_with('#')
        {
            return Err("a reference to the outside".to_owned());
        }
        references += 1;
    }
    Ok(references)
}

/// The beginning of a name, as messages are bounded.
fn shortened(name: &str) -> String {
    name.chars().take(32).collect()
}
