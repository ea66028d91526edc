//! Which crate may depend on which (ARCHITECTURE: the arrows). Cargo forbids cycles; this forbids
//! new arrows.

/// Package folder and the internal packages it may depend on. A new arrow needs a written reason,
/// and a line here.
const EDGES: [(&str, &[&str]); 18] = [
    ("types", &[]),
    ("macros", &[]),
    ("proto", &["types"]),
    ("store", &[]),
    // Each brings a driver that only those compile who use it.
    ("store-sqlite", &["store"]),
    ("store-postgres", &["store"]),
    ("store-redis", &["store"]),
    ("transport", &["types", "proto"]),
    ("auth", &["types", "proto"]),
    // Servers and clients validate by the same rules, so the rules are a crate of their own.
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
            "{path}: the crate `{folder}` is not on the map of crate edges"
        ));
        return;
    };
    for to in internal(manifest) {
        if !allowed.contains(&"*") && !allowed.contains(&to.as_str()) {
            problems.push(format!("{path}: `{folder}` may not depend on `{to}`"));
        }
    }
}

/// The folders of our crates that this manifest depends on. What only its tests use
/// (`dev-dependencies`) is free.
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
    fn an_arrow_on_the_map_passes_and_one_that_is_not_fails() {
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
    fn tests_may_use_any_crate() {
        assert!(
            found(
                "crates/types/Cargo.toml",
                "[dev-dependencies]\ncarryall-testkit.workspace = true"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_crate_that_is_not_on_the_map_is_refused() {
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
