//! In-memory: a service needs no transport to be called in the same process, so all there is to add
//! is the wire form.

use carryall_proto::decode::{ClientMessage, ServerMessage, decode_frame, decode_server_message};
use carryall_proto::{BoxFuture, Call, CallError, Message, Reply, SharedService};
use futures_util::stream::poll_fn;
use std::task::{Context, Poll};
use tower_service::Service;

/// Calls a service in the same process, with each message written out and read in again as on a
/// real binding: what works through it does not depend on anything that a wire would lose.
#[derive(Clone, Debug)]
pub struct Loopback {
    service: SharedService,
}

impl Loopback {
    /// A way to `service`.
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
        let sent = resend(call);
        let service = self.service.clone();
        Box::pin(async move {
            let call = match sent? {
                Ok(call) => call,
                Err(refused) => return Ok(refused),
            };
            match service.answer(call).await? {
                Reply::Once(response) => match rewrite(&Message::Response(response))? {
                    Message::Response(response) => Ok(Reply::Once(response)),
                    Message::Notification(_) => Err(CallError::Malformed(
                        "a notification instead of a response".into(),
                    )),
                },
                Reply::Stream(mut stream) => Ok(Reply::Stream(Box::pin(poll_fn(move |cx| {
                    stream
                        .as_mut()
                        .poll_next(cx)
                        .map(|item| item.map(|item| item.and_then(|message| rewrite(&message))))
                })))),
            }
        })
    }
}

/// The call as the other side reads it, or the answer of its door. Who calls and what layers
/// attached stay, as they do when a binding adds them.
fn resend(call: Call) -> Result<Result<Call, Reply>, CallError> {
    let text = call.encode().into_bytes();
    let parts = call.into_parts();
    match decode_frame(text) {
        Ok(ClientMessage::Call(mut read)) => {
            read.set_principal(parts.principal);
            read.set_source(parts.source);
            *read.headers_mut() = parts.headers;
            *read.extensions_mut() = parts.extensions;
            Ok(Ok(read))
        }
        Ok(ClientMessage::Notification(_)) => {
            Err(CallError::Refused("a call without an id".into()))
        }
        Err(rejection) => Ok(Err(carryall_proto::Response::error(
            parts.id,
            rejection.error,
        )
        .into())),
    }
}

fn rewrite(message: &Message) -> Result<Message, CallError> {
    match decode_server_message(&message.encode().into_bytes()).map_err(CallError::Malformed)? {
        ServerMessage::Response(response) => Ok(Message::Response(response)),
        ServerMessage::Notification(notification) => Ok(Message::Notification(notification)),
        ServerMessage::ErrorWithoutId(error) => Err(CallError::Malformed(format!(
            "an error without an id: {error}"
        ))),
    }
}
