//! What was checked and what came of it.

use super::ways::Way;
use crate::table;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Result {
    Pass(String),
    Fail(String),
    /// Nothing is known: what it takes is not there.
    NotRun(String),
}

struct Row {
    who: String,
    what: String,
    way: Way,
    result: Result,
}

#[derive(Default)]
pub(super) struct Record(Vec<Row>);

impl Record {
    pub(super) fn add(&mut self, who: &str, what: &str, way: Way, result: Result) {
        if let Result::Fail(why) = &result {
            eprintln!("FAIL: {who}, {what}, {} {}: {why}", way.transport(), way.path());
        }
        self.0.push(Row { who: who.to_owned(), what: what.to_owned(), way, result });
    }

    pub(super) fn failures(&self) -> usize {
        self.0.iter().filter(|row| matches!(row.result, Result::Fail(_))).count()
    }

    pub(super) fn sum(&self) -> String {
        let passed = self.0.iter().filter(|row| matches!(row.result, Result::Pass(_))).count();
        let not_run = self.0.len() - passed - self.failures();
        format!("{passed} checks pass, {} fail, {not_run} were not run", self.failures())
    }

    /// Every check, one row each.
    pub(super) fn table(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .0
            .iter()
            .map(|row| {
                let (result, says) = match &row.result {
                    Result::Pass(says) => ("pass", says),
                    Result::Fail(says) => ("FAIL", says),
                    Result::NotRun(says) => ("not run", says),
                };
                let cells = [&row.who, row.way.transport(), row.way.path(), &row.what, result, &cut(says)];
                cells.iter().map(|cell| (*cell).to_owned()).collect()
            })
            .collect();
        table::render(&["who", "transport", "path", "what", "result", "says"], &rows)
    }

    /// `docs/interop.md`.
    pub(super) fn document(&self, versions: &[(String, String)]) -> String {
        let rows: Vec<Vec<String>> =
            versions.iter().map(|(what, version)| vec![what.clone(), version.clone()]).collect();
        let mut text = format!("{INTRODUCTION}\n{}\n{}.\n", table::render(&["what", "version"], &rows), self.sum());
        for who in distinct(self.0.iter().map(|row| row.who.as_str())) {
            text.push_str(&format!("\n## {who}\n\n{}", self.section(who)));
        }
        let failures: Vec<String> = self.0.iter().filter_map(problem).collect();
        if !failures.is_empty() {
            text.push_str(&format!("\n## What failed\n\n{}\n", failures.join("\n")));
        }
        text.push_str(NOTES);
        text
    }

    /// One row for each check, one column for each way on which it was made.
    fn section(&self, who: &str) -> String {
        let rows = || self.0.iter().filter(|row| row.who == who);
        let ways: Vec<Way> =
            Way::ALL.into_iter().chain([Way::Both]).filter(|way| rows().any(|row| row.way == *way)).collect();
        let titles: Vec<String> = ways.iter().map(|way| format!("{}, {}", way.transport(), way.path())).collect();
        let mut header = vec!["check"];
        header.extend(titles.iter().map(String::as_str));
        let cells = |what: &str| -> Vec<String> {
            let result = |way: &Way| rows().find(|row| row.what == what && row.way == *way).map_or("", word).to_owned();
            std::iter::once(what.to_owned()).chain(ways.iter().map(result)).collect()
        };
        let body: Vec<Vec<String>> = distinct(rows().map(|row| row.what.as_str())).into_iter().map(cells).collect();
        table::render(&header, &body)
    }
}

fn word(row: &Row) -> &'static str {
    match row.result {
        Result::Pass(_) => "pass",
        Result::Fail(_) => "FAIL",
        Result::NotRun(_) => "not run",
    }
}

fn problem(row: &Row) -> Option<String> {
    let (Result::Fail(why) | Result::NotRun(why)) = &row.result else {
        return None;
    };
    let place = format!("{}, {}, {} {}", row.who, row.what, row.way.transport(), row.way.path());
    Some(format!("- {place}: {}: {}", word(row), cut(why)))
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
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

const INTRODUCTION: &str = "\
# Against software that others wrote

Written by `cargo xtask interop`; run it again rather than edit this page. It needs npm, Python 3.10 or newer and a Rust
toolchain, installs the rest from the registries below the target folder, and binds to the loopback alone. What cannot be
installed is shown as not run. `--only inspector,python,typescript,rmcp` runs a part and leaves this page alone.

The programs on the SDKs are under `interop/`: small servers that `carryall` calls, and clients that call `carryall demo`.
Servers run with their SDK's defaults. Clients are told to negotiate and must arrive at revision 2026-07-28.

- *http, direct*: client and server speak Streamable HTTP with each other.
- *http, through up*: `carryall up --http URL` in between; for the demo plain `carryall up`, with two replicas.
- *stdio, direct*: the client starts the server.
- *http to stdio, through up*: `carryall up --stdio 'COMMAND'` in between.
- *http to both, through up*: one `carryall up` in front of a server on each SDK, one over stdio and two over HTTP.
";

const NOTES: &str = "
## Notes

- The TypeScript client calls notification handlers in a microtask and settles a call at once. Over stdio, where a last
  progress notification is often read together with the answer, it then has no handler any more. The check counts what
  arrives at the client's transport.
- rmcp's server does not put `serverInfo` on the results of calls, which servers should do; `carryall` does without.
- rmcp's handlers for notifications run beside the call, so that the last may run after the answer: the check waits.
";

#[cfg(test)]
mod tests {
    use super::{Record, Result};
    use crate::interop::ways::Way;

    #[test]
    fn what_was_not_run_is_never_counted_as_passed() {
        let mut record = Record::default();
        record.add("X", "list", Way::Http, Result::Pass("3 tools".into()));
        record.add("X", "list", Way::Stdio, Result::NotRun("npm is not installed".into()));
        assert_eq!((record.failures(), record.sum().as_str()), (0, "1 checks pass, 0 fail, 1 were not run"));
        record.add("X", "call", Way::Http, Result::Fail("a | b\nc".into()));
        assert_eq!(record.failures(), 1);
        let text = record.document(&[("x".into(), "1".into())]);
        assert!(text.contains("| list  | pass         | not run       |"), "{text}");
        assert!(text.contains("| call  | FAIL         |"), "{text}");
        assert!(text.contains("- X, call, http direct: FAIL: a / b c"), "{text}");
        assert!(text.contains("- X, list, stdio direct: not run: npm is not installed"), "{text}");
    }
}
