//! Command lines in one string, as in `stdio:'npx server --flag'`.

/// Splits a command line into words as a shell does: quotes and backslashes hold words together,
/// and nothing is expanded.
///
/// # Errors
/// An unclosed quote, or a backslash at the end.
pub(crate) fn split(text: &str) -> Result<Vec<String>, String> {
    shlex::split(text)
        .ok_or_else(|| format!("{text:?} has an unclosed quote or ends with a backslash"))
}

/// Quotes a word for a shell, if it needs to be.
pub(crate) fn quote(word: &str) -> String {
    // The only error is a NUL character, which no shell can pass either way.
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into)
}
