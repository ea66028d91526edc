//! Helpers shared by the tests.

use carryall_schema::{Schema, SchemaProblem, Violations};
use carryall_types::RawJson;
use serde_json::Value;

/// Compiles a schema that is an object.
pub(crate) fn compile(schema: &Value) -> Result<Schema, SchemaProblem> {
    Schema::compile(schema.as_object().expect("an object"))
}

/// Compiles the schema and checks the text against it.
pub(crate) fn check(schema: &Value, text: &str) -> Result<(), Violations> {
    let schema = compile(schema).unwrap_or_else(|problem| panic!("{problem}: {schema}"));
    schema.check(&RawJson::parse(text.to_owned()).expect("JSON"))
}

/// Whether the value matches the schema.
pub(crate) fn accepts(schema: &Value, value: &Value) -> bool {
    check(schema, &value.to_string()).is_ok()
}
