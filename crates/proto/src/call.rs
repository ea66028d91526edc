//! One request with everything needed to answer it.

use crate::json::{Scanner, SyntaxError};
use crate::{CallSource, Meta};
use carryall_types::{Method, RawJson, RequestId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// One JSON-RPC request with everything needed to answer it; no earlier request, and nothing of the
/// connection it came on, has a part in it (`basic/index#statelessness`).
///
/// It is one pointer wide, since it moves through many hands; what it holds is [`CallParts`].
///
/// `Debug` shows neither parameters nor headers nor extensions, which hold arguments, credentials
/// and the ids of tasks.
#[derive(Clone)]
pub struct Call(Box<CallParts>);

/// What a [`Call`] holds.
#[derive(Clone)]
pub struct CallParts {
    /// The id under which the answer is expected.
    pub id: RequestId,
    /// What is asked for.
    pub method: Method,
    /// The parameters, `_meta` included, as they stood on the wire.
    pub params: Params,
    /// What `_meta` says: version, client, capabilities, progress token, log level.
    pub meta: Meta,
    /// Who asks, when an authorization layer has found out.
    pub principal: Option<Arc<Principal>>,
    /// Where the call came from, as far as the transport can tell.
    pub source: CallSource,
    /// The HTTP headers of the request, on that binding.
    pub headers: Option<http::HeaderMap>,
    /// Whatever else layers want to hand on.
    pub extensions: http::Extensions,
}

impl Call {
    /// A call without principal, source, headers and extensions.
    #[must_use]
    pub fn new(id: RequestId, method: Method, params: Params, meta: Meta) -> Self {
        let extensions = http::Extensions::new();
        Self(Box::new(CallParts {
            id,
            method,
            params,
            meta,
            principal: None,
            source: CallSource::default(),
            headers: None,
            extensions,
        }))
    }

    /// Takes the call apart.
    #[must_use]
    pub fn into_parts(self) -> CallParts {
        *self.0
    }

    /// The value that `Mcp-Name` mirrors: the tool, prompt, resource or task that the call names.
    /// `None` when the method has none or the parameters leave it out.
    ///
    /// The id of a task is a bearer secret (`tasks#security-considerations`): logs and traces take
    /// [`log_name`](Self::log_name) instead.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.params.get(self.method.name_member()?)?.decode().ok()
    }

    /// [`name`](Self::name) as it may stand in logs, traces and metrics: a short digest in the
    /// place of a task id (see [`task::log_id`](crate::task::log_id)). It is still foreign text:
    /// log it with [`Printable`](crate::Printable).
    #[must_use]
    pub fn log_name(&self) -> Option<String> {
        let name = self.name()?;
        Some(if self.method.name_member() == Some("taskId") {
            crate::task::log_id(&name)
        } else {
            name
        })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Call");
        shown
            .field("id", &self.id)
            .field("method", &self.method)
            .field("name", &self.log_name());
        shown.field("source", &self.source).finish_non_exhaustive()
    }
}

impl fmt::Debug for CallParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CallParts");
        shown
            .field("id", &self.id)
            .field("method", &self.method)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl From<CallParts> for Call {
    fn from(parts: CallParts) -> Self {
        Self(Box::new(parts))
    }
}

impl Deref for Call {
    type Target = CallParts;

    fn deref(&self) -> &CallParts {
        &self.0
    }
}

impl DerefMut for Call {
    fn deref_mut(&mut self) -> &mut CallParts {
        &mut self.0
    }
}

/// The authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Who vouches for the caller.
    pub issuer: String,
    /// The caller, unique within the issuer.
    pub subject: String,
    /// The OAuth client that acts for the caller.
    pub client: Option<String>,
    /// What the caller may do, as granted.
    pub scopes: Vec<String>,
}

