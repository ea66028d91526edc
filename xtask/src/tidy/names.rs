//! No type name twice in the workspace: who reads `Session` in one crate must not have to ask which.

use super::modules::{Crate, is_test};
use std::collections::BTreeMap;

/// Names that stand more than once, each for a reason.
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
                "the type name `{name}` stands in {}; name each for what it is",
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
        // The same item for two platforms is one.
        let conditional = attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("cfg"));
        if !is_test(attributes) && !(conditional && files.contains(&file)) {
            files.push(file);
        }
    }
}
