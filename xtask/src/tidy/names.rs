//! Forbids duplicate type names in the workspace, so that each name has one meaning.

use super::modules::{Crate, is_test};
use std::collections::BTreeMap;

/// Allowed duplicates, with the reason.
const ALLOWED: [(&str, &str); 4] = [
    ("Prompt", "the wire type, and what a server author builds"),
    ("Resource", "the wire type, and what a server author builds"),
    ("Tool", "the wire type, and what a server author builds"),
    ("Inner", "the private part behind an `Arc`"),
];

pub(super) fn check(crates: &BTreeMap<String, Crate>, problems: &mut Vec<String>) {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for module in crates.values().flat_map(|krate| krate.modules.values()) {
        collect(&module.syntax.items, &module.file, &mut found);
    }
    for (name, files) in found {
        if files.len() > 1 && !ALLOWED.iter().any(|(allowed, _)| *allowed == name) {
            problems.push(format!(
                "duplicate type name `{name}`: {}",
                files.join(", ")
            ));
        }
    }
}

fn collect<'a>(items: &[syn::Item], file: &'a str, found: &mut BTreeMap<String, Vec<&'a str>>) {
    for item in items {
        let (name, attributes) = match item {
            syn::Item::Struct(item) => (&item.ident, &item.attrs),
            syn::Item::Enum(item) => (&item.ident, &item.attrs),
            syn::Item::Trait(item) => (&item.ident, &item.attrs),
            syn::Item::Type(item) => (&item.ident, &item.attrs),
            syn::Item::Union(item) => (&item.ident, &item.attrs),
            syn::Item::Mod(item) if !is_test(&item.attrs) => {
                if let Some((_, items)) = &item.content {
                    collect(items, file, found);
                }
                continue;
            }
            _ => continue,
        };
        let files = found.entry(name.to_string()).or_default();
        // An item with variants for several platforms counts once.
        let conditional = attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("cfg"));
        if !(is_test(attributes) || conditional && files.contains(&file)) {
            files.push(file);
        }
    }
}
