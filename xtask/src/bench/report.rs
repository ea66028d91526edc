//! Renders the figures as Markdown: tables of medians, ratios, and the performance targets of
//! carryall.

use super::measure::{CASES, CONNECTIONS, ClientFigures, Load, MeasurementPlan, Results};
use crate::table;

const OURS: &str = "carryall";
const LIMIT: &str = "raw-typed";
const RMCP: &str = "rmcp-best";

pub(super) fn render(plan: &MeasurementPlan, results: &Results) -> String {
    let mut out = String::from("# Measured\n\n");
    out.push_str(&format!(
        "Written by `cargo xtask bench{}`: {} run(s) of {} s per cell, server on core 0, load on core 1, medians.\n\
         Machine: {}; its load average when this was written was {}. `{LIMIT}` is a bare hyper + serde_json server that does no MCP work; for stdio and the client rows\n\
         it is the bare counterpart. `{RMCP}` is rmcp 3.9.0 in its best stateless configuration.\n",
        if plan.quick { " --quick" } else { "" },
        plan.runs,
        plan.secs,
        machine(),
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default(),
    ));
    section(&mut out, "HTTP server", http(plan, results));
    section(
        &mut out,
        "Start and memory",
        start_and_memory(plan, results),
    );
    section(
        &mut out,
        "stdio server, one call after the other",
        calls(plan, &results.stdio),
    );
    section(&mut out, "Client", calls(plan, &results.client));
    section(&mut out, "Targets", targets(results));
    out
}

