//! Arguments that take one of a few values: how JSON Schema spells that, and what to say about it.

use super::schema::{MAX_DEPTH, MAX_SCHEMAS, property, resolve};
use crate::near;
use crate::text;
use carryall::types::{JsonObject, JsonValue};

/// Values that are shown where there is little room; the others become `…`.
const SHOWN: usize = 12;
/// Values that are shown in an error.
const MAX_SHOWN: usize = 50;
/// A schema with more values than this in one place is not taken for a choice.
const MAX_VALUES: usize = 1_000;
/// Characters of one value or title that are shown.
const MAX_VALUE: usize = 60;

/// The values that an argument may have, or the items of an array.
#[derive(Debug, PartialEq)]
pub(crate) struct Choices<'a> {
    values: Vec<Choice<'a>>,
    /// Whether they are those of an array's items.
    pub(crate) of_items: bool,
    /// Whether `null` is allowed as well.
    nullable: bool,
}

#[derive(Debug, PartialEq)]
struct Choice<'a> {
    value: &'a JsonValue,
    title: Option<&'a str>,
}

/// The choices for an argument; none where the schema leaves other values open.
pub(crate) fn choices<'a>(schema: &'a JsonObject, key: &str) -> Option<Choices<'a>> {
    let property = property(schema, key)?;
    let mut search = Search {
        root: schema,
        left: MAX_SCHEMAS,
        nullable: false,
        values: Vec::new(),
    };
    let closed = search.closed(property, MAX_DEPTH);
    if closed && !search.values.is_empty() {
        return Some(Choices {
            values: search.values,
            of_items: false,
            nullable: search.nullable,
        });
    }
    let mut search = Search {
        root: schema,
        left: MAX_SCHEMAS,
        nullable: false,
        values: Vec::new(),
    };
    let items = search.array_items(property, MAX_DEPTH)?;
    let closed = search.closed(items, MAX_DEPTH);
    if !closed || search.values.is_empty() {
        return None;
    }
    Some(Choices {
        values: search.values,
        of_items: true,
        nullable: false,
    })
}

struct Search<'a> {
    root: &'a JsonObject,
    left: usize,
    nullable: bool,
    values: Vec<Choice<'a>>,
}

impl<'a> Search<'a> {
    /// Whether the schema allows nothing but the values that are collected on the way.
    fn closed(&mut self, schema: &'a JsonValue, depth: usize) -> bool {
        let (Some(depth), Some(left)) = (depth.checked_sub(1), self.left.checked_sub(1)) else {
            return false;
        };
        self.left = left;
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
            let told = schema.get("title").or_else(|| schema.get("description"));
            self.add(value, told.and_then(JsonValue::as_str));
            return true;
        }
        if schema.get("type").and_then(JsonValue::as_str) == Some("null") {
            self.nullable = true;
            return true;
        }
        if let Some(target) = self.reference(schema) {
            return self.closed(target, depth);
        }
        for branches in ["oneOf", "anyOf"] {
            if let Some(branches) = schema.get(branches).and_then(JsonValue::as_array) {
                return branches.iter().all(|branch| self.closed(branch, depth));
            }
        }
        // What else `allOf` may say only narrows the choice.
        let all = schema
            .get("allOf")
            .and_then(JsonValue::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        match all {
            [only] => self.closed(only, depth),
            _ => false,
        }
    }

    /// The schema of the items, if the schema allows arrays and perhaps `null`.
    fn array_items(&mut self, schema: &'a JsonValue, depth: usize) -> Option<&'a JsonValue> {
        let depth = depth.checked_sub(1)?;
        self.left = self.left.checked_sub(1)?;
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
            self.values.push(Choice { value, title });
        }
    }
}

