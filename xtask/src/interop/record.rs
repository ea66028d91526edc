//! What was checked and what came of it.

use super::transports::Transport;
use crate::table;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Result {
    Pass(String),
    Fail(String),
    /// It fails, for a reason that lies with the software of others.
    Theirs(String),
    /// Nothing is known: what it takes is not there.
    NotRun(String),
}

/// Whether a result is of one kind.
type ResultShape = fn(&Result) -> bool;

struct InteropRow {
    who: String,
    what: String,
    way: Transport,
    result: Result,
}

#[derive(Default)]
pub(super) struct InteropRecord(Vec<InteropRow>);

impl InteropRecord {
    pub(super) fn add(&mut self, who: &str, what: &str, way: Transport, result: Result) {
        if let Result::Fail(why) = &result {
            eprintln!(
                "FAIL: {who}, {what}, {} {}: {why}",
                way.transport(),
                way.path()
            );
        }
        self.0.push(InteropRow {
            who: who.to_owned(),
            what: what.to_owned(),
            way,
            result,
        });
    }

    pub(super) fn failures(&self) -> usize {
        self.0
            .iter()
            .filter(|row| matches!(row.result, Result::Fail(_)))
            .count()
    }

    pub(super) fn sum(&self) -> String {
        let [passed, failed, theirs, not_run] = counts(self.0.iter());
        format!(
            "{passed} checks pass, {failed} fail, {theirs} fail for what the software of others lacks, {not_run} were not run"
        )
    }

    /// Every check, one row each.
    pub(super) fn table(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .0
            .iter()
            .map(|row| {
                let (Result::Pass(says)
                | Result::Fail(says)
                | Result::Theirs(says)
                | Result::NotRun(says)) = &row.result;
                let cells = [
                    &row.who,
                    row.way.transport(),
                    row.way.path(),
                    &row.what,
                    word(row),
                    &cut(says),
                ];
                cells.iter().map(|cell| (*cell).to_owned()).collect()
            })
            .collect();
        table::render(
            &["who", "transport", "path", "what", "result", "says"],
            &rows,
        )
    }

