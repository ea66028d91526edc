//! Parses the modules of each crate once, for checks of the syntax tree.

use crate::CommandResult;
use crate::files::Source;
use std::collections::BTreeMap;

/// The `src` folders of checked crates outside `crates/`.
pub(super) const ROOTS: [&str; 3] = ["xtask/src/", "conformance/src/", "replicas/src/"];

/// The path of a module within its crate; empty for the root.
pub(super) type ModulePath = Vec<String>;

/// One source file.
pub(super) struct Module {
    /// The path of the file below the repository root.
    pub(super) file: String,
    pub(super) syntax: syn::File,
}

/// The modules of one crate, by their paths.
pub(super) struct Crate {
    pub(super) modules: BTreeMap<ModulePath, Module>,
}

/// Parses the library and binary sources of every crate in the workspace.
///
/// Files that hold tests alone (`tests.rs` and `tests/`) are left out, as are the programs in
/// `src/bin`, each of which is a crate by itself.
pub(super) fn parse(sources: &[Source]) -> CommandResult<BTreeMap<String, Crate>> {
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    for source in sources {
        let Some((root, below)) = split(&source.path) else {
            continue;
        };
        let path = module_path(below);
        if path.iter().any(|part| part == "tests" || part == "bin") {
            continue;
        }
        let syntax =
            syn::parse_file(&source.text).map_err(|error| format!("{}: {error}", source.path))?;
        let module = Module {
            file: source.path.clone(),
            syntax,
        };
        let found = crates.entry(root.to_owned()).or_insert_with(|| Crate {
            modules: BTreeMap::new(),
        });
        found.modules.insert(path, module);
    }
    Ok(crates)
}

/// Whether an item is compiled for tests only.
pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

/// Splits the path of a source file into its crate's `src/` folder and the rest.
fn split(path: &str) -> Option<(&str, &str)> {
    if !path.ends_with(".rs") {
        return None;
    }
    if let Some(root) = ROOTS.iter().find(|root| path.starts_with(**root)) {
        return Some(path.split_at(root.len()));
    }
    let name = path.strip_prefix("crates/")?.split('/').next()?;
    let at = "crates/".len() + name.len() + "/src/".len();
    path.get("crates/".len() + name.len()..at)
        .is_some_and(|folder| folder == "/src/")
        .then(|| path.split_at(at))
}

fn module_path(below: &str) -> ModulePath {
    let mut path: ModulePath = below
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if path
        .last()
        .is_some_and(|last| matches!(&**last, "mod" | "lib" | "main"))
    {
        path.pop();
    }
    path
}