fn section(out: &mut String, title: &str, body: Option<String>) {
    if let Some(body) = body {
        out.push_str(&format!("\n## {title}\n\n{body}"));
    }
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| {
        l.strip_prefix("model name")?
            .split_once(':')
            .map(|(_, m)| m.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores",
        model.unwrap_or_else(|| "unknown".to_owned())
    )
}

fn http(plan: &MeasurementPlan, results: &Results) -> Option<String> {
    let mut rows = Vec::new();
    for case in CASES {
        for conc in CONNECTIONS {
            for server in &plan.servers {
                let loads = cell(results, server, case, conc);
                if loads.is_empty() {
                    continue;
                }
                let get = |f: fn(&Load) -> f64| median(loads.iter().map(|l| f(l)));
                let rps = get(|l| l.rps);
                let errors: u64 = loads.iter().map(|l| l.err).sum();
                let noisy = loads.iter().any(|l| l.noisy);
                rows.push(vec![
                    case.to_owned(),
                    conc.to_string(),
                    server.clone(),
                    format!("{rps:.0}"),
                    ratio(rps, rate(results, LIMIT, case, conc)),
                    ratio(rps, rate(results, RMCP, case, conc)),
                    format!("{:.0}", get(|l| l.p50_us)),
                    format!("{:.0}", get(|l| l.p99_us)),
                    format!("{:.1}", get(|l| l.cpu_us_per_req)),
                    format!("{:.1}", get(|l| l.rss_kb) / 1024.0),
                    match (errors, noisy) {
                        (0, false) => String::new(),
                        (0, true) => "noisy".to_owned(),
                        (n, _) => format!("{n} errors"),
                    },
                ]);
            }
        }
    }
    let header = [
        "case",
        "conn",
        "server",
        "req/s",
        "/ limit",
        "/ rmcp",
        "p50 us",
        "p99 us",
        "CPU us/req",
        "RSS MiB",
        "note",
    ];
    (!rows.is_empty()).then(|| table::render(&header, &rows))
}

fn start_and_memory(plan: &MeasurementPlan, results: &Results) -> Option<String> {
    let mut rows = Vec::new();
    for server in &plan.servers {
        let start = results.startup.iter().find(|s| s.name == *server);
        let memory = |kind: &str| {
            results
                .memory
                .iter()
                .find(|m| m.name == *server && m.kind == kind)
        };
        let shown = |value: Option<f64>| value.map(|v| format!("{v:.1}")).unwrap_or_default();
        if start.is_none() && memory("conns").is_none() {
            continue;
        }
        rows.push(vec![
            server.clone(),
            shown(start.map(|s| s.start_ms)),
            shown(start.map(|s| s.max_ms)),
            shown(start.map(|s| s.rss_mib)),
            shown(memory("conns").map(|m| m.open_mib)),
            shown(memory("listen").map(|m| m.before_mib)),
            shown(memory("listen").map(|m| m.open_mib)),
            shown(memory("listen").map(|m| m.each_kib)),
        ]);
    }
    let conns = results
        .memory
        .iter()
        .find(|m| m.kind == "conns")
        .map_or(0, |m| m.n);
    let listens = results
        .memory
        .iter()
        .find(|m| m.kind == "listen")
        .map_or(0, |m| m.n);
    let (conns, listens) = (
        format!("MiB, {conns} connections"),
        format!("MiB, {listens} listens"),
    );
    let header = [
        "server",
        "ms to first answer",
        "slowest",
        "idle MiB",
        &conns,
        "MiB before listens",
        &listens,
        "KiB per listen",
    ];
    (!rows.is_empty()).then(|| table::render(&header, &rows))
}

fn calls(plan: &MeasurementPlan, all: &[ClientFigures]) -> Option<String> {
    let mut cases: Vec<&str> = Vec::new();
    for call in all {
        if !cases.contains(&call.case.as_str()) {
            cases.push(&call.case);
        }
    }
    let mut names: Vec<&str> = plan.servers.iter().map(String::as_str).collect();
    if !names.contains(&LIMIT) {
        names.push(LIMIT);
    }
    let mut rows = Vec::new();
    for case in cases {
        for name in &names {
            let Some(mine) = calls_rate(all, name, case) else {
                continue;
            };
            let get = |f: fn(&ClientFigures) -> f64| median(of(all, name, case).map(f));
            rows.push(vec![
                case.to_owned(),
                (*name).to_owned(),
                format!("{mine:.0}"),
                ratio(mine, calls_rate(all, LIMIT, case)),
                ratio(mine, calls_rate(all, RMCP, case)),
                format!("{:.0}", get(|c| c.p50_us)),
                format!("{:.0}", get(|c| c.p99_us)),
            ]);
        }
    }
    (!rows.is_empty()).then(|| {
        table::render(
            &[
                "case", "side", "calls/s", "/ limit", "/ rmcp", "p50 us", "p99 us",
            ],
            &rows,
        )
    })
}

/// Renders the performance targets and whether this run met them.
fn targets(results: &Results) -> Option<String> {
    let over = |mine: Option<f64>, other: Option<f64>| Some(mine? / other?);
    let http = |case: &str, other: &str| {
        over(
            rate(results, OURS, case, 32),
            rate(results, other, case, 32),
        )
    };
    let client = |case: &str| {
        over(
            calls_rate(&results.client, OURS, case),
            calls_rate(&results.client, LIMIT, case),
        )
    };
    let p99 = |server: &str| {
        let loads = cell(results, server, "echo100", 256);
        (!loads.is_empty()).then(|| median(loads.iter().map(|l| l.p99_us)))
    };
    let listen = results
        .memory
        .iter()
        .find(|m| m.name == OURS && m.kind == "listen")
        .map(|m| m.each_kib);
    let start = results
        .startup
        .iter()
        .find(|s| s.name == OURS)
        .map(|s| s.start_ms);
    let stdio = over(
        calls_rate(&results.stdio, OURS, "100 B"),
        calls_rate(&results.stdio, LIMIT, "100 B"),
    );
    // A target that depends on a run disturbed by other processes is neither met nor missed.
    let watched = [
        ("echo100", 32),
        ("echo100k", 32),
        ("list", 32),
        ("discover", 32),
        ("echo100", 256),
    ];
    let disturbed = |server: &str| {
        watched.iter().any(|(case, conc)| {
            cell(results, server, case, *conc)
                .iter()
                .any(|load| load.noisy)
        })
    };
    let noisy = [OURS, LIMIT, RMCP].into_iter().any(disturbed);
    let targets = [
        (
            "tools/call 100 B, 32 connections, of the limit",
            http("echo100", LIMIT),
            Bound::AtLeast(0.80),
        ),
        (
            "tools/call 100 B, 32 connections, times rmcp",
            http("echo100", RMCP),
            Bound::AtLeast(2.3),
        ),
        (
            "tools/call 100 KiB, 32 connections, times the limit",
            http("echo100k", LIMIT),
            Bound::AtLeast(1.5),
        ),
        (
            "tools/list, 32 connections, of the limit",
            http("list", LIMIT),
            Bound::AtLeast(0.90),
        ),
        (
            "server/discover, 32 connections, of the limit",
            http("discover", LIMIT),
            Bound::AtLeast(0.90),
        ),
        (
            "p99 at 256 connections, 100 B, times the limit's",
            over(p99(OURS), p99(LIMIT)),
            Bound::AtMost(2.0),
        ),
        (
            "client, 64 in flight, of a bare hyper client",
            client("http, 64 in flight, 100 B"),
            Bound::AtLeast(0.60),
        ),
        (
            "client, one at a time, of a bare hyper client",
            client("http, 1 in flight, 100 B"),
            Bound::AtLeast(0.75),
        ),
        ("stdio server, of a bare one", stdio, Bound::AtLeast(0.85)),
        ("KiB per open listen", listen, Bound::AtMost(14.0)),
        ("ms from start to first answer", start, Bound::AtMost(10.0)),
    ];
    let rows: Vec<Vec<String>> = targets
        .into_iter()
        .filter_map(|(what, value, bound)| {
            let value = value?;
            let met = match (bound.holds(value), what.contains("connections") && noisy) {
                (true, false) => "yes",
                (false, false) => "NO",
                (_, true) => "noisy, not counted",
            };
            Some(vec![
                what.to_owned(),
                format!("{value:.2}"),
                bound.to_string(),
                met.to_owned(),
            ])
        })
        .collect();
    (!rows.is_empty()).then(|| table::render(&["target", "measured", "required", "met"], &rows))
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(&self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= *least,
            Self::AtMost(most) => value <= *most,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least:.2}"),
            Self::AtMost(most) => write!(f, "at most {most:.2}"),
        }
    }
}

