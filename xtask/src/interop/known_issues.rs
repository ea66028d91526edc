//! Known issues of third-party software. The checks run anyway: a failure that is listed here is
//! shown as a known issue, and a success counts as passed.

use super::record::CheckOutcome;
use super::routes::{ProtocolEra, Route};

/// The side of the third-party software.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PeerSide {
    Client,
    Server,
}

struct KnownIssue {
    side: PeerSide,
    part: &'static str,
    eras: &'static [ProtocolEra],
    routes: &'static [Route],
    what: &'static str,
    why: &'static str,
}

const KNOWN_ISSUES: [KnownIssue; 2] = [
    KnownIssue {
        side: PeerSide::Server,
        part: "go",
        eras: &[ProtocolEra::Modern],
        routes: &[Route::Http, Route::HttpUp],
        what: "call, cancelled after its time",
        why: "its handler without sessions does not cancel a call whose connection is closed",
    },
    KnownIssue {
        side: PeerSide::Server,
        part: "python-v1",
        eras: &[ProtocolEra::Legacy],
        routes: &Route::ALL,
        what: "listen, resource updated",
        why: "its servers always declare that they do not support subscriptions",
    },
];

/// Turns a failure that is a known issue into [`CheckOutcome::KnownIssue`].
pub(super) fn classify(
    side: PeerSide,
    part: &str,
    era: ProtocolEra,
    route: Route,
    what: &str,
    result: CheckOutcome,
) -> CheckOutcome {
    let CheckOutcome::Fail(found) = result else {
        return result;
    };
    let known = KNOWN_ISSUES.iter().find(|issue| {
        issue.side == side
            && issue.part == part
            && issue.what == what
            && issue.eras.contains(&era)
            && issue.routes.contains(&route)
    });
    match known {
        Some(issue) => CheckOutcome::KnownIssue(issue.why.to_owned()),
        None => CheckOutcome::Fail(found),
    }
}
