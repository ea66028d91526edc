//! Finds `x-mcp-header` annotations in a tool's input schema
//! (`basic/transports/streamable-http#schema-extension`).

use super::names::MCP_PARAM_PREFIX;
use carryall_types::{JsonObject, JsonValue};
use http::HeaderName;
use std::collections::HashSet;
use std::fmt;

const ANNOTATION: &str = "x-mcp-header";
/// Schemas that nest deeper are refused.
const MAX_DEPTH: usize = 128;

/// An annotated property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotated {
    /// `mcp-param-...` in lower case.
    pub(super) header: HeaderName,
    /// The same as the schema's author writes it, for messages.
    pub(super) shown: Box<str>,
    /// The keys that lead to the value in the arguments, never empty.
    pub(super) path: Box<[Box<str>]>,
}

/// Why a tool definition must not be used over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamHeaderProblem {
    /// JSON pointer to the schema with the annotation.
    pub at: String,
    /// Which rule it breaks.
    pub kind: ProblemKind,
}

/// The rules that an annotation can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The annotation is not a string.
    NotAString,
    /// The name is empty.
    Empty,
    /// The name is not a token of RFC 9110.
    NotAToken,
    /// Another annotation has the same name, letter case aside.
    Repeated,
    /// The parameter is not an integer, a string or a boolean.
    NotPrimitive,
    /// The parameter cannot be reached through `properties` alone.
    NotReachable,
    /// The schema nests too deep to be searched.
    TooDeep,
}

impl fmt::Display for ParamHeaderProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at.is_empty() {
            "the schema's root"
        } else {
            &self.at
        };
        match self.kind {
            ProblemKind::NotAString => write!(f, "x-mcp-header at {at} is not a string"),
            ProblemKind::Empty => write!(f, "x-mcp-header at {at} is empty"),
            ProblemKind::NotAToken => write!(f, "x-mcp-header at {at} is not an HTTP token"),
            ProblemKind::Repeated => write!(
                f,
                "x-mcp-header at {at} repeats the name of another parameter"
            ),
            ProblemKind::NotPrimitive => {
                write!(
                    f,
                    "x-mcp-header at {at} is on a parameter that is not an integer, string or boolean"
                )
            }
            ProblemKind::NotReachable => write!(
                f,
                "x-mcp-header at {at} cannot be reached through properties alone"
            ),
            ProblemKind::TooDeep => write!(f, "the schema nests too deep at {at}"),
        }
    }
}

impl std::error::Error for ParamHeaderProblem {}

/// Every annotation of `schema`, in the order of the schema.
pub(super) fn find(schema: &JsonObject) -> Result<Vec<Annotated>, ParamHeaderProblem> {
    let mut search = AnnotationSearch {
        found: Vec::new(),
        names: HashSet::new(),
        pointer: Vec::new(),
    };
    search.schema(schema, Some(&mut Vec::new()))?;
    Ok(search.found)
}

struct AnnotationSearch<'a> {
    found: Vec<Annotated>,
    names: HashSet<HeaderName>,
    /// The path from the root, for messages and for the depth.
    pointer: Vec<PathStep<'a>>,
}

