//! The areas whose rules must all be proven, and the list of exceptions.

use std::path::Path;
use std::process::Command;

use crate::{CommandResult, files, process};

const AREAS: &str = "spec/gate.txt";
const EXCEPTIONS: &str = "spec/exceptions.txt";

pub(super) struct Gate {
    areas: Vec<String>,
    exceptions: Vec<(String, String)>,
    /// The lists of the last commit, if git knows them: the list of exceptions may only shrink.
    before: Option<Before>,
}

struct Before {
    areas: Vec<String>,
    exceptions: Vec<(String, String)>,
}

impl Gate {
    /// Reads the lists. `areas`, if not empty, replaces the areas of the file.
    pub(super) fn load(root: &Path, areas: Vec<String>) -> CommandResult<Self> {
        let (areas_text, exceptions_text) = (
            files::read(&root.join(AREAS))?,
            files::read(&root.join(EXCEPTIONS))?,
        );
        let areas = if areas.is_empty() {
            names(&areas_text)
        } else {
            areas
        };
        let exceptions = files::entries(&exceptions_text);
        let before = before(root, &exceptions_text);
        Ok(Self {
            areas,
            exceptions,
            before,
        })
    }

    #[cfg(test)]
    pub(super) fn of(areas: &[&str], exceptions: &[(&str, &str)]) -> Self {
        let exceptions = exceptions
            .iter()
            .map(|(id, why)| ((*id).to_owned(), (*why).to_owned()))
            .collect();
        Self {
            areas: areas.iter().map(|a| (*a).to_owned()).collect(),
            exceptions,
            before: None,
        }
    }

    pub(super) fn areas(&self) -> &[String] {
        &self.areas
    }

    pub(super) fn holds(&self, area: &str) -> bool {
        self.areas.iter().any(|a| *a == area)
    }

    /// Returns the reason of the exception for this rule, if there is one.
    pub(super) fn exception(&self, id: &str) -> Option<&str> {
        self.exceptions
            .iter()
            .find(|(excused, _)| excused == id)
            .map(|(_, reason)| reason.as_str())
    }

    /// Reports exceptions that are unknown, without a reason, no longer needed, duplicate or new.
    pub(super) fn problems(
        &self,
        area_of: &dyn Fn(&str) -> Option<String>,
        proven: &dyn Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        for (at, (id, reason)) in self.exceptions.iter().enumerate() {
            let Some(area) = area_of(id) else {
                problems.push(format!("{EXCEPTIONS}: unknown requirement `{id}`"));
                continue;
            };
            if reason.is_empty() {
                problems.push(format!("{EXCEPTIONS}: `{id}` needs a reason"));
            }
            if proven(id) {
                problems.push(format!(
                    "{EXCEPTIONS}: `{id}` is proven now; remove its entry"
                ));
            }
            if self.exceptions[..at].iter().any(|(other, _)| other == id) {
                problems.push(format!("{EXCEPTIONS}: duplicate entry `{id}`"));
            }
            if let Some(before) = &self.before {
                let old = before.exceptions.iter().any(|(other, _)| other == id);
                if !old && before.areas.contains(&area) {
                    problems.push(format!(
                        "{EXCEPTIONS}: `{id}` is new, but this list may only shrink"
                    ));
                }
            }
        }
        problems
    }
}

fn names(text: &str) -> Vec<String> {
    files::entries(text)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

/// Returns the lists of the last commit with other exceptions: `HEAD` if there are changes, else the
/// commit before. Returns `None` without git or history (a tarball, a shallow clone, the first
/// commit).
fn before(root: &Path, now: &str) -> Option<Before> {
    let show = |commit: &str, path: &str| {
        process::output(
            Command::new("git")
                .arg("-C")
                .arg(root)
                .args(["show", &format!("{commit}:{path}")]),
        )
        .ok()
    };
    let head = show("HEAD", EXCEPTIONS)?;
    let (commit, exceptions) = if head == now {
        ("HEAD^", show("HEAD^", EXCEPTIONS)?)
    } else {
        ("HEAD", head)
    };
    let areas = show(commit, AREAS)?;
    Some(Before {
        areas: names(&areas),
        exceptions: files::entries(&exceptions),
    })
}

#[cfg(test)]
mod tests {
    use super::{Before, Gate};

    #[test]
    fn a_new_exception_in_an_area_that_was_already_gated_is_rejected() {
        let mut gate = Gate::of(
            &["tools", "otel"],
            &[("tools-01", "later"), ("otel-01", "later")],
        );
        gate.before = Some(Before {
            areas: vec!["tools".into()],
            exceptions: Vec::new(),
        });
        let area = |id: &str| {
            let area = if id.starts_with("tools") {
                "tools"
            } else {
                "otel"
            };
            Some(area.to_owned())
        };
        let found = gate.problems(&area, &|_| false);
        assert!(
            found.len() == 1 && found[0].contains("`tools-01` is new"),
            "{found:?}"
        );
    }

    #[test]
    fn an_exception_is_unique_and_has_a_reason() {
        let gate = Gate::of(
            &["tools"],
            &[
                ("tools-01", ""),
                ("tools-02", "later"),
                ("tools-02", "later"),
                ("nope-01", "x"),
            ],
        );
        let area = |id: &str| id.starts_with("tools").then(|| "tools".to_owned());
        let found = gate.problems(&area, &|_| false);
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
