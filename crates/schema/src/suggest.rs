//! Which known name somebody may have meant.

/// Names that are longer are not compared; comparing takes time proportional to the product of two
/// lengths.
const MAX_NAME: usize = 64;
/// How much two names must have in common, from 0 to 1.
const LIKENESS: f64 = 0.8;

/// The name among `known` that looks most like `name`, if one looks alike at all. Upper and lower
/// case do not count.
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
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = ["title", "priority", "due_date"];
        assert_eq!(closest("prioriy", known), Some("priority"));
        assert_eq!(closest("Title", known), Some("title"));
        assert_eq!(closest("dueDate", known), Some("due_date"));
        assert_eq!(closest("zebra", known), None);
        assert_eq!(closest(&"title".repeat(20), known), None);
        assert_eq!(closest("title", []), None);
    }
}
