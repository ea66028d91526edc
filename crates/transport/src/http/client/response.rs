//! Reads the reply from a response, by status and media type.

use super::HttpClientInner;
use super::error_response::{MAX_ERROR_BODY, not_mcp, read_error_response};
use super::message::decode_reply_message;
use super::response_body::ResponseBody;
use super::sse_reply::SseReply;
use carryall_proto::{CallError, Message, Reply};
use carryall_types::RequestId;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

pub(super) async fn read_reply(
    client: &HttpClientInner,
    id: RequestId,
    response: http::Response<ResponseBody>,
) -> Result<Reply, CallError> {
    if !response.status().is_success() {
        return read_error_response(client, id, response).await;
    }
    let (head, mut body) = response.into_parts();
    let max = client.max_response;
    match ContentType::of(&head.headers) {
        ContentType::EventStream => Ok(Reply::Stream(Box::pin(SseReply::new(body, id, max)))),
        // The announced length is over the limit: nothing need be read.
        ContentType::Json if body.remaining() > max as u64 => Err(CallError::TooLarge(max)),
        ContentType::Json => {
            let collected = body.collect(max).await?;
            if !collected.is_complete {
                return Err(CallError::TooLarge(max));
            }
            match decode_reply_message(&collected.data, &id)? {
                Message::Response(response) => Ok(Reply::Once(response)),
                Message::Notification(_) => Err(CallError::Malformed(
                    "a notification instead of a response".into(),
                )),
            }
        }
        ContentType::Other => {
            let collected = body.collect(MAX_ERROR_BODY).await?;
            if collected.data.is_empty() {
                return Err(CallError::Malformed(format!(
                    "HTTP {} and no response to a request",
                    head.status.as_u16()
                )));
            }
            Err(not_mcp(head.status, &collected.data))
        }
    }
}

enum ContentType {
    Json,
    EventStream,
    Other,
}

impl ContentType {
    fn of(headers: &HeaderMap) -> Self {
        let value = headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], |value| value.as_bytes());
        let essence = value.split(|&byte| byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::EventStream
        } else {
            Self::Other
        }
    }
}
