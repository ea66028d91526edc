//! Paginated lists.

use crate::support::{Does, Seen, done, refuse, serving, serving_with};
use carryall_client::{ClientError, ResponseError, ResponseWarning};
use carryall_types::JsonValue;
use serde_json::json;
use std::sync::{Arc, Mutex};

fn page(names: &[&str], next: Option<&str>) -> Does {
    let prompts: Vec<JsonValue> = names.iter().map(|name| json!({"name": name})).collect();
    let mut page = json!({"prompts": prompts, "ttlMs": 0, "cacheScope": "private"});
    if let Some(next) = next {
        page["nextCursor"] = next.into();
    }
    done(page)
}

// spec: pagination-01, pagination-03, pagination-04, prompts-11
#[tokio::test]
async fn cursors_are_returned_unchanged_and_only_a_missing_one_ends_a_list() {
    let odd = "a\u{0}\"\\ \u{1F600}=%2F";
    let (client, log) = serving(move |seen| match seen.n {
        0 => page(&["a", "b", "c"], Some("")),
        1 => page(&[], Some(odd)),
        2 => page(&["d"], Some("null")),
        _ => page(&[], None),
    });
    let names: Vec<_> = client
        .list_prompts()
        .await
        .unwrap()
        .into_iter()
        .map(|prompt| prompt.name)
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let cursors: Vec<_> = log.all().iter().map(|seen| seen.own_params()).collect();
    assert_eq!(
        cursors,
        [
            json!({}),
            json!({"cursor": ""}),
            json!({"cursor": odd}),
            json!({"cursor": "null"})
        ]
    );
}

// spec: pagination-03
#[tokio::test]
async fn a_list_may_have_a_single_page() {
    let (client, log) = serving(|_| page(&["a"], None));
    assert_eq!(client.list_prompts().await.unwrap().len(), 1);
    assert_eq!(log.len(), 1);
}

#[tokio::test]
async fn a_loop_of_cursors_ends_the_list_with_a_warning() {
    let reported: Arc<Mutex<Vec<ResponseWarning>>> = Arc::default();
    let (client, log) =
        serving(|seen| page(&[["w", "x", "y"][seen.n]], Some(["a", "b"][seen.n % 2])));
    let received = Arc::clone(&reported);
    let listing = client
        .list_prompts()
        .on_warning(move |warning| received.lock().unwrap().push(warning.clone()));
    let names: Vec<_> = listing
        .await
        .unwrap()
        .into_iter()
        .map(|prompt| prompt.name)
        .collect();
    assert_eq!(names, ["w", "x", "y"]);
    assert_eq!(log.len(), 3);
    let reported = reported.lock().unwrap();
    assert!(
        matches!(&reported[..], [ResponseWarning::PageLoop { cursor, .. }] if cursor == "a"),
        "{reported:?}"
    );
}

// Some servers send an empty cursor for "no more", and the first page again if it is used.
#[tokio::test]
async fn a_repeated_empty_cursor_ends_the_list() {
    let (client, log) = serving(|_| page(&["a", "b"], Some("")));
    let names: Vec<_> = client
        .list_prompts()
        .await
        .unwrap()
        .into_iter()
        .map(|prompt| prompt.name)
        .collect();
    assert_eq!(names, ["a", "b"], "no duplicates");
    let cursors: Vec<_> = log.all().iter().map(|seen| seen.own_params()).collect();
    assert_eq!(cursors, [json!({}), json!({"cursor": ""})]);
}

#[tokio::test]
async fn a_cursor_that_is_not_a_string_ends_the_list() {
    let numbered =
        json!({"prompts": [{"name": "a"}], "nextCursor": 5, "ttlMs": 0, "cacheScope": "private"});
    let (client, _) = serving(move |_| done(numbered.clone()));
    assert_eq!(client.list_prompts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_endless_list_is_an_error() {
    let endless = |seen: &Seen| page(&["x"], Some(&seen.n.to_string()));
    let (client, log) = serving_with(|builder| builder.max_pages(10), endless);
    assert!(matches!(
        client.list_prompts().await,
        Err(ClientError::Response(ResponseError::ListTooLong { .. }))
    ));
    assert_eq!(log.len(), 10);
}

#[tokio::test]
async fn a_list_over_the_byte_limit_is_an_error() {
    let name = "x".repeat(1000);
    let endless = move |seen: &Seen| page(&[&name], Some(&seen.n.to_string()));
    let (client, log) = serving_with(|builder| builder.max_list_bytes(5000), endless);
    let error = client.list_prompts().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Response(ResponseError::ListTooLong { reason, .. }) if reason.contains("more than 5000 bytes")),
        "{error}"
    );
    assert_eq!(log.len(), 5);
}

#[tokio::test]
async fn a_cursor_refused_twice_is_an_error() {
    let (client, log) = serving(|seen| {
        if seen.params["cursor"].is_null() {
            page(&[], Some("x"))
        } else {
            refuse(-32602)
        }
    });
    assert!(client.list_prompts().await.unwrap_err().is_invalid_params());
    assert_eq!(log.len(), 4);
}

#[tokio::test]
async fn an_error_of_the_first_page_is_returned() {
    let (client, log) = serving(|_| refuse(-32602));
    assert!(client.list_prompts().await.unwrap_err().is_invalid_params());
    assert_eq!(log.len(), 1);
}
