//! Handlers for input requests: a user who accepts every form, a model with a fixed answer, and one
//! root.

use carryall::client::ClientBuilder;
use carryall::types::{
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestFormParams, ElicitResult,
    JsonObject, JsonValue, PrimitiveSchemaDefinition as Field, Root,
};

// Sampling and roots are deprecated and still have to work (SEP-2577).
#[allow(deprecated)]
pub(crate) fn provide(builder: ClientBuilder) -> ClientBuilder {
    builder
        .on_elicit(async |form| fill_in(&form))
        .on_sample(async |_: CreateMessageRequestParams| {
            CreateMessageResult::new("one-liner", "Paris")
        })
        .roots([Root::new("file:///tmp").with_name("tmp")])
}

/// Fills in a form, with a valid value for each field without a default.
fn fill_in(form: &ElicitRequestFormParams) -> ElicitResult {
    let mut content = JsonObject::new();
    for (name, field) in &form.requested_schema.properties {
        content.insert(
            name.clone(),
            field.default_value().unwrap_or_else(|| valid_value(field)),
        );
    }
    ElicitResult::accept(content)
}

fn valid_value(field: &Field) -> JsonValue {
    let first = || {
        field
            .options()
            .first()
            .map(|(value, _)| JsonValue::from(*value))
    };
    match field {
        Field::String(_) => "text".into(),
        Field::Number(schema) => schema.minimum.unwrap_or(1.0).into(),
        Field::Boolean(_) => true.into(),
        Field::UntitledMultiSelect(_) | Field::TitledMultiSelect(_) => {
            first().into_iter().collect()
        }
        _ => first().unwrap_or_default(),
    }
}
