//! Roots, sampling, and cancelled calls.

mod common;

use common::{demo, run};
use serde_json::json;
use std::time::{Duration, Instant};

fn first_text(found: &serde_json::Value) -> &serde_json::Value {
    &found["content"][0]["text"]
}

#[test]
fn roots_are_returned_if_given_and_not_declared_otherwise() {
    let demo = demo(&[]);
    let show = |args: &[&str]| run(&[&["call", demo.url.as_str(), "show_roots"], args].concat());
    let shown = show(&["--root", "file:///home/ada/a%20b", "--root", "/"]).ok();
    assert_eq!(
        first_text(&shown),
        &json!("file:///home/ada/a%20b, file:///")
    );
    show(&[]).fails(6, &["roots"]);
    show(&["--root", "/no/such/directory"]).fails(
        2,
        &["--root /no/such/directory", "name a directory that exists"],
    );
}

#[test]
fn samples_are_returned_if_given_and_not_declared_otherwise() {
    let demo = demo(&[]);
    let ask = |args: &[&str]| {
        run(&[
            &[
                "call",
                demo.url.as_str(),
                "ask_model",
                "question=What is red?",
            ],
            args,
        ]
        .concat())
    };
    let asked = ask(&["--sample", "It is a colour."]).ok();
    assert_eq!(
        first_text(&asked),
        &json!("The model says: It is a colour.")
    );
    ask(&[]).fails(6, &["sampling"]);
}

#[test]
fn a_timeout_cancels_the_handler() {
    let demo = demo(&[]);
    let naps = || run(&["read", &demo.url, "demo://naps"]).ok()["contents"][0]["text"].clone();
    assert_eq!(naps(), json!("0 naps were broken off."));
    run(&["call", &demo.url, "nap", "seconds=60", "--timeout", "300ms"])
        .fails(5, &["no answer within"]);
    let end = Instant::now() + Duration::from_secs(10);
    while naps() != json!("1 naps were broken off.") {
        assert!(Instant::now() < end, "{}", naps());
    }
    // A finished nap is not counted.
    run(&["call", &demo.url, "nap", "seconds=0"]).ok();
    assert_eq!(naps(), json!("1 naps were broken off."));
}
