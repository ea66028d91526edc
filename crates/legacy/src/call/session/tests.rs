use super::*;
use crate::call::fake_transport::FakeTransport;
use crate::message::Incoming;

/// A session with a server that accepts nothing after the handshake.
async fn session(options: DualEraOptions) -> (Arc<LegacySession>, Arc<FakeTransport>) {
    let transport = FakeTransport::new(|_| Box::pin(std::future::pending()));
    let transport = Arc::new(transport.stalled());
    let result = RawJson::from(&json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    let budgets = Arc::<SessionBudgets>::default();
    let shared: Arc<dyn SessionTransport> = Arc::clone(&transport) as _;
    let session = LegacySession::establish(shared, &options, &result, &budgets).await;
    (session.unwrap(), transport)
}

fn ask(transport: &FakeTransport, id: String, method: &str, params: &JsonValue) {
    transport.deliver(Incoming::Request(LegacyRequest {
        id: RequestId::String(id.into()),
        method: method.into(),
        params: RawJson::from(params),
    }));
}

#[tokio::test(start_paused = true)]
async fn unread_answers_to_the_server_are_bounded_in_number_and_bytes() {
    let (session, transport) = session(DualEraOptions::default()).await;
    for n in 0..500 {
        let id = format!("{n}-{}", "x".repeat(10_000));
        ask(&transport, id, "ping", &json!({}));
    }
    let used = session.outgoing.used();
    assert!(
        used.items > 90 && used.items < 110,
        "1 MiB of them: {used:?}"
    );
    tokio::time::sleep(2 * REQUEST_TIMEOUT).await;
    assert_eq!(session.outgoing.used(), Amount::default(), "given up");
    for n in 0..5000 {
        ask(&transport, n.to_string(), "ping", &json!({}));
    }
    assert_eq!(session.outgoing.used().items, MAX_OUTGOING.items);
    // The name of an unknown method is not repeated in full.
    tokio::time::sleep(2 * REQUEST_TIMEOUT).await;
    transport.take_sent();
    ask(
        &transport,
        "long".into(),
        &"m".repeat(1_000_000),
        &json!({}),
    );
    tokio::time::sleep(REQUEST_TIMEOUT / 2).await;
    let sent = transport.take_sent();
    assert!(sent.len() == 1 && sent[0].len() < 1000, "{}", sent[0].len());
}

#[tokio::test(start_paused = true)]
async fn questions_that_an_input_handler_works_on_are_bounded() {
    let handler: InputCallback = Arc::new(|_| Some(Box::pin(std::future::pending())));
    let (session, transport) = session(DualEraOptions::default().input_handler(handler)).await;
    let form = json!({"message": "?", "requestedSchema": {"type": "object", "properties": {}}});
    for n in 0..MAX_HANDLED_QUESTIONS.items + 5 {
        ask(&transport, n.to_string(), "elicitation/create", &form);
    }
    assert_eq!(
        session.handled_questions.used().items,
        MAX_HANDLED_QUESTIONS.items
    );
    tokio::time::sleep(REQUEST_TIMEOUT / 2).await;
    let sent = transport.take_sent();
    let refused = sent
        .iter()
        .filter(|text| text.contains("too many questions"));
    assert_eq!(refused.count(), 5, "{sent:?}");
}
