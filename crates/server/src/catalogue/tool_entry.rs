//! Tools in the catalogue: their definition is checked once, and each result when it is returned.

use crate::call::handler_error::HandlerError;
use crate::call::tool_output::ToolOutput;
use crate::catalogue::content;
use crate::catalogue::tool::Tool;
use carryall_proto::headers::ParamHeaders;
use carryall_schema::Schema;
use carryall_types::{ErrorObject, JsonObject, JsonValue, RawJson};
use std::fmt;

/// A tool in the catalogue, with everything about it that does not depend on the call.
pub(crate) struct ToolEntry {
    pub(crate) tool: Tool,
    pub(crate) json: RawJson,
    pub(crate) input: Schema,
    pub(crate) output: Option<Schema>,
    pub(crate) headers: ParamHeaders,
}

impl ToolEntry {
    /// Checks the name, the schemas and the header annotations of a tool.
    ///
    /// # Errors
    /// The first problem found, with the name of the tool.
    pub(crate) fn new(tool: Tool) -> Result<Self, String> {
        let name = &tool.definition.name;
        let fail = |what: &dyn fmt::Display| format!("tool {name:?}: {what}");
        check_name(name).map_err(|why| fail(&why))?;
        if let Some(problem) = &tool.problem {
            return Err(fail(problem));
        }
        let schema = &tool.definition.input_schema;
        if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
            return Err(fail(
                &"the input schema needs \"type\": \"object\" at its root",
            ));
        }
        let input = Schema::compile_arguments(schema)
            .map_err(|problem| fail(&format!("input schema: {problem}")))?;
        let output = tool
            .definition
            .output_schema
            .as_ref()
            .map(Schema::compile)
            .transpose();
        let output = output.map_err(|problem| fail(&format!("output schema: {problem}")))?;
        let headers = ParamHeaders::compile(schema).map_err(|problem| fail(&problem))?;
        if let Some(secret) = mirrored_secret(schema) {
            return Err(fail(&format!(
                "{secret:?} is a secret, and x-mcp-header would expose it to intermediaries"
            )));
        }
        let json = RawJson::from_value(&tool.definition).map_err(|error| fail(&error))?;
        Ok(Self {
            tool,
            json,
            input,
            output,
            headers,
        })
    }

    /// Checks the content of an output, and that it conforms to the output schema
    /// (`server/tools#output-schema`).
    pub(crate) fn validate_output(&self, output: ToolOutput) -> Result<ToolOutput, HandlerError> {
        if let Err(why) = content::check(&output.content) {
            tracing::error!(
                tool = self.tool.name(),
                why,
                "a tool returned malformed content"
            );
            return Err(HandlerError::protocol(ErrorObject::internal()));
        }
        let Some(schema) = self.output.as_ref().filter(|_| !output.is_error) else {
            return Ok(output);
        };
        let conforms = match &output.structured {
            Some(value) => schema
                .check(value)
                .map_err(|violations| violations.to_string()),
            None => Err("no structured content".to_owned()),
        };
        match conforms {
            Ok(()) => Ok(output),
            Err(why) => {
                tracing::error!(tool = self.tool.name(), %why, "the result of a tool does not conform to its output schema");
                Err(HandlerError::protocol(ErrorObject::internal()))
            }
        }
    }
}

/// Returns a property that its schema marks both as secret and as mirrored into a header
/// (`server/tools#x-mcp-header`).
fn mirrored_secret(schema: &JsonObject) -> Option<&str> {
    let properties = schema.get("properties")?.as_object()?;
    properties.iter().find_map(|(name, property)| {
        let property = property.as_object()?;
        let is = |key: &str, value: JsonValue| property.get(key) == Some(&value);
        let secret = is("writeOnly", true.into()) || is("format", "password".into());
        let mirrored = property.contains_key("x-mcp-header");
        if secret && mirrored {
            Some(name.as_str())
        } else {
            mirrored_secret(property)
        }
    })
}

/// Checks that a name is one that every client can handle (`server/tools#tool-names`).
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 128 {
        return Err("a name has 1 to 128 characters");
    }
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    {
        return Err("a name consists of A-Z, a-z, 0-9, '_', '-' and '.'");
    }
    Ok(())
}
