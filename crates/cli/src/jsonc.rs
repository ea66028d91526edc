//! JSON with comments and trailing commas, as editors write their configuration.

/// The same text as plain JSON. What was comment becomes white space, so that positions in errors
/// stay right.
pub(crate) fn to_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    // Where a comma stands that nothing but white space has followed yet.
    let mut comma: Option<usize> = None;
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('"', _) => {
                comma = None;
                out.push(c);
                while let Some(c) = chars.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            ('/', Some('/')) => {
                out.push(' ');
                while let Some(&next) = chars.peek() {
                    if next == '\n' {
                        break;
                    }
                    chars.next();
                    out.push(' ');
                }
            }
            ('/', Some('*')) => {
                out.push(' ');
                let mut last = ' ';
                chars.next();
                out.push(' ');
                for c in chars.by_ref() {
                    out.push(if c == '\n' { '\n' } else { ' ' });
                    if (last, c) == ('*', '/') {
                        break;
                    }
                    last = c;
                }
            }
            (',', _) => {
                comma = Some(out.len());
                out.push(c);
            }
            ('}' | ']', _) => {
                if let Some(at) = comma.take() {
                    out.replace_range(at..=at, " ");
                }
                out.push(c);
            }
            _ => {
                if !c.is_whitespace() {
                    comma = None;
                }
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::to_json;
    use serde_json::{Value, json};

    #[test]
    fn comments_and_trailing_commas_are_overlooked() {
        let text = "{ // one\n \"a\": [1, 2, /* two\n */ ],\n \"url\": \"http://x//y,}\", \"q\": \"\\\"//\", }";
        let value: Value = serde_json::from_str(&to_json(text)).unwrap();
        assert_eq!(
            value,
            json!({"a": [1, 2], "url": "http://x//y,}", "q": "\"//"})
        );
    }

    #[test]
    fn errors_keep_their_place() {
        let error = serde_json::from_str::<Value>(&to_json("{ // c\n  \"a\": x }")).unwrap_err();
        assert_eq!((error.line(), error.column()), (2, 8));
    }

    #[test]
    fn plain_json_is_untouched() {
        let text = r#"{"a":[1,{"b":"c\\"}],"d":"/* no comment */"}"#;
        assert_eq!(to_json(text), text);
        assert!(serde_json::from_str::<Value>(&to_json("[1,,]")).is_err());
    }
}
