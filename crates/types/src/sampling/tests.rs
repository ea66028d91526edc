#![allow(deprecated)]

use super::*;
use serde_json::{Value, json};

fn round_trip<T: Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug>(
    wire: Value,
) -> T {
    let value: T = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(serde_json::to_value(&value).unwrap(), wire);
    assert_eq!(serde_json::from_str::<T>(&wire.to_string()).unwrap(), value);
    value
}

fn params(messages: Value) -> CreateMessageRequestParams {
    round_trip(json!({"messages": messages, "maxTokens": 100}))
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn text() -> Value {
    json!({"type": "text", "text": "hi"})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "get_weather", "input": {"city": "Paris"}})
}

fn answer(id: &str) -> Value {
    json!({"type": "tool_result", "toolUseId": id, "content": [{"type": "text", "text": "18"}]})
}

#[test]
fn a_full_request_round_trips_with_unknown_members() {
    let request: CreateMessageRequestParams = round_trip(json!({
        "messages": [user(text())],
        "modelPreferences": {"hints": [{"name": "sonnet", "vendor": "x"}], "costPriority": 0.3, "speedPriority": 1},
        "systemPrompt": "Be brief.",
        "includeContext": "thisServer",
        "temperature": 1,
        "maxTokens": 1000,
        "stopSequences": ["END"],
        "metadata": {"k": [1]},
        "tools": [{"name": "t", "inputSchema": {"type": "object"}}],
        "toolChoice": {"mode": "required"},
        "later": {"a": 1},
    }));
    assert_eq!(request.include_context, Some(IncludeContext::ThisServer));
    assert_eq!(request.extra["later"], json!({"a": 1}));
    assert!(request.uses_tools());
    assert_eq!(request.validate(), Ok(()));
}

#[test]
fn absent_members_are_not_written() {
    let message = SamplingMessage::new(Role::User, "hi");
    let request = CreateMessageRequestParams::new(vec![message], 5);
    assert_eq!(
        serde_json::to_string(&request).unwrap(),
        r#"{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":5}"#
    );
    assert!(!request.uses_tools());
}

#[test]
fn a_single_block_and_an_array_of_one_round_trip() {
    let one: SamplingMessage = round_trip(user(text()));
    let many: SamplingMessage = round_trip(user(json!([text()])));
    assert_ne!(one, many);
    assert_eq!(one.content.blocks(), many.content.blocks());
    assert_eq!(one.content.text(), "hi");
}

// spec: sampling-10
#[test]
fn a_message_needs_a_role_and_content() {
    for wire in [
        json!({"content": text()}),
        json!({"role": "user"}),
        json!({"role": "system", "content": text()}),
        json!({"role": "user", "content": "hi"}),
        json!({"role": "user", "content": {"text": "hi"}}),
        json!({"role": "user", "content": {"type": "text"}}),
        json!({"role": "user", "content": {"type": 1, "text": "hi"}}),
    ] {
        assert!(
            serde_json::from_value::<SamplingMessage>(wire.clone()).is_err(),
            "{wire}"
        );
    }
    assert!(serde_json::from_value::<CreateMessageRequestParams>(json!({"messages": []})).is_err());
}

