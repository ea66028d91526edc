//! `Mcp-Param-*`: mirroring arguments on the client, checking them on the server.

use super::annotation::{self, Annotated, ParamHeaderProblem};
use super::standard::single;
use super::{HeaderMismatch, decode_value, encode_value, integer};
use carryall_types::{JsonObject, JsonValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt;

/// The header map of one tool, compiled from its input schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamHeaders {
    annotated: Box<[Annotated]>,
}

/// An argument that cannot be mirrored in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorError {
    /// The header, as the schema writes it.
    pub header: Box<str>,
    /// What is wrong with the argument.
    pub why: &'static str,
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the argument for {} cannot be mirrored: {}",
            self.header, self.why
        )
    }
}

impl std::error::Error for MirrorError {}

impl ParamHeaders {
    /// Collects the annotations of an input schema.
    ///
    /// # Errors
    /// When one annotation breaks a rule: a client then leaves the tool out, a server refuses to
    /// register it.
    pub fn compile(input_schema: &JsonObject) -> Result<Self, ParamHeaderProblem> {
        annotation::find(input_schema).map(|found| Self {
            annotated: found.into(),
        })
    }

    /// Whether the tool mirrors no argument, as most do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.annotated.is_empty()
    }

    /// The names of the headers, for CORS.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.annotated.iter().map(|one| &one.header)
    }

    /// The headers that mirror `arguments`. Absent and `null` arguments have none.
    ///
    /// # Errors
    /// When an argument is no integer, string or boolean, or an integer beyond the safe range.
    pub fn mirror(
        &self,
        arguments: &JsonObject,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, MirrorError> {
        let mut headers = Vec::with_capacity(self.annotated.len());
        for one in &self.annotated {
            let Some(value) = at(arguments, &one.path) else {
                continue;
            };
            let fail = |why| MirrorError {
                header: one.shown.clone(),
                why,
            };
            let text = Mirrorable::of(value).map_err(fail)?.into_text();
            let header = HeaderValue::from_str(&encode_value(&text))
                .map_err(|_| fail("it has no header form"))?;
            headers.push((one.header.clone(), header));
        }
        Ok(headers)
    }

    /// Compares the headers of a request with its arguments.
    ///
    /// A header without an argument is refused as well. The specification only says that servers do
    /// not expect it, but the comparison exists to keep routers from using a value that the tool
    /// never sees.
    ///
    /// # Errors
    /// When a header is missing, repeated, malformed, without an argument, or differs.
    pub fn check(&self, headers: &HeaderMap, arguments: &JsonObject) -> Result<(), HeaderMismatch> {
        self.annotated
            .iter()
            .try_for_each(|one| check_one(one, headers, arguments))
    }
}

fn check_one(
    one: &Annotated,
    headers: &HeaderMap,
    arguments: &JsonObject,
) -> Result<(), HeaderMismatch> {
    let header = &*one.shown;
    let raw = single(headers, &one.header, header)?;
    let (raw, value) = match (raw, at(arguments, &one.path)) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(HeaderMismatch::missing(header)),
        (Some(_), None) => return Err(HeaderMismatch::unexpected(header)),
        (Some(raw), Some(value)) => (raw, value),
    };
    let says =
        decode_value(raw.as_bytes()).map_err(|why| HeaderMismatch::malformed(header, why))?;
    let body = Mirrorable::of(value).map_err(|why| HeaderMismatch::cannot_mirror(header, why))?;
    let equal = match body {
        Mirrorable::Text(text) => says == text,
        Mirrorable::Integer(number) => integer::of_text(&says) == Some(number),
        Mirrorable::Boolean(truth) => says == if truth { "true" } else { "false" },
    };
    if equal {
        Ok(())
    } else {
        Err(HeaderMismatch::differs(header, &says, &body.into_text()))
    }
}

