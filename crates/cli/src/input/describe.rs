//! Describes input requests to the user.

use super::form::schema_of;
use crate::args;
use crate::output::{render, text};
use carryall::types::{
    ElicitRequestFormParams, ElicitRequestParams, InputRequest, InputRequests, JsonObject,
    JsonValue,
};

/// Describes what is asked, with the fields of forms.
pub(crate) fn describe(requests: &InputRequests) -> String {
    requests
        .iter()
        .map(|(key, request)| describe_one(key, request))
        .collect::<Vec<_>>()
        .join("\n")
}

fn describe_one(key: &str, request: &InputRequest) -> String {
    let key = text::one_line(key);
    match request {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
            let schema = schema_of(form);
            let rows = form
                .requested_schema
                .properties
                .iter()
                .map(|(name, _)| field_row(&schema, name));
            let lines: Vec<String> = render::plain_table(rows)
                .lines()
                .map(|line| format!("    {line}"))
                .collect();
            format!(
                "  {key}: {}\n{}",
                text::one_line(&form.message),
                lines.join("\n")
            )
        }
        InputRequest::Elicit(ElicitRequestParams::Url(url)) => format!(
            "  {key}: {} {}",
            text::one_line(&url.message),
            text::one_line(&url.url)
        ),
        other => format!("  {key}: {}", other.method()),
    }
}

/// Returns name, type and description of a field.
fn field_row(schema: &JsonObject, name: &str) -> [String; 3] {
    let member = |member: &str| args::property(schema, name).and_then(|field| field.get(member));
    let text_of = |name: &str| member(name).and_then(JsonValue::as_str).map(str::to_owned);
    let names: Vec<String> = text_of("title")
        .into_iter()
        .chain(text_of("description"))
        .collect();
    let mut about = vec![names.join(": ")];
    about.retain(|text| !text.is_empty());
    about.extend(args::allowed_values(schema, name).and_then(|values| values.titles()));
    about.extend(member("default").map(|default| format!("default {default}")));
    if args::required(schema).any(|required| required == name) {
        about.push("required".to_owned());
    }
    [
        name.to_owned(),
        args::describe_type(schema, name),
        about.join("; "),
    ]
}

/// Returns `--answer date=... --answer guests=...` for the required fields of the first form.
pub(super) fn example(requests: &InputRequests) -> Option<String> {
    let form = forms(requests).next()?;
    let schema = schema_of(form);
    let mut names: Vec<&str> = args::required(&schema).collect();
    if names.is_empty() {
        names.extend(
            form.requested_schema
                .properties
                .first()
                .map(|(name, _)| name.as_str()),
        );
    }
    let words: Vec<String> = names
        .iter()
        .map(|name| format!("--answer {}=...", text::one_line(name)))
        .collect();
    Some(words.join(" "))
}

/// Returns the forms among the requests.
pub(super) fn forms(requests: &InputRequests) -> impl Iterator<Item = &ElicitRequestFormParams> {
    requests.iter().filter_map(|(_, request)| match request {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => Some(form),
        _ => None,
    })
}
