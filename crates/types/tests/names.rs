//! Keys, methods, versions and capabilities.

#![deny(unfulfilled_lint_expectations)]

use carryall_types::{
    ClientCapabilities, JsonObject, LoggingLevel, LoggingMessageNotificationParams, Method,
    ProtocolVersion, SamplingCapability, ServerCapabilities, meta_key,
};
use proptest::prelude::*;
use serde_json::json;

// spec: meta-02, meta-03, meta-06, meta-07
#[test]
fn a_key_is_an_optional_prefix_and_a_name() {
    for key in [
        "",
        "a",
        "0",
        "a-b_c.d",
        "A9",
        "example/",
        "com.example/",
        "com.example/key",
        "c-d.x9/0.0",
        "a.b.c/d",
        "traceparent",
    ] {
        assert!(meta_key::is_valid(key), "{key:?}");
    }
    for key in [
        "/",
        "/name",
        "./n",
        "a./n",
        ".a/n",
        "a..b/n",
        "1a/n",
        "-a/n",
        "a-/n",
        "a_b/n",
        "a b/n",
        "com.example/a/b",
        "-a",
        "a-",
        "_",
        ".",
        "a.",
        "a b",
        "é",
        "a/é",
        "é/a",
        "com.example//",
        "a\n",
    ] {
        assert!(!meta_key::is_valid(key), "{key:?}");
    }
}

// spec: meta-05
#[test]
fn a_prefix_is_reserved_by_its_second_label() {
    for key in [
        "io.modelcontextprotocol/x",
        "dev.mcp/",
        "org.modelcontextprotocol.api/x",
        "com.mcp.tools/x",
    ] {
        assert!(meta_key::is_reserved(key), "{key:?}");
    }
    for key in [
        "com.example.mcp/x",
        "mcp/x",
        "modelcontextprotocol/x",
        "mcp.example/x",
        "com.mcps/x",
        "io.modelcontextprotocol",
        "x",
    ] {
        assert!(!meta_key::is_reserved(key), "{key:?}");
    }
}

#[test]
fn keys_of_the_specification_without_prefix_are_reserved() {
    for key in ["progressToken", "traceparent", "tracestate", "baggage"] {
        assert!(
            meta_key::is_reserved(key) && meta_key::is_valid(key),
            "{key:?}"
        );
    }
}

// spec: versioning-05
#[test]
fn an_extension_id_is_a_valid_key_with_a_prefix() {
    for id in ["io.modelcontextprotocol/ui", "com.example/my-extension"] {
        assert!(meta_key::extension_id_is_valid(id), "{id:?}");
    }
    for id in [
        "ui",
        "",
        "com.example",
        "/ui",
        "1.example/ui",
        "com.example/-ui",
        "com.example/a/b",
    ] {
        assert!(!meta_key::extension_id_is_valid(id), "{id:?}");
    }
}

fn label() -> impl Strategy<Value = String> {
    "[A-Za-z]([A-Za-z0-9-]{0,6}[A-Za-z0-9])?"
}

fn name() -> impl Strategy<Value = String> {
    "([A-Za-z0-9]([A-Za-z0-9._-]{0,6}[A-Za-z0-9])?)?"
}

