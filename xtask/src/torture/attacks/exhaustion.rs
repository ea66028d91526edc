//! Attacks in which one caller tries to exhaust shared resources.

use super::super::http::{ModernRequest, TortureClient, read};
use super::super::http2::UnreadConnection;
use super::super::target::TortureTarget;
use super::super::{AttackEnv, AttackOutcome};
use crate::CommandResult;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum time until freed memory is returned to the system.
const RELEASE_TIME: Duration = Duration::from_secs(3);
/// An unread stream is closed after 30 s, checked at intervals of half of that.
const UNREAD: Duration = Duration::from_secs(75);
/// Time until all streams are in flight.
const FILLED: Duration = Duration::from_secs(10);
/// Time until all answers of the upstream have arrived.
const ARRIVED: Duration = Duration::from_secs(30);
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A stdio upstream has one process per set of capabilities; one caller must not use them all.
pub(super) fn odd_listens(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(env, "odd-listens", &[])?;
    let (attacker, other) = (
        TortureClient::new(target.port, 2),
        TortureClient::new(target.port, 1),
    );
    let mut held = Vec::new();
    for number in 0..8 {
        let listen = ModernRequest::new(
            "subscriptions/listen",
            json!({"notifications": {"toolsListChanged": true}}),
        );
        let odd = json!({"experimental": {format!("odd-{number}"): {}}, "elicitation": {"form": {}}, "sampling": {}});
        held.push(attacker.open_modern(&listen.capabilities(odd))?);
        thread::sleep(Duration::from_millis(150));
    }
    let answer = other.call("whoami", json!({}))?;
    let asking =
        ModernRequest::tool("whoami", json!({})).capabilities(json!({"elicitation": {"form": {}}}));
    let asking = other.modern(&asking)?;
    let (plain, asking) = (
        answer.text().contains("nobody"),
        asking.text().contains("nobody"),
    );
    drop(held);
    Ok(AttackOutcome::new(
        plain && asking,
        format!("plain call answered: {plain}, call with elicitation: {asking}"),
    ))
}

fn bake(arguments: Value, meta: Value) -> ModernRequest<'static> {
    let capabilities = json!({"extensions": {TASKS: {}}, "elicitation": {"form": {}}});
    ModernRequest::tool("bake", arguments)
        .capabilities(capabilities)
        .meta(meta)
}

/// Tasks outlive their requests, so this needs no open connections.
pub(super) fn task_flood(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(env, "task-flood")?;
    let attacker = TortureClient::new(target.port, 2);
    // The tasks wait for input. Without capacity for a task, the call is answered with
    // `inputRequests` immediately.
    let bake = || bake(json!({"loaves": 1, "pause_ms": 0}), json!({}));
    let mut made = 0;
    for _ in 0..1_100 {
        let answer = attacker.modern(&bake())?;
        made += usize::from(answer.response()["result"]["taskId"].is_string());
    }
    let other = TortureClient::new(target.port, 1).modern(&bake())?;
    let task = other.response()["result"]["taskId"].is_string();
    Ok(AttackOutcome::new(
        task && made > 0,
        format!("{made} tasks for one caller, then a task for another: {task}"),
    ))
}

/// A cancelled task is kept until it expires; the parameters of its call must not be.
pub(super) fn cancelled_tasks(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(env, "cancelled-tasks")?;
    let client = TortureClient::new(target.port, 1);
    client.call("whoami", json!({}))?;
    let before = target.memory()?;
    let mut made = 0;
    let (padding, short) = ("x".repeat(3_500_000), json!({"loaves": 1, "pause_ms": 100}));
    for _ in 0..90 {
        let answer = client.modern(&bake(
            short.clone(),
            json!({"com.example/padding": padding}),
        ))?;
        let Some(id) = answer.response()["result"]["taskId"].as_str() else {
            continue;
        };
        made += 1;
        let cancel = ModernRequest::new("tasks/cancel", json!({"taskId": id}));
        let cancel = cancel.capabilities(json!({"extensions": {TASKS: {}}}));
        client.modern(&ModernRequest {
            name: Some(id),
            ..cancel
        })?;
    }
    let outcome = memory_growth(&target, before, 100)?;
    Ok(AttackOutcome::new(
        outcome.holds && made > 0,
        format!("{}, {made} were tasks", outcome.observed),
    ))
}

/// The client chooses how long the results of legacy tasks are kept.
pub(super) fn legacy_task_results(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(env, "legacy-task-results", &[])?;
    let client = TortureClient::new(target.port, 1);
    client.call("whoami", json!({}))?;
    let before = target.memory()?;
    let session = client.handshake(json!({}))?;
    for id in 0..24 {
        let params = json!({"name": "big", "arguments": {"mib": 15}, "task": {"ttl": 86_400_000}});
        client.legacy(
            Some(&session),
            &json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}),
        )?;
    }
    let started = Instant::now();
    while started.elapsed() < 2 * ARRIVED && target.memory()?.saturating_sub(before) < 128 + 32 {
        thread::sleep(Duration::from_millis(500));
    }
    memory_growth(&target, before, 128)
}

