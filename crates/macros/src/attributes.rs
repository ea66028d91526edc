//! The attributes of a function, and its documentation.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Meta};

use crate::attribute_args::literal;

/// The attributes of a function, by the items of the expansion that they go on.
pub(crate) struct Attributes {
    /// `#[cfg]` and lints: on every item.
    pub(crate) conditions: Vec<Attribute>,
    /// Documentation and `#[deprecated]`: on the function that makes the tool.
    pub(crate) shown: Vec<Attribute>,
    /// Everything else: on the original function.
    pub(crate) inner: Vec<Attribute>,
}

impl Attributes {
    pub(crate) fn sort(attributes: Vec<Attribute>) -> Self {
        let mut sorted = Self {
            conditions: Vec::new(),
            shown: Vec::new(),
            inner: Vec::new(),
        };
        for attribute in attributes {
            let path = attribute.path();
            // Not `#[expect]`: it would be unfulfilled on all items but one.
            let everywhere = ["cfg", "cfg_attr", "allow", "warn", "deny", "forbid"];
            let list = if everywhere.iter().any(|name| path.is_ident(name)) {
                &mut sorted.conditions
            } else if path.is_ident("doc") || path.is_ident("deprecated") {
                &mut sorted.shown
            } else {
                &mut sorted.inner
            };
            list.push(attribute);
        }
        sorted
    }
}

/// Returns the text of documentation comments, without the space after the slashes.
pub(crate) fn documentation(attributes: &[Attribute]) -> Option<String> {
    let mut text = String::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Some(literal) = literal(&pair.value)
        {
            for line in literal.value().split('\n') {
                text.push_str(line.strip_prefix(' ').unwrap_or(line).trim_end());
                text.push('\n');
            }
        }
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns `.description(..)` with the documentation, unless the description is set explicitly.
pub(crate) fn description(
    args: &crate::attribute_args::AttributeArgs,
    attributes: &[Attribute],
) -> TokenStream {
    match documentation(attributes) {
        Some(text) if args.get("description").is_none() => quote!(.description(#text)),
        _ => TokenStream::new(),
    }
}