impl Principal {
    /// The principal that an authorization layer has put into the extensions of an HTTP request, as
    /// `Principal` or as `Arc<Principal>`. If both are there, the `Arc` counts.
    #[must_use]
    pub fn from_extensions(extensions: &http::Extensions) -> Option<Arc<Self>> {
        let shared = extensions.get::<Arc<Self>>().cloned();
        shared.or_else(|| extensions.get::<Self>().cloned().map(Arc::new))
    }
}

/// Up to so many members are compared each with each.
const FEW_MEMBERS: usize = 16;

/// The `params` object: its text, and where each of its members stands in it.
#[derive(Clone)]
pub struct Params {
    raw: RawJson,
    members: Vec<ParamMember>,
}

/// Where one member of `params` stands.
#[derive(Clone, Debug)]
pub(crate) struct ParamMember {
    key: Range<usize>,
    value: Range<usize>,
}

impl ParamMember {
    /// A member whose name and value stand at these places.
    pub(crate) fn at(key: Range<usize>, value: Range<usize>) -> Self {
        Self { key, value }
    }

    /// Whether this is the member `name` of `text`.
    pub(crate) fn is_named(&self, text: &[u8], name: &str) -> bool {
        text[self.key.clone()] == *name.as_bytes()
    }

    /// The value, in the text that the member stands in.
    pub(crate) fn value_in<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.value.clone()]
    }

    /// Where the member ends.
    pub(crate) fn end(&self) -> usize {
        self.value.end
    }

    /// Counts from `start` instead of the beginning of the message.
    pub(crate) fn make_relative_to(&mut self, start: usize) {
        for range in [&mut self.key, &mut self.value] {
            *range = range.start - start..range.end - start;
        }
    }
}

/// Why text cannot be `params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamsError {
    /// It is not a JSON object.
    Syntax(SyntaxError),
    /// Two members have the same name, so that two readers could take different ones.
    Duplicate(String),
}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(f),
            Self::Duplicate(name) => write!(f, "member {name:?} occurs twice"),
        }
    }
}

impl std::error::Error for ParamsError {}

impl Params {
    /// Reads the members of a JSON object.
    ///
    /// # Errors
    /// When `raw` is not an object or names a member twice.
    pub fn parse(raw: RawJson) -> Result<Self, ParamsError> {
        let text = raw.as_str();
        let mut scanner = Scanner::new(text);
        let members =
            scan_members(&mut scanner).and_then(|members| scanner.end().map(|()| members));
        Self::from_members(raw, members.map_err(ParamsError::Syntax)?)
    }

    /// Joins text with the members that a scan of it has found.
    pub(crate) fn from_members(
        raw: RawJson,
        members: Vec<ParamMember>,
    ) -> Result<Self, ParamsError> {
        let text = raw.as_str();
        if members
            .iter()
            .any(|member| text[member.key.clone()].contains('\\'))
        {
            return Self::without_escapes(&raw, members.len());
        }
        match name_given_twice(text, &members) {
            Some(name) => Err(ParamsError::Duplicate(name.to_owned())),
            None => Ok(Self { raw, members }),
        }
    }

    /// Joins text with the members that its writer has put there.
    pub(crate) fn from_written(raw: RawJson, members: Vec<ParamMember>) -> Self {
        Self { raw, members }
    }

    /// Keys may be written with escapes. Such text is written anew, so that names can be compared
    /// as they stand.
    fn without_escapes(raw: &RawJson, count: usize) -> Result<Self, ParamsError> {
        let object: carryall_types::JsonObject = raw.decode().map_err(|_| {
            ParamsError::Syntax(SyntaxError {
                at: 0,
                expected: "an object",
            })
        })?;
        if object.len() != count {
            return Err(ParamsError::Duplicate("(written with escapes)".into()));
        }
        let needs_escapes = object
            .keys()
            .any(|key| key.contains(|c: char| c < ' ' || c == '"' || c == '\\'));
        if needs_escapes {
            return Err(ParamsError::Syntax(SyntaxError {
                at: 0,
                expected: "member names without quotes and controls",
            }));
        }
        Self::parse(RawJson::from(&carryall_types::JsonValue::Object(object)))
    }

