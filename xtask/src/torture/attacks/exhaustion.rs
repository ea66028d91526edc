//! What all share must not be used up by one.

use super::super::http::{Modern, TortureClient, read};
use super::super::http2::UnreadConnection;
use super::super::target::TortureTarget;
use super::super::{Arena, AttackOutcome};
use crate::CommandResult;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// How long freed memory takes to go back, at most.
const SETTLE: Duration = Duration::from_secs(3);
/// A stream that nobody reads is cut after 30 s, looked at in intervals of half of that.
const UNREAD: Duration = Duration::from_secs(75);
/// How long the streams take to be in flight, all of them.
const FILLED: Duration = Duration::from_secs(10);
/// How long the answers of an upstream take to arrive, all of them.
const ARRIVED: Duration = Duration::from_secs(30);
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// Processes of a stdio upstream go by what the server can notice; nobody may take them all.
pub(super) fn odd_listens(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(arena, "odd-listens", &[])?;
    let (attacker, other) = (
        TortureClient::new(target.port, 2),
        TortureClient::new(target.port, 1),
    );
    let mut held = Vec::new();
    for number in 0..8 {
        let listen = Modern::new(
            "subscriptions/listen",
            json!({"notifications": {"toolsListChanged": true}}),
        );
        let odd = json!({"experimental": {format!("odd-{number}"): {}}, "elicitation": {"form": {}}, "sampling": {}});
        held.push(attacker.open_modern(&listen.capabilities(odd))?);
        thread::sleep(Duration::from_millis(150));
    }
    let answer = other.call("whoami", json!({}))?;
    let asking =
        Modern::tool("whoami", json!({})).capabilities(json!({"elicitation": {"form": {}}}));
    let asking = other.modern(&asking)?;
    let (plain, asking) = (
        answer.text().contains("nobody"),
        asking.text().contains("nobody"),
    );
    drop(held);
    Ok(AttackOutcome::new(
        plain && asking,
        format!("plain call answered: {plain}, one that can be asked: {asking}"),
    ))
}

fn bake(arguments: Value, meta: Value) -> Modern<'static> {
    let capabilities = json!({"extensions": {TASKS: {}}, "elicitation": {"form": {}}});
    Modern::tool("bake", arguments)
        .capabilities(capabilities)
        .meta(meta)
}

/// Tasks outlive their requests, so that no connection has to be held.
pub(super) fn task_flood(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(arena, "task-flood")?;
    let attacker = TortureClient::new(target.port, 2);
    // A task waits for the answer to its question. A call without room for a task is answered with
    // the question at once.
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
        format!("{made} tasks for one caller, then one for another: {task}"),
    ))
}

/// A cancelled task is kept until its end of life, what it was called with need not be.
pub(super) fn cancelled_tasks(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(arena, "cancelled-tasks")?;
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
        let cancel = Modern::new("tasks/cancel", json!({"taskId": id}));
        let cancel = cancel.capabilities(json!({"extensions": {TASKS: {}}}));
        client.modern(&Modern {
            name: Some(id),
            ..cancel
        })?;
    }
    let verdict = grown(&target, before, 100)?;
    Ok(AttackOutcome::new(
        verdict.holds && made > 0,
        format!("{}, {made} were tasks", verdict.seen),
    ))
}

/// Results of legacy tasks are kept for as long as the client likes.
pub(super) fn legacy_task_results(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(arena, "legacy-task-results", &[])?;
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
    grown(&target, before, 128)
}

/// A subscription is kept with its session, and its URI with it.
pub(super) fn huge_subscriptions(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(arena, "huge-subscriptions")?;
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
    let verdict = grown(&target, before, 64)?;
    Ok(AttackOutcome::new(
        verdict.holds,
        format!("{}, {taken} taken", verdict.seen),
    ))
}

/// Handlers must not be held by streams that are open but never read.
pub(super) fn unread_streams(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::demo(arena, "unread-streams")?;
    let attacker = TortureClient::new(target.port, 2);
    let progress = json!({"progressToken": "p"});
    let request = Modern::tool("countdown", json!({"from": 1000, "pause_ms": 100})).meta(progress);
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
            // The first of them may come before the streams have taken everything.
            if started.elapsed() > FILLED {
                break;
            }
        } else {
            (refused, freed) = (refused + 1, None);
        }
        thread::sleep(Duration::from_millis(500));
    }
    drop(held);
    let seen = match freed {
        Some(after) => format!("{refused} calls of another refused; answered after {after} s"),
        None => format!(
            "{refused} calls of another refused; never answered in {} s",
            UNREAD.as_secs()
        ),
    };
    Ok(AttackOutcome::new(freed.is_some(), seen))
}

/// Answers that are ready but never read must not be kept.
pub(super) fn unread_answers(arena: &Arena) -> CommandResult<AttackOutcome> {
    let target = TortureTarget::edge(arena, "unread-answers", &[])?;
    let client = TortureClient::new(target.port, 1);
    client.call("whoami", json!({}))?;
    let before = target.memory()?;
    let request = Modern::tool("big", json!({"mib": 2}));
    let mut connection = UnreadConnection::connect(&client, target.port)?;
    flood(&mut connection, &request, 256);
    let started = Instant::now();
    let mut pinned = 0;
    while started.elapsed() < ARRIVED {
        pinned = pinned.max(target.memory()?.saturating_sub(before));
        thread::sleep(Duration::from_millis(500));
    }
    while started.elapsed() < UNREAD && target.memory()?.saturating_sub(before) >= 64 {
        thread::sleep(Duration::from_secs(1));
    }
    let verdict = grown(&target, before, 64)?;
    drop(connection);
    let after = started.elapsed().as_secs();
    Ok(AttackOutcome::new(
        verdict.holds,
        format!("{pinned} MiB at most; {} after {after} s", verdict.seen),
    ))
}

/// Opens streams until there are so many, or the server ends the connection, which is an answer
/// too.
fn flood(connection: &mut UnreadConnection, request: &Modern<'_>, streams: usize) {
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

/// By how much the process has grown, once it had time to give memory back.
fn grown(target: &TortureTarget, before: u64, bound: u64) -> CommandResult<AttackOutcome> {
    let started = Instant::now();
    loop {
        let grown = target.memory()?.saturating_sub(before);
        if grown < bound || started.elapsed() > SETTLE {
            // It still has to answer.
            let alive = read(TortureClient::new(target.port, 3).open("GET", &[], "")?)?.status != 0;
            return Ok(AttackOutcome::new(
                grown < bound && alive,
                format!("{grown} MiB more"),
            ));
        }
        thread::sleep(Duration::from_millis(200));
    }
}
