//! Installs the official suite, lists its scenarios and runs them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::ChildGroup;
use crate::{CommandResult, files, npm, process};

const PACKAGE: &str = "@modelcontextprotocol/conformance";
const VERSION: &str = "0.2.0-alpha.12";
/// The revisions to test, with one server on one URL and one client.
pub(super) const REVISIONS: [&str; 2] = ["2026-07-28", "2025-11-25"];

/// Maximum time for a run. The suite runs its scenarios concurrently.
const SUITE_TIMEOUT: Duration = Duration::from_secs(900);

/// Binds the mock servers of the suite to the loopback interface instead of all interfaces.
///
/// Loaded before the suite, this hooks the internal step that binds: a host passed to `listen()` would
/// make the bind asynchronous, but the suite reads the port right after the call.
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

/// A scenario, as listed by the suite.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SuiteScenario {
    pub(super) revision: &'static str,
    pub(super) side: TestedSide,
    pub(super) name: String,
    /// `scored`, or the reason that the suite does not score it.
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
    /// Installs the suite and a suitable Node into `dir`, unless they are already installed.
    pub(super) fn install(dir: &Path) -> CommandResult<Self> {
        files::write(&dir.join("pin.cjs"), PIN)?;
        // The suite needs `fs.globSync`, which was added in Node 22.
        let node = npm::install(dir, &[&format!("{PACKAGE}@{VERSION}")])?;
        Ok(Self {
            dir: dir.to_path_buf(),
            node,
        })
    }

    /// Returns every scenario that the suite runs for the revision, including unscored ones.
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
        Err(format!("cannot parse the list of scenarios:\n{text}"))
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

    /// Runs the suite, with its output in a file next to the results. Ignores the exit code: the
    /// results say more.
    fn finish(
        &self,
        revision: &str,
        mut command: Command,
        scenario: Option<&str>,
        out: &Path,
    ) -> CommandResult {
        match scenario {
            Some(name) => {
                // Extensions belong to no revision; without `--force` the suite skips them.
                command.args(["--scenario", name, "--spec-version", revision, "--force"])
            }
            None => command.args(["--requirements", revision]),
        };
        std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
        command.arg("-o").arg(out);
        process::log_to(&mut command, &out.join("suite.log"))?;
        let mut group = ChildGroup::spawn(&mut command)?;
        match group.wait(SUITE_TIMEOUT) {
            Some(_) => Ok(()),
            None => Err(format!(
                "the conformance suite ran longer than {} s",
                SUITE_TIMEOUT.as_secs()
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

/// Parses the output of `list --requirements`: names under `Server scenarios`, under `Client
/// scenarios`, and under the reasons for unscored ones, where the side follows the name.
fn parse_list(revision: &'static str, text: &str) -> Vec<SuiteScenario> {
    let mut found: Vec<SuiteScenario> = Vec::new();
    let (mut side, mut group) = (None, "scored".to_owned());
    for line in text.lines().map(str::trim) {
        if let Some(entry) = line.strip_prefix("- ") {
            let (name, own_side) = match entry.split_once(' ') {
                Some((name, "[server]")) => (name, Some(TestedSide::Server)),
                Some((name, "[client]")) => (name, Some(TestedSide::Client)),
                _ => (entry, None),
            };
            let Some(side) = own_side.or(side) else {
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
    fn the_list_is_parsed_with_sides_and_groups() {
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