    /// The whole object.
    #[must_use]
    pub fn raw(&self) -> &RawJson {
        &self.raw
    }

    /// The text of one member.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        let text = self.raw.as_str();
        let member = self
            .members
            .iter()
            .find(|member| text[member.key.clone()] == *name)?;
        Some(&text[member.value.clone()])
    }

    /// The value of a member that is a string; `None` when it is missing or something else. No copy
    /// unless it is written with escapes.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<Cow<'_, str>> {
        crate::decode::string_value(self.get_str(name)?)
    }

    /// One member, sharing the buffer of the whole.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<RawJson> {
        let text = self.raw.as_str();
        let member = self
            .members
            .iter()
            .find(|member| text[member.key.clone()] == *name)?;
        Some(self.raw.slice(member.value.clone()))
    }

    /// The same object with `name` set to `value`, in place where it stood, else at the end.
    #[must_use]
    pub fn with(&self, name: &str, value: &RawJson) -> Self {
        let text = self.raw.as_str();
        let mut out = Vec::with_capacity(text.len() + value.as_bytes().len() + name.len() + 4);
        out.push(b'{');
        let mut replaced = false;
        let mut put = |key: &str, value: &[u8]| {
            if out.len() > 1 {
                out.push(b',');
            }
            crate::json::write_str(&mut out, key);
            out.push(b':');
            out.extend_from_slice(value);
        };
        for member in &self.members {
            let key = &text[member.key.clone()];
            if key == name {
                replaced = true;
                put(key, value.as_bytes());
            } else {
                put(key, &text.as_bytes()[member.value.clone()]);
            }
        }
        if !replaced {
            put(name, value.as_bytes());
        }
        out.push(b'}');
        let raw = RawJson::from_trusted(out.into());
        let members = scan_members(&mut Scanner::new(raw.as_str())).unwrap_or_default();
        Self { raw, members }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// Two members with one name. A handful is compared each with each; a stranger may send hundreds of
/// thousands, which must not take the square of that.
fn name_given_twice<'a>(text: &'a str, members: &[ParamMember]) -> Option<&'a str> {
    let name = |member: &ParamMember| &text[member.key.clone()];
    if members.len() <= FEW_MEMBERS {
        let twice = |at: &usize| {
            members[..*at]
                .iter()
                .any(|earlier| name(earlier) == name(&members[*at]))
        };
        return (1..members.len()).find(twice).map(|at| name(&members[at]));
    }
    let mut names: Vec<&str> = members.iter().map(name).collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

/// Reads the members of the object that comes next.
pub(crate) fn scan_members(scanner: &mut Scanner<'_>) -> Result<Vec<ParamMember>, SyntaxError> {
    scan_members_with(scanner, |_, scanner| scanner.skip_value())
}

