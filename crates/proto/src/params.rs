//! The `params` object of a request.

mod writer;

pub use writer::ParamsWriter;

use crate::json::{Scanner, SyntaxError, decode_string};
use carryall_types::{JsonObject, JsonValue, RawJson};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Up to this many members, duplicates are found by comparing all pairs.
const MAX_PAIRWISE: usize = 16;

/// A `params` object: its text, and where each member is in it.
///
/// Member names contain no escapes: text with escaped names is rewritten when it is parsed.
#[derive(Clone)]
pub struct Params {
    raw: RawJson,
    members: Vec<ParamMember>,
}

/// Where one member is in the text of its object.
#[derive(Clone, Debug)]
pub(crate) struct ParamMember {
    /// The name, without quotes.
    name: Range<usize>,
    value: Range<usize>,
}

impl ParamMember {
    pub(crate) fn new(name: Range<usize>, value: Range<usize>) -> Self {
        Self { name, value }
    }

    /// Makes offsets into a message relative to the object that starts at `start`.
    pub(crate) fn make_relative_to(&mut self, start: usize) {
        for range in [&mut self.name, &mut self.value] {
            *range = range.start - start..range.end - start;
        }
    }
}

/// Why text is not valid `params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamsError {
    /// It is not a JSON object.
    Syntax(SyntaxError),
    /// Two members have the same name, so that two readers could use different ones.
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
    /// Parses a JSON object.
    ///
    /// # Errors
    /// When `raw` is not an object or has two members of the same name.
    pub fn parse(raw: RawJson) -> Result<Self, ParamsError> {
        let mut scanner = Scanner::new(raw.as_str());
        let members =
            scan_members(&mut scanner).and_then(|members| scanner.end().map(|()| members));
        Self::from_members(raw, members.map_err(ParamsError::Syntax)?)
    }

    /// Returns an object without members.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            raw: RawJson::EMPTY_OBJECT,
            members: Vec::new(),
        }
    }

    /// Joins text with the members that a scan found in it.
    pub(crate) fn from_members(
        raw: RawJson,
        members: Vec<ParamMember>,
    ) -> Result<Self, ParamsError> {
        let text = raw.as_str();
        if members
            .iter()
            .any(|member| text[member.name.clone()].contains('\\'))
        {
            return Self::without_escaped_names(&raw, members.len());
        }
        match duplicate_name(text, &members) {
            Some(name) => Err(ParamsError::Duplicate(name.to_owned())),
            None => Ok(Self { raw, members }),
        }
    }

    /// Rewrites an object whose member names contain escapes, so that names can be compared as
    /// text.
    fn without_escaped_names(raw: &RawJson, count: usize) -> Result<Self, ParamsError> {
        let invalid = |expected| ParamsError::Syntax(SyntaxError { at: 0, expected });
        let object: JsonObject = raw.decode().map_err(|_| invalid("an object"))?;
        if object.len() != count {
            return Err(ParamsError::Duplicate("(written with escapes)".into()));
        }
        if object.keys().any(|name| !is_plain_name(name)) {
            return Err(invalid("member names without quotes and controls"));
        }
        Self::parse(RawJson::from(&JsonValue::Object(object)))
    }

    /// Returns the text of the whole object.
    #[must_use]
    pub fn raw(&self) -> &RawJson {
        &self.raw
    }

    /// Returns the text of a member's value.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        Some(&self.raw.as_str()[self.range_of(name)?])
    }

    /// Returns the value of a member that is a string, `None` if it is missing or not a string.
    /// Copies only if the string contains escapes.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<Cow<'_, str>> {
        decode_string(self.get_str(name)?)
    }

    /// Returns a member's value, sharing the buffer.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<RawJson> {
        Some(self.raw.slice(self.range_of(name)?))
    }

    /// Iterates over the members in order: name and text of the value.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = self.raw.as_str();
        self.members
            .iter()
            .map(move |member| (&text[member.name.clone()], &text[member.value.clone()]))
    }

    /// Where the value of a member is in the text.
    pub(crate) fn range_of(&self, name: &str) -> Option<Range<usize>> {
        let text = self.raw.as_str();
        self.members
            .iter()
            .find(|member| text[member.name.clone()] == *name)
            .map(|member| member.value.clone())
    }

    /// Returns the same object with `name` set to `value`, in place if the member exists, otherwise
    /// at the end.
    ///
    /// # Panics
    /// In debug builds, when `name` needs escapes.
    #[must_use]
    pub fn with(&self, name: &str, value: &RawJson) -> Self {
        let text = self.raw.as_str();
        let capacity = text.len() + value.as_bytes().len() + name.len() + 4;
        let mut writer = ParamsWriter::with_capacity(capacity, self.members.len() + 1);
        let mut replaced = false;
        for member in &self.members {
            let key = &text[member.name.clone()];
            if key == name {
                replaced = true;
                writer.append(key, value.as_bytes());
            } else {
                writer.append(key, &text.as_bytes()[member.value.clone()]);
            }
        }
        if !replaced {
            writer.append(name, value.as_bytes());
        }
        writer.finish()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// Whether a name can be written between quotes as it is.
fn is_plain_name(name: &str) -> bool {
    !name.contains(|c: char| c < ' ' || c == '"' || c == '\\')
}

/// Returns a name that two members have. Many members are sorted, so that hundreds of thousands
/// of them do not cost quadratic time.
fn duplicate_name<'a>(text: &'a str, members: &[ParamMember]) -> Option<&'a str> {
    let name = |member: &ParamMember| &text[member.name.clone()];
    if members.len() <= MAX_PAIRWISE {
        let is_duplicate = |at: &usize| {
            members[..*at]
                .iter()
                .any(|earlier| name(earlier) == name(&members[*at]))
        };
        return (1..members.len())
            .find(is_duplicate)
            .map(|at| name(&members[at]));
    }
    let mut names: Vec<&str> = members.iter().map(name).collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

