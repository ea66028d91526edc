//! Foreign text in log events goes through `Printable` or `PrintableFmt`: as it is, it forges lines
//! and fills disks.
//!
//! The types of errors, ids and methods display themselves that way. What this looks for are fields
//! by their `Debug` form, and fields whose name says that the other side chose the text.

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Fields that hold what somebody else wrote.
const FOREIGN: [&str; 9] = [
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

/// Fields whose `Debug` form is of our own making: times, sizes and addresses.
const OWN: [&str; 12] = [
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
                if let Some(name) = unclean(field).or_else(|| interpolated(field)) {
                    let line = text[..at].lines().count().max(1);
                    problems.push(format!(
                        "{path}:{line}: the field `{name}` of a log event is not Printable"
                    ));
                }
            }
        }
    }
}

/// The name of a field that is logged as it is and should not be.
fn unclean(field: &str) -> Option<&str> {
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
    let clean = [
        "Printable(",
        "PrintableFmt(",
        "tracing::field::display(",
        "\"",
    ]
    .iter()
    .any(|it| expression.starts_with(it));
    let suspect = (value.starts_with('?') && !OWN.contains(&name)) || FOREIGN.contains(&name);
    (suspect && !clean).then_some(name)
}

/// The foreign text that a message has in its middle.
fn interpolated(field: &str) -> Option<&str> {
    if !field.trim_start().starts_with('"') {
        return None;
    }
    let mut names = field
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split(['}', ':']).next());
    names.find(|name| FOREIGN.contains(name))
}

/// The arguments of a macro whose opening parenthesis has just been passed.
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
    fn foreign_fields_have_to_be_printable() {
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
