//! The suite itself: where it is installed, what it lists, how it is run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::ProcessGroup;
use crate::{CommandResult, files, npm, process};

const PACKAGE: &str = "@modelcontextprotocol/conformance";
const VERSION: &str = "0.2.0-alpha.12";
/// The revisions that the same server on the same URL, and the same client, are held to.
pub(super) const REVISIONS: [&str; 2] = ["2026-07-28", "2025-11-25"];

/// More than the suite takes on the slowest machine: it runs its scenarios side by side.
const LIMIT: Duration = Duration::from_secs(900);

/// The suite's mock servers listen on every interface. Loaded before it, this binds them to the
/// loopback. It hooks the step that does the bind, because a host passed to `listen()` makes the
/// bind asynchronous, and the suite reads the port right after the call.
const PIN: &str = "\
const { Server } = require('node:net');
const bind = Server.prototype._listen2;
if (typeof bind !== 'function') throw new Error('this Node has no net.Server.prototype._listen2 to pin');
Server.prototype._listen2 = function (address, port, type, ...rest) {
  const tcp = typeof port === 'number' && port >= 0;
  return tcp ? bind.call(this, '127.0.0.1', port, 4, ...rest) : bind.call(this, address, port, type, ...rest);
};
";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TestedSide {
    Server,
    Client,
}

impl TestedSide {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// One scenario as the suite lists it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SuiteScenario {
    pub(super) revision: &'static str,
    pub(super) side: TestedSide,
    pub(super) name: String,
    /// `scored`, or why the suite runs it without a score.
    pub(super) group: String,
}

impl fmt::Display for SuiteScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.revision, self.side.word(), self.name)
    }
}

pub(super) struct Suite {
    dir: PathBuf,
    node: PathBuf,
}

impl Suite {
    /// Installs the suite and a Node that can run it into `dir`, unless they are there.
    pub(super) fn install(dir: &Path) -> CommandResult<Self> {
        files::write(&dir.join("pin.cjs"), PIN)?;
        // The suite needs `fs.globSync`, which came with Node 22.
        let node = npm::install(dir, &[&format!("{PACKAGE}@{VERSION}")])?;
        Ok(Self {
            dir: dir.to_path_buf(),
            node,
        })
    }

    /// Every scenario that the suite runs for the revision, the unscored ones too.
    pub(super) fn list(&self, revision: &'static str) -> CommandResult<Vec<SuiteScenario>> {
        let text = process::output(self.command().args([
            "list",
            "--server",
            "--client",
            "--requirements",
            revision,
        ]))?;
        let found = parse_list(revision, &text);
        if found.iter().any(|s| s.side == TestedSide::Server)
            && found.iter().any(|s| s.side == TestedSide::Client)
        {
            return Ok(found);
        }
        Err(format!(
            "the suite lists no scenarios that we can read:\n{text}"
        ))
    }

    pub(super) fn server(
        &self,
        revision: &str,
        url: &str,
        scenario: Option<&str>,
        out: &Path,
    ) -> CommandResult {
        let mut command = self.command();
        command.args(["server", "--url", url]);
        self.finish(revision, command, scenario, out)
    }

    pub(super) fn client(
        &self,
        revision: &str,
        client: &str,
        scenario: Option<&str>,
        out: &Path,
    ) -> CommandResult {
        let mut command = self.command();
        command.args(["client", "--command", client, "--timeout", "60000"]);
        self.finish(revision, command, scenario, out)
    }

    /// Runs it with its output in a file beside the results. Its exit code says nothing that the
    /// results do not.
    fn finish(
        &self,
        revision: &str,
        mut command: Command,
        scenario: Option<&str>,
        out: &Path,
    ) -> CommandResult {
        match scenario {
            Some(name) => {
                // Extensions are on no revision's timeline: without the force the suite would skip
                // them.
                command.args(["--scenario", name, "--spec-version", revision, "--force"])
            }
            None => command.args(["--requirements", revision]),
        };
        std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
        command.arg("-o").arg(out);
        process::log_to(&mut command, &out.join("suite.log"))?;
        let mut group = ProcessGroup::spawn(&mut command)?;
        match group.wait(LIMIT) {
            Some(_) => Ok(()),
            None => Err(format!(
                "the conformance suite ran longer than {} s",
                LIMIT.as_secs()
            )),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.node);
        let pin = self.dir.join("pin.cjs");
        command
            .arg("--require")
            .arg(pin)
            .arg(npm::package(&self.dir, PACKAGE).join("dist/index.js"))
            .env_remove("NODE_OPTIONS");
        command
    }
}

/// Reads `list --requirements`: names under `Server scenarios`, `Client scenarios`, and under the
/// reason for which the rest is not scored, there with the side behind the name.
fn parse_list(revision: &'static str, text: &str) -> Vec<SuiteScenario> {
    let mut found: Vec<SuiteScenario> = Vec::new();
    let (mut side, mut group) = (None, "scored".to_owned());
    for line in text.lines().map(str::trim) {
        if let Some(entry) = line.strip_prefix("- ") {
            let (name, said) = match entry.split_once(' ') {
                Some((name, "[server]")) => (name, Some(TestedSide::Server)),
                Some((name, "[client]")) => (name, Some(TestedSide::Client)),
                _ => (entry, None),
            };
            let Some(side) = said.or(side) else {
                continue;
            };
            if !found.iter().any(|s| s.side == side && s.name == name) {
                found.push(SuiteScenario {
                    revision,
                    side,
                    name: name.to_owned(),
                    group: group.clone(),
                });
            }
        } else if line.starts_with("Server scenarios") {
            (side, group) = (Some(TestedSide::Server), "scored".to_owned());
        } else if line.starts_with("Client scenarios") {
            (side, group) = (Some(TestedSide::Client), "scored".to_owned());
        } else if let Some((reason, _)) = line.strip_suffix("):").and_then(|l| l.split_once(" (")) {
            (side, group) = (None, reason.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{TestedSide, parse_list};

    #[test]
    fn the_list_is_read_with_sides_and_groups() {
        let text = "Required for X (3 scenarios, frozen):\n\nServer scenarios (test against a server):\n  - tools-list\n\n\
                    Client scenarios (test against a client):\n  - tools_call\n  - auth/basic\n\n\
                    Run and reported, but never scored:\n  extension (2):\n    - auth/dpop [client]\n    - tasks-x [server]\n";
        let found: Vec<(TestedSide, String, String)> = parse_list("X", text)
            .into_iter()
            .map(|s| (s.side, s.name, s.group))
            .collect();
        let expected = [
            (TestedSide::Server, "tools-list", "scored"),
            (TestedSide::Client, "tools_call", "scored"),
            (TestedSide::Client, "auth/basic", "scored"),
            (TestedSide::Client, "auth/dpop", "extension"),
            (TestedSide::Server, "tasks-x", "extension"),
        ];
        assert_eq!(
            found,
            expected.map(|(side, name, group)| (side, name.to_owned(), group.to_owned()))
        );
    }
}
