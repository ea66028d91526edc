//! Arguments that take one of a few values: how JSON Schema spells them, and how they are shown.

use super::schema::{MAX_DEPTH, MAX_SCHEMAS, property, resolve};
use crate::output::text;
use crate::suggest;
use carryall::types::{JsonObject, JsonValue};

/// Number of values in a short list; the others become `…`.
const SHORT_LIST: usize = 12;
/// Number of values in an error; the others become `…`.
const LONG_LIST: usize = 50;
/// Longer enumerations are ignored.
const MAX_VALUES: usize = 1_000;
/// Longer values and titles are clipped, in characters.
const MAX_VALUE_LENGTH: usize = 60;

/// The values that an argument, or each item of an array, may have.
#[derive(Debug, PartialEq)]
pub(crate) struct AllowedValues<'a> {
    values: Vec<AllowedValue<'a>>,
    /// Whether these are the values of an array's items.
    pub(crate) of_items: bool,
    /// Whether `null` is allowed as well.
    nullable: bool,
}

#[derive(Debug, PartialEq)]
struct AllowedValue<'a> {
    value: &'a JsonValue,
    title: Option<&'a str>,
}

/// Returns the values that an argument may have; `None` if the schema allows others.
pub(crate) fn allowed_values<'a>(schema: &'a JsonObject, key: &str) -> Option<AllowedValues<'a>> {
    let property = property(schema, key)?;
    let mut collector = ValueCollector::new(schema);
    if collector.collect(property, MAX_DEPTH) && !collector.values.is_empty() {
        return Some(AllowedValues {
            values: collector.values,
            of_items: false,
            nullable: collector.nullable,
        });
    }
    let mut collector = ValueCollector::new(schema);
    let items = collector.array_items(property, MAX_DEPTH)?;
    if !collector.collect(items, MAX_DEPTH) || collector.values.is_empty() {
        return None;
    }
    Some(AllowedValues {
        values: collector.values,
        of_items: true,
        nullable: false,
    })
}

/// Collects the values that a schema enumerates.
struct ValueCollector<'a> {
    root: &'a JsonObject,
    /// Number of subschemas that may still be visited.
    budget: usize,
    nullable: bool,
    values: Vec<AllowedValue<'a>>,
}

impl<'a> ValueCollector<'a> {
    fn new(root: &'a JsonObject) -> Self {
        Self {
            root,
            budget: MAX_SCHEMAS,
            nullable: false,
            values: Vec::new(),
        }
    }