impl Choices<'_> {
    /// `low|normal|high`
    pub(crate) fn shown(&self) -> String {
        self.list("|", SHOWN)
    }

    /// `low, normal, high`
    fn told(&self) -> String {
        self.list(", ", MAX_SHOWN)
    }

    fn list(&self, separator: &str, most: usize) -> String {
        let mut words: Vec<String> = self
            .values
            .iter()
            .take(most)
            .map(|choice| value(choice.value))
            .collect();
        if self.values.len() > most {
            words.push("…".to_owned());
        }
        words.join(separator)
    }

    /// What the values stand for, where they have titles that say more:
    /// `low = Whenever, high = Right now`.
    pub(crate) fn titles(&self) -> Option<String> {
        let titled = |choice: &Choice<'_>| {
            let title = text::clipped_line(choice.title?, MAX_VALUE);
            let value = value(choice.value);
            (!title.is_empty() && !title.eq_ignore_ascii_case(&value))
                .then(|| format!("{value} = {title}"))
        };
        let words: Vec<String> = self.values.iter().take(SHOWN).filter_map(titled).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// What is wrong with a value, if anything is, and what may have been meant.
    fn problem(&self, given: &JsonValue) -> Option<(String, Option<String>)> {
        let allowed = |given: &JsonValue| {
            given.is_null() && self.nullable
                || self.values.iter().any(|choice| same(choice.value, given))
        };
        let wrong = match given {
            JsonValue::Array(items) if self.of_items => items.iter().find(|item| !allowed(item)),
            // Of another type: a matter of the schema as a whole.
            _ if self.of_items => None,
            given => (!allowed(given)).then_some(given),
        }?;
        let names = self
            .values
            .iter()
            .filter_map(|choice| choice.value.as_str());
        let meant = wrong
            .as_str()
            .and_then(|wrong| near::did_you_mean(wrong, names));
        Some((
            format!("{} is none of: {}", value_in_quotes(wrong), self.told()),
            meant,
        ))
    }
}

/// What is wrong with the first argument that is none of its choices: its name, what is wrong, what
/// may have been meant.
pub(crate) fn wrong_choice(
    arguments: &JsonObject,
    schema: &JsonObject,
) -> Option<(String, String, Option<String>)> {
    arguments.iter().find_map(|(key, given)| {
        let (problem, meant) = choices(schema, key)?.problem(given)?;
        Some((key.clone(), problem, meant))
    })
}

/// `2.0` is the same number as `2` in JSON Schema.
fn same(a: &JsonValue, b: &JsonValue) -> bool {
    a == b || a.is_number() && b.is_number() && a.as_f64() == b.as_f64()
}

fn value(value: &JsonValue) -> String {
    match value {
        JsonValue::String(word) => text::clipped_line(word, MAX_VALUE),
        other => text::clipped_line(&other.to_string(), MAX_VALUE),
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
        choices(&of(property), "x").map(|choices| choices.shown())
    }

    #[test]
    fn choices_are_found_however_they_are_spelt() {
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
    fn what_allows_other_values_is_no_choice() {
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
    fn titles_are_told_where_they_say_more() {
        let titles = |property: JsonValue| choices(&of(&property), "x").unwrap().titles();
        let told = "blue_green = Two sets, one switch., canary = A few first";
        assert_eq!(
            titles(json!({"$ref": "#/$defs/Documented"})).as_deref(),
            Some(told)
        );
        assert_eq!(
            titles(json!({"enum": ["l", "h"], "enumNames": ["Low", "H"]})).as_deref(),
            Some("l = Low")
        );
        assert_eq!(titles(json!({"enum": ["a"]})), None);
    }

    #[test]
    fn what_is_none_of_the_choices_is_named_with_them() {
        let plain = of(&json!({"anyOf": [{"$ref": "#/$defs/Plain"}, {"type": "null"}]}));
        let wrong = |schema: &JsonObject, value: JsonValue| {
            wrong_choice(json!({"x": value}).as_object().unwrap(), schema)
                .map(|(_, problem, meant)| (problem, meant))
        };
        let (problem, meant) = wrong(&plain, json!("hihg")).unwrap();
        assert_eq!(problem, "\"hihg\" is none of: low, normal, high");
        assert_eq!(meant.as_deref(), Some("did you mean \"high\"?"));
        assert!(wrong(&plain, json!(null)).is_none() && wrong(&plain, json!("low")).is_none());
        let list = of(&json!({"type": "array", "items": {"enum": [1, 2]}}));
        assert_eq!(wrong(&list, json!([1, 3])).unwrap().0, "3 is none of: 1, 2");
        assert!(wrong(&list, json!([2.0])).is_none());
    }
}
