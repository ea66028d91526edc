//! Helpers of the tests.

use proc_macro2::TokenStream;

/// Whether the text of `part` occurs in `whole`, ignoring white space and trailing commas.
pub(crate) fn contains(whole: &TokenStream, part: &impl ToString) -> bool {
    let normal = |text: String| {
        text.split_whitespace()
            .collect::<String>()
            .replace(",)", ")")
            .replace(",}", "}")
    };
    normal(whole.to_string()).contains(&normal(part.to_string()))
}

/// Parses an expansion as items.
pub(crate) fn items(expansion: syn::Result<TokenStream>) -> (TokenStream, Vec<syn::Item>) {
    let tokens = expansion.unwrap_or_else(|error| panic!("{error}"));
    let file: syn::File =
        syn::parse2(tokens.clone()).unwrap_or_else(|error| panic!("{error}: {tokens}"));
    (tokens, file.items)
}

/// Returns the messages of an expansion that must fail.
pub(crate) fn errors(expansion: syn::Result<TokenStream>) -> Vec<String> {
    match expansion {
        Ok(tokens) => panic!("it expands: {tokens}"),
        Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
    }
}

/// Asserts that the expansion of each case fails with a message that contains the text.
#[track_caller]
pub(crate) fn all_fail(
    expand: fn(TokenStream, TokenStream) -> syn::Result<TokenStream>,
    cases: &[(TokenStream, TokenStream, &str)],
) {
    for (args, function, text) in cases {
        let errors = errors(expand(args.clone(), function.clone()));
        assert!(
            errors.iter().any(|error| error.contains(text)),
            "{function}: {errors:?} lacks {text:?}"
        );
    }
}
