//! The project's own commands: `cargo xtask <command>`.
//!
//! Each command is one module. None of them is shipped, so they use little beyond the standard
//! library and serde, and stay quick to build on a clean machine.

// The commands print tables.
#![allow(clippy::print_stdout)]

mod api;
mod args;
mod balanced;
mod bench;
mod conformance;
mod files;
mod interop;
mod net;
mod npm;
mod process;
mod replicas;
mod requirements;
mod table;
mod tidy;
mod torture;

use std::process::ExitCode;

use args::Args;

const USAGE: &str = "\
usage: cargo xtask <command> [options]

  requirements [--area A]... [--missing] [--require A,B]
        which rules of spec/requirements.json are proven by a test; fails on a gap in the gated areas (spec/gate.txt)
  conformance [--revision R] [--server] [--client] [--scenario S] [--server-url URL] [--client-command CMD]
        runs the official conformance suite against carryall-conformance, or against the given server or client
  balanced [--rounds N] [--no-build]
        legacy clients against three replicas behind nginx without affinity; kills one replica during the run
  replicas [--seconds N] [--seed S] [--store postgres,redis] [--no-build]
        every kind of state on three replicas behind nginx, on each database, while replicas are killed
  bench [--quick] [--no-build] [--only PART] [--servers A,B]
        compares carryall with a bare hyper server and rmcp; writes bench/results.md
        PART: http, startup, memory, stdio, client; --no-build uses the existing binaries
  interop [--only A,B] [--era E] [--no-build]
        carryall against third-party software from npm, PyPI, crates.io and the Go module proxy; writes docs/interop.md
        A: inspector, servers, frameworks, typescript-v2, typescript-v1, python-v2, python-v1, go, rmcp; E: modern, legacy
  torture [--only A,B] [--no-build] [--binary FILE]
        attacks the running binary: crossed callers, retained memory, unread streams, forged logs
  tidy  checks the house rules that no other tool checks
  api [--write]
        compares the public API with docs/api; --write updates the lists";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let args = Args::new(arguments);
    let result = match command.as_str() {
        "api" => api::run(args),
        "requirements" => requirements::run(args),
        "conformance" => conformance::run(args),
        "balanced" => balanced::run(args),
        "replicas" => replicas::run(args),
        "bench" => bench::run(args),
        "interop" => interop::run(args),
        "tidy" => tidy::run(args),
        "torture" => torture::run(args),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => Err(format!("unknown command `{other}`\n\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The result of a command. The error is a message for the user.
type CommandResult<T = ()> = Result<T, String>;
