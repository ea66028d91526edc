//! Fills in a form from `--answer` options.

use super::Unanswered;
use super::options::AnswerOptions;
use crate::args;
use crate::error::CliError;
use crate::output::text;
use carryall::types::{ElicitRequestFormParams, ElicitResult, JsonObject, JsonValue};

/// Fills in a form with the answers that name its fields. If any does, defaults fill the other
/// required fields.
pub(super) fn fill_in(
    key: &str,
    form: &ElicitRequestFormParams,
    answers: &AnswerOptions,
) -> Result<ElicitResult, Unanswered> {
    let schema = schema_of(form);
    let mut words = Vec::new();
    for word in answers.answers() {
        if let Some(pair) = pair_for(key, &schema, word) {
            answers.mark_used(word);
            words.push(pair);
        }
    }
    if words.is_empty() {
        return Err(Unanswered::Missing(None));
    }
    let mut content = args::for_schema(&words, &schema).map_err(Unanswered::Invalid)?;
    for name in args::required(&schema) {
        if content.contains_key(name) {
            continue;
        }
        match args::property(&schema, name).and_then(|field| field.get("default")) {
            Some(default) => drop(content.insert(name.to_owned(), default.clone())),
            None => return Err(Unanswered::Missing(Some(format!("--answer {name}=...")))),
        }
    }
    let invalid = |why: String| {
        Unanswered::Invalid(CliError::usage(format!(
            "the answer to {key:?} does not fit the form: {why}"
        )))
    };
    if let Some(wrong) = args::disallowed_value(&content, &schema) {
        let mut error = CliError::usage(format!(
            "the answer to {key:?} does not fit the form: {}: {}",
            text::one_line(&wrong.argument),
            wrong.problem
        ));
        error.hints.extend(wrong.suggestion);
        return Err(Unanswered::Invalid(error));
    }
    form.requested_schema.check(&content).map_err(invalid)?;
    Ok(ElicitResult::accept(content))
}

/// Returns an answer as `field=value`, if it is for this form.
fn pair_for(key: &str, schema: &JsonObject, word: &str) -> Option<String> {
    let is_field = |word: &str| args::property(schema, field_name(word)).is_some();
    let qualified = word
        .strip_prefix(key)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|rest| is_field(rest));
    qualified
        .or_else(|| Some(word).filter(|word| is_field(word)))
        .map(str::to_owned)
}

/// Returns the name in `field=value` or `field:=json`.
pub(super) fn field_name(word: &str) -> &str {
    let name = word.split('=').next().unwrap_or_default();
    name.strip_suffix(':').unwrap_or(name)
}

/// Returns the schema of a form as JSON.
pub(super) fn schema_of(form: &ElicitRequestFormParams) -> JsonObject {
    match serde_json::to_value(&form.requested_schema) {
        Ok(JsonValue::Object(schema)) => schema,
        _ => JsonObject::new(),
    }
}
