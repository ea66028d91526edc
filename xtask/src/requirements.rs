//! `cargo xtask requirements`: reports which requirements of the specification are proven by tests.
//!
//! The requirements are listed in `spec/requirements.json`. A line `// spec: ID, ID` above a test names
//! the requirements that it proves; see [`scan`].

mod gate;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::args::Args;
use crate::{CommandResult, files, table};
use gate::Gate;
use scan::{Claim, TestScan};

/// One row of `spec/requirements.json`.
#[derive(Deserialize)]
struct Requirement {
    id: String,
    area: String,
    side: String,
    level: RequirementLevel,
    text: String,
    source: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum RequirementLevel {
    Must,
    Should,
    May,
}

pub(crate) fn run(mut args: Args) -> CommandResult {
    let areas = args.list("--area")?;
    let missing = args.flag("--missing");
    let required = args.list("--require")?;
    args.done()?;

    let root = files::root();
    let rules: Vec<Requirement> =
        serde_json::from_str(&files::read(&root.join("spec/requirements.json"))?)
            .map_err(|e| format!("spec/requirements.json: {e}"))?;
    let mut scan = TestScan::default();
    for source in files::sources(&root)? {
        if source.path.ends_with(".rs") {
            scan.read(&source.path, &source.text);
        }
    }
    let gate = Gate::load(&root, required)?;
    let known: BTreeSet<&str> = rules.iter().map(|r| r.area.as_str()).collect();
    for area in areas.iter().chain(gate.areas()) {
        if !known.contains(area.as_str()) {
            return Err(format!(
                "unknown area `{area}`: not in spec/requirements.json"
            ));
        }
    }
    let shown = |area: &str| areas.is_empty() || areas.iter().any(|a| a == area);

    print!("{}", coverage(&rules, &scan, &gate, &shown));
    if missing {
        list_missing(&rules, &scan, &gate, &shown);
    }
    let problems = problems(&rules, &scan, &gate, &shown);
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    Err(format!(
        "{} problems with the requirements (list the gaps with --missing)",
        problems.len()
    ))
}

/// Renders proven/total by area and level, and whether the area is gated.
fn coverage(
    rules: &[Requirement],
    scan: &TestScan,
    gate: &Gate,
    shown: &dyn Fn(&str) -> bool,
) -> String {
    let mut order: Vec<&str> = Vec::new();
    let mut counts: BTreeMap<&str, [(usize, usize); 3]> = BTreeMap::new();
    for rule in rules.iter().filter(|r| shown(&r.area)) {
        if !counts.contains_key(rule.area.as_str()) {
            order.push(&rule.area);
        }
        let (proven, total) = &mut counts.entry(&rule.area).or_default()[rule.level as usize];
        *total += 1;
        *proven += usize::from(scan.proves(&rule.id));
    }
    let mut sum = [(0, 0); 3];
    let mut rows = Vec::new();
    for area in order {
        let levels = counts[area];
        for (sum, level) in sum.iter_mut().zip(levels) {
            *sum = (sum.0 + level.0, sum.1 + level.1);
        }
        rows.push(row(
            area,
            levels,
            if gate.holds(area) { "gated" } else { "" },
        ));
    }
    rows.push(row("all", sum, ""));
    table::render(&["area", "MUST", "SHOULD", "MAY", "gate"], &rows)
}

fn row(area: &str, levels: [(usize, usize); 3], note: &str) -> Vec<String> {
    let mut cells = vec![area.to_owned()];
    cells.extend(levels.iter().map(|&(proven, total)| {
        if total == 0 {
            String::new()
        } else {
            format!("{proven}/{total}")
        }
    }));
    cells.push(note.to_owned());
    cells
}

fn list_missing(rules: &[Requirement], scan: &TestScan, gate: &Gate, shown: &dyn Fn(&str) -> bool) {
    println!();
    for rule in rules
        .iter()
        .filter(|r| r.level != RequirementLevel::May && shown(&r.area) && !scan.proves(&r.id))
    {
        let level = if rule.level == RequirementLevel::Must {
            "MUST"
        } else {
            "SHOULD"
        };
        let exception = gate
            .exception(&rule.id)
            .map(|reason| format!(" (excepted: {reason})"))
            .unwrap_or_default();
        println!(
            "{} {level} [{}] {} <{}>{exception}",
            rule.id, rule.side, rule.text, rule.source
        );
    }
}

fn problems(
    rules: &[Requirement],
    scan: &TestScan,
    gate: &Gate,
    shown: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let ids: BTreeMap<&str, &Requirement> = rules.iter().map(|r| (r.id.as_str(), r)).collect();
    let mut problems = scan.errors.clone();
    for Claim { id, at } in &scan.claims {
        if !ids.contains_key(id.as_str()) {
            problems.push(format!("{at}: unknown requirement `{id}`"));
        }
    }
    for rule in rules {
        let wanted =
            rule.level != RequirementLevel::May && gate.holds(&rule.area) && shown(&rule.area);
        if wanted && !scan.proves(&rule.id) && gate.exception(&rule.id).is_none() {
            problems.push(format!("{}: no test proves it: {}", rule.id, rule.text));
        }
    }
    let area_of = |id: &str| ids.get(id).map(|rule| rule.area.clone());
    problems.extend(gate.problems(&area_of, &|id| scan.proves(id)));
    problems
}

#[cfg(test)]
mod tests {
    use super::{Gate, Requirement, RequirementLevel, TestScan, coverage, problems};