    /// Collects the values of a schema. Returns whether it allows no others.
    fn collect(&mut self, schema: &'a JsonValue, depth: usize) -> bool {
        let (Some(depth), Some(budget)) = (depth.checked_sub(1), self.budget.checked_sub(1)) else {
            return false;
        };
        self.budget = budget;
        if let Some(values) = schema.get("enum").and_then(JsonValue::as_array) {
            let names = schema.get("enumNames").and_then(JsonValue::as_array);
            if values.len() > MAX_VALUES {
                return false;
            }
            for (at, value) in values.iter().enumerate() {
                let title = names
                    .and_then(|names| names.get(at))
                    .and_then(JsonValue::as_str);
                self.add(value, title);
            }
            return true;
        }
        if let Some(value) = schema.get("const") {
            let title = schema.get("title").or_else(|| schema.get("description"));
            self.add(value, title.and_then(JsonValue::as_str));
            return true;
        }
        if schema.get("type").and_then(JsonValue::as_str) == Some("null") {
            self.nullable = true;
            return true;
        }
        if let Some(target) = self.reference(schema) {
            return self.collect(target, depth);
        }
        for branches in ["oneOf", "anyOf"] {
            if let Some(branches) = schema.get(branches).and_then(JsonValue::as_array) {
                return branches.iter().all(|branch| self.collect(branch, depth));
            }
        }
        // Other keywords beside a single `allOf` branch can only narrow its values.
        let all = schema
            .get("allOf")
            .and_then(JsonValue::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        match all {
            [only] => self.collect(only, depth),
            _ => false,
        }
    }

    /// Returns the schema of the items, if the schema allows only arrays and `null`.
    fn array_items(&mut self, schema: &'a JsonValue, depth: usize) -> Option<&'a JsonValue> {
        let depth = depth.checked_sub(1)?;
        self.budget = self.budget.checked_sub(1)?;
        if let Some(items) = schema.get("items") {
            return Some(items);
        }
        if let Some(target) = self.reference(schema) {
            return self.array_items(target, depth);
        }
        let is_null =
            |branch: &&JsonValue| branch.get("type").and_then(JsonValue::as_str) == Some("null");
        let branches = ["anyOf", "oneOf"]
            .iter()
            .find_map(|name| schema.get(*name))
            .and_then(JsonValue::as_array)?;
        let mut others = branches.iter().filter(|branch| !is_null(branch));
        match (others.next(), others.next()) {
            (Some(only), None) => self.array_items(only, depth),
            _ => None,
        }
    }

    fn reference(&self, schema: &'a JsonValue) -> Option<&'a JsonValue> {
        resolve(schema.get("$ref")?.as_str()?, self.root)
    }

    fn add(&mut self, value: &'a JsonValue, title: Option<&'a str>) {
        if value.is_null() {
            self.nullable = true;
        } else if self.values.iter().all(|choice| choice.value != value) {
            self.values.push(AllowedValue { value, title });
        }
    }
}

impl AllowedValues<'_> {
    /// Returns `low|normal|high`.
    pub(crate) fn short_list(&self) -> String {
        self.list("|", SHORT_LIST)
    }

    /// Returns `low, normal, high`.
    fn long_list(&self) -> String {
        self.list(", ", LONG_LIST)
    }

    fn list(&self, separator: &str, max: usize) -> String {
        let mut words: Vec<String> = self
            .values
            .iter()
            .take(max)
            .map(|choice| value(choice.value))
            .collect();
        if self.values.len() > max {
            words.push("…".to_owned());
        }
        words.join(separator)
    }

    /// Returns `low = Whenever, high = Right now`, for values with a title of their own.
    pub(crate) fn titles(&self) -> Option<String> {
        let titled = |choice: &AllowedValue<'_>| {
            let title = text::clipped_line(choice.title?, MAX_VALUE_LENGTH);
            let value = value(choice.value);
            (!title.is_empty() && !title.eq_ignore_ascii_case(&value))
                .then(|| format!("{value} = {title}"))
        };
        let words: Vec<String> = self
            .values
            .iter()
            .take(SHORT_LIST)
            .filter_map(titled)
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Returns what is wrong with a value, if it is not allowed, and a suggestion.
    fn check(&self, given: &JsonValue) -> Option<(String, Option<String>)> {
        let allowed = |given: &JsonValue| {
            given.is_null() && self.nullable
                || self.values.iter().any(|choice| same(choice.value, given))
        };
        let wrong = match given {
            JsonValue::Array(items) if self.of_items => items.iter().find(|item| !allowed(item)),
            // A value of another type is left to the full validation.
            _ if self.of_items => None,
            given => (!allowed(given)).then_some(given),
        }?;
        let names = self
            .values
            .iter()
            .filter_map(|choice| choice.value.as_str());
        let suggestion = wrong
            .as_str()
            .and_then(|wrong| suggest::did_you_mean(wrong, names));
        Some((
            format!(
                "{} is not one of: {}",
                value_in_quotes(wrong),
                self.long_list()
            ),
            suggestion,
        ))
    }
}

/// An argument whose value is not allowed.
pub(crate) struct DisallowedValue {
    pub(crate) argument: String,
    pub(crate) problem: String,
    /// A similar value that is allowed, as a question.
    pub(crate) suggestion: Option<String>,
}

/// Returns the first argument whose value is not one of its allowed values.
pub(crate) fn disallowed_value(
    arguments: &JsonObject,
    schema: &JsonObject,
) -> Option<DisallowedValue> {
    arguments.iter().find_map(|(key, given)| {
        let (problem, suggestion) = allowed_values(schema, key)?.check(given)?;
        Some(DisallowedValue {
            argument: key.clone(),
            problem,
            suggestion,
        })
    })
}

/// Compares as JSON Schema does, for which `2.0` and `2` are the same number.
fn same(a: &JsonValue, b: &JsonValue) -> bool {
    a == b || a.is_number() && b.is_number() && a.as_f64() == b.as_f64()
}

fn value(value: &JsonValue) -> String {
    match value {
        JsonValue::String(word) => text::clipped_line(word, MAX_VALUE_LENGTH),
        other => text::clipped_line(&other.to_string(), MAX_VALUE_LENGTH),
    }
}

fn value_in_quotes(given: &JsonValue) -> String {
    if given.is_string() {
        format!("\"{}\"", value(given))
    } else {
        value(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(property: &JsonValue) -> JsonObject {
        let schema = json!({
            "properties": {"x": property},
            "$defs": {
                "Plain": {"type": "string", "enum": ["low", "normal", "high"]},
                "Documented": {"oneOf": [
                    {"const": "blue_green", "description": "Two sets, one switch."},
                    {"const": "canary", "title": "A few first"},
                    {"enum": ["rolling"]}
                ]},
                "Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}, {"$ref": "#/$defs/Loop"}]}
            }
        });
        schema.as_object().unwrap().clone()
    }

    fn shown(property: &JsonValue) -> Option<String> {
        allowed_values(&of(property), "x").map(|values| values.short_list())
    }

    #[test]
    fn every_spelling_of_an_enumeration_is_found() {
        for (property, expected) in [
            (json!({"type": "string", "enum": ["a", "b"]}), "a|b"),
            (json!({"enum": [1, true, "c", null]}), "1|true|c"),
            (json!({"const": "a"}), "a"),
            (
                json!({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}),
                "a|b",
            ),
            (json!({"$ref": "#/$defs/Plain"}), "low|normal|high"),
            (
                json!({"anyOf": [{"$ref": "#/$defs/Plain"}, {"type": "null"}]}),
                "low|normal|high",
            ),
            (
                json!({"allOf": [{"$ref": "#/$defs/Plain"}], "default": "low"}),
                "low|normal|high",
            ),
            (
                json!({"$ref": "#/$defs/Documented"}),
                "blue_green|canary|rolling",
            ),
            (
                json!({"type": "array", "items": {"$ref": "#/$defs/Plain"}}),
                "low|normal|high",
            ),
            (
                json!({"type": "array", "items": {"anyOf": [{"const": "a"}, {"const": "b"}]}}),
                "a|b",
            ),
            (
                json!({"anyOf": [{"type": "array", "items": {"enum": ["a"]}}, {"type": "null"}]}),
                "a",
            ),
            (
                json!({"enum": (0..20).collect::<Vec<_>>()}),
                "0|1|2|3|4|5|6|7|8|9|10|11|…",
            ),
        ] {
            assert_eq!(shown(&property).as_deref(), Some(expected), "{property}");
        }
    }

    #[test]
    fn schemas_that_allow_other_values_are_ignored() {
        for property in [
            json!({"type": "string"}),
            json!({"anyOf": [{"enum": ["a"]}, {"type": "string"}]}),
            json!({"type": "null"}),
            json!({"$ref": "#/$defs/Loop"}),
            json!({"$ref": "#/nowhere"}),
            json!(true),
        ] {
            assert_eq!(shown(&property), None, "{property}");
        }
    }

    #[test]
    fn titles_are_shown_if_they_differ_from_the_value() {
        let titles = |property: JsonValue| allowed_values(&of(&property), "x").unwrap().titles();
        let expected = "blue_green = Two sets, one switch., canary = A few first";
        assert_eq!(
            titles(json!({"$ref": "#/$defs/Documented"})).as_deref(),
            Some(expected)
        );
        assert_eq!(
            titles(json!({"enum": ["l", "h"], "enumNames": ["Low", "H"]})).as_deref(),
            Some("l = Low")
        );
        assert_eq!(titles(json!({"enum": ["a"]})), None);
    }

    #[test]
    fn a_disallowed_value_is_reported_with_the_allowed_ones() {
        let plain = of(&json!({"anyOf": [{"$ref": "#/$defs/Plain"}, {"type": "null"}]}));
        let wrong = |schema: &JsonObject, value: JsonValue| {
            disallowed_value(json!({"x": value}).as_object().unwrap(), schema)
                .map(|wrong| (wrong.problem, wrong.suggestion))
        };
        let (problem, suggestion) = wrong(&plain, json!("hihg")).unwrap();
        assert_eq!(problem, "\"hihg\" is not one of: low, normal, high");
        assert_eq!(suggestion.as_deref(), Some("did you mean \"high\"?"));
        assert!(wrong(&plain, json!(null)).is_none() && wrong(&plain, json!("low")).is_none());
        let list = of(&json!({"type": "array", "items": {"enum": [1, 2]}}));
        assert_eq!(
            wrong(&list, json!([1, 3])).unwrap().0,
            "3 is not one of: 1, 2"
        );
        assert!(wrong(&list, json!([2.0])).is_none());
    }
}