#[derive(Clone, Copy)]
enum PathStep<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> AnnotationSearch<'a> {
    /// `path` is the way to the value in the arguments while it leads through `properties` alone.
    fn schema(
        &mut self,
        schema: &'a JsonObject,
        mut path: Option<&mut Vec<&'a str>>,
    ) -> Result<(), ParamHeaderProblem> {
        if self.pointer.len() > MAX_DEPTH {
            return Err(self.problem(ProblemKind::TooDeep));
        }
        for (keyword, value) in schema {
            match keyword.as_str() {
                ANNOTATION => self.annotation(schema, value, path.as_deref().map(Vec::as_slice))?,
                "properties" => self.properties(value, path.as_deref_mut())?,
                // Maps from arbitrary names to schemas: a member called x-mcp-header is no
                // annotation.
                "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
                | "dependencies" => {
                    self.named(keyword, value)?;
                }
                // Data that may look like anything.
                "default" | "const" | "enum" | "examples" | "example" | "required"
                | "dependentRequired" | "$vocabulary" => {}
                // Schemas, lists of schemas, and keywords nobody here knows, which may hold schemas
                // for a $ref.
                _ => self.anywhere(PathStep::Key(keyword), value)?,
            }
        }
        Ok(())
    }

    fn properties(
        &mut self,
        value: &'a JsonValue,
        mut path: Option<&mut Vec<&'a str>>,
    ) -> Result<(), ParamHeaderProblem> {
        let JsonValue::Object(properties) = value else {
            return Ok(());
        };
        self.pointer.push(PathStep::Key("properties"));
        for (name, schema) in properties {
            let JsonValue::Object(schema) = schema else {
                continue;
            };
            self.pointer.push(PathStep::Key(name));
            match path.as_deref_mut() {
                Some(path) => {
                    path.push(name);
                    self.schema(schema, Some(path))?;
                    path.pop();
                }
                None => self.schema(schema, None)?,
            }
            self.pointer.pop();
        }
        self.pointer.pop();
        Ok(())
    }

    fn named(&mut self, keyword: &'a str, value: &'a JsonValue) -> Result<(), ParamHeaderProblem> {
        let JsonValue::Object(schemas) = value else {
            return Ok(());
        };
        self.pointer.push(PathStep::Key(keyword));
        for (name, schema) in schemas {
            self.anywhere(PathStep::Key(name), schema)?;
        }
        self.pointer.pop();
        Ok(())
    }

    /// Searches a value in which an annotation is not allowed.
    fn anywhere(
        &mut self,
        step: PathStep<'a>,
        value: &'a JsonValue,
    ) -> Result<(), ParamHeaderProblem> {
        self.pointer.push(step);
        match value {
            JsonValue::Object(schema) => self.schema(schema, None)?,
            JsonValue::Array(items) => {
                if self.pointer.len() > MAX_DEPTH {
                    return Err(self.problem(ProblemKind::TooDeep));
                }
                for (index, item) in items.iter().enumerate() {
                    self.anywhere(PathStep::Index(index), item)?;
                }
            }
            _ => {}
        }
        self.pointer.pop();
        Ok(())
    }

    fn annotation(
        &mut self,
        schema: &JsonObject,
        value: &JsonValue,
        path: Option<&[&str]>,
    ) -> Result<(), ParamHeaderProblem> {
        let path = path
            .filter(|path| !path.is_empty())
            .ok_or_else(|| self.problem(ProblemKind::NotReachable))?;
        let name = value
            .as_str()
            .ok_or_else(|| self.problem(ProblemKind::NotAString))?;
        if name.is_empty() {
            return Err(self.problem(ProblemKind::Empty));
        }
        let header = format!("{MCP_PARAM_PREFIX}{name}");
        let header = HeaderName::from_bytes(header.as_bytes())
            .map_err(|_| self.problem(ProblemKind::NotAToken))?;
        if !is_primitive(schema) {
            return Err(self.problem(ProblemKind::NotPrimitive));
        }
        if !self.names.insert(header.clone()) {
            return Err(self.problem(ProblemKind::Repeated));
        }
        let path = path.iter().map(|&key| key.into()).collect();
        self.found.push(Annotated {
            header,
            shown: format!("Mcp-Param-{name}").into(),
            path,
        });
        Ok(())
    }

    fn problem(&self, kind: ProblemKind) -> ParamHeaderProblem {
        let mut at = String::new();
        for step in &self.pointer {
            at.push('/');
            match step {
                PathStep::Key(key) => at.push_str(&key.replace('~', "~0").replace('/', "~1")),
                PathStep::Index(index) => at.push_str(&index.to_string()),
            }
        }
        ParamHeaderProblem { at, kind }
    }
}