    /// `docs/interop.md`.
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
        let kinds: [(&str, ResultShape); 3] = [
            ("What failed", |result| matches!(result, Result::Fail(_))),
            ("What the software of others lacks", |result| {
                matches!(result, Result::Theirs(_))
            }),
            ("What was not run", |result| {
                matches!(result, Result::NotRun(_))
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

    /// How many checks of each section came to what.
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
        table::render(&["who", "pass", "fail", "theirs", "not run"], &rows)
    }

    /// One row for each check, one column for each way on which it was made.
    fn section(&self, who: &str) -> String {
        let rows = || self.0.iter().filter(|row| row.who == who);
        let ways: Vec<Transport> = Transport::ALL
            .into_iter()
            .chain(Transport::SLOW)
            .chain([Transport::Both])
            .filter(|way| rows().any(|row| row.way == *way))
            .collect();
        let titles: Vec<String> = ways
            .iter()
            .map(|way| format!("{}, {}", way.transport(), way.path()))
            .collect();
        let mut header = vec!["check"];
        header.extend(titles.iter().map(String::as_str));
        let cells = |what: &str| -> Vec<String> {
            let result = |way: &Transport| {
                rows()
                    .find(|row| row.what == what && row.way == *way)
                    .map_or("", word)
                    .to_owned()
            };
            std::iter::once(what.to_owned())
                .chain(ways.iter().map(result))
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
        Result::Pass(_) => "pass",
        Result::Fail(_) => "FAIL",
        Result::Theirs(_) => "theirs",
        Result::NotRun(_) => "not run",
    }
}

/// Passed, failed, failed for what others lack, not run.
fn counts<'a>(rows: impl Iterator<Item = &'a InteropRow>) -> [usize; 4] {
    let mut counts = [0; 4];
    for row in rows {
        counts[match row.result {
            Result::Pass(_) => 0,
            Result::Fail(_) => 1,
            Result::Theirs(_) => 2,
            Result::NotRun(_) => 3,
        }] += 1;
    }
    counts
}

/// One line. What was not run is told once for each section, and what others lack once for all
/// ways.
fn problem(row: &InteropRow) -> String {
    let (transport, path) = (row.way.transport(), row.way.path());
    match &row.result {
        Result::Fail(why) | Result::Pass(why) => {
            format!(
                "- {}, {}, {transport} {path}: {}",
                row.who,
                row.what,
                cut(why)
            )
        }
        Result::Theirs(why) => format!("- {}, {}: {}", row.who, row.what, cut(why)),
        Result::NotRun(why) => format!("- {}: {}", row.who, cut(why)),
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

/// What a table has room for, on one line and without what would end a cell.
fn cut(text: &str) -> String {
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
# Against software that others wrote

Written by `cargo xtask interop`; run it again rather than edit this page. It needs npm, Python 3.10 or newer, Go and a
Rust toolchain, installs the rest from the registries below the target folder, and binds to the loopback alone. What
cannot be installed is shown as not run. `--only A,B` runs some of it and leaves this page alone; `cargo xtask help` names
the parts.

The programs on the SDKs are under `interop/`: small servers that `carryall` calls, and clients that call `carryall demo`.
Servers run with their SDK's defaults. A client of the new era is told to negotiate and must arrive at 2026-07-28; one of
the old era shakes hands, and must arrive at one of the revisions before. `carryall` finds out which era a server is of;
for one that speaks both, the old era is asked for with `--era legacy`.

- *http, direct*: client and server speak Streamable HTTP with each other.
- *http, through up*: `carryall up --http URL` in between; for the demo plain `carryall up`, with two replicas.
- *stdio, direct*: the client starts the server.
- *http to stdio, through up*: `carryall up --stdio 'COMMAND'` in between.
- *slow stdio, direct*, *http to slow stdio, through up*: the same with a server that is not there for its first 2.5 s.
- *http to both, through up*: one `carryall up` in front of a server on each SDK, half of them over stdio.

An empty cell is a check that makes no sense there: plain `up` makes no pages, and a server that was started for one call
cannot be asked afterwards what became of it. *theirs* is a check that fails for something that the software of others
lacks; it is listed at the end, and counts as passed nowhere.
";

const NOTES: &str = "
## Notes

- The TypeScript clients call notification handlers in a microtask and settle a call at once. Over stdio, where a last
  progress notification is often read together with the answer, they then have no handler any more. The check counts what
  arrives at the client's transport.
- rmcp's server does not put `serverInfo` on the results of calls, which servers should do; `carryall` does without.
- rmcp's handlers for notifications run beside the call, so that the last may run after the answer: the check waits.
- The Python v1 client tells nobody when a call is cancelled: the program sends the notification itself.
- The HTTP handlers of the TypeScript v2 and Go SDKs serve the new era without sessions or the old one with them, not
  both. Their servers have one of each and choose by the request, as their documentation has it.
";

#[cfg(test)]
mod tests {
    use super::{InteropRecord, Result};
    use crate::interop::transports::Transport;

    #[test]
    fn what_was_not_run_is_never_counted_as_passed() {
        let mut record = InteropRecord::default();
        record.add("X", "list", Transport::Http, Result::Pass("3 tools".into()));
        record.add(
            "X",
            "list",
            Transport::Stdio,
            Result::NotRun("npm is not installed".into()),
        );
        record.add(
            "X",
            "read",
            Transport::Http,
            Result::Theirs("it cannot".into()),
        );
        let sum =
            "1 checks pass, 0 fail, 1 fail for what the software of others lacks, 1 were not run";
        assert_eq!((record.failures(), record.sum().as_str()), (0, sum));
        record.add(
            "X",
            "call",
            Transport::Http,
            Result::Fail("a | b\nc".into()),
        );
        assert_eq!(record.failures(), 1);
        let text = record.document(&[("x".into(), "1".into())]);
        assert!(
            text.contains("| list  | pass         | not run       |"),
            "{text}"
        );
        assert!(text.contains("| call  | FAIL         |"), "{text}");
        assert!(
            text.contains("| X   |    1 |    1 |      1 |       1 |"),
            "{text}"
        );
        assert!(
            text.contains("## What failed\n\n- X, call, http direct: a / b c\n"),
            "{text}"
        );
        assert!(text.contains("lacks\n\n- X, read: it cannot\n"), "{text}");
        assert!(
            text.contains("not run\n\n- X: npm is not installed\n"),
            "{text}"
        );
    }
}
