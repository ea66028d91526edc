//! Decoding by tag and member name, lenient only where the specification says so.

use carryall_types::{
    CacheScope, CallToolResult, CompletionReference, ContentBlock, DiscoverResult, ErrorObject,
    ImageContent, Implementation, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, LoggingLevel, ProgressToken, ReadResourceResult,
    RequestId, ResourceContents, ResourceLink, ResultType, Tool,
};
use proptest::prelude::*;
use serde_json::json;

fn tools_page(hints: serde_json::Value) -> ListToolsResult {
    let mut page = json!({ "tools": [] });
    page.as_object_mut()
        .expect("an object")
        .extend(hints.as_object().expect("an object").clone());
    serde_json::from_str(&page.to_string()).expect("decodes whatever the hints are")
}

// spec: caching-07, caching-08
#[test]
fn a_ttl_that_is_not_a_positive_number_is_zero() {
    for ttl in [
        json!(-1),
        json!(i64::MIN),
        json!(-0.5),
        json!(null),
        json!("60"),
        json!(true),
        json!([1]),
        json!({ "a": 1 }),
    ] {
        let page = tools_page(json!({ "ttlMs": ttl }));
        assert_eq!(page.ttl_ms, 0, "{ttl}");
        assert!(page.extra.is_empty(), "{ttl}");
    }
    assert_eq!(tools_page(json!({})).ttl_ms, 0);
}

#[test]
fn a_ttl_is_truncated_to_a_safe_integer() {
    assert_eq!(tools_page(json!({ "ttlMs": 1500.9 })).ttl_ms, 1500);
    assert_eq!(tools_page(json!({ "ttlMs": 60_000 })).ttl_ms, 60_000);
    for huge in [json!(u64::MAX), json!(1e300)] {
        assert_eq!(tools_page(json!({ "ttlMs": huge })).ttl_ms, (1 << 53) - 1);
    }
}

#[test]
fn only_public_decodes_as_public() {
    for scope in ["", "Public", "PUBLIC", "shared", "private"]
        .map(|s| json!(s))
        .into_iter()
        .chain([
            json!(null),
            json!(1),
            json!(true),
            json!(["public"]),
            json!({}),
        ])
    {
        assert_eq!(
            tools_page(json!({ "cacheScope": scope })).cache_scope,
            CacheScope::Private,
            "{scope}"
        );
    }
    assert_eq!(tools_page(json!({})).cache_scope, CacheScope::Private);
    assert_eq!(
        tools_page(json!({ "cacheScope": "public" })).cache_scope,
        CacheScope::Public
    );
}

// spec: caching-01, caching-09
#[test]
fn cacheable_results_always_carry_both_hints() {
    let new = [
        json!(DiscoverResult::default()),
        json!(ListToolsResult::default()),
        json!(ListPromptsResult::default()),
        json!(ListResourcesResult::default()),
        json!(ListResourceTemplatesResult::default()),
        json!(ReadResourceResult::default()),
    ];
    for result in new {
        assert_eq!(
            (&result["ttlMs"], &result["cacheScope"]),
            (&json!(0), &json!("private")),
            "{result}"
        );
    }
    let huge = ListToolsResult {
        ttl_ms: u64::MAX,
        ..ListToolsResult::default()
    };
    assert_eq!(json!(huge)["ttlMs"], json!(9_007_199_254_740_991_u64));
}

// spec: pagination-04
#[test]
fn an_empty_cursor_is_present_and_null_is_absent() {
    assert_eq!(
        tools_page(json!({ "nextCursor": "" }))
            .next_cursor
            .as_deref(),
        Some("")
    );
    assert_eq!(tools_page(json!({ "nextCursor": null })).next_cursor, None);
    assert_eq!(tools_page(json!({})).next_cursor, None);
}