/// Whether the schema allows one of the three primitive types, and besides it at most `null`.
fn is_primitive(schema: &JsonObject) -> bool {
    match (schema.get("type"), schema.get("const"), schema.get("enum")) {
        (Some(JsonValue::String(name)), ..) => is_primitive_name(name),
        (Some(JsonValue::Array(names)), ..) => {
            let mut others = names.iter().filter(|name| name.as_str() != Some("null"));
            others
                .next()
                .and_then(JsonValue::as_str)
                .is_some_and(is_primitive_name)
                && others.next().is_none()
        }
        (Some(_), ..) => false,
        // No type is stated, but the values are enumerated.
        (None, Some(value), _) => primitive_type(value).is_some(),
        (None, None, Some(JsonValue::Array(values))) => {
            let mut types = values
                .iter()
                .filter(|value| !value.is_null())
                .map(primitive_type);
            types
                .next()
                .flatten()
                .is_some_and(|first| types.all(|other| other == Some(first)))
        }
        _ => false,
    }
}

fn is_primitive_name(name: &str) -> bool {
    matches!(name, "integer" | "string" | "boolean")
}

fn primitive_type(value: &JsonValue) -> Option<&'static str> {
    match value {
        JsonValue::String(_) => Some("string"),
        JsonValue::Bool(_) => Some("boolean"),
        JsonValue::Number(number) if number.is_i64() => Some("integer"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn search(schema: JsonValue) -> Result<Vec<String>, ProblemKind> {
        find(schema.as_object().unwrap())
            .map(|found| {
                found
                    .iter()
                    .map(|one| format!("{}={}", one.shown, one.path.join("/")))
                    .collect()
            })
            .map_err(|problem| problem.kind)
    }

    fn on(property: JsonValue) -> Result<Vec<String>, ProblemKind> {
        search(json!({"type": "object", "properties": {"p": property}}))
    }

    // spec: tools-12, http-headers-11, http-headers-19
    #[test]
    fn annotations_are_found_through_nested_properties() {
        let found = search(json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "where": {"type": "object", "properties": {"zone": {"type": "integer", "x-mcp-header": "Zone"}}},
            "plain": {"type": "number"},
        }}));
        assert_eq!(
            found.unwrap(),
            ["Mcp-Param-Region=region", "Mcp-Param-Zone=where/zone"]
        );
    }

    // spec: http-headers-13, http-headers-14, http-headers-15
    #[test]
    fn names_are_non_empty_tokens() {
        assert_eq!(
            on(json!({"type": "string", "x-mcp-header": ""})),
            Err(ProblemKind::Empty)
        );
        for name in ["a b", "a\r\nb", "a:b", "ä", "a\u{0}", "a/b", "a\tb", "(a)"] {
            assert_eq!(
                on(json!({"type": "string", "x-mcp-header": name})),
                Err(ProblemKind::NotAToken),
                "{name:?}"
            );
        }
        for name in ["a", "A-b_c", "!#$%&'*+-.^_`|~0"] {
            assert!(
                on(json!({"type": "string", "x-mcp-header": name})).is_ok(),
                "{name:?}"
            );
        }
        for value in [json!(1), json!(null), json!(["a"]), json!({}), json!(true)] {
            assert_eq!(
                on(json!({"type": "string", "x-mcp-header": value})),
                Err(ProblemKind::NotAString)
            );
        }
    }

    // spec: http-headers-16
    #[test]
    fn names_are_unique_whatever_their_case() {
        let twice = |a: &str, b: &str| {
            search(json!({"properties": {
                "a": {"type": "string", "x-mcp-header": a},
                "n": {"type": "object", "properties": {"b": {"type": "string", "x-mcp-header": b}}},
            }}))
        };
        assert_eq!(twice("Region", "rEGION"), Err(ProblemKind::Repeated));
        assert!(twice("Region", "Region2").is_ok());
    }

    // spec: http-headers-17
    #[test]
    fn only_primitive_parameters_are_mirrored() {
        for schema in [
            json!({"type": "integer"}),
            json!({"type": "string"}),
            json!({"type": "boolean"}),
            json!({"type": ["string", "null"]}),
            json!({"type": ["null", "integer"]}),
            json!({"type": ["boolean"]}),
            json!({"enum": ["a", "b"]}),
            json!({"enum": [1, null]}),
            json!({"const": true}),
        ] {
            let mut schema = schema;
            schema["x-mcp-header"] = json!("P");
            assert!(on(schema.clone()).is_ok(), "{schema}");
        }
        for schema in [
            json!({"type": "number"}),
            json!({"type": "object"}),
            json!({"type": "array"}),
            json!({"type": "null"}),
            json!({"type": ["string", "integer"]}),
            json!({"type": ["null"]}),
            json!({"type": ["number", "null"]}),
            json!({"type": []}),
            json!({}),
            json!({"$ref": "#/$defs/p"}),
            json!({"enum": ["a", 1]}),
            json!({"enum": []}),
            json!({"const": 1.5}),
            json!({"type": 7}),
            json!({"enum": [null]}),
        ] {
            let mut schema = schema;
            schema["x-mcp-header"] = json!("P");
            assert_eq!(
                on(schema.clone()),
                Err(ProblemKind::NotPrimitive),
                "{schema}"
            );
        }
    }

    // spec: http-headers-20
    #[test]
    fn an_annotation_anywhere_else_is_refused() {
        let leaf = json!({"type": "string", "x-mcp-header": "X"});
        let inner = json!({"type": "object", "properties": {"x": leaf}});
        for keyword in [
            "items",
            "additionalProperties",
            "not",
            "if",
            "then",
            "else",
            "contains",
            "propertyNames",
            "unevaluatedItems",
            "unevaluatedProperties",
            "additionalItems",
            "contentSchema",
            "x-vendor",
        ] {
            for schema in [&leaf, &inner] {
                let mut root = json!({"type": "object", "properties": {}});
                root[keyword] = schema.clone();
                assert_eq!(search(root), Err(ProblemKind::NotReachable), "{keyword}");
                assert_eq!(
                    on(json!({keyword: schema})),
                    Err(ProblemKind::NotReachable),
                    "{keyword} in a property"
                );
            }
        }
        for keyword in ["oneOf", "anyOf", "allOf", "prefixItems", "items"] {
            assert_eq!(
                search(json!({keyword: [{}, inner]})),
                Err(ProblemKind::NotReachable),
                "{keyword}"
            );
        }
        for keyword in [
            "$defs",
            "definitions",
            "patternProperties",
            "dependentSchemas",
            "dependencies",
        ] {
            assert_eq!(
                search(json!({keyword: {"d": leaf}})),
                Err(ProblemKind::NotReachable),
                "{keyword}"
            );
        }
        assert_eq!(
            search(json!({"type": "string", "x-mcp-header": "X"})),
            Err(ProblemKind::NotReachable),
            "root"
        );
    }

    #[test]
    fn a_property_of_that_name_and_data_that_looks_like_it_are_no_annotations() {
        let look_alike = json!({"type": "string", "x-mcp-header": "a b"});
        assert_eq!(
            search(json!({
                "properties": {"x-mcp-header": {"type": "number"}, "d": {"default": look_alike, "const": look_alike, "enum": [look_alike]}},
                "$defs": {"x-mcp-header": {"type": "array"}},
                "dependentRequired": {"x-mcp-header": ["d"]},
                "examples": [look_alike],
                "default": look_alike,
            })),
            Ok(vec![])
        );
        // A property of that name can itself be annotated.
        assert_eq!(
            search(
                json!({"properties": {"x-mcp-header": {"type": "string", "x-mcp-header": "Odd"}}})
            )
            .unwrap(),
            ["Mcp-Param-Odd=x-mcp-header"]
        );
    }

    #[test]
    fn the_problem_says_where() {
        let schema =
            json!({"properties": {"a/b": {"items": {"type": "string", "x-mcp-header": "X"}}}});
        let problem = find(schema.as_object().unwrap()).unwrap_err();
        assert_eq!(problem.at, "/properties/a~1b/items");
        assert!(problem.to_string().contains(&problem.at));
    }

    #[test]
    fn depth_is_bounded() {
        let mut schema = json!({"type": "string", "x-mcp-header": "X"});
        for _ in 0..200 {
            schema = json!({"properties": {"p": schema}});
        }
        assert_eq!(search(schema), Err(ProblemKind::TooDeep));
        let mut nested = json!({});
        for _ in 0..200 {
            nested = json!([nested]);
        }
        assert_eq!(search(json!({"anyOf": nested})), Err(ProblemKind::TooDeep));
    }
}
