//! Requires that untrusted text in log events is wrapped in `Printable` or `PrintableFmt`: raw text
//! could forge log lines or fill the disk.
//!
//! Errors, ids and methods do this in their `Display` implementations. This check finds fields logged
//! with `Debug`, and fields whose name indicates untrusted text.

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Names of fields that contain untrusted text.
const UNTRUSTED: [&str; 9] = [
    "name",
    "uri",
    "reason",
    "message",
    "text",
    "line",
    "body",
    "title",
    "header_value",
];

/// Names of fields whose `Debug` output is trusted: times, sizes and addresses.
const TRUSTED: [&str; 12] = [
    "address", "after", "delay", "elapsed", "every", "grace", "limit", "pause", "stalled",
    "timeout", "took", "within",
];

pub(super) fn check(path: &str, text: &str, problems: &mut Vec<String>) {
    let ours = path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs");
    if !ours || path.starts_with("crates/cli/") || path.starts_with("crates/testkit/") {
        return;
    }
    for level in LEVELS {
        let call = format!("tracing::{level}!(");
        for (at, _) in text.match_indices(&call) {
            for field in fields(&text[at + call.len()..]) {
                if let Some(name) = untrusted(field).or_else(|| interpolated(field)) {
                    let line = text[..at].lines().count().max(1);
                    problems.push(format!(
                        "{path}:{line}: the field `{name}` of a log event is not Printable"
                    ));
                }
            }
        }
    }
}

/// Returns the name of a field that logs untrusted text without `Printable`.
fn untrusted(field: &str) -> Option<&str> {
    let field = field.trim();
    let (name, value) = match field.split_once(" = ") {
        Some((name, value)) => (name.trim(), value.trim()),
        None => (
            field
                .trim_start_matches(['?', '%'])
                .rsplit('.')
                .next()
                .unwrap_or_default(),
            field,
        ),
    };
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return None;
    }
    let expression = value.trim_start_matches(['?', '%']);
    let expression = expression
        .strip_prefix("carryall_proto::")
        .unwrap_or(expression);
    let is_printable = [
        "Printable(",
        "PrintableFmt(",
        "tracing::field::display(",
        "\"",
    ]
    .iter()
    .any(|it| expression.starts_with(it));
    let suspect = (value.starts_with('?') && !TRUSTED.contains(&name)) || UNTRUSTED.contains(&name);
    (suspect && !is_printable).then_some(name)
}

/// Returns untrusted text that is interpolated into the message.
fn interpolated(field: &str) -> Option<&str> {
    if !field.trim_start().starts_with('"') {
        return None;
    }
    let mut names = field
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split(['}', ':']).next());
    names.find(|name| UNTRUSTED.contains(name))
}

/// Splits the arguments of a macro. `text` starts after the opening parenthesis.
fn fields(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth, mut quoted, mut escaped) =
        (Vec::new(), 0, 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                found.push(&text[start..at]);
                return found;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::check;

    fn found(text: &str) -> usize {
        let mut problems = Vec::new();
        check("crates/x/src/lib.rs", text, &mut problems);
        problems.len()
    }

    #[test]
    fn untrusted_fields_must_be_printable() {
        for text in [
            r#"tracing::debug!(name, "x");"#,
            r#"tracing::debug!(%reason, "x");"#,
            r#"tracing::debug!(?other, "x");"#,
            r#"tracing::debug!(other = ?other, "x");"#,
            "tracing::warn!(\n    %error,\n    uri = %self.uri,\n    \"a (b, c\"\n);",
            r#"tracing::info!("a message: {}", name);"#,
            r#"tracing::info!(target: "x", "{line}");"#,
            r#"tracing::warn!(code = f(1, 2), message = %error.message, "x");"#,
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        for text in [
            r#"tracing::debug!(%error, id, "name");"#,
            r#"tracing::debug!(name = %Printable(&name), "x");"#,
            r#"tracing::debug!(other = ?carryall_proto::PrintableFmt(&other), ?delay, "x");"#,
            r#"tracing::debug!("a message: {}", Printable(name));"#,
            r#"println!("{name}");"#,
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }
}