/// The value at the exact path, if it is there and not `null`.
fn at<'a>(arguments: &'a JsonObject, path: &[Box<str>]) -> Option<&'a JsonValue> {
    let (last, parents) = path.split_last()?;
    let holder = parents
        .iter()
        .try_fold(arguments, |object, key| object.get(&**key)?.as_object())?;
    holder.get(&**last).filter(|value| !value.is_null())
}

/// A value that can be mirrored.
enum Mirrorable<'a> {
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
}

impl<'a> Mirrorable<'a> {
    fn of(value: &'a JsonValue) -> Result<Self, &'static str> {
        match value {
            JsonValue::String(text) => Ok(Self::Text(text)),
            JsonValue::Bool(truth) => Ok(Self::Boolean(*truth)),
            JsonValue::Number(number) => integer::of_number(number)
                .map(Self::Integer)
                .ok_or("the number is not an integer within the safe range"),
            _ => Err("the value is not an integer, string or boolean"),
        }
    }

    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn tool() -> ParamHeaders {
        let schema = json!({"type": "object", "properties": {
            "s": {"type": "string", "x-mcp-header": "S"},
            "n": {"type": "object", "properties": {"i": {"type": "integer", "x-mcp-header": "I"}}},
            "b": {"type": ["boolean", "null"], "x-mcp-header": "B"},
        }});
        ParamHeaders::compile(schema.as_object().unwrap()).unwrap()
    }

    fn object(value: JsonValue) -> JsonObject {
        value.as_object().unwrap().clone()
    }

    fn map(pairs: Vec<(HeaderName, HeaderValue)>) -> HeaderMap {
        pairs.into_iter().collect()
    }

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        map(pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect())
    }