/// Returns the runs of one cell, without noisy ones if there are at least two others.
fn cell<'a>(results: &'a Results, server: &str, case: &str, conc: u32) -> Vec<&'a Load> {
    let all = || {
        results
            .http
            .iter()
            .filter(|l| l.name == server && l.case == case && l.conc == conc)
    };
    let quiet: Vec<&Load> = all().filter(|l| !l.noisy).collect();
    if quiet.len() >= 2 {
        quiet
    } else {
        all().collect()
    }
}

fn rate(results: &Results, server: &str, case: &str, conc: u32) -> Option<f64> {
    let loads = cell(results, server, case, conc);
    (!loads.is_empty()).then(|| median(loads.iter().map(|l| l.rps)))
}

fn of<'a>(
    all: &'a [ClientFigures],
    name: &str,
    case: &str,
) -> impl Iterator<Item = &'a ClientFigures> {
    all.iter().filter(move |c| c.name == name && c.case == case)
}

fn calls_rate(all: &[ClientFigures], name: &str, case: &str) -> Option<f64> {
    let mut found = of(all, name, case).peekable();
    found.peek()?;
    Some(median(found.map(|c| c.per_second)))
}

fn ratio(mine: f64, other: Option<f64>) -> String {
    other
        .map(|other| format!("{:.2}", mine / other))
        .unwrap_or_default()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, Results, cell, median, targets};

    fn load(name: &str, rps: f64, noisy: bool) -> Load {
        let (name, case) = (name.to_owned(), "echo100".to_owned());
        Load {
            name,
            case,
            conc: 32,
            rps,
            p50_us: 1.0,
            p99_us: 2.0,
            cpu_us_per_req: 1.0,
            rss_kb: 1.0,
            err: 0,
            noisy,
        }
    }

    #[test]
    fn the_median_of_an_even_number_of_values_is_the_mean_of_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }

    #[test]
    fn noisy_runs_are_dropped_if_there_are_two_others() {
        let mut results = Results {
            http: vec![load("a", 1.0, true), load("a", 5.0, false)],
            ..Results::default()
        };
        assert_eq!(cell(&results, "a", "echo100", 32).len(), 2);
        results.http.push(load("a", 5.0, false));
        assert!(cell(&results, "a", "echo100", 32).iter().all(|l| !l.noisy));
    }

    #[test]
    fn targets_without_measurements_are_omitted() {
        let http = vec![
            load("carryall", 90.0, false),
            load("raw-typed", 100.0, false),
            load("rmcp-best", 60.0, false),
        ];
        let shown = targets(&Results {
            http,
            ..Results::default()
        })
        .unwrap();
        let met: Vec<bool> = shown.lines().skip(2).map(|l| l.contains("| yes")).collect();
        assert_eq!(met, [true, false], "{shown}");
    }

    #[test]
    fn a_noisy_run_neither_meets_nor_misses_a_target() {
        let http = vec![
            load("carryall", 90.0, true),
            load("raw-typed", 100.0, false),
        ];
        let shown = targets(&Results {
            http,
            ..Results::default()
        })
        .unwrap();
        assert!(
            shown.contains("not counted") && !shown.contains("| yes"),
            "{shown}"
        );
    }
}
