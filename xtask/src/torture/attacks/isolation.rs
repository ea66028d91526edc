//! Attacks that try to reach the calls or state of another caller.

use super::super::http::{ModernRequest, TortureClient};
use super::super::target::TortureTarget;
use super::super::upstream::ELICITS_AFTER;
use super::super::{AttackEnv, AttackOutcome};
use crate::CommandResult;
use serde_json::{Value, json};
use std::thread;

fn elicitation() -> Value {
    json!({"elicitation": {"form": {}}})
}

/// While a call with an elicitation is in flight, another caller makes a call that could receive it.
pub(super) fn stolen_question(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(env, "stolen-question", &[])?;
    let (victim, thief) = (
        TortureClient::new(target.port, 1),
        TortureClient::new(target.port, 2),
    );
    let asked = thread::spawn(move || {
        victim.modern(&ModernRequest::tool("delete_files", json!({})).capabilities(elicitation()))
    });
    thread::sleep(ELICITS_AFTER / 3);
    let stolen =
        thief.modern(&ModernRequest::tool("slow", json!({})).capabilities(elicitation()))?;
    let asked = asked.join().map_err(|_| "a client panicked")??;
    let crossed = stolen.text().contains("Delete all your files");
    let observed = format!(
        "the caller got {}; the other got {}",
        short(asked.response()),
        if crossed {
            "the caller's elicitation".to_owned()
        } else {
            short(stolen.response())
        }
    );
    Ok(AttackOutcome::new(
        !crossed && stolen.text().contains("slow is done"),
        observed,
    ))
}

/// The protection must not break elicitation of a single caller.
pub(super) fn answered_question(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(env, "answered-question", &[])?;
    let client = TortureClient::new(target.port, 1);
    let asked = client
        .modern(&ModernRequest::tool("delete_files", json!({})).capabilities(elicitation()))?;
    let result = &asked.response()["result"];
    let Some(state) = result["requestState"].as_str() else {
        return Ok(AttackOutcome::new(
            false,
            format!("no elicitation: {}", short(asked.response())),
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
    let mut again = ModernRequest::tool("delete_files", json!({})).capabilities(elicitation());
    again.params["requestState"] = state.into();
    again.params["inputResponses"] = answers.into();
    let done = client.modern(&again)?;
    Ok(AttackOutcome::new(
        done.text().contains("deleted"),
        short(done.response()),
    ))
}

/// Two legacy clients use an upstream that stores a login per session.
pub(super) fn shared_login(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(env, "shared-login", &["--sessions", "per-client"])?;
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
            "own login visible: {}, to the other client: {}",
            own.contains("alice"),
            foreign.contains("alice")
        ),
    ))
}

/// One caller requests log messages, and the call of another caller causes one.
pub(super) fn overheard_log(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(env, "overheard-log", &[])?;
    let (victim, listener) = (
        TortureClient::new(target.port, 1),
        TortureClient::new(target.port, 2),
    );
    let chatty = thread::spawn(move || {
        thread::sleep(ELICITS_AFTER / 3);
        victim.call("chatty", json!({"user": "alice"}))
    });
    let level = json!({"io.modelcontextprotocol/logLevel": "debug"});
    let overheard = listener.modern(&ModernRequest::tool("slow", json!({})).meta(level.clone()))?;
    chatty.join().map_err(|_| "a client panicked")??;
    // The messages of its own call do arrive.
    let own =
        listener.modern(&ModernRequest::tool("chatty", json!({"user": "bob"})).meta(level))?;
    let crossed = overheard.text().contains("secret of alice");
    let arrived = own.text().contains("secret of bob");
    Ok(AttackOutcome::new(
        !crossed && arrived,
        format!("message of the other caller: {crossed}, own message: {arrived}"),
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
