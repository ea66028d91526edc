//! `spec/conformance-left.txt`: the scenarios that are expected to fail, one `revision side name
//! reason` per line.

use std::path::Path;

use super::suite::SuiteScenario;
use crate::{CommandResult, files};

pub(super) struct ExpectedFailures(Vec<String>);

impl ExpectedFailures {
    pub(super) fn load(path: &Path) -> CommandResult<Self> {
        Ok(Self::parse(&files::read(path)?))
    }

    fn parse(text: &str) -> Self {
        let entry = |(revision, rest): (String, String)| {
            let words: Vec<&str> = rest.split_whitespace().take(2).collect();
            format!("{revision} {}", words.join(" "))
        };
        Self(files::entries(text).into_iter().map(entry).collect())
    }

    pub(super) fn contains(&self, scenario: &SuiteScenario) -> bool {
        let name = scenario.to_string();
        self.0.contains(&name)
    }

    /// Reports entries without a scenario, and duplicate entries.
    pub(super) fn unknown(&self, scenarios: &[SuiteScenario]) -> Vec<String> {
        let mut problems = Vec::new();
        for (at, entry) in self.0.iter().enumerate() {
            if !scenarios.iter().any(|s| s.to_string() == *entry) {
                problems.push(format!(
                    "spec/conformance-left.txt: the suite has no scenario `{entry}`"
                ));
            }
            if self.0[..at].contains(entry) {
                problems.push(format!(
                    "spec/conformance-left.txt: duplicate entry `{entry}`"
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::{SuiteScenario, TestedSide};
    use super::ExpectedFailures;

    #[test]
    fn entries_name_the_side_and_the_scenario() {
        let scenarios = [SuiteScenario {
            revision: "2026-07-28",
            side: TestedSide::Client,
            name: "auth/x".into(),
            group: "scored".into(),
        }];
        let expected =
            ExpectedFailures::parse("# why\n2026-07-28 client auth/x  needs authorization\n");
        assert!(expected.contains(&scenarios[0]) && expected.unknown(&scenarios).is_empty());
        let wrong = ExpectedFailures::parse(
            "2025-11-25 client auth/x\n2026-07-28 client auth/x\n2026-07-28 client auth/x\n",
        );
        assert_eq!(wrong.unknown(&scenarios).len(), 2);
    }
}