proptest! {
    // spec: meta-02, meta-03, meta-06, meta-07
    #[test]
    fn keys_generated_from_the_grammar_are_valid(labels in prop::collection::vec(label(), 0..4), name in name()) {
        let key = if labels.is_empty() { name } else { format!("{}/{name}", labels.join(".")) };
        prop_assert!(meta_key::is_valid(&key), "{}", key);
        prop_assert_eq!(meta_key::extension_id_is_valid(&key), !labels.is_empty());
    }

    // spec: meta-02, meta-03, meta-06
    #[test]
    fn one_invalid_character_makes_a_key_invalid(labels in prop::collection::vec(label(), 1..4), name in name(), at in any::<prop::sample::Index>(), foreign in "[^A-Za-z0-9._/-]") {
        let mut key = format!("{}/{name}", labels.join("."));
        key.insert_str(at.index(key.len() + 1), &foreign);
        prop_assert!(!meta_key::is_valid(&key), "{}", key);
    }

    #[test]
    fn validity_agrees_with_a_simple_implementation(key in "[aZ0._/-]{0,8}") {
        let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let parts: Vec<&str> = key.split('/').collect();
        let label = |l: &str| l.starts_with(|c: char| c.is_ascii_alphabetic()) && outer(l.chars().last()) && !l.contains('_');
        let name = |n: &str| n.is_empty() || (outer(n.chars().next()) && outer(n.chars().last()));
        let expected = match parts.as_slice() {
            [only] => name(only),
            [prefix, rest] => prefix.split('.').all(label) && name(rest),
            _ => false,
        };
        prop_assert_eq!(meta_key::is_valid(&key), expected, "{}", key);
    }

    // spec: meta-05
    #[test]
    fn only_the_second_label_reserves_a_prefix(labels in prop::collection::vec(prop_oneof![label(), Just("mcp".to_owned())], 1..5), name in name()) {
        let second = labels.get(1).map(String::as_str);
        let expected = matches!(second, Some("mcp" | "modelcontextprotocol"));
        let key = format!("{}/{name}", labels.join("."));
        prop_assert_eq!(meta_key::is_reserved(&key), expected, "{}", key);
    }
}

#[test]
fn versions_are_ordered_and_round_trip() {
    assert!(ProtocolVersion::ALL.is_sorted());
    assert_eq!(ProtocolVersion::ALL.last(), Some(&ProtocolVersion::LATEST));
    for version in ProtocolVersion::ALL {
        assert_eq!(version.as_str().parse(), Ok(version));
        assert_eq!(
            serde_json::from_value::<ProtocolVersion>(json!(version)).expect("decodes"),
            version
        );
        assert_eq!(version.is_modern(), version.as_str() >= "2026-07-28");
    }
    for unknown in ["", "2026-07-29", "2026-7-28", "latest", "2026-07-28 "] {
        assert!(unknown.parse::<ProtocolVersion>().is_err(), "{unknown:?}");
    }
}

const METHODS: [&str; 10] = [
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "subscriptions/listen",
];

fn methods_that(holds: impl Fn(&Method) -> bool) -> Vec<&'static str> {
    METHODS
        .into_iter()
        .filter(|name| holds(&Method::from(*name)))
        .collect()
}

#[test]
fn method_names_round_trip() {
    for name in METHODS {
        assert_eq!(Method::from(name).to_string(), name);
        assert!(!matches!(Method::from(name), Method::Other(_)), "{name}");
    }
    for name in ["", "tools/List", "initialize", "roots/list"] {
        assert_eq!(Method::from(name), Method::Other(name.into()));
        assert_eq!(Method::from(name).as_str(), name);
    }
}

#[test]
fn three_methods_allow_rounds() {
    assert_eq!(
        methods_that(Method::allows_rounds),
        ["tools/call", "prompts/get", "resources/read"]
    );
    assert!(!Method::from("tasks/get").allows_rounds());
}

#[test]
fn six_methods_are_cacheable() {
    let cacheable = [
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    ];
    assert_eq!(methods_that(Method::is_cacheable), cacheable);
}

#[test]
fn the_name_header_mirrors_a_name_or_uri() {
    assert_eq!(
        methods_that(|method| method.name_member() == Some("name")),
        ["tools/call", "prompts/get"]
    );
    assert_eq!(
        methods_that(|method| method.name_member() == Some("uri")),
        ["resources/read"]
    );
}

fn client(value: serde_json::Value) -> ClientCapabilities {
    serde_json::from_value(value).expect("decodes")
}

