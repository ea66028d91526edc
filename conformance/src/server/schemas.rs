//! A tool whose schema uses many keywords of JSON Schema 2020-12, which must all reach the client.

use carryall::server::{ServerBuilder, Tool};
use carryall::types::JsonObject;
use serde_json::json;

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    let tool = Tool::dynamic(
        "json_schema_2020_12_tool",
        schema(),
        async |contact: JsonObject| format!("Contact with {} members", contact.len()),
    );
    builder.tool(tool.description("Tool with JSON Schema 2020-12 features"))
}

/// The schema that the suite's scenario `json-schema-2020-12` requires.
fn schema() -> JsonObject {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            },
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    });
    schema.as_object().cloned().unwrap_or_default()
}
