//! What is wrong with a value that matches no branch of an `anyOf` or `oneOf`.

use super::{ErrorContext, at, none_of, shown};
use carryall_types::JsonValue;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::Location;
use jsonschema::types::JsonType;

/// What one branch has against the value.
type Branch = Vec<ValidationError<'static>>;

/// How many branches are told when it cannot be known which one was meant.
const MAX_BRANCHES: usize = 3;

impl ErrorContext<'_> {
    pub(super) fn explain_alternatives(
        &self,
        error: &ValidationError<'_>,
        branches: &[Branch],
        messages: &mut Vec<String>,
    ) {
        let here = error.instance_path();
        let of_its_type: Vec<&Branch> = branches
            .iter()
            .filter(|branch| wanted_type(branch, here).is_none())
            .collect();
        let mut meant = if of_its_type.is_empty() {
            // `null` stands for "left out", which is not what somebody wants who gives a value.
            let other_than_null = |branch: &&Branch| !matches!(wanted_type(branch, here), Some(wanted) if wanted == ["null"]);
            branches.iter().filter(other_than_null).collect()
        } else {
            of_its_type
        };
        if let Some(allowed) = allowed_values(&meant, here) {
            messages.push(at(error, &none_of(error, &allowed)));
            return;
        }
        if let Some((place, allowed)) = expected_tags(&meant, here) {
            messages.push(at(place, &none_of(place, &allowed)));
            return;
        }
        keep_tagged(&mut meant, here);
        keep_nearest(&mut meant, here);
        match meant.as_slice() {
            [] => messages.push(super::message(error)),
            [only] => only.iter().for_each(|error| self.explain(error, messages)),
            several => messages.push(at(error, &self.in_short(error, several))),
        }
    }

    /// One sentence about several branches.
    fn in_short(&self, error: &ValidationError<'_>, branches: &[&Branch]) -> String {
        let here = error.instance_path();
        let types: Option<Vec<Vec<&str>>> = branches
            .iter()
            .map(|branch| wanted_type(branch, here))
            .collect();
        if let Some(types) = types {
            let mut types: Vec<String> = types
                .concat()
                .into_iter()
                .map(|name| format!("\"{name}\""))
                .collect();
            types.dedup();
            return format!(
                "{} is not of type {}",
                shown(error.instance()),
                types.join(" or ")
            );
        }
        let reasons = branches.iter().take(MAX_BRANCHES).filter_map(|branch| {
            let mut reasons = Vec::new();
            self.explain(branch.first()?, &mut reasons);
            reasons.into_iter().next()
        });
        let reasons: Vec<String> = reasons.collect();
        format!(
            "matches none of {} alternatives: {}",
            branches.len(),
            reasons.join(", or ")
        )
    }
}

/// The types that a branch wants, if the value's own type is what it has against it.
fn wanted_type(branch: &Branch, here: &Location) -> Option<Vec<&'static str>> {
    branch
        .iter()
        .filter(|error| error.instance_path() == here)
        .find_map(|error| match error.kind() {
            ValidationErrorKind::Type {
                kind: TypeKind::Single(kind),
            } => Some(vec![name_of(*kind)]),
            ValidationErrorKind::Type {
                kind: TypeKind::Multiple(kinds),
            } => Some(kinds.iter().map(name_of).collect()),
            _ => None,
        })
}

fn name_of(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "array",
        JsonType::Boolean => "boolean",
        JsonType::Integer => "integer",
        JsonType::Null => "null",
        JsonType::Number => "number",
        JsonType::Object => "object",
        JsonType::String => "string",
    }
}

/// All that may stand `here`, if each branch lists what it allows.
fn allowed_values<'b>(branches: &[&'b Branch], here: &Location) -> Option<Vec<&'b JsonValue>> {
    let mut all: Vec<&JsonValue> = Vec::new();
    for branch in branches {
        for value in literals_at(branch, here)? {
            if !all.contains(&value) {
                all.push(value);
            }
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The values that a branch allows `here`, if it lists them: directly, or in branches of its own.
fn literals_at<'b>(branch: &'b Branch, here: &Location) -> Option<Vec<&'b JsonValue>> {
    branch
        .iter()
        .filter(|error| error.instance_path() == here)
        .find_map(|error| match error.kind() {
            ValidationErrorKind::Enum { options } => Some(options.as_array()?.iter().collect()),
            ValidationErrorKind::Constant { expected_value } => Some(vec![&**expected_value]),
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context } => {
                allowed_values(&context.iter().collect::<Vec<_>>(), here)
            }
            _ => None,
        })
}

/// What a branch has against a member that has to have certain values: its tag.
fn tag<'b>(branch: &'b Branch, here: &Location) -> Option<&'b ValidationError<'static>> {
    branch.iter().find(|error| {
        let is_literal = matches!(
            error.kind(),
            ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. }
        );
        let parent = error
            .instance_path()
            .as_str()
            .rsplit_once('/')
            .map(|(parent, _)| parent);
        is_literal && parent == Some(here.as_str())
    })
}

/// Where the tag is and what it may be, if it fits none of several branches.
fn expected_tags<'b>(
    branches: &[&'b Branch],
    here: &Location,
) -> Option<(&'b ValidationError<'static>, Vec<&'b JsonValue>)> {
    let place = tag(branches.first()?, here)?;
    let same_place = |branch: &&Branch| {
        tag(branch, here).is_some_and(|tag| tag.instance_path() == place.instance_path())
    };
    if branches.len() < 2 || !branches.iter().all(same_place) {
        return None;
    }
    allowed_values(branches, place.instance_path()).map(|allowed| (place, allowed))
}

/// If the tag fits some of the branches, those were meant.
fn keep_tagged(branches: &mut Vec<&Branch>, here: &Location) {
    if branches.iter().any(|branch| tag(branch, here).is_none()) {
        branches.retain(|branch| tag(branch, here).is_none());
    }
}

/// Keeps the branches with the least against the value: first of all against its shape, then
/// against what is in it.
fn keep_nearest(branches: &mut Vec<&Branch>, here: &Location) {
    let distance = |branch: &Branch| {
        let about_shape = branch
            .iter()
            .filter(|error| error.instance_path() == here)
            .count();
        (about_shape, branch.len())
    };
    let least = branches.iter().map(|branch| distance(branch)).min();
    branches.retain(|branch| Some(distance(branch)) == least);
}
