//! What somebody may have meant.

/// Longer names, in bytes, are not compared: that takes time with the square of their length.
const MAX_NAME: usize = 200;
/// Names that are compared at most.
const MAX_NAMES: usize = 10_000;

/// The names that look like `wanted`, the likeliest first, three at most.
pub(crate) fn near<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
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
            let alike = strsim::jaro_winkler(&wanted, &lower);
            let score = if contained { alike.max(0.9) } else { alike };
            (score >= 0.8).then_some((score, name))
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `did you mean "a" or "b"?`, if anything comes near.
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let quoted: Vec<String> = near(wanted, names)
        .iter()
        .map(|name| format!("\"{}\"", crate::text::line(name)))
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
    fn slips_of_the_finger_are_found() {
        let names = ["whoami", "add", "book_table", "countdown"];
        assert_eq!(near("whoamI", names), ["whoami"]);
        assert_eq!(near("ad", names), ["add"]);
        assert_eq!(near("table", names), ["book_table"]);
        assert_eq!(near("count-down", names), ["countdown"]);
        assert!(near("zebra", names).is_empty());
    }

    #[test]
    fn suggestions_read_like_a_sentence() {
        assert_eq!(
            did_you_mean("lst", ["list", "last"]).unwrap(),
            "did you mean \"list\" or \"last\"?"
        );
        assert_eq!(did_you_mean("zzz", ["list"]), None);
    }
}
