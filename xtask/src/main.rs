//! The project's own commands: `cargo xtask <command>`.
//!
//! Each command is one module; none of them is part of what we ship, so they use little beyond the
//! standard library and serde, and stay quick to build on a clean machine.

// Printing tables is what these commands are for.
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
        which rules of spec/requirements.json a test proves; fails on a gap in the gated areas (spec/gate.txt)
  conformance [--revision R] [--server] [--client] [--scenario S] [--server-url URL] [--client-command CMD]
        the official conformance suite against carryall-conformance, or against what you name
  balanced [--rounds N] [--no-build]
        clients with a handshake behind three replicas and nginx without affinity, one replica killed on the way
  replicas [--seconds N] [--seed S] [--store postgres,redis] [--no-build]
        every kind of state on three replicas behind nginx, over each database, while replicas are killed
  bench [--quick] [--no-build] [--only PART] [--servers A,B]
        carryall beside a bare hyper server and rmcp; writes bench/results.md
        PART: http, startup, memory, stdio, client; --no-build takes what is built
  interop [--only A,B] [--era E] [--no-build]
        carryall against software that others wrote, from npm, PyPI, crates.io and the module proxy; writes docs/interop.md
        A: inspector, servers, frameworks, typescript-v2, typescript-v1, python-v2, python-v1, go, rmcp; E: modern, legacy
  torture [--only A,B] [--no-build] [--binary FILE]
        attacks on the running binary: callers that cross, memory that stays, streams nobody reads, forged logs
  tidy  the house rules that no other tool checks
  api [--write]
        whether the public API is what docs/api says; --write updates the lists";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let args = Args::new(words);
    let done = match command.as_str() {
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
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What a command comes to: nothing, or a message for people.
type CommandResult<T = ()> = Result<T, String>;
