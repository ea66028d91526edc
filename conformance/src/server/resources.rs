//! Resources: text, binary and a template.

use crate::media;
use carryall::server::{CompletionQuery, HandlerError, Resource, ServerBuilder, UriVariables};
use serde_json::json;

const TEMPLATE: &str = "test://template/{id}/data";

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .resource(
            Resource::new("test://static-text", "static-text", text)
                .description("Some text")
                .mime("text/plain"),
        )
        .resource(
            Resource::new("test://static-binary", "static-binary", binary)
                .description("An image")
                .mime("image/png"),
        )
        .resource(
            Resource::new("test://watched-resource", "watched-resource", watched)
                .description("A resource to subscribe to")
                .mime("text/plain"),
        )
        .resource(
            Resource::template(TEMPLATE, "template", by_id)
                .description("The data of an id")
                .mime("application/json"),
        )
        .complete_template(TEMPLATE, "id", async |typed: CompletionQuery| {
            carryall::server::matching(["123", "124", "200"], &typed.value)
        })
}

async fn text() -> &'static str {
    "This is the content of the static text resource."
}

async fn watched() -> &'static str {
    "This is the content of the watched resource."
}

async fn binary() -> Vec<u8> {
    media::PNG.to_vec()
}

async fn by_id(variables: UriVariables) -> Result<String, HandlerError> {
    let id: String = variables.get("id")?;
    Ok(json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")}).to_string())
}
