//! Restricts dependencies between our crates to those listed here and in ARCHITECTURE.md. (Cargo
//! forbids cycles, but not new dependencies.)

/// Crate folders, and the crates that each may depend on. A new dependency needs a written reason and
/// an entry here.
const EDGES: [(&str, &[&str]); 18] = [
    ("types", &[]),
    ("macros", &[]),
    ("proto", &["types"]),
    ("store", &[]),
    // Separate crates, so that only their users compile the database drivers.
    ("store-sqlite", &["store"]),
    ("store-postgres", &["store"]),
    ("store-redis", &["store"]),
    ("transport", &["types", "proto"]),
    ("auth", &["types", "proto"]),
    // Servers and clients share the validation rules.
    ("schema", &["types", "proto"]),
    ("server", &["types", "proto", "schema", "store", "macros"]),
    ("client", &["types", "proto", "schema", "transport"]),
    ("legacy", &["types", "proto", "store", "transport"]),
    (
        "gateway",
        &["types", "proto", "transport", "client", "auth", "store"],
    ),
    (
        "audit",
        &["types", "proto", "client", "transport", "gateway"],
    ),
    ("testkit", &["types", "proto"]),
    ("carryall", &["*"]),
    ("cli", &["carryall"]),
];

pub(super) fn check(path: &str, manifest: &str, problems: &mut Vec<String>) {
    let Some(folder) = path
        .strip_prefix("crates/")
        .and_then(|p| p.strip_suffix("/Cargo.toml"))
    else {
        return;
    };
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == folder) else {
        problems.push(format!(
            "{path}: the crate `{folder}` is not listed in xtask/src/tidy/edges.rs"
        ));
        return;
    };
    for to in internal(manifest) {
        if !allowed.contains(&"*") && !allowed.contains(&to.as_str()) {
            problems.push(format!("{path}: `{folder}` may not depend on `{to}`"));
        }
    }
}

/// Returns the folders of our crates that a manifest depends on, without dev-dependencies.
fn internal(manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut counts = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[').map(|t| t.trim_end_matches(']')) {
            // `[dependencies]`, `[target.'cfg(unix)'.dependencies]`,
            // `[dependencies.carryall-types]`
            let name = table.split("dependencies.").nth(1);
            counts = table.ends_with("dependencies") && !table.ends_with("dev-dependencies");
            if let Some(folder) = name
                .and_then(folder)
                .filter(|_| !table.contains("dev-dependencies"))
            {
                found.push(folder);
            }
        } else if counts {
            let name = line.split(['=', '.', ' ']).next().unwrap_or("");
            found.extend(folder(name));
        }
    }
    found
}

fn folder(package: &str) -> Option<String> {
    match package.trim_matches('"') {
        "carryall" => Some("carryall".to_owned()),
        other => other.strip_prefix("carryall-").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn found(path: &str, manifest: &str) -> Vec<String> {
        let mut problems = Vec::new();
        check(path, manifest, &mut problems);
        problems
    }

    #[test]
    fn only_listed_dependencies_are_allowed() {
        assert!(
            found(
                "crates/proto/Cargo.toml",
                "[dependencies]\ncarryall-types.workspace = true\nserde = \"1\""
            )
            .is_empty()
        );
        let wrong = found(
            "crates/types/Cargo.toml",
            "[dependencies]\ncarryall-proto = { workspace = true }",
        );
        assert!(
            wrong.len() == 1 && wrong[0].contains("`proto`"),
            "{wrong:?}"
        );
        assert_eq!(
            found(
                "crates/server/Cargo.toml",
                "[dependencies.carryall-client]\nworkspace = true"
            )
            .len(),
            1
        );
        assert_eq!(
            found(
                "crates/cli/Cargo.toml",
                "[target.'cfg(unix)'.dependencies]\ncarryall-server.workspace = true"
            )
            .len(),
            1
        );
    }

    #[test]
    fn dev_dependencies_are_not_restricted() {
        assert!(
            found(
                "crates/types/Cargo.toml",
                "[dev-dependencies]\ncarryall-testkit.workspace = true"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_crate_that_is_not_listed_is_rejected() {
        assert_eq!(found("crates/extra/Cargo.toml", "").len(), 1);
        assert!(
            found(
                "conformance/Cargo.toml",
                "[dependencies]\ncarryall-types.workspace = true"
            )
            .is_empty()
        );
    }
}
