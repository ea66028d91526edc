//! What is one caller's must not reach another.

use super::super::http::{Modern, TortureClient};
use super::super::target::TortureTarget;
use super::super::upstream::ASKS_AFTER;
use super::super::{Arena, AttackOutcome};
use crate::CommandResult;
use serde_json::{Value, json};
use std::thread;

fn asks() -> Value {
    json!({"elicitation": {"form": {}}})
}

/// While a call that asks is in flight, somebody else has a later one that could take the question.
pub(super) fn stolen_question(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(arena, "stolen-question", &[])?;
    let (victim, thief) = (
        TortureClient::new(target.port, 1),
        TortureClient::new(target.port, 2),
    );
    let asked = thread::spawn(move || {
        victim.modern(&Modern::tool("delete_files", json!({})).capabilities(asks()))
    });
    thread::sleep(ASKS_AFTER / 3);
    let stolen = thief.modern(&Modern::tool("slow", json!({})).capabilities(asks()))?;
    let asked = asked.join().map_err(|_| "a client panicked")??;
    let crossed = stolen.text().contains("Delete all your files");
    let seen = format!(
        "the caller got {}; the other got {}",
        short(asked.response()),
        if crossed {
            "the caller's question".to_owned()
        } else {
            short(stolen.response())
        }
    );
    Ok(AttackOutcome::new(
        !crossed && stolen.text().contains("slow is done"),
        seen,
    ))
}

/// What the guard must not break.
pub(super) fn answered_question(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(arena, "answered-question", &[])?;
    let client = TortureClient::new(target.port, 1);
    let asked = client.modern(&Modern::tool("delete_files", json!({})).capabilities(asks()))?;
    let result = &asked.response()["result"];
    let Some(state) = result["requestState"].as_str() else {
        return Ok(AttackOutcome::new(
            false,
            format!("not asked: {}", short(asked.response())),
        ));
    };
    let keys = result["inputRequests"].as_object().into_iter().flatten();
    let answers: serde_json::Map<String, Value> = keys
        .map(|(key, _)| {
            (
                key.clone(),
                json!({"action": "accept", "content": {"sure": true}}),
            )
        })
        .collect();
    let mut again = Modern::tool("delete_files", json!({})).capabilities(asks());
    again.params["requestState"] = state.into();
    again.params["inputResponses"] = answers.into();
    let done = client.modern(&again)?;
    Ok(AttackOutcome::new(
        done.text().contains("deleted"),
        short(done.response()),
    ))
}

/// Two legacy clients, one upstream that remembers who has logged in.
pub(super) fn shared_login(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(arena, "shared-login", &["--sessions", "per-client"])?;
    let (one, other) = (
        TortureClient::new(target.port, 1),
        TortureClient::new(target.port, 1),
    );
    let sessions = (one.handshake(json!({}))?, other.handshake(json!({}))?);
    let call = |client: &TortureClient, session: &str, tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments});
        client.legacy(
            Some(session),
            &json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}),
        )
    };
    call(&one, &sessions.0, "login", json!({"user": "alice"}))?;
    let own = call(&one, &sessions.0, "whoami", json!({}))?.text();
    let foreign = call(&other, &sessions.1, "whoami", json!({}))?.text();
    let holds = own.contains("alice") && foreign.contains("nobody");
    Ok(AttackOutcome::new(
        holds,
        format!(
            "its own login seen: {}, by another: {}",
            own.contains("alice"),
            foreign.contains("alice")
        ),
    ))
}

/// One caller wants log messages, and another's call causes one.
pub(super) fn overheard_log(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(arena, "overheard-log", &[])?;
    let (victim, listener) = (
        TortureClient::new(target.port, 1),
        TortureClient::new(target.port, 2),
    );
    let chatty = thread::spawn(move || {
        thread::sleep(ASKS_AFTER / 3);
        victim.call("chatty", json!({"user": "alice"}))
    });
    let level = json!({"io.modelcontextprotocol/logLevel": "debug"});
    let overheard = listener.modern(&Modern::tool("slow", json!({})).meta(level.clone()))?;
    chatty.join().map_err(|_| "a client panicked")??;
    // Alone, the messages of its own call do arrive.
    let own = listener.modern(&Modern::tool("chatty", json!({"user": "bob"})).meta(level))?;
    let crossed = overheard.text().contains("secret of alice");
    let arrived = own.text().contains("secret of bob");
    Ok(AttackOutcome::new(
        !crossed && arrived,
        format!("another's message: {crossed}, its own: {arrived}"),
    ))
}

fn short(value: &Value) -> String {
    let text = value
        .get("result")
        .or_else(|| value.get("error"))
        .unwrap_or(value)
        .to_string();
    text.chars().take(90).collect()
}
