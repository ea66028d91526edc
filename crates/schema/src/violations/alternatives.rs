//! Error messages for a value that matches no branch of an `anyOf` or `oneOf`.

use super::{ErrorContext, at, none_of, shown};
use carryall_types::JsonValue;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::Location;
use jsonschema::types::JsonType;

/// The errors of one branch.
type Branch = Vec<ValidationError<'static>>;

/// The maximum number of reported branches if the most likely one is not clear.
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
            .filter(|branch| expected_types(branch, here).is_none())
            .collect();
        let mut meant = if of_its_type.is_empty() {
            // A `null` branch means "absent", which is unlikely to be intended if there is a value.
            let other_than_null = |branch: &&Branch| !matches!(expected_types(branch, here), Some(types) if types == ["null"]);
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

    /// Formats one sentence about several branches.
    fn in_short(&self, error: &ValidationError<'_>, branches: &[&Branch]) -> String {
        let here = error.instance_path();
        let types: Option<Vec<Vec<&str>>> = branches
            .iter()
            .map(|branch| expected_types(branch, here))
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

/// Returns the types that a branch expects, if the value has another type.
fn expected_types(branch: &Branch, here: &Location) -> Option<Vec<&'static str>> {
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

/// Returns the values allowed `here`, if all branches list them.
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

/// Returns the values that a branch allows `here`, if it lists them: directly, or in nested
/// branches.
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

/// Returns the error of a branch about its tag, a member with a fixed set of values.
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

/// Returns the error about the tag and the allowed tags, if the tag matches none of the branches.
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

/// Keeps the branches whose tag matches, if there are any.
fn keep_tagged(branches: &mut Vec<&Branch>, here: &Location) {
    if branches.iter().any(|branch| tag(branch, here).is_none()) {
        branches.retain(|branch| tag(branch, here).is_none());
    }
}

/// Keeps the branches with the fewest errors: first about the value itself, then about its
/// contents.
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
