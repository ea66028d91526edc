//! The attacks.

mod crossing;
mod exhaustion;
mod forgery;
mod shutdown;

use super::{Arena, AttackOutcome};
use crate::CommandResult;

/// One attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What must hold.
    pub(super) bound: &'static str,
    pub(super) run: fn(&Arena) -> CommandResult<AttackOutcome>,
}

pub(super) const ALL: &[Attack] = &[
    Attack {
        name: "stolen-question",
        bound: "a question of one caller's call reaches no other caller",
        run: crossing::stolen_question,
    },
    Attack {
        name: "answered-question",
        bound: "the only caller is asked, and its answer arrives",
        run: crossing::answered_question,
    },
    Attack {
        name: "shared-login",
        bound: "with --sessions per-client, a login stays with its client",
        run: crossing::shared_login,
    },
    Attack {
        name: "overheard-log",
        bound: "log messages of one caller's call reach no other caller",
        run: crossing::overheard_log,
    },
    Attack {
        name: "odd-listens",
        bound: "8 listens with odd capabilities leave a stdio upstream usable",
        run: exhaustion::odd_listens,
    },
    Attack {
        name: "task-flood",
        bound: "one caller's 1,100 tasks leave room for another's",
        run: exhaustion::task_flood,
    },
    Attack {
        name: "cancelled-tasks",
        bound: "90 cancelled tasks of 3.5 MB pin less than 100 MiB",
        run: exhaustion::cancelled_tasks,
    },
    Attack {
        name: "legacy-task-results",
        bound: "24 legacy tasks with results of 15 MiB pin less than 128 MiB",
        run: exhaustion::legacy_task_results,
    },
    Attack {
        name: "huge-subscriptions",
        bound: "120 subscriptions to URIs of 3.5 MB pin less than 64 MiB",
        run: exhaustion::huge_subscriptions,
    },
    Attack {
        name: "unread-streams",
        bound: "10,240 HTTP/2 streams with a zero window are gone after 75 s",
        run: exhaustion::unread_streams,
    },
    Attack {
        name: "unread-answers",
        bound: "256 unread HTTP/2 answers of 2 MiB pin less than 64 MiB after 75 s",
        run: exhaustion::unread_answers,
    },
    Attack {
        name: "forged-log",
        bound: "every line of the log is short, printable and ours",
        run: forgery::forged_log,
    },
    Attack {
        name: "endless-description",
        bound: "the command line ends, or obeys Ctrl-C, within 10 s",
        run: forgery::endless_description,
    },
    Attack {
        name: "open-stream",
        bound: "SIGTERM ends a server with open legacy streams within 5 s",
        run: shutdown::open_stream,
    },
    Attack {
        name: "retry-now",
        bound: "an upstream that says `retry: 0` is asked at most 40 times in 5 s",
        run: shutdown::retry_now,
    },
];
