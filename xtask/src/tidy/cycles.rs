//! Forbids import cycles between files, other than between a module and its ancestors or
//! descendants.

use super::modules::{Crate, ModulePath, is_test};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// For each file, the other files that it imports from.
type Edges = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

pub(super) fn check(root: &str, krate: &Crate, problems: &mut Vec<String>) {
    let edges = edges(krate);
    for cycle in cycles(&edges) {
        let files: Vec<_> = cycle
            .iter()
            .filter_map(|path| krate.modules.get(path))
            .map(|module| module.file.strip_prefix(root).unwrap_or(&module.file))
            .collect();
        problems.push(format!(
            "{root}: these files import each other in a cycle: {}",
            files.join(", ")
        ));
    }
}

fn edges(krate: &Crate) -> Edges {
    let mut found = BTreeMap::new();
    for (path, module) in &krate.modules {
        let mut uses = Uses {
            base: path.clone(),
            ..Uses::default()
        };
        uses.visit_file(&module.syntax);
        found.insert(path.clone(), uses);
    }
    let reexports: BTreeMap<(ModulePath, String), ModulePath> = found
        .iter()
        .flat_map(|(path, uses)| {
            let named = uses.reexports.iter();
            named.map(|(name, target)| ((path.clone(), name.clone()), target.clone()))
        })
        .collect();
    let mut edges = Edges::new();
    for (path, uses) in &found {
        let targets = uses
            .paths
            .iter()
            .filter_map(|target| definition(krate, &reexports, target))
            .filter(|target| !target.starts_with(path) && !path.starts_with(target));
        edges.insert(path.clone(), targets.collect());
    }
    edges
}

/// Returns the module that defines the item at `path`, resolving re-exports.
fn definition(
    krate: &Crate,
    reexports: &BTreeMap<(ModulePath, String), ModulePath>,
    path: &[String],
) -> Option<ModulePath> {
    let mut path = path.to_vec();
    // Bounds chains of re-exports, so that a mistake does not loop forever.
    for _ in 0..16 {
        let depth = (0..=path.len())
            .rev()
            .find(|depth| krate.modules.contains_key(&path[..*depth]))?;
        let (module, rest) = path.split_at(depth);
        let module = module.to_vec();
        let reexported = rest
            .first()
            .and_then(|name| reexports.get(&(module.clone(), name.clone())));
        match reexported {
            Some(target) => path = target.iter().chain(&rest[1..]).cloned().collect(),
            None => return Some(module),
        }
    }
    None
}

/// Collects the paths within this crate that a file uses, relative to the crate root.
#[derive(Default)]
struct Uses {
    /// The module being visited: that of the file, or an inline module in it.
    base: ModulePath,
    paths: Vec<ModulePath>,
    reexports: Vec<(String, ModulePath)>,
}

impl Uses {
    /// Returns the path from the root, if it certainly belongs to this crate.
    fn absolute(&self, path: &[String]) -> Option<ModulePath> {
        let mut base = self.base.clone();
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => base.extend(path[1..].iter().cloned()),
            "super" => {
                let up = path.iter().take_while(|part| *part == "super").count();
                base.truncate(base.len().checked_sub(up)?);
                base.extend(path[up..].iter().cloned());
            }
            // A child module, or another crate, whose path does not resolve to a file of this crate.
            _ => base.extend(path.iter().cloned()),
        }
        Some(base)
    }

    fn add_tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>, public: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_tree(&path.tree, prefix, public);
                prefix.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(tree, prefix, public);
                }
            }
            syn::UseTree::Name(name) => self.add_leaf(&name.ident, &name.ident, prefix, public),
            syn::UseTree::Rename(name) => self.add_leaf(&name.ident, &name.rename, prefix, public),
            syn::UseTree::Glob(_) => self.paths.extend(self.absolute(prefix)),
        }
    }

    fn add_leaf(&mut self, item: &syn::Ident, name: &syn::Ident, prefix: &[String], public: bool) {
        let mut path = prefix.to_vec();
        if item != "self" {
            path.push(item.to_string());
        }
        let Some(path) = self.absolute(&path) else {
            return;
        };
        if public {
            self.reexports.push((name.to_string(), path.clone()));
        }
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.base.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.base.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.add_tree(&item.tree, &mut Vec::new(), public);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let names: Vec<_> = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect();
            self.paths.extend(self.absolute(&names));
        }
        visit::visit_path(self, path);
    }
}

/// Returns the strongly connected components (Kosaraju's algorithm).
fn cycles(edges: &Edges) -> Vec<Vec<ModulePath>> {
    fn visit<'a>(
        node: &'a ModulePath,
        edges: &BTreeMap<&'a ModulePath, Vec<&'a ModulePath>>,
        seen: &mut BTreeSet<&'a ModulePath>,
        left: &mut Vec<&'a ModulePath>,
    ) {
        if seen.insert(node) {
            for next in edges.get(node).into_iter().flatten() {
                visit(next, edges, seen, left);
            }
            left.push(node);
        }
    }
    let mut forward: BTreeMap<&ModulePath, Vec<&ModulePath>> = BTreeMap::new();
    let mut backward: BTreeMap<&ModulePath, Vec<&ModulePath>> = BTreeMap::new();
    for (from, targets) in edges {
        for to in targets {
            forward.entry(from).or_default().push(to);
            backward.entry(to).or_default().push(from);
        }
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for node in edges.keys() {
        visit(node, &forward, &mut seen, &mut order);
    }
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for node in order.into_iter().rev() {
        let mut group = Vec::new();
        visit(node, &backward, &mut seen, &mut group);
        if group.len() > 1 {
            group.sort();
            found.push(group.into_iter().cloned().collect());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::files::Source;
    use crate::tidy::modules;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source {
                path: format!("crates/x/src/{path}"),
                text: (*text).to_owned(),
            })
            .collect();
        let mut problems = Vec::new();
        for (root, krate) in modules::parse(&sources).unwrap() {
            check(&root, &krate, &mut problems);
        }
        problems
    }

    #[test]
    fn files_that_import_each_other_are_found() {
        let lib = ("lib.rs", "mod a; mod b; mod c;");
        let a = ("a.rs", "use crate::b::B; pub struct A;");
        let b = ("b.rs", "pub struct B; fn f() { super::c::C::new(); }");
        let c = ("c.rs", "use crate::a::{A as Other}; pub struct C;");
        assert_eq!(found(&[lib, a, b]).len(), 0);
        let problems = found(&[lib, a, b, c]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].ends_with("a.rs, b.rs, c.rs"), "{problems:?}");
    }

    #[test]
    fn imports_through_a_reexport_count_for_the_file_that_defines_the_item() {
        let lib = ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;");
        let a = ("a.rs", "use crate::B; pub struct A;");
        let b = ("b.rs", "use crate::A; pub struct B;");
        assert_eq!(found(&[lib, a, b]).len(), 1);
    }

    #[test]
    fn parents_and_children_and_tests_may_use_each_other() {
        let lib = ("lib.rs", "mod a; mod b;");
        let a = ("a.rs", "mod inner; use inner::Inner; pub struct A;");
        let inner = ("a/inner.rs", "use super::A; pub struct Inner;");
        let b = ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }");
        assert_eq!(found(&[lib, a, inner, b]).len(), 0);
    }
}