#[test]
fn capabilities_must_be_declared() {
    let none = ClientCapabilities::new();
    assert!(
        !none.supports_elicitation_form()
            && !none.supports_elicitation_url()
            && !none.supports_roots()
    );
    assert!(
        !none.supports_sampling()
            && !none.supports_sampling_tools()
            && !none.has_extension("example.ships/radar")
    );
    let null =
        client(json!({ "elicitation": null, "sampling": null, "roots": null, "extensions": null }));
    assert_eq!(null, none);

    for (elicitation, form, url) in [
        (json!({}), true, false),
        (json!({ "form": {} }), true, false),
        (json!({ "url": {} }), false, true),
        (json!({ "form": {}, "url": {} }), true, true),
    ] {
        let declared = client(json!({ "elicitation": elicitation }));
        assert_eq!(
            (
                declared.supports_elicitation_form(),
                declared.supports_elicitation_url()
            ),
            (form, url),
            "{elicitation}"
        );
    }
    let sampling = client(json!({ "sampling": {} }));
    assert!(sampling.supports_sampling() && !sampling.supports_sampling_tools());
    assert!(client(json!({ "sampling": { "tools": {} } })).supports_sampling_tools());
    assert!(client(json!({ "roots": {} })).supports_roots());
    assert!(
        client(json!({ "extensions": { "example.ships/radar": {} } }))
            .has_extension("example.ships/radar")
    );
}

#[test]
fn only_missing_capabilities_are_returned() {
    let cases = [
        (json!({}), json!({}), None),
        (
            json!({ "elicitation": {} }),
            json!({ "elicitation": { "form": {} } }),
            None,
        ),
        (
            json!({ "elicitation": { "form": {} } }),
            json!({ "elicitation": {} }),
            None,
        ),
        (
            json!({ "elicitation": {} }),
            json!({}),
            Some(json!({ "elicitation": {} })),
        ),
        (
            json!({ "elicitation": {} }),
            json!({ "elicitation": { "url": {} } }),
            Some(json!({ "elicitation": { "form": {} } })),
        ),
        (
            json!({ "elicitation": { "form": {}, "url": {} } }),
            json!({ "elicitation": {} }),
            Some(json!({ "elicitation": { "url": {} } })),
        ),
        (
            json!({ "sampling": { "tools": {}, "context": {} } }),
            json!({ "sampling": { "context": {} } }),
            Some(json!({ "sampling": { "tools": {} } })),
        ),
        (
            json!({ "sampling": {} }),
            json!({ "sampling": { "tools": {} } }),
            None,
        ),
        (
            json!({ "roots": {}, "sampling": {} }),
            json!({ "roots": {} }),
            Some(json!({ "sampling": {} })),
        ),
        (
            json!({ "extensions": { "a.b/c": {}, "a.b/d": { "x": 1 } }, "experimental": { "e": {} }, "other": 1 }),
            json!({ "extensions": { "a.b/c": { "y": 2 } }, "other": 2 }),
            Some(json!({ "extensions": { "a.b/d": { "x": 1 } }, "experimental": { "e": {} } })),
        ),
    ];
    for (wanted, declared, missing) in cases {
        let found = client(wanted.clone()).missing_from(&client(declared.clone()));
        assert_eq!(
            found.map(|found| json!(found)),
            missing,
            "{wanted} of {declared}"
        );
    }
}

// An unfulfilled `expect` fails the build, which is how this test detects a missing
// `#[deprecated]`.
// spec: lifecycle-01
#[test]
fn deprecated_features_work_with_a_compiler_warning() {
    #[expect(deprecated)]
    let roots = ClientCapabilities::new().with_roots(JsonObject::new());
    assert_eq!(json!(roots), json!({ "roots": {} }));

    #[expect(deprecated)]
    let sampling = ClientCapabilities::new()
        .with_sampling(SamplingCapability::new().with_tools(JsonObject::new()));
    assert_eq!(json!(sampling), json!({ "sampling": { "tools": {} } }));

    #[expect(deprecated)]
    let logging = ServerCapabilities::new().with_logging(JsonObject::new());
    assert_eq!(json!(logging), json!({ "logging": {} }));

    #[expect(deprecated)]
    let message = LoggingMessageNotificationParams::new(LoggingLevel::Error, "sinking");
    assert_eq!(
        json!(message),
        json!({ "level": "error", "data": "sinking" })
    );
}
