//! Suggestions for misspelt names.

/// Longer names, in bytes, are not compared: the time grows with the square of the length.
const MAX_NAME: usize = 200;
/// Maximum number of names that are compared.
const MAX_NAMES: usize = 10_000;

/// Returns up to three names that resemble `wanted`, best match first.
fn similar<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if wanted.len() > MAX_NAME {
        return Vec::new();
    }
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .filter(|name| name.len() <= MAX_NAME)
        .take(MAX_NAMES)
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let contained = wanted.len() > 2
                && (lower.contains(&wanted) || wanted.contains(&lower) && lower.len() > 2);
            let similarity = strsim::jaro_winkler(&wanted, &lower);
            let score = if contained {
                similarity.max(0.9)
            } else {
                similarity
            };
            (score >= 0.8).then_some((score, name))
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Returns `did you mean "a" or "b"?`, if any name resembles `wanted`.
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let quoted: Vec<String> = similar(wanted, names)
        .iter()
        .map(|name| format!("\"{}\"", crate::output::text::one_line(name)))
        .collect();
    match quoted.split_last()? {
        (only, []) => Some(format!("did you mean {only}?")),
        (last, others) => Some(format!("did you mean {} or {last}?", others.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_found() {
        let names = ["whoami", "add", "book_table", "countdown"];
        assert_eq!(similar("whoamI", names), ["whoami"]);
        assert_eq!(similar("ad", names), ["add"]);
        assert_eq!(similar("table", names), ["book_table"]);
        assert_eq!(similar("count-down", names), ["countdown"]);
        assert!(similar("zebra", names).is_empty());
    }

    #[test]
    fn suggestions_are_a_question() {
        assert_eq!(
            did_you_mean("lst", ["list", "last"]).unwrap(),
            "did you mean \"list\" or \"last\"?"
        );
        assert_eq!(did_you_mean("zzz", ["list"]), None);
    }
}
