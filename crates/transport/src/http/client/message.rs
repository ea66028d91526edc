//! Decodes the messages of a reply.

use bytes::Bytes;
use carryall_proto::decode::{ServerMessage, decode_server_message};
use carryall_proto::{CallError, Message, Response};
use carryall_types::RequestId;

/// Decodes a message that was received in reply to request `id`.
pub(super) fn decode_reply_message(text: &Bytes, id: &RequestId) -> Result<Message, CallError> {
    match decode_server_message(text).map_err(CallError::Malformed)? {
        ServerMessage::Notification(notification) => Ok(Message::Notification(notification)),
        ServerMessage::Response(response) if response.id == *id => Ok(Message::Response(response)),
        ServerMessage::Response(response) => Err(CallError::Malformed(format!(
            "a response to request {} instead of {id}",
            response.id
        ))),
        ServerMessage::ErrorWithoutId(error) => {
            Ok(Message::Response(Response::error(id.clone(), error)))
        }
    }
}