/// As [`scan_members`]; `value` skips each value, and may look into those it knows by their names.
pub(crate) fn scan_members_with<'a>(
    scanner: &mut Scanner<'a>,
    mut value: impl FnMut(Range<usize>, &mut Scanner<'a>) -> Result<Range<usize>, SyntaxError>,
) -> Result<Vec<ParamMember>, SyntaxError> {
    let mut object = scanner.object()?;
    let mut members = Vec::with_capacity(4);
    while let Some(key) = object.next_key(scanner)? {
        let value = value(key.clone(), scanner)?;
        members.push(ParamMember { key, value });
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &'static str) -> Result<Params, ParamsError> {
        Params::parse(RawJson::from_trusted(text.into()))
    }

    #[test]
    fn members_are_found_by_name() {
        let params = params(r#"{"name": "a", "arguments" : {"x":[1]}}"#).unwrap();
        assert_eq!(params.get_str("name"), Some("\"a\""));
        assert_eq!(params.get("arguments").unwrap().as_str(), r#"{"x":[1]}"#);
        assert!(params.get("x").is_none());
    }

    #[test]
    fn a_member_written_with_escapes_is_the_same_member() {
        assert_eq!(
            params(r#"{"n\u0061me":"a"}"#).unwrap().get_str("name"),
            Some("\"a\"")
        );
    }

    #[test]
    fn a_member_given_twice_is_refused() {
        assert_eq!(
            params(r#"{"name":"a","name":"b"}"#).unwrap_err(),
            ParamsError::Duplicate("name".into())
        );
        assert!(matches!(
            params(r#"{"name":"a","n\u0061me":"b"}"#).unwrap_err(),
            ParamsError::Duplicate(_)
        ));
    }

    #[test]
    fn a_name_given_twice_is_found_among_many_members_and_soon() {
        let start = std::time::Instant::now();
        let many: String = (0..200_000).map(|n| format!("\"m{n}\":0,")).collect();
        let parse =
            |last: &str| Params::parse(RawJson::parse(format!("{{{many}\"{last}\":0}}")).unwrap());
        assert!(parse("other").unwrap().get_str("m199999").is_some());
        assert_eq!(
            parse("m7").unwrap_err(),
            ParamsError::Duplicate("m7".into())
        );
        // Comparing each with each takes minutes.
        assert!(
            start.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    fn a_principal_is_found_owned_or_shared() {
        let principal = |subject: &str| Principal {
            issuer: "i".into(),
            subject: subject.into(),
            client: None,
            scopes: Vec::new(),
        };
        let mut extensions = http::Extensions::new();
        assert_eq!(Principal::from_extensions(&extensions), None);
        extensions.insert(principal("owned"));
        assert_eq!(
            Principal::from_extensions(&extensions).unwrap().subject,
            "owned"
        );
        extensions.insert(Arc::new(principal("shared")));
        assert_eq!(
            Principal::from_extensions(&extensions).unwrap().subject,
            "shared"
        );
    }

    #[test]
    fn neither_the_log_name_nor_debug_shows_a_task_id_or_arguments() {
        let meta = crate::Meta::new(
            carryall_types::ProtocolVersion::LATEST,
            Default::default(),
            None,
            None,
            None,
            &Default::default(),
        );
        let call = |method: &str, text| {
            Call::new(
                1.into(),
                Method::from(method),
                params(text).unwrap(),
                meta.clone(),
            )
        };
        let get = call("tasks/get", r#"{"taskId":"c0ffee00c0ffee00"}"#);
        assert_eq!(get.name().as_deref(), Some("c0ffee00c0ffee00"));
        let shown = get.log_name().unwrap();
        assert!(
            shown.starts_with("task-") && !shown.contains("c0ffee"),
            "{shown}"
        );
        assert_eq!(
            shown,
            crate::task::log_id("c0ffee00c0ffee00"),
            "the same task has the same name in all lines"
        );
        assert_ne!(shown, crate::task::log_id("c0ffee00c0ffee01"));
        let tool = call(
            "tools/call",
            r#"{"name":"login","arguments":{"password":"hunter2"}}"#,
        );
        assert_eq!(tool.log_name().as_deref(), Some("login"));
        for text in [
            format!("{get:?}"),
            format!("{tool:?}"),
            format!("{:?}", get.clone().into_parts()),
        ] {
            assert!(
                !text.contains("c0ffee") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }

    #[test]
    fn replacing_a_member_keeps_the_others() {
        let params = params(r#"{"name":"a","_meta":{}}"#).unwrap();
        let renamed = params.with("name", &RawJson::from_trusted("\"b\"".into()));
        assert_eq!(renamed.raw().as_str(), r#"{"name":"b","_meta":{}}"#);
        assert_eq!(
            renamed.with("cursor", &RawJson::NULL).raw().as_str(),
            r#"{"name":"b","_meta":{},"cursor":null}"#
        );
        assert_eq!(renamed.get_str("_meta"), Some("{}"));
    }
}
