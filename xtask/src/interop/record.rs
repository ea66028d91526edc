//! The checks and their outcomes, and the page that records them.

use super::routes::Route;
use crate::table;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CheckOutcome {
    Pass(String),
    Fail(String),
    /// Fails because of a known issue of the third-party software.
    KnownIssue(String),
    /// Something that the check needs is not available.
    NotRun(String),
}

/// Whether an outcome is of one kind.
type OutcomeFilter = fn(&CheckOutcome) -> bool;

struct InteropRow {
    who: String,
    what: String,
    route: Route,
    result: CheckOutcome,
}

#[derive(Default)]
pub(super) struct InteropRecord(Vec<InteropRow>);

impl InteropRecord {
    pub(super) fn add(&mut self, who: &str, what: &str, route: Route, result: CheckOutcome) {
        if let CheckOutcome::Fail(why) = &result {
            eprintln!(
                "FAIL: {who}, {what}, {} {}: {why}",
                route.transport(),
                route.path()
            );
        }
        self.0.push(InteropRow {
            who: who.to_owned(),
            what: what.to_owned(),
            route,
            result,
        });
    }

    pub(super) fn failures(&self) -> usize {
        self.0
            .iter()
            .filter(|row| matches!(row.result, CheckOutcome::Fail(_)))
            .count()
    }

    pub(super) fn sum(&self) -> String {
        let [passed, failed, known, not_run] = counts(self.0.iter());
        format!(
            "{passed} checks pass, {failed} fail, {known} fail because of known issues of third-party software, {not_run} were not run"
        )
    }

    /// Renders one row for each check.
    pub(super) fn table(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .0
            .iter()
            .map(|row| {
                let (CheckOutcome::Pass(detail)
                | CheckOutcome::Fail(detail)
                | CheckOutcome::KnownIssue(detail)
                | CheckOutcome::NotRun(detail)) = &row.result;
                let cells = [
                    &row.who,
                    row.route.transport(),
                    row.route.path(),
                    &row.what,
                    word(row),
                    &truncate(detail),
                ];
                cells.iter().map(|cell| (*cell).to_owned()).collect()
            })
            .collect();
        table::render(
            &["who", "transport", "path", "what", "result", "detail"],
            &rows,
        )
    }

    /// Renders `docs/interop.md`.
    pub(super) fn document(&self, versions: &[(String, String)]) -> String {
        let rows: Vec<Vec<String>> = versions
            .iter()
            .map(|(what, version)| vec![what.clone(), version.clone()])
            .collect();
        let versions = table::render(&["what", "version"], &rows);
        let mut text = format!(
            "{INTRODUCTION}\n## Versions\n\n{versions}\n## Summary\n\n{}.\n\n{}",
            self.sum(),
            self.summary()
        );
        for who in distinct(self.0.iter().map(|row| row.who.as_str())) {
            text.push_str(&format!("\n## {who}\n\n{}", self.section(who)));
        }
        let kinds: [(&str, OutcomeFilter); 3] = [
            ("Failures", |result| matches!(result, CheckOutcome::Fail(_))),
            ("Known issues of third-party software", |result| {
                matches!(result, CheckOutcome::KnownIssue(_))
            }),
            ("Not run", |result| {
                matches!(result, CheckOutcome::NotRun(_))
            }),
        ];
        for (title, kind) in kinds {
            let rows: Vec<String> = self
                .0
                .iter()
                .filter(|row| kind(&row.result))
                .map(problem)
                .collect();
            if !rows.is_empty() {
                text.push_str(&format!(
                    "\n## {title}\n\n{}\n",
                    distinct(rows.iter().map(String::as_str)).join("\n")
                ));
            }
        }
        text.push_str(NOTES);
        text
    }

    /// Counts the outcomes in each section.
    fn summary(&self) -> String {
        let counted = |who: &str| -> Vec<String> {
            let counts = counts(self.0.iter().filter(|row| row.who == who));
            std::iter::once(who.to_owned())
                .chain(counts.map(|count| count.to_string()))
                .collect()
        };
        let rows: Vec<Vec<String>> = distinct(self.0.iter().map(|row| row.who.as_str()))
            .into_iter()
            .map(counted)
            .collect();
        table::render(&["who", "pass", "fail", "known issue", "not run"], &rows)
    }

    /// Renders one row for each check and one column for each route.
    fn section(&self, who: &str) -> String {
        let rows = || self.0.iter().filter(|row| row.who == who);
        let routes: Vec<Route> = Route::ALL
            .into_iter()
            .chain(Route::SLOW)
            .chain([Route::Both])
            .filter(|route| rows().any(|row| row.route == *route))
            .collect();
        let titles: Vec<String> = routes
            .iter()
            .map(|route| format!("{}, {}", route.transport(), route.path()))
            .collect();
        let mut header = vec!["check"];
        header.extend(titles.iter().map(String::as_str));
        let cells = |what: &str| -> Vec<String> {
            let result = |route: &Route| {
                rows()
                    .find(|row| row.what == what && row.route == *route)
                    .map_or("", word)
                    .to_owned()
            };
            std::iter::once(what.to_owned())
                .chain(routes.iter().map(result))
                .collect()
        };
        let body: Vec<Vec<String>> = distinct(rows().map(|row| row.what.as_str()))
            .into_iter()
            .map(cells)
            .collect();
        table::render(&header, &body)
    }
}

