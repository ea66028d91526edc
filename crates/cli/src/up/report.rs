//! Logs which servers answer, their revision, and which callers share their sessions.

use carryall::SessionScope;
use carryall::gateway::Upstream;
use carryall::proto::{CallError, EraDecision, Outcome, Printable};
use std::time::Duration;
use tokio::time::sleep;

/// Timeout of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval between probes of servers that do not answer.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// A server at a URL that has not answered yet.
pub(super) struct ProbedServer {
    pub(super) label: String,
    /// Returns the revision once it is known.
    pub(super) decision: Box<dyn Fn() -> Option<EraDecision> + Send + Sync>,
}

/// Logs each server when it answers for the first time, and once if it does not.
pub(super) async fn watch(upstream: Upstream, mut pending: Vec<ProbedServer>, scope: SessionScope) {
    let mut first = true;
    loop {
        for (label, answer) in upstream.check(PROBE_TIMEOUT).await {
            let Some(index) = pending.iter().position(|server| *server.label == *label) else {
                continue;
            };
            match answer {
                Ok(answer) => {
                    let server = pending.remove(index);
                    if !first {
                        tracing::info!("{label} now answers");
                    }
                    if let Outcome::Error(error) = answer {
                        let message = Printable(&error.message);
                        tracing::warn!(
                            "{label} answers server/discover with an error: {message} ({})",
                            error.code
                        );
                    }
                    log_revision(upstream.name(), (server.decision)(), scope);
                }
                Err(error) if first => {
                    tracing::warn!("{}", describe_failure(&label, upstream.name(), &error))
                }
                Err(_) => {}
            }
        }
        if pending.is_empty() {
            return;
        }
        first = false;
        sleep(PROBE_INTERVAL).await;
    }
}

/// Describes why a server does not answer, and what to do about it.
fn describe_failure(label: &str, name: &str, error: &CallError) -> String {
    match error {
        CallError::NotMcp { status: 401, .. } => format!(
            "{label} requires credentials (HTTP 401): pass them with --header '{name}=Authorization: Bearer ${{VARIABLE}}', \
             which expands the variable so that it does not appear in the process list"
        ),
        CallError::NotMcp { status: 403, body } => {
            format!("{label} denies access (HTTP 403): {}", Printable(body))
        }
        CallError::NotMcp {
            status: 404 | 405, ..
        } => {
            format!(
                "{label} is not an MCP endpoint ({error}): check its path",
                error = Printable(&error.to_string())
            )
        }
        _ => format!(
            "{label} does not answer yet: {}; requests to it fail until it does",
            Printable(&error.to_string())
        ),
    }
}

/// Logs the revision of a server and, if that has sessions, which callers share one.
pub(super) fn log_revision(name: &str, decision: Option<EraDecision>, scope: SessionScope) {
    let Some(decision) = decision else { return };
    let version = decision.version.as_str();
    if decision.version.is_modern() {
        tracing::info!("{name} speaks {version}, which has no sessions");
    } else {
        tracing::info!(
            "{name} speaks {version}, which has sessions: {}",
            describe_sharing(name, scope)
        );
    }
}

/// Describes which callers share a session. Nothing authenticates the callers of `carryall up`, so
/// there are no principals.
fn describe_sharing(name: &str, scope: SessionScope) -> String {
    match scope {
        SessionScope::Principal => {
            format!(
                "callers are not authenticated, so all of them share its sessions, with logins and other state; \
                 --sessions {name}=per-client separates them, {name}=shared accepts it"
            )
        }
        SessionScope::Shared => "all callers share them, as set by --sessions".into(),
        SessionScope::Client => {
            "each client (session or connection) has its own, as set by --sessions".into()
        }
        SessionScope::Call => "each call has its own, as set by --sessions".into(),
        other => format!("{other}, as set by --sessions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_described_and_their_text_is_sanitized() {
        let not_mcp = |status| CallError::NotMcp {
            status,
            body: "no\u{1b}[31m".into(),
        };
        for (error, says) in [
            (not_mcp(401), "--header 'files=Authorization"),
            (not_mcp(403), "denies access"),
            (not_mcp(404), "path"),
            (not_mcp(502), "HTTP 502"),
            (CallError::unreachable("refused"), "does not answer yet"),
            (CallError::Timeout(PROBE_TIMEOUT), "no answer within 3s"),
        ] {
            let text = describe_failure("http://x/mcp", "files", &error);
            assert!(
                text.starts_with("http://x/mcp ") && text.contains(says),
                "{text}"
            );
            assert!(
                !text.contains('\u{1b}') && !text.contains("2026-07-28"),
                "{text}"
            );
        }
    }

    #[test]
    fn every_scope_is_described() {
        let all: Vec<String> = SessionScope::ALL
            .into_iter()
            .map(|scope| describe_sharing("files", scope))
            .collect();
        assert!(
            all.iter().all(|text| text.contains("--sessions")),
            "{all:?}"
        );
        assert!(all[0].contains("--sessions files=per-client"), "{}", all[0]);
    }
}
