//! What the operator is told about the servers: which answer, of what revision they are, and who
//! shares their sessions.

use carryall::SessionScope;
use carryall::gateway::Upstream;
use carryall::proto::{CallError, EraDecision, Outcome, Printable};
use std::time::Duration;
use tokio::time::sleep;

/// How long a server may take to show that it is there.
const CHECK: Duration = Duration::from_secs(3);
/// Between two looks at those that do not answer.
const AGAIN: Duration = Duration::from_secs(5);

/// A server at a URL.
pub(super) struct Watched {
    pub(super) label: String,
    /// The revision, once it is known.
    pub(super) decision: Box<dyn Fn() -> Option<EraDecision> + Send + Sync>,
}

/// Reports each server when it answers for the first time, and once if it does not.
pub(super) async fn watch(upstream: Upstream, mut silent: Vec<Watched>, scope: SessionScope) {
    let mut first = true;
    loop {
        for (label, answer) in upstream.check(CHECK).await {
            let Some(at) = silent.iter().position(|watched| *watched.label == *label) else {
                continue;
            };
            match answer {
                Ok(answer) => {
                    let watched = silent.remove(at);
                    if !first {
                        tracing::info!("{label} answers now");
                    }
                    if let Outcome::Error(error) = answer {
                        let message = Printable(&error.message);
                        tracing::warn!(
                            "{label} answers server/discover with an error: {message} ({})",
                            error.code
                        );
                    }
                    came_up(upstream.name(), (watched.decision)(), scope);
                }
                Err(error) if first => {
                    tracing::warn!("{}", trouble(&label, upstream.name(), &error))
                }
                Err(_) => {}
            }
        }
        if silent.is_empty() {
            return;
        }
        first = false;
        sleep(AGAIN).await;
    }
}

/// What is wrong with a server that does not answer, and what to do about it.
fn trouble(label: &str, name: &str, error: &CallError) -> String {
    match error {
        CallError::NotMcp { status: 401, .. } => format!(
            "{label} wants credentials (HTTP 401); give them with --header '{name}=Authorization: Bearer ${{VARIABLE}}', \
             where the variable is expanded by carryall and so stays out of the list of processes"
        ),
        CallError::NotMcp { status: 403, body } => {
            format!("{label} refuses access (HTTP 403): {}", Printable(body))
        }
        CallError::NotMcp {
            status: 404 | 405, ..
        } => {
            format!(
                "{label} is no MCP endpoint ({error}): see whether its path is right",
                error = Printable(&error.to_string())
            )
        }
        _ => format!(
            "{label} does not answer yet: {}; requests for it get an error until it does",
            Printable(&error.to_string())
        ),
    }
}

/// Says of which revision a server is, and, if that has sessions, which callers share one.
pub(super) fn came_up(name: &str, decision: Option<EraDecision>, scope: SessionScope) {
    let Some(decision) = decision else { return };
    let version = decision.version.as_str();
    if decision.version.is_modern() {
        tracing::info!("{name} speaks {version}, which has no sessions");
    } else {
        tracing::info!(
            "{name} speaks {version}, a revision with sessions: {}",
            who_shares(name, scope)
        );
    }
}

/// There are no principals here: nothing authenticates the callers of `carryall up`.
fn who_shares(name: &str, scope: SessionScope) -> String {
    match scope {
        SessionScope::Principal => {
            let what = "callers are not authenticated here, so all of them share its sessions, with a login and whatever";
            let choice = format!(
                "--sessions {name}=per-client keeps them apart, {name}=shared says that this is meant"
            );
            format!("{what} else it keeps there; {choice}")
        }
        SessionScope::Shared => "all callers share them, as --sessions says".into(),
        SessionScope::Client => {
            "each client (session or connection) has its own, as --sessions says".into()
        }
        SessionScope::Call => "each call has its own, as --sessions says".into(),
        other => format!("they are {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_says_what_happened_and_foreign_text_is_clean() {
        let not_mcp = |status| CallError::NotMcp {
            status,
            body: "no\u{1b}[31m".into(),
        };
        for (error, says) in [
            (not_mcp(401), "--header 'files=Authorization"),
            (not_mcp(403), "refuses access"),
            (not_mcp(404), "path"),
            (not_mcp(502), "HTTP 502"),
            (CallError::unreachable("refused"), "does not answer yet"),
            (CallError::Timeout(CHECK), "no answer within 3s"),
        ] {
            let text = trouble("http://x/mcp", "files", &error);
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
    fn every_way_of_sharing_is_named() {
        let all: Vec<String> = SessionScope::ALL
            .into_iter()
            .map(|scope| who_shares("files", scope))
            .collect();
        assert!(
            all.iter().all(|text| text.contains("--sessions")),
            "{all:?}"
        );
        assert!(all[0].contains("--sessions files=per-client"), "{}", all[0]);
    }
}