/// Scans the members of the next object.
pub(crate) fn scan_members(scanner: &mut Scanner<'_>) -> Result<Vec<ParamMember>, SyntaxError> {
    scan_members_with(scanner, |_, scanner| scanner.skip_value())
}

/// Scans the members of the next object; `scan_value` gets a member's name, skips its value and
/// returns the value's range.
pub(crate) fn scan_members_with<'a>(
    scanner: &mut Scanner<'a>,
    mut scan_value: impl FnMut(Range<usize>, &mut Scanner<'a>) -> Result<Range<usize>, SyntaxError>,
) -> Result<Vec<ParamMember>, SyntaxError> {
    let mut object = scanner.object()?;
    let mut members = Vec::with_capacity(4);
    while let Some(name) = object.next_key(scanner)? {
        let value = scan_value(name.clone(), scanner)?;
        members.push(ParamMember { name, value });
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
        let members: Vec<_> = params.members().collect();
        assert_eq!(members, [("name", "\"a\""), ("arguments", r#"{"x":[1]}"#)]);
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        assert_eq!(
            params(r#"{"n\u0061me":"a"}"#).unwrap().get_str("name"),
            Some("\"a\"")
        );
    }

    #[test]
    fn duplicate_members_are_refused() {
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
    fn duplicates_among_many_members_are_found_in_subquadratic_time() {
        let start = std::time::Instant::now();
        let many: String = (0..200_000).map(|n| format!("\"m{n}\":0,")).collect();
        let parse =
            |last: &str| Params::parse(RawJson::parse(format!("{{{many}\"{last}\":0}}")).unwrap());
        assert!(parse("other").unwrap().get_str("m199999").is_some());
        assert_eq!(
            parse("m7").unwrap_err(),
            ParamsError::Duplicate("m7".into())
        );
        // Comparing all pairs takes minutes.
        assert!(
            start.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
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
        assert_eq!(
            Params::empty().with("a", &RawJson::NULL).raw().as_str(),
            r#"{"a":null}"#
        );
    }
}
