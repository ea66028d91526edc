//! Forbids unused dependencies: each must be named in the sources of the package that declares it,
//! and each entry of `[workspace.dependencies]` must be used by a package.

use crate::files::Source;

pub(super) fn check(sources: &[Source], problems: &mut Vec<String>) {
    // The packages in `bench/peers` share sources.
    let manifests = sources.iter().filter(|source| {
        source.path.ends_with("Cargo.toml") && !source.path.starts_with("bench/peers/")
    });
    let mut used = Vec::new();
    for manifest in manifests.clone() {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        let rust: Vec<_> = sources
            .iter()
            .filter(|source| source.path.starts_with(folder) && source.path.ends_with(".rs"))
            .collect();
        for (name, kind) in declared(&manifest.text) {
            if kind == DependencyKind::Workspace {
                continue;
            }
            used.push(name);
            let is_used = rust.iter().any(|source| {
                let below = &source.path[folder.len()..];
                let tests = below.starts_with("tests/") || below.starts_with("examples/");
                (kind == DependencyKind::Dev || !tests)
                    && names(&source.text, &name.replace('-', "_"))
            });
            if !is_used {
                problems.push(format!("{}: `{name}` is not used", manifest.path));
            }
        }
    }
    for manifest in manifests {
        for (name, kind) in declared(&manifest.text) {
            if kind == DependencyKind::Workspace && !used.contains(&name) {
                problems.push(format!(
                    "{}: no package of the workspace uses `{name}`",
                    manifest.path
                ));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum DependencyKind {
    Workspace,
    Normal,
    Dev,
}

/// Returns the dependencies of a manifest of the form `name = ...` or `name.workspace = true`.
fn declared(manifest: &str) -> Vec<(&str, DependencyKind)> {
    let mut kind = None;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            kind = match table.rsplit('.').next() {
                Some("dependencies") if table.starts_with("workspace") => {
                    Some(DependencyKind::Workspace)
                }
                Some("dependencies") => Some(DependencyKind::Normal),
                Some("dev-dependencies") => Some(DependencyKind::Dev),
                _ => None,
            };
        } else if let Some(kind) = kind
            && let Some((name, _)) = line.split_once(['.', ' ', '='])
            && name.starts_with(|c: char| c.is_ascii_lowercase())
        {
            found.push((name, kind));
        }
    }
    found
}

/// Whether the text imports the crate or uses it at the beginning of a path.
fn names(text: &str, krate: &str) -> bool {
    text.match_indices(krate).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let after = &text[at + krate.len()..];
        starts
            && (after.starts_with("::")
                || text[..at].ends_with("use ") && after.starts_with([';', ' ']))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::files::Source;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        let mut problems = Vec::new();
        check(&sources, &mut problems);
        problems
    }

    #[test]
    fn a_dependency_must_be_named_in_its_package() {
        let root = (
            "Cargo.toml",
            "[workspace.dependencies]\nhyper-util = \"1\"\n",
        );
        let manifest = (
            "a/Cargo.toml",
            "[dependencies]\nhyper-util.workspace = true\n",
        );
        for text in [
            "use hyper_util::rt;",
            "fn f() { hyper_util::go() }",
            "use hyper_util as h;",
        ] {
            assert!(found(&[root, manifest, ("a/src/lib.rs", text)]).is_empty());
        }
        for text in ["use my_hyper_util::rt;", "let hyper_util = 1;"] {
            assert_eq!(found(&[root, manifest, ("a/src/lib.rs", text)]).len(), 1);
        }
        let test = ("a/tests/a.rs", "use hyper_util::rt;");
        assert_eq!(found(&[root, manifest, test]).len(), 1);
    }

    #[test]
    fn a_workspace_dependency_must_be_used_by_a_package() {
        let root = ("Cargo.toml", "[workspace.dependencies]\nslab = \"1\"\n");
        assert_eq!(found(&[root]).len(), 1);
    }
}
