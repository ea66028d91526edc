//! Suggestions for misspelled names.

/// Longer names are not compared, since comparison takes time proportional to the product of both
/// lengths.
const MAX_NAME: usize = 64;
/// The minimum similarity of two names, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.8;

/// Returns the name among `known` that is most similar to `name`, ignoring case. `None` if no name
/// is similar enough.
#[must_use]
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_NAME {
        return None;
    }
    let wanted = name.to_lowercase();
    known
        .into_iter()
        .filter(|known| known.len() <= MAX_NAME)
        .map(|known| (strsim::jaro_winkler(&wanted, &known.to_lowercase()), known))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn misspellings_are_matched_and_other_names_are_not() {
        let known = ["title", "priority", "due_date"];
        assert_eq!(closest("prioriy", known), Some("priority"));
        assert_eq!(closest("Title", known), Some("title"));
        assert_eq!(closest("dueDate", known), Some("due_date"));
        assert_eq!(closest("zebra", known), None);
        assert_eq!(closest(&"title".repeat(20), known), None);
        assert_eq!(closest("title", []), None);
    }
}