/// A session keeps the URIs of its subscriptions.
pub(super) fn huge_subscriptions(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(env, "huge-subscriptions")?;
    let client = TortureClient::new(target.port, 1);
    let session = client.handshake(json!({}))?;
    let before = target.memory()?;
    let mut taken = 0;
    for id in 0..120 {
        let params = json!({"uri": format!("demo://{id}/{}", "x".repeat(3_500_000))});
        let message =
            json!({"jsonrpc": "2.0", "id": id, "method": "resources/subscribe", "params": params});
        let answer = client.legacy(Some(&session), &message)?;
        taken += usize::from(answer.response().get("result").is_some());
    }
    let outcome = memory_growth(&target, before, 64)?;
    Ok(AttackOutcome::new(
        outcome.holds,
        format!("{}, {taken} accepted", outcome.observed),
    ))
}

/// Streams that are open but never read must not block handlers.
pub(super) fn unread_streams(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(env, "unread-streams")?;
    let attacker = TortureClient::new(target.port, 2);
    let progress = json!({"progressToken": "p"});
    let request =
        ModernRequest::tool("countdown", json!({"from": 1000, "pause_ms": 100})).meta(progress);
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut connection = UnreadConnection::connect(&attacker, target.port)?;
        flood(&mut connection, &request, 256);
        held.push(connection);
    }
    let other = TortureClient::new(target.port, 1);
    let started = Instant::now();
    let (mut refused, mut freed) = (0, None);
    while started.elapsed() < UNREAD {
        if other
            .call("whoami", json!({}))
            .is_ok_and(|answer| answer.text().contains("replica"))
        {
            freed.get_or_insert_with(|| started.elapsed().as_secs());
            // Early answers can precede the exhaustion.
            if started.elapsed() > FILLED {
                break;
            }
        } else {
            (refused, freed) = (refused + 1, None);
        }
        thread::sleep(Duration::from_millis(500));
    }
    drop(held);
    let observed = match freed {
        Some(after) => {
            format!("{refused} calls of another caller refused; answered after {after} s")
        }
        None => format!(
            "{refused} calls of another caller refused; never answered in {} s",
            UNREAD.as_secs()
        ),
    };
    Ok(AttackOutcome::new(freed.is_some(), observed))
}

/// Answers that are ready but never read must be dropped.
pub(super) fn unread_answers(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(env, "unread-answers", &[])?;
    let client = TortureClient::new(target.port, 1);
    client.call("whoami", json!({}))?;
    let before = target.memory()?;
    let request = ModernRequest::tool("big", json!({"mib": 2}));
    let mut connection = UnreadConnection::connect(&client, target.port)?;
    flood(&mut connection, &request, 256);
    let started = Instant::now();
    let mut peak = 0;
    while started.elapsed() < ARRIVED {
        peak = peak.max(target.memory()?.saturating_sub(before));
        thread::sleep(Duration::from_millis(500));
    }
    while started.elapsed() < UNREAD && target.memory()?.saturating_sub(before) >= 64 {
        thread::sleep(Duration::from_secs(1));
    }
    let outcome = memory_growth(&target, before, 64)?;
    drop(connection);
    let after = started.elapsed().as_secs();
    Ok(AttackOutcome::new(
        outcome.holds,
        format!("at most {peak} MiB; {} after {after} s", outcome.observed),
    ))
}

/// Opens this many streams, or fewer if the server closes the connection.
fn flood(connection: &mut UnreadConnection, request: &ModernRequest<'_>, streams: usize) {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", request.method),
        ("mcp-name", request.name.unwrap_or_default()),
    ];
    let body = request.body().to_string();
    for _ in 0..streams {
        if connection.post(&headers, &body).is_err() {
            return;
        }
    }
}

/// Measures how much the process has grown, after giving it time to release memory.
fn memory_growth(target: &TortureTarget, before: u64, bound: u64) -> CommandResult<AttackOutcome> {
    let started = Instant::now();
    loop {
        let grown = target.memory()?.saturating_sub(before);
        if grown < bound || started.elapsed() > RELEASE_TIME {
            // The server must still answer.
            let alive = read(TortureClient::new(target.port, 3).open("GET", &[], "")?)?.status != 0;
            return Ok(AttackOutcome::new(
                grown < bound && alive,
                format!("{grown} MiB more"),
            ));
        }
        thread::sleep(Duration::from_millis(200));
    }
}
