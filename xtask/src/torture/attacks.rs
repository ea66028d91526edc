//! The list of attacks.

mod exhaustion;
mod forgery;
mod isolation;
mod shutdown;

use super::{AttackEnv, AttackOutcome};
use crate::CommandResult;

/// One attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// The bound that must hold.
    pub(super) bound: &'static str,
    pub(super) run: fn(&AttackEnv) -> CommandResult<AttackOutcome>,
}

pub(super) const ALL: &[Attack] = &[
    Attack {
        name: "stolen-question",
        bound: "an elicitation of one caller's call reaches no other caller",
        run: isolation::stolen_question,
    },
    Attack {
        name: "answered-question",
        bound: "the only caller receives the elicitation, and its answer arrives",
        run: isolation::answered_question,
    },
    Attack {
        name: "shared-login",
        bound: "with --sessions per-client, a login stays with its client",
        run: isolation::shared_login,
    },
    Attack {
        name: "overheard-log",
        bound: "log messages of one caller's call reach no other caller",
        run: isolation::overheard_log,
    },
    Attack {
        name: "odd-listens",
        bound: "8 listens with unusual capabilities leave a stdio upstream usable",
        run: exhaustion::odd_listens,
    },
    Attack {
        name: "task-flood",
        bound: "one caller's 1,100 tasks leave capacity for another caller",
        run: exhaustion::task_flood,
    },
    Attack {
        name: "cancelled-tasks",
        bound: "90 cancelled tasks of 3.5 MB retain less than 100 MiB",
        run: exhaustion::cancelled_tasks,
    },
    Attack {
        name: "legacy-task-results",
        bound: "24 legacy tasks with results of 15 MiB retain less than 128 MiB",
        run: exhaustion::legacy_task_results,
    },
    Attack {
        name: "huge-subscriptions",
        bound: "120 subscriptions to URIs of 3.5 MB retain less than 64 MiB",
        run: exhaustion::huge_subscriptions,
    },
    Attack {
        name: "unread-streams",
        bound: "10,240 HTTP/2 streams with a zero window are closed after 75 s",
        run: exhaustion::unread_streams,
    },
    Attack {
        name: "unread-answers",
        bound: "256 unread HTTP/2 answers of 2 MiB retain less than 64 MiB after 75 s",
        run: exhaustion::unread_answers,
    },
    Attack {
        name: "forged-log",
        bound: "every log line is short, printable and not forged",
        run: forgery::forged_log,
    },
    Attack {
        name: "endless-description",
        bound: "the command exits, or reacts to Ctrl-C, within 10 s",
        run: forgery::endless_description,
    },
    Attack {
        name: "open-stream",
        bound: "SIGTERM ends a server with open legacy streams within 5 s",
        run: shutdown::open_stream,
    },
    Attack {
        name: "retry-now",
        bound: "an upstream that sends `retry: 0` receives at most 40 requests in 5 s",
        run: shutdown::retry_now,
    },
];