// spec: sampling-21
#[test]
fn blocks_of_all_types_keep_meta_and_unknown_members() {
    let blocks = json!([
        {"type": "text", "text": "a", "_meta": {"m": 1}},
        {"type": "image", "data": "AAAA", "mimeType": "image/png"},
        {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
        {"type": "tool_use", "id": "1", "name": "t", "input": {}, "_meta": {"cache": "x"}, "later": 1},
        {"type": "tool_result", "toolUseId": "1", "content": [], "isError": true, "_meta": {"cache": "y"}, "structuredContent": null},
        {"type": "video", "frames": [1, 2]},
    ]);
    let result: CreateMessageResult = round_trip(
        json!({"role": "assistant", "content": blocks, "model": "m", "_meta": {"r": 1}}),
    );
    let SamplingMessageContentBlock::ToolResult(tool_result) = &result.content.blocks()[4] else {
        panic!()
    };
    assert_eq!(tool_result.structured_content, Some(Value::Null));
    assert!(matches!(
        &result.content.blocks()[5],
        SamplingMessageContentBlock::Unknown(_)
    ));
    assert_eq!(
        serde_json::to_value(result.into_message()).unwrap(),
        json!({"role": "assistant", "content": blocks, "_meta": {"r": 1}})
    );
}

#[test]
fn a_stop_reason_is_an_open_string() {
    for (wire, reason) in [
        ("endTurn", StopReason::EndTurn),
        ("stopSequence", StopReason::StopSequence),
        ("maxTokens", StopReason::MaxTokens),
        ("toolUse", StopReason::ToolUse),
        ("refusal", StopReason::Other("refusal".into())),
    ] {
        assert_eq!(round_trip::<StopReason>(json!(wire)), reason);
    }
}

// spec: sampling-07, sampling-19
#[test]
fn tool_results_are_not_mixed_with_other_content() {
    let ok = params(json!([
        assistant(json!([text(), call("a")])),
        user(answer("a"))
    ]));
    assert_eq!(ok.validate(), Ok(()));
    let mixed = params(json!([
        assistant(call("a")),
        user(json!([text(), answer("a")]))
    ]));
    assert_eq!(
        mixed.validate(),
        Err("message 1: tool results must not be mixed with other content".into())
    );
}

// spec: sampling-08, sampling-19
#[test]
fn every_tool_use_has_a_result_in_the_next_message() {
    let calls = assistant(json!([call("a"), call("b")]));
    let both = user(json!([answer("b"), answer("a")]));
    assert_eq!(
        params(json!([user(text()), calls, both, assistant(text())])).validate(),
        Ok(())
    );
    for messages in [
        json!([calls, user(answer("a")), assistant(text())]),
        json!([calls, user(answer("a"))]),
        json!([calls]),
        json!([calls, user(text()), both]),
        json!([calls, assistant(text()), both]),
        json!([calls, user(json!([answer("a"), answer("a"), answer("b")]))]),
        json!([assistant(json!([call("a"), call("a")])), user(answer("a"))]),
        json!([user(call("a")), user(answer("a"))]),
        json!([assistant(call("a")), assistant(answer("a"))]),
    ] {
        assert!(params(messages.clone()).validate().is_err(), "{messages}");
    }
}

// spec: sampling-20
#[test]
fn a_tool_result_refers_to_a_tool_use() {
    for messages in [
        json!([user(answer("a"))]),
        json!([
            assistant(call("a")),
            user(json!([answer("a"), answer("x")]))
        ]),
        json!([assistant(call("a")), user(answer("a")), user(answer("a"))]),
    ] {
        let problem = params(messages).validate().unwrap_err();
        assert!(problem.contains("matches no tool use"), "{problem}");
    }
}

// spec: sampling-14, sampling-15
#[test]
fn the_first_hint_that_matches_wins_and_is_a_substring() {
    let models = [
        "claude-3-haiku-20240307",
        "gpt-4o",
        "claude-3-5-sonnet-20241022",
    ];
    let pick = |preferences: ModelPreferences| preferences.pick(models).map(str::to_owned);
    let new = ModelPreferences::new;
    assert_eq!(
        pick(new().with_hint("sonnet").with_hint("claude")).as_deref(),
        Some(models[2])
    );
    assert_eq!(
        pick(new().with_hint("gemini").with_hint("claude")).as_deref(),
        Some(models[0])
    );
    assert_eq!(pick(new().with_hint("gemini")), None);
    assert_eq!(pick(new().with_hint("")), None);
    assert_eq!(pick(new().with_cost_priority(1.0)), None);
    assert!(!ModelHint::default().matches("any"));
}

#[test]
fn priorities_are_between_zero_and_one() {
    for (priority, ok) in [
        (0.0, true),
        (1.0, true),
        (1.1, false),
        (-0.1, false),
        (f64::NAN, false),
    ] {
        let preferences = ModelPreferences::new().with_speed_priority(priority);
        let request =
            CreateMessageRequestParams::new(Vec::new(), 1).with_model_preferences(preferences);
        assert_eq!(request.validate().is_ok(), ok, "{priority}");
    }
}