    fn rule(id: &str, level: RequirementLevel) -> Requirement {
        let area = id.rsplit_once('-').map_or(id, |(area, _)| area).to_owned();
        Requirement {
            id: id.into(),
            area,
            side: "both".into(),
            level,
            text: "Holds.".into(),
            source: "x".into(),
        }
    }

    fn scan(ids: &str) -> TestScan {
        let mut scan = TestScan::default();
        scan.read(
            "t.rs",
            &format!("// {}: {ids}\n#[test]\nfn t() {{}}\n", "spec"),
        );
        scan
    }

    fn rules() -> Vec<Requirement> {
        vec![
            rule("tools-01", RequirementLevel::Must),
            rule("tools-02", RequirementLevel::Should),
            rule("tools-03", RequirementLevel::May),
            rule("otel-01", RequirementLevel::Must),
        ]
    }

    #[test]
    fn the_gate_requires_every_must_and_should_of_its_areas() {
        let gate = Gate::of(&["tools"], &[]);
        let found = problems(&rules(), &scan("tools-01"), &gate, &|_| true);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("tools-02"), "{found:?}");
        assert!(problems(&rules(), &scan("tools-01, tools-02"), &gate, &|_| true).is_empty());
    }

    #[test]
    fn an_unknown_id_is_reported_with_its_location() {
        let found = problems(
            &rules(),
            &scan("tools-01, tools-02, tools-99"),
            &Gate::of(&["tools"], &[]),
            &|_| true,
        );
        assert_eq!(found, ["t.rs:1: unknown requirement `tools-99`"]);
    }

    #[test]
    fn an_exception_holds_until_the_rule_is_proven() {
        let gate = Gate::of(&["tools"], &[("tools-02", "later")]);
        assert!(problems(&rules(), &scan("tools-01"), &gate, &|_| true).is_empty());
        let found = problems(&rules(), &scan("tools-01, tools-02"), &gate, &|_| true);
        assert!(
            found.len() == 1 && found[0].contains("tools-02"),
            "{found:?}"
        );
    }

    #[test]
    fn the_table_counts_proven_rules_by_area_and_level() {
        let shown = coverage(
            &rules(),
            &scan("tools-01, tools-03"),
            &Gate::of(&["tools"], &[]),
            &|_| true,
        );
        let line = shown.lines().find(|l| l.starts_with("| tools")).unwrap();
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells, ["", "tools", "1/1", "0/1", "1/1", "gated", ""]);
    }
}
