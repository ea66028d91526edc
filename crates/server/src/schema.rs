//! The JSON Schema of types, as tools declare it.

use carryall_types::JsonObject;

/// Returns the JSON Schema (2020-12) of a type as tools declare it: without the name of the type.
#[must_use]
pub fn schema_of<T: schemars::JsonSchema>() -> JsonObject {
    let mut schema = match schemars::schema_for!(T).to_value() {
        serde_json::Value::Object(schema) => schema,
        // The schema `true`; no type has the schema `false`.
        _ => JsonObject::new(),
    };
    schema.shift_remove("title");
    schema.values_mut().for_each(without_number_formats);
    schema
}

/// Returns the schema of a tool's arguments: that of the type, and `"additionalProperties": false`
/// unless the schema has a keyword that applies to further members.
pub(crate) fn arguments_schema<T: schemars::JsonSchema>() -> JsonObject {
    /// Keywords that apply to members beside `properties`, or that may declare members of their own,
    /// which `additionalProperties` would refuse.
    const MEMBER_KEYWORDS: [&str; 14] = [
        "additionalProperties",
        "unevaluatedProperties",
        "patternProperties",
        "propertyNames",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "dependentSchemas",
        "$ref",
        "$dynamicRef",
    ];
    let mut schema = schema_of::<T>();
    if !MEMBER_KEYWORDS
        .iter()
        .any(|keyword| schema.contains_key(*keyword))
    {
        schema.insert("additionalProperties".into(), false.into());
    }
    schema
}

/// Removes formats such as `uint8` and `double`: no dialect defines them, and validators of other
/// languages warn of each.
fn without_number_formats(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(members) => {
            let numeric = |format: &str| {
                matches!(format, "float" | "double")
                    || format
                        .trim_start_matches('u')
                        .strip_prefix("int")
                        .is_some_and(|bits| bits.bytes().all(|b| b.is_ascii_digit()))
            };
            if members
                .get("format")
                .and_then(|format| format.as_str())
                .is_some_and(numeric)
            {
                members.shift_remove("format");
            }
            let is_data = |name: &str| matches!(name, "default" | "const" | "enum" | "examples");
            let subschemas = members.iter_mut().filter(|(name, _)| !is_data(name));
            subschemas.for_each(|(_, schema)| without_number_formats(schema));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_number_formats),
        _ => {}
    }
}

/// Returns the schema of a tool without arguments.
pub(crate) fn no_arguments() -> JsonObject {
    let mut schema = JsonObject::new();
    schema.insert("type".into(), "object".into());
    schema.insert("additionalProperties".into(), false.into());
    schema
}

#[cfg(test)]
mod tests {
    #[derive(schemars::JsonSchema)]
    #[allow(dead_code)]
    struct Numbers {
        small: Option<u8>,
        many: Vec<i64>,
        half: f64,
        size: usize,
        name: String,
    }

    #[derive(schemars::JsonSchema, serde::Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        b: bool,
    }

    #[derive(schemars::JsonSchema, serde::Deserialize)]
    #[allow(dead_code)]
    #[serde(tag = "kind")]
    enum Kind {
        One { x: i64 },
        Two { y: i64 },
    }

    #[derive(schemars::JsonSchema, serde::Deserialize)]
    #[allow(dead_code)]
    struct Flat<T> {
        a: bool,
        #[serde(flatten)]
        rest: T,
    }

    #[derive(schemars::JsonSchema)]
    #[allow(dead_code)]
    #[schemars(extend("additionalProperties" = true))]
    struct Open {
        a: bool,
    }

    #[derive(schemars::JsonSchema)]
    #[allow(dead_code)]
    struct Nested {
        inner: Inner,
    }

    #[test]
    fn arguments_are_closed_unless_their_type_says_something_else() {
        use super::arguments_schema;
        use std::collections::HashMap;
        let closed = Some(&serde_json::json!(false));
        let schema = arguments_schema::<Numbers>();
        assert_eq!(schema.get("additionalProperties"), closed);
        assert_eq!(
            arguments_schema::<Flat<Inner>>().get("additionalProperties"),
            closed
        );
        let nested = arguments_schema::<Nested>();
        assert_eq!(nested.get("additionalProperties"), closed);
        assert!(
            nested["$defs"]["Inner"]
                .get("additionalProperties")
                .is_none()
        );
        assert_eq!(arguments_schema::<Open>()["additionalProperties"], true);
        for open in [
            arguments_schema::<Flat<HashMap<String, String>>>(),
            arguments_schema::<Flat<Kind>>(),
            arguments_schema::<HashMap<String, i64>>(),
            arguments_schema::<carryall_types::JsonObject>(),
            arguments_schema::<Kind>(),
        ] {
            assert_ne!(open.get("additionalProperties"), closed, "{open:?}");
        }
    }

    #[test]
    fn derived_schemas_name_no_types_of_rust() {
        let schema = serde_json::to_string(&super::schema_of::<Numbers>()).unwrap();
        assert!(
            !schema.contains("format") && !schema.contains("title"),
            "{schema}"
        );
        assert!(
            schema.contains("2020-12") && schema.contains("\"minimum\":0"),
            "{schema}"
        );
    }
}