#[test]
fn an_absent_result_type_is_complete() {
    assert_eq!(ResultType::default(), ResultType::Complete);
    for (text, expected) in [
        ("complete", ResultType::Complete),
        ("input_required", ResultType::InputRequired),
        ("task", ResultType::Other("task".into())),
    ] {
        let read: ResultType =
            serde_json::from_value(json!(text)).expect("any string is a result type");
        assert_eq!(read, expected);
        assert_eq!(serde_json::to_value(read).expect("encodes"), json!(text));
    }
    assert!(serde_json::from_str::<ResultType>("null").is_err());
}

#[test]
fn an_input_required_result_is_not_a_tool_result() {
    let other = json!({ "resultType": "input_required", "inputRequests": {}, "requestState": "s" });
    let error = serde_json::from_value::<CallToolResult>(other).expect_err("has no content");
    assert!(error.to_string().contains("content"), "{error}");
}

#[test]
fn null_structured_content_differs_from_absent() {
    let null: CallToolResult =
        serde_json::from_str(r#"{"content":[],"structuredContent":null}"#).expect("decodes");
    assert_eq!(null.structured_content, Some(json!(null)));
    let absent: CallToolResult = serde_json::from_str(r#"{"content":[]}"#).expect("decodes");
    assert_eq!(absent.structured_content, None);
    assert!(!absent.failed());
}

#[test]
fn null_means_an_absent_optional_member() {
    let text = r#"{"name":"n","version":"1","title":null,"icons":null}"#;
    assert_eq!(
        serde_json::from_str::<Implementation>(text).expect("decodes"),
        Implementation::new("n", "1")
    );
    assert!(serde_json::from_str::<Implementation>(r#"{"name":null,"version":"1"}"#).is_err());
}

#[test]
fn duplicate_members_are_rejected() {
    for text in [
        r#"{"name":"a","version":"1","name":"b"}"#,
        r#"{"name":"a","version":"1","title":"a","title":"b"}"#,
    ] {
        let error =
            serde_json::from_str::<Implementation>(text).expect_err("two readers could disagree");
        assert!(error.to_string().contains("duplicate field"), "{error}");
    }
    assert!(
        serde_json::from_str::<ListToolsResult>(
            r#"{"tools":[],"cacheScope":"private","cacheScope":"public"}"#
        )
        .is_err()
    );
    assert!(
        serde_json::from_str::<ResourceContents>(r#"{"uri":"u:","text":"a","text":"b"}"#).is_err()
    );
}

#[test]
fn escaped_keys_are_decoded() {
    let read: Implementation =
        serde_json::from_str(r#"{"n\u0061me":"n","version":"1","\u0078":1}"#).expect("decodes");
    assert_eq!(read.name, "n");
    assert_eq!(read.extra["x"], json!(1));
}

#[test]
fn other_values_than_objects_are_rejected() {
    for text in ["[]", "[\"n\",\"1\"]", "\"n\"", "null", "1"] {
        assert!(
            serde_json::from_str::<Implementation>(text).is_err(),
            "{text}"
        );
        assert!(
            serde_json::from_str::<ContentBlock>(text).is_err(),
            "{text}"
        );
    }
}

#[test]
fn content_is_decoded_by_type_not_by_shape() {
    let link = json!({ "uri": "u:", "name": "n", "text": "t", "data": "AA==", "mimeType": "a/b", "type": "resource_link" });
    let ContentBlock::ResourceLink(link) = serde_json::from_value(link).expect("decodes") else {
        panic!("type decides")
    };
    assert_eq!((link.uri.as_str(), link.extra.len()), ("u:", 2));

    assert!(
        serde_json::from_value::<ContentBlock>(json!({ "type": "image", "text": "t" })).is_err()
    );
    for untyped in [
        json!({ "text": "t" }),
        json!({}),
        json!({ "type": null, "text": "t" }),
        json!({ "type": 1 }),
    ] {
        assert!(
            serde_json::from_value::<ContentBlock>(untyped.clone()).is_err(),
            "{untyped}"
        );
    }
    let error = serde_json::from_str::<CompletionReference>(r#"{"type":"ref/tool","name":"n"}"#)
        .expect_err("closed union");
    assert!(error.to_string().contains("ref/tool"), "{error}");
}

#[test]
fn the_type_is_written_first() {
    let text = serde_json::to_string(&ContentBlock::text("hi")).expect("encodes");
    assert_eq!(text, r#"{"type":"text","text":"hi"}"#);
}

proptest! {
    #[test]
    fn the_position_of_the_type_does_not_matter(
        tag in prop::sample::select(vec!["text", "image", "audio", "resource_link", "resource", "hologram"]),
        turn in 0_usize..9,
    ) {
        let mut members = [
            ("text", json!("t")), ("data", json!("AA==")), ("mimeType", json!("a/b")), ("uri", json!("u:")),
            ("name", json!("n")), ("resource", json!({ "uri": "u:", "text": "t" })), ("_meta", json!({ "k": 1 })),
            ("x", json!([1])), ("type", json!(tag)),
        ];
        let straight: ContentBlock = serde_json::from_value(members.iter().cloned().collect_object()).expect("decodes");
        members.rotate_left(turn);
        let turned: ContentBlock = serde_json::from_value(members.iter().cloned().collect_object()).expect("decodes");
        prop_assert_eq!(straight, turned);
    }

    // spec: resources-16
    #[test]
    fn bytes_survive_base64(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let image = ImageContent::from_bytes(&bytes, "image/png");
        prop_assert!(image.data.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)));
        prop_assert_eq!(image.data.len() % 4, 0);
        prop_assert_eq!(image.to_bytes().expect("base64"), bytes.clone());
        let ResourceContents::Blob(blob) = ResourceContents::blob("u:", &bytes) else { panic!("binary") };
        prop_assert_eq!(blob.to_bytes().expect("base64"), bytes);
    }
}

trait CollectObject {
    fn collect_object(self) -> serde_json::Value;
}

impl<I: Iterator<Item = (&'static str, serde_json::Value)>> CollectObject for I {
    fn collect_object(self) -> serde_json::Value {
        serde_json::Value::Object(self.map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

#[test]
fn resource_contents_have_either_text_or_a_blob() {
    assert!(serde_json::from_str::<ResourceContents>(r#"{"uri":"u:"}"#).is_err());
    assert!(
        serde_json::from_str::<ResourceContents>(r#"{"uri":"u:","text":"t","blob":"AA=="}"#)
            .is_err()
    );
    assert!(serde_json::from_str::<ResourceContents>(r#"{"text":"t"}"#).is_err());
    let text: ResourceContents =
        serde_json::from_str(r#"{"blob":null,"text":"","uri":"u:"}"#).expect("decodes");
    assert_eq!(text, ResourceContents::text("u:", ""));
}

#[test]
fn a_resource_converts_to_a_link_without_loss() {
    let resource = json!({ "uri": "u:", "name": "n", "size": 3, "_meta": { "k": 1 }, "x": 1 });
    let read: carryall_types::Resource = serde_json::from_value(resource.clone()).expect("decodes");
    assert_eq!(
        serde_json::to_value(ResourceLink::from(read)).expect("encodes"),
        resource
    );
}

// spec: tools-33
#[test]
fn the_display_name_falls_back_from_title_to_annotation_to_name() {
    let read = |value| serde_json::from_value::<Tool>(value).expect("decodes");
    let all = read(
        json!({ "name": "n", "title": "t", "annotations": { "title": "a" }, "inputSchema": {} }),
    );
    assert_eq!(all.display_name(), "t");
    assert_eq!(
        Tool {
            title: None,
            ..all.clone()
        }
        .display_name(),
        "a"
    );
    assert_eq!(
        Tool {
            title: None,
            annotations: Some(Default::default()),
            ..all
        }
        .display_name(),
        "n"
    );
}

// spec: tools-33
#[test]
fn absent_hints_have_the_defaults_of_the_schema() {
    let none = carryall_types::ToolAnnotations::new();
    assert_eq!(
        [
            none.is_read_only(),
            none.is_destructive(),
            none.is_idempotent(),
            none.is_open_world()
        ],
        [false, true, false, true]
    );
    let given = none
        .with_read_only_hint(true)
        .with_destructive_hint(false)
        .with_idempotent_hint(true)
        .with_open_world_hint(false);
    assert_eq!(
        [
            given.is_read_only(),
            given.is_destructive(),
            given.is_idempotent(),
            given.is_open_world()
        ],
        [true, false, true, false]
    );
}

// spec: tools-19, tools-31
#[test]
fn tool_result_constructors_set_content_and_error() {
    for value in [json!({ "a": 1 }), json!([1, 2]), json!(null), json!(5)] {
        let result = CallToolResult::structured(value.clone());
        assert_eq!(
            result.content[0].as_text(),
            Some(value.to_string().as_str())
        );
        assert_eq!(result.structured_content, Some(value));
    }
    let failed = serde_json::to_value(CallToolResult::error("no wind")).expect("encodes");
    assert_eq!(
        failed,
        json!({ "content": [{ "type": "text", "text": "no wind" }], "isError": true })
    );
}

#[test]
fn logging_levels_are_a_closed_and_ordered_set() {
    assert!(LoggingLevel::ALL.is_sorted());
    assert!(LoggingLevel::Debug < LoggingLevel::Emergency);
    for level in LoggingLevel::ALL {
        assert_eq!(level.as_str().parse(), Ok(level));
        assert_eq!(
            serde_json::to_value(level).expect("encodes"),
            json!(level.as_str())
        );
    }
    assert!("verbose".parse::<LoggingLevel>().is_err());
    assert!(serde_json::from_str::<LoggingLevel>("\"Debug\"").is_err());
}

#[test]
fn a_completion_has_at_most_a_hundred_values() {
    let capped =
        carryall_types::Completion::new((0..101).map(|n| n.to_string()).collect::<Vec<_>>())
            .capped();
    assert_eq!(
        (capped.values.len(), capped.total, capped.has_more),
        (100, Some(101), Some(true))
    );
    let short = carryall_types::Completion::new(["a".to_owned()]);
    assert_eq!(short.clone().capped(), short);
}

// spec: base-jsonrpc-03, base-jsonrpc-04, progress-02
#[test]
fn ids_and_tokens_are_strings_or_integers() {
    for text in ["1", "-7", "0", "\"\"", "\"1\"", "9223372036854775807"] {
        let id: RequestId = serde_json::from_str(text).expect("an id");
        assert_eq!(serde_json::to_string(&id).expect("encodes"), text);
        let token: ProgressToken = serde_json::from_str(text).expect("a token");
        assert_eq!(serde_json::to_string(&token).expect("encodes"), text);
    }
    for text in ["null", "1.5", "true", "[1]", "{}", "9223372036854775808"] {
        assert!(serde_json::from_str::<RequestId>(text).is_err(), "{text}");
        assert!(
            serde_json::from_str::<ProgressToken>(text).is_err(),
            "{text}"
        );
    }
    assert_ne!(RequestId::from(1), RequestId::from("1"));
}

// spec: base-jsonrpc-15, base-jsonrpc-16, base-jsonrpc-17
#[test]
fn an_error_has_an_integer_code_a_message_and_any_data() {
    for data in [
        "null",
        "[1,{\"a\":1.0}]",
        "{\"error\":{\"code\":-1}}",
        "\"s\"",
    ] {
        let text = format!(r#"{{"code":-32602,"message":"m","data":{data}}}"#);
        let error: ErrorObject = serde_json::from_str(&text).expect("decodes");
        assert_eq!(error.code, -32602);
        if data != "null" {
            assert_eq!(serde_json::to_string(&error).expect("encodes"), text);
        }
    }
    let bare = serde_json::to_string(&ErrorObject::new(7, "m")).expect("encodes");
    assert_eq!(bare, r#"{"code":7,"message":"m"}"#);
    for text in [
        r#"{"code":1.5,"message":"m"}"#,
        r#"{"code":"1","message":"m"}"#,
        r#"{"message":"m"}"#,
        r#"{"code":1}"#,
    ] {
        assert!(serde_json::from_str::<ErrorObject>(text).is_err(), "{text}");
    }
}
