//! In-memory: calls a service in the same process through the wire format.
//!
//! A service can be called without any transport. [`Loopback`] shows, for example in tests, that a
//! service does not depend on anything that a wire would lose.
//!
//! ```
//! # async fn example(service: carryall_proto::SharedService, call: carryall_proto::Call) -> Result<(), Box<dyn std::error::Error>> {
//! use carryall_transport::Loopback;
//! use tower_service::Service;
//!
//! let reply = Loopback::new(service).call(call).await?;
//! # Ok(())
//! # }
//! ```

use carryall_proto::decode::{ClientMessage, ServerMessage, decode_frame, decode_server_message};
use carryall_proto::{BoxFuture, Call, CallError, Message, Reply, Response, SharedService};
use futures_util::StreamExt as _;
use std::task::{Context, Poll};
use tower_service::Service;

/// Calls a service in the same process, encoding and decoding each message as a real transport
/// does. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Loopback {
    service: SharedService,
}

impl Loopback {
    /// Makes a client of `service`.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        Self {
            service: SharedService::new(service),
        }
    }
}

impl Service<Call> for Loopback {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let sent = through_wire(call);
        let service = self.service.clone();
        Box::pin(async move {
            let call = match sent? {
                Ok(call) => call,
                Err(rejected) => return Ok(Reply::Once(rejected)),
            };
            match service.answer(call).await? {
                Reply::Once(response) => {
                    match message_through_wire(&Message::Response(response))? {
                        Message::Response(response) => Ok(Reply::Once(response)),
                        Message::Notification(_) => Err(CallError::Malformed(
                            "a notification instead of a response".into(),
                        )),
                    }
                }
                Reply::Stream(stream) => Ok(Reply::Stream(Box::pin(
                    stream.map(|message| message_through_wire(&message?)),
                ))),
            }
        })
    }
}

/// Returns the call as a server decodes it, or the response to a call that is not valid. What a
/// transport adds to a call (caller, source, headers, extensions) is kept.
fn through_wire(call: Call) -> Result<Result<Call, Response>, CallError> {
    let text = call.encode().into_bytes();
    let parts = call.into_parts();
    match decode_frame(text) {
        Ok(ClientMessage::Call(mut decoded)) => {
            decoded.set_principal(parts.principal);
            decoded.set_source(parts.source);
            *decoded.headers_mut() = parts.headers;
            *decoded.extensions_mut() = parts.extensions;
            Ok(Ok(decoded))
        }
        Ok(ClientMessage::Notification(_)) => {
            Err(CallError::Refused("a call without an id".into()))
        }
        Err(rejection) => Ok(Err(Response::error(parts.id, rejection.error))),
    }
}

fn message_through_wire(message: &Message) -> Result<Message, CallError> {
    let text = message.encode().into_bytes();
    match decode_server_message(&text).map_err(CallError::Malformed)? {
        ServerMessage::Response(response) => Ok(Message::Response(response)),
        ServerMessage::Notification(notification) => Ok(Message::Notification(notification)),
        ServerMessage::ErrorWithoutId(error) => Err(CallError::Malformed(format!(
            "an error without an id: {error}"
        ))),
    }
}
