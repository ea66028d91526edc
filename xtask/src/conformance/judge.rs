//! Evaluates the `checks.json` of a scenario.

use std::path::Path;

use serde::Deserialize;

use super::suite::{SuiteScenario, TestedSide};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SuiteCheck {
    id: String,
    status: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    error_message: Option<String>,
}

/// The verdict on a scenario, with the text for the table.
#[derive(Debug)]
pub(super) enum CheckVerdict {
    Pass(String),
    Fail(String),
}

impl CheckVerdict {
    pub(super) fn passed(&self) -> bool {
        matches!(self, Self::Pass(_))
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Pass(message) | Self::Fail(message) => message.clone(),
        }
    }
}

/// Finds the results of a scenario below `out/REVISION/server` or `.../client` and evaluates them.
pub(super) fn evaluate(scenario: &SuiteScenario, out: &Path) -> CheckVerdict {
    let side = out.join(scenario.revision).join(scenario.side.word());
    let (folder, stem) = match (scenario.side, scenario.name.rsplit_once('/')) {
        (TestedSide::Server, _) => (side, format!("server-{}", scenario.name)),
        (TestedSide::Client, Some((folder, stem))) => (side.join(folder), stem.to_owned()),
        (TestedSide::Client, None) => (side, scenario.name.clone()),
    };
    let entries = std::fs::read_dir(&folder)
        .map(|dir| dir.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    let found = entries
        .iter()
        .find(|e| without_time(&e.file_name().to_string_lossy()) == Some(&stem));
    let text = found.and_then(|e| std::fs::read_to_string(e.path().join("checks.json")).ok());
    match text {
        Some(text) => judge(&text),
        None => CheckVerdict::Fail("the suite wrote no results; see suite.log".to_owned()),
    }
}

/// Returns the scenario of a folder named `<scenario>-<time>`, with a time such as
/// `2026-01-02T03-04-05-678Z`.
fn without_time(folder: &str) -> Option<&str> {
    let (stem, time) = folder.split_at_checked(
        folder
            .len()
            .checked_sub("-2026-01-02T03-04-05-678Z".len())?,
    )?;
    let shape =
        time.starts_with('-') && time.ends_with('Z') && time.as_bytes().get(11) == Some(&b'T');
    shape.then_some(stem)
}

/// Passes if there is no failure, no warning, and at least one successful check.
fn judge(text: &str) -> CheckVerdict {
    let checks: Vec<SuiteCheck> = match serde_json::from_str(text) {
        Ok(checks) => checks,
        Err(error) => return CheckVerdict::Fail(format!("checks.json: {error}")),
    };
    let count = |status: &str| checks.iter().filter(|c| c.status == status).count();
    let (good, skipped) = (count("SUCCESS"), count("SKIPPED"));
    let bad: Vec<&SuiteCheck> = checks
        .iter()
        .filter(|c| !matches!(c.status.as_str(), "SUCCESS" | "SKIPPED" | "INFO"))
        .collect();
    if let Some(first) = bad.first() {
        let more = if bad.len() > 1 {
            format!(" (and {} more)", bad.len() - 1)
        } else {
            String::new()
        };
        let why = first
            .error_message
            .clone()
            .unwrap_or_else(|| first.name.clone());
        return CheckVerdict::Fail(format!(
            "{} {}: {}{more}",
            first.status,
            first.id,
            one_line(&why)
        ));
    }
    if good == 0 {
        return CheckVerdict::Fail(format!("nothing was checked ({skipped} skipped)"));
    }
    let skipped = if skipped == 0 {
        String::new()
    } else {
        format!(", {skipped} skipped")
    };
    CheckVerdict::Pass(format!("{good} good{skipped}"))
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{judge, without_time};

    fn passes(statuses: &[&str]) -> bool {
        let checks: Vec<String> = statuses
            .iter()
            .map(|s| format!(r#"{{"id":"x","status":"{s}"}}"#))
            .collect();
        judge(&format!("[{}]", checks.join(","))).passed()
    }

    #[test]
    fn a_failure_or_a_warning_or_an_unknown_status_fails() {
        assert!(passes(&["SUCCESS", "INFO", "SKIPPED"]));
        assert!(!passes(&["SUCCESS", "FAILURE"]));
        assert!(!passes(&["SUCCESS", "WARNING"]));
        assert!(!passes(&["SUCCESS", "ODD"]));
    }

    #[test]
    fn a_scenario_without_a_successful_check_fails() {
        assert!(!passes(&[]));
        assert!(!passes(&["SKIPPED", "INFO"]));
        assert!(!judge("not json").passed());
    }

    #[test]
    fn the_time_is_removed_from_a_folder_name() {
        assert_eq!(
            without_time("tools_call-2026-11-20T23-58-26-371Z"),
            Some("tools_call")
        );
        assert_eq!(without_time("tools_call"), None);
    }
}
