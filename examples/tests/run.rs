//! Runs each example. The examples check their results and fail if one is wrong.

use std::process::Command;

fn runs(program: &str) {
    let output = Command::new(program).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!output.stdout.is_empty());
}

#[test]
fn confirm_before_delete() {
    runs(env!("CARGO_BIN_EXE_confirm-before-delete"));
}

#[test]
fn basket() {
    runs(env!("CARGO_BIN_EXE_basket"));
}

#[test]
fn long_report() {
    runs(env!("CARGO_BIN_EXE_long-report"));
}

#[test]
fn live_catalogue() {
    runs(env!("CARGO_BIN_EXE_live-catalogue"));
}

#[test]
fn first_server() {
    runs(env!("CARGO_BIN_EXE_first-server"));
}

#[test]
fn price_list() {
    runs(env!("CARGO_BIN_EXE_price-list"));
}

#[test]
fn errors() {
    runs(env!("CARGO_BIN_EXE_errors"));
}

#[test]
fn middleware() {
    runs(env!("CARGO_BIN_EXE_middleware"));
}

#[test]
fn in_axum() {
    runs(env!("CARGO_BIN_EXE_in-axum"));
}

#[test]
fn tools_from_json() {
    runs(env!("CARGO_BIN_EXE_tools-from-json"));
}

#[test]
fn calling_servers() {
    runs(env!("CARGO_BIN_EXE_calling-servers"));
}

#[test]
fn both_eras() {
    runs(env!("CARGO_BIN_EXE_both-eras"));
}
