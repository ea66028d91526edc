//! Describes the type of an argument to the user.

use super::allowed_values::allowed_values;
use super::schema::{JsonType, property, resolve, types_of};
use carryall::types::{JsonObject, JsonValue};

/// Describes what an argument takes: `integer`, `string or null`, `array of string`,
/// `low|normal|high`.
pub(crate) fn describe_type(schema: &JsonObject, key: &str) -> String {
    let Some(property) = property(schema, key) else {
        return "any".into();
    };
    match allowed_values(schema, key) {
        Some(values) if values.of_items => return format!("array of {}", values.short_list()),
        Some(values) => return values.short_list(),
        None => {}
    }
    let target = property
        .get("$ref")
        .and_then(JsonValue::as_str)
        .and_then(|reference| resolve(reference, schema))
        .unwrap_or(property);
    let item_type = target
        .get("items")
        .and_then(|items| items.get("type"))
        .and_then(JsonValue::as_str);
    let names: Vec<String> = types_of(schema, key)
        .into_iter()
        .map(|json_type| match (json_type, item_type) {
            (JsonType::Array, Some(item)) => format!("array of {item}"),
            (other, _) => other.name().to_owned(),
        })
        .collect();
    if names.is_empty() {
        "any".into()
    } else {
        names.join(" or ")
    }
}
