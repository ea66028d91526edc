use super::*;
use crate::exit::ExitStatus;
use serde_json::json;

fn object(value: JsonValue) -> JsonObject {
    let JsonValue::Object(object) = value else {
        panic!("not an object")
    };
    object
}

fn schema() -> JsonObject {
    object(json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer"},
            "ratio": {"type": "number"},
            "loud": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "more": {"type": "object"},
            "maybe": {"type": ["integer", "null"]},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "unit": {"$ref": "#/$defs/Unit"},
            "level": {"enum": [1, 2, 3]},
            "loop": {"$ref": "#/$defs/Loop"},
            "free": {}
        },
        "required": ["name", "count"],
        "$defs": {"Unit": {"enum": ["c", "f"]}, "Loop": {"$ref": "#/$defs/Loop"}}
    }))
}

fn convert(words: &[&str]) -> Result<JsonValue, CliError> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    for_schema(&words, &schema()).map(JsonValue::Object)
}

#[test]
fn text_is_converted_to_the_type_in_the_schema() {
    let cases = [
        ("name=5", json!({"name": "5"})),
        ("name=a=b", json!({"name": "a=b"})),
        ("name=", json!({"name": ""})),
        ("count=5", json!({"count": 5})),
        ("count=-5", json!({"count": -5})),
        (
            "count=18446744073709551615",
            json!({"count": 18_446_744_073_709_551_615_u64}),
        ),
        ("ratio=5", json!({"ratio": 5})),
        ("ratio=1.5e3", json!({"ratio": 1500.0})),
        ("loud=true", json!({"loud": true})),
        ("tags=[\"a\",\"b\"]", json!({"tags": ["a", "b"]})),
        ("more={\"a\":1}", json!({"more": {"a": 1}})),
        ("maybe=null", json!({"maybe": null})),
        ("maybe=3", json!({"maybe": 3})),
        ("either=3", json!({"either": "3"})),
        ("unit=c", json!({"unit": "c"})),
        ("level=2", json!({"level": 2})),
        ("loop=x", json!({"loop": "x"})),
        ("free=1", json!({"free": "1"})),
        ("unknown=1", json!({"unknown": "1"})),
    ];
    for (word, expected) in cases {
        assert_eq!(convert(&[word]).unwrap(), expected, "{word}");
    }
}

#[test]
fn json_is_passed_unchanged() {
    assert_eq!(
        convert(&["name:=5", "free:=[1,{\"a\":null}]"]).unwrap(),
        json!({"name": 5, "free": [1, {"a": null}]})
    );
}

#[test]
fn files_contain_text_json_or_all_arguments() {
    let file = std::env::temp_dir().join(format!("carryall-args-{}.json", std::process::id()));
    std::fs::write(&file, r#"{"name": "from file", "count": 7}"#).unwrap();
    let at = format!("@{}", file.display());
    assert_eq!(
        convert(&[&at]).unwrap(),
        json!({"name": "from file", "count": 7})
    );
    assert_eq!(
        convert(&[&at, "count=8"]).unwrap(),
        json!({"name": "from file", "count": 8})
    );
    assert_eq!(
        convert(&[&format!("more={at}")]).unwrap(),
        json!({"more": {"name": "from file", "count": 7}})
    );
    assert_eq!(
        convert(&[&format!("free:={at}")]).unwrap(),
        json!({"free": {"name": "from file", "count": 7}})
    );
    assert_eq!(
        convert(&[&format!("name={at}")]).unwrap()["name"],
        json!(r#"{"name": "from file", "count": 7}"#)
    );
    std::fs::remove_file(file).unwrap();
}

#[test]
fn invalid_arguments_say_why() {
    for (word, why) in [
        ("count=many", "\"many\" is not an integer"),
        ("count=1.5", "not an integer"),
        ("count=", "not an integer"),
        ("loud=yes", "true or false"),
        ("tags=a,b", "[1, 2]"),
        ("maybe=x", "an integer or null"),
        ("name:=x", "not JSON"),
        ("word", "invalid argument"),
        ("=x", "no name"),
        (":=1", "no name"),
        ("@/no/such/file", "cannot read"),
        ("name=@/no/such/file", "cannot read"),
    ] {
        let error = convert(&[word]).unwrap_err();
        assert_eq!(error.status, ExitStatus::Usage, "{word}");
        assert!(error.message.contains(why), "{word}: {error}");
    }
}

#[test]
fn prompts_take_strings() {
    let words = ["a=1".to_owned(), "b:=2".to_owned(), "c:=\"x\"".to_owned()];
    let expected =
        [("a", "1"), ("b", "2"), ("c", "x")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(as_strings(&words).unwrap(), expected);
}

#[test]
fn types_are_described() {
    let schema = schema();
    let shown = |key| describe_type(&schema, key);
    assert_eq!(shown("tags"), "array of string");
    assert_eq!(shown("maybe"), "integer or null");
    assert_eq!(shown("unit"), "c|f");
    assert_eq!(shown("free"), "any");
    assert_eq!(required(&schema).collect::<Vec<_>>(), ["name", "count"]);
}