fn word(row: &InteropRow) -> &'static str {
    match row.result {
        CheckOutcome::Pass(_) => "pass",
        CheckOutcome::Fail(_) => "FAIL",
        CheckOutcome::KnownIssue(_) => "known issue",
        CheckOutcome::NotRun(_) => "not run",
    }
}

/// Counts passed, failed, known issues and not run.
fn counts<'a>(rows: impl Iterator<Item = &'a InteropRow>) -> [usize; 4] {
    let mut counts = [0; 4];
    for row in rows {
        counts[match row.result {
            CheckOutcome::Pass(_) => 0,
            CheckOutcome::Fail(_) => 1,
            CheckOutcome::KnownIssue(_) => 2,
            CheckOutcome::NotRun(_) => 3,
        }] += 1;
    }
    counts
}

/// Renders a problem as one line. A reason for not running stands once per section, a known issue
/// once for all routes.
fn problem(row: &InteropRow) -> String {
    let (transport, path) = (row.route.transport(), row.route.path());
    match &row.result {
        CheckOutcome::Fail(why) | CheckOutcome::Pass(why) => {
            format!(
                "- {}, {}, {transport} {path}: {}",
                row.who,
                row.what,
                truncate(why)
            )
        }
        CheckOutcome::KnownIssue(why) => format!("- {}, {}: {}", row.who, row.what, truncate(why)),
        CheckOutcome::NotRun(why) => format!("- {}: {}", row.who, truncate(why)),
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// Shortens a text to one line that fits into a table cell.
fn truncate(text: &str) -> String {
    let line = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "/");
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

const INTRODUCTION: &str = "\
# Interoperability

Written by `cargo xtask interop`; run it again rather than edit this page. It needs npm, Python 3.10 or newer, Go and a
Rust toolchain, installs the rest from the registries below the target folder, and binds to the loopback only. What
cannot be installed is shown as not run. `--only A,B` runs a part of it and does not change this page; `cargo xtask help`
lists the parts.

The programs built with the SDKs are under `interop/`: small servers that `carryall` calls, and clients that call
`carryall demo`. Servers run with the defaults of their SDK. A modern client negotiates and must arrive at 2026-07-28; a
legacy client performs the handshake and must arrive at an earlier revision. `carryall` detects the era of a server; for
one that supports both, the legacy era is requested with `--era legacy`.

- *http, direct*: client and server speak Streamable HTTP with each other.
- *http, through up*: `carryall up --http URL` in between; for the demo plain `carryall up`, with two replicas.
- *stdio, direct*: the client starts the server.
- *http to stdio, through up*: `carryall up --stdio 'COMMAND'` in between.
- *slow stdio, direct*, *http to slow stdio, through up*: the same with a server that starts 2.5 s late.
- *http to both, through up*: one `carryall up` in front of a server on each SDK, half of them over stdio.

An empty cell is a check that does not apply there: plain `up` does not paginate, and a server that was started for one
call cannot be queried afterwards. *known issue* is a check that fails because of an issue of the third-party software; it
is listed at the end and never counted as passed.
";

const NOTES: &str = "
## Notes

- The TypeScript clients call notification handlers in a microtask, but complete a call immediately. Over stdio, where the
  last progress notification is often read together with the response, its handler is then already removed. The check
  counts what arrives at the client's transport.
- rmcp's server does not set `serverInfo` on the results of calls, which servers should do; `carryall` accepts that.
- rmcp runs notification handlers concurrently with the call, so the last one may run after the response: the check waits.
- The Python v1 client sends no notification when a call is cancelled: the program sends it itself.
- The HTTP handlers of the TypeScript v2 and Go SDKs serve either the modern era without sessions or the legacy era with
  sessions. Their servers have one of each and choose by the request, as the documentation of the SDKs recommends.
";

#[cfg(test)]
mod tests {
    use super::{CheckOutcome, InteropRecord};
    use crate::interop::routes::Route;

    #[test]
    fn checks_that_did_not_run_do_not_count_as_passed() {
        let mut record = InteropRecord::default();
        record.add(
            "X",
            "list",
            Route::Http,
            CheckOutcome::Pass("3 tools".into()),
        );
        record.add(
            "X",
            "list",
            Route::Stdio,
            CheckOutcome::NotRun("npm is not installed".into()),
        );
        record.add(
            "X",
            "read",
            Route::Http,
            CheckOutcome::KnownIssue("it cannot".into()),
        );
        let sum = "1 checks pass, 0 fail, 1 fail because of known issues of third-party software, 1 were not run";
        assert_eq!((record.failures(), record.sum().as_str()), (0, sum));
        record.add(
            "X",
            "call",
            Route::Http,
            CheckOutcome::Fail("a | b\nc".into()),
        );
        assert_eq!(record.failures(), 1);
        let text = record.document(&[("x".into(), "1".into())]);
        assert!(
            text.contains("| list  | pass         | not run       |"),
            "{text}"
        );
        assert!(text.contains("| call  | FAIL         |"), "{text}");
        assert!(
            text.contains("| X   |    1 |    1 |           1 |       1 |"),
            "{text}"
        );
        assert!(
            text.contains("## Failures\n\n- X, call, http direct: a / b c\n"),
            "{text}"
        );
        assert!(
            text.contains("software\n\n- X, read: it cannot\n"),
            "{text}"
        );
        assert!(
            text.contains("Not run\n\n- X: npm is not installed\n"),
            "{text}"
        );
    }
}
