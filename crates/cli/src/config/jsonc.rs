//! JSON with comments and trailing commas, as editors write their configuration.

use jsonc_parser::{ParseOptions, parse_to_serde_value};
use serde::de::DeserializeOwned;

/// Of everything that the parser could accept beyond JSON, only what editors write.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses a document.
///
/// # Errors
/// Text that is invalid or does not fit `T`, with line and column.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    parse_to_serde_value(text, &OPTIONS).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn parse(text: &str) -> Result<Value, String> {
        super::parse(text)
    }

    #[test]
    fn comments_and_trailing_commas_are_accepted() {
        let text = "{ // one\n \"a\": [1, 2, /* two\n */ ],\n \"url\": \"http://x//y,}\", \"q\": \"\\\"//\", }";
        assert_eq!(
            parse(text).unwrap(),
            json!({"a": [1, 2], "url": "http://x//y,}", "q": "\"//"})
        );
    }

    #[test]
    fn plain_json_means_the_same() {
        let text = r#"{"a":[1,-2.5e3,18446744073709551615,true,null,{"b":"c\\\u00e9\ud83d\ude00"}],"d":"/* no comment */"}"#;
        assert_eq!(
            parse(text).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn errors_name_line_and_column() {
        let error = parse("{ // c\n  \"a\": x }").unwrap_err();
        assert!(error.contains("line 2 column 8"), "{error}");
    }

    #[test]
    fn other_extensions_of_json_are_refused() {
        for text in [
            "[1,,]", "{a: 1}", "['a']", "[0x1]", "[+1]", "[.5]", "[NaN]", "[1 2]", "[1]]", "[1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
