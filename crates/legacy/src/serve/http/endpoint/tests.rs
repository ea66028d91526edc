use super::*;
use crate::serve::{Options, StoreBus};
use carryall_store::{Memory, Store as _};
use carryall_types::RawJson;
use serde_json::json;

const VERSION: &str = "2025-11-25";

/// A server that only says what it is.
fn endpoint(options: Options) -> LegacyEndpoint {
    let service = SharedService::from_fn(|call: Call| {
        let result = json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}});
        let response = Response::result(call.id().clone(), RawJson::from(&result));
        Box::pin(std::future::ready(Ok(response.into())))
    });
    LegacyEndpoint::new(service, options)
}

fn request(method: Method, subject: &str, session: Option<&str>, body: String) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = method;
    if let Some(session) = session {
        request
            .headers_mut()
            .insert(&MCP_SESSION_ID, session.parse().unwrap());
    }
    let (issuer, subject) = ("i".to_owned(), subject.to_owned());
    request.extensions_mut().insert(Arc::new(Principal {
        issuer,
        subject,
        client: None,
        scopes: Vec::new(),
    }));
    request
}

/// Opens a session and ends it; its name.
async fn open_and_end(endpoint: &LegacyEndpoint, subject: &str) -> Arc<str> {
    let client = json!({"name": "old", "version": "1"});
    let params = json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client});
    let body =
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string();
    let opened = endpoint
        .answer(request(Method::POST, subject, None, body))
        .await;
    assert_eq!(opened.status(), StatusCode::OK);
    let id = opened.headers()[&MCP_SESSION_ID]
        .to_str()
        .unwrap()
        .to_owned();
    let ended = endpoint
        .answer(request(Method::DELETE, subject, Some(&id), String::new()))
        .await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let again = endpoint
        .answer(request(Method::DELETE, subject, Some(&id), String::new()))
        .await;
    assert_eq!(
        again.status(),
        StatusCode::NOT_FOUND,
        "it has ended here in any case"
    );
    token::name_of(&id).unwrap()
}

#[tokio::test]
async fn a_client_that_opens_and_ends_sessions_all_day_does_not_fill_the_store() {
    let store = Memory::new();
    let mut options = Options::default().meeting(Arc::new(StoreBus::new(Arc::new(store.clone()))));
    options.max_stored_ends = 8;
    let endpoint = endpoint(options);
    let is_stored = async |name: Arc<str>| {
        store
            .get("session-known", &name, now_millis())
            .await
            .unwrap()
            .is_some()
    };
    for stored in [true, true, false, false] {
        assert_eq!(
            is_stored(open_and_end(&endpoint, "bob").await).await,
            stored
        );
    }
    assert!(is_stored(open_and_end(&endpoint, "alice").await).await);
    let told = store.due("session-told", u64::MAX / 2, 100).await.unwrap();
    assert_eq!(told.len(), 5, "those that are there are told each time");
}
