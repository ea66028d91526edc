use super::*;
use proptest::prelude::*;

fn filter(value: JsonValue) -> SubscriptionFilter {
    serde_json::from_value(value).unwrap()
}

fn capabilities(value: JsonValue) -> ServerCapabilities {
    serde_json::from_value(value).unwrap()
}

fn updated(uri: &str) -> Change {
    Change::Resource(uri.into())
}

fn everything() -> ServerCapabilities {
    capabilities(json!({
        "tools": {"listChanged": true}, "prompts": {"listChanged": true}, "resources": {"listChanged": true, "subscribe": true},
    }))
}

fn json_of<T: serde::Serialize>(value: &T) -> JsonValue {
    serde_json::to_value(value).unwrap()
}

// spec: subscriptions-04
#[test]
fn only_what_is_supported_is_honoured() {
    let all = filter(json!({
        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["a:b"],
    }));
    let left = |supported: JsonValue| json_of(&honoured(&all, &capabilities(supported), 9));
    assert_eq!(json_of(&honoured(&all, &everything(), 9)), json_of(&all));
    assert_eq!(left(json!({})), json!({}));
    assert_eq!(
        left(json!({"tools": {}, "prompts": {"listChanged": false}, "resources": {}})),
        json!({})
    );
    assert_eq!(
        left(json!({"resources": {"subscribe": true}})),
        json!({"resourceSubscriptions": ["a:b"]})
    );
    assert_eq!(
        left(json!({"resources": {"listChanged": true}})),
        json!({"resourcesListChanged": true})
    );
    let none = filter(json!({"toolsListChanged": false}));
    assert_eq!(json_of(&honoured(&none, &everything(), 9)), json!({}));
}

#[test]
fn resource_subscriptions_are_distinct_and_bounded() {
    let many = filter(json!({"resourceSubscriptions": ["a:1", "a:1", "a:2", "a:3"]}));
    assert_eq!(
        json_of(&honoured(&many, &everything(), 2)),
        json!({"resourceSubscriptions": ["a:1", "a:2"]})
    );
}

// spec: subscriptions-01
#[test]
fn only_what_was_asked_for_matches() {
    let changes = [
        Change::Tools,
        Change::Prompts,
        Change::Resources,
        updated("file:///a"),
    ];
    for (index, asked) in [
        "toolsListChanged",
        "promptsListChanged",
        "resourcesListChanged",
    ]
    .into_iter()
    .enumerate()
    {
        let filter = filter(json!({ asked: true }));
        let matching: Vec<_> = changes
            .iter()
            .map(|change| matches(&filter, change))
            .collect();
        assert_eq!(matching.iter().filter(|&&yes| yes).count(), 1);
        assert!(matching[index]);
    }
    let one = filter(json!({"resourceSubscriptions": ["file:///a"]}));
    assert!(matches(&one, &updated("file:///a")));
    assert!(!matches(&one, &updated("file:///b")) && !matches(&one, &Change::Resources));
}

// spec: resources-18
#[test]
fn a_subscription_covers_what_lies_below_its_resource() {
    for (uri, resource) in [
        ("file:///p/x.json", "file:///p"),
        ("file:///p/x.json", "file:///p/"),
        ("file:///p", "file:///p"),
        ("a:b?q#f", "a:b?q#f"),
        ("x://h/a", "x://h"),
    ] {
        assert!(is_within(uri, resource), "{uri} {resource}");
    }
    for (uri, resource) in [
        ("file:///project2", "file:///project"),
        ("file:///p", "file:///p/x"),
        ("a:b?q=1/2", "a:b?q=1"),
        ("a:b#f/g", "a:b#f"),
        ("a:b", ""),
        ("/a", ""),
        ("FILE:///p", "file:///p"),
    ] {
        assert!(!is_within(uri, resource), "{uri} {resource}");
    }
}

// spec: meta-20, subscriptions-06
#[test]
fn every_message_carries_the_id_of_the_listen_request_with_its_type() {
    for (id, json_id) in [
        (RequestId::from(7), json!(7)),
        (RequestId::from("7"), json!("7")),
    ] {
        let meta = json!({"io.modelcontextprotocol/subscriptionId": json_id});
        let ack = acknowledged(&id, &filter(json!({"toolsListChanged": true})));
        assert_eq!(ack.method, "notifications/subscriptions/acknowledged");
        assert_eq!(
            json_of(&ack.params),
            json!({"_meta": meta, "notifications": {"toolsListChanged": true}})
        );
        let change = updated("a:b").notification(&id);
        assert_eq!(change.method, "notifications/resources/updated");
        assert_eq!(
            json_of(&change.params),
            json!({"_meta": meta, "uri": "a:b"})
        );
        assert_eq!(
            json_of(&Change::Tools.notification(&id).params),
            json!({"_meta": meta})
        );
    }
}

// spec: subscriptions-09
#[test]
fn the_closing_result_is_complete_and_names_the_subscription() {
    let response = closing_response(&RequestId::from("s"));
    let crate::Outcome::Result(result) = &response.outcome else {
        panic!("an error")
    };
    assert_eq!(response.id, RequestId::from("s"));
    assert_eq!(
        json_of(result),
        json!({"resultType": "complete", "_meta": {"io.modelcontextprotocol/subscriptionId": "s"}})
    );
}

#[test]
fn repeated_changes_are_told_once_in_order() {
    let mut pending = PendingChanges::new(
        filter(json!({"toolsListChanged": true, "resourceSubscriptions": ["a:"]})),
        10,
    );
    assert!(pending.insert(&Change::Tools));
    assert!(!pending.insert(&Change::Tools));
    assert!(!pending.insert(&Change::Prompts), "not asked for");
    assert_eq!(pending.len(), 1);
    assert_eq!(pending.pop(), Some(Change::Tools));
    assert!(pending.insert(&Change::Tools), "told before, changed again");
    assert_eq!((pending.pop(), pending.pop()), (Some(Change::Tools), None));
}

#[test]
fn a_slow_listener_is_told_of_the_subscribed_resource_instead() {
    let mut pending = PendingChanges::new(
        filter(json!({"toolsListChanged": true, "resourceSubscriptions": ["a:/x", "a:/y"]})),
        6,
    );
    assert!(pending.insert(&Change::Tools));
    for index in 0..100 {
        pending.insert(&updated(&format!("a:/x/{index}")));
        pending.insert(&updated("a:/y"));
    }
    assert!(pending.len() <= 6);
    let told: Vec<_> = std::iter::from_fn(|| pending.pop()).collect();
    assert!(
        told.contains(&Change::Tools)
            && told.contains(&updated("a:/x"))
            && told.contains(&updated("a:/y"))
    );
}

proptest! {
    #[test]
    fn no_change_is_lost_and_the_queue_is_bounded(
        inserts in proptest::collection::vec((0u8..3, 0u8..20), 0..80), limit in 0usize..8,
    ) {
        let subscribed = ["a:/0", "a:/1"];
        let mut pending = PendingChanges::new(filter(json!({"resourceSubscriptions": subscribed})), limit);
        let mut wanted = Vec::new();
        for (resource, part) in inserts {
            let uri = format!("a:/{resource}/{part}");
            pending.insert(&updated(&uri));
            if resource < 2 {
                wanted.push(uri);
            }
            prop_assert!(pending.len() <= limit.max(5));
        }
        let told: Vec<_> = std::iter::from_fn(|| pending.pop()).collect();
        for uri in wanted {
            prop_assert!(told.iter().any(|change| matches!(change, Change::Resource(told) if is_within(&uri, told))));
        }
    }
}