    fn mirrored(arguments: JsonValue) -> Vec<(String, String)> {
        let pairs = tool().mirror(&object(arguments)).unwrap();
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    // spec: http-headers-12, http-headers-25, http-headers-37
    #[test]
    fn each_type_has_its_text() {
        assert_eq!(
            mirrored(json!({"s": "us-west1", "n": {"i": -7}, "b": true})),
            [
                pair("mcp-param-s", "us-west1"),
                pair("mcp-param-i", "-7"),
                pair("mcp-param-b", "true")
            ]
        );
        assert_eq!(
            mirrored(json!({"n": {"i": 42.0}, "b": false})),
            [pair("mcp-param-i", "42"), pair("mcp-param-b", "false")]
        );
        assert_eq!(
            mirrored(json!({"s": "世"})),
            [pair("mcp-param-s", "=?base64?5LiW?=")]
        );
    }

    // spec: http-headers-21, http-headers-37
    #[test]
    fn absent_and_null_arguments_have_no_header() {
        assert!(mirrored(json!({})).is_empty());
        assert!(mirrored(json!({"s": null, "n": {"i": null}, "b": null})).is_empty());
        assert!(mirrored(json!({"n": "not an object", "i": 1})).is_empty());
        assert_eq!(mirrored(json!({"s": ""})), [pair("mcp-param-s", "")]);
    }

    // spec: http-headers-18
    #[test]
    fn integers_beyond_the_safe_range_and_other_shapes_are_errors() {
        for bad in [
            json!({"n": {"i": 9_007_199_254_740_992_i64}}),
            json!({"n": {"i": 1.5}}),
            json!({"s": ["x"]}),
            json!({"s": {}}),
        ] {
            assert!(tool().mirror(&object(bad.clone())).is_err(), "{bad}");
        }
        let huge = object(json!({"n": {"i": 9_007_199_254_740_992_i64}}));
        assert!(
            tool()
                .check(&with(&[("mcp-param-i", "9007199254740992")]), &huge)
                .is_err()
        );
    }

    // spec: http-headers-35, http-headers-39
    #[test]
    fn a_value_without_its_header_is_refused() {
        let error = tool()
            .check(&HeaderMap::new(), &object(json!({"s": "x"})))
            .unwrap_err();
        assert_eq!(error.to_error().code, -32020);
        assert!(error.message().contains("Mcp-Param-S"));
    }

    // spec: http-headers-38
    #[test]
    fn no_value_needs_no_header_and_tolerates_none() {
        for arguments in [json!({}), json!({"s": null, "b": null, "n": null})] {
            let arguments = object(arguments);
            assert_eq!(tool().check(&HeaderMap::new(), &arguments), Ok(()));
            assert!(
                tool()
                    .check(&with(&[("mcp-param-s", "admin")]), &arguments)
                    .is_err()
            );
        }
    }

    // spec: http-headers-29, http-headers-42, http-headers-edge-08
    #[test]
    fn values_are_decoded_then_compared_by_type() {
        let arguments = object(json!({"s": "世", "n": {"i": 42}, "b": true}));
        let check = |s: &str, i: &str, b: &str| {
            tool().check(
                &with(&[("mcp-param-s", s), ("mcp-param-i", i), ("mcp-param-b", b)]),
                &arguments,
            )
        };
        assert_eq!(check("=?base64?5LiW?=", "42", "true"), Ok(()));
        assert_eq!(check(" =?base64?5LiW?= ", " 42.0 ", "true\t"), Ok(()));
        assert_eq!(check("=?base64?5LiW?=", "=?base64?NDI=?=", "true"), Ok(()));
        for (s, i, b) in [
            ("=?base64?5LiX?=", "42", "true"),
            ("x", "42", "true"),
            ("=?base64?5LiW?=", "43", "true"),
            ("=?base64?5LiW?=", "forty-two", "true"),
            ("=?base64?5LiW?=", "42", "TRUE"),
            ("=?base64?5LiW?=", "42", "false"),
            ("=?base64?5LiW=?=", "42", "true"),
            ("=?base64?5LiW?=", "42.5", "true"),
            ("=?base64?5LiW?=", "", "true"),
        ] {
            assert!(check(s, i, b).is_err(), "{s} {i} {b}");
        }
    }

    // spec: http-headers-34
    #[test]
    fn recognised_headers_with_bad_characters_or_twice_are_refused_and_others_ignored() {
        let arguments = object(json!({"s": "x"}));
        let mut headers = with(&[
            ("mcp-param-s", "x"),
            ("mcp-param-unknown", "=?base64?!!!?="),
        ]);
        assert_eq!(tool().check(&headers, &arguments), Ok(()));
        headers.append("mcp-param-s", HeaderValue::from_static("x"));
        assert!(tool().check(&headers, &arguments).is_err());
        headers.insert("mcp-param-s", HeaderValue::from_bytes(b"x\xe9").unwrap());
        assert!(tool().check(&headers, &arguments).is_err());
    }

    proptest! {
        #[test]
        fn what_one_side_mirrors_the_other_accepts(
            s in proptest::option::of("\\PC{0,20}|[ =?base64\\n]{0,14}"),
            i in proptest::option::of(-9_007_199_254_740_991_i64..=9_007_199_254_740_991),
            b in proptest::option::of(any::<bool>()),
        ) {
            let arguments = object(json!({"s": s, "n": {"i": i}, "b": b}));
            let headers = map(tool().mirror(&arguments).unwrap());
            prop_assert_eq!(headers.len(), usize::from(s.is_some()) + usize::from(i.is_some()) + usize::from(b.is_some()));
            prop_assert_eq!(tool().check(&headers, &arguments), Ok(()));
            for name in headers.keys() {
                let mut less = headers.clone();
                less.remove(name);
                prop_assert!(tool().check(&less, &arguments).is_err());
            }
        }

        #[test]
        fn a_changed_string_is_noticed(a in "[a-z\u{e0}-\u{ff}]{0,6}", b in "[a-z\u{e0}-\u{ff}]{0,6}") {
            let headers = map(tool().mirror(&object(json!({"s": a}))).unwrap());
            prop_assert_eq!(tool().check(&headers, &object(json!({"s": b}))).is_ok(), a == b);
        }
    }
}
