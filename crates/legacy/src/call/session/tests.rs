use super::*;
use crate::call::wire::{IncomingStream, MessageSink};
use carryall_proto::BoxFuture;

/// A server that says what it is told to, and reads nothing after the handshake.
#[derive(Default)]
struct Deaf {
    sink: OnceLock<MessageSink>,
    /// What was meant for it after the handshake.
    unread: Arc<Mutex<Vec<String>>>,
}

impl fmt::Debug for Deaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deaf")
    }
}

impl SessionTransport for Deaf {
    fn request(&self, _: Request) -> BoxFuture<Result<IncomingStream, SessionError>> {
        Box::pin(std::future::pending())
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        if matches!(&message, OneWayMessage::Notification(sent) if sent.method == "notifications/initialized")
        {
            return Box::pin(std::future::ready(Ok(())));
        }
        self.unread
            .lock()
            .push(String::from_utf8(message.encode().to_vec()).unwrap());
        Box::pin(std::future::pending())
    }

    fn hear(&self, sink: MessageSink) {
        self.sink.set(sink).ok();
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn negotiated(&self, _: ProtocolVersion) {}

    fn end(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }
}

async fn session(options: Options) -> (Arc<LegacySession>, Arc<Deaf>) {
    let wire = Arc::<Deaf>::default();
    let result = RawJson::from(&json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    let shared: Arc<dyn SessionTransport> = Arc::clone(&wire) as _;
    (
        LegacySession::established(shared, &options, &result, &SuspendedCalls::new(&options))
            .await
            .unwrap(),
        wire,
    )
}

fn asks(wire: &Deaf, id: String, method: &str, params: &JsonValue) {
    let request = Request {
        id: RequestId::String(id.into()),
        method: method.into(),
        params: RawJson::from(params),
    };
    wire.sink.get().unwrap()(Ok(Incoming::Request(request)));
}

#[tokio::test(start_paused = true)]
async fn answers_to_a_server_that_reads_nothing_are_bounded_in_number_and_bytes() {
    let (session, wire) = session(Options::default()).await;
    for n in 0..500 {
        asks(
            &wire,
            format!("{n}-{}", "x".repeat(10_000)),
            "ping",
            &json!({}),
        );
    }
    let used = session.outgoing_budget.used();
    assert!(
        used.items > 90 && used.items < 110,
        "1 MiB of them: {used:?}"
    );
    tokio::time::sleep(2 * HOUSEKEEPING).await;
    assert_eq!(
        session.outgoing_budget.used(),
        Amount::default(),
        "given up"
    );
    for n in 0..5000 {
        asks(&wire, n.to_string(), "ping", &json!({}));
    }
    assert_eq!(session.outgoing_budget.used().items, MAX_OUTGOING.items);
    // The name of a method that nobody knows is not sent back whole.
    tokio::time::sleep(2 * HOUSEKEEPING).await;
    wire.unread.lock().clear();
    asks(&wire, "long".into(), &"m".repeat(1_000_000), &json!({}));
    tokio::time::sleep(HOUSEKEEPING / 2).await;
    let unread = wire.unread.lock().clone();
    assert!(
        unread.len() == 1 && unread[0].len() < 1000,
        "{}",
        unread[0].len()
    );
}

#[tokio::test(start_paused = true)]
async fn questions_that_handlers_work_on_are_bounded() {
    let options = Options::default().answers(Arc::new(|_| Some(Box::pin(std::future::pending()))));
    let (session, wire) = session(options).await;
    let form = json!({"message": "?", "requestedSchema": {"type": "object", "properties": {}}});
    for n in 0..MAX_ANSWERING.items + 5 {
        asks(&wire, n.to_string(), "elicitation/create", &form);
    }
    assert_eq!(session.answering_budget.used().items, MAX_ANSWERING.items);
    tokio::time::sleep(HOUSEKEEPING / 2).await;
    let unread = wire.unread.lock().clone();
    assert_eq!(
        unread
            .iter()
            .filter(|text| text.contains("too many questions"))
            .count(),
        5,
        "{unread:?}"
    );
}
