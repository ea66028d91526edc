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
